//! Processes that go on as other scripts: what stays, what does not, and that nothing escapes its limits that way. What scripts
//! can see of it they try themselves, see `fixtures/apps/lua-core/upgrade`.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use wippy::Runtime;
use wippy::process::{Exit, Payload, ProcessHandle, Start};
use wippy::reactor::Clock;
use wippy::registry::LimitsSpec;

use crate::support::{House, Said, app, fixture, guest_index, wippy};
use crate::yielding::stage::until;

const PATIENCE: Duration = Duration::from_secs(120);

fn runtime() -> Runtime {
    Runtime::builder().load(fixture("apps/lua-core")).build().expect("an application")
}

fn spawn<const N: usize>(runtime: &Runtime, entry: &str, input: [Payload; N]) -> ProcessHandle {
    runtime.spawn(&format!("app:{entry}"), input).expect("a process")
}

fn end(process: &ProcessHandle) -> Exit {
    process.wait_timeout(PATIENCE).unwrap_or_else(|| panic!("{} has not ended", process.pid()))
}

fn with_limits(runtime: &Runtime, limits: LimitsSpec, input: impl IntoIterator<Item = Payload>) -> ProcessHandle {
    let start = Start::new("app:chain".parse().expect("an ID"), "app:processes".parse().expect("an ID"));
    runtime.manager().spawn(start.input(input).limits(limits)).expect("a process")
}

#[test]
fn scripts_see_the_same_process_in_a_new_life() {
    let runtime = runtime();
    let exit = end(&spawn(&runtime, "upgrades", []));
    assert_eq!(exit, Exit::Returned(Payload::Int(14)), "{exit}");
}

#[test]
fn the_list_of_processes_has_the_entry_that_runs() {
    let runtime = runtime();
    let process = spawn(&runtime, "first", ["plain".into(), "wait".into()]);
    let entry = || runtime.manager().processes().first().map(|process| process.entry.to_string());
    until("it is the second one", || entry().as_deref() == Some("app:second"));
    assert_eq!(process.entry().to_string(), "app:first", "it was started as the first one");
    runtime.manager().find(process.pid()).expect("the same process").cancel("enough");
    assert_eq!(end(&process), Exit::Returned("enough".into()));
}

#[test]
fn a_thousand_lives_take_no_more_memory_than_one() {
    let runtime = runtime();
    let peak = |lives: u32, ballast: &str| {
        let process = spawn(&runtime, "chain", [lives.into(), ballast.into()]);
        assert_eq!(end(&process), Exit::Returned(Payload::from(ballast.len() as i64)));
        assert_eq!(process.usage().memory(), 0);
        process.usage().memory_peak()
    };
    // Small ones are dropped on the worker, large ones on the blocking pool.
    for (lives, ballast) in [(1000, 10), (30, 5 << 20)] {
        let ballast = "x".repeat(ballast);
        let (few, many) = (peak(2, &ballast), peak(lives, &ballast));
        assert!(many < few * 5 / 4, "{few} bytes after 2 lives, {many} after {lives}");
    }
}

#[test]
fn limits_count_over_all_lives() {
    let runtime = runtime();
    let limit = |limits: LimitsSpec| match end(&with_limits(&runtime, limits, [])) {
        Exit::LimitExceeded(limit) => limit.limit,
        exit => panic!("{exit}"),
    };
    let time = Some(Duration::from_millis(50));
    assert_eq!(limit(LimitsSpec { max_cpu: time, ..LimitsSpec::default() }), "max_cpu");
    assert_eq!(limit(LimitsSpec { max_execution: time, ..LimitsSpec::default() }), "max_execution");
    // What it hands on has to fit, too: here it is in the VM and outside of it at once.
    let small = LimitsSpec { max_memory: Some(2 << 20), ..LimitsSpec::default() };
    let exit = end(&with_limits(&runtime, small, [5.into(), "x".repeat(900 << 10).into()]));
    assert!(matches!(&exit, Exit::LimitExceeded(limit) if limit.limit == "max_memory"), "{exit}");
}

#[test]
fn force_ends_it_between_two_lives() {
    let runtime = runtime();
    for (lives, ballast) in [(20, 0), (3, 6 << 20)] {
        for _ in 0..lives {
            let process = spawn(&runtime, "chain", [Payload::Nil, "x".repeat(ballast).into()]);
            until("it has begun", || process.usage().cpu() > Duration::from_millis(5));
            process.terminate();
            assert_eq!(end(&process), Exit::Terminated);
            until("nothing is left", || process.usage().memory() == 0);
        }
    }
}

#[test]
fn others_go_on_beside_one_that_has_no_end_of_lives() {
    let runtime = runtime();
    let endless = spawn(&runtime, "chain", []);
    for _ in 0..20 {
        let other = spawn(&runtime, "first", ["plain".into(), "arguments".into()]);
        assert!(matches!(end(&other), Exit::Returned(_)));
    }
    assert_eq!(endless.exit(), None);
    endless.terminate();
    assert_eq!(end(&endless), Exit::Terminated);
}

#[test]
fn the_streams_of_a_command_are_the_same() {
    let mut command = wippy();
    command.arg("-C").arg(fixture("apps/lua-core")).args(["run", "lines"]).stdin(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(b"one\ntwo\nthree\n").expect("a reader");
    let said = Said::of(child.wait_with_output().expect("an end"));
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(3), "0 one\n1 two\n2 three\nend\n", ""));
}

#[test]
fn a_guest_is_no_script() {
    let index = guest_index(
        "- { name: guest, kind: process.wasm, guest: math, method: add }
         - { name: script, kind: process.lua, source: \"return { main = function() process.upgrade('app:guest', 1, 2) end }\", method: main }\n",
    );
    let house = House::of(app(&[("_index.yaml", &index)]), Clock::real());
    let exit = house.runtime.spawn("app:script", [0; 0]).expect("a process").wait();
    let expected =
        "failed: `app:script`: upgrade: `app:guest` is no `process.lua`, and a script can't become anything else";
    assert_eq!(exit.to_string(), expected);
}
