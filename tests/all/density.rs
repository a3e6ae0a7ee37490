//! A crowd that sleeps: what each process of it takes, and that all of it wakes. `WIPPY_TEST_SIZE=long` has 100,000 of each
//! kind; `WIPPY_TEST_CROWD` says another number.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wippy::Runtime;
use wippy::process::{Exit, Payload, ProcessHandle, Start, State};
use wippy::reactor::Clock;
use wippy::runtime::Allocator;

use super::support::{Said, app, guest_index, hash_of};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(900);

/// The most that a sleeping process has in memory, in KiB. Without optimisation frames and futures are larger.
const RESIDENT_MAX: f64 = if cfg!(debug_assertions) { 40.0 } else { 24.0 };

/// The most memory mappings of the whole program, crowd or not.
const MAPPINGS_MAX: usize = 1000;

/// A core module with one page that sleeps a second, writes and reads its memory before and after, and returns 3.
const SLEEPER: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "\01\00\00\00\00\00\00\00\00\ca\9a\3b")
    (func (export "sleep") (param i32) (result i32)
        (i32.store (i32.const 512) (local.get 0))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
        (i32.add (i32.load (i32.const 512)) (i32.load (i32.const 516)))))"#;

/// The same as a component.
const SLEEPING_COMPONENT: &str = r#"(component
    (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $own (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $own))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $own (eq $outer)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $own))))))
    (core func $subscribe (canon lower (func $clock "subscribe-duration")))
    (core func $block (canon lower (func $poll "[method]pollable.block")))
    (core module $guest
        (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
        (import "host" "block" (func $block (param i32)))
        (memory 1)
        (func (export "sleep") (param i32) (result i32)
            (i32.store (i32.const 512) (local.get 0))
            (call $block (call $subscribe (i64.const 1000000000)))
            (i32.add (i32.load (i32.const 512)) (i32.load (i32.const 516)))))
    (core instance $made (instantiate $guest (with "host" (instance
        (export "subscribe" (func $subscribe)) (export "block" (func $block))))))
    (func (export "sleep") (param "number" s32) (result s32) (canon lift (core func $made "sleep"))))"#;

fn crowd() -> usize {
    let said = std::env::var("WIPPY_TEST_CROWD").ok().and_then(|count| count.parse().ok());
    let is_long = std::env::var("WIPPY_TEST_SIZE").is_ok_and(|size| size == "long");
    said.unwrap_or(if is_long { 100_000 } else { 2000 })
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The memory mappings of this program.
fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").expect("Linux").lines().count()
}

/// What the system says of the memory of this program, in KiB.
fn kib(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("Linux");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Whether this system has all that a crowd takes.
fn has_guard_marks() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(13))
}

#[test]
fn a_crowd_sleeps_in_little_memory_and_wakes() {
    for kind in ["core", "component"] {
        let own = std::env::current_exe().expect("this program");
        let mut command = Command::new(own);
        command
            .args(["--ignored", "--exact", "density::the_program_of_the_crowd", "--nocapture"])
            .env("WIPPY_TEST_CROWD_KIND", kind)
            .stdin(Stdio::null());
        let said = Said::of(command.output().expect("the program starts"));
        eprint!("{}", said.stdout);
        assert!(said.code == Some(0) && said.stdout.contains("the end\n"), "{kind}: {}", said.golden());
    }
}

/// No test: the crowd in a program of its own.
#[test]
#[ignore = "run as a program by another test"]
fn the_program_of_the_crowd() {
    let Ok(kind) = std::env::var("WIPPY_TEST_CROWD_KIND") else { return };
    let count = crowd();
    let text = if kind == "core" { SLEEPER } else { SLEEPING_COMPONENT };
    let binary = wat::parse_str(text).expect("a sound guest");
    let index = format!(
        "- {{ name: crowded, kind: process.host, host: {{ workers: 2, max_processes: 4000000 }} }}\n\
         - {{ name: texts, kind: fs.directory, directory: . }}\n\
         - {{ name: sleeper, kind: process.wasm, fs: app:texts, path: /sleeper.wasm, hash: '{}', method: sleep{} }}\n",
        hash_of(&binary),
        if kind == "core" { "" } else { ", imports: [wasi:clocks, wasi:poll]" }
    );
    let app = app(&[("_index.yaml", &guest_index(&index))]);
    fs::write(app.path().join("sleeper.wasm"), binary).expect("a file");
    let clock = Clock::manual();
    let runtime = Runtime::builder().load(app.path()).cache(false).clock(clock.clone()).allocator(Allocator::Slab);
    let runtime = runtime.build().unwrap_or_else(|error| panic!("{error:?}"));
    let spawn = |at: usize| {
        let at = i64::try_from(at).expect("a small number");
        let id = |name: &str| format!("app:{name}").parse().expect("an ID");
        runtime.manager().spawn(Start::new(id("sleeper"), id("crowded")).input(vec![Payload::Int(at)]))
    };
    // What the first ones bring with them is not each one's.
    let first: Vec<_> = (0..100).map(|at| spawn(at).expect("room")).collect();
    let sleeps = |process: &ProcessHandle| process.state() == State::Blocked || process.exit().is_some();
    until("the first ones sleep", || first.iter().all(sleeps));
    let (resident, tables) = (kib("VmRSS:"), kib("VmPTE:"));
    let start = Instant::now();
    let mut crowd = Vec::with_capacity(count);
    for at in 0..count {
        match spawn(at) {
            Ok(process) => crowd.push(process),
            Err(refused) => {
                println!("{kind}: {refused}");
                break;
            }
        }
    }
    until("all sleep", || crowd.iter().rev().all(sleeps));
    let each = |what: &str, before: f64| (kib(what) - before) / crowd.len() as f64;
    let (resident, tables, mapped) = (each("VmRSS:", resident), each("VmPTE:", tables), mappings());
    println!(
        "{kind}: {} processes asleep after {:?}, {mapped} mappings in all; each has {resident:.1} KiB resident and {tables:.1} \
         KiB of page tables",
        crowd.len(),
        start.elapsed(),
    );
    let start = Instant::now();
    until("all wake", || {
        clock.advance(Duration::from_secs(1)).expect("a manual clock");
        crowd.iter().rev().all(|process| process.exit().is_some())
    });
    for (at, process) in crowd.iter().enumerate() {
        let number = i64::try_from(at).expect("a small number");
        assert_eq!(process.exit(), Some(Exit::Returned(Payload::Int(number))));
    }
    println!("{kind}: all ended well after {:?}; {:.0} MiB resident", start.elapsed(), kib("VmRSS:") / 1024.0);
    drop((first, crowd));
    if has_guard_marks() {
        assert!(mapped <= MAPPINGS_MAX, "{mapped}");
        assert!(resident <= RESIDENT_MAX, "{resident}");
    }
    println!("the end");
}
