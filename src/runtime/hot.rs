//! Programs that a worker starts very often, and so gets code of its own for.

use std::time::{Duration, Instant};

use super::Runtime;
use crate::limits::LimitExceeded;
use crate::process::{Exit, Start};
use crate::registry::{Entry, LimitsSpec};

/// Longer than any machine needs; waited for only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Answers with one more than it is given, and for a negative number never.
const GUEST: &str = r#"(module (memory 1) (data (i32.const 0) "as any guest has some")
    (func (export "next") (param i64) (result i64)
        (loop (br_if 0 (i64.lt_s (local.get 0) (i64.const 0))))
        (i64.add (local.get 0) (i64.const 1))))"#;

fn runtime(workers: usize) -> Runtime {
    let entry = Entry::wasm("app:next").wat(GUEST).method("next");
    let builder = Runtime::builder().entry(Entry::host("app:processes").workers(workers)).entry(entry);
    builder.cache(false).build().expect("a sound application")
}

/// Starts guests until so many workers have engines of their own, and some more behind that.
fn heat(runtime: &Runtime, workers: usize) {
    let begin = Instant::now();
    let run = |count: i64| {
        let started: Vec<_> = (0..count).map(|number| runtime.spawn("app:next", [number]).expect("room")).collect();
        for (number, process) in (0..count).zip(started) {
            assert_eq!(process.wait(), Exit::Returned((number + 1).into()));
        }
    };
    while runtime._engines.own() < workers {
        assert!(begin.elapsed() < PATIENCE, "each of {workers} workers starts its share: {}", runtime._engines.own());
        run(100);
    }
    run(1000);
}

#[test]
fn a_program_that_is_started_often_gets_code_of_its_own_on_each_worker() {
    let runtime = runtime(2);
    assert_eq!(runtime.spawn("app:next", [1]).expect("room").wait(), Exit::Returned(2.into()));
    assert_eq!(runtime._engines.own(), 0, "not for one start");
    heat(&runtime, 2);
    assert_eq!(runtime._engines.own(), 2, "one for each worker, however often it is started");
    // Guests begin all the time while the code appears, and each runs on the engine on which it began.
    (0..10).for_each(|_| heat(&self::runtime(2), 2));
}

#[test]
fn code_of_its_own_is_interrupted_like_any_other() {
    let runtime = runtime(1);
    heat(&runtime, 1);
    for _ in 0..3 {
        let endless = runtime.spawn("app:next", [-1]).expect("room");
        // A slice that ends: the only worker has time for others.
        assert_eq!(runtime.spawn("app:next", [1]).expect("room").wait(), Exit::Returned(2.into()));
        endless.terminate();
        assert_eq!(endless.wait(), Exit::Terminated);
        let limits = LimitsSpec { max_execution: Some(Duration::from_millis(5)), ..LimitsSpec::default() };
        let start = Start::new("app:next".parse().expect("an ID"), "app:processes".parse().expect("an ID"));
        let limited = runtime.manager().spawn(start.input([(-1).into()]).limits(limits)).expect("room");
        let exit = limited.wait();
        assert!(matches!(&exit, Exit::LimitExceeded(LimitExceeded { limit: "max_execution", .. })), "{exit}");
    }
}
