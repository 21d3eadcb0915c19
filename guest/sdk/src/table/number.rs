//! Conversions between the numeric dtypes that keep a value or refuse it.

use super::Missing;
use crate::{Dtype, Elements, Failure, f16_to_f32};

/// A Rust type that holds one element of a numeric dtype.
pub(crate) trait Number: Copy + Default {
    /// The same integer, or `None` where the type has no such value.
    fn from_i64(value: i64) -> Option<Self>;
    /// The same number for integers, the nearest one for floats; `None` where an integer type has no
    /// such value or a finite number lies beyond the greatest float.
    fn from_f64(value: f64) -> Option<Self>;
    /// What `true` and `false` are, for bools.
    fn from_word(_: &str) -> Option<Self> {
        None
    }
    fn wrap(items: Vec<Self>) -> Elements;
}

macro_rules! integers {
    ($($type:ty => $variant:ident),*) => {$(
        impl Number for $type {
            fn from_i64(value: i64) -> Option<Self> {
                Self::try_from(value).ok()
            }
            fn from_f64(value: f64) -> Option<Self> {
                whole(value).and_then(Self::from_i64)
            }
            fn wrap(items: Vec<Self>) -> Elements {
                Elements::$variant(items)
            }
        }
    )*};
}
integers!(u8 => U8, i8 => I8, i16 => I16, i32 => I32, i64 => I64);

impl Number for bool {
    fn from_i64(value: i64) -> Option<Self> {
        match value {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    fn from_f64(value: f64) -> Option<Self> {
        whole(value).and_then(Self::from_i64)
    }
    fn from_word(word: &str) -> Option<Self> {
        word.parse().ok()
    }
    fn wrap(items: Vec<Self>) -> Elements {
        Elements::Bool(items)
    }
}

impl Number for f64 {
    fn from_i64(value: i64) -> Option<Self> {
        let number = value as Self;
        (whole(number) == Some(value)).then_some(number)
    }
    fn from_f64(value: f64) -> Option<Self> {
        Some(value)
    }
    fn wrap(items: Vec<Self>) -> Elements {
        Elements::F64(items)
    }
}

impl Number for f32 {
    fn from_i64(value: i64) -> Option<Self> {
        let number = value as Self;
        (whole(f64::from(number)) == Some(value)).then_some(number)
    }
    fn from_f64(value: f64) -> Option<Self> {
        let number = value as Self;
        (number.is_finite() || !value.is_finite()).then_some(number)
    }
    fn wrap(items: Vec<Self>) -> Elements {
        Elements::F32(items)
    }
}

/// The bits of an IEEE 754 binary16.
#[derive(Clone, Copy, Default)]
pub(crate) struct Half(u16);

impl Number for Half {
    fn from_i64(value: i64) -> Option<Self> {
        let half = Self::from_f64(f64::from_i64(value)?)?;
        (whole(f64::from(f16_to_f32(half.0))) == Some(value)).then_some(half)
    }

    /// Rounds to nearest, ties to even, in one step: through `f32` a tie could be made where there is none.
    fn from_f64(value: f64) -> Option<Self> {
        let sign = u16::from(value.is_sign_negative()) << 15;
        let magnitude = value.abs();
        if value.is_nan() {
            return Some(Self(sign | 0x7e00));
        }
        if value.is_infinite() {
            return Some(Self(sign | 0x7c00));
        }
        // Half the step above the greatest value, 65504, already rounds to infinity.
        if magnitude >= 65520.0 {
            return None;
        }
        // The exponent of the last place: 2^-24 for subnormals, 2^(e-10) for 2^e <= magnitude < 2^(e+1).
        let exponent = (((magnitude.to_bits() >> 52) as i32) - 1023).max(-14);
        let steps = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as u16;
        // A normal number has 1024 ≤ steps ≤ 2048: its leading one adds into the exponent's field.
        let biased = (exponent + 14) as u16;
        Some(Self(sign | ((biased << 10) + steps)))
    }

    fn wrap(items: Vec<Self>) -> Elements {
        Elements::F16(items.into_iter().map(|half| half.0).collect())
    }
}

/// The integer that `value` is, where it is one within `i64`.
pub(crate) fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2^63
    ((-LIMIT..LIMIT).contains(&value) && value.trunc() == value).then_some(value as i64)
}

/// Runs `$body` with the type `$number` of a numeric dtype; `$string` for strings.
macro_rules! with_number {
    ($dtype:expr, $number:ident => $body:expr, $string:expr) => {{
        use $crate::table::number::Half;
        match $dtype {
            $crate::Dtype::Bool => {
                type $number = bool;
                $body
            }
            $crate::Dtype::U8 => {
                type $number = u8;
                $body
            }
            $crate::Dtype::I8 => {
                type $number = i8;
                $body
            }
            $crate::Dtype::I16 => {
                type $number = i16;
                $body
            }
            $crate::Dtype::I32 => {
                type $number = i32;
                $body
            }
            $crate::Dtype::I64 => {
                type $number = i64;
                $body
            }
            $crate::Dtype::F16 => {
                type $number = Half;
                $body
            }
            $crate::Dtype::F32 => {
                type $number = f32;
                $body
            }
            $crate::Dtype::F64 => {
                type $number = f64;
                $body
            }
            $crate::Dtype::String => $string,
        }
    }};
}
pub(crate) use with_number;

/// Hands the elements in `range` to `put` as `T`, one after the other.
///
/// # Errors
/// The index of the first element that `T` can't hold, or that is missing where `missing` says so.
/// Strings are refused too, all of them.
#[inline]
pub(crate) fn convert<T: Number>(
    elements: &Elements,
    range: std::ops::Range<usize>,
    missing: Missing,
    mut put: impl FnMut(T),
) -> Result<(), usize> {
    let start = range.start;
    let keep = missing == Missing::Keep;
    macro_rules! through {
        ($items:expr, $to:expr) => {{
            for (index, &item) in $items[range].iter().enumerate() {
                let to: fn(_) -> Option<T> = $to;
                put(to(item).ok_or(start + index)?);
            }
            Ok(())
        }};
    }
    macro_rules! floats {
        ($items:expr, $wide:expr) => {{
            for (index, &item) in $items[range].iter().enumerate() {
                let value: f64 = $wide(item);
                if value.is_nan() && !keep {
                    return Err(start + index);
                }
                put(T::from_f64(value).ok_or(start + index)?);
            }
            Ok(())
        }};
    }
    match elements {
        Elements::Bool(items) => through!(items, |item| T::from_i64(i64::from(item))),
        Elements::U8(items) => through!(items, |item| T::from_i64(i64::from(item))),
        Elements::I8(items) => through!(items, |item| T::from_i64(i64::from(item))),
        Elements::I16(items) => through!(items, |item| T::from_i64(i64::from(item))),
        Elements::I32(items) => through!(items, |item| T::from_i64(i64::from(item))),
        Elements::I64(items) => through!(items, |item| T::from_i64(item)),
        Elements::F16(items) => floats!(items, |bits| f64::from(f16_to_f32(bits))),
        Elements::F32(items) => floats!(items, f64::from),
        Elements::F64(items) => floats!(items, |item| item),
        Elements::String(_) => Err(start),
    }
}

/// What a cast to `dtype` takes, for messages.
pub(crate) fn range_of(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "0 or 1 (bool)",
        Dtype::U8 => "a whole number in 0..=255 (u8)",
        Dtype::I8 => "a whole number in -128..=127 (i8)",
        Dtype::I16 => "a whole number in -32768..=32767 (i16)",
        Dtype::I32 => "a whole number in -2147483648..=2147483647 (i32)",
        Dtype::I64 => "a whole number in -9223372036854775808..=9223372036854775807 (i64)",
        Dtype::F16 => "a number in -65504..=65504, integers exactly (f16)",
        Dtype::F32 => "a number in -3.4e38..=3.4e38, integers exactly (f32)",
        Dtype::F64 => "a number, integers exactly (f64)",
        Dtype::String => "a value",
    }
}

/// The element `index` as messages show it: text quoted and cut after 40 characters.
pub(crate) fn shown(elements: &Elements, index: usize) -> String {
    const CHARACTERS: usize = 40;
    match elements {
        Elements::String(items) => match items.get(index).and_then(Option::as_ref) {
            Some(text) if text.chars().count() > CHARACTERS => {
                format!("{:?}…", text.chars().take(CHARACTERS).collect::<String>())
            }
            Some(text) => format!("{text:?}"),
            None => "a missing value".to_owned(),
        },
        _ => text(elements, index).unwrap_or_else(|| "a missing value".to_owned()),
    }
}

/// A number as text: the shortest that reads back as the same value, floats with a point or an
/// exponent (`1.0`, `1e300`). `None` where it is missing.
pub(crate) fn text(elements: &Elements, index: usize) -> Option<String> {
    fn float(value: impl std::fmt::Debug, is_nan: bool) -> Option<String> {
        (!is_nan).then(|| format!("{value:?}"))
    }
    match elements {
        Elements::Bool(items) => items.get(index).map(ToString::to_string),
        Elements::U8(items) => items.get(index).map(ToString::to_string),
        Elements::I8(items) => items.get(index).map(ToString::to_string),
        Elements::I16(items) => items.get(index).map(ToString::to_string),
        Elements::I32(items) => items.get(index).map(ToString::to_string),
        Elements::I64(items) => items.get(index).map(ToString::to_string),
        Elements::F16(items) => {
            items.get(index).map(|&bits| f16_to_f32(bits)).and_then(|value| float(value, value.is_nan()))
        }
        Elements::F32(items) => items.get(index).and_then(|&value| float(value, value.is_nan())),
        Elements::F64(items) => items.get(index).and_then(|&value| float(value, value.is_nan())),
        Elements::String(items) => items.get(index).cloned().flatten(),
    }
}

/// `count` zeros, or a failure where the memory for them can't be had.
pub(crate) fn zeros<T: Number>(count: Option<usize>) -> Result<Vec<T>, Failure> {
    let mut items = Vec::new();
    match count {
        Some(count) if items.try_reserve_exact(count).is_ok() => {
            items.resize(count, T::default());
            Ok(items)
        }
        _ => Err(Failure::caller("a batch needs more memory than there is: send fewer instances")),
    }
}
