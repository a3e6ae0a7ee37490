//! What waits for a process to be read: bounded, in order, and nothing lost without a count.
//!
//! Messages are bounded; at the bound a sender is refused, or waits in line. Events are not refused: each of them was paid
//! for before, by a monitor or a link (see [`WATCHED_MAX`](super::WATCHED_MAX)), and of requests to cancel one is kept.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll, Waker};

use super::event::{Event, Signal};
use super::message::{Message, Topic};
use crate::registry::MAX_DROP_OLDEST;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// How many messages wait in a mailbox at most where nobody says another number.
pub const MAILBOX_MESSAGES: usize = 65_536;

/// How many bytes the messages of a mailbox take at most where nobody says another number: 64 MiB.
pub const MAILBOX_BYTES: usize = 64 << 20;

/// How many topics a process may declare as drop-oldest.
pub const DROP_OLDEST_MAX: usize = MAX_DROP_OLDEST;

/// The bounds of the mailboxes of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MailboxBounds {
    /// Messages that wait at once.
    pub(crate) messages: usize,
    /// What they take, in bytes.
    pub(crate) bytes: usize,
}

impl Default for MailboxBounds {
    fn default() -> Self {
        Self { messages: MAILBOX_MESSAGES, bytes: MAILBOX_BYTES }
    }
}

/// What a mailbox holds and what became of what was sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxStats {
    /// Messages that wait to be read.
    pub depth: usize,
    /// What they take, in bytes.
    pub bytes: usize,
    /// Events that wait to be read.
    pub events: usize,
    /// Messages that were accepted so far.
    pub accepted: u64,
    /// Messages that were refused at a bound.
    pub refused: u64,
    /// Messages that gave way to a newer one of their topic.
    pub dropped: u64,
    /// Messages to a process that can't receive.
    pub discarded: u64,
    /// Messages that were accepted and not read before the process ended.
    pub unread: u64,
}

/// Why a mailbox does not take a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no room.
    Full { bound: &'static str, allowed: usize },
    /// There never is.
    Oversized { bytes: usize, allowed: usize },
    /// The process has ended.
    Closed,
}

/// What became of a message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Queued,
    /// The process can't receive; this is the first one.
    DiscardedFirst,
    Discarded,
}

/// The place of a sender in the line for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn(u64);

/// A queue that is made when there is something for it: most processes are never sent anything.
#[derive(Default)]
struct Lines {
    queue: Option<Box<Queue>>,
}

/// What is in a queue that has not been made.
static NOTHING: Queue = Queue {
    messages: VecDeque::new(),
    events: VecDeque::new(),
    bytes: 0,
    next: 0,
    receiver: None,
    senders: VecDeque::new(),
    drop_oldest: Vec::new(),
    accepted: 0,
    refused: 0,
    dropped: 0,
    discarded: 0,
    unread: 0,
};

impl Deref for Lines {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        self.queue.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut Queue {
        self.queue.get_or_insert_default()
    }
}

#[derive(Default)]
struct Queue {
    /// With their place in the order of all signals, and their size.
    messages: VecDeque<(u64, usize, Message)>,
    events: VecDeque<(u64, Event)>,
    bytes: usize,
    next: u64,
    receiver: Option<Waker>,
    /// Senders that wait for room, first come, first served.
    senders: VecDeque<(u64, Waker)>,
    /// With the number of their messages that wait.
    drop_oldest: Vec<(Topic, usize)>,
    accepted: u64,
    refused: u64,
    dropped: u64,
    discarded: u64,
    unread: u64,
}

/// The mailbox of one process.
pub(super) struct Mailbox {
    bounds: MailboxBounds,
    /// Whether the process reads what it gets.
    receives: bool,
    /// Nothing is taken any more. Of a process that reads it is written under the lock.
    closed: AtomicBool,
    queue: Mutex<Lines>,
}

impl Queue {
    fn place(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn full(&self, bounds: MailboxBounds, size: usize) -> Option<Refusal> {
        if self.messages.len() >= bounds.messages {
            Some(Refusal::Full { bound: "max_messages", allowed: bounds.messages })
        } else if self.bytes + size > bounds.bytes {
            Some(Refusal::Full { bound: "max_bytes", allowed: bounds.bytes })
        } else {
            None
        }
    }

    /// Whether there is room for a message, with the older ones of its topic gone if only the newest of it count. Those
    /// that go are given back, to be dropped elsewhere.
    fn makes_room(&mut self, bounds: MailboxBounds, topic: &Topic, size: usize, gone: &mut Vec<Message>) -> bool {
        let mut at = 0;
        // The count ends the search: one that finds nothing would cost every refused sender a walk over all.
        while self.full(bounds, size).is_some() && self.waiting_of(topic).is_some_and(|waiting| *waiting > 0) {
            if self.messages[at].2.topic != *topic {
                at += 1;
            } else if let Some((_, size, message)) = self.messages.remove(at) {
                self.bytes -= size;
                self.dropped += 1;
                self.waiting_of(topic).into_iter().for_each(|waiting| *waiting -= 1);
                gone.push(message);
            }
        }
        self.full(bounds, size).is_none()
    }

    /// How many messages of a topic wait, of which the newest count.
    fn waiting_of(&mut self, topic: &Topic) -> Option<&mut usize> {
        self.drop_oldest.iter_mut().find(|(declared, _)| declared == topic).map(|(_, waiting)| waiting)
    }

    /// The sender whose turn it is, when there is room for somebody.
    fn next_sender(&self, bounds: MailboxBounds) -> Option<Waker> {
        let (_, waker) = self.senders.front()?;
        self.full(bounds, 0).is_none().then(|| waker.clone())
    }

    fn take_message(&mut self) -> Option<Message> {
        self.take_message_at(0)
    }

    fn take_message_at(&mut self, at: usize) -> Option<Message> {
        let (_, size, message) = self.messages.remove(at)?;
        self.bytes -= size;
        self.waiting_of(&message.topic).into_iter().for_each(|waiting| *waiting -= 1);
        Some(message)
    }
}

impl Mailbox {
    pub(super) fn new(bounds: MailboxBounds, receives: bool) -> Self {
        Self { bounds, receives, closed: AtomicBool::new(false), queue: Mutex::new(Lines::default()) }
    }

    pub(super) fn receives(&self) -> bool {
        self.receives
    }

    fn is_closed(&self) -> bool {
        // Acquire, for those without the lock: who is refused sees what the process did before it ended.
        self.closed.load(Ordering::Acquire)
    }

    /// Takes a message, or says why not.
    pub(super) fn push(&self, message: Message) -> Result<Taken, Refusal> {
        self.offer(&mut Some(message), None)
    }

    /// Takes a message when there is room and it is this sender's turn; otherwise the waker is kept for when that may be.
    pub(super) fn poll_push(
        &self,
        message: &mut Option<Message>,
        turn: &mut Option<Turn>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Taken, Refusal>> {
        match self.offer(message, Some((turn, context.waker()))) {
            Err(Refusal::Full { .. }) => Poll::Pending,
            settled => Poll::Ready(settled),
        }
    }

    /// Takes the message out of its place, or leaves it there.
    fn offer(
        &self,
        offered: &mut Option<Message>,
        waiting: Option<(&mut Option<Turn>, &Waker)>,
    ) -> Result<Taken, Refusal> {
        // Polled again after it was taken: there is nothing to say of it any more.
        let Some(message) = offered else { return Ok(Taken::Queued) };
        let size = message.size();
        let mut gone = Vec::new();
        let mut queue = self.queue.lock();
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        if !self.receives {
            gone.extend(offered.take());
            queue.discarded += 1;
            return Ok(if queue.discarded == 1 { Taken::DiscardedFirst } else { Taken::Discarded });
        }
        if size > self.bounds.bytes {
            return Err(Refusal::Oversized { bytes: size, allowed: self.bounds.bytes });
        }
        if let Some((turn, waker)) = waiting {
            let first = queue.senders.front().map(|(number, _)| *number);
            let is_next = first.is_none() || first == turn.as_ref().map(|turn| turn.0);
            if !is_next || !queue.makes_room(self.bounds, &message.topic, size, &mut gone) {
                queue.wait_in_line(turn, waker);
                return Err(Refusal::Full { bound: "max_messages", allowed: self.bounds.messages });
            }
            if turn.take().is_some() {
                queue.senders.pop_front();
            }
        } else if !queue.makes_room(self.bounds, &message.topic, size, &mut gone) {
            queue.refused += 1;
            return Err(queue.full(self.bounds, size).unwrap_or(Refusal::Closed));
        }
        let place = queue.place();
        queue.bytes += size;
        queue.accepted += 1;
        queue.waiting_of(&message.topic).into_iter().for_each(|waiting| *waiting += 1);
        queue.messages.extend(offered.take().map(|message| (place, size, message)));
        let (receiver, sender) = (queue.receiver.take(), queue.next_sender(self.bounds));
        drop(queue);
        // Outside the lock: foreign code.
        drop(gone);
        receiver.into_iter().chain(sender).for_each(Waker::wake);
        Ok(Taken::Queued)
    }

    /// A sender that waited gives up: the next one is not to wait for it.
    pub(super) fn leave_line(&self, turn: Turn) {
        let mut queue = self.queue.lock();
        queue.senders.retain(|(number, _)| *number != turn.0);
        let next = queue.next_sender(self.bounds);
        drop(queue);
        next.into_iter().for_each(Waker::wake);
    }

    /// Adds an event; whom to wake for it, which is for the caller to do. A process that can't receive gets none.
    #[must_use]
    pub(super) fn push_event(&self, event: Event) -> Option<Waker> {
        if !self.receives {
            return None;
        }
        let mut queue = self.queue.lock();
        // The reasons of later ones are told to nobody; the first one is what the process goes by.
        let is_again = matches!(event, Event::Cancel { .. })
            && queue.events.iter().any(|(_, event)| matches!(event, Event::Cancel { .. }));
        if self.is_closed() || is_again {
            return None;
        }
        let place = queue.place();
        queue.events.push_back((place, event));
        queue.receiver.take()
    }

    /// The next message.
    pub(super) fn poll_message(&self, context: &mut Context<'_>) -> Poll<Message> {
        self.poll(context, Queue::take_message)
    }

    /// The next message of a topic that is wanted.
    pub(super) fn poll_message_where(
        &self,
        context: &mut Context<'_>,
        wanted: impl Fn(&Topic) -> bool,
    ) -> Poll<Message> {
        self.poll(context, |queue| {
            let at = queue.messages.iter().position(|(.., message)| wanted(&message.topic))?;
            queue.take_message_at(at)
        })
    }

    /// The next event.
    pub(super) fn poll_event(&self, context: &mut Context<'_>) -> Poll<Event> {
        self.poll(context, |queue| queue.events.pop_front().map(|(_, event)| event))
    }

    /// The next of either, in the order in which they came.
    pub(super) fn poll_signal(&self, context: &mut Context<'_>) -> Poll<Signal> {
        self.poll(context, |queue| {
            let message = queue.messages.front().map_or(u64::MAX, |(place, ..)| *place);
            let event = queue.events.front().map_or(u64::MAX, |(place, _)| *place);
            if message < event {
                queue.take_message().map(Signal::Message)
            } else {
                queue.events.pop_front().map(|(_, event)| Signal::Event(event))
            }
        })
    }

    /// Ready when there is a message or, if `events` count, an event.
    pub(super) fn poll_ready(&self, context: &mut Context<'_>, messages: bool, events: bool) -> Poll<()> {
        self.poll(context, |queue| {
            (messages && !queue.messages.is_empty() || events && !queue.events.is_empty()).then_some(())
        })
    }

    fn poll<T>(&self, context: &mut Context<'_>, take: impl FnOnce(&mut Queue) -> Option<T>) -> Poll<T> {
        let mut queue = self.queue.lock();
        let Some(taken) = take(&mut queue) else {
            if self.receives && !queue.receiver.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                let old = queue.receiver.replace(context.waker().clone());
                drop(queue);
                drop(old);
            }
            return Poll::Pending;
        };
        let sender = queue.next_sender(self.bounds);
        drop(queue);
        sender.into_iter().for_each(Waker::wake);
        Poll::Ready(taken)
    }

    /// Declares a topic of which the newest messages count; false when there are as many as there may be.
    pub(super) fn drop_oldest(&self, topic: Topic) -> bool {
        let mut queue = self.queue.lock();
        if queue.waiting_of(&topic).is_some() {
            return true;
        }
        let has_room = queue.drop_oldest.len() < DROP_OLDEST_MAX;
        if has_room {
            let waiting = queue.messages.iter().filter(|(.., message)| message.topic == topic).count();
            queue.drop_oldest.push((topic, waiting));
        }
        has_room
    }

    /// Takes nothing from now on. What was not read is gone, and counted; who waits for room is told.
    pub(super) fn close(&self) {
        // Who does not read has nothing here but counts: no lock for it, which is something beside a very short life.
        if !self.receives {
            self.closed.store(true, Ordering::Release);
            return;
        }
        let mut lines = self.queue.lock();
        self.closed.store(true, Ordering::Relaxed);
        let Some(queue) = lines.queue.as_deref_mut() else { return };
        queue.unread += queue.messages.len() as u64;
        queue.bytes = 0;
        let left = (std::mem::take(&mut queue.messages), std::mem::take(&mut queue.events), queue.receiver.take());
        let senders = std::mem::take(&mut queue.senders);
        drop(lines);
        drop(left);
        senders.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(super) fn stats(&self) -> MailboxStats {
        let queue = self.queue.lock();
        MailboxStats {
            depth: queue.messages.len(),
            bytes: queue.bytes,
            events: queue.events.len(),
            accepted: queue.accepted,
            refused: queue.refused,
            dropped: queue.dropped,
            discarded: queue.discarded,
            unread: queue.unread,
        }
    }
}

impl Queue {
    fn wait_in_line(&mut self, turn: &mut Option<Turn>, waker: &Waker) {
        if let Some(Turn(own)) = turn
            && let Some((_, known)) = self.senders.iter_mut().find(|(number, _)| number == own)
        {
            known.clone_from(waker);
            return;
        }
        let number = self.place();
        self.senders.push_back((number, waker.clone()));
        *turn = Some(Turn(number));
    }
}

#[cfg(all(test, not(wippy_loom)))]
mod tests;

#[cfg(all(test, wippy_loom))]
mod models;
