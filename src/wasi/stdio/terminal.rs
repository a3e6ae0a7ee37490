//! The program's standard output and error, shared by the processes of a terminal.
//!
//! Both streams go through one queue, so that what a guest writes to one and then to the other arrives in that order. The
//! queue is emptied by at most one call on the blocking pool at a time; a full queue makes writers wait.
//!
//! What a single process writes passes at once, byte by byte. While several hold the same stream each one's lines stay
//! whole: an unfinished line waits in its handle for its end, up to [`LINE_BYTES_MAX`].

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;

use super::detached::run_detached;
use super::lines::LINE_BYTES_MAX;
use super::{Output, StreamFailure, Wakers};
use crate::reactor::{BlockingError, Reactor, assert_may_block};

/// How many bytes wait for a slow reader before writers wait too. A pipe holds as much again.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024;

/// Where even permitted writes are refused: permissions are given per handle, and a guest may hold many.
const QUEUE_BYTES_LAST: usize = 16 * QUEUE_BYTES_MAX;

/// How many bytes one write to the system carries; small writes in a row are joined up to this.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// The program's two output streams. Clones are the same terminal.
///
/// ```
/// use wippy::reactor::{Clock, Reactor, ReactorConfig};
/// use wippy::wasi::{Output, Terminal, WasiConfig};
///
/// let reactor = Reactor::new(Clock::real(), ReactorConfig::default())?;
/// let terminal = Terminal::program(&reactor);
/// let config = WasiConfig { stdout: terminal.stdout(), stderr: terminal.stderr(), ..WasiConfig::default() };
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Terminal(Arc<Shared>);

struct Shared {
    /// Its pool does the writing.
    reactor: Arc<Reactor>,
    queue: Mutex<Queue>,
    /// Held only by the call that writes.
    writers: Mutex<[Box<dyn Write + Send>; 2]>,
    terminals: [bool; 2],
    /// Handles that are alive, per stream.
    holders: [AtomicUsize; 2],
    next_holder: AtomicU64,
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<(Stream, Vec<u8>)>,
    /// Bytes in `chunks` and in the write that runs.
    waiting: usize,
    accepted: u64,
    /// Bytes that have left or never will; at most `accepted`.
    settled: u64,
    /// Why a stream takes nothing more.
    failures: [Option<StreamFailure>; 2],
    /// Which living handle left a line unfinished, per stream.
    unfinished: [Option<u64>; 2],
    /// True from the moment a write call is asked for until it finds the queue empty.
    writing: bool,
    wakers: Wakers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout = 0,
    Stderr = 1,
}

impl Terminal {
    /// The standard output and error of this program.
    #[must_use]
    pub fn program(reactor: &Arc<Reactor>) -> Terminal {
        let terminals = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        let (stdout, stderr) = (own(io::stdout()), own(io::stderr()));
        Terminal::over(reactor, stdout, stderr, terminals)
    }

    /// Any two writers; `terminals` says of each whether a person may sit there. They are called from the blocking
    /// pool, one at a time, and may block.
    #[must_use]
    pub fn over(
        reactor: &Arc<Reactor>,
        stdout: Box<dyn Write + Send>,
        stderr: Box<dyn Write + Send>,
        terminals: [bool; 2],
    ) -> Terminal {
        Terminal(Arc::new(Shared {
            reactor: reactor.clone(),
            queue: Mutex::default(),
            writers: Mutex::new([stdout, stderr]),
            terminals,
            holders: Default::default(),
            next_holder: AtomicU64::new(0),
        }))
    }

    /// Its standard output, for one process.
    #[must_use]
    pub fn stdout(&self) -> Arc<dyn Output> {
        self.handle(Stream::Stdout)
    }

    /// Its standard error, for one process.
    #[must_use]
    pub fn stderr(&self) -> Arc<dyn Output> {
        self.handle(Stream::Stderr)
    }

    fn handle(&self, stream: Stream) -> Arc<dyn Output> {
        let shared = self.0.clone();
        shared.holders[stream as usize].fetch_add(1, Ordering::Relaxed);
        let id = shared.next_holder.fetch_add(1, Ordering::Relaxed);
        Arc::new(TerminalStream { shared, stream, id, line: Mutex::default() })
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("terminals", &self.0.terminals).finish_non_exhaustive()
    }
}

/// A writer with a descriptor of its own. The standard library's holds a lock of the whole program while it writes, and a
/// write that nobody reads never ends: whoever says the last word of the program would wait for it.
fn own(stream: impl AsFd + Write + Send + 'static) -> Box<dyn Write + Send> {
    match stream.as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        // No descriptor is left.
        Err(_) => Box::new(stream),
    }
}

struct TerminalStream {
    shared: Arc<Shared>,
    stream: Stream,
    id: u64,
    /// The line that waits for its end while others hold the stream too; shorter than [`LINE_BYTES_MAX`].
    line: Mutex<Vec<u8>>,
}

impl TerminalStream {
    /// Hands bytes to the queue and sees to it that it is emptied.
    fn pass_on(&self, bytes: &[u8]) -> Result<(), StreamFailure> {
        let mut queue = self.shared.queue.lock();
        queue.check(self.stream)?;
        if queue.waiting + bytes.len() > QUEUE_BYTES_LAST {
            let full = io::Error::new(io::ErrorKind::StorageFull, "more output is waiting than is kept");
            return Err(full.into());
        }
        queue.push_of(self.id, self.stream, bytes);
        if std::mem::replace(&mut queue.writing, true) {
            return Ok(());
        }
        drop(queue);
        self.shared.start_writing();
        Ok(())
    }

    /// Passes on an unfinished line, of which no end will come.
    fn give_up_line(&self) {
        let line = std::mem::take(&mut *self.line.lock());
        if !line.is_empty() {
            // The stream has failed then, which whoever drains it is told.
            let _ = self.pass_on(&line);
        }
    }
}

impl Drop for TerminalStream {
    fn drop(&mut self) {
        self.give_up_line();
        self.shared.holders[self.stream as usize].fetch_sub(1, Ordering::Relaxed);
        let mut queue = self.shared.queue.lock();
        let unfinished = &mut queue.unfinished[self.stream as usize];
        *unfinished = unfinished.filter(|holder| *holder != self.id);
    }
}

impl Output for TerminalStream {
    fn is_terminal(&self) -> bool {
        self.shared.terminals[self.stream as usize]
    }

    fn room(&self) -> Result<usize, StreamFailure> {
        let queue = self.shared.queue.lock();
        queue.check(self.stream)?;
        Ok(QUEUE_BYTES_MAX.saturating_sub(queue.waiting))
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StreamFailure> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut line = self.line.lock();
        if line.is_empty() && self.shared.holders[self.stream as usize].load(Ordering::Relaxed) == 1 {
            return self.pass_on(bytes);
        }
        self.shared.queue.lock().check(self.stream)?;
        line.extend_from_slice(bytes);
        let alone = self.shared.holders[self.stream as usize].load(Ordering::Relaxed) == 1;
        let whole = match line.iter().rposition(|byte| *byte == b'\n') {
            _ if alone || line.len() >= LINE_BYTES_MAX => line.len(),
            Some(end) => end + 1,
            None => return Ok(()),
        };
        let rest = line.split_off(whole);
        let whole = std::mem::replace(&mut *line, rest);
        self.pass_on(&whole)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.shared.queue.lock();
        if queue.check(self.stream).is_err() || queue.waiting < QUEUE_BYTES_MAX {
            return Poll::Ready(());
        }
        queue.wakers.keep(cx);
        Poll::Pending
    }

    fn accepted(&self) -> u64 {
        self.shared.queue.lock().accepted
    }

    fn finish(&self) {
        self.give_up_line();
    }

    fn poll_drained(&self, cx: &mut Context<'_>, target: u64) -> Poll<Result<(), StreamFailure>> {
        let mut queue = self.shared.queue.lock();
        if queue.settled >= target {
            return Poll::Ready(queue.check(self.stream));
        }
        queue.wakers.keep(cx);
        Poll::Pending
    }
}

impl Queue {
    fn check(&self, stream: Stream) -> Result<(), StreamFailure> {
        self.failures[stream as usize].clone().map_or(Ok(()), Err)
    }

    /// Takes what a handle writes; a line that another living handle left unfinished is ended before.
    fn push_of(&mut self, holder: u64, stream: Stream, bytes: &[u8]) {
        if self.unfinished[stream as usize].is_some_and(|other| other != holder) {
            self.push(stream, b"\n");
        }
        self.unfinished[stream as usize] = (bytes.last() != Some(&b'\n')).then_some(holder);
        self.push(stream, bytes);
    }

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.waiting += bytes.len();
        self.accepted += bytes.len() as u64;
        match self.chunks.back_mut() {
            Some((last, chunk)) if *last == stream && chunk.len() + bytes.len() <= CHUNK_BYTES_MAX => {
                chunk.extend_from_slice(bytes);
            }
            _ => self.chunks.push_back((stream, bytes.to_vec())),
        }
    }

    fn settle(&mut self, bytes: usize) {
        self.waiting -= bytes;
        self.settled += bytes as u64;
        debug_assert!(self.settled <= self.accepted);
    }

    /// The next chunk to be written. What waits for a broken stream never leaves, and settles when its turn comes: who
    /// waits for an earlier byte of the other stream must not take it for that one.
    fn next(&mut self) -> Option<(Stream, Vec<u8>)> {
        loop {
            let (stream, chunk) = self.chunks.pop_front()?;
            if self.check(stream).is_ok() {
                return Some((stream, chunk));
            }
            self.settle(chunk.len());
        }
    }
}

impl Shared {
    /// Asks the pool for a call that empties the queue. Only for who has set `writing`.
    fn start_writing(self: &Arc<Self>) {
        let (shared, failed) = (self.clone(), self.clone());
        run_detached(&self.reactor, move || shared.write_all(), move |error| failed.fail_all(error));
    }

    /// The pool could not write, or a writer panicked: nothing leaves any more.
    fn fail_all(&self, error: BlockingError) {
        let failure = StreamFailure::from(io::Error::other(error));
        let mut queue = self.queue.lock();
        queue.failures = [Some(failure.clone()), Some(failure)];
        queue.chunks.clear();
        queue.waiting = 0;
        queue.settled = queue.accepted;
        let wakers = queue.wakers.take();
        drop(queue);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Writes until the queue is empty. Runs on the blocking pool.
    fn write_all(&self) {
        assert_may_block();
        let mut writers = self.writers.lock();
        loop {
            let mut queue = self.queue.lock();
            let Some((stream, chunk)) = queue.next() else {
                queue.writing = false;
                // What was lost has settled without a write.
                let wakers = queue.wakers.take();
                drop(queue);
                wakers.into_iter().for_each(std::task::Waker::wake);
                return;
            };
            drop(queue);
            let writer = &mut writers[stream as usize];
            let written = writer.write_all(&chunk).and_then(|()| writer.flush());
            let mut queue = self.queue.lock();
            queue.settle(chunk.len());
            if let Err(error) = written {
                queue.failures[stream as usize] = Some(error.into());
            }
            let wakers = queue.wakers.take();
            drop(queue);
            // Outside the lock: a woken task asks for room at once.
            wakers.into_iter().for_each(std::task::Waker::wake);
        }
    }
}
