//! Wire formats: what callers send becomes a batch, and a batch of predictions what they get back.
//!
//! [`Decoder`] reads instances against a signature, and names the exact place of what it refuses.
//! [`encode`] writes predictions. Files of instances are read by [`crate::rows`].

mod column;
pub mod encode;
mod instances;
pub mod media;

pub use column::{Scalar, column_dtype};
pub use instances::{Cell, Decoder, Filler, Request, Values, blob};

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
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
