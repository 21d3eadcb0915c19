//! [`Dtype`]: the element types that a graph's inputs and outputs may have.

use std::fmt;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::DatumType;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// One byte, 0 or 1
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    /// IEEE 754 binary16
    F16,
    /// The upper half of an f32; models may declare it, this engine does not run it
    Bf16,
    F32,
    F64,
    /// UTF-8 of any length; has no byte form, see [`Tensor::strings`](crate::Tensor::strings)
    String,
}

impl Dtype {
    /// The name that manifests and messages use, such as `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::String => "string",
        }
    }

    /// Bytes of one element; 0 for [`Dtype::String`], whose elements differ.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::String => 0,
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// tract's name for it, where tract has it.
    pub(crate) fn to_tract(self) -> Option<DatumType> {
        Some(match self {
            Self::Bool => DatumType::Bool,
            Self::U8 => DatumType::U8,
            Self::I8 => DatumType::I8,
            Self::U16 => DatumType::U16,
            Self::I16 => DatumType::I16,
            Self::U32 => DatumType::U32,
            Self::I32 => DatumType::I32,
            Self::U64 => DatumType::U64,
            Self::I64 => DatumType::I64,
            Self::F16 => DatumType::F16,
            Self::Bf16 => return None,
            Self::F32 => DatumType::F32,
            Self::F64 => DatumType::F64,
            Self::String => DatumType::String,
        })
    }

    pub(crate) fn from_tract(datum: DatumType) -> Option<Self> {
        Some(match datum {
            DatumType::Bool => Self::Bool,
            DatumType::U8 => Self::U8,
            DatumType::I8 => Self::I8,
            DatumType::U16 => Self::U16,
            DatumType::I16 => Self::I16,
            DatumType::U32 => Self::U32,
            DatumType::I32 => Self::I32,
            DatumType::U64 => Self::U64,
            DatumType::I64 => Self::I64,
            DatumType::F16 => Self::F16,
            DatumType::F32 => Self::F32,
            DatumType::F64 => Self::F64,
            DatumType::String => Self::String,
            _ => return None,
        })
    }

    /// From the number in a `TensorProto.DataType` field; `None` for what wasm and our tensors cannot carry
    /// (complex numbers, 8-bit and 4-bit floats).
    pub(crate) fn from_onnx(number: i32) -> Option<Self> {
        Some(match DataType::try_from(number).ok()? {
            DataType::Bool => Self::Bool,
            DataType::Uint8 => Self::U8,
            DataType::Int8 => Self::I8,
            DataType::Uint16 => Self::U16,
            DataType::Int16 => Self::I16,
            DataType::Uint32 => Self::U32,
            DataType::Int32 => Self::I32,
            DataType::Uint64 => Self::U64,
            DataType::Int64 => Self::I64,
            DataType::Float16 => Self::F16,
            DataType::Bfloat16 => Self::Bf16,
            DataType::Float => Self::F32,
            DataType::Double => Self::F64,
            DataType::String => Self::String,
            _ => return None,
        })
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
