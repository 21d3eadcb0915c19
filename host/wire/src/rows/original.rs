//! [`Original`]: a row as it came, for the outputs that repeat it.

use std::sync::Arc;

#[cfg(feature = "parquet")]
use arrow_array::RecordBatch;

use super::{Header, InstanceConfig, Record};

/// Whether rows are kept as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// They are; and so their fields may be chosen from.
    Originals(InstanceConfig),
}

impl Keep {
    pub(super) fn config(&self) -> InstanceConfig {
        match self {
            Self::Nothing => InstanceConfig::default(),
            Self::Originals(config) => config.clone(),
        }
    }
}

/// A row as it came.
#[derive(Clone, Debug)]
pub enum Original {
    /// It could not be held: it is too long, or no text.
    Lost,
    /// One line, or one element: mostly a JSON value, and text in any case.
    Json(String),
    Record(Arc<Header>, Record),
    /// A row of columns, by its index.
    #[cfg(feature = "parquet")]
    Columns(Arc<RecordBatch>, usize),
    /// The object that is the instance.
    Name(String),
}
