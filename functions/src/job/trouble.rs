//! [`Trouble`]: why an object isn't done.

use ampoule_host::Fault;

use super::Outcome;
use crate::store::StoreError;

/// Why an object isn't done, and with it what comes next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is nothing to do.
    #[error("{0}")]
    Skipped(String),
    /// Another object has taken its place meanwhile.
    #[error("a newer upload replaced it")]
    Replaced,
    /// The object can't be predicted, now or later.
    #[error("{error}")]
    Refused { code: &'static str, stage: Stage, error: String },
    /// An object that isn't ours, or isn't what it should be, stands where the prediction belongs.
    #[error("{error}")]
    InTheWay { code: &'static str, error: String },
    /// What was read or written so far is void: the object may be done from its start.
    #[error("{0}")]
    Again(String),
    /// It may succeed another time.
    #[error("{0}")]
    Failed(String),
    /// No object can succeed.
    #[error("{0}")]
    Denied(String),
}

/// Where on its way an object was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Read,
    Predict,
    Write,
}

impl Trouble {
    /// What a store says of an input.
    pub fn of_input(cause: StoreError) -> Self {
        match cause {
            StoreError::NotFound { .. } => Self::Skipped("it is gone".to_owned()),
            StoreError::Changed { .. } => Self::Replaced,
            StoreError::Corrupt { .. } => Self::Again(cause.to_string()),
            StoreError::Unsupported { .. } => {
                Self::Refused { code: "unsupported_object", stage: Stage::Read, error: cause.to_string() }
            }
            StoreError::Denied { .. } => Self::Denied(cause.to_string()),
            _ => Self::Failed(cause.to_string()),
        }
    }

    /// What a store says of an output.
    pub fn of_output(cause: StoreError) -> Self {
        match cause {
            StoreError::Unsupported { .. } => {
                Self::InTheWay { code: "unsupported_output", error: cause.to_string() }
            }
            StoreError::Denied { .. } => Self::Denied(cause.to_string()),
            _ => Self::Failed(cause.to_string()),
        }
    }

    /// What becomes of an object that meets it.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Skipped(why) => Outcome::Skipped { why },
            Self::Replaced => Outcome::Skipped { why: self.to_string() },
            Self::Refused { code, error, .. } | Self::InTheWay { code, error } => {
                Outcome::Refused { code, error }
            }
            Self::Again(error) | Self::Failed(error) => Outcome::Failed { error },
            Self::Denied(error) => Outcome::Denied { error },
        }
    }
}

impl From<ampoule_host::Error> for Trouble {
    fn from(error: ampoule_host::Error) -> Self {
        let kind = error.kind();
        let text = chain(&error);
        match kind.fault {
            _ if kind.retry => Self::Failed(text),
            Fault::Host => Self::Denied(text),
            Fault::Caller | Fault::Model => {
                Self::Refused { code: error.code(), stage: Stage::Predict, error: text }
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}
