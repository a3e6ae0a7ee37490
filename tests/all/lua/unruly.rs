//! Scripts that do not end by themselves, on a host with one worker.

use std::time::Duration;

use wippy::Runtime;
use wippy::process::{Exit, Failure, FailureKind, Payload, ProcessHandle, Start};
use wippy::registry::LimitsSpec;

use crate::support::fixture;

/// Longer than any machine needs; waited for only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(120);

fn runtime() -> Runtime {
    Runtime::builder().load(fixture("apps/lua-unruly")).build().expect("an application")
}

fn start(runtime: &Runtime, entry: &str, argument: Payload, limits: LimitsSpec) -> ProcessHandle {
    let start = Start::new(entry.parse().expect("an ID"), "app:processes".parse().expect("an ID"));
    runtime.manager().spawn(start.input([argument]).limits(limits)).expect("a process")
}

fn end(process: &ProcessHandle) -> Exit {
    process.wait_timeout(PATIENCE).unwrap_or_else(|| panic!("{} has not ended", process.pid()))
}

/// Waits until it is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it never was");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What computes for ever.
const ENDLESS: [&str; 17] = [
    "spin",
    "catch",
    "catch_with_handler",
    "coroutines",
    "rotate",
    "pattern",
    "lazy_pattern",
    "caught_pattern",
    "replace",
    "sort",
    "move",
    "metamethod",
    "index",
    "arithmetic",
    "date",
    "insert",
    "finalizer",
];

#[test]
fn a_neighbour_goes_on_and_force_ends_what_computes_for_ever() {
    let runtime = runtime();
    for deed in ENDLESS {
        let unruly = start(&runtime, "app:unruly", deed.into(), LimitsSpec::default());
        let neighbour = start(&runtime, "app:neighbour", 5.into(), LimitsSpec::default());
        assert_eq!(end(&neighbour), Exit::Returned(Payload::Int(5 * 500_500)), "{deed}");
        assert_eq!(unruly.exit(), None, "{deed}");
        unruly.terminate();
        assert_eq!(end(&unruly), Exit::Terminated, "{deed}");
    }
}

#[test]
fn a_limit_of_time_ends_what_computes_for_ever() {
    let runtime = runtime();
    for deed in ENDLESS {
        let limits = LimitsSpec { max_cpu: Some(Duration::from_millis(20)), ..LimitsSpec::default() };
        let exit = end(&start(&runtime, "app:unruly", deed.into(), limits));
        assert!(matches!(&exit, Exit::LimitExceeded(limit) if limit.limit == "max_cpu"), "{deed}: {exit}");
    }
}

#[test]
fn a_limit_of_memory_ends_what_grows_for_ever() {
    let runtime = runtime();
    for deed in ["text", "growing_text", "list", "replaced_text", "objects"] {
        let unruly = start(&runtime, "app:small", deed.into(), LimitsSpec::default());
        let neighbour = start(&runtime, "app:neighbour", 5.into(), LimitsSpec::default());
        let exit = end(&unruly);
        assert!(matches!(&exit, Exit::LimitExceeded(limit) if limit.limit == "max_memory"), "{deed}: {exit}");
        assert_eq!(end(&neighbour), Exit::Returned(Payload::Int(5 * 500_500)), "{deed}");
        assert_eq!(unruly.usage().memory(), 0, "{deed}");
        assert!(unruly.usage().memory_peak() <= 64 << 20, "{deed}");
    }
}

#[test]
fn what_is_dropped_does_not_count() {
    let runtime = runtime();
    let exit = end(&start(&runtime, "app:small", "dropped_objects".into(), LimitsSpec::default()));
    assert_eq!(exit, Exit::Returned("fine".into()));
}

#[test]
fn a_large_vm_is_dropped_after_a_forced_end() {
    let runtime = runtime();
    let keeper = start(&runtime, "app:small", "keep".into(), LimitsSpec::default());
    until(|| keeper.usage().waits().to_string() == "timer");
    assert!(keeper.usage().memory() > 8 << 20, "{}", keeper.usage().memory());
    keeper.terminate();
    assert_eq!(end(&keeper), Exit::Terminated);
    until(|| keeper.usage().memory() == 0);
}

#[test]
fn a_recursion_has_an_end() {
    let runtime = runtime();
    let exit = end(&start(&runtime, "app:unruly", "recurse".into(), LimitsSpec::default()));
    assert!(matches!(&exit, Exit::LimitExceeded(limit) if limit.limit == "max_stack"), "{exit}");
    let exit = end(&start(&runtime, "app:unruly", "recurse_in_c".into(), LimitsSpec::default()));
    assert_eq!(exit, Exit::Returned("string".into()));
}

#[test]
fn coroutines_that_wait_for_each_other_are_told() {
    let runtime = runtime();
    let exit = end(&start(&runtime, "app:unruly", "stuck".into(), LimitsSpec::default()));
    let Exit::Failed(Failure { kind: FailureKind::Script, message, .. }) = exit else { panic!("{exit}") };
    assert!(message.contains("every coroutine waits for another one"), "{message}");
}
