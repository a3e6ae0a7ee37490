//! Short items among long ones: how long a short one takes from its request to its end.
//!
//! Items come at random times, independently of each other and of how far the others are, so that both cores are to be busy for
//! six tenths of the time. Each hundredth computes for 100 ms, the others for 50 µs. When too many are in flight, whoever
//! brings them waits, and that counts, too.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::process::Exit;
use wippy::registry::Preempt;

use crate::common::case::{Case, Figures, Side};
use crate::common::numbers::Numbers;
use crate::common::processes::Processes;
use crate::common::settings::{Settings, WINDOW, allocator};
use crate::common::tokio_tasks::TokioTasks;
use crate::{OURS, SHA256, TOKIO, WORKERS};

const SHORT: Duration = Duration::from_micros(50);
const LONG: Duration = Duration::from_millis(100);
const LONG_EACH: u64 = 100;

/// The part of the time for which both cores have something to do.
const BUSY: f64 = 0.6;

/// The most items in flight.
const IN_FLIGHT: u64 = (WORKERS * WINDOW) as u64;

/// An item on its way.
struct Item {
    number: u64,
    numbers: Numbers,
    is_long: bool,
    requested: Instant,
    in_flight: Arc<AtomicU64>,
    over: mpsc::Sender<Over>,
}

/// An item that is over, and how long it took.
struct Over {
    is_long: bool,
    took: Duration,
}

impl Item {
    fn is_over(&self, answer: i64) {
        let took = self.requested.elapsed();
        self.numbers.check(self.number, answer);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.over.send(Over { is_long: self.is_long, took }).expect("somebody waits");
    }
}

/// Brings so many items, short and long ones, and waits for all of them.
fn bring(items: u64, [short, long]: [Numbers; 2], begin: &dyn Fn(Item)) -> Vec<Over> {
    // The same times for all sides and rounds.
    let mut random = fastrand::Rng::with_seed(7);
    let mean = (SHORT.as_secs_f64() + LONG.as_secs_f64() / LONG_EACH as f64) / (WORKERS as f64 * BUSY);
    let in_flight = Arc::new(AtomicU64::new(0));
    let (sender, over) = mpsc::channel();
    let mut due = Instant::now();
    for number in 0..items {
        due += Duration::from_secs_f64(-mean * (1.0 - random.f64()).ln());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let requested = Instant::now();
        while in_flight.load(Ordering::Relaxed) >= IN_FLIGHT {
            std::thread::sleep(SHORT);
        }
        in_flight.fetch_add(1, Ordering::Relaxed);
        let is_long = number % LONG_EACH == LONG_EACH / 2;
        let numbers = if is_long { long } else { short };
        begin(Item { number, numbers, is_long, requested, in_flight: Arc::clone(&in_flight), over: sender.clone() });
    }
    drop(sender);
    let over: Vec<Over> = over.into_iter().collect();
    assert_eq!(over.len() as u64, items);
    over
}

fn figures(over: &[Over]) -> Figures {
    let percentiles = |is_long: bool| {
        let mut times: Vec<Duration> =
            over.iter().filter(|over| over.is_long == is_long).map(|over| over.took).collect();
        times.sort();
        let at = |percent: usize| times.get((times.len().max(1) - 1) * percent / 100).copied().unwrap_or_default();
        [50, 99].map(|percent| at(percent).as_secs_f64() * 1e6)
    };
    let ([p50, p99], [long, _]) = (percentiles(false), percentiles(true));
    vec![("us, short, p50", p50), ("us, short, p99", p99), ("us, long, p50", long)]
}

fn side(name: &'static str, run: impl Fn(u64) -> Vec<Over> + 'static) -> Side {
    let met = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&met);
    Side {
        name,
        run: Box::new(move |items| {
            let over = run(items);
            let short = || over.iter().filter(|over| !over.is_long).map(|over| over.took);
            let sum = short().sum::<Duration>().mul_f64(items as f64 / short().count().max(1) as f64);
            met.borrow_mut().extend(over);
            sum
        }),
        also: Box::new(move || figures(&std::mem::take(&mut *told.borrow_mut()))),
    }
}

/// An iteration is an item, and its time the mean of the short ones.
pub(crate) fn case() -> Case {
    let guest = SHA256.guest();
    let numbers = [SHORT, LONG].map(|time| SHA256.lasting(time));
    let ours = Processes::new(&guest, "", |builder| builder.allocator(allocator()));
    let tokio = TokioTasks::new(&Settings::tuned(guest.binary.len(), Preempt::Epoch), &guest);
    let begin_ours = move |item: Item| {
        let start = ours.start(item.numbers, item.number).watch(move |_: &_, exit: &Exit| {
            let Exit::Returned(answer) = exit else { panic!("a guest failed: {exit}") };
            item.is_over(answer.as_i64().expect("a number"));
        });
        drop(ours.ours.runtime.manager().spawn(start).expect("a host with room"));
    };
    let ours = side(OURS, move |items| bring(items, numbers, &begin_ours));
    let tokio = side(TOKIO, move |items| {
        let begin = |item: Item| {
            drop(tokio.begin(item.numbers.argument(item.number), move |answer| item.is_over(answer)));
        };
        tokio.awake(|| bring(items, numbers, &begin))
    });
    Case { per_iteration: Throughput::Elements(1), sides: vec![ours, tokio] }
}
