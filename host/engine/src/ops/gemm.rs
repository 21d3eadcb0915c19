//! Gemm (to 13): `alpha * A' * B' + beta * C`, in the dtype of A; tract's takes f32 only where alpha or C is there.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{add, mul};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::logic::wire_with_rank_broadcast;

use super::kernel::Built;

pub(super) fn gemm(_: &ParsingContext, node: &NodeProto) -> Built {
    let flag = |name| -> TractResult<bool> { Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0) };
    let factor = |name| -> TractResult<f32> { Ok(node.get_attr_opt(name)?.unwrap_or(1.0)) };
    let (transposed, factors) = ([flag("transA")?, flag("transB")?], [factor("alpha")?, factor("beta")?]);
    Ok((expand(Gemm { transposed, factors }), vec![]))
}

#[derive(Clone, Debug)]
struct Gemm {
    /// A and B
    transposed: [bool; 2],
    /// alpha and beta
    factors: [f32; 2],
}

impl Gemm {
    fn scaled(
        &self,
        name: String,
        model: &mut TypedModel,
        factor: f32,
        x: OutletId,
    ) -> TractResult<OutletId> {
        if factor == 1.0 {
            return Ok(x);
        }
        let factor = tensor0(factor).cast_to_dt(model.outlet_fact(x)?.datum_type)?.into_owned();
        let factor = model.add_const(format!("{name}.factor"), factor)?;
        Ok(wire_with_rank_broadcast(name, model, mul(), &[x, factor])?[0])
    }
}

impl Expansion for Gemm {
    fn name(&self) -> StaticName {
        "Gemm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!((2..=3).contains(&inputs.len()), "Gemm: expected 2 or 3 inputs, got {}", inputs.len());
        check_output_arity(outputs, 1)?;
        for input in inputs {
            solver.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        let [a, b] = self.transposed.map(usize::from);
        solver.equals(&inputs[0].rank, 2)?;
        solver.equals(&inputs[1].rank, 2)?;
        solver.equals(&outputs[0].rank, 2)?;
        solver.equals(&inputs[0].shape[a], &outputs[0].shape[0])?;
        solver.equals(&inputs[0].shape[1 - a], &inputs[1].shape[b])?;
        solver.equals(&inputs[1].shape[1 - b], &outputs[0].shape[1])
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let datum = model.outlet_fact(inputs[0])?.datum_type;
        let axes = AxesMapping::for_numpy_matmul(2, self.transposed[0], self.transposed[1], false)?;
        let product =
            model.wire_node(format!("{prefix}.product"), EinSum::new(axes, datum), &inputs[..2])?[0];
        let product = self.scaled(format!("{prefix}.alpha"), model, self.factors[0], product)?;
        match inputs.get(2).filter(|_| self.factors[1] != 0.0) {
            Some(c) => {
                let c = self.scaled(format!("{prefix}.beta"), model, self.factors[1], *c)?;
                wire_with_rank_broadcast(prefix, model, add(), &[product, c])
            }
            None => Ok(tvec!(product)),
        }
    }
}
