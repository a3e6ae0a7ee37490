//! One atomic word says everything about where a task is.
//!
//! ```text
//!               ready_to_running            running_to_complete
//!   spawn ──▶ READY ───────────▶ RUNNING ────────────────────▶ COMPLETE
//!               ▲  ▲               │  │                            ▲
//!               │  └───────────────┘  │ running_to_suspended       │ ready_to_complete
//!               │   running_to_ready  ▼                            │ (shutdown)
//!               └─── wake, cancel ─ BLOCKED, IDLE        READY ────┘
//! ```
//!
//! Two bits ride along. `WAKE` is set only beside `RUNNING`: somebody called the waker during the step, so the task must
//! not be suspended. `CANCEL` stays once it is set.
//!
//! Rules, each kept by the one method that could break it:
//! 1. Whoever moves the word to `READY` owns the one reference that goes into a queue. Hence a task is queued once.
//! 2. Only the worker that took that reference out moves `READY` to `RUNNING`. Hence steps never overlap.
//! 3. Every call of `wake` and `cancel` writes the word (unless it is complete), even when no bit changes: the next step
//!    acquires that write, so it sees what the caller did before. Hence no wake-up is lost.
//! 4. `COMPLETE` is final.

use crate::sync::{AtomicUsize, Ordering};

const IDLE: usize = 0;
const READY: usize = 1;
const RUNNING: usize = 2;
const BLOCKED: usize = 3;
const COMPLETE: usize = 4;
const LIFECYCLE: usize = 0b111;
const WAKE: usize = 0b1000;
const CANCEL: usize = 0b1_0000;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// In a queue, or about to be.
    Ready,
    /// Inside a step.
    Running,
    /// Waits for a completion.
    Blocked,
    /// Waits for a message.
    Idle,
    /// Has ended; its value is dropped.
    Complete,
}

/// What a call of `wake` or `cancel` obliges its caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Wake {
    /// The task was suspended and is ready now: the caller puts it into a queue.
    Enqueue,
    /// The task is ready already, or the worker inside its step makes it ready again: nothing to do.
    Pending,
    /// The task has ended: nothing to do.
    Complete,
}

/// What became of a task whose step did not end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Suspend {
    /// It waits. From now on another worker may run it.
    Suspended,
    /// It was woken during the step and is ready: the worker puts it into a queue.
    Ready,
}

/// What a suspended task waits for; it makes a difference to observers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Completion,
    Message,
}

/// The state word.
#[derive(Debug)]
pub(super) struct State(AtomicUsize);

impl State {
    /// A task that is about to be put into its first queue.
    pub(super) fn ready() -> Self {
        Self(AtomicUsize::new(READY))
    }

    /// The worker that took the task out of a queue begins a step. True when somebody asked for the end of the task.
    pub(super) fn ready_to_running(&self) -> bool {
        // Acquire pairs with the release of `wake`, `cancel`, `running_to_suspended` and `running_to_ready`: the step
        // sees what the waker and the step before it wrote. One addition instead of a loop: beside READY only CANCEL
        // can change.
        let before = self.0.fetch_add(RUNNING - READY, Ordering::AcqRel);
        debug_assert_eq!(before & LIFECYCLE, READY, "only a queued task is run");
        debug_assert_eq!(before & WAKE, 0, "the wake bit exists only during a step");
        before & CANCEL != 0
    }

    /// The slice is over: the worker puts the task into a queue again.
    pub(super) fn running_to_ready(&self) {
        // Release pairs with the acquire of `ready_to_running` on the next worker; acquire takes over from wakers whose
        // bit is cleared here, their queueing is the worker's now.
        let before = self.update(|word| (word & CANCEL) | READY);
        debug_assert_eq!(before & LIFECYCLE, RUNNING, "only a running task is preempted");
    }

    /// The step left the task waiting, unless somebody woke it meanwhile.
    pub(super) fn running_to_suspended(&self, wait: Wait) -> Suspend {
        let suspended = match wait {
            Wait::Completion => BLOCKED,
            Wait::Message => IDLE,
        };
        // Release pairs with the acquire of `wake` and `ready_to_running`; acquire pairs with the release of a `wake`
        // during the step, whose writes the next step must see.
        let before = self.update(|word| (word & CANCEL) | if word & WAKE == 0 { suspended } else { READY });
        debug_assert_eq!(before & LIFECYCLE, RUNNING, "only a running task is suspended");
        if before & WAKE == 0 { Suspend::Suspended } else { Suspend::Ready }
    }

    /// The task has ended and its value is dropped.
    pub(super) fn running_to_complete(&self) {
        // Release pairs with the acquire of `load`: who sees the end sees what the task did.
        // One addition instead of a loop: the bits beside it don't matter any more, and no lifecycle but this one changes.
        let before = self.0.fetch_add(COMPLETE - RUNNING, Ordering::AcqRel);
        debug_assert_eq!(before & LIFECYCLE, RUNNING, "only a running task completes");
    }

    /// The task was taken out of a queue to be dropped, because the scheduler shuts down.
    pub(super) fn ready_to_complete(&self) {
        // As in `running_to_complete`.
        let before = self.update(|word| (word & CANCEL) | COMPLETE);
        debug_assert_eq!(before & LIFECYCLE, READY, "only a queued task is retired");
    }

    /// Somebody calls the waker.
    pub(super) fn wake(&self) -> Wake {
        self.rouse(0)
    }

    /// Somebody wants the task to end: the bit, and a wake-up so that it looks.
    pub(super) fn cancel(&self) -> Wake {
        self.rouse(CANCEL)
    }

    /// True when somebody asked for the end of the task.
    pub(super) fn is_cancelled(&self) -> bool {
        // Acquire pairs with the release of `cancel`: who sees the bit sees the reason stored before it.
        self.0.load(Ordering::Acquire) & CANCEL != 0
    }

    /// Where the task is right now.
    pub(super) fn load(&self) -> TaskState {
        // Acquire pairs with the release of `running_to_complete`.
        match self.0.load(Ordering::Acquire) & LIFECYCLE {
            READY => TaskState::Ready,
            RUNNING => TaskState::Running,
            BLOCKED => TaskState::Blocked,
            IDLE => TaskState::Idle,
            _ => TaskState::Complete,
        }
    }

    fn rouse(&self, bits: usize) -> Wake {
        let rouse = |word: usize| match word & LIFECYCLE {
            COMPLETE => None,
            RUNNING => Some(word | bits | WAKE),
            READY => Some(word | bits),
            _ => Some((word & CANCEL) | bits | READY),
        };
        // Release pairs with the acquire of the next `ready_to_running` or `running_to_*`: what was written before the
        // call is seen by the step it asks for. Acquire pairs with the release of `running_to_suspended`: the queue gets
        // the task with everything its last step wrote.
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, rouse) {
            Err(_) => Wake::Complete,
            Ok(before) if matches!(before & LIFECYCLE, READY | RUNNING) => Wake::Pending,
            Ok(_) => Wake::Enqueue,
        }
    }

    /// Replaces the word by a function of it, for transitions that cannot fail; returns the word before.
    fn update(&self, next: impl Fn(usize) -> usize) -> usize {
        let result = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| Some(next(word)));
        result.unwrap_or_else(|word| word)
    }
}
