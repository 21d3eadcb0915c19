//! [`Cast`]: the same values under another dtype.

use serde::{Deserialize, Serialize};

use super::choose::check_columns;
use super::number::{Number, convert, range_of, text, with_number};
use super::{Missing, Table, cell, fault};
use crate::{Dtype, Elements, Failure, Tensor};

/// Gives columns of any shape another dtype, value by value.
///
/// A value goes through exactly or the call fails: `1.5` is no `i64`, `300` no `u8`, `16777217` no
/// `f32`. One thing is rounded, to the nearest: a float that becomes a narrower float, as long as it
/// stays finite; infinities stay.
///
/// Text becomes a number where it is one in decimal notation, with blanks around it or not (`12`,
/// `-0.5`, `1e3`); for `bool` also `true` and `false`. `nan`, `inf` and the empty text are no numbers. A number
/// becomes the shortest text that reads back as itself: `3` from an integer, `3.0` from a float,
/// `true` from a bool.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cast {
    /// Each once.
    pub columns: Vec<String>,
    pub dtype: Dtype,
    /// NaN and missing text. `keep` needs `f16`, `f32`, `f64` or `string`.
    #[serde(default)]
    pub missing: Missing,
}

impl Cast {
    /// # Errors
    /// A model failure for no columns, a column named twice, or `keep` with a dtype that has no missing value.
    pub fn check(&self) -> Result<(), Failure> {
        check_columns("cast", &self.columns)?;
        let can_miss = matches!(self.dtype, Dtype::F16 | Dtype::F32 | Dtype::F64 | Dtype::String);
        if self.missing == Missing::Keep && !can_miss {
            return Err(fault("cast", "missing = \"keep\"")
                .expected("f16, f32, f64 or string")
                .actual(self.dtype.name()));
        }
        Ok(())
    }

    /// # Errors
    /// A caller failure for a value that the dtype can't hold, a model failure for a column that isn't there.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        table.map_features(&self.columns, |name, tensor, _| {
            if tensor.dtype() == self.dtype && self.missing == Missing::Keep {
                return Ok(None);
            }
            cast(tensor, self.dtype, self.missing)
                .map(Some)
                .map_err(|index| cell(name, tensor, index).expected(range_of(self.dtype)))
        })?;
        Ok(())
    }
}

/// The elements under another dtype.
///
/// # Errors
/// The index of the first element that `dtype` can't hold.
fn cast(tensor: &Tensor, dtype: Dtype, missing: Missing) -> Result<Elements, usize> {
    let elements = tensor.elements();
    with_number!(dtype, T => numbers::<T>(elements, missing), strings(elements, missing))
}

fn numbers<T: Number>(elements: &Elements, missing: Missing) -> Result<Elements, usize> {
    let mut items = Vec::with_capacity(elements.len());
    if let Elements::String(texts) = elements {
        for (index, text) in texts.iter().enumerate() {
            let item = match text {
                Some(text) => parse::<T>(text),
                None if missing == Missing::Keep => T::from_f64(f64::NAN),
                None => None,
            };
            items.push(item.ok_or(index)?);
        }
    } else {
        convert(elements, 0..elements.len(), missing, |item: T| items.push(item))?;
    }
    Ok(T::wrap(items))
}

fn strings(elements: &Elements, missing: Missing) -> Result<Elements, usize> {
    let texts: Vec<_> = (0..elements.len()).map(|index| text(elements, index)).collect();
    match texts.iter().position(Option::is_none) {
        Some(index) if missing == Missing::Error => Err(index),
        _ => Ok(Elements::String(texts)),
    }
}

fn parse<T: Number>(text: &str) -> Option<T> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return T::from_i64(whole);
    }
    let number = || text.parse::<f64>().ok().filter(|value| value.is_finite()).and_then(T::from_f64);
    T::from_word(text).or_else(number)
}
