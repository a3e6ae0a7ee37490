//! What files and HTTP cost a guest, beside a peer that runs the same guest in the same run.
//!
//! The peer is what a good user of wasmtime would write: wasmtime-wasi and wasmtime-wasi-http on a multi-thread tokio
//! runtime, one task a guest, everything prepared once; see `wasi_peer`. Both have two workers. The servers are a process of
//! their own, single-threaded over epoll, so that they take the same share of the machine from either side and no scheduler
//! of ours or theirs has them in its queues.
//!
//! `cargo bench --bench wasi` lets criterion measure one side after the other. On a machine that others use as well,
//! `WIPPY_BENCH_ROUNDS=9 cargo bench --bench wasi [FILTER]` measures the sides in turns and prints the median of each and
//! their ratio, which is what to quote. `--test` makes everything small; the names carry the sizes.

#[path = "../common/mod.rs"]
mod common;
mod files;
mod get;

use std::time::Duration;

use common::asked::Asked;
use common::case::Named;
use common::servers;

/// Workers of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(700);

const OURS: &str = "wippy";
const PEER: &str = "wasmtime-wasi + tokio";

fn main() {
    servers::serve_if_asked();
    let asked = Asked::read();
    let bytes = asked.size.pick(1 << 20, 64 << 20, 64 << 20);
    let sides = [OURS, PEER];
    let cases = [
        Named::new(format!("file write, {bytes} bytes"), &sides, move || files::write(bytes)),
        Named::new(format!("file read, {bytes} bytes"), &sides, move || files::read(bytes)),
        Named::new("http get, kept alive", &sides, || get::case(get::Server::KeepsAlive)),
        Named::new("http get, closed by the server", &sides, || get::case(get::Server::Closes)),
    ];
    common::group::run("wasi", &asked, TURN, 1, &cases);
}
