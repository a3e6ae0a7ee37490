//! The guest's memory: every access is checked, none is kept over a wait.

use wasmtime::{AsContextMut, Caller, Extern, Memory};

use super::errno::Errno;
use crate::wasi::error::NoMemory;

/// How many buffers one call takes from a vector of them; the rest is left to the guest's next call. What systems allow
/// at least.
const BUFFERS_MAX: u32 = 1024;

/// The longest path that is copied out of a guest: longer than any that the system takes.
const TEXT_BYTES_MAX: usize = 4096;

/// The memory the module exports.
pub(super) fn memory<T>(caller: &mut Caller<'_, T>) -> wasmtime::Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(NoMemory.into()),
    }
}

/// The guest's memory and its host state side by side.
pub(super) fn split<'a, T: 'static>(caller: &'a mut Caller<'_, T>) -> wasmtime::Result<(Guest<'a>, &'a mut T)> {
    let memory = memory(caller)?;
    let (bytes, data) = memory.data_and_store_mut(caller.as_context_mut());
    Ok((Guest(bytes), data))
}

/// A guest's memory during one host call.
pub(super) struct Guest<'a>(pub(super) &'a mut [u8]);

/// A piece of the guest's memory: start and length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Guest<'_> {
    pub(super) fn slice(&mut self, start: u32, len: u32) -> Result<&mut [u8], Errno> {
        let start = start as usize;
        let end = start.checked_add(len as usize).ok_or(Errno::FAULT)?;
        self.0.get_mut(start..end).ok_or(Errno::FAULT)
    }

    pub(super) fn write(&mut self, start: u32, bytes: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::OVERFLOW)?;
        self.slice(start, len)?.copy_from_slice(bytes);
        Ok(())
    }

    /// A path or name: a copy, since the guest's memory is its own while the call waits.
    pub(super) fn text(&mut self, start: u32, len: u32) -> Result<String, Errno> {
        let bytes = self.slice(start, len)?;
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Errno::ILSEQ)
    }

    pub(super) fn write_u32(&mut self, start: u32, value: u32) -> Result<(), Errno> {
        self.write(start, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, start: u32, value: u64) -> Result<(), Errno> {
        self.write(start, &value.to_le_bytes())
    }

    pub(super) fn read<const N: usize>(&mut self, start: u32) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.slice(start, N as u32)?);
        Ok(bytes)
    }

    pub(super) fn read_u32(&mut self, start: u32) -> Result<u32, Errno> {
        Ok(u32::from_le_bytes(self.read(start)?))
    }

    /// The buffers of a vector of `count` of them, at most [`BUFFERS_MAX`], each checked.
    pub(super) fn buffers(&mut self, start: u32, count: u32) -> Result<Vec<Buffer>, Errno> {
        const BUFFER_BYTES: u32 = 8;
        let count = count.min(BUFFERS_MAX);
        self.slice(start, count * BUFFER_BYTES)?;
        (0..count)
            .map(|index| {
                let at = start + index * BUFFER_BYTES;
                let buffer = Buffer { start: self.read_u32(at)?, len: self.read_u32(at + 4)? };
                self.slice(buffer.start, buffer.len)?;
                Ok(buffer)
            })
            .collect()
    }
}
