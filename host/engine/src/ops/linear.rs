//! LinearClassifier and LinearRegressor of `ai.onnx.ml` 1: `[N, F]` in, f32 out. tract's classifier takes no strings
//! for labels, and finds the best class after the transform, where large scores have become equal.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, dims_of, elements, f32s, numeric, rows_of, tensor};
use super::labels::Labels;
use super::scores::{Transform, many_classes, pair};

pub(super) fn classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::read(node, "classlabels_ints")?;
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let classes = labels.len();
    ensure!(classes >= 2, "expected at least 2 class labels, got {classes}");
    let intercepts: Vec<f32> = node.get_attr_opt_vec("intercepts")?.unwrap_or_else(|| vec![0.0; classes]);
    let got = intercepts.len();
    ensure!(got == classes || (got, classes) == (1, 2), "intercepts: expected {classes}, got {got}");
    let transform = Transform::parse(node.get_attr_opt("post_transform")?.unwrap_or("NONE"))?;
    built(node, Classifier { labels, weights: Weights::new(coefficients, intercepts)?, transform })
}

pub(super) fn regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    let targets = usize::try_from(node.get_attr_opt::<i64>("targets")?.unwrap_or(1))?;
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let intercepts: Vec<f32> = node.get_attr_opt_vec("intercepts")?.unwrap_or_default();
    ensure!((1..=coefficients.len()).contains(&targets), "targets: expected at least 1, got {targets}");
    let intercepts = match intercepts.len() {
        0 => vec![0.0; targets],
        got => {
            ensure!(got == targets, "intercepts: expected {targets}, got {got}");
            intercepts
        }
    };
    let transform = Transform::parse(node.get_attr_opt("post_transform")?.unwrap_or("NONE"))?;
    built(node, Regressor { weights: Weights::new(coefficients, intercepts)?, transform })
}

/// Sums of weighted features.
#[derive(Debug)]
struct Weights {
    /// `[S, F]`
    coefficients: Vec<f32>,
    /// `[S]`
    intercepts: Vec<f32>,
}

impl Weights {
    fn new(coefficients: Vec<f32>, intercepts: Vec<f32>) -> TractResult<Self> {
        let (sums, got) = (intercepts.len(), coefficients.len());
        ensure!(
            got > 0 && got.is_multiple_of(sums),
            "coefficients: expected a multiple of {sums}, got {got}"
        );
        Ok(Self { coefficients, intercepts })
    }

    /// N, where F is as it must be.
    fn check(&self, shape: &[usize]) -> TractResult<usize> {
        let (rows, width) = rows_of(shape);
        ensure!(width == self.features(), "expected {} features, got {width}", self.features());
        Ok(rows)
    }

    fn features(&self) -> usize {
        self.coefficients.len() / self.intercepts.len()
    }

    fn sum(&self, x: &[f32], sums: &mut [f32]) {
        for ((sum, weights), intercept) in
            sums.iter_mut().zip(self.coefficients.chunks(x.len())).zip(&self.intercepts)
        {
            *sum = x.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>() + intercept;
        }
    }
}

#[derive(Debug)]
struct Classifier {
    labels: Labels,
    /// A sum for each class, or one for two classes that share it
    weights: Weights,
    transform: Transform,
}

impl Classifier {
    /// Fills a row's scores and returns the position of its class.
    fn classify(&self, x: &[f32], scores: &mut [f32]) -> usize {
        self.weights.sum(x, scores);
        if let ([score, _], 1) = (&*scores, self.weights.intercepts.len()) {
            let score = *score;
            scores.copy_from_slice(&pair(score, self.transform, true));
            return usize::from(score > 0.0);
        }
        many_classes(scores, self.transform)
    }
}

impl Kernel for Classifier {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        numeric(inputs[0].datum_type)?;
        let rows = dims_of(&inputs[0].shape).0;
        let scores = DatumType::F32.fact([rows.clone(), self.labels.len().to_dim()]);
        Ok(tvec!(self.labels.datum().fact([rows]), scores))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (rows, classes) = (self.weights.check(inputs[0].shape())?, self.labels.len());
        let x = f32s(&inputs[0])?;
        let mut scores = vec![0f32; rows.checked_mul(classes).context("too many rows")?];
        let each = elements::<f32>(&x)?.chunks(self.weights.features()).zip(scores.chunks_mut(classes));
        let picked: Vec<usize> = each.map(|(x, scores)| self.classify(x, scores)).collect();
        Ok(tvec!(self.labels.pick(&picked), tensor(&[rows, classes], scores)?))
    }
}

#[derive(Debug)]
struct Regressor {
    weights: Weights,
    transform: Transform,
}

impl Kernel for Regressor {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        numeric(inputs[0].datum_type)?;
        let targets = self.weights.intercepts.len().to_dim();
        Ok(tvec!(DatumType::F32.fact([dims_of(&inputs[0].shape).0, targets])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (rows, targets) = (self.weights.check(inputs[0].shape())?, self.weights.intercepts.len());
        let x = f32s(&inputs[0])?;
        let mut sums = vec![0f32; rows.checked_mul(targets).context("too many rows")?];
        for (x, sums) in elements::<f32>(&x)?.chunks(self.weights.features()).zip(sums.chunks_mut(targets)) {
            self.weights.sum(x, sums);
            self.transform.apply_to_targets(sums);
        }
        Ok(tvec!(tensor(&[rows, targets], sums)?))
    }
}
