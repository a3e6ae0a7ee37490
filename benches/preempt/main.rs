//! What preemption gives and what it costs: how long a short process waits for its turn among guests that never give up theirs,
//! and what guests cost that all compute for long and take turns.
//!
//! - Delays: each of two workers has two or four guests that compute without end. From outside of them, every few
//!   milliseconds, a probe is started: a guest that computes for 50 µs; see `delays`.
//! - Turns: so many guests at once that each compute for 20 ms, beside the same guests one after the other on each core
//!   (`floor`).
//!
//! The peer is wasmtime on a multi-thread tokio runtime with as many workers, a task a guest, whose guests yield to tokio at
//! each epoch; its epochs have the period of our ticks.
//!
//! `cargo bench --bench preempt` lets criterion measure one side after the other. On a machine that others use as well,
//! `WIPPY_BENCH_ROUNDS=15 cargo bench --bench preempt [FILTER]` measures the sides in turns and prints percentiles of the delays, and
//! ratios, which is what to quote. Where others have a core that one of our threads wants, delays are theirs: Linux counts
//! such waits, and probes that met one are told apart. A long delay meets more of them than a short one, so leaving them out
//! flatters the slower side. What makes them rare is priority for the whole run: `nice -n -20`, where Linux groups
//! sessions (`sched_autogroup_enabled`) also -20 in `/proc/self/autogroup` of a session of its own.

#[path = "../common/mod.rs"]
mod common;
mod delays;

use std::time::Duration;

use criterion::Throughput;
use wippy::registry::Preempt;
use wippy::runtime::TICK;

use common::asked::Asked;
use common::case::{Case, Named, Side};
use common::floor::{Floor, Stack};
use common::numbers::Numbers;
use common::processes::Processes;
use common::settings::{Settings, WINDOW, allocator};
use common::tokio_tasks::TokioTasks;
use delays::Crowd;

/// Workers of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(400);

const TICKS: [Duration; 2] = [TICK, Duration::from_micros(200)];
const SPINNERS_PER_WORKER: [usize; 2] = [2, 4];

/// What a guest computes that takes turns with others.
const LONG: Duration = Duration::from_millis(20);

const FLOOR: &str = "floor";
const OURS: &str = "wippy";
const PEER: &str = "tokio, tuned";

/// Guests at once that count so far, each for many slices.
fn turns(guests: u64, counts_to: i64) -> Case {
    let guest = delays::guest();
    let numbers = Numbers::Same { argument: counts_to, answer: counts_to };
    let size = guest.binary.len();
    let floor = Floor::new(|| Settings::ours(allocator(), size, Preempt::Epoch), &guest);
    let ours = Processes::new(&guest, "", |builder| builder.allocator(allocator()));
    let tokio = TokioTasks::new(&Settings::tuned(size, Preempt::Epoch), &guest);
    let sides = vec![
        Side::new(FLOOR, move |iterations| floor.run(numbers, iterations * guests, Stack::Own)),
        Side::new(OURS, move |iterations| (0..iterations).map(|_| ours.run(numbers, guests)).sum()),
        Side::new(PEER, move |iterations| (0..iterations).map(|_| tokio.run(numbers, guests, WORKERS * WINDOW)).sum()),
    ];
    Case { per_iteration: Throughput::Elements(guests), sides }
}

fn main() {
    let asked = Asked::read();
    let in_a_probe = delays::calibrated();
    let in_long = (in_a_probe as f64 * LONG.as_secs_f64() / delays::PROBE.as_secs_f64()) as i64;
    let mut cases = Vec::new();
    for tick in TICKS {
        for per_worker in SPINNERS_PER_WORKER {
            let crowd = Crowd { tick, spinners: WORKERS * per_worker, counts_to: in_a_probe };
            let name = format!("delays at a tick of {tick:?} with {per_worker} spinners a worker");
            cases.push(Named::new(name, &[OURS, PEER], move || delays::case(crowd)));
        }
    }
    let guests = asked.size.pick(4, 16, 16);
    let name = format!("turns of {guests} guests of 20 ms each");
    cases.push(Named::new(name, &[FLOOR, OURS, PEER], move || turns(guests, in_long)));
    common::group::run("preempt", &asked, asked.size.pick(TURN / 10, TURN / 2, TURN), 1, &cases);
}
