//! `Cast` and `CastLike`.

use tract_onnx::tract_hir::internal::*;

use super::{Call, Kernel};
use crate::narrow::{Rounding, encode, encode_power};
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "Cast" => |call| {
            let to =
                Dtype::from_onnx(i32::try_from(call.int("to", 0))?).context("expected a dtype to cast to")?;
            Ok(vec![cast(call, to)?])
        },
        "CastLike" => |call| Ok(vec![cast(call, call.input(1)?.dtype())?]),
        _ => return None,
    })
}

fn cast(call: &Call, to: Dtype) -> TractResult<Tensor> {
    let x = call.input(0)?;
    let saturate = call.int("saturate", 1) != 0;
    match (x.dtype(), to) {
        (from, to) if from == to => Ok(x.clone()),
        (Dtype::String, _) => {
            let texts = x.slice::<String>()?;
            if to.is_float() {
                let parse = |text: &String| Ok(text.trim().parse::<f64>()?);
                return Tensor::of_f64s(to, x.shape(), texts.iter().map(parse).collect::<TractResult<_>>()?);
            }
            let parse = |text: &String| Ok(text.trim().parse::<i64>()?);
            Tensor::of_i64s(to, x.shape(), texts.iter().map(parse).collect::<TractResult<_>>()?)
        }
        (from, Dtype::String) if from.is_float() => {
            let text = |v: f64| if from == Dtype::F64 { v.to_string() } else { (v as f32).to_string() };
            Tensor::of(to, x.shape(), x.f64s()?.into_iter().map(text).collect())
        }
        (_, Dtype::String) => Tensor::of(to, x.shape(), x.i64s()?.iter().map(i64::to_string).collect()),
        (_, Dtype::F8E8M0) => {
            let rounding = match call.text("round_mode", "up").as_str() {
                "down" => Rounding::Down,
                "nearest" => Rounding::Nearest,
                _ => Rounding::Up,
            };
            let codes = x.f64s()?.iter().map(|&v| encode_power(v, rounding, saturate)).collect();
            Tensor::of(to, x.shape(), codes)
        }
        (_, Dtype::F8E4M3 | Dtype::F8E4M3Fnuz | Dtype::F8E5M2 | Dtype::F8E5M2Fnuz | Dtype::F4E2M1) => {
            Tensor::of(to, x.shape(), x.f64s()?.iter().map(|&v| encode(to, v, saturate)).collect())
        }
        (from, to) if from.is_float() || to.is_float() => {
            let whole = |v: f64| if to.is_float() || to == Dtype::Bool { v } else { v.trunc() };
            if matches!(to, Dtype::I4 | Dtype::U4 | Dtype::I2 | Dtype::U2) {
                return Tensor::of_i64s(
                    to,
                    x.shape(),
                    x.f64s()?.iter().map(|&v| v.round_ties_even() as i64).collect(),
                );
            }
            Tensor::of_f64s(to, x.shape(), x.f64s()?.into_iter().map(whole).collect())
        }
        (_, Dtype::Bool) => Tensor::of_bools(x.shape(), x.i64s()?.iter().map(|&v| v != 0).collect()),
        (_, to) => Tensor::of_i64s(to, x.shape(), x.i64s()?),
    }
}
