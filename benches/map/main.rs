//! What an item of a map costs beyond its guest, and whether memory stays the same however many there are.
//!
//! Each item is a fresh instance of a tiny core module that is given the item's number; every side checks every answer. The sides
//! are those of the group `spawn`, ours with `Runtime::map`, which needs no process for such an item, in the order of the inputs and as they end. Beside them:
//!
//! - `threads and a channel`: threads of the standard library that take items from a bounded channel, over the tuned pool.
//! - `xargs, a program each`: `xargs -P2` with a program that loads the compiled module from wasmtime's cache, calls it and ends.
//!
//! What to quote is the CPU of all threads and children an item, above that of the floor. `cargo bench --bench map` lets
//! criterion measure one side after the other, by the wall; `WIPPY_BENCH_ROUNDS=15 cargo bench --bench map [FILTER]` measures the
//! sides in turns, by both. The second case is one map of 1,000,000 items, or as many as `WIPPY_BENCH_ITEMS` says.

#[path = "../common/mod.rs"]
mod common;
mod programs;
mod threads;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::registry::Preempt;

use common::asked::Asked;
use common::case::{Case, Figures, Named, Side};
use common::floor::{Floor, Stack};
use common::guests::{ADDED, Guest};
use common::numbers::Numbers;
use common::processes::Processes;
use common::rayon_pool::RayonPool;
use common::settings::{Settings, WINDOW, allocator};
use common::tokio_tasks::TokioTasks;
use programs::Programs;
use threads::Threads;

/// Workers or threads of each side.
pub(crate) const WORKERS: usize = 2;

/// About how long a turn lasts.
const TURN: Duration = Duration::from_millis(300);

const NUMBERS: Numbers = Numbers::Own { added: ADDED };

const FLOOR: &str = "floor";
const FLOOR_SYNC: &str = "floor, sync";
const ORDERED: &str = "wippy";
const UNORDERED: &str = "wippy, unordered";
const TOKIO: &str = "tokio, tuned";
const RAYON: &str = "rayon, tuned, sync";
const THREADS: &str = "threads and a channel";
const PROGRAMS: &str = "xargs, a program each";

/// The sides of the case that counts by item.
const SIDES: [&str; 8] = [FLOOR, FLOOR_SYNC, ORDERED, UNORDERED, TOKIO, RAYON, THREADS, PROGRAMS];

/// Those that are worth a long run.
const LONG: [&str; 5] = [FLOOR, ORDERED, UNORDERED, TOKIO, THREADS];

/// Something that does this many items.
type Run = Box<dyn FnMut(u64) -> Duration>;

/// What this program holds of the machine's memory, in MiB, as far as the system says.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    held.unwrap_or(0.0) / 1024.0
}

/// Our map over so many items, and what memory it held after a tenth of them and after all.
fn ours(processes: &Processes, items: u64, is_ordered: bool, held: &Cell<[f64; 2]>) -> Duration {
    let begin = Instant::now();
    let map =
        processes.ours.runtime.map("app:run", (0..items).map(|item| [NUMBERS.argument(item)])).expect("the entry");
    let map = if is_ordered { map } else { map.unordered() };
    let (mut done, mut early) = (0, 0.0);
    for item in map {
        NUMBERS.check(item.index, item.result.expect("a result").as_i64().expect("a number"));
        done += 1;
        if done == items / 10 {
            early = resident();
        }
    }
    assert_eq!(done, items);
    held.set([early, resident()]);
    begin.elapsed()
}

/// A side of this name whose iterations are so many items each.
fn side(name: &'static str, guest: &Guest, items: u64) -> Side {
    let size = guest.binary.len();
    let tuned = || Settings::tuned(size, Preempt::Epoch);
    let floor = || Floor::new(|| Settings::ours(allocator(), size, Preempt::Epoch), guest);
    let held = Rc::new(Cell::new([0.0; 2]));
    let noted = Rc::clone(&held);
    let mut run: Run = match name {
        FLOOR | FLOOR_SYNC => {
            let (floor, stack) = (floor(), if name == FLOOR { Stack::Own } else { Stack::Caller });
            Box::new(move |items| floor.run(NUMBERS, items, stack))
        }
        ORDERED | UNORDERED => {
            let processes = Processes::new(guest, "", |builder| builder.allocator(allocator()));
            Box::new(move |items| ours(&processes, items, name == ORDERED, &held))
        }
        TOKIO => {
            let tokio = TokioTasks::new(&tuned(), guest);
            Box::new(move |items| tokio.run(NUMBERS, items, WORKERS * WINDOW))
        }
        RAYON => {
            let rayon = RayonPool::new(&tuned(), guest);
            Box::new(move |items| rayon.run(NUMBERS, items))
        }
        THREADS => {
            let threads = Threads::new(&tuned(), guest);
            Box::new(move |items| threads.run(NUMBERS, items))
        }
        _ => {
            let programs = Programs::new(guest);
            Box::new(move |items| programs.run(NUMBERS, items))
        }
    };
    let is_ours = [ORDERED, UNORDERED].contains(&name);
    Side {
        name,
        run: Box::new(move |iterations| run(iterations * items)),
        also: Box::new(move || {
            let [early, late] = noted.get();
            if is_ours {
                vec![("MiB held after a tenth", early), ("MiB held at the end", late)]
            } else {
                Figures::new()
            }
        }),
    }
}

fn case(names: &[&'static str], items: u64) -> Case {
    let guest = Guest::tiny();
    let sides = names.iter().map(|name| side(name, &guest, items)).collect();
    Case { per_iteration: Throughput::Elements(items), sides }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [program, folder, number] = &arguments[..]
        && program == programs::ARGUMENT
    {
        programs::serve(Path::new(folder), number);
    }
    let asked = Asked::read();
    let items = std::env::var("WIPPY_BENCH_ITEMS").ok().and_then(|items| items.parse().ok());
    let items = items.unwrap_or(asked.size.pick(1000, 20_000, 1_000_000));
    let cases = [
        Named::new("tiny items", &SIDES, || case(&SIDES, 1)),
        Named::new(format!("{items} tiny items in one map"), &LONG, move || case(&LONG, items)),
    ];
    common::group::run("map", &asked, asked.size.pick(TURN / 10, TURN / 2, TURN), 1, &cases);
}
