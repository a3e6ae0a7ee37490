//! How far the shutdown of a scheduler is.

use crate::sync::{AtomicUsize, Ordering, fence};

/// Tasks are accepted and run.
const OPEN: usize = 0;
/// No task is accepted; workers drop what is queued and end.
const STOPPING: usize = 1;
/// No worker is left: who makes a task ready drops it.
const CLOSED: usize = 2;

/// The phase of a scheduler and the number of workers that have not left it.
#[derive(Debug)]
pub(super) struct Phase {
    phase: AtomicUsize,
    workers_left: AtomicUsize,
}

impl Phase {
    pub(super) fn new(workers: usize) -> Self {
        Self { phase: AtomicUsize::new(OPEN), workers_left: AtomicUsize::new(workers) }
    }

    /// No task is accepted from here on.
    pub(super) fn open_to_stopping(&self) {
        // Relaxed: it carries no data, and workers that sleep are woken through a lock afterwards.
        let _ = self.phase.compare_exchange(OPEN, STOPPING, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        // Relaxed: as in `open_to_stopping`.
        self.phase.load(Ordering::Relaxed) != OPEN
    }

    /// One more worker comes. False when none is left: the scheduler is closed, or about to be.
    #[must_use]
    pub(super) fn worker_joins(&self) -> bool {
        // Relaxed: as long as the count is not zero, whoever leaves later takes over from everybody.
        let join = |left: usize| (left > 0).then_some(left + 1);
        self.workers_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, join).is_ok()
    }

    /// A worker has dropped what was queued and ends. True for the last one: the injectors are its to empty.
    #[must_use]
    pub(super) fn worker_leaves(&self) -> bool {
        // AcqRel pairs with itself: the last one takes over from all others.
        let is_last = self.workers_left.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            self.phase.swap(CLOSED, Ordering::Relaxed);
            // Pairs with the fence that `is_closed_after_fence` asks for.
            fence(Ordering::SeqCst);
        }
        is_last
    }

    /// Asked by a thread that pushed a job into an injector and then passed a `SeqCst` fence. That one pairs with the fence
    /// in `worker_leaves`: either this thread sees that nobody is left, or the last worker sees the job.
    pub(super) fn is_closed_after_fence(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == CLOSED
    }
}
