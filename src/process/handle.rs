//! What a spawner holds of a process.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::cell::{ProcessCell, Watcher};
use super::mailbox::MailboxStats;
use super::message::{Message, SignalError};
use super::sending::Sending;
use super::{Exit, Failure, FailureKind, Pid, Report};
use crate::limits::Usage;
use crate::registry::EntryId;
use crate::scheduler::{TaskState, current};

/// A started process: its name, its end, and the ways to ask for it. Cheap to clone; dropping it changes nothing for the
/// process.
///
/// It is a [`Future`] of the [`Exit`] on any executor, and [`wait`](Self::wait) blocks a plain thread for it.
#[derive(Clone)]
pub struct ProcessHandle {
    cell: Arc<ProcessCell>,
}

impl ProcessHandle {
    pub(super) fn new(cell: Arc<ProcessCell>) -> Self {
        Self { cell }
    }

    /// The name of the process.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        &self.cell.pid
    }

    /// The entry it was made from, whatever it has upgraded itself to since.
    #[must_use]
    pub fn entry(&self) -> &EntryId {
        self.cell.entry()
    }

    /// What the process is doing at this moment.
    #[must_use]
    pub fn state(&self) -> TaskState {
        self.cell.state()
    }

    /// The number of steps it has begun.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.cell.steps()
    }

    /// The exit, if the process has ended.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.cell.exit()
    }

    /// Its limits, and what it has used of them so far.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.cell.usage
    }

    /// How it ended and what it used, once the process has ended.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.cell.report()
    }

    /// The time from spawn to the end, once the process has ended.
    #[must_use]
    pub fn wall(&self) -> Option<Duration> {
        self.cell.wall()
    }

    /// Blocks this thread until the process has ended.
    ///
    /// On a worker, where waiting would be waiting for itself, it answers at once with [`Exit::Failed`] of kind
    /// [`FailureKind::Deadlock`]; await the handle there instead.
    #[must_use]
    pub fn wait(&self) -> Exit {
        self.wait_within(None).unwrap_or_else(|| {
            let message = format!("`{}`: a blocking wait on a worker would never end; await the handle", self.pid());
            Exit::Failed(Failure::new(FailureKind::Deadlock, message))
        })
    }

    /// Blocks this thread until the process has ended, at most this long. `None` when it has not, or on a worker.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Exit> {
        self.wait_within(Some(timeout))
    }

    fn wait_within(&self, timeout: Option<Duration>) -> Option<Exit> {
        if current::on_worker() { self.cell.exit() } else { self.cell.wait(timeout) }
    }

    /// Asks the process to end. One that reads its mailbox gets it as an [`Event`](super::Event). A guest that can't receive events is ended when it next waits for something, with
    /// [`Exit::Cancelled`]; one that computes goes on until then. One that is over, and only waits until its output has
    /// left, keeps its exit.
    pub fn cancel(&self, reason: &str) {
        self.cell.cancel(None, reason);
    }

    /// Puts a message into its mailbox, at once or not at all.
    ///
    /// # Errors
    /// See [`SignalError`]; at the bound of the mailbox [`SignalError::Busy`].
    pub fn send(&self, message: Message) -> Result<(), SignalError> {
        self.cell.send(message)
    }

    /// [`ProcessHandle::send`], which waits for room in a full mailbox, by turn.
    ///
    /// # Errors
    /// The message nests too deep.
    pub fn sending(&self, message: Message) -> Result<Sending, SignalError> {
        Sending::new(Arc::clone(&self.cell), message)
    }

    /// What is in its mailbox, and what became of what was sent to it.
    #[must_use]
    pub fn mailbox(&self) -> MailboxStats {
        self.cell.mailbox.stats()
    }

    /// The process that started it, if one did.
    #[must_use]
    pub fn parent(&self) -> Option<&Pid> {
        self.cell.parent.as_ref()
    }

    /// Ends the process by force: at once when it is queued or waits, at the next tick when it computes, after its bulk
    /// operation when it is in one (see [`crate::limits`]).
    pub fn terminate(&self) {
        self.cell.terminate();
    }

    /// Has `watcher` told of the exit; at once when the process has ended already.
    pub fn watch(&self, watcher: impl Watcher + 'static) {
        self.cell.watch(Box::new(watcher));
    }
}

impl Future for ProcessHandle {
    type Output = Exit;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Exit> {
        match self.cell.poll_exit(context.waker()) {
            Some(exit) => Poll::Ready(exit),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for ProcessHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHandle")
            .field("pid", &self.cell.pid)
            .field("entry", self.cell.entry())
            .field("exit", &self.exit())
            .finish()
    }
}
