//! What messages between guests cost: a ring that passes a token, and a flood from one guest to another, beside a peer that
//! runs the same guests over tokio's channels; see `peer`. Beside both, native processes of ours do the same; see `native`. All
//! have two workers.
//!
//! `cargo bench --bench messages` lets criterion measure one side after the other. On a machine that others use as well,
//! `WIPPY_BENCH_ROUNDS=9 cargo bench --bench messages [FILTER]` measures the sides in turns and prints the median of each and
//! their ratio, which is what to quote. `--test` makes everything small; the names carry the sizes.

#[path = "../common/mod.rs"]
mod common;
mod native;
mod peer;

use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::RuntimeBuilder;
use wippy::process::Payload;
use wippy::runtime::TICK;

use common::asked::Asked;
use common::case::{Case, Named, Side};
use common::ours::{Ours, result};
use native::{Native, Role};
use peer::Peer;

/// Workers of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(700);

const OURS: &str = "wippy";
const PEER: &str = "tokio mpsc";
const NATIVE: &str = "native processes";

/// One call of the guest, which sends this many messages.
#[derive(Clone, Copy)]
struct Work {
    function: &'static str,
    numbers: (u32, u32),
    messages: u64,
}

fn case(work: Work) -> Case {
    let entry = |name: &str| {
        format!(
            "- {{ name: {name}, guest: society, method: {name}, imports: [wippy:process, wasi:clocks, wasi:poll], \
             process: {{ spawn: ['app:*'], hosts: ['app:*'], signal: any }} }}\n"
        )
    };
    let ours = Ours::new(&["ring", "ring-node", "flood", "sink"].map(entry).concat(), TICK);
    let (one, other) = work.numbers;
    let ours = Side::new(OURS, move |iterations| {
        timed(iterations, || {
            let said = result(ours.spawn(work.function, [Payload::from(one), Payload::from(other)]).wait());
            assert!(said.get("ok").is_some(), "{said}");
        })
    });
    let natives =
        Ours::with("", |builder| Role::ALL.into_iter().map(Native::new).fold(builder, RuntimeBuilder::program));
    let native = Side::new(NATIVE, move |iterations| {
        timed(iterations, || {
            let entry = format!("native:{}", work.function);
            let process = natives.runtime.spawn(&entry, [Payload::from(one), Payload::from(other)]);
            result(process.expect("a process").wait());
        })
    });
    let peer = Peer::new();
    let peer =
        Side::new(PEER, move |iterations| peer.awake(|| timed(iterations, || peer.run(work.function, work.numbers))));
    Case { per_iteration: Throughput::Elements(work.messages), sides: vec![ours, peer, native] }
}

fn timed(iterations: u64, mut work: impl FnMut()) -> Duration {
    let begin = Instant::now();
    (0..iterations).for_each(|_| work());
    begin.elapsed()
}

fn main() {
    let asked = Asked::read();
    let (nodes, rounds, messages) = asked.size.pick((4, 3, 100), (100, 100, 10_000), (100, 100, 10_000));
    let ring = Work { function: "ring", numbers: (nodes, rounds), messages: u64::from(nodes) * u64::from(rounds + 1) };
    let flood = Work { function: "flood", numbers: (messages, 100), messages: u64::from(messages) };
    let sides = [OURS, PEER, NATIVE];
    let cases = [
        Named::new(format!("ring of {nodes} guests, {rounds} rounds"), &sides, move || case(ring)),
        Named::new(format!("{messages} messages of 100 bytes to one guest"), &sides, move || case(flood)),
    ];
    common::group::run("messages", &asked, TURN, 1, &cases);
}
