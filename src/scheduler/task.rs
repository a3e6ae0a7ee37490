//! What a worker runs.

use std::task::Context;

/// Something that is run in steps. Steps of one task never overlap; between two steps it may change workers.
pub trait Task: Send + 'static {
    /// Runs until the task waits, is preempted or ends.
    ///
    /// The waker of `context` makes the task ready again; it may be called from any thread, also during the step.
    /// Whether somebody asked for the end of this task is said by [`super::current::cancelled`]; a step that sees it
    /// must return [`Step::Done`].
    fn step(&mut self, context: &mut Context<'_>) -> Step;

    /// The last call after a step panicked: the task is dropped next. The worker goes on.
    fn panicked(&mut self, message: &str) {
        let _ = message;
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The slice is over and the task could go on: it goes to the injector, behind everybody who waits.
    Preempted,
    /// The task waits for a completion (I/O, a timer, another thread) and is run again when its waker is called.
    Blocked,
    /// The task waits for a message and is run again when its waker is called.
    Idle,
    /// The task has ended and is dropped by the worker.
    Done,
}
