//! The floor: what wasmtime alone takes for the same guests, on each core without sharing and without a scheduler.

use std::time::{Duration, Instant};

use wippy::runtime::TICK;

use super::bare::{Bare, Runner, poll_to_end};
use super::epochs::Epochs;
use super::guests::Guest;
use super::numbers::Numbers;
use super::settings::Settings;
use crate::WORKERS;

/// On whose stack guests run.
#[derive(Clone, Copy)]
pub(crate) enum Stack {
    /// Their own, as with `call_async`: what all need that yield.
    Own,
    /// That of the caller.
    Caller,
}

/// As many threads as workers, each with an engine and an allocator of its own.
pub(crate) struct Floor {
    bares: Vec<Bare>,
    epochs: Epochs,
}

impl Floor {
    pub(crate) fn new(settings: impl Fn() -> Settings, guest: &Guest) -> Floor {
        let bares: Vec<Bare> = (0..WORKERS).map(|_| Bare::new(&settings(), guest, Runner::Loop)).collect();
        let epochs = Epochs::new(bares.iter().map(Bare::engine), TICK);
        Floor { bares, epochs }
    }

    /// Calls guests for so many items, one after the other on each thread.
    pub(crate) fn run(&self, numbers: Numbers, items: u64, stack: Stack) -> Duration {
        let begin = Instant::now();
        self.epochs.awake(|| {
            std::thread::scope(|threads| {
                for (at, bare) in self.bares.iter().enumerate() {
                    threads.spawn(move || {
                        for item in (at as u64..items).step_by(WORKERS) {
                            let number = numbers.argument(item);
                            let answer = match stack {
                                Stack::Own => poll_to_end(bare.call(number)),
                                Stack::Caller => bare.call_sync(number),
                            };
                            numbers.check(item, answer);
                        }
                    });
                }
            });
        });
        begin.elapsed()
    }
}
