//! What a guest reads: nothing, given bytes, or the program's standard input.

use std::io::{self, IsTerminal, Read};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;

use super::detached::run_detached;
use super::{Input, StreamFailure, Wakers};
use crate::reactor::{Reactor, assert_may_block};

/// How many bytes one read of the system asks for.
const READ_BYTES: usize = 16 * 1024;

/// An input at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyInput;

impl Input for EmptyInput {
    fn read(&self, _max: usize) -> Result<Bytes, StreamFailure> {
        Err(StreamFailure::Closed)
    }

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// An input of given bytes.
///
/// ```
/// use wippy::wasi::{BytesInput, Input};
///
/// let input = BytesInput::new(&b"abc"[..]);
/// assert_eq!(input.read(2)?, "ab");
/// assert_eq!(input.read(2)?, "c");
/// assert!(input.read(2).is_err());
/// # Ok::<(), wippy::wasi::StreamFailure>(())
/// ```
#[derive(Debug)]
pub struct BytesInput(Mutex<Bytes>);

impl BytesInput {
    /// Gives `bytes`, then ends.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> BytesInput {
        BytesInput(Mutex::new(bytes.into()))
    }
}

impl Input for BytesInput {
    fn read(&self, max: usize) -> Result<Bytes, StreamFailure> {
        let mut bytes = self.0.lock();
        if bytes.is_empty() {
            return Err(StreamFailure::Closed);
        }
        let taken = max.min(bytes.len());
        Ok(bytes.split_to(taken))
    }

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// The program's standard input, or another reader that may block. Clones share it.
///
/// It is read only when somebody waits for it, on the blocking pool, by one call at a time. Bytes that arrive after who
/// asked for them has ended stay for the next one.
#[derive(Clone)]
pub struct ProgramInput(Arc<Shared>);

struct Shared {
    /// Its pool does the reading.
    reactor: Arc<Reactor>,
    /// Held only by the call that reads.
    reader: Mutex<Box<dyn Read + Send>>,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Read and not taken yet.
    bytes: Bytes,
    /// Why nothing more comes.
    ended: Option<StreamFailure>,
    /// True from the moment a read call is asked for until it has returned.
    reading: bool,
    wakers: Wakers,
}

impl ProgramInput {
    /// The standard input of this program.
    #[must_use]
    pub fn stdin(reactor: &Arc<Reactor>) -> ProgramInput {
        ProgramInput::over(reactor, Box::new(io::stdin()), io::stdin().is_terminal())
    }

    /// Any reader; `terminal` says whether a person may sit there. It is called from the blocking pool, one call at a
    /// time, and may block.
    #[must_use]
    pub fn over(reactor: &Arc<Reactor>, reader: Box<dyn Read + Send>, terminal: bool) -> ProgramInput {
        ProgramInput(Arc::new(Shared {
            reactor: reactor.clone(),
            reader: Mutex::new(reader),
            terminal,
            state: Mutex::default(),
        }))
    }
}

impl std::fmt::Debug for ProgramInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgramInput").field("terminal", &self.0.terminal).finish_non_exhaustive()
    }
}

impl Input for ProgramInput {
    fn is_terminal(&self) -> bool {
        self.0.terminal
    }

    fn read(&self, max: usize) -> Result<Bytes, StreamFailure> {
        let mut state = self.0.state.lock();
        if !state.bytes.is_empty() {
            let taken = max.min(state.bytes.len());
            return Ok(state.bytes.split_to(taken));
        }
        if let Some(failure) = &state.ended {
            return Err(failure.clone());
        }
        // A guest may ask again and again without ever waiting: the bytes have to come all the same.
        self.0.start_reading(state);
        Ok(Bytes::new())
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state.lock();
        if !state.bytes.is_empty() || state.ended.is_some() {
            return Poll::Ready(());
        }
        state.wakers.keep(cx);
        self.0.start_reading(state);
        Poll::Pending
    }
}

impl Shared {
    fn start_reading(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, State>) {
        if std::mem::replace(&mut state.reading, true) {
            return;
        }
        drop(state);
        let (shared, failed) = (self.clone(), self.clone());
        run_detached(
            &self.reactor,
            move || shared.read_once(),
            move |error| failed.finish_reading(Err(io::Error::other(error).into())),
        );
    }

    /// One read of the system. Runs on the blocking pool.
    fn read_once(&self) {
        assert_may_block();
        let mut buffer = vec![0; READ_BYTES];
        let mut reader = self.reader.lock();
        let read = loop {
            match reader.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error.into()),
                Ok(0) => break Err(StreamFailure::Closed),
                Ok(count) => {
                    buffer.truncate(count);
                    break Ok(Bytes::from(buffer));
                }
            }
        };
        drop(reader);
        self.finish_reading(read);
    }

    fn finish_reading(&self, read: Result<Bytes, StreamFailure>) {
        let mut state = self.state.lock();
        state.reading = false;
        match read {
            Ok(bytes) => state.bytes = bytes,
            Err(failure) => state.ended = Some(failure),
        }
        let wakers = state.wakers.take();
        drop(state);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}
