//! [`Failure`]: why there is no prediction, and whose fault that is.

use std::fmt;

/// Whose fault a [`Failure`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The instances or the parameters can't be predicted; the same call will fail again.
    Caller,
    /// The sealed model can't do what its manifest says; the caller did nothing wrong.
    Model,
}

/// Why there is no prediction.
///
/// The message is one sentence for a person, lower case, without a full stop. What was expected
/// and what came stand beside it in the same unit, so that a caller's program can show them.
///
/// ```
/// use ampoule_guest::Failure;
/// let failure = Failure::caller("the picture has the wrong number of bands")
///     .expected("4 bands")
///     .actual("3 bands")
///     .at(2);
/// assert_eq!(
///     failure.to_string(),
///     "instance 2: the picture has the wrong number of bands: expected 4 bands, got 3 bands"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub fault: Fault,
    /// The instance at fault, counted from zero.
    pub instance: Option<u32>,
    pub message: String,
    pub expected: Option<String>,
    pub actual: Option<String>,
}

impl Failure {
    /// A failure that another call can avoid: the instances or parameters are wrong.
    pub fn caller(message: impl Into<String>) -> Self {
        Self::new(Fault::Caller, message.into())
    }

    /// A failure of what is sealed: the manifest, the graph or the predictor.
    pub fn model(message: impl Into<String>) -> Self {
        Self::new(Fault::Model, message.into())
    }

    fn new(fault: Fault, message: String) -> Self {
        Self { fault, instance: None, message, expected: None, actual: None }
    }

    /// Says what was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says what came instead.
    #[must_use]
    pub fn actual(mut self, actual: impl Into<String>) -> Self {
        self.actual = Some(actual.into());
        self
    }

    /// Names the instance at fault, counted from zero; one that is named already stays.
    #[must_use]
    pub fn at(mut self, instance: usize) -> Self {
        self.instance = self.instance.or(u32::try_from(instance).ok());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(instance) = self.instance {
            write!(f, "instance {instance}: ")?;
        }
        f.write_str(&self.message)?;
        match (&self.expected, &self.actual) {
            (Some(expected), Some(actual)) => write!(f, ": expected {expected}, got {actual}"),
            (Some(expected), None) => write!(f, ": expected {expected}"),
            (None, Some(actual)) => write!(f, ": got {actual}"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
