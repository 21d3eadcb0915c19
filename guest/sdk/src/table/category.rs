//! [`Scalar`]: one value of a configuration; and the search for a column's values among categories.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::number::whole;
use super::{fault, width};
use crate::{Elements, Failure, Tensor, f16_to_f32};

/// One value as a manifest writes it: `null`, `true`, `3`, `0.5` or `"text"`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A missing value.
    None,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Scalar {
    /// The value as a number, bools as 0 and 1, integers rounded to the nearest; `None` for text and
    /// missing values.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            Self::None | Self::Text(_) => None,
        }
    }

    /// Text as it is, anything else as JSON would write it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// As JSON would write it, but for NaN and infinities.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}

/// What one value of a column is among the categories.
#[derive(Clone, Copy)]
pub(super) enum Found {
    At(usize),
    Unknown,
    /// NaN or `none`, and `null` is no category.
    Missing,
}

/// Calls `found` for every instance of a column `[N]` or `[N, 1]`, in order.
///
/// `found` is no type parameter: eleven dtypes times those of the result made a fifth of the small predictor's code.
///
/// # Errors
/// A model failure for another shape, for text categories of a numeric column and the reverse; and
/// what `found` returns.
pub(super) fn search(
    step: &str,
    name: &str,
    tensor: &Tensor,
    categories: &[Scalar],
    found: &mut dyn FnMut(usize, Found) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if width(tensor) != 1 {
        return Err(Failure::model(format!("column {name:?}"))
            .expected(format!("one value per instance for step {step:?}"))
            .actual(tensor.to_string()));
    }
    let missing = categories.iter().position(is_missing).map_or(Found::Missing, Found::At);
    let of_another_kind = |scalar: &Scalar| {
        fault(step, "categories")
            .expected(format!("values of column {name:?}, {}", tensor.dtype()))
            .actual(scalar.to_string())
    };
    if let Elements::String(items) = tensor.elements() {
        let mut keys = Keys::new(items.len());
        for (index, category) in categories.iter().enumerate() {
            match category {
                Scalar::Text(text) => keys.add(text.as_str(), index),
                Scalar::None => {}
                other => return Err(of_another_kind(other)),
            }
        }
        keys.sort();
        return items
            .iter()
            .enumerate()
            .try_for_each(|(row, item)| found(row, item.as_deref().map_or(missing, |text| keys.find(text))));
    }
    let rounded: fn(f64) -> f64 = match tensor.elements() {
        Elements::F32(_) | Elements::F16(_) => |value| f64::from(value as f32),
        _ => |value| value,
    };
    let mut keys = Keys::new(tensor.rows());
    for (index, category) in categories.iter().enumerate() {
        match category {
            _ if is_missing(category) => {}
            Scalar::Integer(value) => keys.add(Key::Whole(*value), index),
            other => keys.add(Key::of(rounded(other.number().ok_or_else(|| of_another_kind(other))?)), index),
        }
    }
    keys.sort();
    macro_rules! each {
        ($items:expr, $key:expr) => {
            $items.iter().enumerate().try_for_each(|(row, &item)| {
                let key: Option<Key> = $key(item);
                found(row, key.map_or(missing, |key| keys.find(key)))
            })
        };
    }
    let float = |value: f64| (!value.is_nan()).then(|| Key::of(value));
    match tensor.elements() {
        Elements::Bool(items) => each!(items, |item| Some(Key::Whole(i64::from(item)))),
        Elements::U8(items) => each!(items, |item| Some(Key::Whole(i64::from(item)))),
        Elements::I8(items) => each!(items, |item| Some(Key::Whole(i64::from(item)))),
        Elements::I16(items) => each!(items, |item| Some(Key::Whole(i64::from(item)))),
        Elements::I32(items) => each!(items, |item| Some(Key::Whole(i64::from(item)))),
        Elements::I64(items) => each!(items, |item| Some(Key::Whole(item))),
        Elements::F16(items) => each!(items, |bits| float(f64::from(f16_to_f32(bits)))),
        Elements::F32(items) => each!(items, |item| float(f64::from(item))),
        Elements::F64(items) => each!(items, float),
        Elements::String(_) => Ok(()),
    }
}

fn is_missing(category: &Scalar) -> bool {
    matches!(category, Scalar::None) || matches!(category, Scalar::Number(number) if number.is_nan())
}

/// A number that can be compared with others of any dtype: `1`, `1.0` and `true` are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Whole(i64),
    Bits(u64),
}

impl Key {
    fn of(value: f64) -> Self {
        whole(value).map_or(Self::Bits(value.to_bits()), Self::Whole)
    }
}

/// Categories to search: in order for few searches, sorted for many.
struct Keys<T> {
    items: Vec<(T, usize)>,
    searches: usize,
    sorted: bool,
}

impl<T: Ord + Copy> Keys<T> {
    fn new(searches: usize) -> Self {
        Self { items: Vec::new(), searches, sorted: false }
    }

    fn add(&mut self, key: T, index: usize) {
        self.items.push((key, index));
    }

    fn sort(&mut self) {
        const FEW: usize = 8;
        if self.searches > FEW && self.items.len() > FEW {
            self.items.sort_unstable();
            self.sorted = true;
        }
    }

    fn find(&self, key: T) -> Found {
        let place = match self.sorted {
            true => self.items.binary_search_by(|(other, _)| other.cmp(&key)).ok(),
            false => self.items.iter().position(|(other, _)| *other == key),
        };
        place.map_or(Found::Unknown, |place| Found::At(self.items[place].1))
    }
}

/// The categories are there, of one kind and each once.
pub(super) fn check_categories(step: &str, categories: &[Scalar]) -> Result<(), Failure> {
    if categories.is_empty() {
        return Err(fault(step, "categories").expected("at least one").actual("none"));
    }
    let texts = categories.iter().filter(|category| matches!(category, Scalar::Text(_))).count();
    let missing = categories.iter().filter(|category| is_missing(category)).count();
    if texts != 0 && texts + missing != categories.len() {
        return Err(fault(step, "categories").expected("all text or all numbers").actual("both"));
    }
    let mut sorted: Vec<(Option<Key>, Option<&str>)> = categories
        .iter()
        .map(|category| match category {
            Scalar::Text(text) => (None, Some(text.as_str())),
            Scalar::Integer(value) => (Some(Key::Whole(*value)), None),
            other if is_missing(other) => (None, None),
            other => (other.number().map(Key::of), None),
        })
        .collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(fault(step, "categories").expected("each once").actual("one twice"));
    }
    Ok(())
}
