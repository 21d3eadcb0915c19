//! Post-transforms of `ai.onnx.ml`: from scores to probabilities, as ONNX Runtime 1.31 computes them.

use tract_onnx::tract_hir::internal::*;

/// Makes probabilities, or none, of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Softmax,
    SoftmaxZero,
    Logistic,
    Probit,
}

impl Transform {
    pub(super) fn parse(name: &str) -> TractResult<Self> {
        Ok(match name {
            "NONE" => Self::None,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "LOGISTIC" => Self::Logistic,
            "PROBIT" => Self::Probit,
            _ => bail!(
                "post_transform: expected NONE, SOFTMAX, SOFTMAX_ZERO, LOGISTIC or PROBIT, got {name:?}"
            ),
        })
    }

    /// A single target is transformed by PROBIT only.
    pub(super) fn apply_to_targets(self, targets: &mut [f32]) {
        if targets.len() > 1 || self == Self::Probit {
            self.apply(targets);
        }
    }

    pub(super) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
            Self::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
            Self::Softmax => softmax(scores, |_| false),
            // Zero means absent: it gets no share.
            Self::SoftmaxZero => softmax(scores, |s| s.abs() <= 1e-7),
        }
    }
}

pub(super) fn logistic(x: f32) -> f32 {
    let of_magnitude = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - of_magnitude } else { of_magnitude }
}

fn softmax(scores: &mut [f32], absent: impl Fn(f32) -> bool) {
    let max = scores.iter().copied().fold(f32::MIN, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if absent(*score) {
            *score *= (-max).exp();
        } else {
            *score = (*score - max).exp();
            sum += *score;
        }
    }
    scores.iter_mut().for_each(|s| *s /= sum);
}

/// The normal distribution's quantile through Winitzki's approximation of erf (2008, a = 0.147), which is what
/// ONNX Runtime takes.
fn probit(p: f32) -> f32 {
    let x = 2.0 * p - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let magnitude = ((half * half - log / 0.147).sqrt() - half).sqrt();
    std::f32::consts::SQRT_2 * if x < 0.0 { -magnitude } else { magnitude }
}

/// Two scores from the one number that stands for both classes.
pub(super) fn pair(score: f32, transform: Transform, probability: bool) -> [f32; 2] {
    match transform {
        Transform::Logistic => [logistic(-score), logistic(score)],
        Transform::Probit => [probit(score), 0.0],
        _ if probability => [1.0 - score, score],
        _ => [-score, score],
    }
}

/// Transforms the scores of several classes and returns the position of the greatest before that.
pub(super) fn many_classes(scores: &mut [f32], transform: Transform) -> usize {
    // The first of equals.
    let best = |best: usize, i: usize| if scores[i] > scores[best] { i } else { best };
    let class = (0..scores.len()).reduce(best).unwrap_or(0);
    transform.apply(scores);
    class
}
