//! The scheduler alone, without guests: native tasks on ours, and the same work on tokio (multi-thread), on async-executor
//! (through smol, its executor run by as many threads) and, where no task has to wait for another, on rayon. All have two
//! workers. The loads are written once, against [`Executor`](executors::Executor); a file each.
//!
//! What to quote is the CPU of all threads, for a task, a round, a yield or a leaf. `cargo bench --bench steal` lets criterion
//! measure one side after the other, by the wall; `WIPPY_BENCH_ROUNDS=15 cargo bench --bench steal [FILTER]` measures the sides
//! in turns, by both.

#[path = "../common/mod.rs"]
mod common;
mod executors;
mod fan;
mod fork;
mod ping;
mod spawn;
mod uneven;
mod work;
mod yields;

use std::time::{Duration, Instant};

use criterion::Throughput;

use common::asked::{Asked, Size};
use common::case::{Case, Named, Side};

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

/// One load, and so many pieces of work in each iteration.
pub(crate) fn load(name: String, pieces: u64, sides: &[&'static str], make: impl Fn() -> Vec<Side> + 'static) -> Named {
    Named::new(name, sides, move || Case { per_iteration: Throughput::Elements(pieces), sides: make() })
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
    let asked = Asked::read();
    let loads: [fn(Size) -> Vec<Named>; 6] =
        [spawn::loads, ping::loads, fan::loads, uneven::loads, yields::loads, fork::loads];
    let loads: Vec<Named> = loads.iter().flat_map(|loads| loads(asked.size)).collect();
    common::group::run("steal", &asked, asked.size.pick(TURN / 10, TURN / 2, TURN), 1, &loads);
}
