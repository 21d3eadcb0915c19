//! [`Step`]: one line of a manifest's table pipeline.

use serde::{Deserialize, Serialize};

use super::{
    Bin, Cast, Clip, Drop, Impute, Log1p, MinMax, OneHot, Ordinal, Rename, Select, Stack, Standardise, Table,
};
use crate::Failure;

/// One step, written as an object with the step's name as its only key:
/// `{"drop": {"columns": ["id"]}}`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Select(Select),
    Rename(Rename),
    Drop(Drop),
    Impute(Impute),
    Cast(Cast),
    Standardise(Standardise),
    MinMax(MinMax),
    #[serde(rename = "log1p")]
    Log1p(Log1p),
    Clip(Clip),
    Bin(Bin),
    OneHot(OneHot),
    Ordinal(Ordinal),
    Stack(Stack),
}

/// Runs `$body` with `$step` bound to whichever step is there.
macro_rules! each {
    ($self:expr, $step:ident => $body:expr) => {
        match $self {
            Self::Select($step) => $body,
            Self::Rename($step) => $body,
            Self::Drop($step) => $body,
            Self::Impute($step) => $body,
            Self::Cast($step) => $body,
            Self::Standardise($step) => $body,
            Self::MinMax($step) => $body,
            Self::Log1p($step) => $body,
            Self::Clip($step) => $body,
            Self::Bin($step) => $body,
            Self::OneHot($step) => $body,
            Self::Ordinal($step) => $body,
            Self::Stack($step) => $body,
        }
    };
}

impl Step {
    /// Finds the faults that the configuration shows without any instance. Call it once, at load.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure that names the step, the field and what was expected.
    pub fn check(&self) -> Result<(), Failure> {
        each!(self, step => step.check())
    }

    /// Applies the step to every instance of `table`.
    ///
    /// # Errors
    /// [`Fault::Caller`](crate::Fault::Caller) where a value can't go through the step: it names the
    /// instance, the column and the value. [`Fault::Model`](crate::Fault::Model) where the columns
    /// don't have the names, dtypes or shapes that the configuration needs.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        each!(self, step => step.apply(table))
    }
}

/// What a step does with a missing value: NaN in a float column, `none` in a string column.
/// Integers and bools have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The call fails and names instance and column.
    #[default]
    Error,
    /// It stays missing.
    Keep,
}
