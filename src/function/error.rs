//! Why a call has no value.

use crate::process::{ArgumentError, Exit, FailureKind, SpawnError};
use crate::registry::{EntryId, ParseIdError};
use crate::security::Denied;
use crate::suggest::closest;

/// Why a function call has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The text names no function.
    #[error("invalid function target: {target} ({cause}, expected `namespace:name`)")]
    InvalidTarget {
        /// What was asked for.
        target: String,
        /// What is missing: `empty target`, `missing namespace` or `missing name`.
        cause: &'static str,
    },
    /// No function has this ID.
    #[error("pool not found: {entry}{}", suggested(.suggestion.as_ref()))]
    NotFound {
        /// What was asked for.
        entry: EntryId,
        /// A function with a name that is almost the same.
        suggestion: Option<EntryId>,
    },
    /// The policies of the caller do not allow `funcs.call` of this function.
    #[error("not allowed: {entry}")]
    Denied {
        /// The function.
        entry: EntryId,
    },
    /// The policies of the caller do not allow what it wants to give beside arguments.
    #[error("{denied}")]
    DeniedOptions {
        /// The function.
        entry: EntryId,
        /// What is not allowed.
        denied: Denied,
    },
    /// The arguments do not fit the function.
    #[error("`{entry}`: {error}")]
    Arguments {
        /// The function.
        entry: EntryId,
        /// What does not fit.
        error: ArgumentError,
    },
    /// As many calls wait as may.
    #[error("`{entry}`: as many calls wait as may: {allowed} ({bound}); wait for some and try again")]
    Busy {
        /// The function.
        entry: EntryId,
        /// The bound that was reached: `pool.buffer`, or the number of those that wait outside of it.
        bound: &'static str,
        /// How many that allows.
        allowed: usize,
    },
    /// The call would wait for itself: every slot of the function is held by calls that wait for it, through others perhaps.
    #[error(
        "`{entry}` was called by a call that it would have to wait for: all {slots} of its slots wait for this one ({}); call \
         it without waiting inside of it, or allow more slots: `pool: {{ type: lazy, max_size: {} }}`",
        path(.calls), .slots + 1
    )]
    Reentrant {
        /// The function.
        entry: EntryId,
        /// The functions that are called, the last one first.
        calls: Vec<EntryId>,
        /// How many slots it has.
        slots: usize,
    },
    /// Calls nest too deep.
    #[error("`{entry}`: function calls nest {allowed} deep, and no deeper")]
    TooDeep {
        /// The function.
        entry: EntryId,
        /// How deep they may nest.
        allowed: usize,
    },
    /// The runtime takes no more calls.
    #[error("`{entry}`: pool is closed")]
    Closed {
        /// The function.
        entry: EntryId,
    },
    /// No process could be started for the call.
    #[error("`{entry}` could not be called: {error}")]
    Spawn {
        /// The function.
        entry: EntryId,
        /// Why not.
        error: Box<SpawnError>,
    },
    /// The process of the call ended without a value.
    #[error("{}", ended(.entry, .exit))]
    Ended {
        /// The function.
        entry: EntryId,
        /// How it ended.
        exit: Box<Exit>,
    },
    /// A blocking wait was asked for on a worker, where it would wait for itself.
    #[error("`{entry}`: a blocking wait on a worker would never end; await the call")]
    Deadlock {
        /// The function.
        entry: EntryId,
    },
}

/// Kinds of errors as Wippy has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The caller's mistake.
    Invalid,
    /// There is no such function.
    NotFound,
    /// The caller may not.
    PermissionDenied,
    /// The runtime takes no more calls.
    Unavailable,
    /// There is no room now; later there may be.
    RateLimited,
    /// A limit of time ended it.
    Timeout,
    /// It was cancelled or terminated.
    Canceled,
    /// The function failed.
    Internal,
}

impl CallErrorKind {
    /// Its name, for example `NotFound`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::NotFound => "NotFound",
            Self::PermissionDenied => "PermissionDenied",
            Self::Unavailable => "Unavailable",
            Self::RateLimited => "RateLimited",
            Self::Timeout => "Timeout",
            Self::Canceled => "Canceled",
            Self::Internal => "Internal",
        }
    }
}

impl CallError {
    pub(super) fn not_found<'e>(entry: &EntryId, known: impl Iterator<Item = &'e EntryId> + Clone) -> Self {
        let texts: Vec<String> = known.clone().map(ToString::to_string).collect();
        let meant = closest(&entry.to_string(), texts.iter().map(String::as_str));
        let suggestion = meant.and_then(|meant| known.clone().find(|id| id.to_string() == meant)).cloned();
        Self::NotFound { entry: entry.clone(), suggestion }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> CallErrorKind {
        match self {
            Self::InvalidTarget { .. } | Self::Arguments { .. } | Self::Reentrant { .. } | Self::TooDeep { .. } => {
                CallErrorKind::Invalid
            }
            Self::NotFound { .. } => CallErrorKind::NotFound,
            Self::Denied { .. } | Self::DeniedOptions { .. } => CallErrorKind::PermissionDenied,
            Self::Busy { .. } => CallErrorKind::RateLimited,
            Self::Closed { .. } => CallErrorKind::Unavailable,
            Self::Spawn { error, .. } => match **error {
                SpawnError::Busy { .. } => CallErrorKind::RateLimited,
                SpawnError::Arguments { .. } | SpawnError::Limits { .. } | SpawnError::Context { .. } => {
                    CallErrorKind::Invalid
                }
                SpawnError::Closing { .. } => CallErrorKind::Unavailable,
                _ => CallErrorKind::Internal,
            },
            Self::Ended { exit, .. } => match &**exit {
                Exit::LimitExceeded(limit) if ["max_execution", "max_cpu"].contains(&limit.limit) => {
                    CallErrorKind::Timeout
                }
                Exit::Cancelled { .. } | Exit::Terminated => CallErrorKind::Canceled,
                Exit::Failed(failure) if failure.kind == FailureKind::Arguments => CallErrorKind::Invalid,
                _ => CallErrorKind::Internal,
            },
            Self::Deadlock { .. } => CallErrorKind::Invalid,
        }
    }
}

fn suggested(suggestion: Option<&EntryId>) -> String {
    suggestion.map_or_else(String::new, |id| format!("; did you mean `{id}`?"))
}

fn path(calls: &[EntryId]) -> String {
    let texts: Vec<String> = calls.iter().rev().map(|id| format!("`{id}`")).collect();
    texts.join(" -> ")
}

/// How a call ended; what a script says of itself begins with its name.
fn ended(entry: &EntryId, exit: &Exit) -> String {
    match exit {
        Exit::Failed(failure) if failure.kind == FailureKind::Script => failure.message.clone(),
        exit => format!("`{entry}`: {exit}"),
    }
}

/// The function that a text names.
pub(super) fn parse_target(text: &str) -> Result<EntryId, CallError> {
    let cause = match text.parse() {
        Ok(entry) => return Ok(entry),
        Err(_) if text.trim().is_empty() => "empty target",
        Err(ParseIdError::MissingNamespace { .. }) => "missing namespace",
        Err(ParseIdError::MissingName { .. }) => "missing name",
    };
    Err(CallError::InvalidTarget { target: text.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_target_is_told_by_what_is_missing() {
        let cause = |text: &str| match parse_target(text) {
            Err(CallError::InvalidTarget { cause, .. }) => cause,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            ["", " ", "sum", ":sum", "app:"].map(cause),
            ["empty target", "empty target", "missing namespace", "missing namespace", "missing name",]
        );
        assert!(parse_target("app:sum").is_ok());
    }

    #[test]
    fn an_unknown_function_is_not_found_and_a_near_miss_suggested() {
        let known: Vec<EntryId> = ["app:sum", "app:other"].map(|text| text.parse().expect("an ID")).into();
        let text = |id: &str| CallError::not_found(&id.parse().expect("an ID"), known.iter()).to_string();
        assert_eq!(text("app:sun"), "pool not found: app:sun; did you mean `app:sum`?");
        assert_eq!(text("other:thing"), "pool not found: other:thing");
    }
}
