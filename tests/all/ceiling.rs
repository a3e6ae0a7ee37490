//! As many processes as there can be, and one more. `WIPPY_TEST_SIZE=long` goes to the ceiling of this machine, in a
//! program of its own.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource as SystemLimit, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use wippy::process::{Exit, Payload, ProcessHandle, SpawnError, Start, State};
use wippy::reactor::Clock;
use wippy::runtime::Allocator;
use wippy::{BuildError, Runtime, RuntimeBuilder};

use super::support::{Said, app, fixture, guest_app, guest_index, hash_of, run_in};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(300);

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A core module that sleeps a second and returns 3, with `more` in it.
fn sleeper(more: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 20)
            (data (i32.const 16) "\01\00\00\00\00\00\00\00\00\ca\9a\3b")
            {more}
            (func (export "sleep") (result i32)
                (i32.add (i32.const 3) (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#
    );
    wat::parse_str(text).expect("a sound guest")
}

/// Tables of a greedy guest.
const GREED: usize = 60;

/// A core module that lets its memory and its tables grow as far as it may, sleeps a second and returns how many tables came
/// to the size from which on the allocator maps them.
fn greedy() -> Vec<u8> {
    let tables: String = (0..GREED).map(|at| format!("(table $t{at} 1 funcref)\n")).collect();
    let grow = |at| {
        format!(
            "(local.set $grown (i32.add (local.get $grown)
                (i32.ne (i32.const -1) (table.grow $t{at} (ref.null func) (i32.const 16400)))))\n"
        )
    };
    let grow: String = (0..GREED).map(grow).collect();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 0)
            {tables}
            (func (export "sleep") (result i32) (local $grown i32)
                (loop $again
                    (drop (memory.grow (i32.const 1)))
                    (br_if $again (i32.lt_u (memory.size) (i32.const 50))))
                {grow}
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (i64.const 1000000000))
                (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
                (local.get $grown)))"#
    );
    wat::parse_str(text).expect("a sound guest")
}

/// Sleepers of every kind that takes mappings of its own, and two hosts.
struct Sleepers {
    runtime: Runtime,
    clock: Clock,
    _app: tempfile::TempDir,
}

/// A component with a memory; a binary whose data is mapped; a module with three memories and a large table.
const KINDS: [&str; 3] = ["component", "large", "wide"];

impl Sleepers {
    fn new(max_processes: u64) -> Self {
        Self::with(|builder| builder.max_processes(max_processes))
    }

    fn with(settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Self {
        let app = tempfile::tempdir().expect("a folder");
        let data = format!("(data (i32.const 65536) \"{}\")", "x".repeat(600 << 10));
        let wide = "(memory 1) (memory 1) (table 20000 funcref)";
        let mut index = String::from(
            "- { name: other, kind: process.host, host: { workers: 1 } }\n\
             - { name: texts, kind: fs.directory, directory: . }\n\
             - { name: component, kind: process.wasm, guest: sleeper, method: sleep-many, imports: [wasi:clocks, wasi:poll] }\n",
        );
        for (name, binary) in [("large", sleeper(&data)), ("wide", sleeper(wide)), ("greedy", greedy())] {
            let hash = hash_of(&binary);
            index.push_str(&format!(
                "- {{ name: {name}, kind: process.wasm, fs: app:texts, path: /{name}.wasm, hash: '{hash}', method: sleep }}\n"
            ));
            fs::write(app.path().join(format!("{name}.wasm")), binary).expect("a file");
        }
        fs::write(app.path().join("_index.yaml"), guest_index(&index)).expect("a file");
        let clock = Clock::manual();
        let builder = Runtime::builder().load(app.path()).cache(false).clock(clock.clone());
        let runtime = settings(builder).build();
        Self { runtime: runtime.unwrap_or_else(|error| panic!("{error:?}")), clock, _app: app }
    }

    fn start(kind: &str, host: &str) -> Start {
        let id = |name: &str| format!("app:{name}").parse().expect("an ID");
        let input = if kind == "component" { vec![Payload::Int(1000), Payload::Int(3)] } else { Vec::new() };
        Start::new(id(kind), id(host)).input(input)
    }

    fn spawn(&self, kind: &str, host: &str) -> Result<ProcessHandle, SpawnError> {
        self.runtime.manager().spawn(Self::start(kind, host))
    }

    fn live(&self) -> u64 {
        self.runtime.ceiling().live()
    }

    /// Moves the clock until this many have ended, and all of them well.
    fn wake(&self, processes: &[ProcessHandle]) {
        self.wake_for(3, processes);
    }

    /// As [`wake`](Self::wake), with another result.
    fn wake_for(&self, result: i64, processes: &[ProcessHandle]) {
        until("all return", || {
            self.clock.advance(Duration::from_secs(1)).expect("a manual clock");
            processes.iter().all(|process| process.exit().is_some())
        });
        for process in processes {
            assert_eq!(process.exit(), Some(Exit::Returned(Payload::Int(result))));
        }
    }
}

#[test]
fn threads_fill_a_small_ceiling_to_the_last_process() {
    const CEILING: usize = 50;
    let sleepers = Sleepers::new(CEILING as u64);
    // Several threads, two hosts, every kind of guest, until nobody gets in.
    let fill = |thread: usize| {
        let (kind, host) = (KINDS[thread % KINDS.len()], ["processes", "other"][thread % 2]);
        let mut mine = Vec::new();
        loop {
            match sleepers.spawn(kind, host) {
                Ok(process) => mine.push(process),
                Err(refused) => return (mine, refused),
            }
        }
    };
    let filled: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|thread| scope.spawn(move || fill(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    for (_, refused) in &filled {
        let SpawnError::Busy { bound, allowed, live, .. } = refused else { panic!("{refused}") };
        assert_eq!((*bound, *allowed, *live), ("max_processes of the runtime", CEILING, CEILING));
        assert!(refused.to_string().contains("RuntimeBuilder::max_processes"), "{refused}");
    }
    let first: Vec<_> = filled.into_iter().flat_map(|(mine, _)| mine).collect();
    assert_eq!((first.len(), sleepers.live()), (CEILING, CEILING as u64));
    until("all sleep", || first.iter().all(|process| process.state() == State::Blocked));
    // Those that wait get in as others end, and never more than there is room for.
    let over = AtomicBool::new(false);
    let waiting = |thread: usize| {
        let start = || Sleepers::start(KINDS[thread % KINDS.len()], ["processes", "other"][thread % 2]);
        let spawn = || {
            let spawned = sleepers.runtime.manager().spawn_within(start(), PATIENCE).expect("room");
            over.fetch_or(sleepers.live() > CEILING as u64, Ordering::Relaxed);
            spawned
        };
        (0..25).map(|_| spawn()).collect::<Vec<_>>()
    };
    let later: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|thread| scope.spawn(move || waiting(thread))).collect();
        sleepers.wake(&first);
        until("all have got in", || {
            sleepers.clock.advance(Duration::from_secs(1)).expect("a manual clock");
            threads.iter().all(std::thread::ScopedJoinHandle::is_finished)
        });
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    sleepers.wake(&later);
    assert_eq!((later.len(), sleepers.live(), over.into_inner()), (150, 0, false));
}

/// Spawns until nobody gets in, and tells how many have: the bound is that of the pool.
fn fill_pool(sleepers: &Sleepers, kind: &str) -> Vec<ProcessHandle> {
    let mut processes = Vec::new();
    loop {
        match sleepers.spawn(kind, "processes") {
            Ok(process) => processes.push(process),
            Err(SpawnError::Busy { bound, allowed, live, .. }) => {
                assert_eq!(
                    (bound, allowed, live),
                    ("slots for memories and stacks", processes.len(), processes.len()),
                    "{kind}"
                );
                return processes;
            }
            Err(refused) => panic!("{refused}"),
        }
    }
}

#[test]
fn a_pool_is_a_ceiling_at_which_nothing_fails() {
    const SLOTS: u32 = 31;
    let sleepers = Sleepers::with(|builder| builder.allocator(Allocator::Pool { slots: SLOTS }));
    // A slot has a memory and four tables. In a pool a large table takes no mapping, so all of them grow.
    for (kind, each, result) in [("component", 1, 3), ("large", 1, 3), ("wide", 3, 3), ("greedy", 15, GREED as i64)] {
        // More than once, so that slots are used again.
        for _ in 0..3 {
            let processes = fill_pool(&sleepers, kind);
            assert_eq!(processes.len(), 31 / each, "{kind}");
            until("all sleep", || processes.iter().all(|process| process.state() == State::Blocked));
            sleepers.wake_for(result, &processes);
        }
    }
    // Who waits gets the slot of who ends.
    let full = fill_pool(&sleepers, "wide");
    let last = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let start = || Sleepers::start("wide", "other");
            (0..20)
                .map(|_| sleepers.runtime.manager().spawn_within(start(), PATIENCE).expect("room"))
                .collect::<Vec<_>>()
        });
        sleepers.wake(&full);
        until("all have got in", || {
            sleepers.clock.advance(Duration::from_secs(1)).expect("a manual clock");
            waiting.is_finished()
        });
        waiting.join().expect("no panic")
    });
    sleepers.wake(&last);
    assert_eq!(sleepers.live(), 0);
}

#[test]
fn what_does_not_fit_a_slot_is_told_when_it_is_loaded() {
    let binary = sleeper("(table 1048577 funcref)");
    let index = format!(
        "- {{ name: texts, kind: fs.directory, directory: . }}\n\
         - {{ name: huge, kind: process.wasm, fs: app:texts, path: /huge.wasm, hash: '{}', method: sleep }}\n",
        hash_of(&binary)
    );
    let app = app(&[("_index.yaml", &guest_index(&index))]);
    fs::write(app.path().join("huge.wasm"), binary).expect("a file");
    let build = |allocator| Runtime::builder().load(app.path()).cache(false).allocator(allocator).build();
    assert!(build(Allocator::OnDemand).is_ok());
    let Err(BuildError::Configuration(problems)) = build(Allocator::Pool { slots: 2 }) else { panic!("it fits") };
    let told = problems.iter().map(|problem| format!("{problem:?}")).collect::<String>();
    assert!(told.contains("1048577 which exceeds the limit of 1048576"), "{told}");
}

#[test]
fn the_command_line_has_a_pool_too() {
    let run = |allocator: &str| run_in(&fixture("apps/hello"), ["run", "--allocator", allocator, "greet", "World"]);
    let on_demand = run("on-demand");
    assert_eq!(on_demand.code, Some(0), "{}", on_demand.golden());
    for allocator in ["slab", "pool=2", "pool"] {
        assert_eq!(run(allocator).golden(), on_demand.golden());
    }
    let wrong = run("pool=0");
    assert_eq!(wrong.code, Some(2), "{}", wrong.golden());
    assert!(wrong.stderr.contains("`pool=SLOTS` with 1 to 16384 slots, found `pool=0`"), "{}", wrong.stderr);
}

#[test]
fn the_lower_of_host_and_runtime_is_the_bound() {
    let sleepers = Sleepers::new(0);
    let probed = sleepers.runtime.ceiling().bounds();
    assert!(!probed.is_empty() && probed.iter().all(|bound| bound.room() > 0), "{probed:?}");
    let bounded = Sleepers::new(7);
    assert_eq!(bounded.runtime.ceiling().bounds().len(), probed.len() + 1, "the machine bounds as before");
}

/// This program again, as the test of that name, with an environment that makes it run.
fn program(mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--ignored", "--exact", "ceiling::the_program_at_its_ceiling", "--nocapture"])
        .env("WIPPY_TEST_CEILING", mode)
        .stdin(Stdio::null());
    command
}

#[track_caller]
fn run(mode: &str) {
    let said = Said::of(program(mode).output().expect("the program starts"));
    eprint!("{}", said.stdout);
    assert!(said.code == Some(0) && said.stdout.contains("the end\n"), "{mode}: {}", said.golden());
}

#[test]
fn address_space_is_a_ceiling_too() {
    run("address space");
}

#[test]
fn the_machines_ceiling_is_reached_and_left() {
    if std::env::var("WIPPY_TEST_SIZE").is_ok_and(|size| size == "long") {
        run("memory mappings");
    }
}

/// Address space of the program that has little of it, in bytes.
const LITTLE: u64 = 64 << 30;

/// No test: fills the ceiling of its own program with each kind of process.
#[test]
#[ignore = "run as a program by another test"]
fn the_program_at_its_ceiling() {
    let Ok(mode) = std::env::var("WIPPY_TEST_CEILING") else { return };
    if mode == "address space" {
        let maximum = getrlimit(SystemLimit::As).maximum;
        setrlimit(SystemLimit::As, Rlimit { current: Some(LITTLE), maximum }).expect("a lower limit");
    }
    // Where a process takes most mappings, so that these are the bound.
    let sleepers = Sleepers::with(|builder| builder.allocator(Allocator::OnDemand));
    for kind in KINDS {
        fill_and_leave(&sleepers, kind, &mode);
    }
    if mode == "memory mappings" {
        grow_at_the_ceiling(&sleepers);
    }
    println!("the end");
}

/// Guests that grow what they have when the machine has nothing left but 200 mappings: they get these and no more.
fn grow_at_the_ceiling(sleepers: &Sleepers) {
    const LEFT: usize = 200;
    const GREEDY: usize = 20;
    const MAPPINGS: usize = 5;
    let mut processes: Vec<_> = std::iter::from_fn(|| sleepers.spawn("component", "processes").ok()).collect();
    until("all sleep", || processes.iter().all(|process| process.state() == State::Blocked));
    for process in processes.drain(..LEFT / MAPPINGS + GREEDY) {
        process.terminate();
        assert_eq!(process.wait(), Exit::Terminated);
    }
    let greedy: Vec<_> = (0..GREEDY).map(|_| sleepers.spawn("greedy", "other").expect("room")).collect();
    until("all have grown", || greedy.iter().all(|process| process.state() == State::Blocked));
    println!("greedy: {} mappings in all", mappings());
    assert!(sleepers.spawn("component", "processes").is_err(), "nothing is left");
    sleepers.wake(&processes);
    let grown = greedy.iter().map(|process| match process.wait() {
        Exit::Returned(Payload::Int(grown)) => usize::try_from(grown).expect("a number of tables"),
        other => panic!("{other:?}"),
    });
    let grown: Vec<_> = grown.collect();
    println!("greedy: {grown:?} of {GREED} tables");
    let left = grown.iter().sum::<usize>();
    assert!((LEFT..LEFT + MAPPINGS).contains(&left), "what was left, and what is left of a ceiling: {left}");
}

fn fill_and_leave(sleepers: &Sleepers, kind: &str, bound: &str) {
    let (mappings, resident, tables) = (mappings(), kib("VmRSS:"), kib("VmPTE:"));
    let mut processes = Vec::new();
    let refused = loop {
        match sleepers.spawn(kind, "processes") {
            Ok(process) => processes.push(process),
            Err(refused) => break refused,
        }
    };
    println!("{kind}: {refused}");
    let SpawnError::Busy { bound: found, allowed, live, .. } = &refused else { panic!("{refused}") };
    assert_eq!((*found, *allowed, *live), (bound, processes.len(), processes.len()));
    assert!(processes.len() >= 3, "{refused}");
    until("all sleep or have ended", || {
        processes.iter().all(|process| process.state() == State::Blocked || process.exit().is_some())
    });
    let ended: Vec<_> = processes.iter().filter_map(ProcessHandle::exit).take(3).collect();
    assert!(ended.is_empty(), "whoever is let in can run: {ended:?}");
    // The host has room to work: threads, with stacks and arenas, and buffers that are mapped.
    let buffers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(|| vec![1_u8; 1 << 20])).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect::<Vec<_>>()
    });
    assert_eq!(buffers.len(), 32);
    drop(buffers);
    let count = processes.len();
    println!(
        "{kind}: {count} processes, {} mappings in all; each has {:.2}, {:.1} KiB resident and {:.1} KiB of page tables",
        self::mappings(),
        self::mappings().saturating_sub(mappings) as f64 / count as f64,
        kib("VmRSS:").saturating_sub(resident) as f64 / count as f64,
        kib("VmPTE:").saturating_sub(tables) as f64 / count as f64,
    );
    // One leaves, one comes in, and no second.
    processes[0].terminate();
    assert_eq!(processes.remove(0).wait(), Exit::Terminated);
    processes.push(sleepers.spawn(kind, "other").expect("room for one"));
    assert!(matches!(sleepers.spawn(kind, "other"), Err(SpawnError::Busy { .. })));
    sleepers.wake(&processes);
    assert_eq!(sleepers.live(), 0);
    let again: Vec<_> = (0..3).map(|_| sleepers.spawn(kind, "other").expect("room")).collect();
    sleepers.wake(&again);
}

/// The memory mappings of this program.
fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").expect("Linux").lines().count()
}

/// What the system says of the memory of this program, in KiB.
fn kib(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("Linux");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[test]
fn where_nothing_fits_the_program_says_so() {
    // 5 GiB of address space are less than one memory, the program and its reserve.
    let run = format!(
        "ulimit -v 4700000; exec '{}' -C '{}' run greet World",
        env!("CARGO_BIN_EXE_wippy"),
        fixture("apps/hello").display()
    );
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let output = Command::new("sh").args(["-c", &run]).env("XDG_CACHE_HOME", cache).output().expect("a shell");
    let said = Said::of(output);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.golden());
    assert_eq!(
        said.stderr,
        "error: no process like this fits here: the bound is address space, and what raises it is: ulimit -v unlimited\n"
    );
}

/// What `wippy doctor` says of an application, with little address space.
fn doctor(app: &std::path::Path, words: &str) -> Said {
    let run = format!("ulimit -v 70000000; exec '{}' doctor {words}", env!("CARGO_BIN_EXE_wippy"));
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut command = Command::new("sh");
    command.args(["-c", &run]).current_dir(app).env("XDG_CACHE_HOME", cache);
    Said::of(command.output().expect("a shell"))
}

#[test]
fn the_doctor_tells_the_ceiling_and_what_raises_it() {
    let entries = ["", "max_fuel: 5", "max_stack: 3MiB"].map(|limits| {
        format!(
            "- {{ kind: process.wasm, guest: math, method: add, limits: {{ {limits} }}, name: l{} }}\n",
            limits.len()
        )
    });
    let app = guest_app(&entries.concat());
    let said = doctor(app.path(), "--json");
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.golden());
    let report: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&report),
        "allocator application bounds cache ceiling cores descriptors kernel memories tick_ms workers"
    );
    for bound in report["bounds"].as_array().expect("a list") {
        assert_eq!(keys(bound), "in_use large limit name raise reserved small unit");
        assert!(!bound["raise"].as_str().expect("a text").is_empty(), "{bound}");
    }
    let reason = "the address space is limited (`ulimit -v`)";
    assert_eq!(report["memories"], json!({ "from": "on-demand", "without_slabs": reason }));
    for size in ["small", "large"] {
        let ceiling = &report["ceiling"][size];
        let least = report["bounds"].as_array().expect("a list").iter().filter_map(|bound| bound[size].as_u64()).min();
        assert_eq!((ceiling["processes"].as_u64(), least.is_some_and(|least| least < 20)), (least, true), "{ceiling}");
        assert_eq!((&ceiling["bound"], &ceiling["raise"]), (&json!("address space"), &json!("ulimit -v unlimited")));
    }
    let engine =
        |stack: u64, fuel: bool| json!({ "stack": stack << 20, "image": "copied", "fuel": fuel, "dense": false });
    let engines = report["application"]["engines"].as_array().expect("a list");
    for expected in [engine(1, false), engine(1, true), engine(4, false)] {
        assert!(engines.contains(&expected), "{expected} in {engines:?}");
    }
    assert_eq!(engines.len(), 3, "{engines:?}");
}

#[test]
fn the_doctor_speaks_in_aligned_columns_whatever_the_application() {
    let text = |files: &[(&str, &str)]| {
        let said = doctor(app(files).path(), "");
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.golden());
        said.stdout
    };
    let none = text(&[]);
    let heads: Vec<_> = none.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic())).collect();
    assert_eq!(heads, ["Machine", "What bounds the number of processes", "Ceiling", "Application"]);
    assert!(none.ends_with("\nApplication\n  none in `.`\n"), "{none}");
    assert!(none.contains(" of a large binary (4 MiB), by address space\n"), "{none}");
    let mut rows = none.lines().skip_while(|line| !line.contains("raised by")).take_while(|line| !line.is_empty());
    let column = rows.next().and_then(|head| head.find("raised by")).expect("a table");
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() >= 3, "{none}");
    for row in rows {
        let (numbers, raise) = row.split_at(column);
        assert!(numbers.ends_with("  ") && !numbers.ends_with("   ") && !raise.starts_with(' '), "{row}");
    }
    let broken =
        text(&[("_index.yaml", "version: '1.0'\nnamespace: app\nentries:\n- { name: t, kind: terminal.hots }\n")]);
    assert!(broken.contains("1 error: `wippy check` tells more"), "{broken}");
}
