//! The scheduler as a whole: what its documents promise, seen from outside.
//!
//! Nothing here is decided by a clock: a test waits for a condition, and a condition that never comes is a failure after
//! a time that no machine needs.

mod fairness;
mod futures;
mod lifecycle;
mod parking;
mod random;
mod replace;
mod shutdown;
mod ticking;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Context;
use std::time::{Duration, Instant};

use super::*;

/// A task written as a closure.
struct Steps<F>(F);

impl<F: FnMut(&mut Context<'_>) -> Step + Send + 'static> Task for Steps<F> {
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        (self.0)(context)
    }
}

/// A task that ends at once, after `act`.
fn once(act: impl FnOnce() + Send + 'static) -> impl Task {
    let mut act = Some(act);
    Steps(move |_: &mut Context<'_>| {
        if let Some(act) = act.take() {
            act();
        }
        Step::Done
    })
}

/// Waits for something that must come.
#[track_caller]
fn wait_until(mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited for a condition that never came");
        std::thread::yield_now();
    }
}

/// A scheduler that does the same every time: nothing ticks, victims are chosen by a fixed seed.
fn scheduler(workers: usize) -> (Scheduler, Ticker) {
    let ticker = Ticker::manual();
    let scheduler = Scheduler::builder("test").workers(workers).ticker(&ticker).seed(1).build();
    (scheduler.expect("threads are to be had"), ticker)
}

/// Something to be opened once, that steps (which here may block) and tests wait for.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    #[track_caller]
    fn wait(&self) {
        wait_until(|| self.is_open());
    }
}

/// Keeps a worker inside a step until the gate is opened; returns when it is there.
fn occupy(scheduler: &Scheduler) -> Gate {
    let (entered, gate) = (Gate::default(), Gate::default());
    let step = {
        let (entered, gate) = (entered.clone(), gate.clone());
        once(move || {
            entered.open();
            gate.wait();
        })
    };
    scheduler.spawn(step).expect("within the bound");
    entered.wait();
    gate
}

/// Counts how often it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
