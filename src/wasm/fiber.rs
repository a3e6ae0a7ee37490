//! A wasm process: one future that owns its store, polled once a step.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use wasmtime::{Store, UpdateDeadline};

use super::failure::Ended;
use super::program::Program;
use super::state::State;
use crate::process::{Birth, Exit, LimitExceeded, Process, Progress, step};
use crate::reactor::{Clock, Instant, Sleep};

/// Ticks until the epoch callback is asked again.
const TICKS_PER_SLICE: u64 = 1;

/// A wasm process between its birth and its end.
pub(super) struct Fiber {
    phase: Phase,
    /// Wall time as a wake-up: what the epoch callback is for a guest that computes, this is for one that waits.
    deadline: Option<Deadline>,
}

enum Phase {
    /// Made, and nothing else: the first step initialises.
    Init(Box<(Arc<Program>, Birth)>),
    /// The guest runs, waits or was preempted.
    Running(Pin<Box<dyn Future<Output = Exit> + Send>>),
    /// Nothing is held any more.
    Closed,
}

/// The wake-up at the end of a process's wall time.
struct Deadline {
    sleep: Sleep,
    wall: WallTime,
    clock: Clock,
}

/// The wall time of one process, from its spawn on.
#[derive(Clone, Copy)]
pub(super) struct WallTime {
    pub(super) born: Instant,
    pub(super) allowed: Duration,
}

impl WallTime {
    fn end(self) -> Instant {
        self.born.saturating_add(self.allowed)
    }

    /// The exit of a process that is still there now.
    fn exceeded(self, now: Instant) -> Exit {
        Exit::LimitExceeded(LimitExceeded {
            limit: "max_execution",
            allowed: format!("{:?}", self.allowed),
            used: format!("{:?}", now.saturating_duration_since(self.born)),
        })
    }
}

impl Fiber {
    pub(super) fn new(program: Arc<Program>, birth: Birth) -> Self {
        let clock = birth.reactor.clock();
        let wall = program.max_execution.map(|allowed| WallTime { born: clock.now(), allowed });
        let deadline =
            wall.map(|wall| Deadline { sleep: birth.reactor.sleep_until(wall.end()), wall, clock: clock.clone() });
        Self { phase: Phase::Init(Box::new((program, birth))), deadline }
    }

    fn past_deadline(&mut self, context: &mut Context<'_>) -> Option<Exit> {
        let deadline = self.deadline.as_mut()?;
        match Pin::new(&mut deadline.sleep).poll(context) {
            Poll::Pending => None,
            Poll::Ready(()) => Some(deadline.wall.exceeded(deadline.clock.now())),
        }
    }
}

impl Process for Fiber {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        if let Some(exit) = self.past_deadline(context) {
            return Progress::Exit(exit);
        }
        if let Phase::Init(_) = &self.phase
            && let Phase::Init(start) = std::mem::replace(&mut self.phase, Phase::Closed)
        {
            let (program, birth) = *start;
            let wall = self.deadline.as_ref().map(|deadline| deadline.wall);
            self.phase = Phase::Running(Box::pin(program.execute(birth, wall)));
        }
        let Phase::Running(future) = &mut self.phase else { return Progress::Exit(Exit::Terminated) };
        match future.as_mut().poll(context) {
            Poll::Ready(exit) => Progress::Exit(exit),
            // The engine wakes its own task when it yields at a slice's end; the mark tells that from a host call that
            // waits.
            Poll::Pending if step::take_preempted() => Progress::Preempted,
            Poll::Pending => Progress::Blocked,
        }
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.deadline = None;
    }
}

/// Has `store` ask at every tick whether its process may go on: an end that was asked for or a deadline stops it, somebody
/// who waits preempts it, and a lone guest goes on without a switch.
pub(super) fn slice(store: &mut Store<State>, wall: Option<WallTime>) {
    store.set_epoch_deadline(TICKS_PER_SLICE);
    store.epoch_deadline_callback(move |store| {
        if step::cancelled() {
            return Err(wasmtime::Error::new(Ended(Exit::Terminated)));
        }
        if let Some(wall) = wall {
            let now = store.data().clock.now();
            if now >= wall.end() {
                return Err(wasmtime::Error::new(Ended(wall.exceeded(now))));
            }
        }
        if step::should_yield() {
            step::mark_preempted();
            return Ok(UpdateDeadline::Yield(TICKS_PER_SLICE));
        }
        Ok(UpdateDeadline::Continue(TICKS_PER_SLICE))
    });
}
