//! Processes: what runs, in any language.

mod exit;
mod payload;
mod pid;

pub use exit::{Exit, Failure, FailureKind, LimitExceeded, Trap};
pub use payload::{JsonError, Payload, YamlError};
pub use pid::Pid;
