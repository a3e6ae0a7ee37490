//! A wasm process: one future that owns its store, polled once a step.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use wasmtime::{CallHook, Store, UpdateDeadline};

use super::failure::Ended;
use super::program::{Over, Program};
use super::state::{AtTick, State};
use crate::limits::Usage;
use crate::limits::waits_for_message;
use crate::process::{Birth, Exit, Instance, Process, Progress, step};
use crate::registry::Preempt;

/// Ticks until the epoch callback is asked again.
const TICKS_PER_LOOK: u64 = 1;

/// A wasm process between its birth and its end. Of the type of its guest's future, so that polling it is one call: after a switch of
/// stacks the processor foresees none of the returns on the way out of it.
pub(super) struct Fiber<G> {
    stage: Stage<G>,
    unpreemptible: Option<Arc<Usage>>,
    /// An attempt without a stack of its own has failed and took so long that others are to have their turn first.
    is_late: bool,
}

/// How far a process is.
enum Stage<G> {
    /// The guest begins, runs, waits or was preempted.
    Running(Pin<Box<G>>),
    /// The guest is over and gone, its output is on its way.
    Leaving(Over),
    /// All is over but what it leaves to the next process.
    Over(Instance),
    /// Nothing is held any more.
    Closed,
}

/// A process of `program` with the code at this place. The first step initialises.
pub(super) fn fiber(program: &Arc<Program>, place: usize, birth: Birth) -> Box<dyn Process> {
    begin(program, place, birth, false)
}

/// One whose attempt has failed. What it did counts for nothing, and its time has just begun.
pub(super) fn fiber_again(program: &Arc<Program>, place: usize, birth: Birth) -> Box<dyn Process> {
    let now = birth.reactor().clock().near().as_nanos();
    let is_late = birth.usage().is_slice_over(now);
    birth.usage().begin_step(now);
    begin(program, place, birth, is_late)
}

fn begin(program: &Arc<Program>, place: usize, birth: Birth, is_late: bool) -> Box<dyn Process> {
    let unpreemptible = (program.preempt == Preempt::None).then(|| Arc::clone(birth.usage()));
    let guest = Box::pin(Arc::clone(program).execute(place, birth));
    Box::new(Fiber { stage: Stage::Running(guest), unpreemptible, is_late })
}

impl<G> Fiber<G> {
    /// The guest is over: what is left is to wait until its output has left.
    fn leaving(&mut self, context: &mut Context<'_>) -> Progress {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Leaving(mut over) => {
                if over.drained.as_mut().is_some_and(|drained| drained.as_mut().poll(context).is_pending()) {
                    self.stage = Stage::Leaving(over);
                    return Progress::Leaving;
                }
                if let Some(instance) = over.instance {
                    self.stage = Stage::Over(instance);
                }
                Progress::Exit(over.exit)
            }
            Stage::Running(_) | Stage::Over(_) | Stage::Closed => Progress::Exit(Exit::Terminated),
        }
    }
}

impl<G: Future<Output = Over> + Send + 'static> Process for Fiber<G> {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        if std::mem::take(&mut self.is_late) && step::should_yield() {
            return Progress::Preempted;
        }
        if let Stage::Running(guest) = &mut self.stage {
            mark(self.unpreemptible.as_deref());
            match guest.as_mut().poll(context) {
                Poll::Ready(over) => self.stage = Stage::Leaving(over),
                // The engine wakes its own task when it yields at a slice's end; the mark tells that from a host call that
                // waits.
                Poll::Pending if step::take_preempted() => return Progress::Preempted,
                Poll::Pending if waits_for_message() => return Progress::Idle,
                Poll::Pending => return Progress::Blocked,
            }
        }
        self.leaving(context)
    }

    fn leave(&mut self) -> Option<Instance> {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Over(instance) => Some(instance),
            Stage::Running(_) | Stage::Leaving(_) | Stage::Closed => None,
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Closed;
    }
}

/// The step that begins can't be told to end.
pub(super) fn mark(unpreemptible: Option<&Usage>) {
    if let Some(usage) = unpreemptible {
        step::mark_unpreemptible(usage.slice_end_ns());
    }
}

/// Has `store` ask at every tick whether its process may go on: an end that was asked for or a limit of time stops it,
/// somebody who waits preempts it when its slice is over, and a lone guest goes on without a switch. An attempt ends in time,
/// whoever waits: there may soon be somebody, and the more is lost then.
pub(super) fn slice(store: &mut Store<State>) {
    store.set_epoch_deadline(TICKS_PER_LOOK);
    store.epoch_deadline_callback(|mut store| {
        let now = may_go_on(store.data())?;
        // Asked at each tick, also within a slice: it looks after the reactor.
        let others_wait = step::should_yield();
        let state = store.data_mut();
        if state.at_tick == AtTick::Yields {
            state.ticks = state.ticks.saturating_add(1);
        }
        state.at_tick = match state.at_tick {
            AtTick::Yields if others_wait && is_turn_over(state, now) => {
                step::mark_preempted();
                return Ok(UpdateDeadline::Yield(TICKS_PER_LOOK));
            }
            AtTick::Attempts(0) | AtTick::GaveUp => {
                state.at_tick = AtTick::GaveUp;
                return Err(wasmtime::Error::msg("it goes on with a stack of its own"));
            }
            AtTick::Attempts(ticks) => AtTick::Attempts(ticks - 1),
            other @ (AtTick::Yields | AtTick::GoesOn) => other,
        };
        Ok(UpdateDeadline::Continue(TICKS_PER_LOOK))
    });
}

/// Whether it is somebody else's turn at this tick.
fn is_turn_over(state: &State, now_ns: u64) -> bool {
    let usage = state.usage();
    match usage.limits().max_step {
        Some(_) => usage.is_slice_over(now_ns),
        None => !state.own().program().pace.goes_on(state.ticks),
    }
}

/// Has `store` ask whenever the guest calls the host: all there is for code that was compiled without checks.
pub(super) fn ask_at_host_calls(store: &mut Store<State>) {
    store.call_hook(|store, hook| match hook {
        CallHook::CallingHost => may_go_on(store.data()).map(|_| ()),
        CallHook::ReturningFromHost | CallHook::CallingWasm | CallHook::ReturningFromWasm => Ok(()),
    });
}

/// The time, when nobody asked for the end of the process and it has time left.
fn may_go_on(state: &State) -> wasmtime::Result<u64> {
    if step::cancelled() {
        return Err(wasmtime::Error::new(Ended(Exit::Terminated)));
    }
    let now = state.clock.near().as_nanos();
    state.usage().check_time(now)?;
    Ok(now)
}
