//! `io`: the terminal of a command. Elsewhere there is none, and every function says so.

mod read;

use std::sync::Arc;
use std::task::Poll;

use mlua::Table;

use crate::limits::WaitReason;
use crate::limits::wait_for;
use crate::lua::call::{Answer, Args, Reply};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::own::Own;
use crate::lua::terminal::Sink;
use crate::lua::vm::Builder;
use crate::process::Exit;

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    for (name, stream) in [("write", Stream::Output), ("ewrite", Stream::Errors)] {
        fields.raw_set(name, builder.raw(name, move |lua, own, args| write(lua, own, args, stream))?)?;
    }
    fields.raw_set("read", builder.function("read", read::read)?)?;
    fields.raw_set("readline", builder.function("readline", read::readline)?)?;
    // `print` and `eprint` ask `tostring` of what they are given, which may be a function of the script.
    builder.run::<()>("io", include_str!("io.lua"), (builder.core, &fields))?;
    Ok(fields)
}

#[derive(Clone, Copy)]
enum Stream {
    Output,
    Errors,
}

/// What is said where there is no terminal.
fn no_terminal() -> ErrorObject {
    ErrorObject::new(Kind::Unavailable, "no terminal context: only a command on a `terminal.host` has one")
}

/// Writes one text, waiting for room as long as it takes.
fn write(lua: &mlua::Lua, own: &Arc<Own>, args: &mut Args, stream: Stream) -> Answer {
    let text = args.bytes()?;
    let sink = match &*own.streams.lock() {
        None => return Err(no_terminal().into()),
        Some(streams) => match stream {
            Stream::Output => Arc::clone(&streams.output),
            Stream::Errors => Arc::clone(&streams.errors),
        },
    };
    let bytes = text.as_bytes();
    if let Err(limit) = own.usage.add_out(bytes.len()) {
        return own.end(Exit::LimitExceeded(limit));
    }
    let written = put(&*sink, &bytes).map_err(failed)?;
    if written == bytes.len() {
        return Reply::values(lua, true);
    }
    // What waits is out of reach of Lua's collector, and of its limit.
    let rest = bytes[written..].to_vec();
    let charge =
        own.usage.charge(rest.len()).map_err(|limit| ErrorObject::new(Kind::Unavailable, limit.to_string()))?;
    let mut left = written..written + rest.len();
    let ready = wait_for(WaitReason::Output, move |context| {
        let _held = &charge;
        loop {
            match put(&*sink, &rest[left.start - written..]) {
                Ok(put) => left.start += put,
                Err(message) => return Poll::Ready(Err(message)),
            }
            if left.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if sink.poll_ready(context).is_pending() {
                return Poll::Pending;
            }
        }
    });
    Reply::wait(WaitReason::Output, ready, |lua, result| match result {
        Ok(()) => Reply::values(lua, true),
        Err(message) => Err(failed(message).into()),
    })
}

/// Writes as much as there is room for.
fn put(sink: &dyn Sink, bytes: &[u8]) -> Result<usize, String> {
    let room = sink.room()?.min(bytes.len());
    if room > 0 {
        sink.write(&bytes[..room])?;
    }
    Ok(room)
}

fn failed(message: String) -> ErrorObject {
    ErrorObject::new(Kind::Internal, message)
}
