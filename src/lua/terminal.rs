//! The standard streams of a command, as the room above gives them: this one knows no streams of its own.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::reactor::Reactor;

/// Opens the standard streams of this program for processes of a terminal host.
pub(crate) trait Terminal: Send + Sync + 'static {
    /// Handles for one process.
    fn open(&self, reactor: &Arc<Reactor>) -> Streams;
}

/// The standard streams of one process.
pub(crate) struct Streams {
    /// Where it reads.
    pub(crate) input: Arc<dyn Source>,
    /// Where it writes.
    pub(crate) output: Arc<dyn Sink>,
    /// Where it complains.
    pub(crate) errors: Arc<dyn Sink>,
    /// What was read and not taken yet.
    pub(crate) ahead: Vec<u8>,
}

/// Something to read. Nothing blocks.
pub(crate) trait Source: Send + Sync + 'static {
    /// Up to `max` bytes that are there now; none of them means: wait for [`Source::poll_ready`].
    ///
    /// # Errors
    /// The input has ended (`None`), or why it failed.
    fn read(&self, max: usize) -> Result<Bytes, Option<String>>;

    /// Ready when [`Source::read`] has an answer.
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()>;
}

/// Something to write to. Nothing blocks.
pub(crate) trait Sink: Send + Sync + 'static {
    /// How many bytes may be written now; none means: wait for [`Sink::poll_ready`].
    ///
    /// # Errors
    /// Why nothing is taken any more.
    fn room(&self) -> Result<usize, String>;

    /// Takes all of `bytes`.
    ///
    /// # Errors
    /// As [`Sink::room`].
    fn write(&self, bytes: &[u8]) -> Result<(), String>;

    /// Ready when [`Sink::room`] has an answer.
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()>;

    /// The process writes no more.
    fn finish(&self);

    /// Ready when everything that was written has left, or never will.
    fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()>;
}
