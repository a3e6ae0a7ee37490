//! How late guests wake up that all sleep until the same moment.
//!
//! Each guest is told how many milliseconds are left when it is started, and returns the nanoseconds that it slept: what it
//! slept too long is its lateness. The deadlines fall within about a millisecond of each other, so the last guest waits
//! for the steps of all others; the time from the common moment to the last exit is that of the whole crowd.
//!
//! A guest ends where it wakes up, so the lateness in a crowd is mostly the ends of those before it.
//!
//! With thousands of guests the peer takes its instances from wasmtime's pooling allocator, without copy-on-write images:
//! on demand and with them, ten thousand instances take more mappings than Linux gives a process (65530). On demand without
//! them they fit as well, and the peer is a third slower. Our side is measured with its slabs, or what `WIPPY_BENCH_ALLOCATOR`
//! says, and with a pool; with thousands its host says how many (`max_processes`). Each is made for its crowd and gone
//! afterwards, since a pool keeps mappings that the others need then.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::Throughput;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};
use wippy::process::Payload;
use wippy::runtime::{Allocator, TICK};

use crate::common::case::{Case, Figures, Side};
use crate::common::ours::{Ours, result};
use crate::common::settings;
use crate::common::wasi_peer::Peer;
use crate::{OURS, OURS_POOLED, PEER};

/// From this many guests on the peer pools its instances.
const POOLED_FROM: usize = 2000;

/// Guests that are started between two rests, so that the queue of those that begin stays short and their deadlines are
/// what they should be.
const BATCH: usize = 20;

/// Between two batches.
const REST: Duration = Duration::from_millis(5);

/// The least that is left to sleep for the last guest.
const SLEEP: Duration = Duration::from_millis(20);

/// Latenesses of all guests, and the waits for the last one of each crowd.
#[derive(Default)]
pub(crate) struct Lateness {
    each: Vec<Duration>,
    last: Vec<Duration>,
}

impl Lateness {
    pub(crate) fn add(&mut self, each: impl IntoIterator<Item = Duration>, last: Duration) -> Duration {
        let before = self.each.len();
        self.each.extend(each);
        self.last.push(last);
        let added = &self.each[before..];
        added.iter().sum::<Duration>() / u32::try_from(added.len()).expect("a crowd of a few thousand")
    }

    /// Percentiles, after which it begins anew.
    fn tell(&mut self) -> Figures {
        let Lateness { mut each, mut last } = std::mem::take(self);
        if each.is_empty() {
            return Figures::new();
        }
        each.sort();
        last.sort();
        let at = |sorted: &[Duration], percent: usize| sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e6;
        vec![("us late, p50", at(&each, 50)), ("us late, p99", at(&each, 99)), ("us late, last one", at(&last, 50))]
    }
}

/// Starts a crowd with `start`, which is given milliseconds to sleep, and has `wait` say what each slept in nanoseconds.
fn crowd<G>(count: usize, start: impl Fn(u64) -> G, wait: impl Fn(G) -> u64, lateness: &mut Lateness) -> Duration {
    let batches = u32::try_from(count / BATCH).expect("a crowd of a few thousand");
    // Half as much again for the time that a start takes.
    let deadline = Instant::now() + SLEEP + REST * batches * 3 / 2;
    let guests: Vec<(u64, G)> = (1..=count)
        .map(|number| {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis().max(1);
            let left = u64::try_from(left).expect("seconds");
            let guest = start(left);
            if number % BATCH == 0 {
                std::thread::sleep(REST);
            }
            (left, guest)
        })
        .collect();
    let slept: Vec<_> = guests.into_iter().map(|(asked, guest)| (asked, wait(guest))).collect();
    let last = deadline.elapsed();
    let each = slept
        .into_iter()
        .map(|(asked, slept)| Duration::from_nanos(slept.checked_sub(asked * 1_000_000).expect("nobody wakes early")));
    lateness.add(each, last)
}

/// A side around one kind of crowd.
fn side(name: &'static str, mut run: impl FnMut(&mut Lateness) -> Duration + 'static) -> Side {
    let lateness = Rc::new(RefCell::new(Lateness::default()));
    let noted = lateness.clone();
    Side {
        name,
        run: Box::new(move |iterations| (0..iterations).map(|_| run(&mut lateness.borrow_mut())).sum()),
        also: Box::new(move || noted.borrow_mut().tell()),
    }
}

/// Takes the instances from a pool with room for this many.
fn pool(config: &mut Config, count: usize) {
    let count = u32::try_from(count).expect("a crowd of a few thousand");
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(count)
        .total_core_instances(4 * count)
        .total_memories(count)
        .total_tables(4 * count)
        .total_stacks(count)
        .max_memory_size(16 << 20);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config.memory_reservation(16 << 20).memory_guard_size(0).memory_init_cow(false);
}

/// One of our sides.
fn ours(name: &'static str, count: usize, allocator: Allocator) -> Side {
    let entry = "- { name: sleep, guest: sleeper, method: sleep-ms, imports: [wasi:clocks, wasi:poll] }";
    // As it is told to those who have very many: memories lie closer together then, and none has a mapping of its own.
    let host = if count >= POOLED_FROM { format!(", max_processes: {}", 2 * count) } else { String::new() };
    let make = move || Ours::on(entry, &host, |builder| builder.tick(TICK).allocator(allocator));
    let mut kept = None;
    side(name, move |lateness| {
        let ours = kept.take().unwrap_or_else(&make);
        let start = |ms| ours.spawn("sleep", [Payload::from(ms)]);
        let late = crowd(count, start, |guest| result(guest.wait()).as_u64().expect("nanoseconds"), lateness);
        if count < POOLED_FROM {
            kept = Some(ours);
        }
        late
    })
}

pub(crate) fn case(count: usize) -> Case {
    let slots = u32::try_from(count).expect("a crowd of a few thousand");
    let chosen = ours(OURS, count, settings::allocator());
    let pooled = ours(OURS_POOLED, count, Allocator::Pool { slots });
    let make = move || {
        let peer = Peer::with(|config| {
            if count >= POOLED_FROM {
                pool(config, count);
            }
        });
        let guest = peer.load("sleeper", "sleep-ms");
        (peer, guest)
    };
    let mut kept = None;
    let peer = side(PEER, move |lateness| {
        let (peer, guest) = kept.take().unwrap_or_else(make);
        let start = |ms| peer.spawn::<_, u64>(&guest, |_| (), (ms,));
        let lateness = peer.awake(|| crowd(count, start, |guest| peer.wait(guest), lateness));
        if count < POOLED_FROM {
            kept = Some((peer, guest));
        }
        lateness
    });
    Case { per_iteration: Throughput::Elements(1), sides: vec![chosen, peer, pooled] }
}

/// The same for sides that wake no guests.
pub(crate) fn native(name: &'static str, run: impl FnMut(&mut Lateness) -> Duration + 'static) -> Side {
    side(name, run)
}
