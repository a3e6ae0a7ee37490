//! Measuring sides in turns, so that what else the machine does meets all of them alike.

use std::time::{Duration, Instant};

use criterion::Throughput;

use crate::case::Case;

/// Between two turns: threads of the last one have gone to sleep when the next one begins.
const REST: Duration = Duration::from_millis(25);

/// What one turn of one side took, an iteration.
#[derive(Clone, Copy)]
struct Turn {
    wall: f64,
    /// Of all threads of this program.
    cpu: f64,
}

impl Case {
    /// Lets the sides work in turns of about this length and prints the median of each, and the medians of its ratios to
    /// the first sides, of which `references` are what the others are compared with: a ratio is that of two turns of the
    /// same round.
    pub(crate) fn in_turns(&mut self, name: &str, rounds: usize, turn: Duration, references: usize) {
        let mut turns: Vec<Vec<Turn>> = vec![Vec::new(); self.sides.len()];
        let mut iterations = Vec::new();
        for side in &mut self.sides {
            iterations.push(calibrate(&mut side.run, turn));
            // What the calibration noted is not part of it.
            (side.note)();
        }
        for _ in 0..rounds {
            for ((side, turns), &iterations) in self.sides.iter_mut().zip(&mut turns).zip(&iterations) {
                std::thread::sleep(REST);
                let before = cpu_time();
                let wall = (side.run)(iterations).as_secs_f64() / iterations as f64;
                turns.push(Turn { wall, cpu: (cpu_time() - before).as_secs_f64() / iterations as f64 });
            }
        }
        println!("{name}");
        let names: Vec<_> = self.sides.iter().map(|side| side.name).collect();
        for (side, own) in self.sides.iter_mut().zip(&turns) {
            let mut walls: Vec<f64> = own.iter().map(|turn| turn.wall).collect();
            let wall = median(&mut walls);
            let (least, most) = (micros(walls[0]), micros(walls[walls.len() - 1]));
            let cpu = median(&mut own.iter().map(|turn| turn.cpu).collect::<Vec<_>>());
            println!(
                "  {:<26} {:>12.2} us  [{least:.2} {most:.2}]  {:.2} us of CPU  {}  {}",
                side.name,
                micros(wall),
                micros(cpu),
                self.per_iteration.in_time(wall),
                (side.note)(),
            );
            for (reference, theirs) in names.iter().zip(&turns).take(references) {
                if *reference != side.name {
                    let ratio = |of: fn(&Turn) -> f64| {
                        median(&mut own.iter().zip(theirs).map(|(own, their)| of(own) / of(their)).collect::<Vec<_>>())
                    };
                    let (wall, cpu) = (ratio(|turn| turn.wall), ratio(|turn| turn.cpu));
                    println!("  {:<26}   x{wall:.3} of {reference} by the wall, x{cpu:.3} of its CPU", "");
                }
            }
        }
    }
}

/// Sorts, and gives the one in the middle.
fn median(values: &mut [f64]) -> f64 {
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
