//! From the sums of an ensemble to what the operators answer: base values, the conventions for two classes, post-transforms.
//!
//! The specification (ONNX, `ai.onnx.ml` TreeEnsembleClassifier and TreeEnsembleRegressor) leaves open what two
//! classes with weights for one of them, or with one base value, mean. Here it is what ONNX Runtime 1.31 answers,
//! found by trying (`tests/make_models.py` holds the table).

use crate::forest::Real;
use crate::ops::scores::{Transform, pair};

/// How an ensemble with two classes is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Binary {
    /// All weights speak of the same one of the two classes.
    pub(super) one_sided: bool,
    /// No weight is negative: they are probabilities, and the boundary is 0.5 instead of 0.
    pub(super) probabilities: bool,
}

/// Fills a row's two `scores` and returns the position of its class; `seen` says of which the leaves spoke.
pub(super) fn two_classes<A: Real>(
    sums: &[A],
    seen: [bool; 2],
    base: &[A],
    transform: Transform,
    binary: Binary,
    scores: &mut [f32],
) -> usize {
    let (mut first, mut second) = (sums[0], sums[1]);
    match base {
        // Weights for the second class: its base value and the first sum are the margin.
        [_, b1] if seen[1] => (first, second) = (-(*b1 + first), *b1 + first),
        [b0, b1] => (first, second) = (first + *b0, second + *b1),
        [b0] => first = first + *b0,
        _ => {}
    }
    let margin = if seen[1] { second } else { first };
    let boundary = if binary.one_sided && binary.probabilities { A::of(0.5) } else { A::ZERO };
    let class = usize::from((seen[0] || seen[1]) && margin > boundary);
    if seen[1] || base.len() == 2 {
        let shown = |seen, score: A| if seen { score.wide() as f32 } else { 0.0 };
        scores.copy_from_slice(&[shown(seen[0], first), shown(seen[1], second)]);
        transform.apply(scores);
    } else if transform == Transform::None && binary.one_sided && binary.probabilities {
        scores.copy_from_slice(&[(A::ONE - first).wide() as f32, first.wide() as f32]);
    } else {
        let pair = pair(first.wide() as f32, transform, binary.one_sided && binary.probabilities);
        scores.copy_from_slice(&pair);
    }
    class
}

/// As [`two_classes`], for three and more.
pub(super) fn many_classes<A: Real>(
    sums: &mut [A],
    seen: impl Fn(usize) -> bool,
    base: &[A],
    transform: Transform,
    scores: &mut [f32],
) -> usize {
    sums.iter_mut().zip(base).for_each(|(sum, base)| *sum = *sum + *base);
    let spoken_of = |i: &usize| !base.is_empty() || seen(*i);
    // The first of equals.
    let best = |best: usize, i: usize| if sums[i] > sums[best] { i } else { best };
    let class = (0..sums.len()).filter(spoken_of).reduce(best).unwrap_or(0);
    scores.iter_mut().zip(sums).for_each(|(score, sum)| *score = sum.wide() as f32);
    transform.apply(scores);
    class
}
