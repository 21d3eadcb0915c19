//! [`Dtype`]: the element types that a graph's inputs and outputs may have.

use std::fmt;

use tract_data::prelude::DatumType;

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
    /// The upper half of an f32; each operator computes in f32 and rounds its result
    Bf16,
    F32,
    F64,
    /// A float of 4 exponent and 3 mantissa bits without infinity (ONNX `FLOAT8E4M3FN`)
    F8E4M3,
    /// As `F8E4M3` with one zero, one NaN and another bias (`FLOAT8E4M3FNUZ`)
    F8E4M3Fnuz,
    /// A float of 5 exponent and 2 mantissa bits (`FLOAT8E5M2`)
    F8E5M2,
    /// As `F8E5M2` with one zero, one NaN and without infinity (`FLOAT8E5M2FNUZ`)
    F8E5M2Fnuz,
    /// A power of two (`FLOAT8E8M0`)
    F8E8M0,
    /// A float of 2 exponent bits and 1 mantissa bit; one element takes a byte
    F4E2M1,
    /// One element takes a byte, of which the upper bits repeat or are zero; also the next three
    I4,
    U4,
    I2,
    U2,
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
            Self::F8E4M3 => "f8e4m3",
            Self::F8E4M3Fnuz => "f8e4m3fnuz",
            Self::F8E5M2 => "f8e5m2",
            Self::F8E5M2Fnuz => "f8e5m2fnuz",
            Self::F8E8M0 => "f8e8m0",
            Self::F4E2M1 => "f4e2m1",
            Self::I4 => "i4",
            Self::U4 => "u4",
            Self::I2 => "i2",
            Self::U2 => "u2",
            Self::String => "string",
        }
    }

    /// Bytes of one element; 0 for [`Dtype::String`], whose elements differ.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::String => 0,
            Self::Bool | Self::U8 | Self::I8 | Self::I4 | Self::U4 | Self::I2 | Self::U2 => 1,
            Self::F8E4M3
            | Self::F8E4M3Fnuz
            | Self::F8E5M2
            | Self::F8E5M2Fnuz
            | Self::F8E8M0
            | Self::F4E2M1 => 1,
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
            Self::Bf16 | Self::I4 | Self::U4 | Self::I2 | Self::U2 => return None,
            Self::F8E4M3
            | Self::F8E4M3Fnuz
            | Self::F8E5M2
            | Self::F8E5M2Fnuz
            | Self::F8E8M0
            | Self::F4E2M1 => {
                return None;
            }
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

    /// tract's name for what holds the bits: its own dtype, or an integer where it has none.
    pub(crate) fn storage(self) -> DatumType {
        match self {
            Self::Bf16 => DatumType::U16,
            Self::I4 | Self::I2 => DatumType::I8,
            _ => self.to_tract().unwrap_or(DatumType::U8),
        }
    }

    /// Whether it is a floating-point number, of whatever width.
    pub(crate) fn is_float(self) -> bool {
        self.name().starts_with(['f', 'b']) && self != Self::Bool
    }

    /// From the number in a `TensorProto.DataType` field; `None` for complex numbers and for what came after ONNX 1.23.
    pub(crate) fn from_onnx(number: i32) -> Option<Self> {
        ONNX.iter().find(|(code, _)| *code == number).map(|(_, dtype)| *dtype)
    }

    /// The number in a `TensorProto.DataType` field.
    pub(crate) fn to_onnx(self) -> i32 {
        ONNX.iter().find(|(_, dtype)| *dtype == self).map_or(0, |(code, _)| *code)
    }
}

/// ONNX's `TensorProto.DataType`, without complex numbers.
const ONNX: [(i32, Dtype); 24] = [
    (1, Dtype::F32),
    (2, Dtype::U8),
    (3, Dtype::I8),
    (4, Dtype::U16),
    (5, Dtype::I16),
    (6, Dtype::I32),
    (7, Dtype::I64),
    (8, Dtype::String),
    (9, Dtype::Bool),
    (10, Dtype::F16),
    (11, Dtype::F64),
    (12, Dtype::U32),
    (13, Dtype::U64),
    (16, Dtype::Bf16),
    (17, Dtype::F8E4M3),
    (18, Dtype::F8E4M3Fnuz),
    (19, Dtype::F8E5M2),
    (20, Dtype::F8E5M2Fnuz),
    (21, Dtype::U4),
    (22, Dtype::I4),
    (23, Dtype::F4E2M1),
    (24, Dtype::F8E8M0),
    (25, Dtype::U2),
    (26, Dtype::I2),
];

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
