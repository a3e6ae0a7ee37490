//! What a scheduler takes from guests that compute, and what it gives to short ones among long ones.
//!
//! - Items of 1 ms: three kernels, preemptible and not, beside the same on each core without sharing and without a scheduler,
//!   compiled the same way (`floor`), tokio and rayon.
//! - A mix: short items of 50 µs that come at random times, and each hundredth takes 100 ms; see `mix`.
//!
//! `cargo bench --bench compute` lets criterion measure one side after the other, by the wall; `WIPPY_BENCH_ROUNDS=15 cargo bench
//! --bench compute [FILTER]` measures the sides in turns, by the wall and by the CPU of all threads.

#[path = "../common/mod.rs"]
mod common;
mod mix;

use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::registry::Preempt;

use common::asked::Asked;
use common::bare::{Bare, Runner};
use common::case::{Case, Named, Side};
use common::floor::{Floor, Stack};
use common::guests::Guest;
use common::numbers::Numbers;
use common::processes::Processes;
use common::rayon_pool::RayonPool;
use common::settings::{Settings, WINDOW, allocator};
use common::tokio_tasks::TokioTasks;

/// Workers or threads of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(300);

/// The same for the mix: long enough for some dozens of the items that are among the slowest hundredth.
const MIX: Duration = Duration::from_secs(2);

/// How long an item of a kernel computes.
const ITEM: Duration = Duration::from_millis(1);

const SIDES: [&str; 6] =
    ["floor", "floor, no epochs", "wippy", "wippy, preempt: none", "tokio, tuned", "rayon, tuned, sync"];

pub(crate) const OURS: &str = "wippy";
pub(crate) const TOKIO: &str = "tokio, tuned";

/// A function of the guest `kernels`, and with which power of its argument its time grows.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    name: &'static str,
    power: i32,
    /// An argument with which it computes for some milliseconds.
    trial: i64,
}

pub(crate) const SHA256: Kernel = Kernel { name: "sha256", power: 1, trial: 10_000 };
const KERNELS: [Kernel; 3] =
    [SHA256, Kernel { name: "matrix", power: 3, trial: 150 }, Kernel { name: "interpret", power: 1, trial: 2000 }];

impl Kernel {
    pub(crate) fn guest(self) -> Guest {
        Guest::fixture("kernels", self.name)
    }

    /// What has to be given to a preemptible guest, and what it answers, so that it computes for about this long.
    pub(crate) fn lasting(self, time: Duration) -> Numbers {
        let guest = self.guest();
        let settings = Settings::tuned(guest.binary.len(), Preempt::Epoch);
        let bare = Bare::new(&settings, &guest, Runner::Loop);
        let timed = |argument| {
            let begin = Instant::now();
            bare.call_sync(argument);
            begin.elapsed()
        };
        let trial = (0..10).map(|_| timed(self.trial)).min().expect("some");
        let factor = (time.as_secs_f64() / trial.as_secs_f64()).powf(1.0 / f64::from(self.power));
        let argument = ((self.trial as f64 * factor) as i64).max(1);
        Numbers::Same { argument, answer: bare.call_sync(argument) }
    }
}

fn case(kernel: Kernel) -> Case {
    let guest = kernel.guest();
    let numbers = kernel.lasting(ITEM);
    let size = guest.binary.len();
    let floor = |preempt| Floor::new(|| Settings::ours(allocator(), size, preempt), &guest);
    let (floor, floor_without) = (floor(Preempt::Epoch), floor(Preempt::None));
    let ours = |fields| Processes::new(&guest, fields, |builder| builder.allocator(allocator()));
    let (ours, ours_without) = (ours(""), ours(", preempt: none"));
    let tuned = Settings::tuned(size, Preempt::Epoch);
    let tokio = TokioTasks::new(&tuned, &guest);
    let rayon = RayonPool::new(&tuned, &guest);
    let runs: [Box<dyn FnMut(u64) -> Duration>; SIDES.len()] = [
        Box::new(move |items| floor.run(numbers, items, Stack::Own)),
        Box::new(move |items| floor_without.run(numbers, items, Stack::Own)),
        Box::new(move |items| ours.run(numbers, items)),
        Box::new(move |items| ours_without.run(numbers, items)),
        Box::new(move |items| tokio.run(numbers, items, WORKERS * WINDOW)),
        Box::new(move |items| rayon.run(numbers, items)),
    ];
    let sides = SIDES.into_iter().zip(runs).map(|(name, run)| Side::new(name, run)).collect();
    Case { per_iteration: Throughput::Elements(1), sides }
}

fn main() {
    let asked = Asked::read();
    let kernels = KERNELS.map(|kernel| Named::new(format!("{}, 1 ms each", kernel.name), &SIDES, move || case(kernel)));
    let mix = Named::new("short items among long ones", &[OURS, TOKIO], mix::case);
    let cases: Vec<Named> = kernels.into_iter().chain([mix.lasting(asked.size.pick(TURN, MIX / 2, MIX))]).collect();
    common::group::run("compute", &asked, asked.size.pick(TURN / 10, TURN / 2, TURN), 2, &cases);
}
