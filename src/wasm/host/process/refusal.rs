//! Why a call of a guest was refused: a code for the guest to act on, a sentence for whoever reads it.

use super::tree::TreeError;
use crate::process::{PidError, SignalError, SpawnError, TopicError};

/// The codes of both forms. Their order is what the flat one numbers them by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    NoProcess,
    NoName,
    NoEntry,
    NoHost,
    Foreign,
    NotAllowed,
    Invalid,
    TooLarge,
    TooMany,
    Busy,
    Taken,
    Already,
    Closed,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { code: Code::Invalid, message: message.into() }
    }
}

fn of_signal(error: &SignalError) -> Code {
    match error {
        SignalError::NoProcess { .. } => Code::NoProcess,
        SignalError::NoName { .. } | SignalError::Unresolved { .. } => Code::NoName,
        SignalError::Foreign { .. } => Code::Foreign,
        SignalError::Busy { .. } => Code::Busy,
        SignalError::Oversized { .. } | SignalError::TooDeep { .. } => Code::TooLarge,
        SignalError::Topic(_) | SignalError::InvalidName { .. } => Code::Invalid,
        SignalError::NotAllowed { .. } | SignalError::Denied(_) => Code::NotAllowed,
        SignalError::AlreadyMonitored { .. } => Code::Already,
        SignalError::TooMany { .. } => Code::TooMany,
        SignalError::NameTaken { .. } => Code::Taken,
        SignalError::Closed => Code::Closed,
    }
}

fn of_spawn(error: &SpawnError) -> Code {
    match error {
        SpawnError::UnknownEntry { .. } => Code::NoEntry,
        SpawnError::UnknownHost { .. } | SpawnError::NotOneHost { .. } => Code::NoHost,
        SpawnError::InvalidId { .. } | SpawnError::Arguments { .. } | SpawnError::Limits { .. } => Code::Invalid,
        SpawnError::Context { .. } => Code::TooLarge,
        SpawnError::PreemptNone { .. } | SpawnError::NotAllowed { .. } | SpawnError::Denied(_) => Code::NotAllowed,
        SpawnError::Signal { error, .. } => of_signal(error),
        SpawnError::Busy { .. } => Code::Busy,
        SpawnError::Start { .. } => Code::Failed,
        SpawnError::Closing { .. } => Code::Closed,
    }
}

impl From<SignalError> for Refusal {
    fn from(error: SignalError) -> Self {
        Self { code: of_signal(&error), message: error.to_string() }
    }
}

impl From<SpawnError> for Refusal {
    fn from(error: SpawnError) -> Self {
        Self { code: of_spawn(&error), message: error.to_string() }
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<PidError> for Refusal {
    fn from(error: PidError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<TreeError> for Refusal {
    fn from(error: TreeError) -> Self {
        let code = if matches!(error, TreeError::TooDeep { .. }) { Code::TooLarge } else { Code::Invalid };
        Self { code, message: error.to_string() }
    }
}
