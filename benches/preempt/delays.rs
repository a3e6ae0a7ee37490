//! How long a short process waits among guests that never give up their turn: what passes from the request to its end, beyond
//! what it computes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::process::Exit;
use wippy::registry::Preempt;
use wippy::runtime::TICK;

use crate::common::case::{Case, Figures, Side};
use crate::common::guests::Guest;
use crate::common::numbers::Numbers;
use crate::common::processes::Processes;
use crate::common::settings::{Settings, allocator};
use crate::common::tokio_tasks::TokioTasks;
use crate::{OURS, PEER};

/// What a probe computes.
pub(crate) const PROBE: Duration = Duration::from_micros(50);

/// Until all spinners have had their first turns.
const SETTLE: Duration = Duration::from_millis(30);

/// The shortest pause between two probes; each one is longer by another part of [`SPREAD`], so that they meet ticks
/// everywhere.
const PAUSE: Duration = Duration::from_millis(2);
const SPREAD: Duration = Duration::from_millis(2);

/// A side: guests that spin, and probes among them.
trait Contender {
    /// Starts spinners, does something and ends them.
    fn among_spinners(&self, spinners: usize, work: &mut dyn FnMut());

    /// Starts a probe that counts so far; the time from the request to its end.
    fn probe(&self, counts_to: i64) -> Duration;
}

/// What probes are sent into.
#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) tick: Duration,
    pub(crate) spinners: usize,
    /// How far a probe counts.
    pub(crate) counts_to: i64,
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
fn delays(contender: &dyn Contender, crowd: Crowd, probes: u64) -> Vec<Delay> {
    let Crowd { tick, spinners, counts_to } = crowd;
    let mut delays = Vec::new();
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

/// What counts to this counts for ever.
const ENDLESS: Numbers = Numbers::Same { argument: i64::MAX, answer: i64::MAX };

impl Contender for Arc<Processes> {
    fn among_spinners(&self, spinners: usize, work: &mut dyn FnMut()) {
        let manager = self.ours.runtime.manager();
        let spin = |number| manager.spawn(self.start(ENDLESS, number)).expect("a host with room");
        let spinning: Vec<_> = (0..spinners as u64).map(spin).collect();
        work();
        spinning.iter().for_each(|spinner| spinner.terminate());
        for spinner in spinning {
            assert_eq!(spinner.wait(), Exit::Terminated);
        }
    }

    fn probe(&self, counts_to: i64) -> Duration {
        let (sender, receiver) = mpsc::channel();
        let begin = Instant::now();
        let start = self
            .start(Numbers::Same { argument: counts_to, answer: counts_to }, 0)
            .watch(move |_: &_, exit: &Exit| sender.send((Instant::now(), exit.clone())).expect("somebody waits"));
        drop(self.ours.runtime.manager().spawn(start).expect("a host with room"));
        let (end, exit) = receiver.recv().expect("an exit");
        assert_eq!(exit, Exit::Returned(counts_to.into()));
        end - begin
    }
}

impl Contender for TokioTasks {
    fn among_spinners(&self, spinners: usize, work: &mut dyn FnMut()) {
        self.awake(|| {
            let spinning: Vec<_> = (0..spinners).map(|_| self.begin(i64::MAX, |_| ())).collect();
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
        drop(self.begin(counts_to, move |counted| sender.send((Instant::now(), counted)).expect("somebody waits")));
        let (end, counted) = receiver.recv().expect("a result");
        assert_eq!(counted, counts_to);
        end - begin
    }
}

fn peer(tick: Duration) -> TokioTasks {
    let guest = guest();
    let mut settings = Settings::tuned(guest.binary.len(), Preempt::Epoch);
    settings.tick = tick;
    TokioTasks::new(&settings, &guest)
}

/// Counts as far as it is told.
pub(crate) fn guest() -> Guest {
    Guest::fixture("spinner", "spin-for")
}

/// How far a guest counts in the time of a probe, at best.
pub(crate) fn calibrated() -> i64 {
    const TRIAL: i64 = 100_000;
    let peer = peer(TICK);
    let trial = || (0..20).map(|_| peer.probe(TRIAL)).min().expect("some");
    (TRIAL as f64 * PROBE.as_secs_f64() / peer.awake(trial).as_secs_f64()) as i64
}

/// Percentiles of the delays that nobody disturbed and of all of them, and how many were disturbed.
fn figures(delays: &[Delay]) -> Figures {
    let percentiles = |delays: &mut dyn Iterator<Item = &Delay>| {
        let mut times: Vec<Duration> = delays.map(|delay| delay.time).collect();
        times.sort();
        let at = |percent: usize| times.get((times.len().max(1) - 1) * percent / 100).copied().unwrap_or_default();
        [50, 99].map(|percent| at(percent).as_secs_f64() * 1e6)
    };
    let [p50, p99] = percentiles(&mut delays.iter().filter(|delay| !delay.is_disturbed));
    let [all_p50, all_p99] = percentiles(&mut delays.iter());
    let disturbed = delays.iter().filter(|delay| delay.is_disturbed).count();
    vec![
        ("us late, p50, undisturbed", p50),
        ("us late, p99, undisturbed", p99),
        ("us late, p50", all_p50),
        ("us late, p99", all_p99),
        ("probes disturbed", disturbed as f64),
    ]
}

fn side(name: &'static str, crowd: Crowd, contender: impl Contender + 'static) -> Side {
    let met = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&met);
    Side {
        name,
        run: Box::new(move |probes| {
            let delays = delays(&contender, crowd, probes);
            let all = delays.iter().map(|delay| delay.time).sum();
            met.borrow_mut().extend(delays);
            all
        }),
        also: Box::new(move || figures(&std::mem::take(&mut *told.borrow_mut()))),
    }
}

/// An iteration is a probe, and its time the delay.
pub(crate) fn case(crowd: Crowd) -> Case {
    let ours = Processes::new(&guest(), "", |builder| builder.allocator(allocator()).tick(crowd.tick));
    let sides = vec![side(OURS, crowd, ours), side(PEER, crowd, peer(crowd.tick))];
    Case { per_iteration: Throughput::Elements(1), sides }
}
