//! [`Select`], [`Rename`] and [`Drop`]: which columns there are, how they are called, in which order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Table, fault};
use crate::Failure;

/// Keeps the named columns, in this order, and drops the others.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Select {
    /// Each once. A column that isn't there is a failure.
    pub columns: Vec<String>,
}

impl Select {
    /// # Errors
    /// A model failure where there are no columns or one is named twice.
    pub fn check(&self) -> Result<(), Failure> {
        check_columns("select", &self.columns)
    }

    /// # Errors
    /// A model failure where a column isn't there or is named twice.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        for (place, name) in self.columns.iter().enumerate() {
            let found = table.position(name, place)?;
            if found < place {
                return Err(twice("select", name));
            }
            table.columns.swap(place, found);
        }
        table.columns.truncate(self.columns.len());
        Ok(())
    }
}

/// Gives columns other names; their order stays.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rename {
    /// From the present name to the new one. All at once: `{"a": "b", "b": "a"}` swaps two names.
    pub columns: BTreeMap<String, String>,
}

impl Rename {
    /// # Errors
    /// A model failure where two columns get the same name.
    pub fn check(&self) -> Result<(), Failure> {
        let mut names: Vec<&String> = self.columns.values().collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(twice("rename", pair[0])),
            None => Ok(()),
        }
    }

    /// # Errors
    /// A model failure where a column isn't there or a new name is taken.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        for from in self.columns.keys() {
            table.position(from, 0)?;
        }
        for column in &mut table.columns {
            if let Some(to) = self.columns.get(&column.name) {
                column.name.clone_from(to);
            }
        }
        for to in self.columns.values() {
            if table.columns.iter().filter(|column| column.name == *to).count() > 1 {
                return Err(twice("rename", to));
            }
        }
        Ok(())
    }
}

/// Removes the named columns; the others keep their order.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drop {
    /// Each once. A column that isn't there is a failure.
    pub columns: Vec<String>,
}

impl Drop {
    /// # Errors
    /// A model failure where there are no columns or one is named twice.
    pub fn check(&self) -> Result<(), Failure> {
        check_columns("drop", &self.columns)
    }

    /// # Errors
    /// A model failure where a column isn't there.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        for name in &self.columns {
            table.take(name)?;
        }
        Ok(())
    }
}

/// There are columns, and each is named once.
pub(super) fn check_columns(step: &str, columns: &[String]) -> Result<(), Failure> {
    if columns.is_empty() {
        return Err(fault(step, "columns").expected("at least one name").actual("none"));
    }
    let mut names: Vec<&String> = columns.iter().collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(twice(step, pair[0])),
        None => Ok(()),
    }
}

fn twice(step: &str, name: &str) -> Failure {
    fault(step, "columns").expected("each name once").actual(format!("{name:?} twice"))
}
