//! A tensor as a model file holds it.

use tract_onnx::pb::TensorProto;
use tract_onnx::tract_hir::internal::*;

use super::volume;
use crate::{Dtype, Tensor};

impl Tensor {
    /// Of a tensor in a model file, whose data lies inside.
    pub(crate) fn from_proto(proto: &TensorProto) -> TractResult<Self> {
        let dtype = Dtype::from_onnx(proto.data_type)
            .with_context(|| format!("ONNX element type {} has no dtype here", proto.data_type))?;
        let shape: Vec<usize> =
            proto.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>()?;
        let count = volume(&shape)?;
        if dtype == Dtype::String {
            let texts = proto.string_data.iter().map(|s| String::from_utf8(s.clone()));
            return Self::of(dtype, &shape, texts.collect::<Result<Vec<_>, _>>()?);
        }
        let bits = match dtype {
            Dtype::I4 | Dtype::U4 | Dtype::F4E2M1 => 4,
            Dtype::I2 | Dtype::U2 => 2,
            _ => 8,
        };
        let raw: Vec<u8> = if !proto.raw_data.is_empty() || count == 0 {
            proto.raw_data.clone()
        } else {
            match dtype {
                Dtype::F32 => proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
                Dtype::F64 => proto.double_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
                Dtype::I64 => proto.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
                Dtype::U64 => proto.uint64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
                Dtype::U32 => {
                    proto.uint64_data.iter().flat_map(|x| x.to_le_bytes().into_iter().take(4)).collect()
                }
                _ => {
                    let width = dtype.size_bytes();
                    proto.int32_data.iter().flat_map(|x| x.to_le_bytes().into_iter().take(width)).collect()
                }
            }
        };
        let bytes = if bits == 8 { raw } else { unpacked(&raw, bits, count, dtype) };
        Self::from_le_bytes(dtype, &shape, &bytes).map_err(|e| TractError::msg(e.to_string()))
    }

    /// As a model file holds it.
    pub(crate) fn to_proto(&self, name: &str) -> TractResult<TensorProto> {
        let dims = self.shape().iter().map(|&dim| i64::try_from(dim)).collect::<Result<_, _>>()?;
        let mut proto = TensorProto {
            name: name.to_owned(),
            dims,
            data_type: self.dtype.to_onnx(),
            ..TensorProto::default()
        };
        match self.strings() {
            Some(strings) => proto.string_data = strings.iter().map(|s| s.as_bytes().to_vec()).collect(),
            None => proto.raw_data = self.as_bytes().to_vec(),
        }
        Ok(proto)
    }
}

/// Elements of 4 or 2 bits, the lowest first, as a byte each.
fn unpacked(packed: &[u8], bits: usize, count: usize, dtype: Dtype) -> Vec<u8> {
    let signed = matches!(dtype, Dtype::I4 | Dtype::I2);
    let each =
        packed.iter().flat_map(|byte| (0..8 / bits).map(move |at| byte >> (at * bits) & ((1 << bits) - 1)));
    let shift = 8 - bits;
    each.take(count).map(|x| if signed { (((x << shift) as i8) >> shift) as u8 } else { x }).collect()
}
