//! One atomic word says everything about where a task is.
//!
//! ```text
//!                            running_to_suspended
//!   spawn ──▶ ACTIVE ──────────────────────────────▶ BLOCKED, IDLE
//!              │   ▲                                       │
//!              │   └────────────── wake, cancel ───────────┘
//!              │ running_to_complete, ready_to_complete (shutdown)
//!              ▼
//!           COMPLETE
//! ```
//!
//! A task that is active lies in a queue (*ready*) or is inside its step (*running*). The two are one state, since a waker does
//! the same in both; which of them it is only its worker knows, and notes it for those who look. So a step begins with a
//! load, and one after which the task is ready again ends without any access to the word.
//!
//! Two bits ride along. `WAKE` is set only beside `ACTIVE`: somebody called the waker, and a step that begins afterwards is
//! owed. `CANCEL` stays once it is set.
//!
//! Rules, each kept by the one method that could break it:
//! 1. Whoever moves the word to `ACTIVE` owns the one reference that goes into a queue. Hence a task is queued once.
//! 2. Only the worker that took that reference out runs the task, and only it moves the word away from `ACTIVE`. Hence
//!    steps never overlap.
//! 3. Every call of `wake` and `cancel` writes the word (unless it is complete), even when no bit changes. Whoever takes
//!    `WAKE` away acquires that write, and a step follows, so it sees what the caller did before. Hence no wake-up is lost.
//! 4. `COMPLETE` is final.

use std::sync::atomic::AtomicU64;

use crate::sync::{AtomicU32, Ordering};

const IDLE: u32 = 0;
const BLOCKED: u32 = 1;
const ACTIVE: u32 = 2;
const COMPLETE: u32 = 3;
const LIFECYCLE: u32 = 0b11;
const WAKE: u32 = 0b100;
const CANCEL: u32 = 0b1000;

/// The mark of no task.
const NOBODY: u32 = 0;

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
    /// The task is active, and a step that begins after this call is certain: nothing to do.
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

/// The state word, the steps of the task, and who woke it.
#[derive(Debug)]
pub(super) struct State {
    word: AtomicU32,
    /// The mark of the task that woke this one last. Here, where it takes no room of its own.
    woken_by: AtomicU32,
    /// How many steps have begun and ended: odd during a step. Written by the worker of the step only, for those who look.
    turns: AtomicU64,
}

impl State {
    /// A task that is about to be put into its first queue.
    pub(super) fn ready() -> Self {
        Self { word: AtomicU32::new(ACTIVE), woken_by: AtomicU32::new(NOBODY), turns: AtomicU64::new(0) }
    }

    /// The worker that took the task out of a queue begins a step. True when somebody asked for the end of the task.
    pub(super) fn ready_to_running(&self) -> bool {
        self.turn();
        // What the step before and the waker that queued the task have written came with it through the queue. Acquire:
        // who reads CANCEL sees the reason stored before it. A wake or a cancel that this load does not see is found when the
        // step ends, as if it had come during the step.
        let word = self.word.load(Ordering::Acquire);
        debug_assert_eq!(word & LIFECYCLE, ACTIVE, "only a queued task is run");
        if word & WAKE == 0 {
            return word & CANCEL != 0;
        }
        // This is the step that is owed. Acquire pairs with the release of all those wakers.
        self.word.fetch_and(!WAKE, Ordering::AcqRel) & CANCEL != 0
    }

    /// The step is over and the task is ready again: because its slice is over or it has woken itself. The worker puts it into
    /// a queue again. Who else woke it left a bit, which the next step takes.
    pub(super) fn running_to_ready(&self) {
        self.turn();
    }

    /// The step left the task waiting, unless somebody woke it meanwhile.
    pub(super) fn running_to_suspended(&self, wait: Wait) -> Suspend {
        // Before the word: then another worker may be in the next step.
        self.turn();
        let suspended = match wait {
            Wait::Completion => BLOCKED,
            Wait::Message => IDLE,
        };
        // Release pairs with the acquire of `wake`: the queue gets the task with everything this step wrote. Acquire pairs with
        // the release of a `wake` since the step began, whose writes the next step must see.
        let before = self.update(|word| (word & CANCEL) | if word & WAKE == 0 { suspended } else { ACTIVE });
        debug_assert_eq!(before & LIFECYCLE, ACTIVE, "only a running task is suspended");
        if before & WAKE == 0 { Suspend::Suspended } else { Suspend::Ready }
    }

    /// The task has ended and its value is dropped.
    pub(super) fn running_to_complete(&self) {
        self.complete();
    }

    /// The task was taken out of a queue to be dropped, because the scheduler shuts down.
    pub(super) fn ready_to_complete(&self) {
        self.complete();
    }

    fn complete(&self) {
        // Release pairs with the acquire of `load`: who sees the end sees what the task did.
        // One addition instead of a loop: the bits beside it don't matter any more, and no lifecycle but this one changes.
        let before = self.word.fetch_add(COMPLETE - ACTIVE, Ordering::AcqRel);
        debug_assert_eq!(before & LIFECYCLE, ACTIVE, "only an active task completes");
    }

    /// As [`running_to_complete`](Self::running_to_complete), where nobody else can reach the word any more, nor do anything
    /// with it at this moment.
    pub(super) fn alone_to_complete(&self) {
        let word = self.word.load(Ordering::Relaxed);
        debug_assert_eq!(word & LIFECYCLE, ACTIVE, "only an active task completes");
        self.word.store(word + (COMPLETE - ACTIVE), Ordering::Relaxed);
    }

    /// A step begins or ends.
    fn turn(&self) {
        // Steps never overlap, so nobody writes it at the same time.
        self.turns.store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Steps begun so far.
    pub(super) fn steps(&self) -> u64 {
        self.turns.load(Ordering::Relaxed).div_ceil(2)
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
        self.word.load(Ordering::Acquire) & CANCEL != 0
    }

    /// True when somebody woke the task since its step began; a call of its own does not show.
    pub(super) fn is_woken(&self) -> bool {
        // Relaxed: who sees it ends the step, and the next one acquires.
        self.word.load(Ordering::Relaxed) & WAKE != 0
    }

    /// Notes that the task with this mark made this one ready. True when it did so the last time as well.
    pub(super) fn is_woken_again_by(&self, by: u32) -> bool {
        // Relaxed: it carries no data, and who makes the task ready is alone with it.
        let is_again = self.woken_by.load(Ordering::Relaxed) == by;
        if !is_again {
            self.woken_by.store(by, Ordering::Relaxed);
        }
        is_again
    }

    /// Where the task is right now.
    pub(super) fn load(&self) -> TaskState {
        // Acquire pairs with the release of `running_to_complete`.
        match self.word.load(Ordering::Acquire) & LIFECYCLE {
            ACTIVE if self.turns.load(Ordering::Relaxed).is_multiple_of(2) => TaskState::Ready,
            ACTIVE => TaskState::Running,
            BLOCKED => TaskState::Blocked,
            IDLE => TaskState::Idle,
            _ => TaskState::Complete,
        }
    }

    fn rouse(&self, bits: u32) -> Wake {
        let rouse = |word: u32| match word & LIFECYCLE {
            COMPLETE => None,
            ACTIVE => Some(word | bits | WAKE),
            _ => Some((word & CANCEL) | bits | ACTIVE),
        };
        // Release pairs with the acquire of who takes WAKE away, or with that of the queue: what was written before the
        // call is seen by the step it asks for. Acquire pairs with the release of `running_to_suspended`: the queue gets
        // the task with everything its last step wrote.
        match self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, rouse) {
            Err(_) => Wake::Complete,
            Ok(before) if before & LIFECYCLE == ACTIVE => Wake::Pending,
            Ok(_) => Wake::Enqueue,
        }
    }

    /// Replaces the word by a function of it, for transitions that cannot fail; returns the word before.
    fn update(&self, next: impl Fn(u32) -> u32) -> u32 {
        let result = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| Some(next(word)));
        result.unwrap_or_else(|word| word)
    }
}
