//! The pending timers in the order of their deadlines.

use std::collections::BTreeMap;
use std::task::Waker;

use super::clock::Instant;

/// Names one entry; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    deadline: Instant,
    /// Counts registrations: equal deadlines fire in their order.
    sequence: u64,
}

/// Pending timers. One entry for each live sleep that was polled, so whoever bounds the sleeps bounds the queue.
#[derive(Default)]
pub(super) struct Queue {
    entries: BTreeMap<Key, Waker>,
    /// Registrations so far.
    sequence: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, deadline: Instant, waker: Waker) -> Key {
        let key = Key { deadline, sequence: self.sequence };
        self.sequence += 1;
        self.entries.insert(key, waker);
        key
    }

    /// The waker of a pending entry; `None` when it has fired or was removed.
    pub(super) fn waker_mut(&mut self, key: Key) -> Option<&mut Waker> {
        self.entries.get_mut(&key)
    }

    /// Removes an entry and gives its waker back, to be dropped outside the lock.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        self.entries.remove(&key)
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(key, _)| key.deadline)
    }

    /// Removes the earliest entry if its deadline is not after `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        let first = self.entries.first_entry()?;
        (first.key().deadline <= now).then(|| first.remove())
    }

    /// Removes everything, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.entries).into_values()
    }
}
