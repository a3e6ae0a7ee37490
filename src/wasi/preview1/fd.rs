//! Descriptors: the three standard streams.

use std::sync::Arc;

use wasmtime::{Caller, Linker, Memory, Result};

use super::MODULE;
use super::errno::{Errno, code};
use super::memory::{Buffer, Guest, memory, split};
use crate::wasi::state::{WasiState, WasiView};
use crate::wasi::stdio::{Input, Output, StreamFailure, TRANSFER_BYTES_MAX};

const RIGHT_READ: u64 = 1 << 1;
const RIGHT_SET_FLAGS: u64 = 1 << 3;
const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_FILESTAT: u64 = 1 << 21;
const RIGHT_POLL: u64 = 1 << 27;

const FILETYPE_UNKNOWN: u8 = 0;
const FILETYPE_CHARACTER_DEVICE: u8 = 2;

/// The descriptor does not wait: `again` instead.
const FLAG_NONBLOCK: u16 = 1 << 2;
/// Writes go to the end: true of any stream.
const FLAG_APPEND: u16 = 1 << 0;

/// What a process has open by number.
#[derive(Debug)]
pub(in crate::wasi) struct Descriptors {
    /// The flags of each open standard stream.
    standard: [Option<u16>; 3],
}

impl Default for Descriptors {
    fn default() -> Descriptors {
        Descriptors { standard: [Some(0); 3] }
    }
}

impl Descriptors {
    fn flags(&mut self, fd: u32) -> Result<&mut u16, Errno> {
        self.standard.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    fn close(&mut self, fd: u32) -> Result<(), Errno> {
        self.standard.get_mut(fd as usize).and_then(Option::take).map(|_| ()).ok_or(Errno::BADF)
    }
}

/// What a descriptor number stands for.
pub(super) enum Stream {
    Input(Arc<dyn Input>),
    Output(Arc<dyn Output>),
}

impl Stream {
    fn is_terminal(&self) -> bool {
        match self {
            Stream::Input(input) => input.is_terminal(),
            Stream::Output(output) => output.is_terminal(),
        }
    }

    fn filetype(&self) -> u8 {
        if self.is_terminal() { FILETYPE_CHARACTER_DEVICE } else { FILETYPE_UNKNOWN }
    }
}

impl WasiState {
    /// The stream behind an open descriptor, and whether it waits.
    pub(super) fn stream(&mut self, fd: u32) -> Result<(Stream, bool), Errno> {
        let waits = *self.descriptors.flags(fd)? & FLAG_NONBLOCK == 0;
        let stream = match fd {
            0 => Stream::Input(self.config.stdin.clone()),
            1 => Stream::Output(self.config.stdout.clone()),
            _ => Stream::Output(self.config.stderr.clone()),
        };
        Ok((stream, waits))
    }
}

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    linker
        .func_wrap_async(
            MODULE,
            "fd_read",
            |mut caller: Caller<'_, T>, (fd, iovs, count, out): (u32, u32, u32, u32)| {
                Box::new(async move {
                    let memory = memory(&mut caller)?;
                    Ok::<_, wasmtime::Error>(code(read(&mut caller, memory, fd, (iovs, count), out).await))
                })
            },
        )?
        .func_wrap_async(
            MODULE,
            "fd_write",
            |mut caller: Caller<'_, T>, (fd, iovs, count, out): (u32, u32, u32, u32)| {
                Box::new(async move {
                    let memory = memory(&mut caller)?;
                    Ok::<_, wasmtime::Error>(code(write(&mut caller, memory, fd, (iovs, count), out).await))
                })
            },
        )?
        .func_wrap(MODULE, "fd_close", |mut caller: Caller<'_, T>, fd: u32| {
            code(caller.data_mut().wasi().descriptors.close(fd))
        })?
        .func_wrap(MODULE, "fd_fdstat_get", |mut caller: Caller<'_, T>, fd: u32, out: u32| {
            let (mut guest, data) = split(&mut caller)?;
            Ok::<_, wasmtime::Error>(code(write_fdstat(&mut guest, data.wasi(), fd, out)))
        })?
        .func_wrap(MODULE, "fd_fdstat_set_flags", |mut caller: Caller<'_, T>, fd: u32, flags: u32| {
            let changed = caller.data_mut().wasi().descriptors.flags(fd).and_then(|current| {
                let flags = u16::try_from(flags).map_err(|_| Errno::INVAL)?;
                if flags & !(FLAG_NONBLOCK | FLAG_APPEND) != 0 {
                    return Err(Errno::NOTSUP);
                }
                *current = flags;
                Ok(())
            });
            code(changed)
        })?
        .func_wrap(MODULE, "fd_filestat_get", |mut caller: Caller<'_, T>, fd: u32, out: u32| {
            let (mut guest, data) = split(&mut caller)?;
            Ok::<_, wasmtime::Error>(code(write_filestat(&mut guest, data.wasi(), fd, out)))
        })?
        .func_wrap(MODULE, "fd_seek", |mut caller: Caller<'_, T>, fd: u32, _: i64, _: u32, _: u32| {
            code(no_position(caller.data_mut().wasi(), fd))
        })?
        .func_wrap(MODULE, "fd_tell", |mut caller: Caller<'_, T>, fd: u32, _: u32| {
            code(no_position(caller.data_mut().wasi(), fd))
        })?;
    Ok(())
}

fn no_position(state: &mut WasiState, fd: u32) -> Result<(), Errno> {
    state.descriptors.flags(fd)?;
    Err(Errno::SPIPE)
}

fn write_fdstat(guest: &mut Guest<'_>, state: &mut WasiState, fd: u32, out: u32) -> Result<(), Errno> {
    let flags = *state.descriptors.flags(fd)?;
    let (stream, _) = state.stream(fd)?;
    let direction = if matches!(stream, Stream::Input(_)) { RIGHT_READ } else { RIGHT_WRITE };
    let rights = direction | RIGHT_SET_FLAGS | RIGHT_FILESTAT | RIGHT_POLL;
    let mut fdstat = [0; 24];
    fdstat[0] = stream.filetype();
    fdstat[2..4].copy_from_slice(&flags.to_le_bytes());
    fdstat[8..16].copy_from_slice(&rights.to_le_bytes());
    guest.write(out, &fdstat)
}

fn write_filestat(guest: &mut Guest<'_>, state: &mut WasiState, fd: u32, out: u32) -> Result<(), Errno> {
    let (stream, _) = state.stream(fd)?;
    let mut filestat = [0; 64];
    filestat[16] = stream.filetype();
    guest.write(out, &filestat)
}

async fn read<T: WasiView>(
    caller: &mut Caller<'_, T>,
    memory: Memory,
    fd: u32,
    (iovs, count): (u32, u32),
    out: u32,
) -> Result<(), Errno> {
    let (Stream::Input(input), waits) = caller.data_mut().wasi().stream(fd)? else { return Err(Errno::BADF) };
    let buffers = Guest(memory.data_mut(&mut *caller)).buffers(iovs, count)?;
    let wanted = total(&buffers).min(TRANSFER_BYTES_MAX as u64) as usize;
    let bytes = loop {
        if wanted == 0 {
            break bytes::Bytes::new();
        }
        match input.read(wanted) {
            // The end is a read of nothing.
            Err(StreamFailure::Closed) => break bytes::Bytes::new(),
            Err(failure) => return Err(failure.into()),
            Ok(bytes) if !bytes.is_empty() => break bytes,
            Ok(_) if !waits => return Err(Errno::AGAIN),
            Ok(_) => std::future::poll_fn(|cx| input.poll_ready(cx)).await,
        }
    };
    let (data, store) = memory.data_and_store_mut(&mut *caller);
    store.wasi().usage.add_in(bytes.len());
    let mut guest = Guest(data);
    let mut rest = &bytes[..];
    for buffer in buffers {
        let (now, later) = rest.split_at(rest.len().min(buffer.len as usize));
        guest.write(buffer.start, now)?;
        rest = later;
    }
    guest.write_u32(out, bytes.len() as u32)
}

async fn write<T: WasiView>(
    caller: &mut Caller<'_, T>,
    memory: Memory,
    fd: u32,
    (iovs, count): (u32, u32),
    out: u32,
) -> Result<(), Errno> {
    let (Stream::Output(output), waits) = caller.data_mut().wasi().stream(fd)? else { return Err(Errno::BADF) };
    let buffers = Guest(memory.data_mut(&mut *caller)).buffers(iovs, count)?;
    let mut written: u32 = 0;
    let mut failed = None;
    'all: for mut buffer in buffers {
        while buffer.len > 0 {
            match write_some(caller, memory, &*output, buffer) {
                Ok(0) if waits => std::future::poll_fn(|cx| output.poll_ready(cx)).await,
                Ok(0) => {
                    failed = Some(Errno::AGAIN);
                    break 'all;
                }
                Ok(taken) => {
                    // Wraps only with the last byte of a full memory, when nothing is left.
                    buffer = Buffer { start: buffer.start.wrapping_add(taken), len: buffer.len - taken };
                    written = written.checked_add(taken).ok_or(Errno::OVERFLOW)?;
                }
                Err(errno) => {
                    failed = Some(errno);
                    break 'all;
                }
            }
        }
    }
    // What went out counts; the failure comes back at the next call.
    if let (Some(errno), 0) = (failed, written) {
        return Err(errno);
    }
    Guest(memory.data_mut(caller)).write_u32(out, written)
}

/// Writes what there is room for and says how much that was.
fn write_some<T: WasiView>(
    caller: &mut Caller<'_, T>,
    memory: Memory,
    output: &dyn Output,
    buffer: Buffer,
) -> Result<u32, Errno> {
    let room = output.room()?.min(TRANSFER_BYTES_MAX);
    let taken = buffer.len.min(room as u32);
    if taken > 0 {
        let (data, store) = memory.data_and_store_mut(caller);
        output.write(Guest(data).slice(buffer.start, taken)?)?;
        store.wasi().usage.add_out(taken as usize);
    }
    Ok(taken)
}

fn total(buffers: &[Buffer]) -> u64 {
    buffers.iter().map(|buffer| u64::from(buffer.len)).sum()
}
