//! What the guest of one item writes, kept for its record.

use parking_lot::Mutex;

use crate::process::{Sink, StandardStream};

/// What an item wrote, up to a bound for each stream. What is beyond is counted and dropped; the guest goes on.
///
/// ```
/// use wippy::batch::Captured;
/// use wippy::process::{Sink, StandardStream};
///
/// let captured = Captured::new(8);
/// captured.write(StandardStream::Out, b"hello, world");
/// let output = captured.take();
/// assert_eq!((output.stdout.as_slice(), output.dropped), (b"hello, w".as_slice(), 4));
/// ```
#[derive(Debug)]
pub struct Captured {
    bytes_max: usize,
    output: Mutex<Output>,
}

/// Bytes that an item wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// To its standard output.
    pub stdout: Vec<u8>,
    /// To its standard error.
    pub stderr: Vec<u8>,
    /// Bytes of both that did not fit.
    pub dropped: u64,
}

impl Captured {
    /// Keeps at most so many bytes of each stream.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, output: Mutex::default() }
    }

    /// Takes what there is.
    #[must_use]
    pub fn take(&self) -> Output {
        std::mem::take(&mut *self.output.lock())
    }
}

impl Sink for Captured {
    fn write(&self, stream: StandardStream, bytes: &[u8]) {
        let mut output = self.output.lock();
        let kept = match stream {
            StandardStream::Out => &mut output.stdout,
            StandardStream::Err => &mut output.stderr,
        };
        let fits = bytes.len().min(self.bytes_max - kept.len());
        kept.extend_from_slice(&bytes[..fits]);
        output.dropped += (bytes.len() - fits) as u64;
    }
}
