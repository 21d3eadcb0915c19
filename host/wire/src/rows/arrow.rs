//! RowValues of Arrow columns: what they are to a signature, and as text.

use std::borrow::Cow;

use crate::Dtype;
use arrow_array::cast::AsArray as _;
use arrow_array::types as t;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, StructArray};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Refusal, RowValues, Scalar};

/// One value of a column.
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    /// An `f32`: its shortest text is another than that of the same number as `f64`.
    Single(f32),
    Float(f64),
    Text(&'a str),
    /// A date or a time, as ISO 8601 writes them, with a space between the two.
    Time(String),
    /// All digits of a decimal.
    Decimal(String),
    Bytes(&'a [u8]),
    List(ArrayRef),
    Struct(&'a StructArray, usize),
    /// What [`may_be_shown`] doesn't let in.
    Other,
}

/// Value `index` of `array`.
pub(super) fn value(array: &dyn Array, index: usize) -> Value<'_> {
    if array.is_null(index) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(index)),
        DataType::Int8 => Value::Signed(primitive::<t::Int8Type>(array, index).into()),
        DataType::Int16 => Value::Signed(primitive::<t::Int16Type>(array, index).into()),
        DataType::Int32 => Value::Signed(primitive::<t::Int32Type>(array, index).into()),
        DataType::Int64 => Value::Signed(primitive::<t::Int64Type>(array, index)),
        DataType::UInt8 => Value::Unsigned(primitive::<t::UInt8Type>(array, index).into()),
        DataType::UInt16 => Value::Unsigned(primitive::<t::UInt16Type>(array, index).into()),
        DataType::UInt32 => Value::Unsigned(primitive::<t::UInt32Type>(array, index).into()),
        DataType::UInt64 => Value::Unsigned(primitive::<t::UInt64Type>(array, index)),
        DataType::Float16 => Value::Single(primitive::<t::Float16Type>(array, index).to_f32()),
        DataType::Float32 => Value::Single(primitive::<t::Float32Type>(array, index)),
        DataType::Float64 => Value::Float(primitive::<t::Float64Type>(array, index)),
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(index)),
        DataType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(index)),
        DataType::Utf8View => Value::Text(array.as_string_view().value(index)),
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(index)),
        DataType::LargeBinary => Value::Bytes(array.as_binary::<i64>().value(index)),
        DataType::BinaryView => Value::Bytes(array.as_binary_view().value(index)),
        DataType::FixedSizeBinary(_) => Value::Bytes(array.as_fixed_size_binary().value(index)),
        DataType::Decimal32(..) => {
            Value::Decimal(array.as_primitive::<t::Decimal32Type>().value_as_string(index))
        }
        DataType::Decimal64(..) => {
            Value::Decimal(array.as_primitive::<t::Decimal64Type>().value_as_string(index))
        }
        DataType::Decimal128(..) => {
            Value::Decimal(array.as_primitive::<t::Decimal128Type>().value_as_string(index))
        }
        DataType::Decimal256(..) => {
            Value::Decimal(array.as_primitive::<t::Decimal256Type>().value_as_string(index))
        }
        DataType::Date32 => shown(array.as_primitive::<t::Date32Type>().value_as_date(index), ""),
        DataType::Date64 => shown(array.as_primitive::<t::Date64Type>().value_as_date(index), ""),
        DataType::Time32(TimeUnit::Second) => {
            shown(array.as_primitive::<t::Time32SecondType>().value_as_time(index), "")
        }
        DataType::Time32(_) => {
            shown(array.as_primitive::<t::Time32MillisecondType>().value_as_time(index), "")
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            shown(array.as_primitive::<t::Time64NanosecondType>().value_as_time(index), "")
        }
        DataType::Time64(_) => {
            shown(array.as_primitive::<t::Time64MicrosecondType>().value_as_time(index), "")
        }
        DataType::Timestamp(unit, zone) => {
            // With a zone, the value is in universal time.
            let zone = if zone.is_some() { "+00:00" } else { "" };
            match unit {
                TimeUnit::Second => {
                    shown(array.as_primitive::<t::TimestampSecondType>().value_as_datetime(index), zone)
                }
                TimeUnit::Millisecond => {
                    shown(array.as_primitive::<t::TimestampMillisecondType>().value_as_datetime(index), zone)
                }
                TimeUnit::Microsecond => {
                    shown(array.as_primitive::<t::TimestampMicrosecondType>().value_as_datetime(index), zone)
                }
                TimeUnit::Nanosecond => {
                    shown(array.as_primitive::<t::TimestampNanosecondType>().value_as_datetime(index), zone)
                }
            }
        }
        DataType::List(_) => Value::List(array.as_list::<i32>().value(index)),
        DataType::LargeList(_) => Value::List(array.as_list::<i64>().value(index)),
        DataType::FixedSizeList(..) => Value::List(array.as_fixed_size_list().value(index)),
        DataType::Map(..) => {
            let entries: StructArray = array.as_map().value(index);
            Value::List(std::sync::Arc::new(entries))
        }
        DataType::Struct(_) => Value::Struct(array.as_struct(), index),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = match value(dictionary.keys(), index) {
                Value::Signed(key) => usize::try_from(key).ok(),
                Value::Unsigned(key) => usize::try_from(key).ok(),
                _ => None,
            };
            key.map_or(Value::Null, |key| value(dictionary.values().as_ref(), key))
        }
        _ => Value::Other,
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, index: usize) -> T::Native {
    array.as_primitive::<T>().value(index)
}

/// A date or time; one that no calendar has is null.
fn shown<'a>(time: Option<impl std::fmt::Display>, zone: &str) -> Value<'a> {
    time.map_or(Value::Null, |time| Value::Time(format!("{time}{zone}")))
}

/// Whether values of a column may become an input of `dtype` within `rank` arrays.
///
/// Numbers become floats (rounded to the nearest), and integers where they are whole; truth values
/// stay such; texts, dates, times and decimals become strings. Numbers are not made of texts, nor
/// texts of other numbers. A dictionary is as its values are, and nulls are missing values.
pub(super) fn may_become(from: &DataType, dtype: Dtype, rank: usize) -> bool {
    match from {
        DataType::Null => true,
        DataType::Dictionary(_, values) => may_become(values, dtype, rank),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            rank > 0 && may_become(item.data_type(), dtype, rank - 1)
        }
        _ if rank > 0 => false,
        DataType::Boolean => dtype == Dtype::Bool,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => dtype == Dtype::String,
        DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => dtype == Dtype::String,
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => dtype != Dtype::Bool,
        from => from.is_numeric() && !matches!(dtype, Dtype::Bool | Dtype::String),
    }
}

/// Gives a value to input `input` of `dtype`, within `axis` arrays.
pub(super) fn give(
    values: &mut RowValues<'_, '_>,
    (input, dtype): (usize, Dtype),
    axis: usize,
    given: &Value<'_>,
) -> Result<(), Refusal> {
    let scalar = match given {
        Value::List(items) => {
            return values.array(input, axis, items.len(), |values, index| {
                give(values, (input, dtype), axis + 1, &value(items.as_ref(), index))
            });
        }
        Value::Null => Scalar::Null,
        Value::Bool(truth) => Scalar::Bool(*truth),
        Value::Signed(number) => Scalar::Signed(*number),
        Value::Unsigned(number) => Scalar::Unsigned(*number),
        Value::Single(number) if number.is_nan() => Scalar::Float(f64::NAN),
        Value::Single(number) => Scalar::Float(f64::from(*number)),
        Value::Float(number) => Scalar::Float(*number),
        Value::Text(text) => Scalar::Text(text),
        Value::Time(text) => Scalar::Text(text),
        Value::Decimal(text) if dtype == Dtype::String => Scalar::Text(text),
        Value::Decimal(text) => match whole(text) {
            Some(whole) => Scalar::Signed(whole),
            None => Scalar::Float(text.parse().unwrap_or(f64::NAN)),
        },
        Value::Bytes(_) | Value::Struct(..) | Value::Other => Scalar::Text("a nested value"),
    };
    values.scalar(input, axis, scalar)
}

/// A decimal without a fraction.
fn whole(text: &str) -> Option<i64> {
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole.parse().ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Whether JSON and CSV can show values of this type.
pub(super) fn may_be_shown(from: &DataType) -> bool {
    match from {
        DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Union(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::RunEndEncoded(..) => false,
        DataType::Dictionary(_, values) => may_be_shown(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => may_be_shown(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| may_be_shown(field.data_type())),
        _ => true,
    }
}

/// Appends a value as JSON. NaN and infinities are null, bytes are `{"b64": …}`, decimals are
/// numbers with all their digits.
pub(super) fn push_json(given: &Value<'_>, out: &mut String) {
    let text = |text: &str, out: &mut String| out.push_str(&serde_json::Value::from(text).to_string());
    match given {
        Value::Null | Value::Other => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Signed(number) => out.push_str(&number.to_string()),
        Value::Unsigned(number) => out.push_str(&number.to_string()),
        Value::Single(number) => push_number(number.is_finite(), number, out),
        Value::Float(number) => push_number(number.is_finite(), number, out),
        Value::Text(given) => text(given, out),
        Value::Time(given) => text(given, out),
        Value::Decimal(digits) => out.push_str(digits),
        Value::Bytes(bytes) => {
            out.push_str("{\"b64\":\"");
            STANDARD.encode_string(bytes, out);
            out.push_str("\"}");
        }
        Value::List(items) => {
            out.push('[');
            for index in 0..items.len() {
                if index > 0 {
                    out.push(',');
                }
                push_json(&value(items.as_ref(), index), out);
            }
            out.push(']');
        }
        Value::Struct(columns, index) => {
            out.push('{');
            for (number, (field, column)) in columns.fields().iter().zip(columns.columns()).enumerate() {
                if number > 0 {
                    out.push(',');
                }
                text(field.name(), out);
                out.push(':');
                push_json(&value(column.as_ref(), *index), out);
            }
            out.push('}');
        }
    }
}

fn push_number(finite: bool, number: &impl serde::Serialize, out: &mut String) {
    match serde_json::to_string(number) {
        Ok(digits) if finite => out.push_str(&digits),
        _ => out.push_str("null"),
    }
}

/// A value as the cell of a table: nothing for null, text as it is, and JSON for what is nested.
pub(super) fn cell<'a>(given: &Value<'a>) -> Cow<'a, str> {
    match given {
        Value::Null => Cow::Borrowed(""),
        Value::Text(text) => Cow::Borrowed(text),
        Value::Time(text) | Value::Decimal(text) => Cow::Owned(text.clone()),
        Value::Single(number) if !number.is_finite() => Cow::Owned(number.to_string()),
        Value::Float(number) if !number.is_finite() => Cow::Owned(number.to_string()),
        Value::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
        other => {
            let mut json = String::new();
            push_json(other, &mut json);
            Cow::Owned(json)
        }
    }
}
