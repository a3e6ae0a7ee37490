//! How a function of a module answers: at once, with an error, or by a wait of the calling coroutine.

use std::future::Future;
use std::pin::Pin;

use mlua::{AnyUserData, IntoLuaMulti, Lua, LuaString, MultiValue, Table, UserData, Value};

use super::error::{self, ErrorObject};
use super::own::Own;
use super::upgrade::Next;
use super::value::{self, ValueError};
use crate::limits::WaitReason;
use crate::process::{Payload, SignalError, SpawnError, TopicError};
use crate::security::Denied;

/// What the first value of an answer means; `prelude/core.lua` has the same numbers.
pub(super) const VALUES: i64 = 0;
const RAISE: i64 = 1;
pub(super) const WAIT: i64 = 2;
pub(super) const PARK: i64 = 3;
pub(super) const RESUME: i64 = 4;
pub(super) const YIELD: i64 = 5;
pub(super) const AGAIN: i64 = 6;
pub(super) const UPGRADE: i64 = 7;

/// What a function of a module answers.
pub(super) type Answer = Result<Reply, Refusal>;

/// What a wait ends with: a look at the VM, which a future has no access to.
pub(super) type Finish = Box<dyn FnOnce(&Lua) -> Answer + Send>;

/// A wait: it is polled by the driver, on a worker, and must not block. Dropping it ends whatever it waits for.
pub(super) type Waiting = Pin<Box<dyn Future<Output = Finish> + Send>>;

/// Work that may take longer than a tick, done in slices.
pub(super) trait Work: Send + Sync + 'static {
    /// Goes on for one slice, some microseconds; the values when it is done.
    fn slice(&mut self, lua: &Lua, own: &Own) -> Result<Option<MultiValue>, Refusal>;
}

/// An answer that is no failure.
pub(super) enum Reply {
    /// These values, at once.
    Values(MultiValue),
    /// There is more work than fits a tick: the coroutine lets others run, and the work goes on when it is resumed.
    Again(Box<dyn Work>),
    /// The coroutine that called is suspended, alone with those that wait for it, until the future has ended.
    Wait(WaitReason, Waiting),
    /// The process goes on as this. The call does not return.
    Upgrade(Box<Next>),
}

impl Reply {
    /// Nothing.
    pub(super) fn none() -> Answer {
        Ok(Self::Values(MultiValue::new()))
    }

    /// These values.
    pub(super) fn values(lua: &Lua, values: impl IntoLuaMulti) -> Answer {
        Ok(Self::Values(values.into_lua_multi(lua)?))
    }

    /// Does `work` as far as it goes in this tick.
    pub(super) fn work(lua: &Lua, own: &Own, mut work: impl Work) -> Answer {
        loop {
            if let Some(values) = work.slice(lua, own)? {
                return Ok(Self::Values(values));
            }
            if own.meter.stops_work() {
                return Ok(Self::Again(Box::new(work)));
            }
        }
    }

    /// Waits for `future`, then answers what `finish` makes of its result.
    pub(super) fn wait<T: Send + 'static>(
        reason: WaitReason,
        future: impl Future<Output = T> + Send + 'static,
        finish: impl FnOnce(&Lua, T) -> Answer + Send + 'static,
    ) -> Answer {
        Ok(Self::Wait(reason, waiting(future, finish)))
    }
}

/// A future with what is made of its result in the VM.
pub(super) fn waiting<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
    finish: impl FnOnce(&Lua, T) -> Answer + Send + 'static,
) -> Waiting {
    Box::pin(async move {
        let result = future.await;
        let finish: Finish = Box::new(move |lua| finish(lua, result));
        finish
    })
}

/// Why a call fails.
pub(super) enum Refusal {
    /// The call answers `nil` and this error: something that a script handles.
    Error(Box<ErrorObject>),
    /// The call raises this text, at the line of the caller: a mistake in the script.
    Raise(String),
    /// Lua itself could not: it has no memory left.
    Lua(mlua::Error),
}

impl Refusal {
    /// A mistake in the script.
    pub(super) fn raise(message: impl Into<String>) -> Self {
        Self::Raise(message.into())
    }
}

impl From<mlua::Error> for Refusal {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

impl From<ErrorObject> for Refusal {
    fn from(error: ErrorObject) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<Box<ErrorObject>> for Refusal {
    fn from(error: Box<ErrorObject>) -> Self {
        Self::Error(error)
    }
}

impl From<SignalError> for Refusal {
    fn from(error: SignalError) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

impl From<SpawnError> for Refusal {
    fn from(error: SpawnError) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

impl From<Denied> for Refusal {
    fn from(error: Denied) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::Error(Box::new(SignalError::from(error).into()))
    }
}

impl From<ValueError> for Refusal {
    fn from(error: ValueError) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

/// An answer as values for `settle`. A wait stays with the process until its coroutine has yielded.
pub(super) fn encode(lua: &Lua, own: &Own, answer: Answer) -> mlua::Result<MultiValue> {
    match answer {
        Ok(Reply::Values(mut values)) => {
            values.push_front(Value::Integer(VALUES));
            Ok(values)
        }
        Ok(Reply::Wait(reason, waiting)) => {
            *own.pending.lock() = Some((reason, waiting));
            WAIT.into_lua_multi(lua)
        }
        Ok(Reply::Upgrade(next)) => {
            *own.next.lock() = Some(next);
            UPGRADE.into_lua_multi(lua)
        }
        Ok(Reply::Again(work)) => (AGAIN, lua.create_userdata(Unfinished(Some(work)))?).into_lua_multi(lua),
        Err(Refusal::Error(object)) => (VALUES, Value::Nil, error::to_lua(lua, *object)?).into_lua_multi(lua),
        Err(Refusal::Raise(text)) => (RAISE, lua.create_string(text)?).into_lua_multi(lua),
        Err(Refusal::Lua(error)) => Err(error),
    }
}

/// Work that was left.
struct Unfinished(Option<Box<dyn Work>>);

impl UserData for Unfinished {}

impl Work for Box<dyn Work> {
    fn slice(&mut self, lua: &Lua, own: &Own) -> Result<Option<MultiValue>, Refusal> {
        (**self).slice(lua, own)
    }
}

/// Goes on with work that was left.
pub(super) fn go_on(lua: &Lua, own: &Own, left: &AnyUserData) -> mlua::Result<MultiValue> {
    let work = left.borrow_mut::<Unfinished>()?.0.take();
    let answer = match work {
        Some(work) => Reply::work(lua, own, work),
        None => Reply::none(),
    };
    encode(lua, own, answer)
}

/// The arguments of a call, with errors as Lua's own functions have them.
pub(super) struct Args {
    function: &'static str,
    values: MultiValue,
    /// How many were taken.
    taken: usize,
}

impl Args {
    pub(super) fn new(function: &'static str, values: MultiValue) -> Self {
        Self { function, values, taken: 0 }
    }

    /// A table that a Lua part has put before the arguments.
    pub(super) fn aside(&mut self) -> Result<Table, Refusal> {
        let table = self.table()?;
        self.taken = 0;
        Ok(table)
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.values.len()
    }

    /// The next one, whatever it is; nil when there is none.
    pub(super) fn next(&mut self) -> Value {
        self.taken += 1;
        self.values.pop_front().unwrap_or_default()
    }

    /// All that are left.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = Value> {
        std::mem::take(&mut self.values).into_iter()
    }

    /// All that are left, as payloads.
    pub(super) fn payloads(&mut self) -> Result<Vec<Payload>, Refusal> {
        Ok(self.rest().map(|value| value::to_payload(&value)).collect::<Result<_, _>>()?)
    }

    fn mismatch(&self, expected: &str, got: &Value) -> Refusal {
        let got = match got {
            Value::Nil if self.taken > 0 => "nil",
            got => got.type_name(),
        };
        Refusal::Raise(format!("bad argument #{} to '{}' ({expected} expected, got {got})", self.taken, self.function))
    }

    /// A complaint about the last one that was taken.
    pub(super) fn bad(&self, message: impl std::fmt::Display) -> Refusal {
        Refusal::Raise(format!("bad argument #{} to '{}' ({message})", self.taken, self.function))
    }

    /// The next one, which is bytes.
    pub(super) fn bytes(&mut self) -> Result<LuaString, Refusal> {
        match self.next() {
            Value::String(text) => Ok(text),
            other => Err(self.mismatch("string", &other)),
        }
    }

    /// The next one, which is a text.
    pub(super) fn text(&mut self) -> Result<String, Refusal> {
        let bytes = self.bytes()?;
        let text = bytes.to_str().map(|text| text.to_owned());
        text.map_err(|_| self.bad("the text is no UTF-8"))
    }

    /// The next one, which is a text if it is there.
    pub(super) fn optional_text(&mut self) -> Result<Option<String>, Refusal> {
        match self.values.front() {
            None | Some(Value::Nil) => {
                let _ = self.next();
                Ok(None)
            }
            Some(_) => self.text().map(Some),
        }
    }

    /// The next one, which is a whole number.
    pub(super) fn integer(&mut self) -> Result<i64, Refusal> {
        match self.next() {
            Value::Integer(number) => Ok(number),
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 9.0e18 => Ok(number as i64),
            other => Err(self.mismatch("integer", &other)),
        }
    }

    /// The next one, which is a table if it is there.
    pub(super) fn optional_table(&mut self) -> Result<Option<Table>, Refusal> {
        match self.next() {
            Value::Nil => Ok(None),
            Value::Table(table) => Ok(Some(table)),
            other => Err(self.mismatch("table", &other)),
        }
    }

    /// The next one, which is a table.
    pub(super) fn table(&mut self) -> Result<Table, Refusal> {
        match self.next() {
            Value::Table(table) => Ok(table),
            other => Err(self.mismatch("table", &other)),
        }
    }
}
