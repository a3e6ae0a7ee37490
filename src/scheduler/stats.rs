//! What a scheduler counts. Each worker has counters of its own, written by that worker alone.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sync::CachePadded;

/// A snapshot of a scheduler; its numbers were read one after the other while it went on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// One for each worker, in the order of the thread names; then one for each replacement that there may be.
    pub workers: Vec<WorkerStats>,
    /// Tasks that are spawned and neither complete nor dropped.
    pub live_tasks: usize,
    /// Woken tasks in the injector: nobody's yet.
    pub woken_queue: usize,
    /// Tasks whose slice was over, waiting for the next one.
    pub preempted_queue: usize,
    /// Workers that are parked now.
    pub parked_workers: usize,
    /// Looks at the driver by the ticker, because all workers were inside steps for a whole tick.
    pub polls_by_ticker: u64,
    /// Replacements that are there for workers inside steps that can't be preempted.
    pub replacements: usize,
}

impl Stats {
    /// The sum over all workers; `queue` is the length of all deques together.
    pub fn total(&self) -> WorkerStats {
        self.workers.iter().fold(WorkerStats::default(), |sum, worker| WorkerStats {
            steps: sum.steps + worker.steps,
            preempted: sum.preempted + worker.preempted,
            stolen: sum.stolen + worker.stolen,
            parked: sum.parked + worker.parked,
            polls: sum.polls + worker.polls,
            panics: sum.panics + worker.panics,
            queue: sum.queue + worker.queue,
        })
    }
}

/// What one worker has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Steps begun.
    pub steps: u64,
    /// Steps that ended because the slice was over.
    pub preempted: u64,
    /// Successful thefts; each may move several tasks.
    pub stolen: u64,
    /// Times the worker fell asleep.
    pub parked: u64,
    /// Looks at the driver between two steps or during one.
    pub polls: u64,
    /// Steps that panicked.
    pub panics: u64,
    /// Tasks in the worker's deque now.
    pub queue: usize,
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub(super) struct Counters(CachePadded<Cells>);

#[derive(Debug, Default)]
struct Cells {
    steps: AtomicU64,
    preempted: AtomicU64,
    stolen: AtomicU64,
    parked: AtomicU64,
    polls: AtomicU64,
    panics: AtomicU64,
}

/// Which counter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Step,
    Preempted,
    Stolen,
    Parked,
    Poll,
    Panic,
}

impl Counters {
    /// Counts one more. Only the worker itself calls this, so a load and a store do.
    pub(super) fn add(&self, count: Count) {
        let cell = match count {
            Count::Step => &self.0.steps,
            Count::Preempted => &self.0.preempted,
            Count::Stolen => &self.0.stolen,
            Count::Parked => &self.0.parked,
            Count::Poll => &self.0.polls,
            Count::Panic => &self.0.panics,
        };
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Steps begun so far.
    pub(super) fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    pub(super) fn read(&self, queue: usize) -> WorkerStats {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        WorkerStats {
            steps: read(&self.0.steps),
            preempted: read(&self.0.preempted),
            stolen: read(&self.0.stolen),
            parked: read(&self.0.parked),
            polls: read(&self.0.polls),
            panics: read(&self.0.panics),
            queue,
        }
    }
}
