//! [`Linear`]: XGBoost's `gblinear`, a sum of weighted features for each output.

use crate::Error;
use crate::forest::Link;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Linear {
    pub(crate) features: usize,
    pub(crate) outputs: usize,
    /// `[features, outputs]`
    pub(crate) weights: Vec<f32>,
    /// `[outputs]`: bias and base score, added in f32
    pub(crate) bias: Vec<f32>,
    pub(crate) link: Link,
}

impl Linear {
    /// # Errors
    ///
    /// `InvalidModel` for a number of weights that doesn't fit.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (expected, got) = (self.features.checked_mul(self.outputs), self.weights.len());
        if expected != Some(got) || self.bias.len() != self.outputs || self.outputs == 0 {
            let (features, outputs) = (self.features, self.outputs);
            return Err(Error::model(format!(
                "expected weights of {features} features and {outputs} outputs, got {got}"
            )));
        }
        Ok(())
    }

    /// Raw scores of one row: f32, feature by feature; one that is missing (NaN) counts for nothing.
    pub(crate) fn evaluate(&self, row: &[f32], scores: &mut [f32]) {
        scores.copy_from_slice(&self.bias);
        for (x, weights) in row.iter().zip(self.weights.chunks_exact(self.outputs)) {
            if !x.is_nan() {
                scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += x * weight);
            }
        }
    }
}
