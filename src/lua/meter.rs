//! How a script is kept from holding its worker: a look at the clock of preemption from the hook of the VM.
//!
//! The hook is called every [`INSTRUCTIONS`] instructions of any coroutine and costs next to nothing until the ticker has
//! counted on. Then it asks what the epoch callback of a wasm guest asks: was an end asked for, is a limit of time reached, does
//! somebody wait and is the slice over. Whatever the answer, the script is stopped by a yield out of the hook and not by
//! an error, which a script could catch; one whose end is settled is never resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::limits::Usage;
use crate::process::{Exit, step};
use crate::reactor::Clock;

/// Instructions between two calls of the hook.
///
/// What a hook costs is the VM looking for it before each instruction, whatever its period, so the period is short enough
/// that instructions that call into the host do not add up to a tick. Measured in milliseconds, the best of five on a busy
/// virtual core; the checkpoints are a counter in Lua at the head of each loop and function, which calls the host every
/// thousandth time:
///
/// | | no hook | every 100 | every 1000 | every 10,000 | checkpoints |
/// |---|---|---|---|---|---|
/// | empty loop | 211 | 333 | 481 | 440 | 431 |
/// | `fib(30)` | 102 | 266 | 259 | 257 | 177 |
/// | tables | 662 | 900 | 776 | 709 | 632 |
/// | texts | 733 | 810 | 780 | 783 | 742 |
/// | method calls | 917 | 893 | 722 | 721 | 682 |
///
/// Checkpoints would save a third where nothing but calls happens and next to nothing elsewhere, and only for the price of
/// a rewritten script; a hook also reaches what is not in it.
pub(super) const INSTRUCTIONS: u32 = 1000;

/// The meter of one process.
pub(super) struct Meter {
    /// Counts on at every tick.
    ticks: Arc<AtomicU64>,
    /// The tick of the last look.
    seen: AtomicU64,
    usage: Arc<Usage>,
    clock: Clock,
    /// How the process ends, once that is settled from inside.
    ending: Mutex<Option<Exit>>,
    is_ending: AtomicBool,
    /// The hook stops nobody.
    is_held: AtomicBool,
    /// Other coroutines of the process could run.
    pub(super) has_others: AtomicBool,
    /// Why the hook stopped the coroutine that has just yielded.
    stop: Mutex<Stop>,
}

/// Why and where a hook stopped a coroutine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) look: Look,
    /// Within a function of the prelude, which no other coroutine may see half done.
    pub(super) is_critical: bool,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    GoOn,
    /// The coroutine is to let others of its process run.
    Rotate,
    /// The process is to let others run.
    Preempt,
    /// It is over.
    End,
}

impl Meter {
    pub(super) fn new(ticks: Arc<AtomicU64>, usage: Arc<Usage>, clock: Clock) -> Self {
        let seen = AtomicU64::new(ticks.load(Ordering::Relaxed));
        Self {
            ticks,
            seen,
            usage,
            clock,
            ending: Mutex::default(),
            is_ending: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            has_others: AtomicBool::new(false),
            stop: Mutex::new(Stop { look: Look::GoOn, is_critical: false }),
        }
    }

    /// Runs something short that the hook is not to stop.
    pub(super) fn hold<T>(&self, work: impl FnOnce() -> T) -> T {
        let was_held = self.is_held.swap(true, Ordering::Relaxed);
        let result = work();
        self.is_held.store(was_held, Ordering::Relaxed);
        result
    }

    /// What the hook does: whether the coroutine is to yield. `is_critical` is asked only when it might.
    pub(super) fn hook(&self, is_critical: impl FnOnce() -> bool) -> bool {
        if self.is_held.load(Ordering::Relaxed) {
            return false;
        }
        let look = self.look();
        if look == Look::GoOn {
            return false;
        }
        let stop = Stop { look, is_critical: is_critical() };
        *self.stop.lock() = stop;
        // Nobody waits outside of the process: the function may finish what it does.
        !(look == Look::Rotate && stop.is_critical)
    }

    /// Whether work within one call is to stop here: as the hook does, where the hook does not reach.
    pub(super) fn stops_work(&self) -> bool {
        self.hook(|| false)
    }

    /// Why the coroutine that has just yielded was stopped.
    pub(super) fn take_stop(&self) -> Stop {
        std::mem::replace(&mut self.stop.lock(), Stop { look: Look::GoOn, is_critical: false })
    }

    /// A step begins: its first tick is still to come. Without this a process that shares its worker would be told that its
    /// slice is over before it did anything.
    pub(super) fn begin(&self) {
        self.seen.store(self.ticks.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Looks, if there was a tick since the last time.
    pub(super) fn look(&self) -> Look {
        if self.is_ending() {
            return Look::End;
        }
        let now = self.ticks.load(Ordering::Relaxed);
        if self.seen.swap(now, Ordering::Relaxed) == now {
            return Look::GoOn;
        }
        if step::cancelled() {
            self.end(Exit::Terminated);
            return Look::End;
        }
        let now = self.clock.now().as_nanos();
        if let Err(limit) = self.usage.check_time(now) {
            self.end(Exit::LimitExceeded(limit));
            return Look::End;
        }
        // Asked at each tick, also within a slice: it looks after the reactor.
        if step::should_yield() && self.usage.is_slice_over(now) {
            return Look::Preempt;
        }
        match self.has_others.load(Ordering::Relaxed) {
            true => Look::Rotate,
            false => Look::GoOn,
        }
    }

    /// Settles the end of the process; the first one counts. The script is not resumed any more.
    pub(super) fn end(&self, exit: Exit) {
        self.ending.lock().get_or_insert(exit);
        self.is_ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    pub(super) fn take_end(&self) -> Option<Exit> {
        self.is_ending().then(|| self.ending.lock().take()).flatten()
    }
}
