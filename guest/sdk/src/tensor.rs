//! [`Tensor`]: a dense, row-major array that knows its dtype and shape.

use std::fmt;

use crate::Failure;

/// The element type of a [`Tensor`] or of a manifest's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
    /// IEEE 754 binary16, kept as its bits
    F16,
    F32,
    F64,
    String,
}

impl Dtype {
    /// The name that manifests and messages use, such as `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::String => "string",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The elements of a [`Tensor`], row-major: the last axis varies fastest.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    Bool(Vec<bool>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F16(Vec<u16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// `None` is a missing value.
    String(Vec<Option<String>>),
}

/// Runs `$body` with `$items` bound to the vector of whichever dtype is there.
macro_rules! each {
    ($elements:expr, $items:ident => $body:expr) => {
        match $elements {
            Elements::Bool($items) => $body,
            Elements::U8($items) => $body,
            Elements::I8($items) => $body,
            Elements::I16($items) => $body,
            Elements::I32($items) => $body,
            Elements::I64($items) => $body,
            Elements::F16($items) => $body,
            Elements::F32($items) => $body,
            Elements::F64($items) => $body,
            Elements::String($items) => $body,
        }
    };
}

impl Elements {
    pub fn len(&self) -> usize {
        each!(self, items => items.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Bool(_) => Dtype::Bool,
            Self::U8(_) => Dtype::U8,
            Self::I8(_) => Dtype::I8,
            Self::I16(_) => Dtype::I16,
            Self::I32(_) => Dtype::I32,
            Self::I64(_) => Dtype::I64,
            Self::F16(_) => Dtype::F16,
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
            Self::String(_) => Dtype::String,
        }
    }
}

/// A dense array: elements in row-major order and the size of each axis.
///
/// The number of elements is always the product of the shape; an empty shape is one element.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    elements: Elements,
}

/// A Rust type that a [`Tensor`] can hold.
pub trait Element: Sized + Copy {
    const DTYPE: Dtype;
    #[doc(hidden)]
    fn wrap(items: Vec<Self>) -> Elements;
    #[doc(hidden)]
    fn of(elements: &Elements) -> Option<&[Self]>;
}

macro_rules! element {
    ($($type:ty => $variant:ident),*) => {$(
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$variant;
            fn wrap(items: Vec<Self>) -> Elements {
                Elements::$variant(items)
            }
            fn of(elements: &Elements) -> Option<&[Self]> {
                match elements {
                    Elements::$variant(items) => Some(items),
                    _ => None,
                }
            }
        }
    )*};
}
element!(bool => Bool, u8 => U8, i8 => I8, i16 => I16, i32 => I32, i64 => I64, f32 => F32, f64 => F64);

impl Tensor {
    /// A tensor of `items` in row-major order.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the shape's product is not the number of items.
    pub fn new<T: Element>(shape: &[usize], items: Vec<T>) -> Result<Self, Failure> {
        Self::from_elements(shape, T::wrap(items))
    }

    /// The same for elements whose dtype is known at run time only.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_elements(shape: &[usize], elements: Elements) -> Result<Self, Failure> {
        let count = shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
        if count != Some(elements.len()) {
            return Err(Failure::model(format!("a tensor of shape {shape:?} can't hold these elements"))
                .expected(count.map_or("fewer".to_owned(), |count| format!("{count} elements")))
                .actual(format!("{} elements", elements.len())));
        }
        Ok(Self { shape: shape.to_vec(), elements })
    }

    /// The size of each axis, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn dtype(&self) -> Dtype {
        self.elements.dtype()
    }

    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    pub fn into_elements(self) -> Elements {
        self.elements
    }

    /// The size of the first axis, which counts instances; 0 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// The elements as `T`, row-major.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure that names both dtypes where they differ.
    pub fn items<T: Element>(&self) -> Result<&[T], Failure> {
        T::of(&self.elements).ok_or_else(|| {
            Failure::model("a tensor has another dtype").expected(T::DTYPE.name()).actual(self.to_string())
        })
    }

    /// The elements as `f32`, whatever numeric dtype they have.
    /// `f16` is widened exactly; 64-bit values are rounded to the nearest `f32`.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure for strings.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "rounding is what the doc promises"
    )]
    pub fn to_f32(&self) -> Result<Vec<f32>, Failure> {
        Ok(match &self.elements {
            Elements::Bool(items) => items.iter().map(|&item| f32::from(u8::from(item))).collect(),
            Elements::U8(items) => items.iter().map(|&item| f32::from(item)).collect(),
            Elements::I8(items) => items.iter().map(|&item| f32::from(item)).collect(),
            Elements::I16(items) => items.iter().map(|&item| f32::from(item)).collect(),
            Elements::I32(items) => items.iter().map(|&item| item as f32).collect(),
            Elements::I64(items) => items.iter().map(|&item| item as f32).collect(),
            Elements::F16(items) => items.iter().map(|&bits| f16_to_f32(bits)).collect(),
            Elements::F32(items) => items.clone(),
            Elements::F64(items) => items.iter().map(|&item| item as f32).collect(),
            Elements::String(_) => {
                return Err(Failure::model("a tensor of strings is no number")
                    .expected("a number")
                    .actual("string"));
            }
        })
    }

    /// The same elements under another shape of equal size.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn reshaped(self, shape: &[usize]) -> Result<Self, Failure> {
        Self::from_elements(shape, self.elements)
    }
}

/// `f32[2, 3]`, as error messages name a tensor.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype(), self.shape)
    }
}

/// Widens IEEE 754 binary16 bits; exact for every value, infinities and NaN included.
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match (exponent, fraction) {
        (0, 0) => f32::from_bits(sign),
        // Subnormal: fraction × 2^-24, which f32 holds exactly. Fractions are below 2^10.
        (0, fraction) => {
            let magnitude =
                f32::from(u16::try_from(fraction).expect("ten bits fit in sixteen")) * 2f32.powi(-24);
            f32::from_bits(sign | magnitude.to_bits())
        }
        (0x1f, fraction) => f32::from_bits(sign | 0x7f80_0000 | (fraction << 13)),
        (exponent, fraction) => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_does_not_match_is_refused_with_both_counts() {
        let failure = Tensor::new(&[2, 3], vec![0f32; 5]).expect_err("five are not six");
        assert_eq!(failure.expected.as_deref(), Some("6 elements"));
        assert_eq!(failure.actual.as_deref(), Some("5 elements"));
    }

    #[test]
    fn a_shape_whose_product_overflows_is_refused() {
        assert!(Tensor::new(&[usize::MAX, 2], Vec::<u8>::new()).is_err());
    }

    #[test]
    fn half_precision_widens_exactly() {
        for (bits, expected) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(f16_to_f32(bits), expected, "{bits:#06x}");
        }
        assert!(f16_to_f32(0x7e00).is_nan());
    }
}
