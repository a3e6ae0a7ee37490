//! `preempt: none`: code without checks keeps its worker, and its host goes on; what ends it and what does not.

use std::process::Stdio;
use std::time::Duration;

use wippy::process::{Exit, Payload, ProcessHandle, SpawnError, Start, State};
use wippy::reactor::Clock;

use super::limits::{computes, exceeded, house, returned, until};
use super::support::{House, Running, app, guest_index, hash_of, run_in, wippy};
use super::threads::threads_of_this_program;

/// Computes, without waiting: until the clock says so (it asks again and again), or for ever.
const COMPUTER: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "\50\00\00\00\05\00\00\00")
    (data (i32.const 80) "spin\n")
    (func (export "until") (param $end i64) (result i64)
        (drop (memory.grow (i32.const 1)))
        (loop $again
            (drop (call $now (i32.const 1) (i64.const 1) (i32.const 0)))
            (br_if $again (i64.lt_u (i64.load (i32.const 0)) (local.get $end))))
        (i64.load (i32.const 0)))
    (func (export "add") (param $one i64) (param $other i64) (result i64)
        (i64.add (local.get $one) (local.get $other)))
    ;; Says so before it does.
    (func (export "spin")
        (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 96)))
        (loop $again (br $again))))"#;

/// Hosts with one worker, of which two allow `preempt: none`, and entries of the computer. Only one test uses `lone`, so that
/// it can count the threads.
const ENTRIES: &str = "- { name: lone, kind: process.host, host: { workers: 1, allow_preempt_none: true } }
    - { name: trusting, kind: process.host, host: { workers: 1, allow_preempt_none: true } }
    - { name: careful, kind: process.host, host: { workers: 1 } }
    - { name: add, kind: process.wasm, text: computer, method: add }
    - { name: until, kind: process.wasm, text: computer, method: until, preempt: none }
    - { name: until-epoch, kind: process.wasm, text: computer, method: until }
    - { name: strict, kind: process.wasm, text: computer, method: until, limits: { max_step: 1ms } }
    - { name: long, kind: process.wasm, text: computer, method: until, preempt: none, limits: { max_step: 4ms } }
    - { name: wall, kind: process.wasm, text: computer, method: until, preempt: none, limits: { max_execution: 5ms } }
    - { name: cpu, kind: process.wasm, text: computer, method: until, preempt: none, limits: { max_cpu: 5ms } }
    - { name: fuel, kind: process.wasm, text: computer, method: spin, preempt: none, limits: { max_fuel: 1_000_000 } }";

const SECOND: i64 = 1_000_000_000;

struct World {
    house: House,
    clock: Clock,
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual();
        Self { house: house(&[("computer", COMPUTER)], ENTRIES, clock.clone()), clock }
    }

    fn spawn(&self, host: &str, entry: &str, input: &[i64]) -> Result<ProcessHandle, SpawnError> {
        let id = |name: &str| format!("app:{name}").parse().expect("an ID");
        let input = input.iter().map(|value| Payload::Int(*value));
        self.house.runtime.manager().spawn(Start::new(id(entry), id(host)).input(input))
    }

    /// Starts a process, which has the worker of its host when this returns.
    fn hold(&self, host: &str, entry: &str) -> ProcessHandle {
        let process = self.spawn(host, entry, &[SECOND]).expect("a host with room");
        until("it has the worker", || computes(&process));
        process
    }

    /// A tick without time.
    fn tick(&self) {
        self.clock.advance(Duration::ZERO).expect("a manual clock");
    }

    fn replacements(&self, host: &str) -> usize {
        let mut hosts = self.house.runtime.manager().hosts();
        let host = hosts.find(|other| other.id().name() == host).expect("it is declared");
        host.stats().map_or(0, |stats| stats.replacements)
    }
}

#[test]
fn beside_a_guest_without_checks_a_replacement_does_the_work() {
    let world = World::new();
    let threads = || threads_of_this_program().iter().filter(|name| name.ends_with(":lone")).count();
    let computer = world.hold("lone", "until");
    let others: Vec<_> =
        (0..100).map(|turn| world.spawn("lone", "add", &[turn, 1]).expect("a host with room")).collect();
    until("the others have ended", || {
        world.tick();
        others.iter().all(|other| other.exit().is_some())
    });
    for (turn, other) in others.iter().enumerate() {
        assert_eq!(other.exit(), Some(returned(turn as i64 + 1)));
    }
    assert_eq!((computer.state(), world.replacements("lone"), threads()), (State::Running, 1, 2));
    world.clock.advance(Duration::from_secs(1)).expect("a manual clock");
    assert_eq!(computer.wait(), returned(SECOND));
    assert_eq!((computer.steps(), computer.usage().preemptions()), (1, 0), "it kept its worker");
    until("the replacement is gone", || world.replacements("lone") == 0 && threads() == 1);
}

#[test]
fn a_replacement_comes_when_the_slice_is_over() {
    let world = World::new();
    let computer = world.hold("trusting", "long");
    let other = world.spawn("trusting", "add", &[1, 1]).expect("a host with room");
    world.clock.advance(Duration::from_nanos(3_999_999)).expect("a manual clock");
    for _ in 0..20 {
        world.tick();
        assert_eq!(world.replacements("trusting"), 0, "its slice is not over, whatever the ticks");
    }
    assert_eq!((computer.state(), other.steps()), (State::Running, 0));
    // One tick is enough: the step was seen to go on before.
    world.clock.advance(Duration::from_nanos(1)).expect("a manual clock");
    assert_eq!(world.replacements("trusting"), 1);
    assert_eq!(other.wait(), returned(2));
    world.clock.advance(Duration::from_secs(1)).expect("a manual clock");
    assert_eq!(computer.wait(), returned(SECOND + 4_000_000));
}

#[test]
fn guests_that_are_soon_over_go_on_unless_they_have_a_slice_of_their_own() {
    const TICK: Duration = Duration::from_millis(1);
    let world = World::new();
    // Whether a guest is preempted that ends after two more ticks, while another one waits.
    let preempted = |entry: &str, gives_way: bool| {
        let now = i64::try_from(world.clock.now().as_nanos()).expect("some milliseconds");
        let computer = world.spawn("careful", entry, &[now + 2_000_000]).expect("a host with room");
        until("it has the worker", || computes(&computer));
        let other = world.spawn("careful", "add", &[1, 1]).expect("a host with room");
        world.clock.advance(TICK).expect("a manual clock");
        if gives_way {
            until("it gives way", || computer.usage().preemptions() > 0);
        }
        world.clock.advance(TICK).expect("a manual clock");
        assert_eq!((computer.wait(), other.wait()), (returned(now + 2_000_000), returned(2)));
        // Twice when it is the turn of the preempted.
        computer.usage().preemptions() > 0
    };
    for entry in ["until-epoch", "strict"] {
        assert!((0..16).all(|_| preempted(entry, true)), "nothing is known of `{entry}` yet");
    }
    assert!((0..4).all(|_| !preempted("until-epoch", false)), "they are known to be soon over");
    assert!((0..4).all(|_| preempted("strict", true)), "it has the slice that it asked for");
}

#[test]
fn a_guest_with_checks_gives_way_and_nobody_is_replaced() {
    let world = World::new();
    let computer = world.hold("trusting", "until-epoch");
    let other = world.spawn("trusting", "add", &[1, 1]).expect("a host with room");
    until("the other has ended", || {
        world.tick();
        other.exit().is_some()
    });
    assert!(computer.usage().preemptions() > 0);
    assert_eq!(world.replacements("trusting"), 0);
    computer.terminate();
    until("it has ended", || {
        world.tick();
        computer.exit().is_some()
    });
}

#[test]
fn limits_and_ends_act_when_the_guest_calls_its_host() {
    let world = World::new();
    for (entry, limit) in [("wall", "max_execution"), ("cpu", "max_cpu")] {
        let computer = world.hold("trusting", entry);
        world.clock.advance(Duration::from_nanos(4_999_999)).expect("a manual clock");
        assert_eq!(computer.exit(), None);
        world.clock.advance(Duration::from_nanos(1)).expect("a manual clock");
        assert_eq!(exceeded(&computer.wait(), limit, "5ms"), "5ms");
    }
    let computer = world.hold("trusting", "until");
    computer.terminate();
    assert_eq!(computer.wait(), Exit::Terminated, "without a tick");
    let counted = world.spawn("trusting", "fuel", &[]).expect("a host with room");
    exceeded(&counted.wait(), "max_fuel", "1000000 instructions");
}

#[test]
fn only_a_host_that_allows_it_takes_a_guest_without_checks() {
    let world = World::new();
    for host in ["careful", "processes", "terminal"] {
        let refused = world.spawn(host, "until", &[0]).expect_err("nobody allowed it");
        assert!(matches!(refused, SpawnError::PreemptNone { .. }), "{refused:?}");
        let expected = format!(
            "`app:until` has `preempt: none`, which host `app:{host}` does not allow: write `allow_preempt_none: true` under \
             `host:` of a `process.host` and start it there"
        );
        assert_eq!(refused.to_string(), expected);
    }
    assert_eq!(world.spawn("trusting", "until", &[0]).expect("it allows it").wait(), returned(0));
}

/// An application on disk around the computer: a terminal and a `process.host`, and entries.
fn computer_app(entries: &str) -> tempfile::TempDir {
    let binary = wat::parse_str(COMPUTER).expect("a sound guest");
    let place = format!("fs: app:texts, path: /computer.wasm, hash: '{}'", hash_of(&binary));
    let entries = entries.replace("text: computer", &place);
    let index = format!("- {{ name: texts, kind: fs.directory, directory: . }}\n{entries}");
    let app = app(&[("_index.yaml", &guest_index(&index))]);
    std::fs::write(app.path().join("computer.wasm"), binary).expect("a file");
    app
}

#[test]
fn a_check_tells_what_preempt_none_costs() {
    let entry =
        |more: &str| format!("- {{ name: add, kind: process.wasm, text: computer, method: add, preempt: none{more} }}");
    let check = |entries: &str| {
        let said = run_in(computer_app(entries).path(), ["check"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        format!("{}{}", said.stdout, said.stderr)
    };
    let told = check(&entry(""));
    assert!(told.contains("no host takes an entry with `preempt: none`"), "{told}");
    let host = |more: &str| {
        format!("- {{ name: trusting, kind: process.host, host: {{ allow_preempt_none: true{more} }} }}\n{}", entry(""))
    };
    assert!(!check(&host("")).contains("preempt"), "nothing to tell");
    let told = check(&host(", limits: { max_execution: 1s, max_cpu: 1s }, default_limits: { max_step: 5ms }"));
    for said in ["`max_execution` ends no loop", "`max_cpu` ends no loop"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert!(!told.contains("max_step"), "{told}");
    let own = format!(
        "- {{ name: trusting, kind: process.host, host: {{ allow_preempt_none: true }} }}\n{}",
        entry(", limits: { max_cpu: 1s }")
    );
    assert!(check(&own).contains("`max_cpu` ends no loop"));
}

#[test]
fn a_loop_without_checks_is_left_behind_and_the_program_ends() {
    let entries = "- { name: trusting, kind: process.host, host: { workers: 1, allow_preempt_none: true } }\n\
                   - { name: spin, kind: process.wasm, text: computer, method: spin, preempt: none }\n";
    let app = computer_app(entries);
    let mut command = wippy();
    command.arg("-C").arg(app.path()).args(["-v", "--set", "shutdown.timeout=0s", "run", "--host", "app:trusting"]);
    let mut running = Running::start(command.args(["-x", "app:spin"]).stderr(Stdio::piped()));
    let mut log = std::io::BufReader::new(running.child().stderr.take().expect("a pipe"));
    let mut told = String::new();
    // Its own line: an end that is asked for before it computes would reach it.
    while !told.lines().any(|line| line.contains("guest") && line.contains("spin")) {
        assert!(std::io::BufRead::read_line(&mut log, &mut told).expect("text") > 0, "{told}");
    }
    running.signal("TERM");
    std::io::Read::read_to_string(&mut log, &mut told).expect("text");
    assert_eq!(running.end().code, Some(143));
    assert!(told.contains("`app:spin` did not end by force either and is left behind"), "{told}");
}
