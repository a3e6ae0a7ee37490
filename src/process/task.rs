//! A process as a task of the scheduler: end requests before the step, release before the exit.

use std::sync::Arc;
use std::task::Context;

use super::cell::{EndRequest, ProcessCell};
use super::host::Table;
use super::{Exit, Failure, FailureKind, Process, Progress};
use crate::scheduler::{Step, Task, current};

/// The task of one process. Whatever becomes of it, an exit is published: by a step, by a panic, or by the drop of a task
/// that its scheduler gave up.
pub(super) struct ProcessTask {
    process: Option<Box<dyn Process>>,
    cell: Arc<ProcessCell>,
    table: Arc<Table>,
}

impl ProcessTask {
    pub(super) fn new(process: Box<dyn Process>, cell: Arc<ProcessCell>, table: Arc<Table>) -> Self {
        Self { process: Some(process), cell, table }
    }

    /// Releases the process, then tells the world: a watcher never sees a process that still holds something.
    fn finish(&mut self, mut exit: Exit) -> Step {
        let Some(mut process) = self.process.take() else { return Step::Done };
        let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            process.close();
            drop(process);
        }));
        // What went wrong first is the cause; a panic while closing only spoils an end that was fine.
        if closed.is_err() && exit.is_normal() {
            let message = format!("`{}`: the host panicked while it released this process", self.cell.entry);
            exit = Exit::Failed(Failure::new(FailureKind::Panic, message));
        }
        self.table.remove(self.cell.pid.unique());
        self.cell.publish(exit);
        Step::Done
    }
}

impl Task for ProcessTask {
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        if current::cancelled() || self.cell.requested() == EndRequest::Terminate {
            return self.finish(Exit::Terminated);
        }
        let Some(process) = &mut self.process else { return Step::Done };
        let waits = match process.step(context) {
            Progress::Exit(exit) => return self.finish(exit),
            Progress::Preempted => return Step::Preempted,
            Progress::Blocked => Step::Blocked,
            Progress::Idle => Step::Idle,
        };
        // A guest that can't receive events is ended where it would wait: it holds no half-made state of the host there.
        if self.cell.requested() == EndRequest::Cancel {
            let reason = self.cell.cancel_reason();
            return self.finish(Exit::Cancelled { reason });
        }
        waits
    }

    fn panicked(&mut self, message: &str) {
        let entry = &self.cell.entry;
        let message = format!("`{entry}`: the host panicked while it ran this process: {message}");
        let _ = self.finish(Exit::Failed(Failure::new(FailureKind::Panic, message)));
    }
}

impl Drop for ProcessTask {
    fn drop(&mut self) {
        // Nothing is left to do after an end; a task that its scheduler gave up must not leave its watchers waiting.
        let _ = self.finish(Exit::Terminated);
    }
}
