//! The scheduler alone, without guests: native tasks on ours, and the same work on tokio (multi-thread), on async-executor
//! (through smol, its executor run by as many threads) and, where no task has to wait for another, on rayon. All have two
//! workers. The loads are written once, against [`Executor`](executors::Executor); a file each.
//!
//! `cargo bench --bench steal` lets criterion measure one side after the other. On a machine that others use as well,
//! `WIPPY_BENCH_ROUNDS=9 cargo bench --bench steal [FILTER]` measures the sides in turns and prints the median of each, by
//! the wall and by the CPU of all threads, and their ratios to ours, which is what to quote. `--test` makes everything small;
//! the names carry the sizes.

#[path = "../common/asked.rs"]
mod asked;
#[path = "../common/case.rs"]
mod case;
mod executors;
mod fan;
mod fork;
mod ping;
mod spawn;
#[path = "../common/turns.rs"]
mod turns;
mod uneven;
mod work;
mod yields;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

use asked::Asked;
use case::{Case, Side};

/// Workers of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(200);

pub(crate) const OURS: &str = "wippy";
pub(crate) const OURS_STEPS: &str = "wippy, a state machine";
pub(crate) const OURS_TASKS: &str = "wippy, a task each";
pub(crate) const TOKIO: &str = "tokio";
pub(crate) const SMOL: &str = "async-executor";
pub(crate) const RAYON: &str = "rayon";

/// One load: its name, its sides in their order, and how they are made.
pub(crate) struct Load {
    name: String,
    sides: &'static [&'static str],
    make: Box<dyn Fn() -> Case>,
}

impl Load {
    /// `per_iteration` is what the work of one iteration is counted in.
    pub(crate) fn new(
        name: String,
        per_iteration: u64,
        sides: &'static [&'static str],
        make: impl Fn() -> Vec<Side> + 'static,
    ) -> Load {
        let make = move || Case { per_iteration: Throughput::Elements(per_iteration), sides: make() };
        Load { name, sides, make: Box::new(make) }
    }
}

/// A side that does `work` once an iteration.
pub(crate) fn side(name: &'static str, mut work: impl FnMut() + 'static) -> Side {
    Side::new(name, move |iterations| {
        let begin = Instant::now();
        (0..iterations).for_each(|_| work());
        begin.elapsed()
    })
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let loads: Vec<Load> = [spawn::loads, ping::loads, fan::loads, uneven::loads, yields::loads, fork::loads]
        .iter()
        .flat_map(|loads| loads(is_test))
        .collect();
    let asked = Asked::read();
    if let Some(rounds) = asked.rounds {
        for load in loads.iter().filter(|load| load.name.contains(&asked.filter)) {
            (load.make)().in_turns(&load.name, rounds, TURN, 1);
        }
        return;
    }
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    for load in &loads {
        case::measure(&mut criterion, &format!("steal/{}", load.name), load.sides, &load.make);
    }
    criterion.final_summary();
}
