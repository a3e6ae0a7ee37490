//! What a script costs as a process: its start and its end, a little work, calls of a guest, and values that go between
//! coroutines; beside bare mlua doing the same in the same run, see `bare`.
//!
//! Bare mlua makes a VM for each run too, from bytecode as we do, but without a sandbox, modules, a hook, limits or a
//! scheduler: what is left is what these cost. Ours has one worker and bare mlua one thread. The short cases have some
//! processes in flight, so that the worker always has a next one; nobody waits for a thread to wake up.
//!
//! `cargo bench --bench lua` lets criterion measure one side after the other. On a machine that others use as well,
//! `WIPPY_BENCH_ROUNDS=9 cargo bench --bench lua [FILTER]` measures the sides in turns and prints the median of each and
//! their ratios to ours, which is what to quote; those of CPU time are hardly touched by others. `--test` makes everything
//! small; the names carry the sizes.

mod bare;
#[path = "../common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::process::{Payload, ProcessHandle};
use wippy::runtime::TICK;

use bare::{Bare, Guest, Libraries};
use common::asked::Asked;
use common::case::{Case, Named, Side};
use common::ours::{Ours, result};

/// Workers of our side; bare mlua has one thread.
pub(crate) const WORKERS: usize = 1;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(300);

const OURS: &str = "wippy";
const OURS_EXEC: &str = "wippy, process.exec";
const MLUA: &str = "mlua";
const MLUA_LIBRARIES: &str = "mlua, our libraries";
const MLUA_RESUMED: &str = "mlua, resumed by turns";
const MLUA_WRAP: &str = "mlua, coroutine.wrap";

const EMPTY: &str = include_str!("empty.lua");
const WORK: &str = include_str!("work.lua");
const CALLS: &str = include_str!("calls.lua");
const EXEC: &str = include_str!("exec.lua");
const CALL: &str = include_str!("call.lua");
const CHANNELS: &str = include_str!("channels.lua");
const RESUMES: &str = include_str!("resumes.lua");
const TURNS: &str = include_str!("turns.lua");

/// How much a run does.
#[derive(Clone, Copy)]
struct Size {
    /// Runs of an iteration; all of our processes are in flight at once.
    runs: u32,
    /// The argument of `main`.
    count: u32,
}

impl Size {
    /// A side that does all runs with this.
    fn side(self, name: &'static str, expected: Option<i64>, run: impl Fn(u32) -> Option<i64> + 'static) -> Side {
        Side::new(name, move |iterations| {
            timed(iterations, || (0..self.runs).for_each(|_| assert_eq!(run(self.count), expected)))
        })
    }

    /// Our side, with `entries` beside that of the script.
    fn ours(self, name: &'static str, script: &str, entries: &str, expected: Option<i64>) -> Side {
        let entry = "name: script, kind: process.lua, method: main, modules: [funcs]";
        let script = format!("- {{ {entry}, source: {script:?} }}\n");
        let ours = Ours::new(&(script + entries), TICK);
        Side::new(name, move |iterations| {
            timed(iterations, || {
                let running: Vec<ProcessHandle> =
                    (0..self.runs).map(|_| ours.spawn("script", [Payload::from(self.count)])).collect();
                for process in running {
                    assert_eq!(result(process.wait()).as_i64(), expected);
                }
            })
        })
    }
}

fn timed(iterations: u64, mut work: impl FnMut()) -> Duration {
    let begin = Instant::now();
    (0..iterations).for_each(|_| work());
    begin.elapsed()
}

/// What bare mlua does.
type BareRun = Box<dyn Fn(u32) -> Option<i64>>;

/// A script of ours, and what bare mlua does beside it, with the same result.
fn beside(script: &str, size: Size, elements: u32, bare: Vec<(&'static str, BareRun)>) -> Case {
    let expected = bare[0].1(size.count);
    let mut sides = vec![size.ours(OURS, script, "", expected)];
    sides.extend(bare.into_iter().map(|(name, run)| size.side(name, expected, run)));
    Case { per_iteration: Throughput::Elements(u64::from(elements)), sides }
}

/// A process that does what the script does, from its start to its end.
fn life(script: &'static str, size: Size) -> Case {
    let (safe, libraries) = (Bare::new(script, Libraries::Safe), Bare::new(script, Libraries::Ours));
    let bare: Vec<(_, BareRun)> = vec![
        (MLUA, Box::new(move |count| safe.run(count))),
        (MLUA_LIBRARIES, Box::new(move |count| libraries.run(count))),
    ];
    beside(script, size, size.runs, bare)
}

/// Calls of a wasm function that adds two numbers, each with an instance of its own: of a function, and of a process.
fn calls(size: Size) -> Case {
    let (bare, guest) = (Bare::new(CALL, Libraries::Safe), Guest::new());
    let expected = bare.run_with(&guest, size.count);
    let sides = vec![
        size.ours(OURS, CALLS, "- { name: add, kind: function.wasm, guest: math, method: add }\n", expected),
        size.side(MLUA, expected, move |count| bare.run_with(&guest, count)),
        size.ours(OURS_EXEC, EXEC, "- { name: add, guest: math, method: add }\n", expected),
    ];
    Case { per_iteration: Throughput::Elements(u64::from(size.count)), sides }
}

/// Values that go to another coroutine and come back: over two channels, and by bare resumes.
fn ping_pong(size: Size) -> Case {
    let (wrap, turns) = (Bare::new(RESUMES, Libraries::Safe), Bare::new(TURNS, Libraries::Safe));
    let bare: Vec<(_, BareRun)> = vec![
        (MLUA_RESUMED, Box::new(move |count| turns.run_in_turns(count))),
        (MLUA_WRAP, Box::new(move |count| wrap.run(count))),
    ];
    beside(CHANNELS, size, size.count, bare)
}

/// The same script on both sides: one coroutine resumes another one.
fn resumes(size: Size) -> Case {
    let bare = Bare::new(RESUMES, Libraries::Safe);
    beside(RESUMES, size, size.count, vec![(MLUA, Box::new(move |count| bare.run(count)))])
}

fn main() {
    let asked = Asked::read();
    let (runs, entries, count) = asked.size.pick((2, 10, 3), (64, 100, 1000), (64, 100, 1000));
    let lives = [OURS, MLUA, MLUA_LIBRARIES];
    let (short, long) = (Size { runs, count: entries }, Size { runs: 1, count });
    let cases = [
        Named::new(format!("vm start, {runs} in flight"), &lives, move || life(EMPTY, short)),
        Named::new(format!("spawn to exit with {entries} entries, {runs} in flight"), &lives, move || {
            life(WORK, short)
        }),
        Named::new(format!("{count} calls of a tiny guest"), &[OURS, MLUA, OURS_EXEC], move || calls(long)),
        Named::new(format!("channel ping-pong, {count} times"), &[OURS, MLUA_RESUMED, MLUA_WRAP], move || {
            ping_pong(long)
        }),
        Named::new(format!("{count} resumes"), &[OURS, MLUA], move || resumes(long)),
    ];
    common::group::run("lua", &asked, TURN, 1, &cases);
}
