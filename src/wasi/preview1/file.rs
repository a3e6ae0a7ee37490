//! What a descriptor is, and what changes a file by its descriptor.

use std::sync::Arc;

use rustix::fs::Advice;
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, DescriptorType, NewTimestamp};

use super::descriptors::{Entry, FLAG_APPEND, FLAG_NONBLOCK, OpenFile, Stream};
use super::errno::{Errno, Refusal, code};
use super::memory::{Guest, memory, split};
use super::{MODULE, waiting};
use crate::wasi::filesystem::{Directory, File, Node, Stat, timestamps};
use crate::wasi::state::{WasiState, WasiView};

const RIGHT_READ: u64 = 1 << 1;
const RIGHT_SET_FLAGS: u64 = 1 << 3;
const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_FILESTAT: u64 = 1 << 21;
const RIGHT_POLL: u64 = 1 << 27;
/// Everything for files: `fd_datasync` to `fd_allocate`, attributes, polling.
const RIGHTS_OF_FILES: u64 = 0x1ff | RIGHT_FILESTAT | 1 << 22 | 1 << 23 | RIGHT_POLL;
/// Those of them that change a file.
const RIGHTS_TO_CHANGE: u64 = RIGHT_WRITE | 1 << 8 | 1 << 22;
/// Everything for folders: all functions of paths, listing, attributes.
const RIGHTS_OF_FOLDERS: u64 = 1 | RIGHT_SET_FLAGS | 1 << 4 | 0x0fff_fe00 & !(1 << 22) & !RIGHT_POLL | 1 << 23;
/// What may be opened below a folder is decided when it is opened.
const RIGHTS_INHERITED: u64 = RIGHTS_OF_FILES | RIGHTS_OF_FOLDERS;

const FLAG_DSYNC: u16 = 1 << 1;
const FLAG_RSYNC: u16 = 1 << 3;
const FLAG_SYNC: u16 = 1 << 4;

const FILETYPE_UNKNOWN: u8 = 0;
const FILETYPE_BLOCK_DEVICE: u8 = 1;
const FILETYPE_CHARACTER_DEVICE: u8 = 2;
const FILETYPE_DIRECTORY: u8 = 3;
const FILETYPE_REGULAR: u8 = 4;
const FILETYPE_SOCKET: u8 = 6;
const FILETYPE_LINK: u8 = 7;

const SET_ACCESSED: u32 = 1 << 0;
const SET_ACCESSED_NOW: u32 = 1 << 1;
const SET_MODIFIED: u32 = 1 << 2;
const SET_MODIFIED_NOW: u32 = 1 << 3;

pub(super) const FILESTAT_BYTES: usize = 64;

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    waiting!(linker, "fd_filestat_get", |caller, fd: u32, out: u32| filestat_get(caller, fd, out));
    waiting!(linker, "fd_filestat_set_size", |caller, fd: u32, size: u64| async {
        Ok(file(caller, fd)?.set_size(size).await?)
    });
    waiting!(linker, "fd_filestat_set_times", |caller, fd: u32, accessed: u64, modified: u64, flags: u32| async {
        let times = new_times((accessed, modified), flags)?;
        match node(caller, fd)? {
            Node::File(file) => file.set_times(times).await?,
            Node::Directory(directory) => directory.set_times(times).await?,
        }
        Ok(())
    });
    waiting!(linker, "fd_allocate", |caller, fd: u32, offset: u64, len: u64| async {
        Ok(file(caller, fd)?.allocate(offset, len).await?)
    });
    waiting!(linker, "fd_advise", |caller, fd: u32, offset: u64, len: u64, advice: u32| async {
        let advice = match advice {
            0 => Advice::Normal,
            1 => Advice::Sequential,
            2 => Advice::Random,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            5 => Advice::NoReuse,
            _ => return Err(Errno::INVAL.into()),
        };
        Ok(file(caller, fd)?.advise(offset, len, advice).await?)
    });
    waiting!(linker, "fd_sync", |caller, fd: u32| async {
        match node(caller, fd)? {
            Node::File(file) => file.sync().await?,
            Node::Directory(directory) => directory.sync().await?,
        }
        Ok(())
    });
    waiting!(linker, "fd_datasync", |caller, fd: u32| async {
        match node(caller, fd)? {
            Node::File(file) => file.sync_data().await?,
            Node::Directory(directory) => directory.sync().await?,
        }
        Ok(())
    });
    linker
        .func_wrap(MODULE, "fd_fdstat_get", |mut caller: Caller<'_, T>, fd: u32, out: u32| {
            let (mut guest, data) = split(&mut caller)?;
            Ok::<_, wasmtime::Error>(code(write_fdstat(&mut guest, data.wasi(), fd, out)))
        })?
        .func_wrap(MODULE, "fd_fdstat_set_flags", |mut caller: Caller<'_, T>, fd: u32, flags: u32| {
            code(set_flags(caller.data_mut().wasi(), fd, flags))
        })?
        // Rights can't be taken away: nobody passes descriptors on to less trusted code any more.
        .func_wrap(MODULE, "fd_fdstat_set_rights", |mut caller: Caller<'_, T>, fd: u32, _: u64, _: u64| {
            code(caller.data_mut().wasi().descriptors().get(fd).and(Err(Errno::NOTSUP)))
        })?
        .func_wrap(MODULE, "fd_prestat_get", |mut caller: Caller<'_, T>, fd: u32, out: u32| {
            let (mut guest, data) = split(&mut caller)?;
            let written = mounted_at(data.wasi(), fd).and_then(|path| {
                // The tag of a directory, and the length of its path.
                guest.write_u32(out, 0)?;
                guest.write_u32(out.checked_add(4).ok_or(Errno::FAULT)?, path.len() as u32)
            });
            Ok::<_, wasmtime::Error>(code(written))
        })?
        .func_wrap(MODULE, "fd_prestat_dir_name", |mut caller: Caller<'_, T>, fd: u32, out: u32, room: u32| {
            let (mut guest, data) = split(&mut caller)?;
            let written = mounted_at(data.wasi(), fd).and_then(|path| {
                if path.len() > room as usize {
                    return Err(Errno::NAMETOOLONG);
                }
                guest.write(out, path.as_bytes())
            });
            Ok::<_, wasmtime::Error>(code(written))
        })?;
    Ok(())
}

/// The path at which a descriptor is mounted.
fn mounted_at(state: &mut WasiState, fd: u32) -> Result<Arc<str>, Errno> {
    match state.descriptors().get(fd)? {
        Entry::Directory(open) => open.mounted_at.clone().ok_or(Errno::BADF),
        Entry::Standard(_) | Entry::File(_) => Err(Errno::BADF),
    }
}

/// The file or folder behind a descriptor.
fn node<T: WasiView>(caller: &mut Caller<'_, T>, fd: u32) -> Result<Node, Errno> {
    match caller.data_mut().wasi().descriptors().get(fd)? {
        Entry::File(open) => Ok(Node::File(Arc::clone(&open.file))),
        Entry::Directory(open) => Ok(Node::Directory(Arc::clone(&open.directory))),
        Entry::Standard(_) => Err(Errno::BADF),
    }
}

fn file<T: WasiView>(caller: &mut Caller<'_, T>, fd: u32) -> Result<Arc<File>, Errno> {
    Ok(Arc::clone(&caller.data_mut().wasi().descriptors().file(fd)?.file))
}

/// The folder behind a descriptor.
pub(super) fn directory<T: WasiView>(caller: &mut Caller<'_, T>, fd: u32) -> Result<Arc<Directory>, Errno> {
    Ok(Arc::clone(&caller.data_mut().wasi().descriptors().directory(fd)?.directory))
}

fn set_flags(state: &mut WasiState, fd: u32, flags: u32) -> Result<(), Errno> {
    let current = state.descriptors().flags(fd)?;
    let flags = u16::try_from(flags).map_err(|_| Errno::INVAL)?;
    let changeable = FLAG_NONBLOCK | FLAG_APPEND;
    // How a file is synchronised is decided when it is opened.
    if flags & !changeable != *current & !changeable {
        return Err(Errno::NOTSUP);
    }
    *current = flags;
    Ok(())
}

fn write_fdstat(guest: &mut Guest<'_>, state: &mut WasiState, fd: u32, out: u32) -> Result<(), Errno> {
    let always = RIGHT_SET_FLAGS | RIGHT_FILESTAT | RIGHT_POLL;
    let (kind, flags, rights, inherited) = match state.descriptors().get(fd)? {
        Entry::Directory(_) => (FILETYPE_DIRECTORY, 0, RIGHTS_OF_FOLDERS, RIGHTS_INHERITED),
        Entry::File(OpenFile { file, flags, .. }) => {
            let mut rights = RIGHTS_OF_FILES;
            if !file.flags().contains(DescriptorFlags::READ) {
                rights &= !RIGHT_READ;
            }
            if !file.flags().contains(DescriptorFlags::WRITE) {
                rights &= !RIGHTS_TO_CHANGE;
            }
            (filetype(file.kind()), *flags | sync_flags(file.flags()), rights, 0)
        }
        Entry::Standard(_) => {
            let flags = *state.descriptors().flags(fd)?;
            let (stream, _) = state.stream(fd)?;
            let direction = if matches!(stream, Stream::Input(_)) { RIGHT_READ } else { RIGHT_WRITE };
            (stream_filetype(&stream), flags, direction | always, 0)
        }
    };
    let mut fdstat = [0; 24];
    fdstat[0] = kind;
    fdstat[2..4].copy_from_slice(&flags.to_le_bytes());
    fdstat[8..16].copy_from_slice(&rights.to_le_bytes());
    fdstat[16..24].copy_from_slice(&inherited.to_le_bytes());
    guest.write(out, &fdstat)
}

fn sync_flags(flags: DescriptorFlags) -> u16 {
    let of = |flag, number| if flags.contains(flag) { number } else { 0 };
    of(DescriptorFlags::FILE_INTEGRITY_SYNC, FLAG_SYNC)
        | of(DescriptorFlags::DATA_INTEGRITY_SYNC, FLAG_DSYNC)
        | of(DescriptorFlags::REQUESTED_WRITE_SYNC, FLAG_RSYNC)
}

/// How a file that is opened with these flags is synchronised.
pub(super) fn wanted_sync(flags: u16) -> DescriptorFlags {
    let mut wanted = DescriptorFlags::empty();
    for (number, flag) in [
        (FLAG_SYNC, DescriptorFlags::FILE_INTEGRITY_SYNC),
        (FLAG_DSYNC, DescriptorFlags::DATA_INTEGRITY_SYNC),
        (FLAG_RSYNC, DescriptorFlags::REQUESTED_WRITE_SYNC),
    ] {
        if flags & number != 0 {
            wanted |= flag;
        }
    }
    wanted
}

fn stream_filetype(stream: &Stream) -> u8 {
    let is_terminal = match stream {
        Stream::Input(input) => input.is_terminal(),
        Stream::Output(output) => output.is_terminal(),
        Stream::File { file, .. } => return filetype(file.kind()),
    };
    if is_terminal { FILETYPE_CHARACTER_DEVICE } else { FILETYPE_UNKNOWN }
}

pub(super) fn filetype(kind: DescriptorType) -> u8 {
    match kind {
        DescriptorType::BlockDevice => FILETYPE_BLOCK_DEVICE,
        DescriptorType::CharacterDevice => FILETYPE_CHARACTER_DEVICE,
        DescriptorType::Directory => FILETYPE_DIRECTORY,
        DescriptorType::RegularFile => FILETYPE_REGULAR,
        DescriptorType::SymbolicLink => FILETYPE_LINK,
        DescriptorType::Socket => FILETYPE_SOCKET,
        // A FIFO has no number of its own.
        DescriptorType::Fifo | DescriptorType::Unknown => FILETYPE_UNKNOWN,
    }
}

async fn filestat_get<T: WasiView>(caller: &mut Caller<'_, T>, fd: u32, out: u32) -> Result<(), Refusal> {
    let memory = memory(caller)?;
    let filestat = match node(caller, fd) {
        Ok(Node::File(file)) => encode(&file.stat().await?),
        Ok(Node::Directory(directory)) => encode(&directory.stat().await?),
        Err(_) => {
            let (stream, _) = caller.data_mut().wasi().stream(fd)?;
            let mut filestat = [0; FILESTAT_BYTES];
            filestat[16] = stream_filetype(&stream);
            filestat
        }
    };
    Ok(Guest(memory.data_mut(caller)).write(out, &filestat)?)
}

/// Attributes in the layout of preview 1.
pub(super) fn encode(stat: &Stat) -> [u8; FILESTAT_BYTES] {
    let mut bytes = [0; FILESTAT_BYTES];
    bytes[16] = filetype(stat.kind);
    let fields = [
        (0, stat.device()),
        (8, stat.serial()),
        (24, stat.links),
        (32, stat.size),
        (40, nanos(stat.accessed)),
        (48, nanos(stat.modified)),
        (56, nanos(stat.changed)),
    ];
    for (at, value) in fields {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A time in nanoseconds since 1970: the end of what fits for later ones, zero for earlier ones.
fn nanos(time: Option<Datetime>) -> u64 {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    time.map_or(0, |time| time.seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(time.nanoseconds.into()))
}

/// The times that a guest sets, from their nanoseconds and flags.
pub(super) fn new_times((accessed, modified): (u64, u64), flags: u32) -> Result<rustix::fs::Timestamps, Errno> {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    let of = |nanos: u64, given, now| match (flags & given != 0, flags & now != 0) {
        (true, true) => Err(Errno::INVAL),
        (true, false) => Ok(NewTimestamp::Timestamp(Datetime {
            seconds: nanos / NANOS_PER_SECOND,
            nanoseconds: (nanos % NANOS_PER_SECOND) as u32,
        })),
        (false, true) => Ok(NewTimestamp::Now),
        (false, false) => Ok(NewTimestamp::NoChange),
    };
    let accessed = of(accessed, SET_ACCESSED, SET_ACCESSED_NOW)?;
    let modified = of(modified, SET_MODIFIED, SET_MODIFIED_NOW)?;
    Ok(timestamps(accessed, modified)?)
}
