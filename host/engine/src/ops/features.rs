//! Operators of `ai.onnx.ml` that take columns, join them, or turn them into flags: ArrayFeatureExtractor,
//! FeatureVectorizer, Binarizer and ZipMap (all 1).

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, dims_of, elements, f32s, numeric, pick, rows_of, tensor};
use super::labels::Labels;

pub(super) fn array_feature_extractor(_: &ParsingContext, node: &NodeProto) -> Built {
    built(node, Extractor)
}

pub(super) fn feature_vectorizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let widths: Vec<i64> = node.get_attr_opt_vec("inputdimensions")?.unwrap_or_default();
    let inputs = node.input.len();
    ensure!(widths.len() == inputs, "inputdimensions: expected {inputs}, got {}", widths.len());
    let widths = widths.iter().map(|width| {
        let whole = usize::try_from(*width).ok().filter(|width| *width <= WIDEST);
        whole.with_context(|| format!("inputdimensions: expected 0 to {WIDEST}, got {width}"))
    });
    built(node, Vectorizer { widths: widths.collect::<TractResult<_>>()? })
}

pub(super) fn binarizer(_: &ParsingContext, node: &NodeProto) -> Built {
    built(node, Binarizer { threshold: node.get_attr_opt("threshold")?.unwrap_or(0.0) })
}

/// A map for each row has no form here: the scores stay `[N, C]`, and the labels are part of what
/// [`Graph::describe`](crate::Graph::describe) reads.
pub(super) fn zip_map(_: &ParsingContext, node: &NodeProto) -> Built {
    built(node, ZipMap { classes: Labels::read(node, "classlabels_int64s")?.len() })
}

/// Features that a row may be padded to, so that no file asks for more memory than it is worth.
const WIDEST: usize = 1 << 20;

/// `[..., F]` and K positions give `[..., K]`; `[F]` gives `[1, K]`.
#[derive(Debug)]
struct Extractor;

impl Kernel for Extractor {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [x, at] = inputs else { bail!("expected 2 inputs, got {}", inputs.len()) };
        ensure!(x.rank() > 0, "expected rank 1 and more, got a scalar");
        let mut shape: TVec<TDim> =
            if x.rank() == 1 { tvec!(1.to_dim()) } else { x.shape[..x.rank() - 1].into() };
        shape.push(at.shape.volume());
        Ok(tvec!(x.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (x, at) = (&inputs[0], inputs[1].cast_to::<i64>()?);
        let at = elements::<i64>(&at)?;
        let width = x.shape().last().copied().context("expected rank 1 and more, got a scalar")?;
        let wrong = at.iter().find(|at| !usize::try_from(**at).is_ok_and(|at| at < width));
        ensure!(
            wrong.is_none(),
            "position {}: expected 0 to {}",
            wrong.unwrap_or(&0),
            width.saturating_sub(1)
        );
        let rows = x.len().checked_div(width).unwrap_or(0);
        let positions: Vec<usize> =
            (0..rows).flat_map(|row| at.iter().map(move |at| row * width + *at as usize)).collect();
        let mut shape: TVec<usize> = if x.rank() == 1 { tvec!(1) } else { x.shape()[..x.rank() - 1].into() };
        shape.push(at.len());
        Ok(tvec!(pick(x, &positions, &shape)?))
    }
}

/// Rows side by side in f32, each cut or padded with zeros to its width.
#[derive(Debug)]
struct Vectorizer {
    widths: Vec<usize>,
}

impl Kernel for Vectorizer {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        inputs.iter().try_for_each(|input| numeric(input.datum_type))?;
        let width: usize = self.widths.iter().sum();
        let rows = inputs.first().map_or(0.to_dim(), |input| dims_of(&input.shape).0);
        Ok(tvec!(DatumType::F32.fact([rows, width.to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = inputs.first().map_or(0, |input| rows_of(input.shape()).0);
        let width: usize = self.widths.iter().sum();
        let mut joined = vec![0f32; rows.checked_mul(width).context("too many rows")?];
        let mut start = 0;
        for (input, wide) in inputs.iter().zip(&self.widths) {
            let (got, length) = rows_of(input.shape());
            ensure!(got == rows, "expected {rows} rows in every input, got {got}");
            let x = f32s(input)?;
            let x = elements::<f32>(&x)?;
            let taken = length.min(*wide);
            for row in 0..rows {
                let to = row * width + start;
                joined[to..to + taken].copy_from_slice(&x[row * length..row * length + taken]);
            }
            start += wide;
        }
        Ok(tvec!(tensor(&[rows, width], joined)?))
    }
}

/// 1 above the threshold, else 0; the dtype stays. NaN is refused.
#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

impl Kernel for Binarizer {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        numeric(inputs[0].datum_type)?;
        Ok(tvec!(inputs[0].clone()))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = inputs[0].cast_to::<f64>()?;
        let numbers = elements::<f64>(&x)?;
        let nan = numbers.iter().position(|x| x.is_nan());
        ensure!(nan.is_none(), "expected numbers, got NaN at element {}", nan.unwrap_or(0));
        let flags = numbers.iter().map(|x| f32::from(*x > f64::from(self.threshold))).collect();
        let flags = tensor::<f32>(x.shape(), flags)?;
        Ok(tvec!(flags.cast_to_dt(inputs[0].datum_type())?.into_owned()))
    }
}

#[derive(Debug)]
struct ZipMap {
    classes: usize,
}

impl Kernel for ZipMap {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (rows, width) = dims_of(&inputs[0].shape);
        let wrong = width.as_i64().filter(|width| *width != self.classes as i64);
        ensure!(wrong.is_none(), "expected {} scores, got {width}", self.classes);
        numeric(inputs[0].datum_type)?;
        Ok(tvec!(DatumType::F32.fact([rows, self.classes.to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (rows, width) = rows_of(inputs[0].shape());
        ensure!(width == self.classes, "expected {} scores, got {width}", self.classes);
        Ok(tvec!(f32s(&inputs[0])?.into_owned().into_shape(&[rows, width])?))
    }
}
