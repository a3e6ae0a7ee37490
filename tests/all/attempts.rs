//! Guests that ask nobody for anything run without a stack of their own, and in a map without a process, until they take long.
//! Nobody can tell by what becomes of them.

use std::time::Duration;

use wippy::batch::{Done, ItemError, Next};
use wippy::limits::LimitExceeded;
use wippy::process::{Exit, LifecycleEvent, SpawnError, Start};
use wippy::reactor::Clock;
use wippy::registry::{Entry, LimitsSpec};
use wippy::{Runtime, RuntimeBuilder};

use crate::limits::until;

const GUEST: &str = r#"(module (memory 1 1000) (data (i32.const 0) "as any guest has some")
    (func (export "double") (param i64) (result i64) (i64.mul (local.get 0) (i64.const 2)))
    ;; Counts up to its argument, and for zero without end.
    (func (export "count") (param i64) (result i64) (local i64)
        (loop $again
            (local.set 1 (i64.add (local.get 1) (i64.const 1)))
            (br_if $again (i64.ne (local.get 1) (local.get 0))))
        (local.get 1))
    (func $deep (export "deep") (param i64) (result i64)
        (if (result i64) (i64.eqz (local.get 0))
            (then (i64.const 0))
            (else (i64.add (i64.const 1) (call $deep (i64.sub (local.get 0) (i64.const 1)))))))
    ;; Takes so many pages, and traps when it does not get them.
    (func (export "grow") (param i64) (result i64)
        (if (i32.eq (memory.grow (i32.wrap_i64 (local.get 0))) (i32.const -1)) (then unreachable))
        (i64.extend_i32_u (memory.size)))
    (func (export "divide") (param i64) (result i64) (i64.div_s (i64.const 100) (local.get 0))))"#;

fn builder() -> RuntimeBuilder {
    let entries = ["double", "count", "deep", "grow", "divide"].map(|name| {
        let entry = Entry::wasm(format!("app:{name}")).wat(GUEST).method(name);
        entry.limits(&LimitsSpec { max_memory: Some(10 << 16), ..LimitsSpec::default() })
    });
    let host = Entry::host("app:processes").workers(2);
    entries.into_iter().fold(Runtime::builder().cache(false).entry(host), RuntimeBuilder::entry)
}

fn runtime() -> Runtime {
    builder().build().expect("a sound application")
}

fn number(done: &Done) -> i64 {
    done.result.as_ref().expect("a value").as_i64().expect("a number")
}

#[test]
fn what_is_over_at_once_is_no_process() {
    let runtime = runtime();
    let all: Vec<_> = runtime.map("app:double", (0..5000).map(|item| [item])).expect("an entry").collect();
    assert_eq!(all.iter().map(number).collect::<Vec<_>>(), (0..5000).map(|item| 2 * item).collect::<Vec<_>>());
    assert!(all.iter().enumerate().all(|(at, done)| done.index == at as u64 && done.attempts == 1));
    // A machine that is busy elsewhere may make one take long, and the next ones be processes.
    assert!(all.iter().any(|done| done.process.is_none()));
    assert!(all.iter().all(|done| done.wall.is_some_and(|wall| wall >= done.cpu)));
    assert_eq!(runtime.manager().hosts().map(wippy::process::Host::live).sum::<usize>(), 0, "each has left its place");
}

#[test]
fn who_listens_hears_of_each() {
    let runtime = runtime();
    let events = runtime.subscribe();
    let all: Vec<_> = runtime.map("app:double", (0..100).map(|item| [item])).expect("an entry").collect();
    assert!(all.iter().all(|done| done.process.is_some()));
    let heard = std::iter::from_fn(|| events.try_next());
    assert_eq!(heard.filter(|event| matches!(event, LifecycleEvent::Started { .. })).count(), 100);
}

#[test]
fn what_takes_long_is_a_process() {
    let runtime = runtime();
    // 0 never ends.
    let inputs = (0..1000_i64).map(|item| [if item % 500 == 7 { 0 } else { item + 1 }]);
    let limits = LimitsSpec { max_cpu: Some(Duration::from_millis(500)), ..LimitsSpec::default() };
    let all: Vec<_> = runtime.map("app:count", inputs).expect("an entry").limits(limits).unordered().collect();
    assert_eq!(all.len(), 1000);
    for done in &all {
        let index = i64::try_from(done.index).expect("a small number");
        if index % 500 == 7 {
            let Err(ItemError::Ended(Exit::LimitExceeded(limit))) = &done.result else { panic!("{done:?}") };
            assert_eq!((limit.limit, done.process.is_some()), ("max_cpu", true));
        } else {
            assert_eq!(number(done), index + 1);
        }
    }
}

#[test]
fn an_end_is_the_same_with_a_process_and_without() {
    let runtime = runtime();
    let fuel = |amount| LimitsSpec { max_fuel: Some(amount), ..LimitsSpec::default() };
    let none = LimitsSpec::default;
    let builder = builder().entry(Entry::wasm("app:fuel").wat(GUEST).method("count").limits(&fuel(1000)));
    let fuelled = builder.build().expect("a sound application");
    let limit = |exit: &Exit| match exit {
        Exit::LimitExceeded(LimitExceeded { limit, .. }) => *limit,
        Exit::Returned(_) => "returned",
        Exit::Trapped(_) => "trapped",
        _ => "other",
    };
    let cases = [
        (&runtime, "app:divide", 5, none(), "returned"),
        (&runtime, "app:divide", 0, none(), "trapped"),
        // 1 and 8 pages and what the engine takes for tables are under, 1 and 9 are at, 1 and 10 over.
        (&runtime, "app:grow", 8, none(), "returned"),
        (&runtime, "app:grow", 9, none(), "returned"),
        (&runtime, "app:grow", 10, none(), "max_memory"),
        (&fuelled, "app:fuel", 10, none(), "returned"),
        (&fuelled, "app:fuel", 10_000, none(), "max_fuel"),
        // More than half of the stack that a worker has, and more than a guest may take.
        (&runtime, "app:deep", 15_000, none(), "returned"),
        (&runtime, "app:deep", 10_000_000, none(), "max_stack"),
    ];
    for (runtime, entry, argument, limits, expected) in cases {
        let spawned = runtime.spawn(entry, [argument]).expect("room").wait();
        assert_eq!(limit(&spawned), expected, "{entry} {argument}: {spawned:?}");
        let all: Vec<_> = runtime.map(entry, [[argument]]).expect("an entry").limits(limits).collect();
        match (&all[0].result, spawned) {
            (Ok(value), Exit::Returned(expected)) => assert_eq!(*value, expected, "{entry} {argument}"),
            (Err(ItemError::Ended(exit)), expected) => assert_eq!(*exit, expected, "{entry} {argument}"),
            (other, expected) => panic!("{entry} {argument}: {other:?}, and a process ends with {expected:?}"),
        }
    }
}

/// Adds one, and asks for the time when it is given a negative number; traps for zero.
const ASKS: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_initialize") (i32.store (i32.const 8) (i32.const 1)))
    (func (export "next") (param i64) (result i64)
        (if (i64.eqz (local.get 0)) (then unreachable))
        (if (i64.lt_s (local.get 0) (i64.const 0)) (then
            (if (call $time (i32.const 1) (i64.const 0) (i32.const 16)) (then unreachable))
            (return (i64.extend_i32_u (i64.eqz (i64.load (i32.const 16)))))))
        (i64.add (local.get 0) (i64.load32_u (i32.const 8)))))"#;

#[test]
fn what_has_imports_and_calls_none_is_no_process_once_it_is_started_often() {
    let host = Entry::host("app:processes").workers(2);
    let entry = Entry::wasm("app:next").wat(ASKS).method("next");
    let runtime = Runtime::builder().cache(false).entry(host).entry(entry).build().expect("a sound application");
    let mut without = 0;
    until("some are no processes", || {
        let inputs = (1..=3000_i64).map(|item| [if item == 2500 { -1 } else { item }]);
        for done in runtime.map("app:next", inputs).expect("an entry") {
            let item = i64::try_from(done.index).expect("a small number") + 1;
            match item {
                2500 => assert!(number(&done) == 0 && done.process.is_some(), "the time has gone on: {done:?}"),
                item => assert_eq!(number(&done), item + 1),
            }
            without += usize::from(done.process.is_none());
        }
        without > 0
    });
    // A component of another language.
    let runtime = Runtime::builder().load("fixtures/apps/mission").cache(false).build().expect("a sound application");
    let mut without = 0;
    until("some are no processes", || {
        for done in runtime.map("myns:compute_worker", (0..1000_i64).map(|item| [item, 2])).expect("an entry") {
            assert_eq!(number(&done), 2 * i64::try_from(done.index).expect("a small number"));
            without += usize::from(done.process.is_none());
        }
        without > 0
    });
}

#[test]
fn what_asks_or_fails_without_its_imports_begins_again() {
    let entry = Entry::wasm("app:next").wat(ASKS).method("next");
    let runtime = Runtime::builder().cache(false).entry(Entry::host("app:processes").workers(1)).entry(entry);
    let runtime = runtime.build().expect("a sound application");
    for _ in 0..3 {
        runtime.map("app:next", (1..=1000_i64).map(|item| [item])).expect("an entry").for_each(drop);
    }
    assert!(matches!(runtime.spawn("app:next", [0]).expect("room").wait(), Exit::Trapped(_)));
    assert_eq!(runtime.spawn("app:next", [-1]).expect("room").wait(), Exit::Returned(0.into()));
    assert_eq!(runtime.spawn("app:next", [1]).expect("room").wait(), Exit::Returned(2.into()));
    let failed: Vec<_> = runtime.map("app:next", [[0]]).expect("an entry").collect();
    assert!(matches!(failed[0].result, Err(ItemError::Ended(Exit::Trapped(_)))), "{failed:?}");
}

#[test]
fn arguments_that_do_not_fit_are_told_of_their_item_alone() {
    let runtime = runtime();
    let inputs = (0..100_i64).map(|item| if item % 10 == 3 { vec![] } else { vec![item] });
    for done in runtime.map("app:double", inputs).expect("an entry") {
        match done.index % 10 {
            3 => assert!(matches!(done.result, Err(ItemError::NotStarted(_))), "{done:?}"),
            _ => assert_eq!(number(&done), 2 * i64::try_from(done.index).expect("a small number")),
        }
    }
}

#[test]
fn what_is_stopped_is_handed_out_once() {
    let runtime = runtime();
    let mut map = runtime.map("app:count", (0..10_000).map(|item: i64| [item % 3])).expect("an entry").window(100);
    // Whatever has begun by then.
    let first = map.next_within(Duration::ZERO);
    map.terminate();
    let rest: Vec<_> = match first {
        Next::Done(done) => std::iter::once(done).chain(map).collect(),
        Next::Later | Next::End => map.collect(),
    };
    let indexes: std::collections::BTreeSet<_> = rest.iter().map(|done| done.index).collect();
    assert_eq!(indexes.len(), rest.len());
    assert!(rest.iter().any(|done| matches!(done.result, Err(ItemError::Ended(Exit::Terminated)))), "{rest:?}");
    until("nobody is left", || runtime.manager().hosts().all(|host| host.live() == 0));
}

#[test]
fn one_place_at_the_host_is_enough() {
    let host = Entry::host("app:processes").workers(2).max_processes(1);
    let entry = Entry::wasm("app:double").wat(GUEST).method("double");
    let runtime = Runtime::builder().cache(false).entry(host).entry(entry).build().expect("a sound application");
    let all: Vec<_> = runtime.map("app:double", (0..2000).map(|item| [item])).expect("an entry").collect();
    assert_eq!(all.iter().map(number).collect::<Vec<_>>(), (0..2000).map(|item| 2 * item).collect::<Vec<_>>());
}

#[test]
fn a_launcher_starts_what_any_start_does_and_fails_like_it() {
    let host = Entry::host("app:processes").workers(1).max_processes(1);
    let runtime = Runtime::builder().cache(false).entry(host);
    let entry = |name: &str, method: &str| Entry::wasm(format!("app:{name}")).wat(GUEST).method(method);
    let runtime = runtime.entry(entry("double", "double")).entry(entry("count", "count")).build();
    let runtime = runtime.expect("a sound application");
    let id = |text: &str| text.parse().expect("an ID");
    let launcher = |entry| runtime.manager().launcher(&id(entry), &id("app:processes"));
    let double = launcher("app:double").expect("an entry and a host");
    let process = double.spawn(vec![21.into()]).expect("room");
    assert_eq!(process.wait(), Exit::Returned(42.into()));
    assert_eq!((process.entry().to_string(), process.parent()), ("app:double".to_owned(), None));
    assert!(matches!(double.spawn(Vec::new()), Err(SpawnError::Arguments { .. })));
    assert!(matches!(launcher("app:nobody"), Err(SpawnError::UnknownEntry { .. })));
    let nowhere = runtime.manager().launcher(&id("app:double"), &id("app:nowhere"));
    assert!(matches!(nowhere, Err(SpawnError::UnknownHost { .. })));
    let endless = launcher("app:count").expect("an entry and a host").spawn(vec![0.into()]).expect("room");
    assert!(matches!(double.spawn(vec![1.into()]), Err(SpawnError::Busy { bound: "max_processes", .. })));
    endless.terminate();
    assert_eq!(endless.wait(), Exit::Terminated);
    assert_eq!(double.spawn(vec![1.into()]).expect("room").wait(), Exit::Returned(2.into()));
    runtime.shutdown(Duration::ZERO);
    assert!(matches!(double.spawn(vec![1.into()]), Err(SpawnError::Closing { .. })));
}

#[test]
fn a_launcher_of_a_host_that_never_began_and_is_closed_is_refused() {
    let entry = Entry::wasm("app:double").wat(GUEST).method("double");
    let runtime = Runtime::builder().cache(false).entry(Entry::host("app:processes")).entry(entry);
    let runtime = runtime.build().expect("a sound application");
    runtime.shutdown(Duration::ZERO);
    let id = |text: &str| text.parse().expect("an ID");
    let refused = runtime.manager().launcher(&id("app:double"), &id("app:processes"));
    assert!(matches!(refused, Err(SpawnError::Closing { .. })));
}

#[test]
fn a_host_that_closes_loses_no_item() {
    let runtime = runtime();
    let mut map = runtime.map("app:double", (0..100_000).map(|item| [item])).expect("an entry");
    let first: Vec<_> = map.by_ref().take(100).collect();
    assert_eq!(first.iter().map(number).collect::<Vec<_>>(), (0..100).map(|item| 2 * item).collect::<Vec<_>>());
    runtime.shutdown(Duration::from_secs(10));
    let mut next = 100;
    for done in map {
        assert_eq!(done.index, next, "in order, and none is missing");
        next += 1;
        match &done.result {
            Ok(value) => assert_eq!(value.as_i64(), Some(2 * i64::try_from(done.index).expect("a small number"))),
            Err(error) => assert!(matches!(error, ItemError::NotStarted(_)), "{error}"),
        }
    }
    assert_eq!(next, 100_000);
}

#[test]
fn what_an_attempt_took_does_not_count() {
    let clock = Clock::manual();
    let runtime = builder().clock(clock.clone()).build().expect("a sound application");
    let limits = LimitsSpec { max_cpu: Some(Duration::from_millis(20)), ..LimitsSpec::default() };
    let lost = || {
        let start = Start::new("app:count".parse().expect("an ID"), "app:processes".parse().expect("an ID"));
        let process = runtime.manager().spawn(start.input([0.into()]).limits(limits.clone())).expect("room");
        until("it runs", || process.steps() == 1);
        until("its time is over", || {
            clock.advance(Duration::from_millis(1)).expect("a manual clock");
            std::thread::sleep(Duration::from_millis(1));
            process.exit().is_some()
        });
        let report = process.report().expect("it has ended");
        let Exit::LimitExceeded(limit) = report.exit else { panic!("{}", report.exit) };
        assert_eq!(limit.limit, "max_cpu");
        assert!(report.cpu >= Duration::from_millis(20), "all of its own time");
        (report.wall - report.cpu, report.steps)
    };
    let (first, steps) = lost();
    assert!(first >= Duration::from_millis(1), "it was stopped at the second tick that it saw: {first:?}");
    assert_eq!(steps, 1, "nobody waited");
    // The next ones of this program are spared.
    let (second, _) = lost();
    assert!(second < Duration::from_millis(1), "{second:?}");
}

/// Looks at all that it has as if somebody might have been there before, leaves traces in it, and doubles its argument. Of every eleven
/// arguments one traps, one takes much memory, and one more than there is.
const STAINS: &str = r#"
    (memory (export "memory") 1 1000)
    (table $table 4 funcref)
    (elem declare func $check)
    (global $seen (mut i64) (i64.const 0))
    (data $some (i32.const 16) "as any guest has some")
    (func $check (param $fine i32) (if (i32.eqz (local.get $fine)) (then unreachable)))
    (func (export "run") (param $number i64) (result i64) (local $at i32) (local $kind i64)
        (call $check (i64.eqz (global.get $seen)))
        (call $check (i32.eq (memory.size) (i32.const 1)))
        (call $check (ref.is_null (table.get $table (i32.const 3))))
        (call $check (i32.eq (i32.load8_u (i32.const 16)) (i32.const 97)))
        (local.set $at (i32.const 64))
        (loop $next
            (call $check (i64.eqz (i64.load (local.get $at))))
            (i64.store (local.get $at) (i64.const -1))
            (local.set $at (i32.add (local.get $at) (i32.const 1000)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 65000))))
        (global.set $seen (i64.const 1))
        (i32.store8 (i32.const 16) (i32.const 0))
        (table.set $table (i32.const 3) (ref.func $check))
        (local.set $kind (i64.rem_u (local.get $number) (i64.const 11)))
        (if (i64.eq (local.get $kind) (i64.const 1)) (then unreachable))
        (if (i64.eq (local.get $kind) (i64.const 2)) (then
            (call $check (i32.eq (memory.grow (i32.const 40)) (i32.const 1)))
            (call $check (i64.eqz (i64.load (i32.const 70000))))
            (i64.store (i32.const 70000) (i64.const -1))))
        (if (i64.eq (local.get $kind) (i64.const 3)) (then
            (call $check (i32.eq (memory.grow (i32.const 900)) (i32.const 1)))))
        (i64.mul (local.get $number) (i64.const 2)))"#;

#[test]
fn a_guest_finds_nothing_of_those_before_it() {
    let component = format!(
        r#"(component (core module $code {STAINS}) (core instance $code (instantiate $code))
            (func (export "run") (param "number" s64) (result s64) (canon lift (core func $code "run"))))"#
    );
    for guest in [format!("(module {STAINS})"), component] {
        let limits = LimitsSpec { max_memory: Some(60 << 16), ..LimitsSpec::default() };
        let entry = Entry::wasm("app:run").wat(&guest).method("run").limits(&limits);
        let host = Entry::host("app:processes").workers(1);
        let runtime = Runtime::builder().cache(false).entry(host).entry(entry).build().expect("a sound application");
        let check = |number: i64, exit: &Exit| match number % 11 {
            1 => assert!(matches!(exit, Exit::Trapped(_)), "{exit:?}"),
            3 => assert!(matches!(exit, Exit::LimitExceeded(limit) if limit.limit == "max_memory"), "{exit:?}"),
            _ => assert_eq!(*exit, Exit::Returned((2 * number).into())),
        };
        for number in 0..3000 {
            let process = runtime.spawn("app:run", [number]).expect("room");
            check(number, &process.wait());
            let pages = process.report().expect("it has ended").memory_peak >> 16;
            assert_eq!(pages, if number % 11 == 2 { 41 } else { 1 }, "each is charged for its own");
        }
        for done in runtime.map("app:run", (0..5000_i64).map(|number| [number])).expect("an entry") {
            let exit = match done.result {
                Ok(value) => Exit::Returned(value),
                Err(ItemError::Ended(exit)) => exit,
                Err(error) => panic!("{error}"),
            };
            check(i64::try_from(done.index).expect("a small number"), &exit);
        }
    }
}
