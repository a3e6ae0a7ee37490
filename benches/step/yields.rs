//! Guests that yield again and again.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::registry::Preempt;
use wippy::runtime::TICK;

use crate::common::bare::{Bare, Runner};
use crate::common::case::{Case, Side};
use crate::common::epochs::Epochs;
use crate::common::guests::{ADDED, Guest};
use crate::common::numbers::Numbers;
use crate::common::processes::Processes;
use crate::common::settings::{Settings, WINDOW, allocator};
use crate::common::tokio_tasks::TokioTasks;
use crate::{FLOOR, OURS, TOKIO, WORKERS};

/// A guest that is not at its end, and which it is.
type Running<'a> = (u64, Pin<Box<dyn Future<Output = i64> + 'a>>);

/// A loop that polls guests in turn, on one thread.
struct Loop {
    bare: Bare,
    epochs: Epochs,
}

impl Loop {
    fn new(settings: &Settings, guest: &Guest) -> Loop {
        let bare = Bare::new(settings, guest, Runner::Loop);
        let epochs = Epochs::new([bare.engine()], TICK);
        Loop { bare, epochs }
    }

    fn run(&self, numbers: Numbers, guests: u64) -> Duration {
        let begin = Instant::now();
        let call = |item| -> Running<'_> { (item, Box::pin(self.bare.call(numbers.argument(item)))) };
        let mut running: Vec<Running<'_>> = (0..guests).map(call).collect();
        let mut context = Context::from_waker(Waker::noop());
        self.epochs.awake(|| {
            while !running.is_empty() {
                running.retain_mut(|(item, guest)| match guest.as_mut().poll(&mut context) {
                    Poll::Ready(answer) => {
                        numbers.check(*item, answer);
                        false
                    }
                    Poll::Pending => true,
                });
            }
        });
        begin.elapsed()
    }
}

fn timed(iterations: u64, mut run: impl FnMut() -> Duration) -> Duration {
    (0..iterations).map(|_| run()).sum()
}

/// So many guests at once, each of which yields so often.
pub(crate) fn case(guests: u64, yields: u64) -> Case {
    assert!(guests <= (WORKERS * WINDOW) as u64, "all of them run at once");
    let guest = Guest::yielding();
    let argument = i64::try_from(yields).expect("a count");
    let numbers = Numbers::Same { argument, answer: argument + ADDED };
    let size = guest.binary.len();
    let floor = Loop::new(&Settings::ours(allocator(), size, Preempt::Epoch), &guest);
    let ours = Processes::new(&guest, "", |builder| builder.allocator(allocator()));
    let tokio = TokioTasks::new(&Settings::tuned(size, Preempt::Epoch), &guest);
    let sides = vec![
        Side::new(FLOOR, move |iterations| timed(iterations, || floor.run(numbers, guests))),
        Side::new(OURS, move |iterations| timed(iterations, || ours.run(numbers, guests))),
        Side::new(TOKIO, move |iterations| timed(iterations, || tokio.run(numbers, guests, WORKERS * WINDOW))),
    ];
    Case { per_iteration: Throughput::Elements(guests * yields), sides }
}
