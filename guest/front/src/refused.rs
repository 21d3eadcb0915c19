//! [`Refused`]: no prediction, and why, in the words of HTTP's answers.

use ampoule_wire::{Code, Failure, FailureFault, Refusal};

pub struct Refused {
    pub status: u16,
    pub code: &'static str,
    /// Where the value at fault stands; empty for the whole.
    pub path: String,
    /// The path and what is wrong there.
    pub message: String,
}

impl Refused {
    /// The predictor doesn't keep to the contract.
    pub fn broken(why: &str) -> Self {
        Self {
            status: 500,
            code: "guest_contract",
            path: String::new(),
            message: format!("predictor: {why}"),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let status = if refusal.code == Code::TooLarge { 413 } else { 400 };
        Self { status, code: refusal.code.name(), message: refusal.to_string(), path: refusal.path }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let path = failure.instance.map(|instance| format!("instances[{instance}]")).unwrap_or_default();
        let (status, code) = match failure.fault {
            FailureFault::Caller => (422, "invalid_instance"),
            FailureFault::Model => (500, "model_failure"),
        };
        Self { status, code, path, message: failure.describe() }
    }
}
