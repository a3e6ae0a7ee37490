//! The reading end of a mailbox.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::cell::ProcessCell;
use super::event::{Event, Signal};
use super::mailbox::{DROP_OLDEST_MAX, MailboxStats};
use super::message::{Message, SignalError, Topic};
use crate::limits::WaitReason;

/// What comes in for a process, given to it with its [`Birth`](super::Birth).
///
/// Messages and events can be read apart or together, always in the order in which they came. Waiting keeps one waker for
/// all of it: the last one that asked.
#[derive(Clone)]
pub struct Inbox(Arc<ProcessCell>);

impl Inbox {
    pub(super) fn new(cell: Arc<ProcessCell>) -> Self {
        Self(cell)
    }

    /// The next message.
    pub fn poll_message(&self, context: &mut Context<'_>) -> Poll<Message> {
        self.noted(self.0.mailbox.poll_message(context))
    }

    /// The next event.
    pub fn poll_event(&self, context: &mut Context<'_>) -> Poll<Event> {
        self.noted(self.0.mailbox.poll_event(context))
    }

    /// The next message or event.
    pub fn poll_signal(&self, context: &mut Context<'_>) -> Poll<Signal> {
        self.noted(self.0.mailbox.poll_signal(context))
    }

    /// Ready when there is a message.
    pub fn poll_has_message(&self, context: &mut Context<'_>) -> Poll<()> {
        self.noted(self.0.mailbox.poll_ready(context, true, false))
    }

    /// Ready when there is an event.
    pub fn poll_has_event(&self, context: &mut Context<'_>) -> Poll<()> {
        self.noted(self.0.mailbox.poll_ready(context, false, true))
    }

    /// Ready when there is either.
    pub fn poll_has_signal(&self, context: &mut Context<'_>) -> Poll<()> {
        self.noted(self.0.mailbox.poll_ready(context, true, true))
    }

    /// Says what the process waits for, when it has to.
    fn noted<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            WaitReason::Message.note();
        }
        polled
    }

    /// The next message of a topic that is wanted; those before it stay where they are.
    ///
    /// `wanted` is called with a lock held and must only look.
    pub fn poll_message_where(&self, context: &mut Context<'_>, wanted: impl Fn(&Topic) -> bool) -> Poll<Message> {
        self.noted(self.0.mailbox.poll_message_where(context, wanted))
    }

    /// Has the oldest messages of a topic give way to newer ones of the same topic when the mailbox is full, instead of
    /// refusing those. What is dropped is counted.
    ///
    /// # Errors
    /// There are [`DROP_OLDEST_MAX`] such topics already.
    pub fn drop_oldest(&self, topic: Topic) -> Result<(), SignalError> {
        if self.0.mailbox.drop_oldest(topic) {
            return Ok(());
        }
        Err(SignalError::TooMany { pid: self.0.pid.clone(), what: "drop-oldest topics", allowed: DROP_OLDEST_MAX })
    }

    /// Whether the abnormal end of a linked process comes as an event from now on; otherwise it ends this one, too.
    pub fn trap_links(&self, trap: bool) {
        self.0.traps_links.store(trap, Ordering::Relaxed);
    }

    /// Whether it does, see [`Inbox::trap_links`].
    #[must_use]
    pub fn traps_links(&self) -> bool {
        self.0.traps_links.load(Ordering::Relaxed)
    }

    /// What is in the mailbox, and what became of what was sent to it.
    #[must_use]
    pub fn stats(&self) -> MailboxStats {
        self.0.mailbox.stats()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inbox").field(&self.0.pid).finish()
    }
}
