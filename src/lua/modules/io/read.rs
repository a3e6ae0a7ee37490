//! Reading from the terminal: what is there, or a line.

use std::sync::Arc;
use std::task::{Context, Poll};

use mlua::{Lua, Value};

use super::{failed, no_terminal};
use crate::limits::{WaitReason, wait_for};
use crate::lua::call::{Answer, Args, Reply};
use crate::lua::own::Own;

/// Bytes that one read asks the system for, and what `io.read` reads where nobody says.
const READ_BYTES: usize = 1024;

/// The most that one read gives, in bytes.
const READ_BYTES_MAX: usize = 64 << 10;

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Up to so many bytes as soon as there are any; nothing at the end of the input.
pub(super) fn read(_: &Lua, own: &Arc<Own>, args: &mut Args) -> Answer {
    let max = match args.next() {
        Value::Nil => READ_BYTES,
        Value::Integer(count) if count > 0 => usize::try_from(count).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX),
        _ => return Err(args.bad("a number of bytes expected")),
    };
    take(own, move |ahead, at_end| match ahead.len() {
        0 if at_end => Some(Ok(None)),
        0 => None,
        there => Some(Ok(Some(ahead.drain(..there.min(max)).collect()))),
    })
}

/// The next line without its end; nothing at the end of the input.
pub(super) fn readline(_: &Lua, own: &Arc<Own>, _: &mut Args) -> Answer {
    take(own, |ahead, at_end| {
        if let Some(end) = ahead.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = ahead.drain(..=end).collect();
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Some(Ok(Some(line)));
        }
        match ahead.is_empty() {
            true if at_end => Some(Ok(None)),
            false if at_end => Some(Ok(Some(std::mem::take(ahead)))),
            _ if ahead.len() >= LINE_BYTES_MAX => Some(Err(format!("a line of more than {LINE_BYTES_MAX} bytes"))),
            _ => None,
        }
    })
}

type Taken = Result<Option<Vec<u8>>, String>;

/// What `wanted` takes out of what was read, asked again whenever there is more, and at the end of the input.
fn take(own: &Arc<Own>, wanted: impl Fn(&mut Vec<u8>, bool) -> Option<Taken> + Send + 'static) -> Answer {
    if own.streams.lock().is_none() {
        return Err(no_terminal().into());
    }
    let reader = Arc::clone(own);
    let taken = wait_for(WaitReason::Stdin, move |context| poll(&reader, &wanted, context));
    Reply::wait(WaitReason::Stdin, taken, |lua, taken| match taken {
        Ok(Some(bytes)) => Reply::values(lua, lua.create_string(bytes)?),
        Ok(None) => Reply::values(lua, Value::Nil),
        Err(message) => Err(failed(message).into()),
    })
}

fn poll(own: &Own, wanted: &impl Fn(&mut Vec<u8>, bool) -> Option<Taken>, context: &mut Context<'_>) -> Poll<Taken> {
    let mut streams = own.streams.lock();
    let Some(streams) = &mut *streams else { return Poll::Ready(Ok(None)) };
    if let Some(taken) = wanted(&mut streams.ahead, false) {
        return Poll::Ready(taken);
    }
    loop {
        match streams.input.read(READ_BYTES) {
            Ok(bytes) if bytes.is_empty() => {
                if streams.input.poll_ready(context).is_pending() {
                    return Poll::Pending;
                }
            }
            Ok(bytes) => {
                own.usage.add_in(bytes.len());
                streams.ahead.extend_from_slice(&bytes);
                if let Some(taken) = wanted(&mut streams.ahead, false) {
                    return Poll::Ready(taken);
                }
            }
            Err(None) => return Poll::Ready(wanted(&mut streams.ahead, true).unwrap_or(Ok(None))),
            Err(Some(message)) => return Poll::Ready(Err(message)),
        }
    }
}
