//! How a process ended.

use std::fmt;

use super::Payload;
use crate::limits::LimitExceeded;

/// How a process ended. Published exactly once, after the resources of the process are gone.
///
/// ```
/// use wippy::process::{Exit, Payload};
///
/// let exit = Exit::Returned(Payload::Int(42));
/// assert!(exit.is_normal());
/// assert_eq!(exit.to_string(), "returned 42");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Exit {
    /// The function returned; [`Payload::Nil`] when it has no result.
    Returned(Payload),
    /// The guest ended itself with this code (`wasi:cli/exit`, `proc_exit`), or it is a command that ran to its end.
    Exited(u32),
    /// The guest trapped.
    Trapped(Trap),
    /// A configured limit was exceeded.
    LimitExceeded(LimitExceeded),
    /// The process was asked to end and did.
    Cancelled {
        /// Why, in the words of who asked.
        reason: String,
    },
    /// The process was ended by force: wherever it was, and also when it was over but its output had not left yet, which
    /// is lost then.
    Terminated,
    /// The process could not start, or the host failed it.
    Failed(Failure),
}

impl Exit {
    /// True when the process did what it was made for: it returned, or it exited with code 0.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Returned(_) | Self::Exited(0))
    }
}

impl Exit {
    /// What the process returned, nil for a command that ended with code 0; every other end is an error.
    ///
    /// ```
    /// use wippy::process::Exit;
    ///
    /// fn sum() -> Result<i64, Box<dyn std::error::Error>> {
    ///     let exit = Exit::Returned(42.into()); // of `ProcessHandle::wait`
    ///     Ok(exit.into_result()?.as_i64().ok_or("no number")?)
    /// }
    /// assert_eq!(sum().ok(), Some(42));
    /// assert_eq!(Exit::Exited(3).into_result(), Err(Exit::Exited(3)));
    /// ```
    ///
    /// # Errors
    /// The exit itself.
    pub fn into_result(self) -> Result<Payload, Self> {
        match self {
            Self::Returned(value) => Ok(value),
            Self::Exited(0) => Ok(Payload::Nil),
            exit => Err(exit),
        }
    }
}

/// Where a value was wanted.
impl std::error::Error for Exit {}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(value) => write!(f, "returned {value}"),
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Trapped(trap) => write!(f, "trapped: {}", trap.message),
            Self::LimitExceeded(limit) => limit.fmt(f),
            Self::Cancelled { reason } => write!(f, "cancelled: {reason}"),
            Self::Terminated => f.write_str("terminated"),
            Self::Failed(failure) => write!(f, "failed: {}", failure.message),
        }
    }
}

/// A trap with what is known of its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What went wrong, in the engine's words.
    pub message: String,
    /// The wasm frames, innermost first, one a line; empty when unknown.
    pub backtrace: Vec<String>,
}

/// A failure that is not the guest's trap.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// What happened, with entry, expectation and next step.
    pub message: String,
    /// Of an error object of a script what it holds: a map of `kind`, `message` and perhaps `retryable` and `details`. Nil for
    /// everything else.
    pub error: Payload,
}

impl Failure {
    /// A failure of this kind with this text.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), error: Payload::Nil }
    }

    /// The failure with the error object that it came from.
    #[cfg(feature = "lua")]
    #[must_use]
    pub(crate) fn of_error(mut self, error: Payload) -> Self {
        self.error = error;
        self
    }
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The arguments do not fit the signature.
    Arguments,
    /// The module could not be instantiated.
    Instantiate,
    /// The guest called an import that its entry does not list, or that nobody serves.
    Import,
    /// The host code of the process panicked.
    Panic,
    /// A blocking wait was asked for on a worker, where it would wait for itself.
    Deadlock,
    /// A process that this one was linked with ended abnormally.
    LinkedProcess,
    /// The process that was asked for is not there: `noproc`.
    NoProcess,
    /// A script raised an error that nobody caught, or returned one.
    Script,
    /// The policies that it acts by do not allow what it needs to begin.
    PermissionDenied,
    /// Anything else on the host's side.
    Host,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_result_or_code_zero_is_normal() {
        assert!(Exit::Returned(Payload::Nil).is_normal());
        assert!(Exit::Exited(0).is_normal());
        assert!(!Exit::Exited(1).is_normal());
        assert!(!Exit::Terminated.is_normal());
        assert!(!Exit::Cancelled { reason: "stop".into() }.is_normal());
        assert!(!Exit::Trapped(Trap { message: "unreachable".into(), backtrace: vec![] }).is_normal());
    }

    #[test]
    fn every_exit_reads_as_a_sentence() {
        let limit = LimitExceeded::new("max_execution", "5s", "5.001s");
        assert_eq!(Exit::LimitExceeded(limit).to_string(), "limit `max_execution` exceeded: allowed 5s, used 5.001s");
        let failure = Failure::new(FailureKind::Host, "the disk is gone");
        assert_eq!(Exit::Failed(failure).to_string(), "failed: the disk is gone");
        assert_eq!(Exit::Cancelled { reason: "stop".into() }.to_string(), "cancelled: stop");
        assert_eq!(Exit::Exited(3).to_string(), "exited with code 3");
    }
}
