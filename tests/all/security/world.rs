use wippy::process::{Exit, Payload};
use wippy::reactor::Clock;

use super::{ann, policy, start, start_as};
use crate::support::{House, app, guest_index};

const SCRIPT: &str = "
local told = {}
local function tell(value, problem)
  told[#told + 1] = problem and problem:kind() .. ': ' .. tostring(problem) or tostring(value)
end
local function main()
  local vol, problem = fs.get('app:data')
  tell(vol ~= nil, problem)
  tell(fs.get('app:secret'))
  tell(fs.get('app:nothing'))
  tell(env.get('LEVEL')) tell(env.get('app:level'))
  tell(env.get('TOKEN')) tell(env.get('app:token')) tell(env.get('token'))
  tell(env.get('NOTHING'))
  tell(env.set('LEVEL', 'x')) tell(env.set('OTHER', 'y'))
  local all = env.get_all()
  tell(all.LEVEL) tell(all.TOKEN) tell(all.OTHER)
  tell(events.send('internal', 'k', '/')) tell(events.send('open', 'k', '/'))
  local sub
  sub, problem = events.subscribe('internal')
  tell(sub ~= nil, problem)
  sub, problem = events.subscribe('open')
  tell(sub ~= nil, problem)
  return told
end
return { main = main }
";

/// An application of the script and policies of the group `g`.
fn house(policies: &[String]) -> House {
    let index = guest_index(&format!(
        "- {{ name: script, kind: process.lua, source: 'file://script.lua', method: main, modules: [fs, env, events] }}
         - {{ name: data, kind: fs.directory, directory: data, auto_init: true }}
         - {{ name: secret, kind: fs.directory, directory: secret, auto_init: true }}
         - {{ name: memory, kind: env.storage.memory }}
         - {{ name: level, kind: env.variable, storage: app:memory, variable: LEVEL, default: low }}
         - {{ name: token, kind: env.variable, storage: app:memory, variable: TOKEN, default: secret }}
         - {{ name: other, kind: env.variable, storage: app:memory, variable: OTHER, default: none }}
{}",
        policies.concat()
    ));
    House::of(app(&[("_index.yaml", &index), ("script.lua", SCRIPT)]), Clock::real())
}

#[track_caller]
fn told(exit: &Exit) -> Vec<String> {
    let Exit::Returned(Payload::List(told)) = exit else { panic!("{exit}") };
    told.iter().map(|line| line.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn files_variables_and_events_need_leave() {
    let house = house(&[
        policy("all", "allow", "'*'", "'*'", ""),
        policy("volumes", "deny", "fs.get", "[app:secret, app:nothing]", ""),
        // By its ID: it can't be had by its public name either.
        policy("reads", "deny", "env.get", "[app:token, NOTHING]", ""),
        policy("writes", "deny", "env.set", "LEVEL", ""),
        policy("bus", "deny", "['events.send', 'events.subscribe']", "internal", ""),
    ]);
    let said = told(&start_as(&house, ann(), "script", []).wait());
    let denied = |deed: &str| format!("PermissionDenied: not allowed to {deed}");
    assert_eq!(
        said,
        [
            "true".to_owned(),
            denied("access filesystem: app:secret"),
            denied("access filesystem: app:nothing"),
            "low".to_owned(),
            "low".to_owned(),
            denied("read environment variable: TOKEN"),
            denied("read environment variable: app:token"),
            denied("read environment variable: token"),
            denied("read environment variable: NOTHING"),
            denied("set environment variable: LEVEL"),
            "true".to_owned(),
            "low".to_owned(),
            "nil".to_owned(),
            "y".to_owned(),
            denied("send events to system: internal"),
            "true".to_owned(),
            denied("subscribe to events of system: internal"),
            "true".to_owned(),
        ]
    );
}

#[test]
fn without_leave_for_anything_nothing_is_had() {
    let bound = house(&[policy("nothing", "allow", "nothing", "nothing", "")]);
    let said = told(&start_as(&bound, ann(), "script", []).wait());
    let refused = said.iter().filter(|line| line.starts_with("PermissionDenied: not allowed to ")).count();
    assert_eq!((refused, said.iter().filter(|line| *line == "nil").count()), (15, 3), "{said:?}");
    // Nobody is not asked.
    let said = told(&bound.runtime.manager().spawn(start("script", [])).expect("it starts").wait());
    assert!(!said.iter().any(|line| line.contains("PermissionDenied")), "{said:?}");
}
