//! What the pools of a runtime share: where their processes run, and which calls are made in others.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::pool::Pool;
use crate::process::Manager;
use crate::reactor::Clock;
use crate::registry::EntryId;

/// What all pools have in common.
pub(super) struct Site {
    /// Not what keeps a runtime alive.
    pub(super) manager: Weak<Manager>,
    /// Where functions run; none when the application has no host.
    pub(super) host: Option<EntryId>,
    pub(super) clock: Clock,
    /// Held while a call that is made in another one is admitted: two that would wait for each other come one after the
    /// other. Taken before the lock of a pool, never inside of one.
    pub(super) nested: Mutex<Nested>,
}

/// Calls that are made in other calls and have not ended: by the number of the call in which they are made.
#[derive(Default)]
pub(super) struct Nested(HashMap<u64, Vec<Made>>);

struct Made {
    number: u64,
    /// The pool of which it waits for a slot; none once it has one.
    waits_for: Option<Arc<Pool>>,
}

/// What a call may wait for.
enum Awaited<'a> {
    Slot(&'a Arc<Pool>),
    Call(u64),
}

impl Nested {
    /// A call made in this one waits for a slot of `pool` from now on.
    pub(super) fn add(&mut self, made_in: u64, number: u64, pool: &Arc<Pool>) {
        self.0.entry(made_in).or_default().push(Made { number, waits_for: Some(Arc::clone(pool)) });
    }

    /// It has a slot.
    pub(super) fn begin(&mut self, made_in: u64, number: u64) {
        let made = self.0.get_mut(&made_in).and_then(|made| made.iter_mut().find(|made| made.number == number));
        if let Some(made) = made {
            made.waits_for = None;
        }
    }

    /// It is over.
    pub(super) fn remove(&mut self, made_in: u64, number: u64) {
        let Some(made) = self.0.get_mut(&made_in) else { return };
        made.retain(|made| made.number != number);
        if made.is_empty() {
            self.0.remove(&made_in);
        }
    }

    /// Whether a slot of `pool` can become free: a call that has one waits for no other call, or for one of which that can
    /// be said. Otherwise all of them wait for each other.
    pub(super) fn can_go_on(&self, pool: &Arc<Pool>) -> bool {
        let mut left = vec![Awaited::Slot(pool)];
        let (mut pools, mut calls) = (HashSet::new(), HashSet::new());
        while let Some(awaited) = left.pop() {
            match awaited {
                Awaited::Slot(pool) => {
                    if pools.insert(Arc::as_ptr(pool)) {
                        let Some(running) = pool.running_when_full() else { return true };
                        left.extend(running.into_iter().map(Awaited::Call));
                    }
                }
                Awaited::Call(number) => {
                    if calls.insert(number) {
                        let Some(made) = self.0.get(&number) else { return true };
                        left.extend(made.iter().map(|made| match &made.waits_for {
                            Some(pool) => Awaited::Slot(pool),
                            None => Awaited::Call(made.number),
                        }));
                    }
                }
            }
        }
        false
    }
}
