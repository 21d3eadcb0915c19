//! `LinearClassifier` of `ai.onnx.ml` 1: `[N, F]` in, labels `[N]` and scores `[N, C]` in f32 out. tract's takes no
//! strings for labels, and finds the best class after the transform, where large scores have become equal.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

use super::labels::Labels;
use super::scores::{Transform, many_classes, pair};

/// The operator; equal only to itself.
#[derive(Clone, Debug)]
struct Linear(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    labels: Labels,
    /// `[C, F]`, or `[1, F]` for two classes that share a number
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    transform: Transform,
}

pub(super) fn classifier(
    _: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let labels = Labels::read(node, "classlabels_ints")?;
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let classes = labels.len();
    ensure!(classes >= 2, "expected at least 2 class labels, got {classes}");
    let intercepts: Vec<f32> = node.get_attr_opt_vec("intercepts")?.unwrap_or_else(|| vec![0.0; classes]);
    let got = intercepts.len();
    ensure!(got == classes || (got, classes) == (1, 2), "intercepts: expected {classes}, got {got}");
    let got = coefficients.len();
    ensure!(
        got > 0 && got.is_multiple_of(intercepts.len()),
        "coefficients: expected a multiple of {}, got {got}",
        intercepts.len()
    );
    let transform = Transform::parse(node.get_attr_opt("post_transform")?.unwrap_or("NONE"))?;
    Ok((expand(Linear(Arc::new(Parts { labels, coefficients, intercepts, transform }))), vec![]))
}

impl Parts {
    fn features(&self) -> usize {
        self.coefficients.len() / self.intercepts.len()
    }

    /// Fills a row's scores and returns the position of its class.
    fn classify(&self, x: &[f32], scores: &mut [f32]) -> usize {
        for ((score, weights), intercept) in
            scores.iter_mut().zip(self.coefficients.chunks(x.len())).zip(&self.intercepts)
        {
            *score = x.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>() + intercept;
        }
        if let ([score, _], 1) = (&*scores, self.intercepts.len()) {
            let score = *score;
            scores.copy_from_slice(&pair(score, self.transform, true));
            return usize::from(score > 0.0);
        }
        many_classes(scores, None, &[], self.transform)
    }
}

impl Expansion for Linear {
    fn name(&self) -> StaticName {
        "Linear".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(2)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 2)?;
        solver.equals(&inputs[0].rank, 2)?;
        solver.equals(&outputs[0].datum_type, self.0.labels.datum())?;
        solver.equals(&outputs[0].rank, 1)?;
        solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        solver.equals(&outputs[1].datum_type, DatumType::F32)?;
        solver.equals(&outputs[1].rank, 2)?;
        solver.equals(&outputs[1].shape[0], &inputs[0].shape[0])?;
        solver.equals(&outputs[1].shape[1], self.0.labels.len().to_dim())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let x = model.wire_node(format!("{prefix}.f32"), cast(DatumType::F32), inputs)?;
        model.wire_node(prefix, self.clone(), &x)
    }
}

impl Op for Linear {
    fn name(&self) -> StaticName {
        "Linear".into()
    }

    op_as_typed_op!();
}

impl PartialEq for Linear {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Linear {}

impl TypedOp for Linear {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = inputs[0].shape[0].clone();
        let scores = DatumType::F32.fact([rows.clone(), self.0.labels.len().to_dim()]);
        Ok(tvec!(self.0.labels.datum().fact([rows]), scores))
    }

    as_op!();
}

impl EvalOp for Linear {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[rows, width] = inputs[0].shape() else { bail!("expected rank 2, got {:?}", inputs[0].shape()) };
        let (features, classes) = (self.0.features(), self.0.labels.len());
        ensure!(width == features, "linear classifier: expected {features} features, got {width}");
        let view = inputs[0].try_as_plain_ram()?;
        let mut scores = vec![0f32; rows.checked_mul(classes).context("too many rows")?];
        let each = view.as_slice::<f32>()?.chunks(width).zip(scores.chunks_mut(classes));
        let picked: Vec<usize> = each.map(|(x, scores)| self.0.classify(x, scores)).collect();
        let scores = tensor1(&scores).into_shape(&[rows, classes])?;
        Ok(tvec!(self.0.labels.pick(&picked).into_tvalue(), scores.into_tvalue()))
    }
}
