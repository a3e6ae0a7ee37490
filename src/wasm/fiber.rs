//! A wasm process: one future that owns its store, polled once a step.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use wasmtime::{Store, UpdateDeadline};

use super::failure::Ended;
use super::program::{Over, Program, Target};
use super::state::State;
use crate::process::{Birth, Exit, Process, Progress, step};

/// Ticks until the epoch callback is asked again.
const TICKS_PER_LOOK: u64 = 1;

/// A wasm process between its birth and its end.
pub(super) enum Fiber {
    /// Made, and nothing else: the first step initialises.
    Init(Box<(Arc<Program>, Arc<Target>, Birth)>),
    /// The guest runs, waits or was preempted.
    Running(Pin<Box<dyn Future<Output = Over> + Send>>),
    /// The guest is over and gone, its output is on its way.
    Leaving(Over),
    /// Nothing is held any more.
    Closed,
}

impl Fiber {
    pub(super) fn new(program: Arc<Program>, target: Arc<Target>, birth: Birth) -> Self {
        Self::Init(Box::new((program, target, birth)))
    }
}

impl Process for Fiber {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        if let Self::Init(_) = self
            && let Self::Init(start) = std::mem::replace(self, Self::Closed)
        {
            let (program, target, birth) = *start;
            *self = Self::Running(Box::pin(program.execute(target, birth)));
        }
        if let Self::Running(future) = self {
            match future.as_mut().poll(context) {
                Poll::Ready(over) => *self = Self::Leaving(over),
                // The engine wakes its own task when it yields at a slice's end; the mark tells that from a host call that
                // waits.
                Poll::Pending if step::take_preempted() => return Progress::Preempted,
                Poll::Pending => return Progress::Blocked,
            }
        }
        match std::mem::replace(self, Self::Closed) {
            Self::Leaving(mut over) => match over.drained.as_mut().poll(context) {
                Poll::Ready(()) => Progress::Exit(over.exit),
                Poll::Pending => {
                    *self = Self::Leaving(over);
                    Progress::Leaving
                }
            },
            _ => Progress::Exit(Exit::Terminated),
        }
    }

    fn close(&mut self) {
        *self = Self::Closed;
    }
}

/// Has `store` ask at every tick whether its process may go on: an end that was asked for or a limit of time stops it,
/// somebody who waits preempts it when its slice is over, and a lone guest goes on without a switch.
pub(super) fn slice(store: &mut Store<State>) {
    store.set_epoch_deadline(TICKS_PER_LOOK);
    store.epoch_deadline_callback(|store| {
        if step::cancelled() {
            return Err(wasmtime::Error::new(Ended(Exit::Terminated)));
        }
        let State { usage, clock, .. } = store.data();
        let now = clock.now().as_nanos();
        usage.check_time(now)?;
        // Asked at each tick, also within a slice: it looks after the reactor.
        if step::should_yield() && usage.is_slice_over(now) {
            step::mark_preempted();
            return Ok(UpdateDeadline::Yield(TICKS_PER_LOOK));
        }
        Ok(UpdateDeadline::Continue(TICKS_PER_LOOK))
    });
}
