//! [`Exit`]: how a command ends, as its caller sees it.

use std::process::ExitCode;

use ampoule_host::Fault;

use ampoule_wire::Refusal;
use ampoule_wire::rows::RowsError;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all was done.
    Done,
    /// 1: the ampoule or the machine is at fault.
    Failed,
    /// 3: some or all inputs could not be predicted; the others were.
    Refused,
    /// 130: it was stopped.
    Stopped,
}

impl Exit {
    /// The exit of a command that ended in an error. (2, a wrong command line, is the parser's.)
    pub fn of(error: &anyhow::Error) -> Self {
        let caller = |cause: &(dyn std::error::Error + 'static)| {
            cause.is::<Refusal>()
                || matches!(cause.downcast_ref(), Some(RowsError::Broken(_)))
                || cause
                    .downcast_ref::<ampoule_host::Error>()
                    .is_some_and(|error| error.kind().fault == Fault::Caller)
        };
        if error.chain().any(caller) { Self::Refused } else { Self::Failed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Refused => 3,
            Exit::Stopped => 130,
        })
    }
}
