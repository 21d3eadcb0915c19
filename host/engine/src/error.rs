//! [`Error`]: what went wrong, and through [`ErrorKind`] whose fault it is.

use std::sync::Arc;

use tract_data::TractError;

/// Whose fault an [`Error`] is. The same call fails again in every case: no retry is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The caller's: a tensor, name or shape that the graph does not take.
    InvalidInput,
    /// The model's author's: the bytes are no ONNX model, or one that contradicts itself.
    InvalidModel,
    /// Nobody's: the model is fine, but needs what this engine does not have.
    Unsupported,
    /// This engine's.
    Internal,
}

/// The one error of this crate. `Display` says what this layer knows; `source()` what the layer below said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidModel, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn caused_by(mut self, cause: &(impl Cause + ?Sized)) -> Self {
        self.source = Some(cause.shared());
        self
    }
}

/// What may stand behind an [`Error`]: another one, or what tract said.
pub(crate) trait Cause {
    fn shared(&self) -> Arc<dyn std::error::Error + Send + Sync>;
}

impl Cause for Error {
    fn shared(&self) -> Arc<dyn std::error::Error + Send + Sync> {
        Arc::new(self.clone())
    }
}

impl Cause for TractError {
    /// Its chain of contexts in one line: the source of an `anyhow::Error` cannot be shared.
    fn shared(&self) -> Arc<dyn std::error::Error + Send + Sync> {
        Arc::new(Tract(format!("{self:#}")))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Tract(String);
