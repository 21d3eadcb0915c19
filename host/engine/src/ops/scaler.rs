//! `Scaler` of `ai.onnx.ml` 1: `(x - offset) * scale` in f32, over `[N, F]` with one offset and scale, or F of each.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math::{mul, sub};
use tract_onnx::tract_hir::internal::*;

#[derive(Clone, Debug)]
struct Scaler {
    offset: Arc<Tensor>,
    scale: Arc<Tensor>,
}

pub(super) fn scaler(
    _: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let row = |name, default| -> TractResult<Arc<Tensor>> {
        let values: Vec<f32> = node.get_attr_opt_vec(name)?.unwrap_or_else(|| vec![default]);
        ensure!(!values.is_empty(), "Scaler: expected at least one {name}, got none");
        Ok(tensor1(&values).into_shape(&[1, values.len()])?.into_arc_tensor())
    };
    Ok((expand(Scaler { offset: row("offset", 0.0)?, scale: row("scale", 1.0)? }), vec![]))
}

impl Expansion for Scaler {
    fn name(&self) -> StaticName {
        "Scaler".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].rank, 2)?;
        solver.equals(&outputs[0].datum_type, DatumType::F32)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let features = &model.outlet_fact(inputs[0])?.shape[1];
        for row in [&self.offset, &self.scale] {
            let got = row.len();
            ensure!(
                got == 1 || features == &got.to_dim(),
                "Scaler: expected 1 or {features} numbers, got {got}"
            );
        }
        let x = model.wire_node(format!("{prefix}.f32"), cast(DatumType::F32), inputs)?[0];
        let offset = model.add_const(format!("{prefix}.offset"), self.offset.clone())?;
        let scale = model.add_const(format!("{prefix}.scale"), self.scale.clone())?;
        let centred = model.wire_node(format!("{prefix}.centred"), sub(), &[x, offset])?[0];
        model.wire_node(prefix, mul(), &[centred, scale])
    }
}
