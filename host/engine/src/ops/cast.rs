//! Cast (to 25): tract's, except that numbers become i64 without passing through 32 bits, and strings are read and
//! written as ONNX Runtime does.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast as number_cast;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, elements, tensor, typed};

pub(super) fn cast(_: &ParsingContext, node: &NodeProto) -> Built {
    Ok((expand(Cast { to: node.get_attr("to")? }), vec![]))
}

#[derive(Clone, Debug)]
struct Cast {
    to: DatumType,
}

impl Cast {
    /// Dims stay symbolic integers, which numbers of a tensor must not become: tract cuts those to 32 bits.
    fn result(&self, from: DatumType) -> DatumType {
        if (from, self.to) == (DatumType::TDim, DatumType::I64) { from } else { self.to }
    }
}

impl Expansion for Cast {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.given(&inputs[0].datum_type, |solver, from| {
            solver.equals(&outputs[0].datum_type, self.result(from))
        })?;
        solver.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let from = model.outlet_fact(inputs[0])?.datum_type;
        let to = self.result(from);
        match DatumType::String {
            string if from == to && to == string => Ok(inputs.into()),
            string if from == string || to == string => {
                let written = if from == DatumType::TDim {
                    model.wire_node(format!("{prefix}.whole"), number_cast(DatumType::I64), inputs)?
                } else {
                    inputs.into()
                };
                model.wire_node(prefix, typed("Cast", Text { to }), &written)
            }
            _ => model.wire_node(prefix, number_cast(to), inputs),
        }
    }
}

/// From strings or to them.
#[derive(Debug)]
struct Text {
    to: DatumType,
}

impl Kernel for Text {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.to.fact(inputs[0].shape.clone())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = &inputs[0];
        let shape = input.shape();
        if input.datum_type() == DatumType::String {
            let texts = elements::<String>(input)?.iter();
            let numbers = if self.to.is_float() {
                tensor(shape, texts.map(|text| float(text)).collect::<TractResult<Vec<f64>>>()?)?
            } else {
                tensor(shape, texts.map(|text| whole(text)).collect::<TractResult<Vec<i64>>>()?)?
            };
            return Ok(tvec!(numbers.cast_to_dt(self.to)?.into_owned()));
        }
        let written: Vec<String> = match input.datum_type() {
            datum if datum.is_float() => {
                elements::<f64>(&*input.cast_to::<f64>()?)?.iter().map(|x| general(*x)).collect()
            }
            DatumType::U64 => elements::<u64>(input)?.iter().map(u64::to_string).collect(),
            _ => elements::<i64>(&*input.cast_to::<i64>()?)?.iter().map(i64::to_string).collect(),
        };
        Ok(tvec!(tensor(shape, written)?))
    }
}

fn float(text: &str) -> TractResult<f64> {
    text.trim_ascii_start().parse().with_context(|| format!("expected a number, got {text:?}"))
}

fn whole(text: &str) -> TractResult<i64> {
    let text = text.trim_ascii_start();
    text.parse().with_context(|| format!("expected a whole number, got {text:?}"))
}

/// As C's `%.8g` writes it.
fn general(x: f64) -> String {
    const DIGITS: i32 = 8;
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "INF" } else { "-INF" }.to_owned();
    }
    let scientific = format!("{x:.*e}", DIGITS as usize - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return shortened(&format!("{x:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", shortened(mantissa), exponent.abs())
}

/// Without zeros at the end of a fraction.
fn shortened(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}
