//! What it costs a guest to let others go on and to go on itself: yields, and round trips over TCP.
//!
//! - Yields: guests that call `sched_yield` of preview 1 again and again, beside a loop on one thread that does nothing but
//!   poll them in turn (`floor`), and tokio, whose own `yield_now` they call there.
//! - TCP echo: 64 bytes there and back, beside a blocking thread of the standard library for each connection, and
//!   wasmtime-wasi on tokio (see `wasi_peer`). The server is a process of its own.
//!
//! What to quote is the CPU of all threads of this program, for a yield or a round trip. `cargo bench --bench step` lets criterion
//! measure one side after the other, by the wall; `WIPPY_BENCH_ROUNDS=15 cargo bench --bench step [FILTER]` measures the sides in
//! turns, by both.

#[path = "../common/mod.rs"]
mod common;
mod echo;
mod yields;

use std::time::Duration;

use common::asked::Asked;
use common::case::Named;
use common::servers;

/// Workers of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(400);

const FLOOR: &str = "floor, one thread";
const OURS: &str = "wippy";
const TOKIO: &str = "tokio, tuned";
const NATIVE: &str = "blocking threads";
const PEER: &str = "wasmtime-wasi + tokio";

fn main() {
    servers::serve_if_asked();
    let asked = Asked::read();
    let yields = asked.size.pick(1000, 100_000, 1_000_000);
    let so_many = |guests: u64| if guests == 1 { "one guest".to_owned() } else { format!("{guests} guests") };
    let crowd = |guests: u64| {
        let name = format!("{yields} yields of {}", so_many(guests));
        Named::new(name, &[FLOOR, OURS, TOKIO], move || yields::case(guests, yields / guests))
    };
    let echo = |guests: u64| {
        Named::new(format!("tcp echo, {}", so_many(guests)), &[NATIVE, OURS, PEER], move || echo::case(guests))
    };
    let cases = [crowd(100), crowd(1), echo(1), echo(asked.size.pick(4, 64, 64))];
    common::group::run("step", &asked, asked.size.pick(TURN / 10, TURN / 2, TURN), 1, &cases);
}
