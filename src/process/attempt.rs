//! Runs that need no process: of guests that are over so soon that nobody can have had anything to do with them.
//!
//! Whoever runs very many short guests pays for a process each time: a pid, a mailbox, a task, a place in the table. A guest that
//! asks nobody for anything, and is over within two ticks, has no use for any of it. So it is run where its inputs are, and only
//! what that does not finish becomes a process. Its limits hold as they do for one, and for the time that it takes it has
//! the place of a process at the host.
//!
//! Somebody who listens to the events of the runtime is told of each process, and there are no attempts meanwhile.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::ceiling::Footprint;
use super::ground::{Admission, Ground, Spot};
use super::{Ceiling, Exit, Payload, Program, Tasks, step};
use crate::limits::{Limits, Usage};
use crate::reactor::Reactor;

/// After an attempt that failed so many go without one: twice as many each time.
const SPARED_FIRST: u32 = 64;

/// How often it gets twice as many.
const DOUBLINGS_MAX: u32 = 10;

/// So many attempts that did not fail make one of the failures before them forgotten: a machine that is busy elsewhere now and then
/// has a short guest take long.
const FORGETS_AFTER: u32 = 256;

/// Whether attempts are worth their time: what an attempt that fails has done is lost.
#[derive(Debug, Default)]
pub(crate) struct Luck {
    failed: AtomicU32,
    /// Attempts since the last one that failed.
    tried: AtomicU32,
    /// Runs to come that go without an attempt.
    spared: AtomicU32,
}

impl Luck {
    /// Whether the next run is worth one.
    pub(crate) fn is_worth_one(&self) -> bool {
        // Relaxed, and not in one access: with others in between it is some more or less.
        match self.spared.load(Ordering::Relaxed) {
            0 => {
                self.tried.store(self.tried.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
                true
            }
            spared => {
                self.spared.store(spared - 1, Ordering::Relaxed);
                false
            }
        }
    }

    /// An attempt failed.
    pub(crate) fn failed(&self) {
        let forgotten = self.tried.swap(0, Ordering::Relaxed) / FORGETS_AFTER;
        let failed = self.failed.load(Ordering::Relaxed).saturating_sub(forgotten);
        self.failed.store(failed + 1, Ordering::Relaxed);
        self.spared.store(SPARED_FIRST << failed.min(DOUBLINGS_MAX), Ordering::Relaxed);
    }
}

/// What a program has for an [attempt](Program::attempt).
pub struct Attempt<'a> {
    /// The arguments, already checked.
    pub input: &'a [Payload],
    /// The limits, and the counters of what is used of them, as in a [`Birth`](super::Birth).
    pub usage: &'a Arc<Usage>,
    ground: &'a Arc<Ground>,
}

impl Attempt<'_> {
    /// The reactor of the host.
    #[must_use]
    pub fn reactor(&self) -> &Arc<Reactor> {
        &self.ground.host().reactor
    }

    /// The workers of the host.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.ground.host().tasks
    }

    /// What bounds the number of processes.
    #[must_use]
    pub fn ceiling(&self) -> &Ceiling {
        &self.ground.host().ceiling
    }
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("input", &self.input).finish_non_exhaustive()
    }
}

/// What became of an [attempt](Program::attempt).
#[derive(Debug)]
pub enum Attempted {
    /// The guest has ended.
    Ended(Exit),
    /// There was none: the program is not ready for it, the arguments do not fit, or the host is closing. A process is the
    /// way, and who starts it is told what is wrong.
    Unfit,
    /// The guest took too long or had something to ask, and nothing has come of it. A process may do both.
    Failed,
}

/// An entry on a host with limits of its own, looked up once for very many runs.
pub(crate) struct Prepared {
    pub(super) program: Arc<dyn Program>,
    /// That of anybody.
    pub(super) ground: Arc<Ground>,
    pub(super) limits: Arc<Limits>,
    pub(super) footprint: Footprint,
}

impl Prepared {
    /// The workers of the host.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.ground.host().tasks
    }

    /// The place of a process, for one attempt after the other on this worker; `None` when the host has none, or somebody wants to
    /// hear of each process.
    pub(crate) fn take_place(&self) -> Option<Stand> {
        let ground = self.ground.here();
        let host = ground.host();
        if ground.realm.subscribers.has_any() || host.table.is_closed() {
            return None;
        }
        let mut place = host.table.admit(&host.desk, &self.footprint).ok()?;
        host.table.leave_line(&mut place);
        let spot = ground.spot(&self.program);
        let admission = Admission::new(Arc::clone(&ground), place);
        // Apart from those of the other workers, which count their references as often.
        let limits = Arc::new(Limits::clone(&self.limits));
        Some(Stand { limits, spot, ground, _admission: admission })
    }
}

/// Where a worker runs one guest after the other.
pub(crate) struct Stand {
    limits: Arc<Limits>,
    spot: Arc<Spot>,
    ground: Arc<Ground>,
    _admission: Admission,
}

impl Stand {
    /// Whether it is time to let others have the worker.
    pub(crate) fn is_slice_over(&self) -> bool {
        step::is_slice_over()
    }

    /// Runs a guest; with what it took.
    pub(crate) fn attempt(&self, input: &[Payload]) -> (Attempted, Duration) {
        let program = &self.spot.program;
        if self.ground.host().table.is_closed() || program.check(input).is_err() {
            return (Attempted::Unfit, Duration::ZERO);
        }
        let begin = self.ground.clock.near();
        let usage = Arc::new(Usage::new(Arc::clone(&self.limits), begin.as_nanos()));
        usage.begin_step(begin.as_nanos());
        let attempted = program.attempt(&Attempt { input, usage: &usage, ground: &self.ground });
        let nanos = self.ground.clock.near().as_nanos().saturating_sub(begin.as_nanos());
        (attempted, Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_more_and_more_rarely() {
        let luck = Luck::default();
        assert!(luck.is_worth_one() && luck.is_worth_one());
        let spared = || {
            luck.failed();
            (0..).take_while(|_| !luck.is_worth_one()).count()
        };
        assert_eq!([spared(), spared(), spared()], [64, 128, 256]);
        (0..50).for_each(|_| luck.failed());
        assert_eq!(spared(), 64 << 10);
        assert!(luck.is_worth_one(), "until one fails again");
    }

    #[test]
    fn what_fails_rarely_is_hardly_spared() {
        let luck = Luck::default();
        for _ in 0..10 {
            luck.failed();
            assert_eq!((0..).take_while(|_| !luck.is_worth_one()).count(), 64);
            (0..300).for_each(|_| assert!(luck.is_worth_one()));
        }
    }
}
