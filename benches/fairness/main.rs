//! How long a short process waits for its turn among guests that never give up theirs.
//!
//! Each of two workers has two or four guests that compute without end. From outside of them, every few milliseconds, a
//! probe is started: a guest that computes for 50 µs. What passes from the request to its end, beyond these 50 µs, is its
//! delay. The peer is wasmtime on a multi-thread tokio runtime with as many workers, a task a guest, whose guests yield to
//! tokio at each epoch; its epochs have the period of our ticks.
//!
//! `cargo bench --bench fairness` lets criterion measure the mean delay of one side after the other. On a machine that
//! others use as well, `WIPPY_BENCH_ROUNDS=15 cargo bench --bench fairness [FILTER]` measures the sides in turns and prints
//! percentiles and their ratios, which is what to quote. Where others have a core that one of our threads wants, delays are
//! theirs: Linux counts such waits, and probes that met one are told apart. A long delay meets more of them than a short one,
//! so leaving them out flatters the slower side. What makes them rare is priority for the whole run: `nice -n -20`, where Linux
//! groups sessions (`sched_autogroup_enabled`) also -20 in `/proc/self/autogroup` of a session of its own.

#[path = "../common/asked.rs"]
mod asked;
#[path = "../common/epochs.rs"]
mod epochs;
#[path = "../common/ours.rs"]
mod ours;
mod peer;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use wippy::process::{Exit, Payload, Start};

use asked::Asked;
use ours::{Ours, result};
use peer::Peer;

/// Workers of each side.
pub(crate) const WORKERS: usize = 2;

const TICKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_micros(200)];
const SPINNERS_PER_WORKER: [usize; 2] = [2, 4];

/// What a probe computes.
const PROBE: Duration = Duration::from_micros(50);

/// Probes of a turn.
const PROBES: usize = 100;

/// Until all spinners have had their first turns.
const SETTLE: Duration = Duration::from_millis(30);

/// The shortest pause between two probes; each one is longer by another part of [`SPREAD`], so that they meet ticks
/// everywhere.
const PAUSE: Duration = Duration::from_millis(2);
const SPREAD: Duration = Duration::from_millis(2);

const OURS: &str = "wippy";
const PEER: &str = "wasmtime + tokio";

/// A side: guests that spin, and probes among them.
trait Contender {
    /// Starts spinners, does something and ends them.
    fn among_spinners(&self, spinners: usize, work: &mut dyn FnMut());

    /// Starts a probe that counts so far; the time from the request to its end.
    fn probe(&self, counts_to: i64) -> Duration;
}

/// What probes are sent into.
#[derive(Clone, Copy)]
struct Crowd {
    tick: Duration,
    spinners: usize,
    /// How far a probe counts.
    counts_to: i64,
}

/// What one probe met.
#[derive(Clone, Copy)]
struct Delay {
    time: Duration,
    /// A thread of this program was ready meanwhile and did not run: somebody else had its core.
    is_disturbed: bool,
}

/// What the threads of a side keep each other from running, at most: the ticker and whoever starts the probes have no core
/// of their own. A longer wait that is a part of a tick does not change much.
fn own_disturbance(tick: Duration) -> Duration {
    (tick / 2).max(Duration::from_micros(150))
}

/// How long threads of this program, all together, have been ready and did not run; nothing where the system does not say.
fn kept_waiting() -> Duration {
    let waited = |thread: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let told = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        told.split_whitespace().nth(1)?.parse().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").ok();
    Duration::from_nanos(threads.map_or(0, |threads| threads.filter_map(waited).sum()))
}

/// The delays of this many probes.
fn delays(contender: &dyn Contender, crowd: Crowd, probes: usize) -> Vec<Delay> {
    let Crowd { tick, spinners, counts_to } = crowd;
    let mut delays = Vec::with_capacity(probes);
    contender.among_spinners(spinners, &mut || {
        std::thread::sleep(SETTLE);
        for number in 0..probes {
            // Multiples of the golden section spread evenly, and no two neighbours are alike.
            std::thread::sleep(PAUSE + SPREAD.mul_f64((number as f64 * 0.618_034).fract()));
            let before = kept_waiting();
            let time = contender.probe(counts_to).saturating_sub(PROBE);
            let is_disturbed = kept_waiting().saturating_sub(before) > own_disturbance(tick);
            delays.push(Delay { time, is_disturbed });
        }
    });
    delays
}

impl Contender for Ours {
    fn among_spinners(&self, spinners: usize, work: &mut dyn FnMut()) {
        let spinning: Vec<_> = (0..spinners).map(|_| self.spawn("spin", [])).collect();
        work();
        spinning.iter().for_each(|spinner| spinner.terminate());
        for spinner in spinning {
            assert_eq!(spinner.wait(), Exit::Terminated);
        }
    }

    fn probe(&self, counts_to: i64) -> Duration {
        let (sender, receiver) = mpsc::channel();
        let begin = Instant::now();
        let start = Start::new("app:probe".parse().expect("an ID"), "app:processes".parse().expect("an ID"))
            .input([Payload::from(counts_to)])
            .watch(move |_: &_, exit: &Exit| sender.send((Instant::now(), exit.clone())).expect("somebody waits"));
        drop(self.runtime.manager().spawn(start).expect("a host with room"));
        let (end, exit) = receiver.recv().expect("an exit");
        assert_eq!(result(exit).as_i64(), Some(counts_to));
        end - begin
    }
}

impl Contender for Peer {
    fn among_spinners(&self, spinners: usize, work: &mut dyn FnMut()) {
        self.awake(|| {
            let spinning: Vec<_> = (0..spinners).map(|_| self.spin()).collect();
            work();
            spinning.iter().for_each(tokio::task::JoinHandle::abort);
            for spinner in spinning {
                assert!(self.wait(spinner).expect_err("it never ends").is_cancelled());
            }
        });
    }

    fn probe(&self, counts_to: i64) -> Duration {
        let (sender, receiver) = mpsc::channel();
        let begin = Instant::now();
        self.count(counts_to, move |counted| sender.send((Instant::now(), counted)).expect("somebody waits"));
        let (end, counted) = receiver.recv().expect("a result");
        assert_eq!(counted, counts_to);
        end - begin
    }
}

/// Both sides at one tick, ours first.
fn contenders(tick: Duration) -> [Box<dyn Contender>; 2] {
    let entries = "- { name: spin, guest: spinner, method: spin }\n- { name: probe, guest: spinner, method: spin-for }";
    [Box::new(Ours::new(entries, tick)), Box::new(Peer::new(tick))]
}

/// How far a guest counts in the time of a probe, at best.
fn calibrated() -> i64 {
    const TRIAL: i64 = 100_000;
    let peer = Peer::new(TICKS[0]);
    let trial = || (0..20).map(|_| peer.probe(TRIAL)).min().expect("some");
    (TRIAL as f64 * PROBE.as_secs_f64() / peer.awake(trial).as_secs_f64()) as i64
}

const PERCENTS: [usize; 2] = [50, 99];

/// The percentiles of these delays.
fn percentiles(mut delays: Vec<Duration>) -> [Duration; 2] {
    delays.sort();
    PERCENTS.map(|percent| delays.get((delays.len().max(1) - 1) * percent / 100).copied().unwrap_or_default())
}

/// Undisturbed delays of all rounds, the medians of the percentiles of each round, and all delays whatsoever.
fn summary(rounds: &[Vec<Delay>]) -> [(&'static str, [Duration; 2]); 3] {
    let undisturbed = |round: &Vec<Delay>| -> Vec<Duration> {
        round.iter().filter(|delay| !delay.is_disturbed).map(|delay| delay.time).collect()
    };
    let by_rounds: Vec<_> = rounds.iter().map(|round| percentiles(undisturbed(round))).collect();
    let median = |at: usize| percentiles(by_rounds.iter().map(|round| round[at]).collect())[0];
    [
        ("undisturbed", percentiles(rounds.iter().flat_map(undisturbed).collect())),
        ("  by rounds", [median(0), median(1)]),
        ("all", percentiles(rounds.iter().flatten().map(|delay| delay.time).collect())),
    ]
}

/// Measures both sides in turns and prints percentiles of their delays.
fn in_turns(name: &str, rounds: usize, crowd: Crowd) {
    let contenders = contenders(crowd.tick);
    let mut measured = [OURS, PEER].map(|name| (name, Vec::new()));
    for _ in 0..rounds {
        for (contender, (_, rounds)) in contenders.iter().zip(&mut measured) {
            rounds.push(delays(&**contender, crowd, PROBES));
        }
    }
    println!("{name}");
    let ours = summary(&measured[0].1);
    for (name, rounds) in &measured {
        let disturbed = rounds.iter().flatten().filter(|delay| delay.is_disturbed).count();
        println!("  {name}: {} probes, {disturbed} of them disturbed", rounds.len() * PROBES);
        for ((what, found), (_, ours)) in summary(rounds).into_iter().zip(ours) {
            print!("    {what:<12}");
            for ((percent, found), ours) in PERCENTS.into_iter().zip(found).zip(ours) {
                let ratio = found.as_secs_f64() / ours.as_secs_f64();
                print!("  p{percent} {:>9.1} us (x{ratio:.2} of ours)", found.as_secs_f64() * 1e6);
            }
            println!();
        }
    }
}

/// Has criterion measure the mean delay of one side after the other.
fn measure(criterion: &mut Criterion, name: &str, crowd: Crowd) {
    // Made by the first side that is not filtered out.
    let mut made = None;
    let mut group = criterion.benchmark_group(format!("fairness/{name}"));
    for (at, side) in [OURS, PEER].into_iter().enumerate() {
        group.bench_function(side, |bencher| {
            let contender = &*made.get_or_insert_with(|| contenders(crowd.tick))[at];
            bencher.iter_custom(|iterations| {
                let probes = usize::try_from(iterations).expect("some probes");
                delays(contender, crowd, probes).iter().map(|delay| delay.time).sum()
            });
        });
    }
    group.finish();
}

fn main() {
    let asked = Asked::read();
    let counts_to = calibrated();
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    for tick in TICKS {
        for per_worker in SPINNERS_PER_WORKER {
            let name = format!("tick of {tick:?}, {per_worker} spinners a worker");
            let crowd = Crowd { tick, spinners: WORKERS * per_worker, counts_to };
            match asked.rounds {
                Some(rounds) if name.contains(&asked.filter) => in_turns(&name, rounds, crowd),
                Some(_) => {}
                None => measure(&mut criterion, &name, crowd),
            }
        }
    }
    if asked.rounds.is_none() {
        criterion.final_summary();
    }
}
