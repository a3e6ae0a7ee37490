//! Functions that are scripts: called from Rust, by scripts and by guests, and ended with who called.

use wippy::Runtime;
use wippy::function::{CallErrorKind, PoolKind};
use wippy::process::{Exit, Payload};
use wippy::reactor::Clock;

use crate::support::{House, app, fixture, guest_index};
use crate::yielding::stage::until;

/// Answers with what it is given, fails, or never ends.
const SCRIPT: &str = "return {
  echo = function(...) return ... end,
  fail = function() error('broken') end,
  refuse = function() return nil, errors.new('refused') end,
  spin = function() while true do pcall(function() while true do end end) end end,
  wait = function() channel.new():receive() end,
  sleep = function() time.sleep('1h') end,
}
";

/// A function for each of its methods, scripts that call them, and a guest that does.
fn house(callers: &[(&str, &str)]) -> House {
    let mut index: String = ["echo", "fail", "refuse", "spin", "wait", "sleep"]
        .map(|method| {
            let more = match method {
                "spin" => ", limits: { max_cpu: 10s }",
                "sleep" => ", pool: { max_size: 2 }",
                _ => "",
            };
            format!("- {{ name: {method}, kind: function.lua, source: 'file://script.lua', method: {method}, modules: [time]{more} }}\n")
        })
        .concat();
    for (name, script) in callers {
        index.push_str(&format!(
            "- {{ name: {name}, kind: process.lua, source: \"{script}\", method: main, modules: [funcs] }}\n"
        ));
    }
    for method in ["text", "bytes"] {
        index.push_str(&format!(
            "- {{ name: guest-{method}, kind: process.wasm, guest: funcs, method: {method}, imports: [funcs] }}\n"
        ));
    }
    let index = guest_index(&index);
    House::of(app(&[("_index.yaml", &index), ("script.lua", SCRIPT)]), Clock::real())
}

fn living(house: &House, name: &str) -> usize {
    let processes = house.runtime.manager().processes();
    processes.iter().filter(|process| process.entry.to_string() == format!("app:{name}")).count()
}

#[test]
fn rust_calls_scripts() {
    let runtime = Runtime::builder().load(fixture("apps/lua-core")).build().expect("an application");
    let value = runtime.call("app:work", ["add".into(), Payload::from(40), 2.into()]).wait();
    assert_eq!(value.expect("a value"), 42.into());
    let house = house(&[]);
    let table = Payload::parse_json(r#"{"a": [1, 2.5, "x", true]}"#).expect("JSON");
    assert_eq!(house.runtime.call("app:echo", [table.clone()]).wait().expect("a value"), table);
    let error = house.runtime.call("app:fail", [0; 0]).wait().expect_err("it raises");
    assert_eq!(error.kind(), CallErrorKind::Internal);
    let text = error.to_string();
    assert!(text.starts_with("`app:fail`: app:fail:3: broken\n  3 |   fail = function"), "{text}");
    let error = house.runtime.call("app:refuse", [0; 0]).wait().expect_err("it returns an error");
    assert_eq!(error.to_string(), "`app:refuse`: refused");
    let error = house.runtime.call("app:wait", [0; 0]).wait().expect_err("nobody sends");
    assert!(error.to_string().contains("every coroutine waits for another one"), "{error}");
}

#[test]
fn a_guest_calls_scripts() {
    let house = house(&[]);
    let said = |method: &str, target: &str, input: Payload| match house
        .runtime
        .spawn(&format!("app:guest-{method}"), [target.into(), input])
        .expect("a process")
        .wait()
    {
        Exit::Returned(value) => value.to_string(),
        exit => panic!("{exit}"),
    };
    assert_eq!(said("text", "app:echo", "hello".into()), r#"{"ok":"hello"}"#);
    assert_eq!(said("bytes", "app:echo", Payload::Bytes(b"ab".to_vec().into())), r#"{"ok":[97,98]}"#);
    assert!(said("text", "app:fail", "x".into()).starts_with(r#"{"err":"`app:fail`: app:fail:3: broken"#));
    assert_eq!(said("text", "app:refuse", "x".into()), r#"{"err":"`app:refuse`: refused"}"#);
}

#[test]
fn a_call_ends_with_whoever_made_it() {
    let house = house(&[
        ("leaves", "return { main = function(f) funcs.async('app:spin') funcs.async(f) funcs.call('app:echo') end }"),
        ("waits", "return { main = function(f) funcs.call(f) end }"),
    ]);
    let call = house.runtime.call("app:spin", [0; 0]);
    until("it spins", || living(&house, "spin") == 1);
    drop(call);
    until("it is ended", || living(&house, "spin") == 0);
    // By a script that returns.
    let leaves = house.runtime.spawn("app:leaves", ["app:sleep"]).expect("a process");
    assert_eq!(leaves.wait(), Exit::Returned(Payload::Nil));
    until("both are ended", || living(&house, "spin") + living(&house, "sleep") == 0);
    // By one that is terminated, computing or not.
    for function in ["spin", "sleep"] {
        let waits = house.runtime.spawn("app:waits", [format!("app:{function}")]).expect("a process");
        until("it is called", || living(&house, function) == 1);
        waits.terminate();
        assert_eq!(waits.wait(), Exit::Terminated);
        until("it is ended", || living(&house, function) == 0);
    }
}

#[test]
fn a_script_has_the_slots_of_its_pool() {
    let house = house(&[]);
    let calls: Vec<_> = (0..3).map(|_| house.runtime.call("app:sleep", [0; 0])).collect();
    let stats = || house.runtime.functions().stats(&"app:sleep".parse().expect("an ID")).expect("a function");
    until("two of them run", || living(&house, "sleep") == 2);
    assert_eq!((stats().kind, stats().busy, stats().queued), (PoolKind::Lazy, 2, 1));
    drop(calls);
    until("nothing is left", || stats().busy + stats().queued == 0);
}

#[test]
fn a_call_ends_at_its_limits() {
    let runtime = Runtime::builder().load(fixture("apps/lua-core")).build().expect("an application");
    let error = runtime.call("app:spin", [0; 0]).wait().expect_err("it never ends");
    assert_eq!(error.kind(), CallErrorKind::Timeout);
    assert!(error.to_string().starts_with("`app:spin`: limit `max_cpu` exceeded: allowed 50ms"), "{error}");
}

/// Counts its calls, as whoever it is of now, and leaves something behind when it is told to.
const COUNT: &str = "local calls, held = 0, {}
return { count = function(what)
  calls = calls + 1
  if what == 'fail' then error('broken') end
  if what == 'raise in between' then pcall(error, 'caught') end
  if what == 'leave a coroutine' then coroutine.spawn(function() time.sleep('1h') end) end
  if what == 'listen' then process.listen('news') end
  if what == 'wait' then time.sleep('1ms') end
  if what == 'hold' then held[#held + 1] = string.rep('x', 150 << 10) end
  if what == 'spin' then while true do end end
  return calls .. ' ' .. process.pid()
end }
";

#[test]
fn a_vm_is_kept_where_that_is_wanted() {
    let function = |name: &str, more: &str| {
        format!(
            "- {{ name: {name}, kind: function.lua, source: 'file://count.lua', method: count, modules: [time], \
             pool: {{ type: inline }}, limits: {{ max_memory: 1MiB, max_cpu: 5s }}{more} }}\n"
        )
    };
    let index = guest_index(&(function("fresh", "") + &function("kept", ", isolation: reuse")));
    let house = House::of(app(&[("_index.yaml", &index), ("count.lua", COUNT)]), Clock::real());
    let stats = || house.runtime.functions().stats(&"app:kept".parse().expect("an ID")).expect("a function");
    // Which call of its VM it was, and of which process.
    let call = |entry: &str, what: &str| {
        let said = house.runtime.call(entry, [what]).wait().expect("a value");
        let (count, pid) = said.as_str().expect("a text").split_once(' ').expect("two words");
        (count.parse::<u32>().expect("a number"), pid.to_owned())
    };
    let count = |what: &str| call("app:kept", what).0;
    assert_eq!([(); 2].map(|()| call("app:fresh", "").0), [1, 1]);
    let (first, second) = (call("app:kept", ""), call("app:kept", "wait"));
    assert_eq!((first.0, second.0), (1, 2));
    assert_ne!(first.1, second.1, "each call is a process of its own");
    assert_eq!((count("raise in between"), stats().kept), (3, 1));

    // What it leaves going on, a listener, an error and a limit end the VM with the call.
    for what in ["leave a coroutine", "listen"] {
        assert!(count(what) > 1);
        assert_eq!((stats().kept, count(""), count("")), (0, 1, 2), "{what}");
    }
    for what in ["fail", "spin"] {
        house.runtime.call("app:kept", [what]).wait().expect_err("no value");
        assert_eq!((stats().kept, count(""), count("")), (0, 1, 2), "{what}");
    }

    // What it holds is charged to the one that goes on with it.
    let held = (0..10).map_while(|_| house.runtime.call("app:kept", ["hold"]).wait().ok()).count();
    assert!((2..7).contains(&held), "each of {held} calls held 150 KiB of the 1 MiB that they have together");
    assert_eq!(stats().kept, 0);
    assert_eq!(count(""), 1);
    assert!(house.runtime.shutdown(std::time::Duration::from_secs(60)).is_empty());
    assert_eq!(house.runtime.ceiling().live(), 0);
}
