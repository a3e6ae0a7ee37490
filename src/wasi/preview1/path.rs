//! The functions of paths.

use std::sync::Arc;

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, OpenFlags};

use super::descriptors::FLAG_NONBLOCK;
use super::errno::{Errno, Refusal};
use super::file::{directory, encode, new_times, wanted_sync};
use super::memory::{Guest, memory};
use super::waiting;
use crate::wasi::filesystem::{Directory, OpenRequest};
use crate::wasi::state::WasiView;

/// A symbolic link at the end of a path is followed.
const LOOKUP_FOLLOW: u32 = 1;

const OPEN_CREATE: u32 = 1 << 0;
const OPEN_DIRECTORY: u32 = 1 << 1;
const OPEN_EXCLUSIVE: u32 = 1 << 2;
const OPEN_TRUNCATE: u32 = 1 << 3;

const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;

/// Where a path starts, and where it stands in the guest's memory.
type PathAt = (u32, u32, u32);

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    waiting!(linker, "path_open", |caller,
                                   fd: u32,
                                   lookup: u32,
                                   path: u32,
                                   len: u32,
                                   how: u32,
                                   rights: u64,
                                   _inherited: u64,
                                   flags: u32,
                                   out: u32| {
        open(caller, (fd, path, len), lookup, (how, rights, flags), out)
    });
    waiting!(linker, "path_filestat_get", |caller, fd: u32, lookup: u32, path: u32, len: u32, out: u32| async {
        let (from, path) = start(caller, (fd, path, len))?;
        let filestat = encode(&from.stat_at(path, follows(lookup)).await?);
        write(caller, out, &filestat)
    });
    waiting!(linker, "path_filestat_set_times", |caller,
                                                 fd: u32,
                                                 lookup: u32,
                                                 path: u32,
                                                 len: u32,
                                                 accessed: u64,
                                                 modified: u64,
                                                 flags: u32| async {
        let (from, path) = start(caller, (fd, path, len))?;
        let times = new_times((accessed, modified), flags)?;
        Ok(from.set_times_at(path, follows(lookup), times).await?)
    });
    waiting!(linker, "path_create_directory", |caller, fd: u32, path: u32, len: u32| async {
        let (from, path) = start(caller, (fd, path, len))?;
        Ok(from.create_directory(path).await?)
    });
    waiting!(linker, "path_remove_directory", |caller, fd: u32, path: u32, len: u32| async {
        let (from, path) = start(caller, (fd, path, len))?;
        Ok(from.remove_directory(path).await?)
    });
    waiting!(linker, "path_unlink_file", |caller, fd: u32, path: u32, len: u32| async {
        let (from, path) = start(caller, (fd, path, len))?;
        Ok(from.unlink_file(path).await?)
    });
    waiting!(linker, "path_readlink", |caller, fd: u32, path: u32, len: u32, at: u32, room: u32, out: u32| async {
        let (from, path) = start(caller, (fd, path, len))?;
        let target = from.read_link(path).await?.into_bytes();
        // Cut to the room there is, as systems do.
        let target = &target[..target.len().min(room as usize)];
        write(caller, at, target)?;
        write(caller, out, &(target.len() as u32).to_le_bytes())
    });
    waiting!(linker, "path_symlink", |caller, target: u32, target_len: u32, fd: u32, path: u32, len: u32| async {
        let memory = memory(caller)?;
        let target = Guest(memory.data_mut(&mut *caller)).text(target, target_len)?;
        let (from, path) = start(caller, (fd, path, len))?;
        Ok(from.symlink(target, path).await?)
    });
    waiting!(linker, "path_link", |caller,
                                   fd: u32,
                                   lookup: u32,
                                   path: u32,
                                   len: u32,
                                   new_fd: u32,
                                   new_path: u32,
                                   new_len: u32| async {
        if follows(lookup) {
            return Err(Errno::INVAL.into());
        }
        let (from, path) = start(caller, (fd, path, len))?;
        let (new, new_path) = start(caller, (new_fd, new_path, new_len))?;
        Ok(from.link(path, &new, new_path).await?)
    });
    waiting!(linker, "path_rename", |caller,
                                     fd: u32,
                                     path: u32,
                                     len: u32,
                                     new_fd: u32,
                                     new_path: u32,
                                     new_len: u32| async {
        let (from, path) = start(caller, (fd, path, len))?;
        let (new, new_path) = start(caller, (new_fd, new_path, new_len))?;
        Ok(from.rename(path, &new, new_path).await?)
    });
    Ok(())
}

fn follows(lookup: u32) -> bool {
    lookup & LOOKUP_FOLLOW != 0
}

/// The folder a path starts at, and the path.
fn start<T: WasiView>(
    caller: &mut Caller<'_, T>,
    (fd, path, len): PathAt,
) -> Result<(Arc<Directory>, String), Refusal> {
    let memory = memory(caller)?;
    let path = Guest(memory.data_mut(&mut *caller)).text(path, len)?;
    Ok((directory(caller, fd)?, path))
}

fn write<T: WasiView>(caller: &mut Caller<'_, T>, at: u32, bytes: &[u8]) -> Result<(), Refusal> {
    let memory = memory(caller)?;
    Ok(Guest(memory.data_mut(caller)).write(at, bytes)?)
}

async fn open<T: WasiView>(
    caller: &mut Caller<'_, T>,
    path: PathAt,
    lookup: u32,
    (how, rights, flags): (u32, u64, u32),
    out: u32,
) -> Result<(), Refusal> {
    let (from, path) = start(caller, path)?;
    let flags = u16::try_from(flags).map_err(|_| Errno::INVAL)?;
    let mut wanted = wanted_sync(flags);
    for (right, flag) in [(RIGHT_READ, DescriptorFlags::READ), (RIGHT_WRITE, DescriptorFlags::WRITE)] {
        if rights & right != 0 {
            wanted |= flag;
        }
    }
    let mut open = OpenFlags::empty();
    for (number, flag) in [
        (OPEN_CREATE, OpenFlags::CREATE),
        (OPEN_DIRECTORY, OpenFlags::DIRECTORY),
        (OPEN_EXCLUSIVE, OpenFlags::EXCLUSIVE),
        (OPEN_TRUNCATE, OpenFlags::TRUNCATE),
    ] {
        if how & number != 0 {
            open |= flag;
        }
    }
    // Toolchains ask for every right of a folder, the right to write among them; no folder is opened for writing.
    if open.contains(OpenFlags::DIRECTORY) {
        wanted &= !DescriptorFlags::WRITE;
    }
    // Checked before anything is opened or made.
    write(caller, out, &[0; 4])?;
    let request = OpenRequest { path, follow: follows(lookup), how: open, wanted, waits: flags & FLAG_NONBLOCK == 0 };
    let permit = caller.data_mut().wasi().usage().open_file().ok_or(Errno::MFILE)?;
    let node = from.open(request, permit).await?;
    let kept = flags & (FLAG_NONBLOCK | super::descriptors::FLAG_APPEND);
    let fd = caller.data_mut().wasi().descriptors().insert(node, kept)?;
    write(caller, out, &fd.to_le_bytes())
}
