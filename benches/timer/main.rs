//! How late those wake up that wait for a moment: guests that sleep, and native tasks with a timer each, beside tokio.
//!
//! What is measured is the mean lateness; the percentiles and the wait for the last one are told beside it. The peer of the
//! guests is wasmtime-wasi on a multi-thread tokio runtime, see `wasi_peer`. Both have two workers.
//!
//! `cargo bench --bench timer` lets criterion measure one side after the other. On a machine that others use as well,
//! `WIPPY_BENCH_ROUNDS=9 cargo bench --bench timer [FILTER]` measures the sides in turns and prints the median of each and
//! their ratio, which is what to quote. `--quick` and `--test` make everything small; the names carry the sizes.

#[path = "../common/mod.rs"]
mod common;
mod native;
mod sleepers;

use std::time::Duration;

use common::asked::Asked;
use common::case::Named;

/// Workers of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(500);

/// Our side.
const OURS: &str = "wippy";
/// Our side with a pool.
const OURS_POOLED: &str = "wippy, pool";
const PEER: &str = "wasmtime-wasi + tokio";

fn main() {
    let asked = Asked::read();
    let crowds = asked.size.pick([1, 5, 20], [1, 100, 1000], [1, 1000, 10_000]);
    let timers = asked.size.pick(1000, 10_000, 100_000);
    let sleepers = crowds.map(|count| {
        let sides = [OURS, PEER, OURS_POOLED];
        Named::new(format!("{count} sleeping guests"), &sides, move || sleepers::case(count))
    });
    let native = Named::new(format!("{timers} native timers"), &[OURS, PEER], move || native::case(timers));
    let cases: Vec<Named> = sleepers.into_iter().chain([native]).collect();
    common::group::run("timer", &asked, TURN, 1, &cases);
}
