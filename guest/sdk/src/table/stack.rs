//! [`Stack`]: many columns as one model input.

use serde::{Deserialize, Serialize};

use super::choose::check_columns;
use super::number::{Number, convert, range_of, with_number, zeros};
use super::{Missing, Table, cell, fault, real, width};
use crate::{Dtype, Failure, Tensor};

/// Puts columns side by side into one column `[N, F]`, which stands behind the columns that are left.
///
/// A column `[N]` gives one feature, a column `[N, …]` its elements in row-major order; features are
/// in the order of `columns`. Values change dtype as by [`Cast`](super::Cast). The columns are taken away.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stack {
    /// Each once.
    pub columns: Vec<String>,
    /// The new column; one of `columns` is a good name too.
    pub name: String,
    /// Any numeric one; `f32` unless said.
    #[serde(default = "single")]
    pub dtype: Dtype,
    /// NaN. `keep` needs a float dtype.
    #[serde(default)]
    pub missing: Missing,
}

fn single() -> Dtype {
    Dtype::F32
}

impl Stack {
    /// # Errors
    /// A model failure for no columns, a column named twice, strings, or `keep` with a dtype without NaN.
    pub fn check(&self) -> Result<(), Failure> {
        check_columns("stack", &self.columns)?;
        match (self.dtype, self.missing) {
            (Dtype::String, _) => self.not_numeric(),
            (Dtype::F16 | Dtype::F32 | Dtype::F64, _) | (_, Missing::Error) => Ok(()),
            (dtype, Missing::Keep) => {
                Err(fault("stack", "missing = \"keep\"").expected("f16, f32 or f64").actual(dtype.name()))
            }
        }
    }

    /// # Errors
    /// A caller failure for a value that the dtype can't hold; a model failure where a column isn't
    /// there or isn't numeric, or the name is taken.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        with_number!(self.dtype, T => self.stack::<T>(table), self.not_numeric())
    }

    fn stack<T: Number>(&self, table: &mut Table) -> Result<(), Failure> {
        let (mut places, mut next) = (Vec::with_capacity(self.columns.len()), 0);
        for name in &self.columns {
            let place = table.position(name, next)?;
            next = place + 1;
            let tensor = table.at(place).1;
            if tensor.dtype() == Dtype::String {
                return Err(real::strings(name, tensor));
            }
            places.push(place);
        }
        let stacked = self.side_by_side::<T>(table, &places)?;
        places.sort_unstable();
        let mut place = 0..;
        table.columns.retain(|_| place.next().is_none_or(|place| places.binary_search(&place).is_err()));
        table.insert(self.name.as_str(), stacked)
    }

    fn side_by_side<T: Number>(&self, table: &Table, places: &[usize]) -> Result<Tensor, Failure> {
        // Few enough rows that their features stay in the cache while column after column is written.
        const BLOCK: usize = 256;
        let rows = table.rows();
        let widths = places.iter().map(|&place| width(table.at(place).1));
        let features = widths.fold(0usize, usize::saturating_add);
        let mut items: Vec<T> = zeros(rows.checked_mul(features))?;
        for (block, out) in items.chunks_mut(BLOCK.saturating_mul(features).max(1)).enumerate() {
            let (first, count) = (block * BLOCK, out.len() / features.max(1));
            let mut offset = 0;
            for &place in places {
                let (name, tensor) = table.at(place);
                let width = width(tensor);
                let (mut at, mut within) = (offset, 0);
                convert(tensor.elements(), first * width..(first + count) * width, self.missing, |item| {
                    out[at + within] = item;
                    within += 1;
                    if within == width {
                        (at, within) = (at + features, 0);
                    }
                })
                .map_err(|index| cell(name, tensor, index).expected(range_of(self.dtype)))?;
                offset += width;
            }
        }
        Tensor::from_elements(&[rows, features], T::wrap(items))
    }

    fn not_numeric(&self) -> Result<(), Failure> {
        Err(fault("stack", "dtype").expected("a numeric one").actual(self.dtype.name()))
    }
}
