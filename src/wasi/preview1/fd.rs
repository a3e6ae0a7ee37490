//! Reading, writing and seeking by number.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wasmtime::{Caller, Linker, Memory, Result};

use super::descriptors::{Entry, Stream};
use super::errno::{Errno, Refusal, code};
use super::memory::{Buffer, Guest, memory};
use super::{MODULE, waiting};
use crate::limits::{WaitReason, wait_for};
use crate::wasi::filesystem::{FILE_TRANSFER_MAX, File, Place, poll_read, poll_write};
use crate::wasi::state::WasiView;
use crate::wasi::stdio::{Input, Output, StreamFailure, TRANSFER_BYTES_MAX};

const WHENCE_START: u32 = 0;
const WHENCE_HERE: u32 = 1;
const WHENCE_END: u32 = 2;

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    waiting!(linker, "fd_read", |caller, fd: u32, iovs: u32, count: u32, out: u32| {
        read(caller, fd, (iovs, count), None, out)
    });
    waiting!(linker, "fd_pread", |caller, fd: u32, iovs: u32, count: u32, offset: u64, out: u32| {
        read(caller, fd, (iovs, count), Some(offset), out)
    });
    waiting!(linker, "fd_write", |caller, fd: u32, iovs: u32, count: u32, out: u32| {
        write(caller, fd, (iovs, count), None, out)
    });
    waiting!(linker, "fd_pwrite", |caller, fd: u32, iovs: u32, count: u32, offset: u64, out: u32| {
        write(caller, fd, (iovs, count), Some(offset), out)
    });
    waiting!(linker, "fd_seek", |caller, fd: u32, offset: i64, whence: u32, out: u32| {
        seek(caller, fd, (offset, whence), out)
    });
    waiting!(linker, "fd_tell", |caller, fd: u32, out: u32| seek(caller, fd, (0, WHENCE_HERE), out));
    linker
        .func_wrap(MODULE, "fd_close", |mut caller: Caller<'_, T>, fd: u32| {
            code(caller.data_mut().wasi().descriptors().close(fd))
        })?
        .func_wrap(MODULE, "fd_renumber", |mut caller: Caller<'_, T>, from: u32, to: u32| {
            code(caller.data_mut().wasi().descriptors().renumber(from, to))
        })?;
    Ok(())
}

async fn read<T: WasiView>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    (iovs, count): (u32, u32),
    offset: Option<u64>,
    out: u32,
) -> Result<(), Refusal> {
    let memory = memory(caller)?;
    let (stream, waits) = caller.data_mut().wasi().stream(fd)?;
    let buffers = Guest(memory.data_mut(&mut *caller)).buffers(iovs, count)?;
    let read = match stream {
        Stream::Output(_) => return Err(Errno::BADF.into()),
        Stream::Input(_) if offset.is_some() => return Err(Errno::SPIPE.into()),
        Stream::Input(input) => {
            let bytes = read_input(&*input, total(&buffers), waits).await?;
            caller.data_mut().wasi().usage().add_in(bytes.len());
            scatter(caller, memory, &buffers, &bytes)?
        }
        Stream::File { file, position, .. } => {
            let read = read_file(caller, memory, &file, &buffers, offset.unwrap_or(position), waits).await?;
            if offset.is_none() && file.polled().is_none() {
                advance(caller, fd, &file, position + u64::from(read));
            }
            read
        }
    };
    Ok(Guest(memory.data_mut(caller)).write_u32(out, read)?)
}

async fn read_input(input: &dyn Input, wanted: u64, waits: bool) -> Result<Bytes, Errno> {
    let wanted = wanted.min(TRANSFER_BYTES_MAX as u64) as usize;
    loop {
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        match input.read(wanted) {
            // The end is a read of nothing.
            Err(StreamFailure::Closed) => return Ok(Bytes::new()),
            Err(failure) => return Err(failure.into()),
            Ok(bytes) if !bytes.is_empty() => return Ok(bytes),
            Ok(_) if !waits => return Err(Errno::AGAIN),
            Ok(_) => wait_for(WaitReason::Stdin, |cx| input.poll_ready(cx)).await,
        }
    }
}

/// Reads from a file: what is cached straight into the guest's memory, otherwise on the blocking pool or after an event.
async fn read_file<T: WasiView>(
    caller: &mut Caller<'_, T>,
    memory: Memory,
    file: &Arc<File>,
    buffers: &[Buffer],
    offset: u64,
    waits: bool,
) -> Result<u32, Refusal> {
    file.check_read()?;
    let wanted = total(buffers).min(FILE_TRANSFER_MAX as u64) as usize;
    if wanted == 0 {
        return Ok(0);
    }
    if let Some(polled) = file.polled() {
        let mut bytes = vec![0; wanted.min(TRANSFER_BYTES_MAX)];
        let read = if waits {
            wait_for(WaitReason::File, |cx| poll_read(polled, cx, &mut bytes)).await
        } else {
            match poll_read(polled, &mut Context::from_waker(Waker::noop()), &mut bytes) {
                Poll::Ready(read) => read,
                Poll::Pending => return Err(Errno::AGAIN.into()),
            }
        };
        let read = read.map_err(|error| Errno::from(StreamFailure::from(error)))?;
        return scatter(caller, memory, buffers, &bytes[..read]);
    }
    let cached = read_cached(&mut Guest(memory.data_mut(&mut *caller)), file, buffers, offset, wanted)?;
    if cached > 0 {
        return Ok(cached);
    }
    let bytes = file.read_at(wanted, offset).await?;
    scatter(caller, memory, buffers, &bytes)
}

/// Fills the buffers one after the other, until one stays short.
fn read_cached(
    guest: &mut Guest<'_>,
    file: &File,
    buffers: &[Buffer],
    offset: u64,
    wanted: usize,
) -> Result<u32, Errno> {
    let mut done: u32 = 0;
    for buffer in buffers.iter().filter(|buffer| buffer.len > 0) {
        let len = buffer.len.min(wanted as u32 - done);
        let read = match file.read_cached(guest.slice(buffer.start, len)?, offset + u64::from(done)) {
            Some(Ok(read)) => read as u32,
            // What was read counts; the failure comes back at the next call.
            Some(Err(error)) if done == 0 => return Err(StreamFailure::from(error).into()),
            Some(Err(_)) | None => break,
        };
        done += read;
        if read < len || done as usize == wanted {
            break;
        }
    }
    Ok(done)
}

/// Copies bytes into the buffers, and says how many there were.
fn scatter<T: WasiView>(
    caller: &mut Caller<'_, T>,
    memory: Memory,
    buffers: &[Buffer],
    bytes: &[u8],
) -> Result<u32, Refusal> {
    let mut guest = Guest(memory.data_mut(caller));
    let mut rest = bytes;
    for buffer in buffers {
        let (now, later) = rest.split_at(rest.len().min(buffer.len as usize));
        guest.write(buffer.start, now)?;
        rest = later;
    }
    Ok(bytes.len() as u32)
}

/// Moves the guest's position, if the number still stands for the file.
fn advance<T: WasiView>(caller: &mut Caller<'_, T>, fd: u32, file: &Arc<File>, position: u64) {
    if let Ok(open) = caller.data_mut().wasi().descriptors().file(fd)
        && Arc::ptr_eq(&open.file, file)
    {
        open.position = position;
    }
}

async fn write<T: WasiView>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    (iovs, count): (u32, u32),
    offset: Option<u64>,
    out: u32,
) -> Result<(), Refusal> {
    let memory = memory(caller)?;
    let (stream, waits) = caller.data_mut().wasi().stream(fd)?;
    let buffers = Guest(memory.data_mut(&mut *caller)).buffers(iovs, count)?;
    let written = match stream {
        Stream::Input(_) => return Err(Errno::BADF.into()),
        Stream::Output(_) if offset.is_some() => return Err(Errno::SPIPE.into()),
        Stream::Output(output) => write_output(caller, memory, &*output, buffers, waits).await?,
        Stream::File { file, position, append } => {
            let bytes = gather(&mut Guest(memory.data_mut(&mut *caller)), &buffers)?;
            file.check_write()?;
            match (offset, append) {
                _ if bytes.is_empty() => 0,
                (None, _) if file.polled().is_some() => write_polled(&file, &bytes, waits).await?,
                (Some(offset), _) => file.write(bytes, Place::At(offset)).await? as u32,
                (None, false) => {
                    let written = file.write(bytes, Place::At(position)).await? as u32;
                    advance(caller, fd, &file, position + u64::from(written));
                    written
                }
                (None, true) => {
                    let written = file.write(bytes, Place::End).await? as u32;
                    let end = file.size().await?;
                    advance(caller, fd, &file, end);
                    written
                }
            }
        }
    };
    Ok(Guest(memory.data_mut(caller)).write_u32(out, written)?)
}

async fn write_polled(file: &File, bytes: &[u8], waits: bool) -> Result<u32, Errno> {
    let Some(polled) = file.polled() else { return Err(Errno::SPIPE) };
    let mut written = 0;
    // As a blocking pipe does: all of it, or what went out before the reader left.
    while written < bytes.len() {
        let rest = &bytes[written..];
        let result = if waits {
            wait_for(WaitReason::File, |cx| poll_write(polled, cx, rest)).await
        } else {
            match poll_write(polled, &mut Context::from_waker(Waker::noop()), rest) {
                Poll::Ready(result) => result,
                Poll::Pending if written > 0 => break,
                Poll::Pending => return Err(Errno::AGAIN),
            }
        };
        match result {
            Ok(count) => written += count,
            Err(_) if written > 0 => break,
            Err(error) => return Err(StreamFailure::from(error).into()),
        }
    }
    Ok(written as u32)
}

/// The bytes of the buffers, as many as one write of a file takes.
fn gather(guest: &mut Guest<'_>, buffers: &[Buffer]) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(total(buffers).min(FILE_TRANSFER_MAX as u64) as usize);
    for buffer in buffers {
        let room = FILE_TRANSFER_MAX - bytes.len();
        bytes.extend_from_slice(guest.slice(buffer.start, buffer.len.min(room as u32))?);
    }
    Ok(bytes)
}

async fn write_output<T: WasiView>(
    caller: &mut Caller<'_, T>,
    memory: Memory,
    output: &dyn Output,
    buffers: Vec<Buffer>,
    waits: bool,
) -> Result<u32, Refusal> {
    let mut written: u32 = 0;
    let mut failed = None;
    'all: for mut buffer in buffers {
        while buffer.len > 0 {
            match write_some(caller, memory, output, buffer) {
                Ok(0) if waits => wait_for(WaitReason::Output, |cx| output.poll_ready(cx)).await,
                Ok(0) => {
                    failed = Some(Errno::AGAIN);
                    break 'all;
                }
                Ok(taken) => {
                    // Wraps only with the last byte of a full memory, when nothing is left.
                    buffer = Buffer { start: buffer.start.wrapping_add(taken), len: buffer.len - taken };
                    written = written.checked_add(taken).ok_or(Errno::OVERFLOW)?;
                }
                Err(Refusal::Errno(errno)) => {
                    failed = Some(errno);
                    break 'all;
                }
                Err(end) => return Err(end),
            }
        }
    }
    // What went out counts; the failure comes back at the next call.
    match failed {
        Some(errno) if written == 0 => Err(errno.into()),
        _ => Ok(written),
    }
}

/// Writes what there is room for and says how much that was.
fn write_some<T: WasiView>(
    caller: &mut Caller<'_, T>,
    memory: Memory,
    output: &dyn Output,
    buffer: Buffer,
) -> Result<u32, Refusal> {
    let room = output.room().map_err(Errno::from)?.min(TRANSFER_BYTES_MAX);
    let taken = buffer.len.min(room as u32);
    if taken > 0 {
        let (data, store) = memory.data_and_store_mut(caller);
        store.wasi().usage().add_out(taken as usize).map_err(wasmtime::Error::new)?;
        output.write(Guest(data).slice(buffer.start, taken)?).map_err(Errno::from)?;
    }
    Ok(taken)
}

async fn seek<T: WasiView>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    (offset, whence): (i64, u32),
    out: u32,
) -> Result<(), Refusal> {
    let memory = memory(caller)?;
    let (file, position) = match caller.data_mut().wasi().descriptors().get(fd)? {
        Entry::Standard(_) => return Err(Errno::SPIPE.into()),
        Entry::Directory(_) => return Err(Errno::BADF.into()),
        Entry::File(open) if open.file.polled().is_some() => return Err(Errno::SPIPE.into()),
        Entry::File(open) => (Arc::clone(&open.file), open.position),
    };
    let start = match whence {
        WHENCE_START => 0,
        WHENCE_HERE => position,
        WHENCE_END => file.size().await?,
        _ => return Err(Errno::INVAL.into()),
    };
    let position = start.checked_add_signed(offset).filter(|position| i64::try_from(*position).is_ok());
    let position = position.ok_or(Errno::INVAL)?;
    advance(caller, fd, &file, position);
    Ok(Guest(memory.data_mut(caller)).write_u64(out, position)?)
}

fn total(buffers: &[Buffer]) -> u64 {
    buffers.iter().map(|buffer| u64::from(buffer.len)).sum()
}
