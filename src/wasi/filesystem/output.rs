//! Files as output streams.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamError, StreamResult};

use super::file::{FILE_TRANSFER_MAX, File, Place, Polled};
use super::input::lost;
use crate::limits::{Charge, WaitReason, wait_for};
use crate::reactor::BlockingCall;
use crate::wasi::stdio::{StreamFailure, run_detached};

/// What a FIFO takes at once when it is ready, and all that waits for it.
const POLLED_PERMIT: usize = 64 * 1024;

/// A file written from a position on, or at its end. One write is on its way at a time, on the blocking pool; the next is
/// permitted when it is done, so a flush has nothing to ask for but to wait.
pub(super) struct FileOutput {
    file: Arc<File>,
    place: Place,
    state: Writing,
    /// What the last check allows to be written.
    permitted: usize,
}

enum Writing {
    Idle,
    Running {
        call: BlockingCall<io::Result<()>>,
        /// The process is charged with what is on its way.
        _charge: Charge,
    },
    Failed(StreamFailure),
    Closed,
}

/// A write that was accepted. A guest that ends before the pool has begun with it has written all the same: what the pool
/// gives back unused is handed in again, by nobody's name.
struct Owed {
    file: Arc<File>,
    place: Place,
    bytes: Bytes,
}

impl Owed {
    fn write(&mut self) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.bytes);
        while !bytes.is_empty() {
            let written = self.file.write_blocking(&bytes, self.place)?;
            bytes.advance(written);
            if let Place::At(offset) = &mut self.place {
                *offset += written as u64;
            }
        }
        Ok(())
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let (file, place, bytes) = (Arc::clone(&self.file), self.place, std::mem::take(&mut self.bytes));
        let refused = |error| tracing::warn!(%error, "a write of a guest that has ended was not carried out");
        run_detached(
            self.file.reactor(),
            move || {
                if let Err(error) = file.write_blocking(&bytes, place) {
                    tracing::warn!(%error, "a write of a guest that has ended failed");
                }
            },
            refused,
        );
    }
}

impl FileOutput {
    pub(super) fn new(file: Arc<File>, place: Place) -> FileOutput {
        FileOutput { file, place, state: Writing::Idle, permitted: 0 }
    }

    /// Ready when nothing is on its way.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Writing::Running { call, .. } = &mut self.state {
            let written = std::task::ready!(Pin::new(call).poll(cx));
            self.state = match written.unwrap_or_else(|error| Err(lost(error))) {
                Ok(()) => Writing::Idle,
                Err(error) => Writing::Failed(error.into()),
            };
        }
        Poll::Ready(())
    }

    /// The failure of what was on its way, told once; whether it is still on its way.
    fn look(&mut self) -> StreamResult<bool> {
        let _ = self.poll_written(&mut Context::from_waker(Waker::noop()));
        match &self.state {
            Writing::Idle => Ok(false),
            Writing::Running { .. } => Ok(true),
            Writing::Closed => Err(StreamError::Closed),
            Writing::Failed(_) => match std::mem::replace(&mut self.state, Writing::Closed) {
                Writing::Failed(failure) => Err(failure.into()),
                _ => Err(StreamError::Closed),
            },
        }
    }
}

#[async_trait]
impl Pollable for FileOutput {
    async fn ready(&mut self) {
        wait_for(WaitReason::File, |cx| self.poll_written(cx)).await;
    }
}

#[async_trait]
impl OutputStream for FileOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.permitted {
            return Err(StreamError::trap("the guest wrote more bytes than `check-write` allowed"));
        }
        self.permitted = 0;
        if bytes.is_empty() {
            return Ok(());
        }
        let charge = match self.file.charge(bytes.len()) {
            Ok(charge) => charge,
            Err(error) => {
                self.state = Writing::Closed;
                return Err(StreamFailure::from(error).into());
            }
        };
        let place = self.place;
        if let Place::At(offset) = &mut self.place {
            let end = offset.checked_add(bytes.len() as u64).filter(|end| i64::try_from(*end).is_ok());
            let Some(end) = end else {
                self.state = Writing::Closed;
                let error = io::Error::from(rustix::io::Errno::FBIG);
                return Err(StreamFailure::from(error).into());
            };
            *offset = end;
        }
        let mut owed = Owed { file: Arc::clone(&self.file), place, bytes };
        self.state =
            Writing::Running { call: self.file.reactor().blocking().run(move || owed.write()), _charge: charge };
        // On its way from now on, also when nobody ever waits for it.
        let _ = self.poll_written(&mut Context::from_waker(Waker::noop()));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.look()?;
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permitted = if self.look()? { 0 } else { FILE_TRANSFER_MAX };
        Ok(self.permitted)
    }

    /// A guest that drops its stream goes on when everything is written: what it opens next, it finds.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

/// A FIFO or terminal as a stream. What the other side does not take at once waits here.
pub(super) struct PolledOutput {
    file: Arc<File>,
    pending: Bytes,
    /// For what is pending.
    charge: Option<Charge>,
    permitted: usize,
    failure: Option<StreamFailure>,
    closed: bool,
}

impl PolledOutput {
    pub(super) fn new(file: Arc<File>) -> PolledOutput {
        PolledOutput { file, pending: Bytes::new(), charge: None, permitted: 0, failure: None, closed: false }
    }

    /// Ready when nothing waits and there is room for more.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closed || self.failure.is_some() {
            return Poll::Ready(());
        }
        let polled = self.file.polled().expect("made for watched files only");
        while !self.pending.is_empty() {
            match std::task::ready!(poll_write(polled, cx, &self.pending)) {
                Ok(count) => self.pending.advance(count),
                Err(error) => {
                    self.pending.clear();
                    self.failure = Some(error.into());
                    return Poll::Ready(());
                }
            }
        }
        self.charge = None;
        polled.poll_write_ready(cx).map(|_| ())
    }
}

/// Writes what there is room for, when there is.
pub(in crate::wasi) fn poll_write(polled: &Polled, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    polled.poll_write_with(cx, |file| Ok(rustix::io::write(&file.0, bytes)?))
}

#[async_trait]
impl Pollable for PolledOutput {
    async fn ready(&mut self) {
        wait_for(WaitReason::File, |cx| self.poll_written(cx)).await;
    }
}

#[async_trait]
impl OutputStream for PolledOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.permitted {
            return Err(StreamError::trap("the guest wrote more bytes than `check-write` allowed"));
        }
        self.permitted = 0;
        match self.file.charge(bytes.len()) {
            Ok(charge) => self.charge = Some(charge),
            Err(error) => {
                self.closed = true;
                return Err(StreamFailure::from(error).into());
            }
        }
        self.pending = bytes;
        let _ = self.poll_written(&mut Context::from_waker(Waker::noop()));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write()?;
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let room = self.poll_written(&mut Context::from_waker(Waker::noop())).is_ready();
        if let Some(failure) = self.failure.take() {
            self.closed = true;
            return Err(failure.into());
        }
        if self.closed {
            return Err(StreamError::Closed);
        }
        self.permitted = if room { POLLED_PERMIT } else { 0 };
        Ok(self.permitted)
    }

    async fn write_ready(&mut self) -> StreamResult<usize> {
        loop {
            self.ready().await;
            // An event may be for nothing, as often as it likes.
            match self.check_write()? {
                0 => {}
                room => return Ok(room),
            }
        }
    }

    async fn cancel(&mut self) {
        let polled = self.file.polled().expect("made for watched files only");
        while !self.pending.is_empty() && self.failure.is_none() {
            match wait_for(WaitReason::File, |cx| poll_write(polled, cx, &self.pending)).await {
                Ok(count) => self.pending.advance(count),
                Err(_) => return,
            }
        }
    }
}
