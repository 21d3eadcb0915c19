//! IsNaN and Sigmoid, of which tract's know no f64.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::nn::sigmoid as fast_sigmoid;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, elements, tensor, typed};

pub(super) fn is_nan(_: &ParsingContext, node: &NodeProto) -> Built {
    built(node, IsNan)
}

pub(super) fn sigmoid(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Sigmoid), vec![]))
}

#[derive(Debug)]
struct IsNan;

impl Kernel for IsNan {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let datum = inputs[0].datum_type;
        ensure!(datum.is_float(), "expected floats, got {datum:?}");
        Ok(tvec!(DatumType::Bool.fact(inputs[0].shape.clone())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let flags = if inputs[0].datum_type() == DatumType::F64 {
            elements::<f64>(&inputs[0])?.iter().map(|x| x.is_nan()).collect()
        } else {
            elements::<f32>(&*inputs[0].cast_to::<f32>()?)?.iter().map(|x| x.is_nan()).collect()
        };
        Ok(tvec!(tensor::<bool>(inputs[0].shape(), flags)?))
    }
}

#[derive(Clone, Debug)]
struct Sigmoid;

impl Expansion for Sigmoid {
    fn name(&self) -> StaticName {
        "Sigmoid".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        match model.outlet_fact(inputs[0])?.datum_type {
            DatumType::F64 => model.wire_node(prefix, typed("Sigmoid", DoubleSigmoid), inputs),
            _ => model.wire_node(prefix, fast_sigmoid(), inputs),
        }
    }
}

#[derive(Debug)]
struct DoubleSigmoid;

impl Kernel for DoubleSigmoid {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].clone()))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let each = elements::<f64>(&inputs[0])?.iter().map(|x| 1.0 / (1.0 + (-x).exp()));
        Ok(tvec!(tensor(inputs[0].shape(), each.collect())?))
    }
}
