//! Opening by path: every combination of flags, and what must not wait on a worker.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::{Dir, File as OsFile, FileTypeExt, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use rustix::io::Errno;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, DescriptorType, ErrorCode, OpenFlags};

use super::Node;
use super::directory::{Directory, open_nofollow};
use super::file::File;
use super::stat::kind_of;
use crate::limits::{Permit, WaitReason, wait_for};

/// What a new file allows, before the volume's `mode` and the program's own mask.
const FILE_MODE: u32 = 0o666;

/// The pauses between looks for a reader of a FIFO: nothing tells when one comes.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How something is to be opened.
#[derive(Clone, Debug)]
pub(in crate::wasi) struct OpenRequest {
    pub(in crate::wasi) path: String,
    /// Whether a symbolic link at the end of the path is followed; otherwise it is refused.
    pub(in crate::wasi) follow: bool,
    pub(in crate::wasi) how: OpenFlags,
    pub(in crate::wasi) wanted: DescriptorFlags,
    /// Whether the guest waits for the reader of a FIFO that it writes.
    pub(in crate::wasi) waits: bool,
}

/// What opening found.
enum Found {
    Directory(Dir),
    File {
        file: OsFile,
        kind: DescriptorType,
        /// It has readiness: a FIFO or a terminal.
        polled: bool,
    },
    /// A FIFO that nobody reads.
    NoReader,
}

impl OpenRequest {
    fn writes(&self) -> bool {
        self.wanted.contains(DescriptorFlags::WRITE) || self.how.contains(OpenFlags::TRUNCATE)
    }

    fn changes(&self) -> bool {
        self.writes() || self.how.contains(OpenFlags::CREATE) || self.wanted.contains(DescriptorFlags::MUTATE_DIRECTORY)
    }

    /// The system's flags, without the access mode.
    fn flags(&self) -> OFlags {
        // Never waiting for the other end of a FIFO or for a device, never a controlling terminal.
        let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        flags.set(OFlags::DIRECTORY, self.how.contains(OpenFlags::DIRECTORY));
        flags.set(OFlags::CREATE, self.how.contains(OpenFlags::CREATE));
        flags.set(OFlags::EXCL, self.how.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE));
        flags.set(OFlags::TRUNC, self.how.contains(OpenFlags::TRUNCATE));
        flags.set(OFlags::SYNC, self.wanted.contains(DescriptorFlags::FILE_INTEGRITY_SYNC));
        flags.set(OFlags::RSYNC, self.wanted.contains(DescriptorFlags::REQUESTED_WRITE_SYNC));
        if self.wanted.contains(DescriptorFlags::DATA_INTEGRITY_SYNC) {
            flags |= OFlags::DSYNC;
        }
        flags
    }

    fn open(&self, dir: &Dir, mode: u32) -> io::Result<OsFile> {
        let flags = self.flags();
        // Without a wish it is opened for reading, and not read.
        let read = self.wanted.contains(DescriptorFlags::READ) || !self.writes();
        if !self.follow {
            let access = match (read, self.writes()) {
                (true, true) => OFlags::RDWR,
                (false, true) => OFlags::WRONLY,
                _ => OFlags::RDONLY,
            };
            return open_nofollow(dir, &self.path, flags | access, mode);
        }
        let options = OpenOptions::new()
            .read(read)
            .write(self.writes())
            .mode(mode)
            .custom_flags(flags.bits().cast_signed())
            .to_owned();
        dir.open_with(&self.path, &options)
    }

    fn attempt(&self, dir: &Dir, mode: u32) -> io::Result<Found> {
        let file = match self.open(dir, mode) {
            Ok(file) => file,
            // Sockets and dead devices say the same.
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) && self.is_fifo(dir)? => {
                return Ok(Found::NoReader);
            }
            Err(error) => return Err(error),
        };
        let file_type = file.metadata()?.file_type();
        if file_type.is_dir() {
            return Ok(Found::Directory(Dir::from_std_file(file.into_std())));
        }
        let polled = file_type.is_fifo() || (file_type.is_char_device() && file.as_fd().is_terminal());
        Ok(Found::File { file, kind: kind_of(file_type), polled })
    }

    fn is_fifo(&self, dir: &Dir) -> io::Result<bool> {
        let metadata = if self.follow { dir.metadata(&self.path) } else { dir.symlink_metadata(&self.path) };
        Ok(metadata?.file_type().is_fifo())
    }
}

impl Directory {
    /// Opens a path below this folder; what is opened keeps `permit`. Waits for the reader of a FIFO without keeping any
    /// thread.
    pub(in crate::wasi) async fn open(
        self: &Arc<Self>,
        request: OpenRequest,
        permit: Permit,
    ) -> Result<Node, ErrorCode> {
        self.check(&request)?;
        let mode = self.grant().volume().mask(FILE_MODE);
        let waits = request.waits;
        let wanted = request.wanted;
        let request = Arc::new(request);
        let mut pause = FIRST_PAUSE;
        loop {
            let attempt = Arc::clone(&request);
            match self.with(move |dir| attempt.attempt(dir, mode)).await? {
                Found::Directory(dir) => {
                    self.grant().check_search()?;
                    return Ok(Node::Directory(Arc::new(self.below(dir, permit))));
                }
                Found::File { file, kind, polled } => {
                    let file = File::new(file, kind, polled, wanted, self, permit)?;
                    return Ok(Node::File(Arc::new(file)));
                }
                Found::NoReader if !waits => return Err(ErrorCode::NoSuchDevice),
                Found::NoReader => {
                    let mut sleep = self.reactor().sleep(pause);
                    wait_for(WaitReason::File, |cx| Pin::new(&mut sleep).poll(cx)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// What is known before the system is asked.
    fn check(&self, request: &OpenRequest) -> Result<(), ErrorCode> {
        let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if request.how.contains(OpenFlags::DIRECTORY) && request.how.intersects(makes) {
            return Err(ErrorCode::Invalid);
        }
        if request.changes() {
            self.grant().check_write()?;
        }
        if request.wanted.contains(DescriptorFlags::READ) || !request.writes() {
            self.grant().check_read()?;
        }
        self.check_path(&request.path)
    }
}
