//! Standard streams: where a guest's bytes come from and go to, without a thread of their own and without blocking.
//!
//! An [`Input`] or [`Output`] is shared by every handle a guest makes of it (component streams, preview 1 descriptors).
//! It never blocks: it takes or gives what it can now and says by its `poll_…` functions when to come again. Several
//! tasks may wait on one stream; each leaves a waker.

mod calls;
mod capture;
mod detached;
mod input;
mod lines;
mod program;
mod stream;
mod terminal;
mod wakers;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

pub use calls::Calls;
pub use capture::Capture;
pub(super) use detached::run_detached;
pub use input::{BytesInput, EmptyInput, ProgramInput};
pub use lines::{LINE_BYTES_MAX, Lines};
pub(crate) use program::ProgramStreams;
pub(super) use stream::{StdinStream, StdoutStream};
pub use terminal::{QUEUE_BYTES_MAX, Terminal};
pub(super) use wakers::Wakers;

/// The most bytes that one read gives or one permission to write covers: what a guest can make the host allocate by one
/// call.
pub const TRANSFER_BYTES_MAX: usize = 64 * 1024;

/// Why a stream gives or takes nothing more.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamFailure {
    /// The input has ended, or nobody reads the output any more.
    #[error("the stream is closed")]
    Closed,
    /// The system refused.
    #[error("the stream failed: {0}")]
    Failed(#[source] Arc<io::Error>),
}

impl From<io::Error> for StreamFailure {
    fn from(error: io::Error) -> StreamFailure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => StreamFailure::Closed,
            _ => StreamFailure::Failed(Arc::new(error)),
        }
    }
}

/// Where a guest reads.
pub trait Input: Send + Sync + 'static {
    /// True when a person may sit at the other end.
    fn is_terminal(&self) -> bool {
        false
    }

    /// Takes up to `max` bytes that are there now; none means: wait for [`Input::poll_ready`].
    ///
    /// # Errors
    /// [`StreamFailure::Closed`] at the end of the input, otherwise what the system said.
    fn read(&self, max: usize) -> Result<Bytes, StreamFailure>;

    /// Ready when [`Input::read`] would give bytes, the end or a failure; otherwise keeps the waker.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Where a guest writes.
pub trait Output: Send + Sync + 'static {
    /// True when a person may sit at the other end.
    fn is_terminal(&self) -> bool {
        false
    }

    /// How many bytes may be written now; none means: wait for [`Output::poll_ready`].
    ///
    /// # Errors
    /// [`StreamFailure::Closed`] when nobody reads any more, otherwise what the system said about earlier bytes.
    fn room(&self) -> Result<usize, StreamFailure>;

    /// Takes `bytes`, all of them. They are on their way without further calls.
    ///
    /// # Errors
    /// As [`Output::room`]; nothing was taken then.
    fn write(&self, bytes: &[u8]) -> Result<(), StreamFailure>;

    /// Ready when [`Output::room`] would give room or a failure; otherwise keeps the waker.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// How many bytes were taken so far: a mark for [`Output::poll_drained`].
    fn accepted(&self) -> u64;

    /// Ready when the first `target` bytes that were taken have left, or will never leave; otherwise keeps the waker.
    ///
    /// # Errors
    /// The failure by which they will never leave.
    fn poll_drained(&self, cx: &mut Context<'_>, target: u64) -> Poll<Result<(), StreamFailure>>;

    /// The process ends: what waits for more (an unfinished line) is passed on now. Called at least once, and again
    /// without effect.
    fn finish(&self) {}
}

/// An output that forgets everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Output for Discard {
    fn room(&self) -> Result<usize, StreamFailure> {
        Ok(TRANSFER_BYTES_MAX)
    }

    fn write(&self, _bytes: &[u8]) -> Result<(), StreamFailure> {
        Ok(())
    }

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn accepted(&self) -> u64 {
        0
    }

    fn poll_drained(&self, _cx: &mut Context<'_>, _target: u64) -> Poll<Result<(), StreamFailure>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
