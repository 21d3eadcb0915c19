//! [`Table`]: named columns of one batch, and the steps that turn a caller's columns into a model's inputs.
//!
//! A pipeline is a list of [`Step`]s, as a manifest writes it. The flow enters at [`Step::apply`];
//! each step's own type says which shapes and dtypes it takes and what it does with a missing value.
//!
//! ```
//! use ampoule_guest::Tensor;
//! use ampoule_guest::table::{Step, Table};
//!
//! let steps: Vec<Step> = serde_json::from_str(
//!     r#"[
//!         {"standardise": {"columns": ["age"], "mean": [40.0], "scale": [10.0]}},
//!         {"one-hot": {"column": "plan", "categories": ["basic", "pro"]}},
//!         {"stack": {"columns": ["age", "plan"], "name": "features", "dtype": "f32"}}
//!     ]"#,
//! )?;
//! let plan = ["pro", "basic"].map(|plan| Some(plan.to_owned())).to_vec();
//! let mut table = Table::new();
//! table.insert("age", Tensor::new(&[2], vec![25i64, 50])?)?;
//! table.insert("plan", Tensor::from_elements(&[2], ampoule_guest::Elements::String(plan))?)?;
//! for step in &steps {
//!     step.check()?;
//!     step.apply(&mut table)?;
//! }
//! assert_eq!(table.get("features")?.items::<f32>()?, [-1.5, 0.0, 1.0, 1.0, 1.0, 0.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Not guaranteed
//! After a failure the table holds the columns of some moment within the step; drop it.
//! Steps never fit anything: every number comes from the configuration.

mod cast;
mod category;
mod choose;
mod encode;
mod impute;
mod limit;
pub(crate) mod number;
pub(crate) mod real;
mod scale;
mod stack;
mod step;

use std::ops::Range;

pub use cast::Cast;
pub use category::Scalar;
pub use choose::{Drop, Rename, Select};
pub use encode::{OneHot, OneHotForm, OneHotMissing, Ordinal, OrdinalOther, Unknown};
pub use impute::Impute;
pub use limit::{Bin, Clip, Log1p};
pub use scale::{MinMax, Standardise};
pub use stack::Stack;
pub use step::{Missing, Step};

use crate::{Elements, Failure, Tensor};

/// Named columns in order. Each is a [`Tensor`] whose first axis counts the same instances;
/// names are unique.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: String,
    tensor: Tensor,
}

impl Table {
    /// A table without columns, and so without instances.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table of `columns` in this order.
    ///
    /// # Errors
    /// As [`Table::insert`].
    pub fn from_columns(columns: impl IntoIterator<Item = (String, Tensor)>) -> Result<Self, Failure> {
        let mut table = Self::new();
        for (name, tensor) in columns {
            table.insert(name, tensor)?;
        }
        Ok(table)
    }

    /// The number of instances; 0 where there are no columns.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.tensor.rows())
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The columns in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.columns.iter().map(|column| (column.name.as_str(), &column.tensor))
    }

    /// The columns in order, taken out of the table.
    pub fn into_columns(self) -> impl ExactSizeIterator<Item = (String, Tensor)> {
        self.columns.into_iter().map(|column| (column.name, column.tensor))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }

    /// The column `name`.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure that names the columns that are there.
    pub fn get(&self, name: &str) -> Result<&Tensor, Failure> {
        Ok(&self.columns[self.position(name, 0)?].tensor)
    }

    /// Removes the column `name` and returns it; the others keep their order.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub fn take(&mut self, name: &str) -> Result<Tensor, Failure> {
        let index = self.position(name, 0)?;
        Ok(self.columns.remove(index).tensor)
    }

    /// Adds a column behind the others.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the name is taken, the tensor is a
    /// scalar, or its first axis isn't the table's number of instances.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Result<(), Failure> {
        let name = name.into();
        if self.contains(&name) {
            return Err(Failure::model(format!("column {name:?} is there already")));
        }
        let rows = self.columns.first().map(|column| column.tensor.rows());
        Self::fits(&name, &tensor, rows)?;
        self.columns.push(Column { name, tensor });
        Ok(())
    }

    /// Puts `tensor` in the place of the column `name`, or behind the others where there is none.
    ///
    /// # Errors
    /// As [`Table::insert`], but a name may be taken.
    pub fn replace(&mut self, name: &str, tensor: Tensor) -> Result<(), Failure> {
        match self.columns.iter().position(|column| column.name == name) {
            Some(index) => self.set(index, tensor),
            None => self.insert(name, tensor),
        }
    }

    /// Where the column `name` stands. The search begins at `from`: steps mostly name columns in order.
    pub(crate) fn position(&self, name: &str, from: usize) -> Result<usize, Failure> {
        let (before, after) = self.columns.split_at(from.min(self.columns.len()));
        let found = after.iter().position(|column| column.name == name).map(|index| before.len() + index);
        found
            .or_else(|| before.iter().position(|column| column.name == name))
            .ok_or_else(|| self.absent(name))
    }

    fn absent(&self, name: &str) -> Failure {
        const SHOWN: usize = 8;
        let mut names: Vec<_> =
            self.columns.iter().take(SHOWN).map(|column| format!("{:?}", column.name)).collect();
        if self.columns.len() > SHOWN {
            names.push(format!("{} more", self.columns.len() - SHOWN));
        }
        let actual = if names.is_empty() { "no columns".to_owned() } else { names.join(", ") };
        Failure::model("a column isn't there").expected(format!("{name:?}")).actual(actual)
    }

    pub(crate) fn at(&self, index: usize) -> (&str, &Tensor) {
        let column = &self.columns[index];
        (&column.name, &column.tensor)
    }

    /// Puts `tensor` in the place of column `index`. A table of one column may change its rows.
    pub(crate) fn set(&mut self, index: usize, tensor: Tensor) -> Result<(), Failure> {
        let other = usize::from(index == 0);
        let rows = self.columns.get(other).map(|column| column.tensor.rows());
        Self::fits(&self.columns[index].name, &tensor, rows)?;
        self.columns[index].tensor = tensor;
        Ok(())
    }

    /// Puts `tensors` in the place of column `index`, in their order.
    pub(crate) fn expand(
        &mut self,
        index: usize,
        tensors: impl IntoIterator<Item = Result<(String, Tensor), Failure>>,
    ) -> Result<(), Failure> {
        let behind = self.columns.split_off(index + 1);
        self.columns.truncate(index);
        for column in tensors {
            let (name, tensor) = column?;
            self.insert(name, tensor)?;
        }
        behind.into_iter().try_for_each(|column| self.insert(column.name, column.tensor))
    }

    fn fits(name: &str, tensor: &Tensor, rows: Option<usize>) -> Result<(), Failure> {
        if tensor.shape().is_empty() {
            return Err(Failure::model(format!("column {name:?} is a scalar"))
                .expected("a first axis that counts instances")
                .actual(tensor.to_string()));
        }
        match rows {
            Some(rows) if rows != tensor.rows() => {
                Err(Failure::model(format!("column {name:?} has another number of instances"))
                    .expected(rows.to_string())
                    .actual(tensor.rows().to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Gives each of `columns` new elements of the same shape. A column's features are counted on
    /// from the column before: `map` gets the column's name, its tensor and its features' range.
    /// `None` leaves the column as it is. Returns the number of features.
    pub(crate) fn map_features(
        &mut self,
        columns: &[String],
        mut map: impl FnMut(&str, &Tensor, Range<usize>) -> Result<Option<Elements>, Failure>,
    ) -> Result<usize, Failure> {
        let (mut next, mut features) = (0, 0usize);
        for name in columns {
            let index = self.position(name, next)?;
            next = index + 1;
            let tensor = &self.columns[index].tensor;
            let end = features.saturating_add(width(tensor));
            if let Some(elements) = map(name, tensor, features..end)? {
                self.columns[index].tensor = Tensor::from_elements(tensor.shape(), elements)?;
            }
            features = end;
        }
        Ok(features)
    }
}

/// The features of a column: how many elements one instance has. 1 for shape `[N]`.
pub(crate) fn width(tensor: &Tensor) -> usize {
    // A tensor without instances may have any other axes: their product isn't checked anywhere.
    tensor.shape().iter().skip(1).fold(1, |product, &axis| product.saturating_mul(axis))
}

/// A failure of the caller that names the instance and the column (and which of its features, where
/// it has several) of the element `index`.
pub(crate) fn cell(name: &str, tensor: &Tensor, index: usize) -> Failure {
    let width = width(tensor).max(1);
    let feature = if width == 1 { String::new() } else { format!("[{}]", index % width) };
    Failure::caller(format!("column {name:?}{feature}"))
        .actual(number::shown(tensor.elements(), index))
        .at(index / width)
}

/// A failure of the configuration: `field` of a step holds what can't work.
pub(crate) fn fault(step: &str, field: &str) -> Failure {
    Failure::model(format!("step {step:?}: {field}"))
}
