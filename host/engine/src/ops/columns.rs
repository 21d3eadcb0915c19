//! Operators of `ai.onnx.ml` that treat each number after its column or its row: Imputer, Normalizer and Scaler (1).

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, dims_of, elements, f32s, numeric, rows_of, tensor};

pub(super) fn imputer(_: &ParsingContext, node: &NodeProto) -> Built {
    let floats: Option<Vec<f32>> = node.get_attr_opt_vec("imputed_value_floats")?;
    let wholes: Option<Vec<i64>> = node.get_attr_opt_vec("imputed_value_int64s")?;
    match (floats.filter(|v| !v.is_empty()), wholes.filter(|v| !v.is_empty())) {
        (Some(values), None) => {
            let replaced: f32 = node.get_attr_opt("replaced_value_float")?.unwrap_or(0.0);
            built(node, Imputer { values, replaced })
        }
        (None, Some(values)) => {
            let replaced: i64 = node.get_attr_opt("replaced_value_int64")?.unwrap_or(0);
            built(node, Imputer { values, replaced })
        }
        _ => bail!("expected either imputed_value_floats or imputed_value_int64s"),
    }
}

pub(super) fn normalizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let norm = match node.get_attr_opt("norm")?.unwrap_or("MAX") {
        "MAX" => Norm::Max,
        "L1" => Norm::L1,
        "L2" => Norm::L2,
        other => bail!("norm: expected MAX, L1 or L2, got {other:?}"),
    };
    built(node, Normalizer { norm })
}

pub(super) fn scaler(_: &ParsingContext, node: &NodeProto) -> Built {
    let offset: Vec<f32> = node.get_attr_opt_vec("offset")?.unwrap_or_else(|| vec![0.0]);
    let scale: Vec<f32> = node.get_attr_opt_vec("scale")?.unwrap_or_else(|| vec![1.0]);
    let (offsets, scales) = (offset.len(), scale.len());
    ensure!(
        offsets > 0 && offsets == scales,
        "expected as many offsets as scales, got {offsets} and {scales}"
    );
    built(node, Scaler { offset, scale })
}

/// Puts `values`, one for each column or one for all, where `replaced` (NaN: any NaN) is found.
#[derive(Debug)]
struct Imputer<T> {
    values: Vec<T>,
    replaced: T,
}

impl<T: Datum + Copy + PartialEq> Kernel for Imputer<T> {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (expected, got) = (T::datum_type(), inputs[0].datum_type);
        ensure!(got == expected, "expected {expected:?} as the imputed values are, got {got:?}");
        Ok(tvec!(inputs[0].clone()))
    }

    #[allow(clippy::eq_op, reason = "a number that differs from itself is NaN")]
    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let width = rows_of(inputs[0].shape()).1;
        let each = self.values.len() == width;
        let nan = self.replaced != self.replaced;
        let mut x = elements::<T>(&inputs[0])?.to_vec();
        for (at, x) in x.iter_mut().enumerate() {
            if *x == self.replaced || nan && *x != *x {
                *x = self.values[if each { at % width } else { 0 }];
            }
        }
        Ok(tvec!(tensor(inputs[0].shape(), x)?))
    }
}

#[derive(Clone, Copy, Debug)]
enum Norm {
    /// The greatest number, not the greatest magnitude
    Max,
    L1,
    L2,
}

/// Each row of `[N, F]` or `[F]` over its norm, in f32; a row whose norm is zero stays.
#[derive(Debug)]
struct Normalizer {
    norm: Norm,
}

impl Kernel for Normalizer {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        numeric(inputs[0].datum_type)?;
        ensure!(inputs[0].rank() <= 2, "expected rank 1 or 2, got {:?}", inputs[0].shape);
        Ok(tvec!(DatumType::F32.fact(inputs[0].shape.clone())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let width = rows_of(inputs[0].shape()).1;
        let x = f32s(&inputs[0])?;
        let mut scaled = elements::<f32>(&x)?.to_vec();
        for row in scaled.chunks_mut(width.max(1)) {
            let norm = match self.norm {
                Norm::Max => row.iter().copied().fold(f32::MIN, f32::max),
                Norm::L1 => row.iter().map(|x| x.abs()).sum(),
                // In f64, where the square of no f32 is infinite.
                Norm::L2 => row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32,
            };
            if norm != 0.0 {
                row.iter_mut().for_each(|x| *x /= norm);
            }
        }
        Ok(tvec!(tensor(x.shape(), scaled)?))
    }
}

/// `(x - offset) * scale`, with one of each for every column or one for all; f64 becomes f32 at the end.
#[derive(Debug)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Kernel for Scaler {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        numeric(inputs[0].datum_type)?;
        let (got, width) = (self.offset.len(), dims_of(&inputs[0].shape).1);
        ensure!(
            got == 1 || width.as_i64().is_none_or(|width| width == got as i64),
            "expected 1 or {width} numbers, got {got}"
        );
        Ok(tvec!(DatumType::F32.fact(inputs[0].shape.clone())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (x, got, width) = (&inputs[0], self.offset.len(), rows_of(inputs[0].shape()).1);
        ensure!(got == 1 || got == width, "expected 1 or {width} numbers, got {got}");
        let columns = || self.offset.iter().zip(&self.scale).cycle();
        let scaled = if x.datum_type() == DatumType::F64 {
            let each = elements::<f64>(x)?.iter().zip(columns());
            each.map(|(x, (offset, scale))| ((x - f64::from(*offset)) * f64::from(*scale)) as f32).collect()
        } else {
            let x = f32s(x)?;
            let each = elements::<f32>(&x)?.iter().zip(columns());
            each.map(|(x, (offset, scale))| (x - offset) * scale).collect()
        };
        Ok(tvec!(tensor(x.shape(), scaled)?))
    }
}
