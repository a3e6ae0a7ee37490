//! Output that somebody else takes, at once and whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use super::{Output, StreamFailure, TRANSFER_BYTES_MAX};

/// An output that calls back with the bytes of each write.
///
/// The callback runs on the thread that writes, mostly a worker inside a step: it must not block.
pub struct Calls<F> {
    take: F,
    accepted: AtomicU64,
}

impl<F: Fn(&[u8]) + Send + Sync + 'static> Calls<F> {
    /// Calls `take` with what is written.
    pub fn new(take: F) -> Self {
        Self { take, accepted: AtomicU64::new(0) }
    }
}

impl<F: Fn(&[u8]) + Send + Sync + 'static> Output for Calls<F> {
    fn room(&self) -> Result<usize, StreamFailure> {
        Ok(TRANSFER_BYTES_MAX)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StreamFailure> {
        (self.take)(bytes);
        self.accepted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    fn poll_drained(&self, _: &mut Context<'_>, _: u64) -> Poll<Result<(), StreamFailure>> {
        Poll::Ready(Ok(()))
    }
}
