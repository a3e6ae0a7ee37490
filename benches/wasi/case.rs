//! One thing that is measured on several sides, by criterion or in turns.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

/// How much a run does.
pub(crate) struct Sizes {
    pub(crate) sleepers: [usize; 3],
    pub(crate) timers: usize,
    pub(crate) echo_guests: [u64; 2],
    pub(crate) file_bytes: u64,
}

impl Sizes {
    /// Tiny for `--test`, which only asks whether it runs, and smaller than usual for `--quick`.
    pub(crate) fn of(arguments: &[String]) -> Sizes {
        let asks = |option: &str| arguments.iter().any(|argument| argument == option);
        if asks("--test") {
            Sizes { sleepers: [1, 5, 20], timers: 1000, echo_guests: [1, 4], file_bytes: 1 << 20 }
        } else if asks("--quick") {
            Sizes { sleepers: [1, 100, 1000], timers: 10_000, echo_guests: [1, 64], file_bytes: 64 << 20 }
        } else {
            Sizes { sleepers: [1, 1000, 10_000], timers: 100_000, echo_guests: [1, 64], file_bytes: 64 << 20 }
        }
    }
}

/// Who is measured.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    /// Does the work so many times and says what it took.
    pub(crate) run: Box<dyn FnMut(u64) -> Duration>,
    /// What a time alone does not tell, for the end.
    pub(crate) note: Box<dyn FnMut() -> String>,
}

impl Side {
    pub(crate) fn new(name: &'static str, run: impl FnMut(u64) -> Duration + 'static) -> Side {
        Side { name, run: Box::new(run), note: Box::new(String::new) }
    }
}

pub(crate) const OURS: &str = "wippy";
pub(crate) const PEER: &str = "wasmtime-wasi + tokio";

/// The sides of one comparison, ours first.
pub(crate) struct Case {
    pub(crate) per_iteration: Throughput,
    pub(crate) sides: Vec<Side>,
}

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(700);

impl Case {
    /// Lets the sides work in turns and prints medians and ratios to ours.
    pub(crate) fn in_turns(&mut self, name: &str, rounds: usize) {
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); self.sides.len()];
        let mut cpu_times = times.clone();
        let mut iterations = Vec::new();
        for side in &mut self.sides {
            iterations.push(calibrate(&mut side.run));
            // What the calibration noted is not part of it.
            (side.note)();
        }
        for _ in 0..rounds {
            for (at, (side, &iterations)) in self.sides.iter_mut().zip(&iterations).enumerate() {
                let before = cpu_time();
                times[at].push((side.run)(iterations).as_secs_f64() / iterations as f64);
                cpu_times[at].push((cpu_time() - before).as_secs_f64() / iterations as f64);
            }
        }
        println!("{name}");
        let mut ours = None;
        for ((side, times), cpu_times) in self.sides.iter_mut().zip(&mut times).zip(&mut cpu_times) {
            let (median, cpu_time) = (sorted(times), sorted(cpu_times));
            let ours: f64 = *ours.get_or_insert(median);
            let (least, most) = (micros(times[0]), micros(times[times.len() - 1]));
            println!(
                "  {:<26} {:>12.2} us  [{least:.2} {most:.2}]  x{:.2} of ours  {:.2} us of CPU  {}  {}",
                side.name,
                micros(median),
                median / ours,
                micros(cpu_time),
                self.per_iteration.in_time(median),
                (side.note)(),
            );
        }
    }
}

/// Sorts, and gives the median.
fn sorted(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What all threads of this program have computed so far: of the servers nothing, and hardly touched by others' load.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn micros(seconds: f64) -> f64 {
    seconds * 1e6
}

trait InTime {
    fn in_time(&self, seconds: f64) -> String;
}

impl InTime for Throughput {
    fn in_time(&self, seconds: f64) -> String {
        match self {
            Throughput::Bytes(bytes) => format!("{:.0} MiB/s", *bytes as f64 / seconds / f64::from(1 << 20)),
            Throughput::Elements(count) => format!("{:.0}/s", *count as f64 / seconds),
            _ => String::new(),
        }
    }
}

/// How many iterations fill a turn.
fn calibrate(run: &mut dyn FnMut(u64) -> Duration) -> u64 {
    let mut iterations = 1;
    loop {
        let begin = Instant::now();
        run(iterations);
        let took = begin.elapsed();
        if took >= TURN / 4 {
            let fits = TURN.as_secs_f64() / took.as_secs_f64() * iterations as f64;
            return (fits as u64).max(1);
        }
        iterations *= 4;
    }
}

/// Has criterion measure the sides one after the other.
pub(crate) fn measure(criterion: &mut Criterion, name: &str, case: &dyn Fn() -> Case) {
    // Made by the first side that is not filtered out.
    let made: RefCell<Option<Case>> = RefCell::new(None);
    let mut group = criterion.benchmark_group(format!("wasi/{name}"));
    for (at, side) in [OURS, PEER].into_iter().enumerate() {
        let mut note = None;
        group.bench_function(side, |bencher| {
            let mut made = made.borrow_mut();
            let case = made.get_or_insert_with(case);
            let side = &mut case.sides[at];
            bencher.iter_custom(|iterations| (side.run)(iterations));
            note = Some((side.note)());
        });
        if let Some(note) = note.filter(|note| !note.is_empty()) {
            eprintln!("{name}: {side}: {note}");
        }
    }
    group.finish();
}
