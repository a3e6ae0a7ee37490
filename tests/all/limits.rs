//! Every limit under, at and over: guests that compute, sleep or are in a host call, under a clock that the tests move.

/// Memory of the host on behalf of a guest.
mod buffers;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use wippy::process::{Exit, Payload, ProcessHandle, SpawnError, Start, State};
use wippy::reactor::Clock;
use wippy::registry::LimitsSpec;

use super::support::{House, text_app};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Entries of guests in text form, beside those of the fixtures: `text: NAME` names one of `guests`.
pub(crate) fn house(guests: &[(&str, &str)], entries: &str, clock: Clock) -> House {
    House::of(text_app(guests, entries), clock)
}

/// One entry of `guest` for each set of limits, called `l0`, `l1` and so on.
fn entries(guest: &str, method: &str, limits: &[&str]) -> String {
    let line = |(at, limits): (usize, &&str)| {
        format!("- {{ name: l{at}, kind: process.wasm, {guest}, method: {method}, limits: {{ {limits} }} }}\n")
    };
    limits.iter().enumerate().map(line).collect()
}

#[track_caller]
pub(crate) fn exceeded(exit: &Exit, limit: &str, allowed: &str) -> String {
    let Exit::LimitExceeded(found) = exit else { panic!("expected `{limit}`, found {exit:?}") };
    assert_eq!((found.limit, found.allowed.as_str()), (limit, allowed));
    found.used.clone()
}

pub(crate) fn returned(value: i64) -> Exit {
    Exit::Returned(Payload::Int(value))
}

#[track_caller]
fn end(process: &ProcessHandle) -> Exit {
    process.wait_timeout(PATIENCE).unwrap_or_else(|| panic!("no end: {process:?}"))
}

/// Grows a memory or a table and says what came of it; then traps, if it is told to.
const GROWER: &str = r#"(module
    (memory (export "memory") 1)
    (table $table 0 funcref)
    (func (export "memory-then") (param $pages i32) (param $traps i32) (result i32)
        (local $came i32)
        (local.set $came (memory.grow (local.get $pages)))
        (if (local.get $traps) (then unreachable))
        (local.get $came))
    (func (export "again-then") (param $pages i32) (param $traps i32) (result i32)
        (drop (memory.grow (local.get $pages)))
        (drop (memory.grow (i32.const 1)))
        (if (local.get $traps) (then unreachable))
        (memory.size))
    (func (export "table") (param $elements i32) (result i32)
        (table.grow $table (ref.null func) (local.get $elements))))"#;

#[test]
fn memory_grows_up_to_its_limit() {
    let text = |method: &str| {
        format!(
            "- {{ name: {method}, kind: process.wasm, text: grower, method: {method}, limits: {{ max_memory: 256KiB }} }}\n"
        )
    };
    let entries = ["memory-then", "again-then", "table"].map(text).concat();
    let house = house(&[("grower", GROWER)], &entries, Clock::real());
    // One page is there from the start.
    assert_eq!(house.run("memory-then", &["2", "0"]), returned(1), "under");
    assert_eq!(house.run("memory-then", &["3", "0"]), returned(1), "at");
    assert_eq!(house.run("memory-then", &["4", "0"]), returned(-1), "over: refused, and the guest goes on");
    // Tables and memories together: 24,576 references of eight bytes are three pages.
    assert_eq!(house.run("table", &["24576"]), returned(0), "at");
    assert_eq!(house.run("table", &["24577"]), returned(-1), "over");
    // What it makes of a refusal decides: a trap after one is the limit's, but not after a growth that was granted.
    assert_eq!(exceeded(&house.run("memory-then", &["4", "1"]), "max_memory", "256 KiB"), "320 KiB");
    assert!(matches!(house.run("memory-then", &["3", "1"]), Exit::Trapped(_)), "it was granted");
    assert!(matches!(house.run("again-then", &["4", "1"]), Exit::Trapped(_)), "the second was granted");
    assert_eq!(house.run("again-then", &["4", "0"]), returned(2));
    // Beyond what a memory can be: no limit's fault.
    assert!(matches!(house.run("memory-then", &["65536", "1"]), Exit::Trapped(_)));
}

#[test]
fn all_memories_of_a_process_count_together() {
    let two = r#"(module (memory 1) (memory 2) (func (export "run") (result i32) (memory.grow 0 (i32.const 1))))"#;
    let limits = ["max_memory: 192KiB", "max_memory: 191KiB", "max_memory: 256KiB", "max_memory: 0"];
    let house = house(&[("two", two)], &entries("text: two", "run", &limits), Clock::real());
    assert_eq!(house.run("l0", &[]), returned(-1), "at: it starts, and grows no more");
    assert_eq!(exceeded(&house.run("l1", &[]), "max_memory", "191 KiB"), "192 KiB");
    assert_eq!((house.run("l2", &[]), house.run("l3", &[])), (returned(1), returned(1)));
}

#[test]
fn a_gibibyte_is_the_limit_where_nobody_says_anything() {
    let house = house(&[("grower", GROWER)], &entries("text: grower", "memory-then", &[""]), Clock::real());
    assert_eq!(house.run("l0", &["16383", "0"]), returned(1), "at");
    assert_eq!(house.run("l0", &["16384", "0"]), returned(-1), "over");
}

const DEEP: &str = r#"(module
    (func $deep (export "deep") (param $levels i32) (result i32)
        (if (result i32) (local.get $levels)
            (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get $levels) (i32.const 1)))))
            (else (i32.const 0)))))"#;

#[test]
fn a_stack_is_of_the_class_that_has_what_was_asked_for() {
    let limits = ["max_stack: 1", "", "max_stack: 1MiB", "max_stack: 1025KiB", "max_stack: 0"];
    let house = house(&[("deep", DEEP)], &entries("text: deep", "deep", &limits), Clock::real());
    let stacks = ["256 KiB", "1 MiB", "1 MiB", "4 MiB", "16 MiB"];
    for (at, stack) in stacks.into_iter().enumerate() {
        let entry = format!("l{at}");
        assert_eq!(house.run(&entry, &["1000"]), returned(1000), "{stack}");
        let process = house.start(&entry, &["100000000"]).expect("a process");
        exceeded(&end(&process), "max_stack", stack);
        let report = process.report().expect("it has ended");
        assert_eq!(report.limits.max_stack, Some([256 << 10, 1 << 20, 1 << 20, 4 << 20, 16 << 20][at]));
    }
    // What overflows the smallest runs in the next: the classes are stacks, not names.
    let deepest = (1..)
        .map(|power| 1000 << power)
        .find(|levels| matches!(house.run("l0", &[&levels.to_string()]), Exit::LimitExceeded(_)));
    let levels = deepest.expect("some depth is too much");
    assert_eq!(house.run("l2", &[&levels.to_string()]), returned(levels));
}

#[test]
fn fuel_is_the_same_at_each_run() {
    let limits = ["max_fuel: 1_000_000", ""];
    let house = House::new(&entries("guest: spinner", "spin-for", &limits));
    let run = |fuel: u64| {
        let limits = LimitsSpec { max_fuel: Some(fuel), ..LimitsSpec::default() };
        let host = "app:processes".parse().expect("an ID");
        let start = Start::new("app:l0".parse().expect("an ID"), host).input([Payload::Int(100)]).limits(limits);
        end(&house.runtime.manager().spawn(start).expect("a process"))
    };
    let (mut low, mut high) = (0, 1 << 20);
    while low + 1 < high {
        let middle = (low + high) / 2;
        if run(middle) == returned(100) { high = middle } else { low = middle }
    }
    // What this loop costs: the budget's promise is that it is this number everywhere.
    assert_eq!(high, 902, "instructions of a hundred rounds");
    for _ in 0..3 {
        assert_eq!(run(high), returned(100), "at");
        exceeded(&run(low), "max_fuel", &format!("{low} instructions"));
    }
    exceeded(&house.run("l0", &["1000000"]), "max_fuel", "1000000 instructions");
    assert_eq!(house.run("l1", &["1000000"]), returned(1_000_000), "without a budget nothing is counted");
}

#[test]
fn fuel_ends_a_start_function_too() {
    let starts = r#"(module (func $start (loop $again (br $again))) (start $start) (func (export "run")))"#;
    let house = house(&[("starts", starts)], &entries("text: starts", "run", &["max_fuel: 1000"]), Clock::real());
    exceeded(&house.run("l0", &[]), "max_fuel", "1000 instructions");
}

/// Takes a second page of memory as a sign that it computes, and then does, without end. What runs a start function, though it
/// does nothing, is on a stack of its own from the beginning: no time is lost on an attempt without.
const SPINNER: &str = r#"(module (memory 1) (func $start) (start $start)
    (func (export "spin") (drop (memory.grow (i32.const 1))) (loop $again (br $again))))"#;

pub(crate) fn computes(process: &ProcessHandle) -> bool {
    process.state() == State::Running && process.usage().memory() == 2 << 16
}

#[test]
fn only_time_in_steps_is_cpu_time() {
    let clock = Clock::manual();
    let spin = entries("text: spinner", "spin", &["max_cpu: 5ms"]);
    let sleep = "- { name: sleep, kind: process.wasm, guest: sleeper, method: sleep-many, imports: [wasi:clocks, wasi:poll], limits: { max_cpu: 5ms } }";
    let house = house(&[("spinner", SPINNER)], &format!("{spin}{sleep}"), clock.clone());
    let spinner = house.start("l0", &[]).expect("a process");
    until("it computes", || computes(&spinner));
    clock.advance(Duration::from_nanos(4_999_999)).expect("a manual clock");
    for _ in 0..100 {
        // Ticks without time.
        clock.advance(Duration::ZERO).expect("a manual clock");
        std::thread::sleep(Duration::from_micros(50));
    }
    assert_eq!(spinner.exit(), None, "under");
    clock.advance(Duration::from_nanos(1)).expect("a manual clock");
    assert_eq!(exceeded(&end(&spinner), "max_cpu", "5ms"), "5ms");
    let report = spinner.report().expect("it has ended");
    assert_eq!((report.cpu, report.wall), (Duration::from_millis(5), Duration::from_millis(5)));
    let sleeper = house.start("sleep", &["1000", "3"]).expect("a process");
    for turn in 1..=3 {
        until("it sleeps", || sleeper.state() == State::Blocked && sleeper.steps() == turn);
        clock.advance(Duration::from_secs(1)).expect("a manual clock");
    }
    assert_eq!(end(&sleeper), returned(3), "three seconds of sleep are no time");
    let report = sleeper.report().expect("it has ended");
    assert_eq!((report.cpu, report.wall), (Duration::ZERO, Duration::from_secs(3)));
}

#[test]
fn a_slice_is_as_long_as_was_asked_for() {
    let clock = Clock::manual();
    let spin = entries("text: spinner", "spin", &["", "max_step: 4ms"]);
    let one = "- { name: one, kind: process.host, host: { workers: 1 } }\n";
    let house = house(&[("spinner", SPINNER)], &format!("{one}{spin}"), clock.clone());
    let start = |entry: &str| {
        let start = Start::new(format!("app:{entry}").parse().expect("an ID"), "app:one".parse().expect("an ID"));
        house.runtime.manager().spawn(start).expect("a process")
    };
    let tick = || {
        clock.advance(Duration::from_millis(1)).expect("a manual clock");
        std::thread::sleep(Duration::from_millis(1));
    };
    // Two of a kind share a worker. A tick that meets nobody who computes only makes a slice longer.
    for (entry, slice) in [("l0", 1), ("l1", 4)] {
        let pair = [start(entry), start(entry)];
        let preemptions = || pair.iter().map(|process| process.usage().preemptions()).sum::<u64>();
        until("one of them computes", || pair.iter().any(computes));
        let mut ticks_of_slices = Vec::new();
        for turn in 1..=6 {
            let mut ticks = 0;
            until("the end of a slice", || {
                preemptions() == turn || {
                    tick();
                    ticks += 1;
                    false
                }
            });
            ticks_of_slices.push(ticks);
        }
        assert!(ticks_of_slices.iter().all(|ticks| *ticks >= slice), "{entry}: {ticks_of_slices:?}");
        assert!(ticks_of_slices.iter().any(|ticks| *ticks < slice + 3), "{entry}: {ticks_of_slices:?}");
        for process in &pair {
            process.terminate();
        }
        until("both have ended", || {
            pair.iter().all(|process| process.exit().is_some()) || {
                tick();
                false
            }
        });
        // Turn by turn.
        let own = pair.each_ref().map(|process| process.report().expect("it has ended").preemptions);
        assert!(own[0].abs_diff(own[1]) <= 1, "{entry}: {own:?}");
    }
}

/// Writes a line of five bytes so many times.
const WRITER: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\64\00\00\00\05\00\00\00")
    (data (i32.const 100) "line\n")
    (func (export "write") (param $times i32) (param $fd i32) (result i32)
        (loop $again
            (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 16)))
            (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
        (i32.const 0)))"#;

#[test]
fn output_ends_at_its_limit() {
    let preview1 = entries("text: writer", "write", &["max_output: 20", "max_output: 0"]);
    let component = "- { name: command, kind: process.wasm, guest: command, method: run, imports: [wasi:cli, wasi:io], limits: { max_output: 15 } }";
    let house = house(&[("writer", WRITER)], &format!("{preview1}{component}"), Clock::real());
    let run = |times: &str, fd: &str| {
        let process = house.start("l0", &[times, fd]).expect("a process");
        (end(&process), process.report().expect("it has ended").bytes_out)
    };
    for fd in ["1", "2"] {
        assert_eq!(run("3", fd), (returned(0), 15), "under");
        assert_eq!(run("4", fd), (returned(0), 20), "at");
        let (exit, written) = run("5", fd);
        assert_eq!((exceeded(&exit, "max_output", "20 bytes").as_str(), written), ("25 bytes", 20));
    }
    assert_eq!(house.run("l1", &["1000", "1"]), returned(0), "zero is none");
    // Streams of a component: a line of `args: ["command"]` is too much.
    exceeded(&house.run("command", &[]), "max_output", "15 bytes");
}

#[test]
fn handles_end_at_their_limit() {
    let imports = "imports: [wasi:clocks, wasi:poll]";
    let sleeper = |name: &str, limit: u32| {
        format!(
            "- {{ name: {name}, kind: process.wasm, guest: sleeper, method: sleep-poll, {imports}, limits: {{ max_handles: {limit} }} }}\n"
        )
    };
    // A pollable is two resources: the deadline and the handle on it.
    let house = House::new(&[sleeper("ten", 10), sleeper("nine", 9)].concat());
    assert_eq!(house.run("ten", &["[0, 0, 0, 0]"]), returned(0), "under");
    assert_eq!(house.run("ten", &["[0, 0, 0, 0, 0]"]), returned(0), "at");
    exceeded(&house.run("ten", &["[0, 0, 0, 0, 0, 0]"]), "max_handles", "10");
    exceeded(&house.run("nine", &["[0, 0, 0, 0, 0]"]), "max_handles", "9");
}

#[test]
fn open_files_end_at_their_limit() {
    let data = tempfile::tempdir().expect("a folder");
    std::fs::write(data.path().join("file"), "text").expect("a file");
    let wasi = "wasi: { mounts: [{ fs: data, guest: /data }] }";
    let files = |name: &str, limits: &str| {
        format!(
            "- {{ name: {name}, kind: process.wasm, guest: files, method: run, imports: [wasi:io, wasi:filesystem], {wasi}, limits: {{ {limits} }} }}\n"
        )
    };
    let house = House::new(&format!(
        "- {{ name: data, kind: fs.directory, directory: '{}' }}\n{}{}{}",
        data.path().display(),
        files("two", "max_open_files: 2"),
        files("handles", "max_handles: 3"),
        "- { name: preview1, kind: process.wasm, guest: files1, method: _start, wasi: { mounts: [{ fs: data, guest: /data }] }, limits: { max_open_files: 2 } }\n",
    ));
    let open = |name: &str| format!("\"open {name} /data file read\"");
    let script = format!("[{}, {}, {}, \"drop a\", {}]", open("a"), open("b"), open("c"), open("c"));
    let answers = |entry: &str, script: &str| match house.run(entry, &[script]) {
        Exit::Returned(Payload::List(answers)) => answers,
        other => panic!("{other:?}"),
    };
    let expected = ["ok", "ok", "insufficient-memory", "ok", "ok"].map(|text| Payload::String(text.to_owned()));
    assert_eq!(answers("two", &script), expected);
    // The mount is a handle, too, and here the table is full.
    assert_eq!(answers("handles", &script), expected);
    assert_eq!(house.run("preview1", &[]), Exit::Exited(0));
    let host = "app:terminal".parse().expect("an ID");
    let lines = ["open 3 file - r -", "open 3 file - r -", "open 3 file - r -", "close 5", "open 3 file - r -"];
    let start = Start::new("app:preview1".parse().expect("an ID"), host);
    let start = start.input(lines.map(|line| Payload::String(line.to_owned())));
    let process = house.runtime.manager().spawn(start).expect("a process");
    // Its answers are on this program's stdout; that it opened four times of five is in what it wrote.
    assert_eq!(end(&process), Exit::Exited(0));
    let written = "ok 4\nok 5\nerrno 33\nok\nok 5\n".len() as u64;
    assert_eq!(process.report().expect("it has ended").bytes_out, written);
}

#[test]
fn open_sockets_end_at_their_limit() {
    let net = |name: &str, limit: u32| {
        format!(
            "- {{ name: {name}, kind: process.wasm, guest: net, method: echo-server, imports: [wasi:sockets, wasi:io], limits: {{ max_open_sockets: {limit} }} }}\n"
        )
    };
    let house = House::new(&[net("one", 1), net("two", 2), net("three", 3)].concat());
    let report = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = report.local_addr().expect("an address").port().to_string();
    // The listener, and the connection by which it tells its port.
    let refused = |exit: Exit| assert!(exit.to_string().contains("new-socket-limit"), "{exit:?}");
    refused(house.run("one", &[&port, "1"]));
    for (entry, served) in [("two", 1), ("three", 2)] {
        let server = house.start(entry, &[&port, "3"]).expect("a process");
        let mut told = [0; 2];
        report.accept().expect("a guest").0.read_exact(&mut told).expect("a port");
        let connect = || TcpStream::connect(("127.0.0.1", u16::from_be_bytes(told))).expect("a connection");
        let mut streams = Vec::new();
        for _ in 0..served {
            let mut stream = connect();
            stream.write_all(b"x").expect("a guest");
            stream.read_exact(&mut [0; 1]).expect("an echo");
            streams.push(stream);
        }
        assert_eq!(server.exit(), None, "at");
        let _one_more = connect();
        refused(end(&server));
    }
}

#[test]
fn instances_and_tables_are_counted() {
    let three = r#"(component
        (core module $m (table 1 funcref) (func (export "f")))
        (core instance $a (instantiate $m)) (core instance $b (instantiate $m)) (core instance $c (instantiate $m))
        (func (export "run") (canon lift (core func $c "f"))))"#;
    let limits = [
        "max_instances: 4",
        "max_instances: 3",
        "max_instances: 2",
        "max_tables: 4",
        "max_tables: 3",
        "max_tables: 2",
        "max_instances: 0, max_tables: 0",
    ];
    let house = house(&[("three", three)], &entries("text: three", "run", &limits), Clock::real());
    for entry in ["l0", "l1", "l3", "l4", "l6"] {
        assert_eq!(house.run(entry, &[]), Exit::Returned(Payload::Nil), "{entry}");
    }
    assert_eq!(exceeded(&house.run("l2", &[]), "max_instances", "2"), "more");
    assert_eq!(exceeded(&house.run("l5", &[]), "max_tables", "2"), "more");
}

#[test]
fn entry_host_and_spawn_settle_a_limit_together() {
    let hosts = "- { name: silent, kind: process.host }
        - { name: defaults, kind: process.host, host: { default_limits: { max_memory: 128KiB, max_stack: 4MiB } } }
        - { name: ceilings, kind: process.host, host: { limits: { max_memory: 192KiB } } }";
    let limits = ["", "max_memory: 256KiB", "max_memory: 0"];
    let guests = entries("text: grower", "memory-then", &limits);
    let house = house(&[("grower", GROWER)], &format!("{hosts}\n{guests}"), Clock::real());
    let memory = |host: &str, entry: &str, own: Option<u64>| {
        let own = LimitsSpec { max_memory: own, ..LimitsSpec::default() };
        let start =
            Start::new(format!("app:{entry}").parse().expect("an ID"), format!("app:{host}").parse().expect("an ID"));
        let start = start.input([Payload::Int(0), Payload::Int(0)]).limits(own);
        let process = house.runtime.manager().spawn(start).expect("a process");
        assert_eq!(end(&process), returned(1));
        let report = process.report().expect("it has ended");
        assert_eq!(report.memory_peak, 64 << 10);
        report.limits
    };
    let kib = |kib: u64| Some(kib << 10);
    let cases = [
        ("silent", "l0", None, kib(1 << 20)),
        ("silent", "l1", None, kib(256)),
        ("silent", "l2", None, None),
        ("defaults", "l0", None, kib(128)),
        ("defaults", "l1", None, kib(256)),
        ("defaults", "l2", None, None),
        ("ceilings", "l0", None, kib(192)),
        ("ceilings", "l1", None, kib(192)),
        ("ceilings", "l2", None, kib(192)),
        ("silent", "l1", Some(100_000), Some(100_000)),
        ("ceilings", "l0", Some(0), kib(192)),
        ("ceilings", "l0", Some(100_000), Some(100_000)),
    ];
    for (host, entry, own, expected) in cases {
        assert_eq!(memory(host, entry, own).max_memory, expected, "{host} {entry} {own:?}");
    }
    assert_eq!(memory("defaults", "l0", None).max_stack, Some(4 << 20), "compiled for it because a host says so");
    // What is compiled in can't be asked for at a spawn when nobody declared it.
    let odd = LimitsSpec { max_fuel: Some(1), ..LimitsSpec::default() };
    let start = Start::new("app:l0".parse().expect("an ID"), "app:silent".parse().expect("an ID"));
    let start = start.input([Payload::Int(0), Payload::Int(0)]).limits(odd);
    let refused = house.runtime.manager().spawn(start).expect_err("no such engine");
    assert!(matches!(&refused, SpawnError::Limits { .. }) && refused.to_string().contains("`max_fuel`"), "{refused}");
}

#[test]
fn a_full_host_refuses_or_lets_wait() {
    let house = House::new(
        "- { name: small, kind: process.host, host: { workers: 1, max_processes: 2 } }
         - { name: line, kind: process.host, host: { workers: 1, max_queued: 1 } }
         - { name: spin, kind: process.wasm, guest: spinner, method: spin }
         - { name: add, kind: process.wasm, guest: math, method: add }",
    );
    let manager = house.runtime.manager();
    let start = |host: &str, entry: &str| {
        let input = if entry == "add" { vec![Payload::Int(1), Payload::Int(2)] } else { vec![] };
        let start =
            Start::new(format!("app:{entry}").parse().expect("an ID"), format!("app:{host}").parse().expect("an ID"));
        start.input(input)
    };
    let busy = |refused: SpawnError| match refused {
        SpawnError::Busy { bound, allowed, live, .. } => (bound, allowed, live),
        other => panic!("{other}"),
    };
    let spinners = [manager.spawn(start("small", "spin")), manager.spawn(start("small", "spin"))].map(Result::unwrap);
    assert_eq!(busy(manager.spawn(start("small", "add")).expect_err("full")), ("max_processes", 2, 2));
    let in_vain = manager.spawn_within(start("small", "add"), Duration::from_millis(1));
    assert_eq!(busy(in_vain.expect_err("nobody leaves")), ("max_processes", 2, 2));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| manager.spawn_within(start("small", "add"), Duration::MAX));
        spinners[0].terminate();
        let process = waiting.join().expect("no panic").expect("room");
        assert_eq!(end(&process), returned(3));
    });
    spinners[1].terminate();
    // One runs; one may wait for its first step, and no more.
    let first = manager.spawn(start("line", "spin")).expect("room");
    until("it runs", || first.steps() > 0);
    let mut waiting = Vec::new();
    let refused = loop {
        // The worker takes one out of the line at each tick.
        match manager.spawn(start("line", "spin")) {
            Ok(process) => waiting.push(process),
            Err(refused) => break refused,
        }
    };
    assert_eq!(busy(refused).0, "max_queued");
    // Wake-ups are never refused: whoever is there goes on, and the line moves.
    until("those in line begin", || waiting.iter().all(|process| process.steps() > 0));
    let last = manager.spawn_within(start("line", "add"), PATIENCE).expect("room");
    assert_eq!(end(&last), returned(3));
    for process in waiting.iter().chain([&first]) {
        process.terminate();
        assert_eq!(end(process), Exit::Terminated);
    }
}
