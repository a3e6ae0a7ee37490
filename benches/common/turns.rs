//! Measuring sides in turns, so that what else the machine does meets all of them alike.

use std::time::{Duration, Instant};

use criterion::Throughput;

use super::case::Case;
use super::record::{self, Record, Time, Turns};
use super::settings::allocator;
use super::stats::Estimate;

/// Between two turns: threads of the last one have gone to sleep when the next one begins.
const REST: Duration = Duration::from_millis(25);

/// A case takes no further round when it has taken this long and has [`ROUNDS_MIN`].
const CASE: Duration = Duration::from_secs(60);
const ROUNDS_MIN: usize = 5;

/// Which case it is.
pub(crate) struct Place<'a> {
    pub(crate) group: &'a str,
    pub(crate) at: usize,
    pub(crate) case: &'a str,
}

impl Case {
    /// Lets the sides work in turns of about this length, prints the median of each, and the medians of its ratios to the
    /// first sides, of which `references` are what the others are compared with, and keeps all turns in a file. A ratio is that
    /// of two turns of the same round.
    pub(crate) fn in_turns(&mut self, place: &Place<'_>, rounds: usize, turn: Duration, references: usize) {
        let mut sides: Vec<Turns> = Vec::new();
        for side in &mut self.sides {
            let iterations = calibrate(&mut side.run, turn);
            // What the calibration told is not part of it.
            (side.also)();
            sides.push(Turns { side: side.name.into(), iterations, wall: vec![], cpu: vec![], also: vec![] });
        }
        let begin = Instant::now();
        for round in 0..rounds {
            if round >= ROUNDS_MIN && begin.elapsed() > CASE {
                break;
            }
            // Nobody always comes behind the same one.
            let count = sides.len();
            for at in (round..round + count).map(|at| at % count) {
                let (side, turns) = (&mut self.sides[at], &mut sides[at]);
                std::thread::sleep(REST);
                let before = cpu_time();
                let wall = (side.run)(turns.iterations);
                let cpu = cpu_time() - before;
                turns.wall.push(wall.as_secs_f64() / turns.iterations as f64);
                turns.cpu.push(cpu.as_secs_f64() / turns.iterations as f64);
                for (at, (what, figure)) in (side.also)().into_iter().enumerate() {
                    if turns.also.len() == at {
                        turns.also.push((what.into(), vec![]));
                    }
                    turns.also[at].1.push(figure);
                }
            }
        }
        println!("{}: {}", place.group, place.case);
        for turns in &sides {
            self.tell(turns, &sides[..references]);
        }
        let elements = match self.per_iteration {
            Throughput::Elements(elements) => elements,
            _ => 1,
        };
        let (group, case) = (place.group.to_owned(), place.case.to_owned());
        let allocator = allocator().to_string();
        keep(&Record { group, at: place.at, case, allocator, elements, references, sides });
    }

    fn tell(&self, turns: &Turns, references: &[Turns]) {
        let wall = Estimate::of(turns.wall.iter().copied());
        let cpu = Estimate::of(turns.cpu.iter().copied());
        let micros = |seconds: f64| seconds * 1e6;
        println!(
            "  {:<26} {:>12.2} us  [{:.2} {:.2}]  {:.2} us of CPU  {}",
            turns.side,
            micros(wall.median),
            micros(wall.low),
            micros(wall.high),
            micros(cpu.median),
            self.per_iteration.in_time(wall.median),
        );
        for (what, figures) in &turns.also {
            let Estimate { median, low, high } = Estimate::of(figures.iter().copied());
            println!("  {:<26}   {what} {median:.1}  [{low:.1} {high:.1}]", "");
        }
        for reference in references.iter().filter(|reference| reference.side != turns.side) {
            let (wall, cpu) = (Time::Wall.ratio(turns, reference), Time::Cpu.ratio(turns, reference));
            println!(
                "  {:<26}   x{:.3} [{:.3} {:.3}] of the CPU of {}, x{:.3} by the wall",
                "", cpu.median, cpu.low, cpu.high, reference.side, wall.median
            );
        }
    }
}

fn keep(record: &Record) {
    let folder = record::folder();
    std::fs::create_dir_all(&folder).expect("a folder");
    let text = serde_json::to_string(record).expect("plain values");
    std::fs::write(folder.join(format!("{}-{}.json", record.group, record.at)), text).expect("a file");
}

/// What all threads of this program, and its children that were waited for, have computed so far: of servers that go on
/// nothing, and hardly touched by others' load.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let own = Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    own + children_time().unwrap_or_default()
}

/// In steps of 10 ms, which is how Linux tells it.
fn children_time() -> Option<Duration> {
    const STEP: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name of the program, which may have blanks, 13 fields come before user and system time of children.
    let (_, fields) = stat.rsplit_once(')')?;
    let steps: u32 = fields.split_whitespace().skip(13).take(2).map(|field| field.parse().unwrap_or(0)).sum();
    Some(STEP * steps)
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
fn calibrate(run: &mut dyn FnMut(u64) -> Duration, turn: Duration) -> u64 {
    let mut iterations = 1;
    loop {
        let begin = Instant::now();
        run(iterations);
        let took = begin.elapsed();
        if took >= turn / 4 {
            let fits = turn.as_secs_f64() / took.as_secs_f64() * iterations as f64;
            return (fits as u64).max(1);
        }
        iterations *= 4;
    }
}
