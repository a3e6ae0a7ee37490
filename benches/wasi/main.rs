//! What waiting costs a guest: sleeping, TCP, files and HTTP, each beside a peer that runs the same guest in the same run.
//!
//! The peer is what a good user of wasmtime would write: wasmtime-wasi and wasmtime-wasi-http on a multi-thread tokio
//! runtime, one task a guest, everything prepared once; see `peer`. Both have two workers. The servers are a process of their
//! own, single-threaded over epoll, so that they take the same share of the machine from either side and no scheduler of
//! ours or theirs has them in its queues.
//!
//! `cargo bench --bench wasi` lets criterion measure one side after the other. On a machine that others use as well,
//! `WIPPY_BENCH_ROUNDS=9 cargo bench --bench wasi [FILTER]` measures the sides in turns and prints the median of each and
//! their ratio, which is what to quote. `--quick` and `--test` make everything small; the names carry the sizes.

#[path = "../common/asked.rs"]
mod asked;
#[path = "../common/case.rs"]
mod case;
mod echo;
#[path = "../common/epochs.rs"]
mod epochs;
mod files;
mod get;
#[path = "../common/ours.rs"]
mod ours;
mod peer;
mod servers;
mod sizes;
mod sleepers;
mod timers;
#[path = "../common/turns.rs"]
mod turns;

use std::time::Duration;

use criterion::Criterion;

use asked::Asked;
use case::Case;
use sizes::{OURS, OURS_POOLED, PEER, Sizes};

/// Workers of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(700);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == servers::ARGUMENT) {
        servers::serve();
    }
    let sizes = Sizes::of(&arguments);
    // Each is made when it is its turn, since some hold thousands of guests.
    let mut cases: Vec<(String, Box<dyn Fn() -> Case>)> = Vec::new();
    for count in sizes.sleepers {
        cases.push((format!("{count} sleeping guests"), Box::new(move || sleepers::case(count))));
    }
    cases.push((format!("{} native timers", sizes.timers), Box::new(move || timers::case(sizes.timers))));
    for guests in sizes.echo_guests {
        cases.push((format!("tcp echo, {guests} guests"), Box::new(move || echo::case(guests))));
    }
    cases.push((format!("file write, {} bytes", sizes.file_bytes), Box::new(move || files::write(sizes.file_bytes))));
    cases.push((format!("file read, {} bytes", sizes.file_bytes), Box::new(move || files::read(sizes.file_bytes))));
    cases.push(("http get, kept alive".into(), Box::new(|| get::case(get::Server::KeepsAlive))));
    cases.push(("http get, closed by the server".into(), Box::new(|| get::case(get::Server::Closes))));

    let asked = Asked::read();
    if let Some(rounds) = asked.rounds {
        for (name, case) in cases.iter().filter(|(name, _)| name.contains(&asked.filter)) {
            case().in_turns(name, rounds, TURN, 1);
        }
        return;
    }
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    for (name, case) in &cases {
        let sides: &[&str] = if name.contains("sleeping") { &[OURS, PEER, OURS_POOLED] } else { &[OURS, PEER] };
        case::measure(&mut criterion, &format!("wasi/{name}"), sides, case);
    }
    criterion.final_summary();
}
