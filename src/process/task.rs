//! A process as a task of the scheduler: end requests before the step, release before the exit.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use super::cell::{EndRequest, ProcessCell};
use super::ground::Admission;
use super::keep::{Keep, Kept};
use super::table::Place;
use super::{
    Begun, Birth, ContextValues, Exit, Failure, FailureKind, Instance, Payload, Peers, Process, Progress, Stdio,
};
use crate::reactor::{Clock, Instant, Sleep};
use crate::scheduler::{Step, Task, current};
use crate::security::SecurityContext;

/// What a process is made of at its first step.
pub(super) struct Unborn {
    pub(super) input: Vec<Payload>,
    pub(super) stdio: Stdio,
    pub(super) security: SecurityContext,
    pub(super) context: ContextValues,
    /// What a process of the same program has left to it.
    pub(super) kept: Option<Instance>,
}

/// How far a process is.
enum Stage {
    /// It has been asked for; its worker makes it.
    Unborn(Unborn),
    Alive(Box<dyn Process>),
    /// Its exit is settled; this is for the next one.
    Over(Option<Instance>),
}

/// The task of one process. Whatever becomes of it, an exit is published: by a step, by a panic, or by the drop of a task
/// that its scheduler gave up.
pub(super) struct ProcessTask {
    stage: Stage,
    cell: Arc<ProcessCell>,
    /// What it takes up at its host, until it is gone.
    place: Option<Place>,
    /// Where its instance stays when it ends with a value.
    keep: Option<Keep>,
    /// The end of its wall time as a wake-up, for a process that waits; of one that has a step behind it, it is on its way
    /// already.
    deadline: Option<Box<Sleep>>,
    is_deadline_set: bool,
    /// Its exit is settled and only force can change it.
    leaving: bool,
}

impl ProcessTask {
    pub(super) fn new(unborn: Unborn, cell: Arc<ProcessCell>, place: Place, keep: Option<Keep>) -> Self {
        let end = cell.usage.wall_end_ns().map(Instant::from_nanos);
        let deadline = end.map(|end| Box::new(cell.ground.host().reactor.sleep_until(end)));
        let (stage, place) = (Stage::Unborn(unborn), Some(place));
        Self { stage, cell, place, keep, deadline, is_deadline_set: false, leaving: false }
    }

    /// A step of the process, which is made here when there is none yet; `None` when it is over.
    ///
    /// On its worker, and not where it was asked for: what it is made of is then counted, written and freed by one thread.
    fn run(&mut self, context: &mut Context<'_>) -> Option<Progress> {
        if let Stage::Unborn(_) = self.stage
            && let Stage::Unborn(unborn) = std::mem::replace(&mut self.stage, Stage::Over(None))
        {
            let cell = &self.cell;
            let elsewhere = cell.ground.elsewhere();
            let other = elsewhere.as_ref().map(|ground| ground.spot(&cell.spot.original));
            let spot = other.as_ref().unwrap_or(&cell.spot);
            let Unborn { input, stdio, security, context, kept } = unborn;
            let peers = Peers::new(Arc::clone(cell), security, context);
            let birth = Birth { input, stdio, peers, kept, keeps: self.keep.is_some(), elsewhere };
            match spot.program.begin(birth) {
                Begun::Process(process) => self.stage = Stage::Alive(process),
                Begun::Ended(exit, instance) => {
                    self.stage = Stage::Over(instance);
                    return Some(Progress::Exit(exit));
                }
            }
        }
        match &mut self.stage {
            Stage::Alive(process) => Some(process.step(context)),
            Stage::Unborn(_) | Stage::Over(_) => None,
        }
    }

    /// Ends the process now.
    fn finish(&mut self, exit: Exit) -> Step {
        let now = self.cell.now();
        self.finish_at(exit, now)
    }

    /// Releases the process, then tells the world: a watcher never sees a process that still holds something.
    fn finish_at(&mut self, mut exit: Exit, ended: Instant) -> Step {
        // Behind the process, and again without effect.
        let Some(place) = self.place.take() else { return Step::Done };
        if exit == Exit::Terminated {
            exit = self.cell.forced_exit();
        }
        let is_kept = matches!(exit, Exit::Returned(_)) && self.keep.is_some();
        let stage = std::mem::replace(&mut self.stage, Stage::Over(None));
        let held_something = matches!(stage, Stage::Alive(_));
        let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut process = match stage {
                Stage::Alive(process) => process,
                Stage::Over(instance) => return instance.filter(|_| is_kept),
                Stage::Unborn(_) => return None,
            };
            let instance = if is_kept { process.leave() } else { None };
            process.close();
            drop(process);
            instance
        }));
        // What went wrong first is the cause; a panic while closing only spoils an end that was fine.
        if closed.is_err() && exit.is_normal() {
            let message = format!("`{}`: the host panicked while it released this process", self.cell.entry());
            exit = Exit::Failed(Failure::new(FailureKind::Panic, message));
        }
        self.deadline = None;
        let elsewhere = self.cell.ground.elsewhere();
        let here = elsewhere.as_ref().unwrap_or(&self.cell.ground);
        let host = here.host();
        host.table.remove(self.cell.pid.unique());
        // Before the exit is known: whoever hears of it finds room for the next one, or the instance.
        match (self.keep.take(), closed) {
            (Some(keep), Ok(Some(instance))) => {
                let mut place = place;
                host.table.leave_line(&mut place);
                let admission = Admission::new(Arc::clone(here), place);
                keep.put(Kept { instance, usage: Arc::clone(&self.cell.usage), admission });
            }
            _ => host.table.give_back(&host.desk, place),
        }
        let is_alone = self.cell.publish(exit, ended);
        if is_alone && !held_something {
            note_time(&self.cell.ground.clock, ended);
        }
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
            && Pin::new(&mut **deadline).poll(context).is_ready()
        {
            // It passed between the two looks.
            let limit = self.cell.usage.check_time(self.cell.ground.clock.now().as_nanos()).err()?;
            return Some(Exit::LimitExceeded(limit));
        }
        None
    }
}

impl Task for ProcessTask {
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        if let Some(place) = &mut self.place {
            self.cell.ground.host().table.leave_line(place);
        }
        if current::was_cancelled() || self.cell.requested() == EndRequest::Terminate {
            return self.finish(Exit::Terminated);
        }
        // Read as rarely as it goes: a step of a guest that waits again soon is not much longer than some looks at the clock. Where
        // a step follows another one at once, what the worker does in between counts as its own.
        let mut begin = current::noted_time().map_or_else(|| self.cell.now(), Instant::from_nanos);
        // The timer that woke it is exact, and calls once.
        if let Some(deadline) = &self.deadline
            && begin.saturating_add(Clock::NEAR_OFF_MAX) >= deadline.deadline()
        {
            begin = self.cell.ground.clock.now();
        }
        if !self.leaving
            && let Some(exit) = self.past_its_time(begin, context)
        {
            return self.finish(exit);
        }
        self.cell.usage.begin_step(begin.as_nanos());
        let Some(progress) = self.run(context) else { return Step::Done };
        let usage = &self.cell.usage;
        let end = self.cell.now();
        usage.end_step(end.as_nanos());
        let waits = match progress {
            Progress::Exit(exit) => return self.finish_at(exit, end),
            Progress::Preempted => {
                usage.add_preemption();
                note_time(&self.cell.ground.clock, end);
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
        note_time(&self.cell.ground.clock, end);
        waits
    }

    fn panicked(&mut self, message: &str) {
        self.cell.usage.end_step(self.cell.now().as_nanos());
        let entry = self.cell.entry();
        let message = format!("`{entry}`: the host panicked while it ran this process: {message}");
        let _ = self.finish(Exit::Failed(Failure::new(FailureKind::Panic, message)));
    }
}

/// Notes when a step ended, for the next one of this worker: the tasks of a host have one clock. A manual one may be moved in between.
/// Not where something was released or watchers were called after it, which takes its time.
fn note_time(clock: &Clock, end: Instant) {
    if !clock.is_manual() {
        current::note_time(end.as_nanos());
    }
}

impl Drop for ProcessTask {
    fn drop(&mut self) {
        // After an end nothing is left to do; a task that its scheduler gave up must not leave its watchers waiting.
        if self.place.is_some() {
            let _ = self.finish(Exit::Terminated);
        }
    }
}
