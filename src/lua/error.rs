//! Errors as scripts have them: a message with a kind, whether trying again may help, and details.

use std::fmt;

use mlua::debug::Debug;
use mlua::{Lua, MetaMethod, UserData, UserDataMethods, Value};

use super::chunks::Chunks;
use super::own::{self, Held};
use super::value;
use crate::limits::LimitExceeded;
use crate::process::{Exit, FailureKind, Payload, SignalError, SpawnError};
use crate::security::Denied;

/// What kind of error it is. The names are the values that scripts compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Unknown,
    Invalid,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    Timeout,
    Canceled,
    Unavailable,
    Internal,
    Conflict,
    RateLimited,
}

impl Kind {
    /// Every kind, with the name of its constant in `errors`.
    pub(super) const ALL: [(&'static str, Self); 11] = [
        ("UNKNOWN", Self::Unknown),
        ("INVALID", Self::Invalid),
        ("NOT_FOUND", Self::NotFound),
        ("ALREADY_EXISTS", Self::AlreadyExists),
        ("PERMISSION_DENIED", Self::PermissionDenied),
        ("TIMEOUT", Self::Timeout),
        ("CANCELED", Self::Canceled),
        ("UNAVAILABLE", Self::Unavailable),
        ("INTERNAL", Self::Internal),
        ("CONFLICT", Self::Conflict),
        ("RATE_LIMITED", Self::RateLimited),
    ];

    /// What `err:kind()` answers. That of an unknown one is the empty text, as Wippy's own tests have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Invalid => "Invalid",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::PermissionDenied => "PermissionDenied",
            Self::Timeout => "Timeout",
            Self::Canceled => "Canceled",
            Self::Unavailable => "Unavailable",
            Self::Internal => "Internal",
            Self::Conflict => "Conflict",
            Self::RateLimited => "RateLimited",
        }
    }

    /// The kind of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().map(|(_, kind)| kind).find(|kind| kind.name() == name)
    }
}

/// Calls of a stack that are kept; those further out are left out.
const FRAMES_MAX: usize = 22;

/// The calls of a script that led somewhere, innermost first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stack {
    /// The coroutine, in words.
    pub(super) thread: String,
    pub(super) frames: Vec<Frame>,
}

/// A call of a stack.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) source: String,
    pub(super) line: usize,
    /// What the function is called there.
    pub(super) name: String,
}

impl Stack {
    /// The calls that the script is in, without those of the runtime.
    pub(super) fn now(lua: &Lua) -> Self {
        let thread = value::text_of(&Value::Thread(lua.current_thread()));
        let mut frames = Vec::new();
        let mut level = 0;
        while frames.len() < FRAMES_MAX
            && let Some(frame) = lua.inspect_stack(level, Frame::of)
        {
            frames.extend(frame);
            level += 1;
        }
        Self { thread, frames }
    }

    fn size(&self) -> usize {
        let frames = self.frames.iter().map(|frame| size_of::<Frame>() + frame.source.len() + frame.name.len());
        self.thread.len() + frames.sum::<usize>()
    }
}

impl Frame {
    fn of(debug: &Debug<'_>) -> Option<Self> {
        let source = debug.source();
        let (text, line) = (source.short_src?, debug.current_line()?);
        if Chunks::is_ours(&source.source?) {
            return None;
        }
        let name = match debug.names().name {
            Some(name) => name.into_owned(),
            None if source.what == "main" => "main chunk".to_owned(),
            None => "?".to_owned(),
        };
        Some(Self { source: text.into_owned(), line, name })
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stack traceback:")?;
        self.frames.iter().try_for_each(|Frame { source, line, name }| write!(f, "\n\t{source}:{line}: in {name}"))
    }
}

/// An error of a script, or one that it is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ErrorObject {
    pub(super) kind: Kind,
    pub(super) message: String,
    pub(super) retryable: Option<bool>,
    pub(super) details: Payload,
    /// Where it was made.
    pub(super) stack: Stack,
    /// For what it holds, once it is in a VM.
    pub(super) charge: Held,
}

impl ErrorObject {
    /// What it takes outside of a VM, in bytes.
    pub(super) fn size(&self) -> usize {
        self.message.len() + self.stack.size() + self.details.size()
    }

    /// An error of this kind with this text.
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), ..Self::default() }
    }

    /// One with the text of an error and of what caused it.
    pub(super) fn caused(kind: Kind, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        Self::new(kind, causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
    }

    /// A mistake of the caller that a script may want to handle.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// The error object of a script elsewhere, from what is left of it beyond its process.
    fn of_payload(error: &Payload) -> Option<Self> {
        let Payload::Map(fields) = error else { return None };
        let text = |name: &str| fields.get(name).and_then(Payload::as_str);
        let retryable = match fields.get("retryable") {
            Some(Payload::Bool(retryable)) => Some(*retryable),
            _ => None,
        };
        let details = fields.get("details").cloned().unwrap_or_default();
        Some(Self { retryable, details, ..Self::new(Kind::of(text("kind")?)?, text("message")?) })
    }

    /// That of a process that ended like this; none for a good end.
    pub(super) fn of_exit(exit: &Exit) -> Option<Self> {
        if let Exit::Failed(failure) = exit
            && let Some(error) = Self::of_payload(&failure.error)
        {
            return Some(error);
        }
        let kind = match exit {
            Exit::Returned(_) | Exit::Exited(0) => return None,
            Exit::LimitExceeded(LimitExceeded { limit: "max_execution" | "max_cpu", .. }) => Kind::Timeout,
            Exit::Cancelled { .. } | Exit::Terminated => Kind::Canceled,
            Exit::Failed(failure) => match failure.kind {
                FailureKind::Arguments => Kind::Invalid,
                FailureKind::NoProcess => Kind::NotFound,
                FailureKind::PermissionDenied => Kind::PermissionDenied,
                _ => Kind::Internal,
            },
            _ => Kind::Internal,
        };
        let message = match exit {
            // The words that Wippy has for it.
            Exit::Terminated => "process terminated".to_owned(),
            Exit::Failed(failure) => failure.message.clone(),
            exit => exit.to_string(),
        };
        Some(Self::new(kind, message))
    }
}

impl fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<SignalError> for ErrorObject {
    fn from(error: SignalError) -> Self {
        let kind = match &error {
            SignalError::NoProcess { .. }
            | SignalError::NoName { .. }
            | SignalError::Foreign { .. }
            | SignalError::Unresolved { .. } => Kind::NotFound,
            SignalError::AlreadyMonitored { .. } | SignalError::NameTaken { .. } => Kind::AlreadyExists,
            SignalError::NotAllowed { .. } | SignalError::Denied(_) => Kind::PermissionDenied,
            SignalError::Busy { .. } | SignalError::Closed => Kind::Unavailable,
            SignalError::TooMany { .. } => Kind::RateLimited,
            _ => Kind::Invalid,
        };
        Self { retryable: Some(error.is_retryable()), ..Self::new(kind, error.to_string()) }
    }
}

impl From<Denied> for ErrorObject {
    fn from(error: Denied) -> Self {
        Self::new(Kind::PermissionDenied, error.to_string())
    }
}

impl From<SpawnError> for ErrorObject {
    fn from(error: SpawnError) -> Self {
        let kind = match &error {
            SpawnError::UnknownEntry { .. } | SpawnError::UnknownHost { .. } => Kind::NotFound,
            SpawnError::NotAllowed { .. } | SpawnError::Denied(_) => Kind::PermissionDenied,
            SpawnError::Busy { .. } | SpawnError::Start { .. } | SpawnError::Closing { .. } => Kind::Unavailable,
            SpawnError::Signal { error, .. } => return Self::from((**error).clone()),
            _ => Kind::Invalid,
        };
        let retryable = matches!(&error, SpawnError::Busy { allowed, .. } if *allowed > 0);
        Self { retryable: Some(retryable), ..Self::new(kind, error.to_string()) }
    }
}

impl UserData for ErrorObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("kind", |_, error, ()| Ok(error.kind.name()));
        methods.add_method("message", |lua, error, ()| lua.create_string(&error.message));
        methods.add_method("retryable", |_, error, ()| Ok(error.retryable));
        methods.add_method("details", |lua, error, ()| {
            // What does not fit Lua was never taken in.
            Ok(value::to_lua(lua, &error.details).unwrap_or(Value::Nil))
        });
        methods.add_method("stack", |lua, error, ()| lua.create_string(error.stack.to_string()));
        methods.add_meta_method(MetaMethod::ToString, |lua, error, ()| lua.create_string(&error.message));
    }
}

/// The text of a value that was raised or returned as an error. No metamethod of a script is called.
pub(super) fn text_of(error: &Value) -> String {
    match error {
        Value::UserData(object) => match object.borrow::<ErrorObject>() {
            Ok(error) => error.message.clone(),
            Err(_) => value::text_of(&Value::UserData(object.clone())),
        },
        Value::Error(error) => error.to_string(),
        Value::Nil => "nil".to_owned(),
        other => value::text_of(other),
    }
}

/// What is left of an error object beyond its process; nil for any other value.
pub(super) fn payload_of(error: &Value) -> Payload {
    match error {
        Value::UserData(object) => object.borrow::<ErrorObject>().map(|error| value::error_to_payload(&error)),
        _ => return Payload::Nil,
    }
    .unwrap_or_default()
}

/// An error object for a script.
pub(super) fn to_lua(lua: &Lua, mut error: ErrorObject) -> mlua::Result<Value> {
    error.charge = own::hold(lua, error.size())?;
    Ok(Value::UserData(lua.create_userdata(error)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for (_, kind) in Kind::ALL {
            assert_eq!(Kind::of(kind.name()), Some(kind));
        }
        assert_eq!(Kind::of("NOT_FOUND"), None);
    }

    #[test]
    fn only_a_bad_end_is_an_error() {
        assert_eq!(ErrorObject::of_exit(&Exit::Returned(Payload::Nil)), None);
        assert_eq!(ErrorObject::of_exit(&Exit::Exited(0)), None);
        let error = ErrorObject::of_exit(&Exit::Terminated).unwrap();
        assert_eq!((error.kind, error.message.as_str()), (Kind::Canceled, "process terminated"));
        let limit = Exit::LimitExceeded(LimitExceeded::new("max_cpu", "1s", "2s"));
        assert_eq!(ErrorObject::of_exit(&limit).unwrap().kind, Kind::Timeout);
    }
}
