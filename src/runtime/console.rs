//! The streams of this program, as scripts have them.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::lua::{Sink, Source, Streams, Terminal};
use crate::reactor::Reactor;
use crate::wasi::{Input, Output, ProgramStreams, StreamFailure};

/// The same streams that wasm guests have.
pub(super) struct Console(pub(super) Arc<ProgramStreams>);

impl Terminal for Console {
    fn open(&self, reactor: &Arc<Reactor>) -> Streams {
        let (terminal, input) = self.0.get(reactor);
        Streams {
            input: Arc::new(Reading(input.clone())),
            output: Arc::new(Writing(terminal.stdout())),
            errors: Arc::new(Writing(terminal.stderr())),
            ahead: Vec::new(),
        }
    }
}

struct Reading<I>(I);

impl<I: Input> Source for Reading<I> {
    fn read(&self, max: usize) -> Result<Bytes, Option<String>> {
        self.0.read(max).map_err(|failure| match failure {
            StreamFailure::Closed => None,
            failure => Some(failure.to_string()),
        })
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(context)
    }
}

struct Writing(Arc<dyn Output>);

impl Sink for Writing {
    fn room(&self) -> Result<usize, String> {
        self.0.room().map_err(|failure| failure.to_string())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        self.0.write(bytes).map_err(|failure| failure.to_string())
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(context)
    }

    fn finish(&self) {
        self.0.finish();
    }

    fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()> {
        // A reader that has gone is the script's affair, which was told when it wrote.
        self.0.poll_drained(context, self.0.accepted()).map(drop)
    }
}
