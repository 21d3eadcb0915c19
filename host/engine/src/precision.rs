//! Where the dtype that a file declares and the one that its plan computes in differ, and the casts between them.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::floats::FloatPrecisionTranslator;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::transform::ModelTransform;

use crate::signature::TensorInfo;
use crate::{Dtype, Error};

/// Makes a graph with f16 in it compute in f32, where the processor has no f16 arithmetic: tract's fallback for
/// that takes some hundred times longer.
pub(crate) fn widen(model: &mut TypedModel) -> TractResult<()> {
    let f16 = |node: &TypedNode| node.outputs.iter().any(|outlet| outlet.fact.datum_type == DatumType::F16);
    if tract_linalg::has_fp16() || !model.nodes.iter().any(f16) {
        return Ok(());
    }
    // The translator would put a cast behind each weight, and tract folds only those of small ones.
    for node in model.nodes_mut() {
        let Some(weight) = node.op_as::<Const>().map(Const::val) else { continue };
        if weight.datum_type() == DatumType::F16 && weight.is_plain_ram() {
            node.op =
                Box::new(Const::new(weight.cast_to_dt(DatumType::F32)?.into_owned().into_arc_tensor())?);
        }
    }
    FloatPrecisionTranslator::new(DatumType::F16, DatumType::F32).transform(model)
}

pub(crate) fn dtypes<'a>(
    model: &'a TypedModel,
    outlets: &'a [OutletId],
) -> impl Iterator<Item = DatumType> + 'a {
    outlets.iter().map(|o| model.nodes[o.node].outputs[o.slot].fact.datum_type)
}

/// Ends the graph with casts to what the file declares, where only those differ. They are nodes rather than done on
/// the way out, because a dim can be made a number only while its symbols are known.
pub(crate) fn restore_dtypes(model: &mut TypedModel, infos: &[TensorInfo]) -> TractResult<()> {
    let mut outlets = model.outputs.clone();
    for (at, info) in infos.iter().enumerate().take(outlets.len()) {
        let computed = model.outlet_fact(outlets[at])?.datum_type;
        if let (Ok(Some(_)), Some(declared)) = (cast_between("output", info, computed), info.dtype.to_tract())
        {
            outlets[at] =
                model.wire_node(format!("declared dtype of output {at}"), cast(declared), &[outlets[at]])?[0];
        }
    }
    model.select_output_outlets(&outlets)
}

/// What an input has to be cast to, and whether an output has to be cast, where the file declares `info` and the
/// plan computes in `computed`: f16 that is computed in f32, and the dims that tract keeps as symbolic integers.
/// Anything else is a file that contradicts itself.
pub(crate) fn cast_between(
    role: &str,
    info: &TensorInfo,
    computed: DatumType,
) -> Result<Option<DatumType>, Error> {
    match info.dtype {
        dtype if dtype.to_tract() == Some(computed) => Ok(None),
        Dtype::F16 if computed == DatumType::F32 => Ok(Some(computed)),
        Dtype::I64 if computed == DatumType::TDim => Ok(Some(computed)),
        declared => {
            let got = Dtype::from_tract(computed).map_or_else(|| format!("{computed:?}"), |d| d.to_string());
            Err(Error::model(format!(
                "{role} {:?}: the file declares {declared}, the graph has {got}",
                info.name
            )))
        }
    }
}

/// As [`cast_between`] says, on the way in.
pub(crate) fn cast_values(values: &mut [TValue], casts: &[Option<DatumType>]) -> TractResult<()> {
    for (value, to) in values.iter_mut().zip(casts) {
        if let Some(to) = to {
            *value = value.cast_to_dt(*to)?.into_owned().into_tvalue();
        }
    }
    Ok(())
}
