//! Wire formats: what callers send becomes a batch, and a batch of predictions what they get back.
//!
//! A [`Manifest`] says what an ampoule takes and gives, a [`Batch`] is what crosses the sandbox's wall. [`Decoder`] reads
//! instances against a manifest's signature, and names the exact place of what it refuses. [`encode`] writes predictions.
//!
//! It knows neither sandboxes nor callers, and compiles for WebAssembly too: there it is the front of a portable ampoule.

mod batch;
mod column;
pub mod encode;
mod instances;
mod manifest;
pub mod media;
pub mod rows;

pub use batch::{Batch, Column, ColumnDtype, Failure, FailureFault, Media, Numeric, Values, types};
pub use column::{Scalar, column_dtype};
pub use instances::{Cell, Decoder, Filler, Request, RowValues, blob};
pub use manifest::{
    Agreement, Checked, Dim, Dtype, Field, Form, GraphFacts, GraphTensor, InvalidManifest, Manifest, is_name,
};

use std::fmt;

/// Input that is refused: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    /// Where the offending value stands, such as `instances[3][1]`; empty for the whole.
    pub path: String,
    /// What was expected and what came.
    pub why: String,
}

/// A stable word for each class of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text is no JSON.
    InvalidJson,
    /// The request is no object with `instances`.
    InvalidRequest,
    /// An instance doesn't match the signature.
    InvalidInstance,
    /// More instances or bytes than the limit.
    TooLarge,
}

impl Code {
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidInstance => "invalid_instance",
            Self::TooLarge => "too_large",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.why) } else { write!(f, "{}: {}", self.path, self.why) }
    }
}

impl std::error::Error for Refusal {}

/// At most this many characters of what came are shown.
const SHOWN: usize = 40;

/// A string as a message shows it: quoted, escaped, cut.
pub fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
