//! What a process costs from spawn to exit, beside what wasmtime alone takes for the same guest, tokio and rayon.
//!
//! Every side runs each guest in a fresh instance and checks its answer, with two workers or threads, and each has an engine
//! whose epochs move every millisecond unless it is said to have wasmtime's defaults:
//!
//! - `floor`: instantiate, `call_async`, drop, in a loop on each core, an engine and an allocator a thread, polled by whoever
//!   calls; and the same with the synchronous call. The engines are made as ours is, with the same allocator.
//! - `wippy`: spawned and waited for by processes of the embedder, one for each worker, 64 in flight for each; with our slabs or
//!   what `WIPPY_BENCH_ALLOCATOR` says, and with a pool. Also from a thread outside.
//! - `tokio, tuned`: a task a guest, as many in flight, started by tasks, one for each worker; code as ours, over wasmtime's pool
//!   tuned for it (see `settings`). Also all at once, and with wasmtime's defaults.
//! - `rayon`: synchronous calls from a parallel iterator, over the tuned pool.
//!
//! What to quote is the CPU of all threads a process. `cargo bench --bench spawn` lets criterion measure one side after the
//! other, by the wall; `WIPPY_BENCH_ROUNDS=15 cargo bench --bench spawn [FILTER]` measures the sides in turns, by both.

#[path = "../common/mod.rs"]
mod common;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use criterion::Throughput;
use wippy::registry::Preempt;
use wippy::runtime::Allocator;

use common::asked::Asked;
use common::case::{Case, Named, Side};
use common::floor::{Floor, Stack};
use common::guests::{ADDED, Guest, Kind};
use common::numbers::Numbers;
use common::processes::Processes;
use common::rayon_pool::RayonPool;
use common::settings::{POOL, Settings, WINDOW, allocator};
use common::tokio_tasks::TokioTasks;

/// Workers or threads of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(300);

const SIDES: [&str; 9] = [
    "floor",
    "floor, sync",
    "wippy",
    "wippy, from outside",
    "wippy, pool",
    "tokio, tuned",
    "tokio, tuned, all at once",
    "tokio, defaults",
    "rayon, tuned, sync",
];

fn case(guest: &Guest) -> Case {
    let numbers = Numbers::Own { added: if guest.kind == Kind::Command { 0 } else { ADDED } };
    let size = guest.binary.len();
    let floor = Rc::new(Floor::new(|| Settings::ours(allocator(), size, Preempt::Epoch), guest));
    let ours = |allocator: Allocator| Processes::new(guest, "", |builder| builder.allocator(allocator));
    let (ours, pooled) = (ours(allocator()), ours(POOL));
    let tuned = Settings::tuned(size, Preempt::Epoch);
    let tokio = Rc::new(TokioTasks::new(&tuned, guest));
    let defaults = TokioTasks::new(&Settings::defaults(), guest);
    let rayon = RayonPool::new(&tuned, guest);
    let window = WINDOW * WORKERS;
    let (floor_sync, tokio_all) = (Rc::clone(&floor), Rc::clone(&tokio));
    let outside = Arc::clone(&ours);
    let runs: [Box<dyn FnMut(u64) -> Duration>; SIDES.len()] = [
        Box::new(move |items| floor.run(numbers, items, Stack::Own)),
        Box::new(move |items| floor_sync.run(numbers, items, Stack::Caller)),
        Box::new(move |items| ours.run(numbers, items)),
        Box::new(move |items| outside.run_from_outside(numbers, items)),
        Box::new(move |items| pooled.run(numbers, items)),
        Box::new(move |items| tokio.run(numbers, items, window)),
        Box::new(move |items| tokio_all.run(numbers, items, usize::MAX)),
        Box::new(move |items| defaults.run(numbers, items, window)),
        Box::new(move |items| rayon.run(numbers, items)),
    ];
    let sides = SIDES.into_iter().zip(runs).map(|(name, run)| Side::new(name, run)).collect();
    Case { per_iteration: Throughput::Elements(1), sides }
}

fn main() {
    let asked = Asked::read();
    let cases = [
        ("tiny core module", Guest::tiny as fn() -> Guest),
        ("tiny component", Guest::component),
        ("core module of 17 pages", Guest::large),
        ("component with all of wasi:cli", Guest::command),
    ];
    let cases = cases.map(|(name, guest)| Named::new(name, &SIDES, move || case(&guest())));
    common::group::run("spawn", &asked, asked.size.pick(TURN / 10, TURN / 2, TURN), 1, &cases);
}
