//! What comes in for a script: its inbox, its events, the topics it listens to, and what it hears of the bus.
//!
//! Nothing is moved out of the mailbox before a coroutine takes it, so the bounds of the mailbox are those of a script, too. A
//! message of a topic that somebody listens to is for that one; all others are for the inbox, whether it is read or not. What
//! the bus tells waits there, within its bounds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use mlua::{Lua, Table, UserData, UserDataMethods, Value};
use parking_lot::Mutex;

use super::error::{self, ErrorObject};
use super::modules::PayloadObject;
use super::own::{self, Held, Own};
use super::value;
use crate::process::{Event, Exit, Heard, Listening, Message, Payload, Peers, Pid, Topic, fits_wildcard};
use crate::registry::EntryId;

/// The number of the inbox.
pub(super) const INBOX: i64 = 1;
/// The number of the events.
pub(super) const EVENTS: i64 = 2;

/// Topics that a process may listen to at once: each message is compared with all of them.
pub(super) const LISTENERS_MAX: usize = 256;

/// Subscriptions to the bus that a process may have at once: each keeps up to a MiB of what is not read yet.
pub(super) const SUBSCRIPTIONS_MAX: usize = 64;

/// A topic that somebody listens to.
struct Listener {
    number: i64,
    /// A topic, or one whose `*` stand for any text.
    pattern: String,
    /// Whether messages come as such, or as what they say.
    whole: bool,
}

/// The listeners of a process.
#[derive(Default)]
pub(super) struct Ports {
    listeners: Mutex<Vec<Listener>>,
    subscriptions: Mutex<HashMap<i64, Listening>>,
    next: Mutex<i64>,
    /// Whether a coroutine may wait for one of the ports.
    watched: AtomicBool,
}

impl Ports {
    /// A coroutine waits for a port from now on.
    pub(super) fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(super) fn unwatch(&self) {
        self.watched.store(false, Ordering::Relaxed);
    }

    /// Whether nobody listens, waits, or subscribed to anything.
    pub(super) fn is_quiet(&self) -> bool {
        !self.is_watched() && self.listeners.lock().is_empty() && self.subscriptions.lock().is_empty()
    }

    /// Listens to a topic. Its number; none at the bound.
    pub(super) fn listen(&self, pattern: String, whole: bool) -> Option<i64> {
        let mut listeners = self.listeners.lock();
        if listeners.len() >= LISTENERS_MAX {
            return None;
        }
        let number = self.number();
        listeners.push(Listener { number, pattern, whole });
        Some(number)
    }

    /// A number that no port had before.
    fn number(&self) -> i64 {
        let mut next = self.next.lock();
        *next += 1;
        EVENTS + *next
    }

    /// Takes in what the bus tells; none at the bound.
    pub(super) fn subscribe(&self, listening: Listening) -> Option<i64> {
        let mut subscriptions = self.subscriptions.lock();
        if subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return None;
        }
        let number = self.number();
        subscriptions.insert(number, listening);
        Some(number)
    }

    /// Hears no more of the bus.
    pub(super) fn unsubscribe(&self, number: i64) {
        let listening = self.subscriptions.lock().remove(&number);
        drop(listening);
    }

    /// How many events a subscription was too slow for.
    pub(super) fn missed(&self, number: i64) -> u64 {
        self.subscriptions.lock().get(&number).map_or(0, Listening::lost)
    }

    /// Listens no more: what is still there for it is for the inbox.
    pub(super) fn unlisten(&self, number: i64) {
        self.listeners.lock().retain(|listener| listener.number != number);
    }

    /// Takes what there is for a port now; the process is woken when more comes in.
    pub(super) fn take(&self, lua: &Lua, own: &Own, number: i64) -> mlua::Result<Option<Value>> {
        let waker = own.waker();
        let mut context = Context::from_waker(&waker);
        if number == EVENTS {
            return match own.inbox.poll_event(&mut context) {
                Poll::Ready(event) => event_to_lua(lua, &own.peers, &event).map(Some),
                Poll::Pending => Ok(None),
            };
        }
        let heard = self.subscriptions.lock().get(&number).map(|listening| listening.poll_next(&mut context));
        if let Some(heard) = heard {
            return match heard {
                Poll::Ready(heard) => heard_to_lua(lua, &heard).map(Some),
                Poll::Pending => Ok(None),
            };
        }
        let (message, whole) = {
            let listeners = self.listeners.lock();
            let wanted = |topic: &Topic| owner(&listeners, topic) == number;
            let whole = listeners.iter().find(|listener| listener.number == number).is_none_or(|of| of.whole);
            (own.inbox.poll_message_where(&mut context, wanted), whole)
        };
        match message {
            Poll::Ready(message) if whole => {
                let held = own::hold(lua, message.size())?;
                Ok(Some(Value::UserData(lua.create_userdata(MessageObject(message, held))?)))
            }
            Poll::Ready(message) => said(lua, &message.payloads).map(Some),
            Poll::Pending => Ok(None),
        }
    }
}

/// Whose a topic is: an exact listener's before one with a pattern, then the inbox's.
fn owner(listeners: &[Listener], topic: &Topic) -> i64 {
    let topic = topic.as_str();
    let exact = listeners.iter().find(|listener| listener.pattern == topic);
    let found = exact.or_else(|| listeners.iter().find(|listener| fits_wildcard(&listener.pattern, topic)));
    found.map_or(INBOX, |listener| listener.number)
}

/// What a message says: its payload, a list of several.
fn said(lua: &Lua, payloads: &[Payload]) -> mlua::Result<Value> {
    let value = match payloads {
        [] => Ok(Value::Nil),
        [payload] => value::to_lua(lua, payload),
        payloads => value::to_lua(lua, &Payload::List(payloads.to_vec())),
    };
    match value {
        Ok(value) => Ok(value),
        Err(problem) => error::to_lua(lua, problem.into()),
    }
}

/// A message as scripts have it.
struct MessageObject(Message, #[expect(dead_code, reason = "held for its drop")] Held);

impl UserData for MessageObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("topic", |lua, message, ()| lua.create_string(message.0.topic.as_str()));
        methods.add_method("from", |lua, message, ()| {
            lua.create_string(message.0.from.as_ref().map(Pid::to_string).unwrap_or_default())
        });
        methods.add_method("payload", |lua, message, ()| {
            let object = |payload: &Payload| PayloadObject::to_lua(lua, payload.clone());
            match &message.0.payloads[..] {
                [] => Ok(Value::Nil),
                [payload] => object(payload),
                payloads => {
                    let items: Vec<Value> = payloads.iter().map(object).collect::<Result<_, _>>()?;
                    lua.create_sequence_from(items).map(Value::Table)
                }
            }
        });
    }
}

/// An event of the bus; `missed` is there where some before it are not.
fn heard_to_lua(lua: &Lua, heard: &Heard) -> mlua::Result<Value> {
    let event = &*heard.event;
    let table = lua.create_table()?;
    for (name, text) in [("system", &event.system), ("kind", &event.kind), ("path", &event.path)] {
        table.raw_set(name, lua.create_string(text)?)?;
    }
    table.raw_set("data", said(lua, std::slice::from_ref(&event.data))?)?;
    if heard.missed > 0 {
        table.raw_set("missed", heard.missed)?;
    }
    Ok(Value::Table(table))
}

/// An event in both shapes that scripts know: `kind` and `result`, and the older `type` and `value`.
fn event_to_lua(lua: &Lua, peers: &Peers, event: &Event) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    let (name, kind, from) = match event {
        Event::Exit { from, entry, exit } => {
            ended(lua, &table, outcome(lua, peers, entry.as_ref(), exit)?)?;
            ("EXIT", "pid.exit", from.to_string())
        }
        Event::LinkDown { from, entry, exit } => {
            ended(lua, &table, outcome(lua, peers, entry.as_ref(), exit)?)?;
            ("LINK_DOWN", "pid.link.down", from.to_string())
        }
        Event::Cancel { from, reason } => {
            table.raw_set("reason", reason.as_str())?;
            ("CANCEL", "pid.cancel", from.as_ref().map_or_else(|| "{|}".to_owned(), Pid::to_string))
        }
    };
    table.raw_set("type", name)?;
    table.raw_set("kind", kind)?;
    table.raw_set("from", from)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    table.raw_set("at", i64::try_from(now.as_secs()).unwrap_or(i64::MAX))?;
    Ok(Value::Table(table))
}

/// How a process ended, with its value or its error.
fn ended(lua: &Lua, table: &Table, (value, error): (Value, Value)) -> mlua::Result<()> {
    let result = lua.create_table()?;
    result.raw_set("value", &value)?;
    result.raw_set("error", &error)?;
    table.raw_set("result", result)?;
    table.raw_set("value", value)?;
    table.raw_set("error", error)
}

/// What a process of an entry returned, in the form that the entry has for scripts, and its error; one of them is nil.
pub(super) fn outcome(lua: &Lua, peers: &Peers, entry: Option<&EntryId>, exit: &Exit) -> mlua::Result<(Value, Value)> {
    let problem = match exit {
        Exit::Returned(payload) => {
            let form = entry.map_or(Ok(Cow::Borrowed(payload)), |entry| peers.for_scripts(entry, payload));
            match form.map(|form| value::to_lua(lua, &form)) {
                Ok(Ok(value)) => return Ok((value, Value::Nil)),
                Ok(Err(problem)) => problem.into(),
                Err(problem) => ErrorObject::invalid(problem.to_string()),
            }
        }
        exit => match ErrorObject::of_exit(exit) {
            Some(problem) => problem,
            None => return Ok((Value::Nil, Value::Nil)),
        },
    };
    Ok((Value::Nil, error::to_lua(lua, problem)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_listener_is_asked_before_a_pattern_and_the_inbox() {
        let ports = Ports::default();
        let star = ports.listen("orders.*".into(), false).unwrap();
        let exact = ports.listen("orders.new".into(), false).unwrap();
        let owner = |topic: &str| owner(&ports.listeners.lock(), &topic.parse().unwrap());
        assert_eq!([owner("orders.new"), owner("orders.old"), owner("x")], [exact, star, INBOX]);
        ports.unlisten(exact);
        assert_eq!(super::owner(&ports.listeners.lock(), &"orders.new".parse().unwrap()), star);
    }
}
