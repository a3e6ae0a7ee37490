//! A process as a task of the scheduler: end requests before the step, release before the exit.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use super::cell::{EndRequest, ProcessCell};
use super::keep::{Keep, Kept};
use super::table::Admission;
use super::{Exit, Failure, FailureKind, Process, Progress};
use crate::reactor::{Instant, Reactor, Sleep};
use crate::scheduler::{Step, Task, current};

/// What a process takes up at its host.
pub(super) struct Seat {
    /// Until the process is gone.
    pub(super) admission: Admission,
    /// Where its instance stays when it ends with a value.
    pub(super) keep: Option<Keep>,
}

/// The task of one process. Whatever becomes of it, an exit is published: by a step, by a panic, or by the drop of a task
/// that its scheduler gave up.
pub(super) struct ProcessTask {
    process: Option<Box<dyn Process>>,
    cell: Arc<ProcessCell>,
    seat: Option<Seat>,
    /// The end of its wall time as a wake-up, for a process that waits; of one that has a step behind it, it is on its way
    /// already.
    deadline: Option<Sleep>,
    is_deadline_set: bool,
    /// Its exit is settled and only force can change it.
    leaving: bool,
}

impl ProcessTask {
    pub(super) fn new(process: Box<dyn Process>, cell: Arc<ProcessCell>, reactor: &Arc<Reactor>, seat: Seat) -> Self {
        let end = cell.usage.wall_end_ns().map(Instant::from_nanos);
        let deadline = end.map(|end| reactor.sleep_until(end));
        Self { process: Some(process), cell, seat: Some(seat), deadline, is_deadline_set: false, leaving: false }
    }

    /// Releases the process, then tells the world: a watcher never sees a process that still holds something.
    fn finish(&mut self, mut exit: Exit) -> Step {
        let Some(mut process) = self.process.take() else { return Step::Done };
        if exit == Exit::Terminated {
            exit = self.cell.forced_exit();
        }
        let is_kept = matches!(exit, Exit::Returned(_)) && self.seat.as_ref().is_some_and(|seat| seat.keep.is_some());
        let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let instance = if is_kept { process.leave() } else { None };
            process.close();
            drop(process);
            instance
        }));
        // What went wrong first is the cause; a panic while closing only spoils an end that was fine.
        if closed.is_err() && exit.is_normal() {
            let message = format!("`{}`: the host panicked while it released this process", self.cell.entry);
            exit = Exit::Failed(Failure::new(FailureKind::Panic, message));
        }
        self.deadline = None;
        if let Some(Seat { mut admission, keep }) = self.seat.take() {
            admission.forget(self.cell.pid.unique());
            // Before the exit is known: whoever hears of it finds room for the next one, or the instance.
            match (keep, closed) {
                (Some(keep), Ok(Some(instance))) => {
                    admission.leave_line();
                    keep.put(Kept { instance, usage: Arc::clone(&self.cell.usage), admission });
                }
                _ => drop(admission),
            }
        }
        self.cell.publish(exit);
        Step::Done
    }
}

impl ProcessTask {
    /// What the limits of time say, and a wake-up for when they will say otherwise.
    fn past_its_time(&mut self, now: Instant, context: &mut Context<'_>) -> Option<Exit> {
        if let Err(limit) = self.cell.usage.check_time(now.as_nanos()) {
            return Some(Exit::LimitExceeded(limit));
        }
        // Once: it is always this task that is woken.
        if let Some(deadline) = &mut self.deadline
            && !std::mem::replace(&mut self.is_deadline_set, true)
            && Pin::new(deadline).poll(context).is_ready()
        {
            // It passed between the two looks.
            let limit = self.cell.usage.check_time(self.cell.clock.now().as_nanos()).err()?;
            return Some(Exit::LimitExceeded(limit));
        }
        None
    }
}

impl Task for ProcessTask {
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        if let Some(seat) = &mut self.seat {
            seat.admission.leave_line();
        }
        if current::cancelled() || self.cell.requested() == EndRequest::Terminate {
            return self.finish(Exit::Terminated);
        }
        // Read as rarely as it goes: a step of a guest that waits again soon is not much longer than some looks at the clock.
        let begin = self.cell.clock.now();
        if !self.leaving
            && let Some(exit) = self.past_its_time(begin, context)
        {
            return self.finish(exit);
        }
        let Some(process) = &mut self.process else { return Step::Done };
        let (usage, clock) = (&self.cell.usage, &self.cell.clock);
        usage.begin_step(begin.as_nanos());
        let progress = process.step(context);
        let end = clock.now();
        usage.end_step(end.as_nanos());
        let waits = match progress {
            Progress::Exit(exit) => return self.finish(exit),
            Progress::Preempted => {
                usage.add_preemption();
                return Step::Preempted;
            }
            Progress::Blocked => Step::Blocked,
            Progress::Idle => Step::Idle,
            Progress::Leaving => {
                self.leaving = true;
                self.deadline = None;
                return Step::Blocked;
            }
        };
        // A guest that can't receive events is ended where it would wait: it holds no half-made state of the host there.
        if self.cell.requested() == EndRequest::Cancel {
            let reason = self.cell.cancel_reason();
            return self.finish(Exit::Cancelled { reason });
        }
        // One that sleeps on would not be asked again before it wakes.
        if let Err(limit) = usage.check_time(end.as_nanos()) {
            return self.finish(Exit::LimitExceeded(limit));
        }
        waits
    }

    fn panicked(&mut self, message: &str) {
        self.cell.usage.end_step(self.cell.clock.now().as_nanos());
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
