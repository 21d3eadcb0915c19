//! From the sums of an ensemble to its answer: base values, the conventions for two classes, post-transforms.
//!
//! The specification (ONNX, `ai.onnx.ml` TreeEnsembleClassifier and TreeEnsembleRegressor) leaves open what two
//! classes with weights for one of them, or with one base value, mean. Here it is what ONNX Runtime 1.31 answers,
//! found by trying (`tests/make_models.py` holds the table).

use tract_onnx::tract_hir::internal::*;

/// How the weights of several leaves become one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Combine {
    Sum,
    Min,
    Max,
}

impl Combine {
    #[inline(always)]
    pub(super) fn apply(self, total: &mut f32, seen: &mut bool, weight: f32) {
        *total = match self {
            Self::Sum => *total + weight,
            Self::Min if *seen => total.min(weight),
            Self::Max if *seen => total.max(weight),
            Self::Min | Self::Max => weight,
        };
        *seen = true;
    }
}

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

fn logistic(x: f32) -> f32 {
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

/// How an ensemble with two classes is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Binary {
    /// All weights speak of the same one of the two classes.
    pub(super) one_sided: bool,
    /// No weight is negative: they are probabilities, and the boundary is 0.5 instead of 0.
    pub(super) probabilities: bool,
}

/// Completes the two `scores` of a row and returns the position of its class; `seen` says of which the leaves spoke.
pub(super) fn two_classes(
    scores: &mut [f32],
    seen: &[bool],
    base: &[f32],
    transform: Transform,
    binary: Binary,
) -> usize {
    let (mut first, mut second) = (scores[0], scores[1]);
    match base {
        // Weights for the second class: its base value and the first sum are the margin.
        [_, b1] if seen[1] => (first, second) = (-(b1 + first), b1 + first),
        [b0, b1] => (first, second) = (first + b0, second + b1),
        [b0] => first += b0,
        _ => {}
    }
    let margin = if seen[1] { second } else { first };
    let boundary = if binary.one_sided && binary.probabilities { 0.5 } else { 0.0 };
    let class = usize::from((seen[0] || seen[1]) && margin > boundary);
    if seen[1] || base.len() == 2 {
        let shown = |seen, score| if seen { score } else { 0.0 };
        scores.copy_from_slice(&[shown(seen[0], first), shown(seen[1], second)]);
        transform.apply(scores);
    } else {
        scores.copy_from_slice(&pair(first, transform, binary.one_sided && binary.probabilities));
    }
    class
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

/// As [`two_classes`], for three and more, or where every class has its own number (`seen` is `None`).
pub(super) fn many_classes(
    scores: &mut [f32],
    seen: Option<&[bool]>,
    base: &[f32],
    transform: Transform,
) -> usize {
    scores.iter_mut().zip(base).for_each(|(score, base)| *score += base);
    let spoken_of = |i: &usize| seen.is_none_or(|seen| seen[*i]) || !base.is_empty();
    // The first of equals.
    let best = |best: usize, i: usize| if scores[i] > scores[best] { i } else { best };
    let class = (0..scores.len()).filter(spoken_of).reduce(best).unwrap_or(0);
    transform.apply(scores);
    class
}

/// The targets of a regressor, whose sums become means where `divisor` is the number of trees.
pub(super) fn targets(scores: &mut [f32], base: &[f32], divisor: f32, transform: Transform) {
    for (i, score) in scores.iter_mut().enumerate() {
        *score = *score / divisor + base.get(i).copied().unwrap_or(0.0);
    }
    if scores.len() > 1 || transform == Transform::Probit {
        transform.apply(scores);
    }
}
