use wippy::process::{Exit, Payload, Start};
use wippy::reactor::Clock;
use wippy::security::Actor;

use super::{ann, answers, denied, policy, script, start, start_as};
use crate::support::{House, app, guest_index};

/// Says who it acts as, or tries something, in the words of its error.
const FUNCTION: &str = "
local deeds = {
  who = function() local a = security.actor() return a and a:id() .. ' ' .. #security.scope():policies() or 'nobody' end,
  call = function() return funcs.call('app:vault', 'who') end,
  spawn = function() return process.spawn('app:echo', 'app:processes') end,
  elsewhere = function() return process.spawn('app:echo', 'app:other') end,
  folder = function() return fs.get('app:data') end,
  variable = function() return env.get('LEVEL') end,
}
return { main = function(deed)
  local value, problem = deeds[deed]()
  return problem and problem:kind() .. ': ' .. problem:message() or tostring(value)
end }
";

/// A script that calls with each of its arguments, a function and what that is to do.
const SCRIPT: &str = "
return { main = function(...)
  local told = {}
  for at, call in ipairs({ ... }) do
    local value, problem = funcs.call(call:match('([^ ]+) (.*)'))
    told[at] = problem and problem:kind() .. ': ' .. problem:message() or value
  end
  return told
end }
";

/// An application with guests and scripts that call, functions, and policies of the group `g`. Functions run on the host
/// `processes`, which acts as somebody itself, by a policy that allows everything.
fn house_of(policies: &[String], config: &str) -> House {
    let all = policy("hosts", "allow", "'*'", "'*'", "").replace("groups: [g]", "groups: [hosts]");
    let index = guest_index(&format!(
        "- {{ name: text, kind: process.wasm, guest: funcs, method: text, imports: [funcs] }}
         - {{ name: script, kind: process.lua, source: 'file://script.lua', method: main, modules: [funcs] }}
         - {{ name: relay, kind: process.lua, source: \"return {{ main = function(lines) return funcs.call('app:perform', lines) end }}\", method: main, modules: [funcs] }}
         - {{ name: open, kind: function.lua, source: 'file://function.lua', method: main, modules: [env, fs, funcs, security] }}
         - {{ name: vault, kind: function.lua, source: 'file://function.lua', method: main, modules: [env, fs, funcs, security] }}
         - {{ name: perform, kind: function.wasm, guest: society, method: perform, imports: [wippy:process, wasi:clocks, wasi:poll], process: {{ spawn: ['*'], hosts: ['*'], signal: any }} }}
         - {{ name: echo, kind: process.wasm, guest: society, method: echo, imports: [wippy:process, wasi:clocks, wasi:poll], process: {{ signal: any }} }}
         - {{ name: other, kind: process.host }}
         - {{ name: data, kind: fs.directory, directory: data, auto_init: true }}
         - {{ name: memory, kind: env.storage.memory }}
         - {{ name: level, kind: env.variable, storage: app:memory, variable: LEVEL, default: low }}
{}{all}",
        policies.concat()
    ))
    .replace(
        "{ name: processes, kind: process.host }",
        "{ name: processes, kind: process.host, lifecycle: { auto_start: true, security: { actor: { id: 'host:processes' }, groups: [hosts] } } }",
    );
    let files = [
        ("_index.yaml", index.as_str()),
        ("script.lua", SCRIPT),
        ("function.lua", FUNCTION),
        (".wippy.yaml", &format!("version: '1.0'\n{config}")),
    ];
    House::of(app(&files), Clock::real())
}

fn house(policies: &[String]) -> House {
    house_of(policies, "")
}

/// A start of the script on this host.
fn on(host: &str, calls: impl IntoIterator<Item = Payload>) -> Start {
    let mut start = start("script", calls);
    start.host = host.parse().expect("an ID");
    start
}

#[track_caller]
fn told(exit: &Exit) -> Vec<String> {
    let Exit::Returned(Payload::List(told)) = exit else { panic!("{exit}") };
    told.iter().map(|line| line.as_str().expect("a text").to_owned()).collect()
}

/// What a guest is told that calls this.
#[track_caller]
fn guest(house: &House, actor: Actor, target: &str, input: &str) -> String {
    match start_as(house, actor, "text", [target.into(), input.into()]).wait() {
        Exit::Returned(value) => value.to_string(),
        exit => panic!("{exit}"),
    }
}

#[test]
fn a_call_is_made_by_those_who_may() {
    let house = house(&[
        policy("calls", "allow", "funcs.call", "'app:*'", ""),
        policy("vaults", "deny", "funcs.call", "'app:va*'", ""),
    ]);
    let said = told(
        &start_as(&house, ann(), "script", ["app:open who", "app:vault who", "app:none who"].map(Payload::from)).wait(),
    );
    assert_eq!(said[..2], ["user:ann 2", "PermissionDenied: not allowed: app:vault"]);
    assert!(said[2].starts_with("NotFound: "), "it may be called, and is not there: {said:?}");
    assert_eq!(guest(&house, ann(), "app:open", "who"), r#"{"ok":"user:ann 2"}"#);
    assert_eq!(guest(&house, ann(), "app:vault", "who"), r#"{"err":"not allowed: app:vault"}"#);
    // Without a policy that allows it, nothing is called, and nothing learned of what there is.
    let bound = house_of(&[policy("other", "allow", "process.send", "'*'", "")], "");
    let refused = ["app:open", "app:none"].map(|target| format!("PermissionDenied: not allowed: {target}"));
    assert_eq!(
        told(&start_as(&bound, ann(), "script", ["app:open who", "app:none who"].map(Payload::from)).wait()),
        refused
    );
    assert_eq!(guest(&bound, ann(), "app:open", "who"), r#"{"err":"not allowed: app:open"}"#);
}

#[test]
fn what_is_known_of_the_caller_decides() {
    let high = ", conditions: [{ field: actor.meta.level, operator: gte, value: 5 }]";
    let own = ", conditions: [{ field: meta.pid, operator: contains, value: 'app:other' }]";
    let house = house(&[
        policy("p-open", "allow", "funcs.call", "'app:open'", high),
        policy("p-vault", "allow", "funcs.call", "'app:vault'", own),
    ]);
    let bob = || Actor::new("user:bob").with("level", 5);
    let calls = || ["app:open who", "app:vault who"].map(Payload::from);
    let refused = ["app:open", "app:vault"].map(|target| format!("PermissionDenied: not allowed: {target}"));
    assert_eq!(told(&start_as(&house, ann(), "script", calls()).wait()), refused);
    let said = told(&start_as(&house, bob(), "script", calls()).wait());
    assert_eq!(said, ["user:bob 2", &refused[1]]);
    assert_eq!(guest(&house, ann(), "app:open", "who"), r#"{"err":"not allowed: app:open"}"#);
    assert_eq!(guest(&house, bob(), "app:open", "who"), r#"{"ok":"user:bob 2"}"#);
    // By where it calls from.
    let elsewhere = on("app:other", calls());
    let scope = house.runtime.policies().group("g").expect("the policies");
    let caller = house.runtime.manager().spawn(elsewhere.actor(ann()).scope(scope)).expect("it starts");
    assert_eq!(told(&caller.wait()), [&refused[0], "user:ann 2"]);
}

#[test]
fn a_function_acts_as_its_caller_and_with_no_more() {
    let few = house(&[policy("calls", "allow", "funcs.call", "'app:open'", "")]);
    let deeds = ["who", "call", "spawn", "elsewhere", "folder", "variable"];
    let calls = || deeds.map(|deed| Payload::from(format!("app:open {deed}")));
    let said = told(&start_as(&few, ann(), "script", calls()).wait());
    let denied_to = |deed: &str| format!("PermissionDenied: not allowed to {deed}");
    // Its host may do everything, and is not who it acts as.
    let expected = [
        "user:ann 1".to_owned(),
        "PermissionDenied: not allowed: app:vault".to_owned(),
        denied_to("spawn process: app:echo"),
        denied_to("spawn process: app:echo"),
        denied_to("access filesystem: app:data"),
        denied_to("read environment variable: LEVEL"),
    ];
    assert_eq!(said, expected);
    for (deed, expected) in deeds.iter().zip(&expected) {
        assert_eq!(guest(&few, ann(), "app:open", deed), format!(r#"{{"ok":"{expected}"}}"#));
    }
    // What its caller may do it may, each step of the way by the same policies.
    let more = house(&[
        policy("calls", "allow", "funcs.call", "'*'", ""),
        policy("starts", "allow", "[process.spawn, env.get]", "'*'", ""),
        policy("hosts-of-ann", "allow", "process.host", "'app:processes'", ""),
    ]);
    let said = told(&start_as(&more, ann(), "script", calls()).wait());
    assert_eq!(said[..2], ["user:ann 3", "user:ann 3"]);
    assert!(said[2].starts_with("{app:processes|"), "{said:?}");
    let rest =
        [denied_to("spawn process on host: app:other"), denied_to("access filesystem: app:data"), "low".to_owned()];
    assert_eq!(said[3..], rest);
}

#[test]
fn a_function_of_wasm_acts_as_its_caller_too() {
    let house = house(&[policy("calls", "allow", "[funcs.call, process.send]", "'*'", "")]);
    let lines = ["spawn app:echo", "register me", "send @ a"];
    let scope = house.runtime.policies().group("g").expect("the policies");
    let start = start("relay", script(&lines)).actor(ann()).scope(scope);
    let said = answers(&house.runtime.manager().spawn(start).expect("it starts"));
    assert_eq!(said, [denied("spawn process: app:echo"), denied("register name: me"), "ok".to_owned()]);
}

#[test]
fn without_an_actor_a_function_acts_as_its_host_and_in_strict_mode_nobody_calls() {
    let policies = [policy("calls", "deny", "funcs.call", "'*'", "")];
    let call = |house: &House, host: &str| {
        let caller = house.runtime.manager().spawn(on(host, ["app:open who".into()]));
        told(&caller.expect("it starts").wait())
    };
    // Nobody is not asked, and the host of functions has an identity.
    let open = house(&policies);
    assert_eq!(call(&open, "app:other"), ["host:processes 1"]);
    assert_eq!(call(&open, "app:processes"), ["host:processes 1"]);
    let strict = house_of(&policies, "security: { strict_mode: true }");
    assert_eq!(call(&strict, "app:other"), ["PermissionDenied: not allowed: app:open"]);
    // An embedder's call is nobody's, too.
    let value = open.runtime.call("app:open", ["who"]).wait().expect("an answer");
    assert_eq!(value, "host:processes 1".into());
}
