//! The signal that was received last, piece by piece.

use wasmtime::{Caller, Linker, Result};

use super::super::bindings::wippy::process::types::ExitKind;
use super::super::own::Own;
use super::super::refusal::Refusal;
use super::memory::{Region, fill};
use super::{Format, MODULE, NOTHING, call};
use crate::process::{Event, Exit, Message, Payload, Pid, Signal};
use crate::wasm::state::State;

/// What a signal is, in the numbers of the answers.
const MESSAGE: i32 = 1;
const EXIT: i32 = 2;
const LINK_DOWN: i32 = 3;
const CANCEL: i32 = 4;

/// Keeps what came and says what it is.
pub(super) fn keep(own: &mut Own, signal: Option<Signal>) -> i32 {
    let kind = match &signal {
        None => NOTHING,
        Some(Signal::Message(_)) => MESSAGE,
        Some(Signal::Event(Event::Exit { .. })) => EXIT,
        Some(Signal::Event(Event::LinkDown { .. })) => LINK_DOWN,
        Some(Signal::Event(Event::Cancel { .. })) => CANCEL,
    };
    own.current.signal = signal;
    kind
}

fn message(own: &Own) -> Option<&Message> {
    match &own.current.signal {
        Some(Signal::Message(message)) => Some(message),
        _ => None,
    }
}

fn exit(own: &Own) -> Option<&Exit> {
    match &own.current.signal {
        Some(Signal::Event(Event::Exit { exit, .. } | Event::LinkDown { exit, .. })) => Some(exit),
        _ => None,
    }
}

fn from(own: &Own) -> Option<&Pid> {
    match own.current.signal.as_ref()? {
        Signal::Message(message) => message.from.as_ref(),
        Signal::Event(Event::Exit { from, .. } | Event::LinkDown { from, .. }) => Some(from),
        Signal::Event(Event::Cancel { from, .. }) => from.as_ref(),
    }
}

/// A payload of the message, by its place.
fn payload(own: &Own, at: u32) -> Option<&Payload> {
    message(own)?.payloads.get(at as usize)
}

/// The format in which a payload can be had without a change.
fn format_of(payload: &Payload) -> Format {
    match payload {
        Payload::Bytes(_) => Format::Bytes,
        Payload::String(_) => Format::Text,
        _ => Format::Json,
    }
}

fn write(memory: &mut [u8], to: Region, payload: &Payload, format: u32) -> Result<i32, Refusal> {
    match (Format::of(format)?, payload) {
        (Format::None, _) => Ok(0),
        (Format::Bytes, Payload::Bytes(bytes)) => fill(memory, to, bytes),
        (Format::Bytes | Format::Text, Payload::String(text)) => fill(memory, to, text.as_bytes()),
        (Format::Json, payload) => fill(memory, to, payload.to_string().as_bytes()),
        (format, payload) => {
            Err(Refusal::invalid(format!("the payload is {}, which can't be read as {format:?}", payload.kind())))
        }
    }
}

pub(super) fn add(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, "from", |mut caller: Caller<'_, State>, to: u32, room: u32| {
        call(&mut caller, |memory, own| match from(own) {
            Some(pid) => fill(memory, Region(to, room), pid.to_string().as_bytes()),
            None => Ok(NOTHING),
        })
    })?;
    linker.func_wrap(MODULE, "topic", |mut caller: Caller<'_, State>, to: u32, room: u32| {
        call(&mut caller, |memory, own| match message(own) {
            Some(message) => fill(memory, Region(to, room), message.topic.as_str().as_bytes()),
            None => Ok(NOTHING),
        })
    })?;
    linker.func_wrap(MODULE, "payloads", |caller: Caller<'_, State>| {
        message(caller.data().own())
            .map_or(NOTHING, |message| i32::try_from(message.payloads.len()).unwrap_or(i32::MAX))
    })?;
    linker.func_wrap(MODULE, "payload_format", |caller: Caller<'_, State>, at: u32| {
        payload(caller.data().own(), at).map_or(NOTHING, |payload| format_of(payload) as i32)
    })?;
    linker.func_wrap(
        MODULE,
        "payload",
        |mut caller: Caller<'_, State>, at: u32, format: u32, to: u32, room: u32| {
            call(&mut caller, |memory, own| match payload(own, at) {
                Some(payload) => write(memory, Region(to, room), payload, format),
                None => Ok(NOTHING),
            })
        },
    )?;
    linker.func_wrap(MODULE, "exit_kind", |caller: Caller<'_, State>| {
        exit(caller.data().own()).map_or(NOTHING, |exit| ExitKind::from(exit) as i32)
    })?;
    linker.func_wrap(MODULE, "exit_code", |caller: Caller<'_, State>| match exit(caller.data().own()) {
        Some(Exit::Exited(code)) => i64::from(*code),
        _ => i64::from(NOTHING),
    })?;
    linker.func_wrap(MODULE, "exit_value", |mut caller: Caller<'_, State>, format: u32, to: u32, room: u32| {
        call(&mut caller, |memory, own| match exit(own) {
            Some(Exit::Returned(value)) => write(memory, Region(to, room), value, format),
            _ => Ok(NOTHING),
        })
    })?;
    linker.func_wrap(MODULE, "reason", |mut caller: Caller<'_, State>, to: u32, room: u32| {
        call(&mut caller, |memory, own| {
            let reason = match (&own.current.signal, exit(own)) {
                (_, Some(exit)) => exit.to_string(),
                (Some(Signal::Event(Event::Cancel { reason, .. })), _) => reason.clone(),
                _ => return Ok(NOTHING),
            };
            fill(memory, Region(to, room), reason.as_bytes())
        })
    })?;
    Ok(())
}
