use wippy::process::{Exit, Payload};
use wippy::reactor::Clock;
use wippy::security::Actor;

use super::{ann, policy, start, start_as};
use crate::support::{House, app, guest_index};

/// An application of a script `app:script`, a guest and policies of the group `g`.
fn house(script: &str, policies: &[String]) -> House {
    let index = guest_index(&format!(
        "- {{ name: script, kind: process.lua, source: 'file://script.lua', method: main, modules: [funcs, security, time] }}
         - {{ name: echo, kind: process.wasm, guest: society, method: echo, imports: [wippy:process, wasi:clocks, wasi:poll], process: {{ signal: any }} }}
         - {{ name: child, kind: process.lua, source: 'file://child.lua', method: main, modules: [security] }}
         - {{ name: function, kind: function.lua, source: 'file://child.lua', method: main, modules: [security] }}
         - {{ name: other, kind: process.host }}
{}",
        policies.concat()
    ));
    // Tells of each call: what it gave, or the kind and the words of its error.
    let tell = "local told = {}\n\
                local function tell(value, problem)\n\
                told[#told + 1] = problem and problem:kind() .. ': ' .. tostring(problem) or tostring(value)\n\
                return value end\n";
    let script = format!("{tell}{script}\nreturn {{ main = main }}\n");
    let child = "return { main = function() local a = security.actor() return a and a:id() .. ' ' .. #security.scope():policies() end }\n";
    House::of(app(&[("_index.yaml", &index), ("script.lua", &script), ("child.lua", child)]), Clock::real())
}

#[track_caller]
fn told(exit: &Exit) -> Vec<String> {
    let Exit::Returned(Payload::List(told)) = exit else { panic!("{exit}") };
    told.iter().map(|line| line.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn scripts_are_asked_as_guests_are() {
    let script = "
local function main(target)
  tell(process.spawn('app:echo', 'app:processes'))
  tell(process.spawn('app:vault', 'app:processes'))
  tell(process.spawn('app:echo', 'app:other'))
  tell(process.spawn_monitored('app:echo', 'app:processes'))
  tell(process.spawn_linked('app:echo', 'app:processes'))
  tell(process.exec('app:child', 'app:processes'))
  tell(process.send(target, 'a'))
  tell(process.terminate(target))
  tell(process.cancel(target))
  tell(process.monitor(target))
  tell(process.registry.register('me'))
  return told
end";
    let house = house(
        script,
        &[
            policy("all", "allow", "'*'", "'*'", ""),
            policy("starts", "deny", "process.spawn", "'app:va*'", ""),
            policy("hosts", "deny", "process.host", "'app:other'", ""),
            policy("forms", "deny", "[process.spawn.monitored, process.spawn.linked, process.exec]", "'*'", ""),
            policy("deeds", "deny", "[process.send, process.terminate, process.registry.register]", "'*'", ""),
        ],
    );
    let target = house.runtime.manager().spawn(start("echo", [])).expect("it starts");
    let pid = target.pid().to_string();
    let told = told(&start_as(&house, ann(), "script", [pid.as_str().into()]).wait());
    let denied = |deed: &str| format!("PermissionDenied: not allowed to {deed}");
    assert!(told[0].starts_with("{app:processes|"), "{told:?}");
    assert_eq!(
        told[1..8],
        [
            denied("spawn process: app:vault"),
            denied("spawn process on host: app:other"),
            denied("spawn monitored process: app:echo"),
            denied("spawn linked process: app:echo"),
            denied("execute process: app:child"),
            denied(&format!("send to process: {pid}")),
            denied(&format!("terminate process: {pid}")),
        ]
    );
    assert_eq!(told[8..], ["true".to_owned(), "true".to_owned(), denied("register name: me")]);
}

#[test]
fn scripts_start_processes_as_others_where_they_may() {
    let script = "
local function main()
  tell(security.actor():id()); tell(security.actor():meta().level)
  tell(security.can('process.spawn', 'app:child')); tell(security.can('other', 'it')); tell(security.can('other', 'it', { size = 5 }))
  tell(process.exec('app:child', 'app:processes'))
  local bob = security.new_actor('bob', { team = 'core' })
  tell(bob:id() .. bob:meta().team)
  local scope = tell(security.named_scope('g')) and security.named_scope('g')
  local as = process.with_options({}):with_actor(bob)
  tell(as:exec('app:child', 'app:processes'))
  local one = security.new_scope({ security.policy('app:starts') })
  tell(as:with_scope(one):exec('app:child', 'app:processes'))
  tell(one:evaluate(bob, 'process.exec', 'app:child')); tell(one:evaluate(bob, 'other', 'it'))
  tell(security.policy('app:sized'):evaluate(bob, 'other', 'it', { size = 5 }))
  local more = one:with(security.policy('app:sized'))
  tell(#more:policies()); tell(more:contains('app:sized')); tell(more:without('app:sized'):contains('app:sized'))
  tell(security.policy('app:none')); tell(security.named_scope('none'))
  tell((pcall(as.with_actor, as, 5)))
  tell((pcall(security.new_actor, 'x', { a = ('x'):rep(16000) }))); tell((pcall(security.new_actor, 'x', { a = ('x'):rep(16385) })))
  return told
end";
    let sized = ", conditions: [{ field: meta.size, operator: gt, value: 4 }]";
    let house = |security: &str| {
        house(
            script,
            &[
                policy("starts", "allow", "['process.spawn', process.exec, process.host]", "'*'", ""),
                policy("sized", "allow", "other", "it", sized),
                policy("makes", "allow", security, "'*'", ""),
            ],
        )
    };
    let ann = || Actor::new("ann").with("level", 5);
    let trusted = house("['security.*', process.security]");
    let said = told(&start_as(&trusted, ann(), "script", []).wait());
    assert_eq!(said[..7], ["ann", "5", "true", "false", "true", "ann 3", "bobcore"]);
    assert_eq!(said[8..10], ["bob 3", "bob 1"], "{said:?}");
    assert_eq!(said[10..16], ["allow", "undefined", "allow", "2", "true", "false"]);
    let missing = ["Internal: policy not found: app:none", "Internal: policy group not found: none", "false"];
    assert_eq!(said[16..19], missing);
    assert_eq!(said[19..], ["true", "false"], "what is known of an actor has a bound");
    // What makes actors and scopes needs leave, and so does their use.
    let bound = house("'security.*'");
    let said = told(&start_as(&bound, ann(), "script", []).wait());
    assert_eq!(said[8..10], ["PermissionDenied: not allowed to change actor or scope: security"; 2]);
    let none = house("nothing");
    let exit = start_as(&none, ann(), "script", []).wait();
    assert!(exit.to_string().contains("script:10: not allowed to create actor with ID: bob"), "{exit}");
    // Nobody is not asked, and has neither.
    let nobody = trusted.runtime.manager().spawn(start("child", [])).expect("it starts").wait();
    assert_eq!(nobody, Exit::Returned(Payload::Nil));
}

#[test]
fn what_is_made_and_looked_up_needs_leave() {
    let script = "
local function raised(body, ...) local ok, problem = pcall(body, ...) tell(ok and 'made' or problem) end
local function main()
  tell(security.policy('app:all')) tell(security.named_scope('g'))
  raised(security.new_actor, 'bob') raised(security.new_scope, {}) raised(security.token_store, 'app:tokens')
  local scope = security.scope()
  local policy = scope:policies()[1]
  raised(scope.with, scope, policy) raised(scope.without, scope, policy)
  tell(scope:contains(policy)); tell(scope:contains(policy:id())); tell(scope:contains({ ns = 'app', name = 'all' }))
  tell(scope:contains('app:nothing')); raised(scope.contains, scope, { ns = 'app' }); raised(scope.contains, scope, 5)
  return told
end";
    let all = policy("all", "allow", "'*'", "'*'", "");
    let denied = told(
        &start_as(
            &house(script, &[all.clone(), policy("none", "deny", "'security.*'", "'*'", "")]),
            ann(),
            "script",
            [],
        )
        .wait(),
    );
    assert_eq!(
        denied[..7],
        [
            "Invalid: not allowed to access policy: app:all",
            "Invalid: not allowed to access policy group: g",
            "not allowed to create actor with ID: bob",
            "not allowed to create scope: custom",
            "not allowed to get token store: app:tokens",
            "not allowed to add policy to scope: with",
            "not allowed to remove policy from scope: without",
        ]
    );
    let bad = "bad argument #1 to 'contains' ";
    let told_of = ["true", "true", "true", "false"].map(str::to_owned);
    let refused = [
        format!("{bad}(a table with `ns` and `name` expected)"),
        format!("{bad}(the ID of a policy, or a policy, expected)"),
    ];
    assert_eq!(denied[7..], [&told_of[..], &refused[..]].concat());
    let allowed = told(&start_as(&house(script, &[all]), ann(), "script", []).wait());
    assert!(allowed[0].starts_with("userdata") && allowed[1].starts_with("userdata"), "{allowed:?}");
    assert_eq!(allowed[2..7], ["made"; 5]);
    // One resource of them is enough.
    let only = policy("only", "allow", "security.scope.create", "with", "");
    let some = told(&start_as(&house(script, &[only]), ann(), "script", []).wait());
    assert_eq!(some[5..7], ["made", "not allowed to remove policy from scope: without"]);
}

#[test]
fn a_script_may_upgrade_itself_unless_a_policy_denies_it() {
    let script = "
local function main(again)
  if again then return told end
  tell(process.upgrade('app:vault'))
  tell(process.upgrade(nil, true))
  process.upgrade('app:child')
end";
    let upgraded = |policies: &[String]| start_as(&house(script, policies), ann(), "script", []).wait();
    let denied = |deed: &str| format!("PermissionDenied: not allowed to upgrade to process: {deed}");
    // Who it acts as stays; and what no policy names is allowed, as in Wippy.
    let others = policy("p", "deny", "process.upgrade", "[app:vault, app:script]", "");
    assert_eq!(upgraded(std::slice::from_ref(&others)), Exit::Returned("user:ann 1".into()));
    let own = ", conditions: [{ field: meta.pid, operator: exists }]";
    let all = policy("all", "deny", "process.upgrade", "'*'", own);
    let exit = upgraded(&[policy("more", "allow", "'*'", "'*'", ""), all]);
    assert_eq!(exit, Exit::Returned(Payload::Nil), "each was denied, and it went on");
    let told_of = "
local function main()
  tell(process.upgrade('app:vault')) tell(process.upgrade(nil, true))
  return told
end";
    let told = told(&start_as(&house(told_of, &[others]), ann(), "script", []).wait());
    assert_eq!(told, [denied("app:vault"), denied("app:script")]);
    // Nobody is not asked.
    let house = house(script, &[policy("p", "deny", "'*'", "'*'", "")]);
    let exit = house.runtime.manager().spawn(start("script", [])).expect("it starts").wait();
    assert!(exit.to_string().contains("upgrade: no process entry `app:vault`"), "{exit}");
}

#[test]
fn scripts_call_functions_as_they_may() {
    let script = "
local function main()
  tell(funcs.call('app:function')); tell(funcs.call('app:vault')); tell(funcs.async('app:vault'))
  local scope = security.named_scope('g')
  tell(funcs.new():with_context({ a = 1 }):call('app:function'))
  tell(funcs.new():with_actor(security.new_actor('bob')):call('app:function'))
  tell(funcs.new():with_scope(security.new_scope({})):async('app:function'))
  return told
end";
    let called = |more: &[String]| {
        let policies =
            [&[policy("all", "allow", "'*'", "'*'", ""), policy("vault", "deny", "funcs.call", "'app:va*'", "")], more]
                .concat();
        told(&start_as(&house(script, &policies), ann(), "script", []).wait())
    };
    let allowed = called(&[]);
    let vault = "PermissionDenied: not allowed: app:vault";
    assert_eq!(allowed[..5], ["user:ann 2", vault, vault, "user:ann 2", "bob 2"]);
    assert!(!allowed[5].starts_with("PermissionDenied"), "{allowed:?}");
    let refused = called(&[policy("manner", "deny", "[funcs.context, funcs.security]", "'*'", "")]);
    let context = "PermissionDenied: not allowed to give a function context: context";
    let actor = "PermissionDenied: not allowed to change actor or scope of a function: security";
    assert_eq!(refused[3..], [context, actor, actor]);
}
