//! Functions as an application declares them: pools, calls of guests and of embedders, ends.

use std::time::Duration;

use wippy::function::{Call, CallError, CallErrorKind, PoolKind, PoolStats};
use wippy::process::{Exit, Payload, Start, State};
use wippy::reactor::Clock;
use wippy::security::Actor;

use super::support::{House, guest_app};
#[cfg(feature = "cli")]
use super::support::{assert_said, fixture, run_in};
use super::yielding::stage::{PATIENCE, until};

/// Waits as many milliseconds as it is told to, and answers with them.
const WAIT: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "wait") (param $ms i64) (result i64)
        (i32.store offset=16 (i32.const 64) (i32.const 1))
        (i64.store offset=24 (i32.const 64) (i64.mul (local.get $ms) (i64.const 1000000)))
        (if (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 0)) (then (unreachable)))
        (local.get $ms)))"#;

/// An entry of a function, `name`, that waits so many milliseconds for whatever text it is given, and answers with 7.
pub(crate) fn late_function(name: &str, ms: i64, more: &str) -> String {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
          (func (export "late") (param i32 i32) (result i32)
            (i32.store offset=16 (i32.const 64) (i32.const 1))
            (i64.store offset=24 (i32.const 64) (i64.const {}))
            (if (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 0)) (then (unreachable)))
            (i32.const 7)))"#,
        ms * 1_000_000
    );
    text_function(name, &text, "late", &format!(", wit: 'late: func(input: string) -> u32'{more}"))
}

/// An entry with a module in text form.
fn text_function(name: &str, text: &str, method: &str, more: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("- {{ name: {name}, kind: function.wat, source: '{text}', method: {method}{more} }}\n")
}

fn stats(house: &House, name: &str) -> PoolStats {
    house.runtime.functions().stats(&format!("app:{name}").parse().expect("an ID")).expect("a function")
}

/// How many processes of this entry there are.
fn living(house: &House, name: &str) -> usize {
    let processes = house.runtime.manager().processes();
    processes.iter().filter(|process| process.entry.to_string() == format!("app:{name}")).count()
}

#[track_caller]
fn value(call: Call) -> Payload {
    call.wait().unwrap_or_else(|error| panic!("no value: {error}"))
}

#[test]
fn a_pool_has_the_slots_that_its_numbers_say() {
    use PoolKind::{Adaptive, Inline, Lazy, Static};
    let pools: [(&str, &str, PoolKind, usize); 7] = [
        ("silent", "", Lazy, 12),
        ("most", ", pool: { max_size: 3 }", Lazy, 3),
        ("sized", ", pool: { size: 5 }", Inline, 1),
        ("workers", ", pool: { size: 5, workers: 2 }", Static, 2),
        ("inline", ", pool: { type: inline }", Inline, 1),
        ("static", ", pool: { type: static, size: 4 }", Static, 4),
        ("adaptive", ", pool: { type: adaptive, max_size: 2 }", Adaptive, 1),
    ];
    let mut entries: String = pools.iter().map(|(name, pool, ..)| text_function(name, WAIT, "wait", pool)).collect();
    // In a binary it is the same block.
    entries.push_str("- { name: binary, kind: function.wasm, guest: math, method: add, pool: { type: static, workers: 3, size: 1 } }");
    let clock = Clock::manual();
    let house = House::with_clock(&entries, clock.clone());
    for (name, _, kind, at_once) in pools {
        let calls: Vec<_> = (0..12).map(|_| house.runtime.call(&format!("app:{name}"), [1])).collect();
        until("they wait", || {
            let processes = house.runtime.manager().processes();
            processes.iter().filter(|process| process.state == State::Blocked).count() == at_once
        });
        let seen = stats(&house, name);
        assert_eq!((seen.kind, seen.busy, seen.queued), (kind, at_once, 12 - at_once), "{name}");
        assert_eq!(living(&house, name), at_once, "{name}");
        until("all are done", || {
            clock.advance(Duration::from_millis(1)).expect("a manual clock");
            calls.iter().all(Call::is_complete)
        });
        assert!(calls.into_iter().all(|call| value(call) == 1.into()), "{name}");
    }
    assert_eq!((stats(&house, "binary").kind, stats(&house, "binary").slots), (Static, 3));
    assert_eq!(value(house.runtime.call("app:binary", [1, 2])), 3.into());
}

#[test]
fn a_buffer_bounds_the_calls_that_wait() {
    let clock = Clock::manual();
    let entries = text_function("wait", WAIT, "wait", ", pool: { type: inline, buffer: 2 }");
    let house = House::with_clock(&entries, clock.clone());
    let calls: Vec<_> = (0..3).map(|_| house.runtime.call("app:wait", [1])).collect();
    let refused = house.runtime.functions().try_call("app:wait", vec![1.into()]).wait().expect_err("no room");
    assert_eq!(
        refused.to_string(),
        "`app:wait`: as many calls wait as may: 2 (pool.buffer); wait for some and try again"
    );
    let patient = house.runtime.call("app:wait", [2]);
    let seen = stats(&house, "wait");
    assert_eq!((seen.queued, seen.queued_max, seen.outside), (2, 2, 1));
    until("all are done", || {
        clock.advance(Duration::from_millis(1)).expect("a manual clock");
        patient.is_complete()
    });
    assert!(calls.iter().all(Call::is_complete), "in their order");
    assert_eq!(value(patient), 2.into());
}

#[cfg(feature = "cli")]
#[test]
fn a_module_in_text_form_is_a_function() {
    const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1))))"#;
    const ARGUMENTS: &str = r#"(module
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "count") (result i32) (drop (call $sizes (i32.const 0) (i32.const 4))) (i32.load (i32.const 0))))"#;
    let entries = [
        text_function("add", ADD, "add", ""),
        text_function("typed", ADD, "add", ", wit: 'add: func(left: u32, right: u32) -> u32'"),
        text_function("arguments", ARGUMENTS, "count", ", wasi: { args: [a, b] }"),
        text_function("alone", ADD, "add", ", preempt: none"),
    ];
    let house = House::new(&entries.concat());
    assert_eq!(value(house.runtime.call("app:add", [40, 2])), 42.into());
    assert_eq!(value(house.runtime.call("app:add", [-1, 0])), (-1).into());
    assert_eq!(value(house.runtime.call("app:typed", [u32::MAX, 0])), u32::MAX.into());
    let error = house.runtime.call("app:typed", [-1, 0]).wait().expect_err("no u32");
    assert_eq!(error.kind(), CallErrorKind::Invalid);
    assert!(error.to_string().starts_with("`app:typed`: argument 1: -1 does not fit u32"), "{error}");
    assert_eq!(value(house.runtime.call("app:arguments", [0; 0])), 3.into(), "its name and two more");
    let error = house.runtime.call("app:alone", [1, 1]).wait().expect_err("no host takes it");
    assert!(error.to_string().contains("`preempt: none`, which host `app:processes` does not allow"), "{error}");
    // What only components can import.
    let app = guest_app(&text_function("add", ADD, "add", ", imports: ['wasi:io']"));
    let said = run_in(app.path(), ["check"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr.contains("`wasi:io` can be imported by components only, `source` is a core module"),
        "{said:?}"
    );
}

#[test]
fn limits_are_those_of_each_call() {
    const GROW: &str = r#"(module (memory (export "memory") 1)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    let entries = [
        text_function("wait", WAIT, "wait", ", pool: { type: inline }, limits: { max_execution: 10ms }"),
        text_function("grow", GROW, "grow", ", limits: { max_memory: 1MiB }"),
    ];
    let clock = Clock::manual();
    let house = House::with_clock(&entries.concat(), clock.clone());
    let after = |call: Call| {
        until("it has ended", || {
            // Time goes on while it waits, and not while its worker is late.
            let processes = house.runtime.manager().processes();
            if processes.iter().any(|process| process.state == State::Blocked) {
                clock.advance(Duration::from_millis(1)).expect("a manual clock");
            }
            call.is_complete()
        });
        call.wait()
    };
    for _ in 0..5 {
        assert_eq!(after(house.runtime.call("app:wait", [6])), Ok(6.into()), "each has its time");
    }
    let error = after(house.runtime.call("app:wait", [20])).expect_err("too long");
    assert_eq!(error.kind(), CallErrorKind::Timeout);
    assert!(error.to_string().starts_with("`app:wait`: limit `max_execution` exceeded: allowed 10ms"), "{error}");
    for _ in 0..5 {
        assert_eq!(value(house.runtime.call("app:grow", [15])), 1.into(), "each has its memory");
    }
    assert_eq!(value(house.runtime.call("app:grow", [16])), (-1).into());
}

#[test]
fn a_guest_that_waits_for_a_function_leaves_its_worker_to_others() {
    let entries = late_function("slow", 1000, "")
        + "- { name: ask, kind: process.wasm, guest: funcs, method: text, imports: [funcs] }
           - { name: add, kind: process.wasm, guest: math, method: add }";
    let clock = Clock::manual();
    let app = guest_app(&entries);
    let built = wippy::Runtime::builder().load(app.path()).cache(false).workers(1).clock(clock.clone()).build();
    let runtime = built.expect("a sound application");
    let asking: Vec<_> = (0..10).map(|_| runtime.spawn("app:ask", ["app:slow", "x"]).expect("a process")).collect();
    let waits = |entry: &str| {
        let processes = runtime.manager().processes();
        let of_entry = processes.into_iter().filter(|process| process.entry.to_string() == entry);
        of_entry.map(|process| process.waits.to_string()).collect::<Vec<_>>()
    };
    until("all wait", || waits("app:ask") == ["function"; 10] && waits("app:slow") == ["timer"; 10]);
    let steps: Vec<_> = asking.iter().map(|process| process.steps()).collect();
    for number in 0..100 {
        assert_eq!(
            runtime.spawn("app:add", [number, 1]).expect("a process").wait(),
            Exit::Returned((number + 1).into())
        );
    }
    assert_eq!(asking.iter().map(|process| process.steps()).collect::<Vec<_>>(), steps, "nobody looks again and again");
    // A caller that ends takes its call along.
    asking[0].terminate();
    assert_eq!(asking[0].wait(), Exit::Terminated);
    until("its call is over", || waits("app:slow").len() == 9);
    clock.advance(Duration::from_secs(1)).expect("a manual clock");
    let seven = Exit::Returned(Payload::Map([("ok".to_owned(), "7".into())].into_iter().collect()));
    for process in &asking[1..] {
        assert_eq!(process.wait_timeout(PATIENCE), Some(seven.clone()));
    }
}

#[test]
fn a_function_that_calls_itself_is_told_so() {
    let house = House::new(
        "- { name: ask, kind: process.wasm, guest: funcs, method: text, imports: [funcs] }
         - { name: again, kind: function.wasm, guest: funcs, method: text, imports: [funcs], pool: { type: inline } }",
    );
    // Two arguments are wanted of `again`, and a guest gives one: it is called from here.
    let answer = value(house.runtime.call("app:again", ["app:again", "x"]));
    let error = answer.get("err").and_then(Payload::as_str).expect("an error").to_owned();
    assert!(error.contains("all 1 of its slots wait for this one (`app:again` -> `app:again`)"), "{error}");
    assert_eq!(stats(&house, "again").busy, 0);
}

#[test]
fn policies_decide_who_calls_what() {
    let house = House::new(
        "- { name: ask, kind: process.wasm, guest: funcs, method: text, imports: [funcs] }
         - { name: greet, kind: function.wasm, guest: greet, method: greet }
         - { name: other, kind: function.wasm, guest: greet, method: greet }
         - { name: callers, kind: security.policy, groups: [callers], policy: { actions: funcs.call, resources: 'app:greet', effect: allow } }",
    );
    let ask = |target: &str| {
        let callers = house.runtime.policies().group("callers").expect("a group");
        let start = Start::new("app:ask".parse().expect("an ID"), "app:processes".parse().expect("an ID"))
            .input([target.into(), "Ann".into()])
            .actor(Actor::new("user:ann"))
            .scope(callers);
        house.runtime.manager().spawn(start).expect("room").wait()
    };
    let answer = |side: &str, text: &str| {
        Exit::Returned(Payload::Map([(side.to_owned(), Payload::from(text))].into_iter().collect()))
    };
    assert_eq!(ask("app:greet"), answer("ok", "Hello, Ann!"));
    assert_eq!(ask("app:other"), answer("err", "not allowed: app:other"));
    assert_eq!(ask("app:none"), answer("err", "not allowed: app:none"), "what exists is nobody's business");
    assert_eq!(house.run("ask", &["app:other", "Ann"]), answer("ok", "Hello, Ann!"), "nobody in particular may");
}

#[cfg(feature = "cli")]
#[test]
fn a_command_calls_functions() {
    let app = fixture("apps/functions");
    assert_said(&run_in(&app, ["check"]), 0, "6 entries, no problems\n", "");
    assert_said(&run_in(&app, ["run", "ask", "app:greet", "Ann"]), 0, "Hello, Ann!\n", "");
    let unknown = "pool not found: app:great; did you mean `app:greet`?\n";
    assert_said(&run_in(&app, ["run", "ask", "app:great", "Ann"]), 1, "", unknown);
}

#[test]
fn functions_run_on_the_first_host_there_is() {
    let add = "kind: function.wat, method: add, source: '(module (func (export \"add\") (result i32) (i32.const 1)))'";
    let app = |hosts: &str| {
        let index = format!("namespace: app\nentries:\n{hosts}- {{ name: one, {add} }}\n");
        let app = super::support::app(&[("_index.yaml", &index)]);
        wippy::Runtime::builder().load(app.path()).cache(false).build().expect("a sound application")
    };
    let host_of = |hosts: &str| {
        let runtime = app(hosts);
        let called = runtime.call("app:one", [0; 0]).wait();
        (runtime.functions().host().map(ToString::to_string), called)
    };
    let (t, a, b) = (
        "- { name: t, kind: terminal.host }\n",
        "- { name: a, kind: process.host }\n",
        "- { name: b, kind: process.host }\n",
    );
    assert_eq!(host_of(&format!("{t}{b}{a}")), (Some("app:b".to_owned()), Ok(1.into())));
    assert_eq!(host_of(t), (Some("app:t".to_owned()), Ok(1.into())));
    let (host, called) = host_of("");
    let error = called.expect_err("there is no host").to_string();
    assert_eq!(host, None);
    assert!(error.starts_with("`app:one` could not be called: the application has no `process.host`"), "{error}");
}

#[test]
fn a_shutdown_lets_admitted_calls_end() {
    let clock = Clock::manual();
    let house = House::with_clock(&text_function("wait", WAIT, "wait", ", pool: { type: inline }"), clock.clone());
    let (running, queued) = (house.runtime.call("app:wait", [5]), house.runtime.call("app:wait", [6]));
    std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| house.runtime.shutdown(PATIENCE * 2));
        // Until it is closed, each of these waits for its turn, and leaves.
        until("no call is taken", || {
            let mut late = house.runtime.call("app:wait", [1]);
            late.wait_timeout(Duration::ZERO).is_some_and(|answer| matches!(answer, Err(CallError::Closed { .. })))
        });
        until("both are done", || {
            clock.advance(Duration::from_millis(1)).expect("a manual clock");
            running.is_complete() && queued.is_complete()
        });
        assert_eq!(shutdown.join().expect("no panic"), [], "nobody had to be terminated");
        let late = house.runtime.call("app:wait", [1]).wait();
        assert!(matches!(late, Err(CallError::Closed { .. })), "{late:?}");
    });
    assert_eq!((value(running), value(queued)), (5.into(), 6.into()));
}

#[test]
fn calls_in_their_hundreds_are_all_answered() {
    let house = House::new(
        "- { name: add, kind: function.wasm, guest: math, method: add, pool: { type: static, workers: 4, size: 4, buffer: 8 } }",
    );
    let calls: Vec<_> = (0..500).map(|number| house.runtime.call("app:add", [number, 1])).collect();
    for (call, number) in calls.into_iter().zip(0..) {
        assert_eq!(value(call), (number + 1).into());
    }
    let seen = stats(&house, "add");
    assert_eq!((seen.completed, seen.busy, seen.queued, seen.outside), (500, 0, 0, 0));
    assert_eq!(seen.kind.to_string(), "static");
}

/// Counts its calls; a zero makes it trap, and more than a thousand makes it wait so many milliseconds.
const COUNT: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (global $calls (mut i64) (i64.const 0))
      (func (export "count") (param $what i64) (result i64)
        (if (i64.eqz (local.get $what)) (then (unreachable)))
        (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
        (if (i64.gt_u (local.get $what) (i64.const 1000)) (then
          (i32.store offset=16 (i32.const 64) (i32.const 1))
          (i64.store offset=24 (i32.const 64) (i64.mul (local.get $what) (i64.const 1000000)))
          (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 0)))))
        (global.get $calls)))"#;

#[test]
fn an_instance_is_kept_where_that_is_wanted() {
    let inline = ", pool: { type: inline }, limits: { max_execution: 1m }";
    let entries = [
        text_function("fresh", COUNT, "count", inline),
        text_function("said", COUNT, "count", &format!("{inline}, isolation: fresh")),
        text_function("kept", COUNT, "count", &format!("{inline}, isolation: reuse")),
        text_function("lazy", COUNT, "count", ", pool: { type: lazy, max_size: 3 }, isolation: reuse"),
        "- { name: greet, kind: function.wasm, guest: greet, method: greet, isolation: reuse }\n".to_owned(),
    ];
    let clock = Clock::manual();
    let house = House::with_clock(&entries.concat(), clock.clone());
    let host = || house.runtime.manager().hosts().find(|host| host.id().name() == "processes").expect("a host");
    let three = |entry: &str| [1, 1, 1].map(|what: i64| value(house.runtime.call(entry, [what])));
    assert_eq!(three("app:fresh"), [1, 1, 1].map(Payload::from));
    assert_eq!(three("app:said"), [1, 1, 1].map(Payload::from));
    assert_eq!(host().live(), 0);
    assert_eq!(three("app:kept"), [1, 2, 3].map(Payload::from));
    assert_eq!((stats(&house, "kept").kept, host().live()), (1, 1), "what is kept has its room");
    assert_eq!(three("app:kept"), [4, 5, 6].map(Payload::from));
    assert_eq!(house.runtime.ceiling().live(), 1);

    // A trap ends the instance, and so does whoever drops its call.
    house.runtime.call("app:kept", [0]).wait().expect_err("it traps");
    assert_eq!((stats(&house, "kept").kept, host().live()), (0, 0));
    assert_eq!(three("app:kept"), [1, 2, 3].map(Payload::from));
    let call = house.runtime.call("app:kept", [2000]);
    until("it waits", || living(&house, "kept") == 1);
    drop(call);
    until("it is gone", || stats(&house, "kept").busy == 0);
    assert_eq!(three("app:kept"), [1, 2, 3].map(Payload::from));

    // Each call has the time of a call.
    for calls in 4..8 {
        clock.advance(Duration::from_secs(50)).expect("a manual clock");
        assert_eq!(value(house.runtime.call("app:kept", [1])), calls.into());
    }
    let late = house.runtime.call("app:kept", [70_000]);
    until("it waits", || house.runtime.manager().processes().iter().any(|process| process.state == State::Blocked));
    clock.advance(Duration::from_secs(60)).expect("a manual clock");
    assert_eq!(late.wait().expect_err("too long").kind(), CallErrorKind::Timeout);
    assert_eq!(value(house.runtime.call("app:kept", [1])), 1.into());

    // It goes on with the code that it was made from when its workers have got code of their own for the function.
    for calls in 2..2000 {
        assert_eq!(value(house.runtime.call("app:kept", [1])), calls.into());
    }

    // Each slot has its own, and they go with the slots.
    let at_once: Vec<_> = (0..3).map(|_| house.runtime.call("app:lazy", [2000])).collect();
    until("all wait", || living(&house, "lazy") == 3);
    until("all are done", || {
        clock.advance(Duration::from_secs(1)).expect("a manual clock");
        at_once.iter().all(Call::is_complete)
    });
    assert!(at_once.into_iter().all(|call| value(call) == 1.into()));
    assert_eq!(value(house.runtime.call("app:lazy", [1])), 2.into());
    assert_eq!(stats(&house, "lazy").kept, 3);
    until("the idle ones go", || {
        clock.advance(Duration::from_secs(10)).expect("a manual clock");
        stats(&house, "lazy").slots == 0
    });
    until("only the one of `kept` lives", || host().live() == 1);

    for name in ["Ann", "Bob", "Cy"] {
        assert_eq!(value(house.runtime.call("app:greet", [name])), format!("Hello, {name}!").into());
    }
    assert!(house.runtime.shutdown(PATIENCE).is_empty());
    assert_eq!(house.runtime.ceiling().live(), 0);
}

#[test]
fn memory_of_a_kept_instance_stays_charged_and_output_is_counted_anew() {
    const HOARD: &str = r#"
        (module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "hoard") (param $pages i32) (result i32)
            (i32.store (i32.const 0) (i32.const 64))
            (i32.store (i32.const 4) (i32.const 100))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (memory.grow (local.get $pages))))"#;
    let limits = ", pool: { type: inline }, limits: { max_memory: 1MiB, max_output: 150 }, isolation: reuse";
    let house = House::new(&text_function("hoard", HOARD, "hoard", limits));
    let hoard = |pages: i32| value(house.runtime.call("app:hoard", [pages]));
    assert_eq!([hoard(5), hoard(5), hoard(5)], [1, 6, 11].map(Payload::from), "a hundred bytes each");
    assert_eq!(hoard(1), (-1).into(), "all 16 pages are in use");
}
