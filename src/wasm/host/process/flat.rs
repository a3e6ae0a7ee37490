//! The form for core modules: flat functions of the module `wippy:process`, as `wippy_process.h` declares them beside the
//! guests. Texts go as address and length; what comes out goes into a buffer of the guest. A call answers with a length or a
//! count, with -1 for what is not there, or with the number of an error, whose text can be asked for.
//!
//! What is received is looked at piece by piece, so a buffer that is too small loses nothing: the call says how long it has to
//! be, and the message stays until the next one is waited for.

mod memory;
mod signal;

use wasmtime::{Caller, Linker, Result};

use self::memory::{Region, copied, fill, split, text, words};
use super::own::{Deed, Own, Spawn};
use super::refusal::{Code, Refusal};
use crate::process::{Inbox, Message, Payload, Pid, Signal};
use crate::wasm::failure::transfer_max;
use crate::wasm::state::State;

/// The module that guests import.
const MODULE: &str = "wippy:process";

/// The longest JSON text that a call takes, in bytes: values take many times what their text does.
const JSON_BYTES_MAX: usize = 1 << 20;

/// What is not there, in the numbers of the answers.
const NOTHING: i32 = -1;

/// Flags of `send` and `spawn`.
const SEND_WAIT: u32 = 1;
const SPAWN_MONITOR: u32 = 1;
const SPAWN_LINK: u32 = 2;
const SPAWN_TRAP_LINKS: u32 = 4;

/// How the bytes of a payload are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// There is no payload.
    None = 0,
    Bytes = 1,
    Text = 2,
    Json = 3,
}

impl Format {
    fn of(number: u32) -> Result<Self, Refusal> {
        [Self::None, Self::Bytes, Self::Text, Self::Json]
            .into_iter()
            .find(|format| *format as u32 == number)
            .ok_or_else(|| Refusal::invalid(format!("{number} is no format: expected 0 to 3")))
    }
}

/// What a core module looks at piece by piece.
#[derive(Default)]
pub(super) struct Current {
    signal: Option<Signal>,
    spawned: Option<Pid>,
    error: String,
}

/// Answers a call from the guest's memory and what its process knows of itself.
fn call(caller: &mut Caller<'_, State>, act: impl FnOnce(&mut [u8], &mut Own) -> Result<i32, Refusal>) -> Result<i32> {
    let (memory, state) = split(caller)?;
    let answer = act(memory, state.own_mut());
    Ok(settle(state.own_mut(), answer))
}

/// The answer as a number; the text of an error is kept for the guest to ask for.
fn settle(own: &mut Own, answer: Result<i32, Refusal>) -> i32 {
    answer.unwrap_or_else(|refusal| {
        own.current.error = refusal.message;
        number(refusal.code)
    })
}

/// The number of an error: the codes in their order, below what is not there.
fn number(code: Code) -> i32 {
    NOTHING - 1 - code as i32
}

pub(in crate::wasm::host) fn add_to_core_linker(linker: &mut Linker<State>) -> Result<()> {
    add_self(linker)?;
    add_sending(linker)?;
    add_receiving(linker)?;
    signal::add(linker)?;
    add_peers(linker)?;
    add_names(linker)
}

fn add_self(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, "self", |mut caller: Caller<'_, State>, to: u32, room: u32| {
        call(&mut caller, |memory, own| fill(memory, Region(to, room), own.pid().to_string().as_bytes()))
    })?;
    linker.func_wrap(MODULE, "entry", |mut caller: Caller<'_, State>, to: u32, room: u32| {
        call(&mut caller, |memory, own| fill(memory, Region(to, room), own.entry().to_string().as_bytes()))
    })?;
    linker.func_wrap(MODULE, "parent", |mut caller: Caller<'_, State>, to: u32, room: u32| {
        call(&mut caller, |memory, own| match own.peers().parent() {
            Some(parent) => fill(memory, Region(to, room), parent.to_string().as_bytes()),
            None => Ok(NOTHING),
        })
    })?;
    linker.func_wrap(MODULE, "error", |mut caller: Caller<'_, State>, to: u32, room: u32| {
        call(&mut caller, |memory, own| fill(memory, Region(to, room), own.current.error.as_bytes()))
    })?;
    Ok(())
}

fn add_sending(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, "spawn", |mut caller: Caller<'_, State>, options: u32| {
        call(&mut caller, |memory, own| {
            let spawn = spawn_of(memory, options)?;
            own.current.spawned = Some(own.spawn(spawn)?);
            Ok(0)
        })
    })?;
    linker.func_wrap(MODULE, "spawned", |mut caller: Caller<'_, State>, to: u32, room: u32| {
        call(&mut caller, |memory, own| match &own.current.spawned {
            Some(pid) => fill(memory, Region(to, room), pid.to_string().as_bytes()),
            None => Ok(NOTHING),
        })
    })?;
    linker.func_wrap_async(
        MODULE,
        "send",
        |mut caller: Caller<'_, State>, arguments: (u32, u32, u32, u32, u32, u32, u32, u32)| {
            Box::new(async move {
                let (to, to_len, topic, topic_len, format, data, data_len, flags) = arguments;
                let (memory, state) = split(&mut caller)?;
                let transfer_max = transfer_max(state.usage());
                let own = state.own_mut();
                let message = || -> Result<(&str, Message), Refusal> {
                    let payload = payload_of(memory, Format::of(format)?, Region(data, data_len), transfer_max)?;
                    let to = text(memory, Region(to, to_len))?;
                    let topic = text(memory, Region(topic, topic_len))?;
                    Ok((to, Own::message(topic, payload.into_iter().collect())?))
                };
                let sent = match message() {
                    Ok((to, message)) if flags & SEND_WAIT != 0 => match own.sending(to, message) {
                        Ok(sending) => sending.await,
                        Err(refusal) => Err(refusal),
                    },
                    Ok((to, message)) => own.send(to, message),
                    Err(refusal) => Err(refusal),
                };
                Ok(settle(caller.data_mut().own_mut(), sent.map(|()| 0)))
            })
        },
    )?;
    Ok(())
}

fn add_receiving(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap_async(MODULE, "receive", |mut caller: Caller<'_, State>, (timeout,): (i64,)| {
        Box::new(async move {
            let own = caller.data_mut().own_mut();
            // Not kept while the next one is waited for.
            own.current.signal = None;
            let message = own.wait(timeout_of(timeout), Inbox::poll_message).await;
            Ok(signal::keep(own, message.map(Signal::Message)))
        })
    })?;
    linker.func_wrap_async(MODULE, "next_event", |mut caller: Caller<'_, State>, (timeout,): (i64,)| {
        Box::new(async move {
            let own = caller.data_mut().own_mut();
            own.current.signal = None;
            let event = own.wait(timeout_of(timeout), Inbox::poll_event).await;
            Ok(signal::keep(own, event.map(Signal::Event)))
        })
    })?;
    linker.func_wrap_async(MODULE, "next", |mut caller: Caller<'_, State>, (timeout,): (i64,)| {
        Box::new(async move {
            let own = caller.data_mut().own_mut();
            own.current.signal = None;
            let signal = own.wait(timeout_of(timeout), Inbox::poll_signal).await;
            Ok(signal::keep(own, signal))
        })
    })?;
    linker.func_wrap(MODULE, "drop_oldest", |mut caller: Caller<'_, State>, topic: u32, len: u32| {
        call(&mut caller, |memory, own| own.drop_oldest(text(memory, Region(topic, len))?).map(|()| 0))
    })?;
    linker.func_wrap(MODULE, "trap_links", |caller: Caller<'_, State>, trap: u32| {
        caller.data().own().inbox().trap_links(trap != 0);
        0
    })?;
    Ok(())
}

fn add_peers(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, "monitor", |mut caller: Caller<'_, State>, target: u32, len: u32| {
        to_peer(&mut caller, Region(target, len), &Deed::Monitor)
    })?;
    linker.func_wrap(MODULE, "unmonitor", |mut caller: Caller<'_, State>, target: u32, len: u32| {
        to_peer(&mut caller, Region(target, len), &Deed::Unmonitor)
    })?;
    linker.func_wrap(MODULE, "link", |mut caller: Caller<'_, State>, target: u32, len: u32| {
        to_peer(&mut caller, Region(target, len), &Deed::Link)
    })?;
    linker.func_wrap(MODULE, "unlink", |mut caller: Caller<'_, State>, target: u32, len: u32| {
        to_peer(&mut caller, Region(target, len), &Deed::Unlink)
    })?;
    linker.func_wrap(MODULE, "terminate", |mut caller: Caller<'_, State>, target: u32, len: u32| {
        to_peer(&mut caller, Region(target, len), &Deed::Terminate)
    })?;
    linker.func_wrap(
        MODULE,
        "cancel",
        |mut caller: Caller<'_, State>, target: u32, len: u32, reason: u32, reason_len: u32| {
            call(&mut caller, |memory, own| {
                let reason = text(memory, Region(reason, reason_len))?;
                own.to_peer(text(memory, Region(target, len))?, &Deed::Cancel(reason)).map(|()| 0)
            })
        },
    )?;
    Ok(())
}

fn add_names(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "register",
        |mut caller: Caller<'_, State>, name: u32, len: u32, target: u32, target_len: u32| {
            call(&mut caller, |memory, own| {
                let target = text(memory, Region(target, target_len))?;
                let target = Some(target).filter(|target| !target.is_empty());
                own.register(text(memory, Region(name, len))?, target).map(|()| 0)
            })
        },
    )?;
    linker.func_wrap(MODULE, "unregister", |mut caller: Caller<'_, State>, name: u32, len: u32| {
        call(&mut caller, |memory, own| own.unregister(text(memory, Region(name, len))?).map(|()| 0))
    })?;
    linker.func_wrap(MODULE, "lookup", |mut caller: Caller<'_, State>, name: u32, len: u32, to: u32, room: u32| {
        call(&mut caller, |memory, own| match own.peers().lookup(text(memory, Region(name, len))?) {
            Some(pid) => fill(memory, Region(to, room), pid.to_string().as_bytes()),
            None => Ok(NOTHING),
        })
    })?;
    Ok(())
}

fn to_peer(caller: &mut Caller<'_, State>, target: Region, deed: &Deed<'_>) -> Result<i32> {
    call(caller, |memory, own| own.to_peer(text(memory, target)?, deed).map(|()| 0))
}

/// Nanoseconds; anything below zero is no end.
fn timeout_of(nanos: i64) -> Option<u64> {
    u64::try_from(nanos).ok()
}

/// What a guest says of a start: `struct wippy_spawn`.
fn spawn_of(memory: &[u8], at: u32) -> Result<Spawn, Refusal> {
    let [entry, entry_len, host, host_len, name, name_len, arguments, arguments_len, flags] = words(memory, at)?;
    let some = |start, len| -> Result<Option<String>, Refusal> {
        let text = text(memory, Region(start, len))?;
        Ok(Some(text).filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let arguments = match text(memory, Region(arguments, arguments_len))? {
        "" => Vec::new(),
        json => match json_of(json)? {
            Payload::List(arguments) => arguments,
            other => return Err(Refusal::invalid(format!("the arguments are a JSON list, not {}", other.kind()))),
        },
    };
    Ok(Spawn {
        entry: text(memory, Region(entry, entry_len))?.to_owned(),
        arguments,
        host: some(host, host_len)?,
        name: some(name, name_len)?,
        monitor: flags & SPAWN_MONITOR != 0,
        link: flags & SPAWN_LINK != 0,
        trap_links: flags & SPAWN_TRAP_LINKS != 0,
        ..Spawn::default()
    })
}

/// A payload in a guest's memory, copied once.
fn payload_of(memory: &[u8], format: Format, region: Region, transfer_max: usize) -> Result<Option<Payload>, Refusal> {
    Ok(match format {
        Format::None => None,
        Format::Bytes => Some(copied(memory, region, transfer_max)?.into()),
        Format::Text => {
            let bytes = copied(memory, region, transfer_max)?;
            Some(String::from_utf8(bytes).map_err(|error| Refusal::invalid(error.to_string()))?.into())
        }
        Format::Json => Some(json_of(text(memory, region)?)?),
    })
}

fn json_of(text: &str) -> Result<Payload, Refusal> {
    if text.len() > JSON_BYTES_MAX {
        let message = format!("JSON of {} bytes; a call takes {JSON_BYTES_MAX}", text.len());
        return Err(Refusal { code: Code::TooLarge, message });
    }
    Payload::parse_json(text).map_err(|error| Refusal::invalid(format!("this is no JSON: {error}")))
}
