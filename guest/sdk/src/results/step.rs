//! [`Step`]: one line of a manifest's result pipeline.

use serde::{Deserialize, Serialize};

use super::{Argmax, Labels, ProbabilityMap, Round, Sigmoid, Softmax, Threshold, TopK};
use crate::table::{Cast, Drop, Rename, Select, Table};
use crate::{Failure, Fault};

/// One step, written as an object with the step's name as its only key:
/// `{"softmax": {"output": "logits"}}`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Softmax(Softmax),
    Sigmoid(Sigmoid),
    Argmax(Argmax),
    TopK(TopK),
    Threshold(Threshold),
    Labels(Labels),
    ProbabilityMap(ProbabilityMap),
    Round(Round),
    Select(Select),
    Rename(Rename),
    Drop(Drop),
    /// A value that can't be cast is the model's failure here.
    Cast(Cast),
}

/// Runs `$body` with `$step` bound to whichever step is there.
macro_rules! each {
    ($self:expr, $step:ident => $body:expr) => {
        match $self {
            Self::Softmax($step) => $body,
            Self::Sigmoid($step) => $body,
            Self::Argmax($step) => $body,
            Self::TopK($step) => $body,
            Self::Threshold($step) => $body,
            Self::Labels($step) => $body,
            Self::ProbabilityMap($step) => $body,
            Self::Round($step) => $body,
            Self::Select($step) => $body,
            Self::Rename($step) => $body,
            Self::Drop($step) => $body,
            Self::Cast($step) => $body,
        }
    };
}

impl Step {
    /// Finds the faults that the configuration shows without any output. Call it once, at load.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure that names the step, the field and what was expected.
    pub fn check(&self) -> Result<(), Failure> {
        each!(self, step => step.check())
    }

    /// Applies the step to the outputs of every instance.
    ///
    /// # Errors
    /// [`Fault::Model`](crate::Fault::Model) where the outputs don't have the names, dtypes, shapes or
    /// values that the configuration needs; it names the instance where a value is at fault.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        each!(self, step => step.apply(table)).map_err(|failure| Failure { fault: Fault::Model, ..failure })
    }
}
