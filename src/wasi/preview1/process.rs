//! Arguments, environment, random bytes, yielding and the end of the process.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use wasmtime::{Caller, Linker, Result};

use super::MODULE;
use super::errno::{Errno, code};
use super::memory::{Guest, split};
use crate::wasi::error::GuestExit;
use crate::wasi::state::WasiView;

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    linker
        .func_wrap(MODULE, "args_sizes_get", |mut caller: Caller<'_, T>, count: u32, bytes: u32| {
            let (mut guest, data) = split(&mut caller)?;
            let args = data.wasi().config.args.clone();
            Ok::<_, wasmtime::Error>(code(write_sizes(&mut guest, (count, bytes), args.iter().map(String::len))))
        })?
        .func_wrap(MODULE, "args_get", |mut caller: Caller<'_, T>, pointers: u32, bytes: u32| {
            let (mut guest, data) = split(&mut caller)?;
            let args = data.wasi().config.args.clone();
            Ok::<_, wasmtime::Error>(code(write_texts(
                &mut guest,
                (pointers, bytes),
                args.iter().map(|arg| [arg.as_str()]),
            )))
        })?
        .func_wrap(MODULE, "environ_sizes_get", |mut caller: Caller<'_, T>, count: u32, bytes: u32| {
            let (mut guest, data) = split(&mut caller)?;
            let env = data.wasi().config.env.clone();
            let lengths = env.iter().map(|(name, value)| name.len() + 1 + value.len());
            Ok::<_, wasmtime::Error>(code(write_sizes(&mut guest, (count, bytes), lengths)))
        })?
        .func_wrap(MODULE, "environ_get", |mut caller: Caller<'_, T>, pointers: u32, bytes: u32| {
            let (mut guest, data) = split(&mut caller)?;
            let env = data.wasi().config.env.clone();
            let texts = env.iter().map(|(name, value)| [name.as_str(), "=", value.as_str()]);
            Ok::<_, wasmtime::Error>(code(write_texts(&mut guest, (pointers, bytes), texts)))
        })?
        .func_wrap(MODULE, "random_get", |mut caller: Caller<'_, T>, start: u32, len: u32| {
            let (mut guest, data) = split(&mut caller)?;
            let filled = guest.slice(start, len).map(|bytes| data.wasi().fill_random(bytes));
            Ok::<_, wasmtime::Error>(code(filled))
        })?
        .func_wrap(MODULE, "proc_exit", |_: Caller<'_, T>, code: u32| -> Result<()> { Err(GuestExit { code }.into()) })?
        .func_wrap_async(MODULE, "sched_yield", |caller: Caller<'_, T>, (): ()| {
            YIELDS.set(caller.data().others_wait());
            Box::new(Yield)
        })?;
    Ok(())
}

thread_local! {
    /// Whether the [`Yield`] that this thread has just made lets others run.
    static YIELDS: Cell<bool> = const { Cell::new(false) };
}

/// Lets others run once, where that is wanted. It carries nothing, so that a box of it is no allocation: the engine polls it for the
/// first time where it was made, and from the second time on it is over, on whatever thread.
struct Yield;

impl Future for Yield {
    type Output = i32;

    // Never inlined: the caller may go on with another thread afterwards, and must not keep the address of the thread-local.
    #[inline(never)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<i32> {
        if YIELDS.take() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(0)
    }
}

/// Writes how many texts there are and how many bytes they need, each with a zero byte behind it.
fn write_sizes(
    guest: &mut Guest<'_>,
    (count_at, bytes_at): (u32, u32),
    lengths: impl ExactSizeIterator<Item = usize>,
) -> Result<(), Errno> {
    let count = u32::try_from(lengths.len()).map_err(|_| Errno::OVERFLOW)?;
    let bytes = u32::try_from(lengths.map(|length| length + 1).sum::<usize>()).map_err(|_| Errno::OVERFLOW)?;
    guest.write_u32(count_at, count)?;
    guest.write_u32(bytes_at, bytes)
}

/// Writes texts, each from its parts and with a zero byte behind it, and a pointer to each.
fn write_texts<'a, const N: usize>(
    guest: &mut Guest<'_>,
    (mut pointer_at, mut text_at): (u32, u32),
    texts: impl Iterator<Item = [&'a str; N]>,
) -> Result<(), Errno> {
    for parts in texts {
        guest.write_u32(pointer_at, text_at)?;
        pointer_at = pointer_at.checked_add(4).ok_or(Errno::FAULT)?;
        for part in parts.iter().map(|part| part.as_bytes()).chain([&b"\0"[..]]) {
            guest.write(text_at, part)?;
            text_at = text_at.checked_add(part.len() as u32).ok_or(Errno::FAULT)?;
        }
    }
    Ok(())
}
