//! Output that is kept: for tests, for items of a batch, for an embedder.

use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use super::{Output, StreamFailure, TRANSFER_BYTES_MAX};

/// An output that keeps what is written up to a bound. What is beyond is counted and dropped: the guest goes on. Clones
/// share what they keep.
///
/// ```
/// use wippy::wasi::{Capture, Output};
///
/// let capture = Capture::new(8);
/// capture.write(b"hello, world")?;
/// assert_eq!(capture.take(), b"hello, w");
/// assert_eq!(capture.dropped_bytes(), 4);
/// # Ok::<(), wippy::wasi::StreamFailure>(())
/// ```
#[derive(Clone, Debug)]
pub struct Capture {
    shared: Arc<Mutex<Kept>>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    dropped: u64,
    accepted: u64,
}

impl Capture {
    /// Keeps at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Capture {
        Capture { shared: Arc::default(), bytes_max }
    }

    /// Takes what was written since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.shared.lock().bytes)
    }

    /// How many bytes did not fit, in all.
    #[must_use]
    pub fn dropped_bytes(&self) -> u64 {
        self.shared.lock().dropped
    }
}

impl Output for Capture {
    fn room(&self) -> Result<usize, StreamFailure> {
        Ok(TRANSFER_BYTES_MAX)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StreamFailure> {
        let mut kept = self.shared.lock();
        let fits = bytes.len().min(self.bytes_max - kept.bytes.len());
        kept.bytes.extend_from_slice(&bytes[..fits]);
        kept.dropped += (bytes.len() - fits) as u64;
        kept.accepted += bytes.len() as u64;
        Ok(())
    }

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn accepted(&self) -> u64 {
        self.shared.lock().accepted
    }

    fn poll_drained(&self, _cx: &mut Context<'_>, _target: u64) -> Poll<Result<(), StreamFailure>> {
        Poll::Ready(Ok(()))
    }
}
