//! Open files: regular ones and devices, whose operations run on the blocking pool, and FIFOs and terminals, which the
//! reactor watches.

use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use cap_std::fs::{File as OsFile, FileExt};
use rustix::fs::{Advice, FallocateFlags, Timestamps};
use rustix::io::{Errno, ReadWriteFlags};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, DescriptorType, ErrorCode};

use super::directory::{Directory, on_pool};
use super::error::code_of;
use super::grant::Grant;
use super::stat::Stat;
use crate::limits::{Charge, Permit};
use crate::reactor::{FdSource, Interest, Reactor, Registration, assert_may_block};
use crate::wasi::stdio::run_detached;

/// The most bytes that one read or write of a file moves: what a guest can make the host allocate by one call, and what
/// a worker copies at most from the page cache before others may run.
pub(in crate::wasi) const FILE_TRANSFER_MAX: usize = 256 * 1024;

/// A file whose descriptor is watched for readiness.
pub(in crate::wasi) type Polled = Registration<FdSource<OsFile>>;

/// An open file. Dropping it closes it, on the blocking pool when that may take its time.
pub(in crate::wasi) struct File {
    /// Taken by the drop only.
    body: Option<Body>,
    kind: DescriptorType,
    flags: DescriptorFlags,
    grant: Grant,
    reactor: Arc<Reactor>,
    /// False once the file system has said that it can't tell whether a read would wait. Relaxed: a hint.
    tells_waiting: AtomicBool,
    /// It counts as open until the last of its descriptor is gone.
    permit: Permit,
}

enum Body {
    /// No readiness: regular files, most devices.
    Plain(OsFile),
    /// FIFOs and terminals, non-blocking.
    Polled(Polled),
}

/// Where a write goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::wasi) enum Place {
    At(u64),
    /// Wherever the end is when it is written.
    End,
}

impl File {
    /// Takes an opened file; `polled` ones are registered with the reactor.
    pub(super) fn new(
        file: OsFile,
        kind: DescriptorType,
        polled: bool,
        wanted: DescriptorFlags,
        from: &Directory,
        permit: Permit,
    ) -> Result<File, ErrorCode> {
        let flags = wanted & !DescriptorFlags::MUTATE_DIRECTORY;
        let body = if polled {
            let interest = match (flags.contains(DescriptorFlags::READ), flags.contains(DescriptorFlags::WRITE)) {
                (true, true) => Interest::ReadWrite,
                (false, true) => Interest::Write,
                _ => Interest::Read,
            };
            Body::Polled(from.reactor().register(FdSource(file), interest).map_err(|error| code_of(&error))?)
        } else {
            Body::Plain(file)
        };
        let (grant, reactor) = (from.grant().clone(), Arc::clone(from.reactor()));
        Ok(File { body: Some(body), kind, flags, grant, reactor, tells_waiting: AtomicBool::new(true), permit })
    }

    fn os(&self) -> &OsFile {
        match &self.body {
            Some(Body::Plain(file)) => file,
            Some(Body::Polled(registration)) => registration.get(),
            None => unreachable!("a file is taken by its drop only"),
        }
    }

    /// The registration, when it has readiness.
    pub(in crate::wasi) fn polled(&self) -> Option<&Polled> {
        match &self.body {
            Some(Body::Polled(registration)) => Some(registration),
            Some(Body::Plain(_)) | None => None,
        }
    }

    pub(in crate::wasi) fn kind(&self) -> DescriptorType {
        self.kind
    }

    pub(in crate::wasi) fn flags(&self) -> DescriptorFlags {
        self.flags
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    /// Charges the process with bytes that wait here for the guest or for the system.
    pub(super) fn charge(&self, bytes: usize) -> io::Result<Charge> {
        self.permit.usage().charge(bytes).map_err(|_| Errno::NOMEM.into())
    }

    /// It was opened for reading.
    pub(in crate::wasi) fn check_read(&self) -> Result<(), ErrorCode> {
        if self.flags.contains(DescriptorFlags::READ) { Ok(()) } else { Err(ErrorCode::BadDescriptor) }
    }

    /// Its mount may be changed, and it was opened for writing.
    pub(in crate::wasi) fn check_write(&self) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        if self.flags.contains(DescriptorFlags::WRITE) { Ok(()) } else { Err(ErrorCode::BadDescriptor) }
    }

    async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&OsFile) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ErrorCode> {
        let file = Arc::clone(self);
        on_pool(&self.reactor, move || call(file.os())).await
    }

    /// Reads what the page cache has at `offset`. `None` when it can't be told without waiting: the caller goes to the
    /// blocking pool.
    pub(in crate::wasi) fn read_cached(&self, buffer: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
        if self.kind != DescriptorType::RegularFile || !self.tells_waiting.load(Ordering::Relaxed) {
            return None;
        }
        let buffer = &mut buffer[..];
        match rustix::io::preadv2(self.os(), &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
            // An end that is none has been seen from this call in some kernels: the pool knows better.
            Ok(0) | Err(Errno::AGAIN | Errno::INTR) => None,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.tells_waiting.store(false, Ordering::Relaxed);
                None
            }
            Ok(count) => Some(Ok(count)),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// [`File::read_cached`] of at most `max` bytes into a buffer of its own.
    pub(super) fn read_cached_bytes(&self, max: usize, offset: u64) -> Option<io::Result<Bytes>> {
        if !self.tells_waiting.load(Ordering::Relaxed) {
            return None;
        }
        let mut buffer = vec![0; max.min(FILE_TRANSFER_MAX)];
        Some(self.read_cached(&mut buffer, offset)?.map(|count| {
            buffer.truncate(count);
            Bytes::from(buffer)
        }))
    }

    /// Reads at most `max` bytes at `offset`, none at the end. Blocks: for the pool.
    pub(super) fn read_blocking(&self, max: usize, offset: u64) -> io::Result<Bytes> {
        assert_may_block();
        let mut buffer = vec![0; max.min(FILE_TRANSFER_MAX)];
        let count = uninterrupted(|| self.os().read_at(&mut buffer, offset))?;
        buffer.truncate(count);
        Ok(Bytes::from(buffer))
    }

    /// Reads at most `max` bytes at `offset`, none at the end.
    pub(in crate::wasi) async fn read_at(self: &Arc<Self>, max: usize, offset: u64) -> Result<Bytes, ErrorCode> {
        self.check_read()?;
        if max == 0 {
            return Ok(Bytes::new());
        }
        if self.polled().is_some() {
            return Err(ErrorCode::InvalidSeek);
        }
        if let Some(read) = self.read_cached_bytes(max, offset) {
            return read.map_err(|error| code_of(&error));
        }
        let file = Arc::clone(self);
        on_pool(&self.reactor, move || file.read_blocking(max, offset)).await
    }

    /// Writes all of `bytes`, or as many as there is room for. Blocks: for the pool.
    ///
    /// The error is what happened before the first byte.
    pub(super) fn write_blocking(&self, bytes: &[u8], place: Place) -> io::Result<usize> {
        assert_may_block();
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            let result = match place {
                Place::At(offset) => uninterrupted(|| self.os().write_at(rest, offset + written as u64)),
                Place::End => uninterrupted(|| self.append(rest)),
            };
            match result {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if written == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(written)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::pwritev2(self.os(), &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND) {
            // Not atomic then: two writers at once may overlap.
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => self.os().write_at(bytes, self.os().metadata()?.len()),
            result => Ok(result?),
        }
    }

    /// Writes all of `bytes`, or as many as there is room for, and says how many.
    pub(in crate::wasi) async fn write(self: &Arc<Self>, bytes: Vec<u8>, place: Place) -> Result<usize, ErrorCode> {
        self.check_write()?;
        if self.polled().is_some() {
            return Err(ErrorCode::InvalidSeek);
        }
        if let Place::At(offset) = place
            && i64::try_from(offset.saturating_add(bytes.len() as u64)).is_err()
        {
            return Err(ErrorCode::FileTooLarge);
        }
        let file = Arc::clone(self);
        on_pool(&self.reactor, move || file.write_blocking(&bytes, place)).await
    }

    pub(in crate::wasi) async fn stat(self: &Arc<Self>) -> Result<Stat, ErrorCode> {
        self.grant.check_read()?;
        self.with(|file| Ok(Stat::of(&file.metadata()?))).await
    }

    /// How many bytes it has, for seeking and polling.
    pub(in crate::wasi) async fn size(self: &Arc<Self>) -> Result<u64, ErrorCode> {
        self.with(|file| Ok(file.metadata()?.len())).await
    }

    pub(in crate::wasi) async fn set_size(self: &Arc<Self>, size: u64) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        self.with(move |file| file.set_len(size)).await
    }

    pub(in crate::wasi) async fn set_times(self: &Arc<Self>, times: Timestamps) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        self.with(move |file| Ok(rustix::fs::futimens(file, &times)?)).await
    }

    /// Makes room for the bytes from `offset` on, growing the file when it ends before.
    pub(in crate::wasi) async fn allocate(self: &Arc<Self>, offset: u64, len: u64) -> Result<(), ErrorCode> {
        self.check_write()?;
        self.with(move |file| Ok(rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len)?)).await
    }

    pub(in crate::wasi) async fn advise(
        self: &Arc<Self>,
        offset: u64,
        len: u64,
        advice: Advice,
    ) -> Result<(), ErrorCode> {
        if i64::try_from(offset).is_err() || i64::try_from(len).is_err() {
            return Err(ErrorCode::Invalid);
        }
        self.with(move |file| Ok(rustix::fs::fadvise(file, offset, NonZero::new(len), advice)?)).await
    }

    pub(in crate::wasi) async fn sync(self: &Arc<Self>) -> Result<(), ErrorCode> {
        self.with(OsFile::sync_all).await
    }

    pub(in crate::wasi) async fn sync_data(self: &Arc<Self>) -> Result<(), ErrorCode> {
        self.with(OsFile::sync_data).await
    }
}

/// Repeats a call that a signal interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let body = self.body.take();
        // Closing may write back to a server, free a large file that has no name any more, or wait for a terminal's line.
        // When the pool is closed the job, and the file with it, is dropped right here: nobody runs then.
        if self.kind != DescriptorType::Fifo {
            run_detached(&self.reactor, move || drop(body), |_| ());
        }
    }
}
