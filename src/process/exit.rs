//! How a process ended.

use super::Payload;

/// How a process ended. Published exactly once, after the resources of the process are gone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Exit {
    /// The function returned; [`Payload::Nil`] when it has no result.
    Returned(Payload),
    /// The guest asked to exit with this code (`wasi:cli/exit`, `proc_exit`).
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
    /// The process was ended by force.
    Terminated,
    /// The process could not start or the host failed it.
    Failed(Failure),
}

/// A trap with what is known of its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What went wrong, in the engine's words.
    pub message: String,
    /// The wasm frames, innermost first, one a line; empty when unknown.
    pub backtrace: Vec<String>,
}

/// Which limit was exceeded and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitExceeded {
    /// The name of the limit as it is written in an entry, for example `max_execution`.
    pub limit: &'static str,
    /// What was allowed, with its unit.
    pub allowed: String,
    /// What was used, with its unit.
    pub used: String,
}

/// A failure that is not the guest's trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// What happened, with entry, expectation and next step.
    pub message: String,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The arguments do not fit the signature.
    Arguments,
    /// The module could not be instantiated.
    Instantiate,
    /// The guest called an import that its entry does not list.
    Unlisted,
    /// A panic in host code.
    Panic,
    /// Anything else on the host's side.
    Host,
}
