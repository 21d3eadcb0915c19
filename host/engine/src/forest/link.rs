//! [`Link`]: from an ensemble's raw scores to its predictions, as the library does it whose objective asks for it.

use super::real::Real;

/// What predictions are of raw scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Link {
    /// The scores themselves: most regressions, ranking
    Identity,
    /// `1 / (1 + exp(-slope · x))` of each: two classes, several labels, cross-entropy, one against the rest
    Sigmoid { slope: f64 },
    /// Those, divided by their sum: one against the rest where probabilities have to add up
    SigmoidShares { slope: f64 },
    /// Shares of `exp(x)`: several classes
    Softmax,
    /// `exp(x)`: Poisson, gamma, Tweedie, Cox, accelerated failure time
    Exp,
    /// `ln(1 + exp(x))`: LightGBM's `cross_entropy_lambda`
    Softplus,
    /// `sign(x) · x²`: LightGBM's `reg_sqrt`
    SignedSquare,
    /// 1 where `x > 0`, otherwise 0: XGBoost's `binary:hinge`
    Positive,
    /// One number, the position of the first of the greatest scores: XGBoost's `multi:softmax`
    Argmax,
}

impl Link {
    /// Predictions for each row of an ensemble with so many outputs.
    pub(crate) fn width(self, outputs: usize) -> usize {
        if self == Self::Argmax { 1 } else { outputs }
    }

    /// One row's raw scores become its predictions, the first [`Link::width`] of `scores`.
    pub(crate) fn apply<T: Real>(self, scores: &mut [T]) {
        let each = |scores: &mut [T], f: &dyn Fn(T) -> T| scores.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Self::Identity => {}
            Self::Sigmoid { slope } => each(scores, &|x| sigmoid(T::of(slope) * x)),
            Self::SigmoidShares { slope } => {
                each(scores, &|x| sigmoid(T::of(slope) * x));
                let sum = scores.iter().fold(T::ZERO, |sum, x| sum + *x);
                each(scores, &|x| x / sum);
            }
            Self::Softmax => softmax(scores),
            Self::Exp => each(scores, &T::exp),
            // exp(x) overflows long before its logarithm does.
            Self::Softplus => each(scores, &|x| x.max(T::ZERO) + (-x.abs()).exp().ln_1p()),
            Self::SignedSquare => each(scores, &|x| if x < T::ZERO { -(x * x) } else { x * x }),
            Self::Positive => each(scores, &|x| if x > T::ZERO { T::ONE } else { T::ZERO }),
            Self::Argmax => {
                let best =
                    (0..scores.len()).reduce(|best, i| if scores[i] > scores[best] { i } else { best });
                scores[0] = T::of(best.unwrap_or(0) as f64);
            }
        }
    }
}

fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// The sum in f64, the shares in the scores' precision: XGBoost's `common::Softmax` (`math.h`).
fn softmax<T: Real>(scores: &mut [T]) {
    let max = scores.iter().copied().reduce(T::max).unwrap_or(T::ZERO);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += score.wide();
    }
    scores.iter_mut().for_each(|x| *x = *x / T::of(sum));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(link: Link, scores: &[f64]) -> Vec<f64> {
        let mut scores = scores.to_vec();
        link.apply(&mut scores);
        scores[..link.width(scores.len())].to_vec()
    }

    #[test]
    fn links_are_what_they_say() {
        let third = 0.5 / 1.5;
        let cases: [(Link, &[f64], &[f64]); 12] = [
            (Link::Identity, &[1.5, -2.0], &[1.5, -2.0]),
            (Link::Sigmoid { slope: 1.0 }, &[0.0, 800.0, -800.0], &[0.5, 1.0, 0.0]),
            (Link::Sigmoid { slope: 2.0 }, &[0.5 * 3f64.ln()], &[0.75]),
            (Link::SigmoidShares { slope: 1.0 }, &[0.0, 800.0], &[third, 2.0 * third]),
            (Link::Softmax, &[1000.0, 1000.0], &[0.5, 0.5]),
            (Link::Softmax, &[0.0, 3f64.ln()], &[0.25, 0.75]),
            (Link::Exp, &[0.0, 1.0], &[1.0, std::f64::consts::E]),
            (Link::Softplus, &[0.0, 1000.0, -1000.0], &[2f64.ln(), 1000.0, 0.0]),
            (Link::SignedSquare, &[-3.0, 2.0], &[-9.0, 4.0]),
            (Link::Positive, &[-1.0, 0.0, 1e-9], &[0.0, 0.0, 1.0]),
            (Link::Argmax, &[1.0, 3.0, 3.0], &[1.0]),
            (Link::Argmax, &[-2.0], &[0.0]),
        ];
        for (link, scores, expected) in cases {
            let got = of(link, scores);
            let close = got.iter().zip(expected).all(|(a, e)| (a - e).abs() <= 1e-15);
            assert!(
                got.len() == expected.len() && close,
                "{link:?} of {scores:?}: expected {expected:?}, got {got:?}"
            );
        }
    }
}
