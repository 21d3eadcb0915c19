//! [`OneHot`] and [`Ordinal`]: categories as numbers.

use serde::{Deserialize, Serialize};

use super::category::{Found, check_categories, search};
use super::number::{Number, with_number, zeros};
use super::{Scalar, Table, cell, fault};
use crate::{Dtype, Failure, Tensor};

/// One element per category, 1 where the value is that category and 0 elsewhere, as
/// scikit-learn's `OneHotEncoder`.
///
/// Takes a column `[N]` or `[N, 1]` of any dtype. Numbers are equal as numbers: the category `1`
/// is `1.0` and `true` too; for `f32` columns categories are rounded to `f32` first. Text is compared
/// byte by byte, without trimming or Unicode normalisation.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OneHot {
    pub column: String,
    /// In the order of the result's elements (`categories_`): all text or all numbers, and at most
    /// one `null`, which makes missing values a category.
    pub categories: Vec<Scalar>,
    /// A value that is no category.
    #[serde(default)]
    pub unknown: Unknown,
    /// A missing value, unless `null` is a category.
    #[serde(default)]
    pub missing: OneHotMissing,
    /// The index of the category that gets no element (`drop_idx_`).
    #[serde(default)]
    pub drop: Option<usize>,
    #[serde(default)]
    pub output: OneHotForm,
    /// The dtype of the result, any numeric one; `f32` unless said.
    #[serde(default = "single")]
    pub dtype: Dtype,
}

/// What [`OneHot`] does with a value that is no category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// The call fails and names instance, column and value.
    #[default]
    Error,
    /// Every element is 0.
    Ignore,
}

/// What [`OneHot`] does with a missing value that is no category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OneHotMissing {
    /// The call fails and names instance and column.
    #[default]
    Error,
    /// Every element is 0.
    Ignore,
}

/// The columns that [`OneHot`] makes in the place of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OneHotForm {
    /// One column `[N, K]` under the same name.
    #[default]
    Vector,
    /// One column `[N]` per category, named `column_category` as scikit-learn does: `plan_pro`.
    Columns,
}

fn single() -> Dtype {
    Dtype::F32
}

impl OneHot {
    /// # Errors
    /// A model failure for categories that are none, doubled or of two kinds, a `drop` beyond them,
    /// or a dtype that isn't numeric.
    pub fn check(&self) -> Result<(), Failure> {
        const STEP: &str = "one-hot";
        check_categories(STEP, &self.categories)?;
        numeric(STEP, self.dtype)?;
        match self.drop {
            Some(drop) if drop >= self.categories.len() => Err(fault(STEP, "drop")
                .expected(format!("an index below {}", self.categories.len()))
                .actual(drop.to_string())),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// A caller failure for an unknown or a missing value, unless ignored; a model failure where the
    /// column isn't there, is of another kind than the categories, or a name is taken.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        with_number!(self.dtype, T => self.encode::<T>(table), numeric("one-hot", self.dtype))
    }

    fn encode<T: Number>(&self, table: &mut Table) -> Result<(), Failure> {
        let index = table.position(&self.column, 0)?;
        let (name, tensor) = table.at(index);
        let (rows, drop) = (tensor.rows(), self.drop.unwrap_or(usize::MAX));
        let kept = self.categories.len() - usize::from(drop < self.categories.len());
        let one = T::from_i64(1).unwrap_or_default();
        let mut items: Vec<T> = zeros(rows.checked_mul(kept))?;
        search("one-hot", name, tensor, &self.categories, &mut |row, found| {
            match found {
                Found::At(category) if category == drop => {}
                Found::At(category) => {
                    let element = category - usize::from(category > drop);
                    items[match self.output {
                        OneHotForm::Vector => row * kept + element,
                        OneHotForm::Columns => element * rows + row,
                    }] = one;
                }
                Found::Unknown if self.unknown == Unknown::Ignore => {}
                Found::Missing if self.missing == OneHotMissing::Ignore => {}
                Found::Unknown | Found::Missing => {
                    return Err(cell(name, tensor, row).expected(listed(&self.categories)));
                }
            }
            Ok(())
        })?;
        if self.output == OneHotForm::Vector {
            return table.set(index, Tensor::from_elements(&[rows, kept], T::wrap(items))?);
        }
        let categories = self.categories.iter().enumerate().filter(|&(category, _)| category != drop);
        table.expand(
            index,
            categories.enumerate().map(|(element, (_, category))| {
                let name = format!("{}_{}", self.column, category.text());
                let items = items[element * rows..(element + 1) * rows].to_vec();
                Ok((name, Tensor::from_elements(&[rows], T::wrap(items))?))
            }),
        )
    }
}

/// The index of a value's category, as scikit-learn's `OrdinalEncoder`.
///
/// Takes a column `[N]` or `[N, 1]`, which keeps its shape and place; values are compared as by [`OneHot`].
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ordinal {
    pub column: String,
    /// The first is 0 (`categories_`). As for [`OneHot`], but `null` is better left out: what a missing
    /// value becomes is for `missing` to say.
    pub categories: Vec<Scalar>,
    /// A value that is no category.
    #[serde(default)]
    pub unknown: OrdinalOther,
    /// A missing value, unless `null` is a category.
    #[serde(default)]
    pub missing: OrdinalOther,
    /// The dtype of the result, any numeric one that holds every index; `f32` unless said.
    #[serde(default = "single")]
    pub dtype: Dtype,
}

/// What [`Ordinal`] does with a value that has no index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrdinalOther {
    /// The call fails and names instance, column and value.
    #[default]
    Error,
    /// It becomes this number, `{"value": -1}`; `{"value": null}` is NaN and needs a float dtype.
    Value(Option<f64>),
}

impl Ordinal {
    /// # Errors
    /// A model failure for categories that are none, doubled or of two kinds, or a dtype that can't
    /// hold an index or a value.
    pub fn check(&self) -> Result<(), Failure> {
        const STEP: &str = "ordinal";
        check_categories(STEP, &self.categories)?;
        with_number!(self.dtype, T => {
            self.other::<T>("unknown", self.unknown)?;
            self.other::<T>("missing", self.missing)?;
            self.codes::<T>().map(|_| ())
        }, numeric(STEP, self.dtype))
    }

    /// # Errors
    /// A caller failure for an unknown or a missing value, unless it has a value; a model failure where
    /// the column isn't there or is of another kind than the categories.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        with_number!(self.dtype, T => self.encode::<T>(table), numeric("ordinal", self.dtype))
    }

    fn encode<T: Number>(&self, table: &mut Table) -> Result<(), Failure> {
        let unknown: Option<T> = self.other("unknown", self.unknown)?;
        let missing: Option<T> = self.other("missing", self.missing)?;
        let codes = self.codes::<T>()?;
        let index = table.position(&self.column, 0)?;
        let (name, tensor) = table.at(index);
        let mut items = Vec::with_capacity(tensor.rows());
        search("ordinal", name, tensor, &self.categories, &mut |row, found| {
            let code = match found {
                Found::At(category) => Some(codes[category]),
                Found::Unknown => unknown,
                Found::Missing => missing,
            };
            items.push(code.ok_or_else(|| cell(name, tensor, row).expected(listed(&self.categories)))?);
            Ok(())
        })?;
        let encoded = Tensor::from_elements(tensor.shape(), T::wrap(items))?;
        table.set(index, encoded)
    }

    fn codes<T: Number>(&self) -> Result<Vec<T>, Failure> {
        let code = |index: usize| i64::try_from(index).ok().and_then(T::from_i64);
        (0..self.categories.len()).map(code).collect::<Option<_>>().ok_or_else(|| {
            fault("ordinal", "dtype")
                .expected(format!("one that holds 0..{}", self.categories.len()))
                .actual(self.dtype.name())
        })
    }

    fn other<T: Number>(&self, field: &str, other: OrdinalOther) -> Result<Option<T>, Failure> {
        let OrdinalOther::Value(value) = other else { return Ok(None) };
        match T::from_f64(value.unwrap_or(f64::NAN)) {
            Some(value) => Ok(Some(value)),
            None => Err(fault("ordinal", field)
                .expected(format!("a value of {}", self.dtype))
                .actual(value.map_or("null".to_owned(), |value| value.to_string()))),
        }
    }
}

fn numeric(step: &str, dtype: Dtype) -> Result<(), Failure> {
    match dtype {
        Dtype::String => Err(fault(step, "dtype").expected("a numeric one").actual(dtype.name())),
        _ => Ok(()),
    }
}

/// `one of "a", "b"`, cut after a few.
fn listed(categories: &[Scalar]) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<_> = categories.iter().take(SHOWN).map(Scalar::to_string).collect();
    if categories.len() > SHOWN {
        names.push(format!("{} more", categories.len() - SHOWN));
    }
    format!("one of {}", names.join(", "))
}
