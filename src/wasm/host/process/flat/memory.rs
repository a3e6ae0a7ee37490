//! The memory of a core module: every access is checked, none is kept over a wait.

use wasmtime::{AsContextMut, Caller, Extern, Result};

use super::super::refusal::{Code, Refusal};
use crate::wasi::NoMemory;
use crate::wasm::state::State;

/// A piece of memory: start and length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region(pub(super) u32, pub(super) u32);

/// The guest's memory and its host state side by side.
pub(super) fn split<'a>(caller: &'a mut Caller<'_, State>) -> Result<(&'a mut [u8], &'a mut State)> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory.data_and_store_mut(caller.as_context_mut())),
        _ => Err(NoMemory.into()),
    }
}

fn end(memory: &[u8], Region(start, len): Region) -> Result<(usize, usize), Refusal> {
    let (start, len) = (start as usize, len as usize);
    match start.checked_add(len) {
        Some(end) if end <= memory.len() => Ok((start, end)),
        _ => Err(Refusal::invalid(format!("{len} bytes at {start:#x}: the guest's memory has {} bytes", memory.len()))),
    }
}

pub(super) fn text(memory: &[u8], region: Region) -> Result<&str, Refusal> {
    let (start, end) = end(memory, region)?;
    std::str::from_utf8(&memory[start..end]).map_err(|error| Refusal::invalid(format!("a text is not UTF-8: {error}")))
}

/// A copy, of at most so many bytes.
pub(super) fn copied(memory: &[u8], region: Region, most: usize) -> Result<Vec<u8>, Refusal> {
    let (start, end) = end(memory, region)?;
    if end - start > most {
        let message = format!("a payload of {} bytes; a call takes {most}", end - start);
        return Err(Refusal { code: Code::TooLarge, message });
    }
    Ok(memory[start..end].to_vec())
}

/// Numbers of 32 bits in a row.
pub(super) fn words<const N: usize>(memory: &[u8], at: u32) -> Result<[u32; N], Refusal> {
    let (start, end) = end(memory, Region(at, (N * 4) as u32))?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(memory[start..end].chunks_exact(4)) {
        *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    Ok(words)
}

/// Writes all of it, or nothing when there is not enough room; answers how long it is.
pub(super) fn fill(memory: &mut [u8], region: Region, bytes: &[u8]) -> Result<i32, Refusal> {
    let len = i32::try_from(bytes.len()).map_err(|_| Refusal {
        code: Code::TooLarge,
        message: format!("{} bytes are more than a call can hand over", bytes.len()),
    })?;
    let (start, end) = end(memory, region)?;
    if bytes.len() <= end - start {
        memory[start..start + bytes.len()].copy_from_slice(bytes);
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_memory_is_touched() {
        let mut memory = [0_u8; 16];
        memory[..3].copy_from_slice(b"abc");
        assert_eq!(text(&memory, Region(0, 3)), Ok("abc"));
        assert_eq!(text(&memory, Region(16, 0)), Ok(""));
        for (start, len) in [(0, 17), (17, 0), (u32::MAX, u32::MAX), (15, 2)] {
            let message = text(&memory, Region(start, len)).unwrap_err().message;
            assert!(message.ends_with("the guest's memory has 16 bytes"), "{message}");
            assert!(fill(&mut memory, Region(start, len), b"").is_err());
            assert!(copied(&memory, Region(start, len), 100).is_err());
        }
        assert!(words::<5>(&memory, 0).is_err());
        assert_eq!(words::<1>(&memory, 0), Ok([0x0063_6261]));
        assert_eq!(copied(&memory, Region(0, 3), 2).unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn what_does_not_fit_is_not_begun() {
        let mut memory = [0_u8; 4];
        assert_eq!(fill(&mut memory, Region(0, 2), b"abc"), Ok(3));
        assert_eq!(memory, [0; 4]);
        assert_eq!(fill(&mut memory, Region(1, 3), b"abc"), Ok(3));
        assert_eq!(&memory, b"\0abc");
    }
}
