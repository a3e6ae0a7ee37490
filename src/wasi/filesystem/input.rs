//! Files as input streams.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, StreamResult};

use super::file::{FILE_TRANSFER_MAX, File, Polled};
use crate::limits::{Charge, WaitReason, wait_for};
use crate::reactor::{BlockingCall, BlockingError};
use crate::wasi::stdio::StreamFailure;

/// How many bytes a wait reads ahead when nobody has said how many are wanted.
const READ_AHEAD: usize = 64 * 1024;

/// A file read from a position on. What is in the page cache is given at once; the rest comes from the blocking pool,
/// one call at a time.
pub(super) struct FileInput {
    file: Arc<File>,
    /// Of the next byte that is given out.
    position: u64,
    state: Reading,
}

enum Reading {
    Idle,
    Running(BlockingCall<io::Result<Bytes>>),
    /// Read and not taken yet; the process is charged with it.
    Buffered(Bytes, Charge),
    Failed(StreamFailure),
    Ended,
}

impl FileInput {
    pub(super) fn new(file: Arc<File>, position: u64) -> FileInput {
        FileInput { file, position, state: Reading::Idle }
    }

    /// Ready when there are bytes, the end or a failure.
    fn poll_fill(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<()> {
        loop {
            match &mut self.state {
                Reading::Idle => {
                    let position = self.position;
                    self.state = match self.file.read_cached_bytes(wanted, position) {
                        Some(read) => self.filled(read),
                        None => {
                            let file = Arc::clone(&self.file);
                            let call = move || file.read_blocking(wanted, position);
                            Reading::Running(self.file.reactor().blocking().run(call))
                        }
                    };
                }
                Reading::Running(call) => {
                    let read = std::task::ready!(Pin::new(call).poll(cx));
                    self.state = self.filled(read.unwrap_or_else(|error| Err(lost(error))));
                }
                Reading::Buffered(..) | Reading::Failed(_) | Reading::Ended => return Poll::Ready(()),
            }
        }
    }

    fn filled(&self, read: io::Result<Bytes>) -> Reading {
        match read.and_then(|bytes| Ok((self.file.charge(bytes.len())?, bytes))) {
            Ok((_, bytes)) if bytes.is_empty() => Reading::Ended,
            Ok((charge, bytes)) => Reading::Buffered(bytes, charge),
            Err(error) => Reading::Failed(error.into()),
        }
    }
}

/// A call that the pool did not carry out, as an error of the stream.
pub(super) fn lost(error: BlockingError) -> io::Error {
    io::Error::other(error)
}

#[async_trait]
impl Pollable for FileInput {
    async fn ready(&mut self) {
        wait_for(WaitReason::File, |cx| self.poll_fill(cx, READ_AHEAD)).await;
    }
}

#[async_trait]
impl InputStream for FileInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = size.min(FILE_TRANSFER_MAX);
        // A guest may ask again and again without ever waiting: the bytes have to come all the same. Who waits later leaves
        // a waker of its own.
        if size > 0 {
            let _ = self.poll_fill(&mut Context::from_waker(Waker::noop()), size);
        }
        match std::mem::replace(&mut self.state, Reading::Ended) {
            Reading::Buffered(mut bytes, charge) => {
                let taken = bytes.split_to(size.min(bytes.len()));
                self.position += taken.len() as u64;
                self.state = if bytes.is_empty() { Reading::Idle } else { Reading::Buffered(bytes, charge) };
                Ok(taken)
            }
            Reading::Failed(failure) => Err(failure.into()),
            Reading::Ended => Err(StreamFailure::Closed.into()),
            waiting => {
                self.state = waiting;
                Ok(Bytes::new())
            }
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        // As many as are wanted, not as many as a wait reads ahead.
        let wanted = size.clamp(1, FILE_TRANSFER_MAX);
        wait_for(WaitReason::File, |cx| self.poll_fill(cx, wanted)).await;
        self.read(size)
    }
}

/// A FIFO or terminal as a stream.
///
/// It is read only after an event: before its first writer a FIFO has none, and a read would say that it has ended.
pub(super) struct PolledInput {
    file: Arc<File>,
    ended: bool,
}

impl PolledInput {
    pub(super) fn new(file: Arc<File>) -> PolledInput {
        PolledInput { file, ended: false }
    }

    fn registration(&self) -> &Polled {
        self.file.polled().expect("made for watched files only")
    }
}

/// Reads after an event; nothing is the end.
pub(in crate::wasi) fn poll_read(polled: &Polled, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    polled.poll_read_with(cx, |file| Ok(rustix::io::read(&file.0, &mut *buffer)?))
}

#[async_trait]
impl Pollable for PolledInput {
    async fn ready(&mut self) {
        if !self.ended {
            // That the reactor is closed is said by the next read.
            let _ = wait_for(WaitReason::File, |cx| self.registration().poll_read_ready(cx)).await;
        }
    }
}

#[async_trait]
impl InputStream for PolledInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.ended {
            return Err(StreamFailure::Closed.into());
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = vec![0; size.min(READ_AHEAD)];
        match poll_read(self.registration(), &mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Pending => Ok(Bytes::new()),
            Poll::Ready(Ok(0)) => {
                self.ended = true;
                Err(StreamFailure::Closed.into())
            }
            Poll::Ready(Ok(count)) => {
                buffer.truncate(count);
                Ok(buffer.into())
            }
            Poll::Ready(Err(error)) => {
                self.ended = true;
                Err(StreamFailure::from(error).into())
            }
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        loop {
            self.ready().await;
            // An event may be for nothing, as often as it likes.
            let bytes = self.read(size)?;
            if size == 0 || !bytes.is_empty() {
                return Ok(bytes);
            }
        }
    }
}
