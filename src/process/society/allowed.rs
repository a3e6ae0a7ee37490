//! What policies say of what processes do with each other.

use super::*;
use crate::registry::{Condition, ConditionOperator, Effect, FieldPath, Operand, PolicySpec, PolicyTest};
use crate::security::{Actor as Somebody, Denied, Scope};

/// A policy `app:{name}`.
fn spec(actions: &[&str], resources: &[&str], effect: Effect, conditions: Vec<Condition>) -> PolicySpec {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let test = PolicyTest::Conditions(conditions);
    PolicySpec { actions: texts(actions), resources: texts(resources), effect, test, groups: Vec::new() }
}

fn scope(specs: &[PolicySpec]) -> Scope {
    let named = specs.iter().enumerate().map(|(at, spec)| (id(&format!("app:policy{at}")), spec));
    let (policies, invalid) = Policies::of(named);
    assert!(invalid.is_empty());
    Scope::new((0..specs.len()).map(|at| Arc::clone(policies.get(&id(&format!("app:policy{at}"))).expect("declared"))))
}

fn allowing(actions: &[&str], resources: &[&str]) -> PolicySpec {
    spec(actions, resources, Effect::Allow, Vec::new())
}

/// A process that acts as Ann by these policies.
fn by(world: &World, specs: &[PolicySpec]) -> ProcessHandle {
    let start = World::start("app:actor").actor(Somebody::new("ann")).scope(scope(specs));
    world.manager.spawn(start).expect("who starts it from outside is not asked")
}

/// What was refused of something, in the words of the error.
fn refusal<T: std::fmt::Debug>(result: Result<T, impl Into<Refused>>) -> String {
    match result.map_err(Into::into) {
        Err(Refused(Some(denied))) => denied.to_string(),
        other => panic!("it is not denied: {other:?}"),
    }
}

#[derive(Debug)]
struct Refused(Option<Denied>);

impl From<SignalError> for Refused {
    fn from(error: SignalError) -> Self {
        Self(if let SignalError::Denied(denied) = error { Some(denied) } else { None })
    }
}

impl From<SpawnError> for Refused {
    fn from(error: SpawnError) -> Self {
        Self(if let SpawnError::Denied(denied) = error { Some(denied) } else { None })
    }
}

#[test]
fn every_deed_needs_leave_of_its_own() {
    let world = World::new(1);
    let other = world.spawn();
    let pid = other.pid().clone();
    type Deed = fn(&Peers, &Pid) -> Result<(), Refused>;
    let deeds: [(&str, &str, Deed); 12] = [
        ("process.send", "send to process: PID", |peers, pid| Ok(peers.send(pid, word(1))?)),
        ("process.send", "send to process: PID", |peers, pid| Ok(peers.sending(pid, word(1)).map(drop)?)),
        ("process.monitor", "monitor process: PID", |peers, pid| Ok(peers.monitor(pid)?)),
        ("process.unmonitor", "unmonitor process: PID", |peers, pid| Ok(peers.unmonitor(pid)?)),
        ("process.link", "link process: PID", |peers, pid| Ok(peers.link(pid)?)),
        ("process.unlink", "unlink process: PID", |peers, pid| Ok(peers.unlink(pid)?)),
        ("process.cancel", "cancel process: PID", |peers, pid| Ok(peers.cancel(pid, "enough")?)),
        ("process.registry.register", "register name: me", |peers, _| Ok(peers.register("me", &peers.pid().clone())?)),
        ("process.registry.unregister", "unregister name: me", |peers, _| Ok(peers.unregister("me")?)),
        ("process.registry.register", "register name: you", |peers, pid| Ok(peers.register("you", pid)?)),
        ("process.registry.unregister", "unregister name: you", |peers, _| Ok(peers.unregister("you")?)),
        ("process.terminate", "terminate process: PID", |peers, pid| Ok(peers.terminate(pid)?)),
    ];
    // Naming others is a deed of its own beside the name.
    let foreign = ["process.registry.foreign"];
    let permitted = allowing(&foreign.into_iter().chain(deeds.map(|(action, ..)| action)).collect::<Vec<_>>(), &["*"]);
    let trusted = by(&world, &[permitted]);
    for (action, words, deed) in deeds {
        let all_but = [allowing(&["*"], &["*"]), spec(&[action], &["*"], Effect::Deny, Vec::new())];
        let bound = by(&world, &all_but);
        let target = pid.clone();
        let said = world.ask(bound.pid(), move |peers, _| refusal(deed(peers, &target)));
        assert_eq!(said, format!("not allowed to {}", words.replace("PID", &pid.to_string())), "{action}");
        let target = pid.clone();
        world
            .ask(trusted.pid(), move |peers, _| deed(peers, &target))
            .unwrap_or_else(|error| panic!("{action}: {error:?}"));
    }
    assert_eq!(other.wait(), Exit::Terminated, "whoever may does");
    let named = world.spawn();
    let pid = named.pid().clone();
    let bound = by(&world, &[allowing(&["process.registry.register"], &["*"])]);
    let said = world.ask(bound.pid(), move |peers, _| refusal(peers.register("you", &pid)));
    assert_eq!(said, format!("not allowed to name process: {}", named.pid()));
}

#[test]
fn a_start_needs_leave_for_all_that_is_in_it() {
    let world = World::new(1);
    let bound = |actions: &[&str]| by(&world, &[allowing(actions, &["*"])]);
    for (actions, make, words) in [
        (&["process.host"][..], (|_| World::start("app:actor")) as fn(&Peers) -> Start, "spawn process: app:actor"),
        (&["process.spawn"], |_| World::start("app:actor"), "spawn process on host: app:host"),
        (&["process.host", "process.spawn"], |_| World::start("app:actor").for_result(), "execute process: app:actor"),
        (
            &["process.host", "process.spawn", "process.spawn.linked"],
            |peers| World::start("app:actor").monitored_by(peers.pid().clone()),
            "spawn monitored process: app:actor",
        ),
        (
            &["process.host", "process.spawn", "process.spawn.monitored"],
            |peers| World::start("app:actor").linked_with(peers.pid().clone()),
            "spawn linked process: app:actor",
        ),
        (&["process.host", "process.spawn"], |_| World::start("app:actor").name("me"), "register name: me"),
        (
            &["process.host", "process.spawn"],
            |_| World::start("app:actor").actor(Somebody::new("root")),
            "change actor or scope: security",
        ),
        (
            &["process.host", "process.spawn"],
            |_| World::start("app:actor").scope(Scope::default()),
            "change actor or scope: security",
        ),
        (
            &["process.host", "process.spawn"],
            |_| World::start("app:actor").context("a", 1.into()),
            "give a process context: context",
        ),
    ] {
        let said = world.ask(bound(actions).pid(), move |peers, _| refusal(peers.spawn(make(peers))));
        assert_eq!(said, format!("not allowed to {words}"));
    }
    let all = [
        "process.host",
        "process.spawn",
        "process.exec",
        "process.spawn.monitored",
        "process.spawn.linked",
        "process.registry.register",
        "process.security",
        "process.context",
    ];
    world.ask(bound(&all).pid(), |peers, _| {
        let own = || peers.pid().clone();
        let whole = World::start("app:actor")
            .monitored_by(own())
            .linked_with(own())
            .name("me")
            .actor(Somebody::new("bob"))
            .context("a", 1.into());
        peers.spawn(whole).expect("everything is allowed");
        peers.spawn(World::start("app:actor").for_result()).expect("this, too");
    });
}

#[test]
fn who_is_found_under_a_name_is_not_spoken_to_without_leave() {
    let world = World::new(1);
    let owner = world.manager.spawn(World::start("app:actor").name("me")).expect("it starts");
    let bound = by(&world, &[allowing(&["process.spawn", "process.host", "process.registry.*"], &["*"])]);
    let pid = owner.pid().clone();
    world.ask(bound.pid(), move |peers, _| {
        let error = peers.spawn(World::start("app:actor").name("me").message(word(1))).expect_err("it may not send");
        let SpawnError::Signal { error, .. } = error else { panic!("{error}") };
        assert_eq!(error.to_string(), format!("not allowed to send to process: {pid}"));
    });
}

#[test]
fn children_act_as_their_parents_and_others_as_they_are_told() {
    let world = World::new(1);
    let everything = allowing(&["*"], &["*"]);
    let parent = by(&world, &[everything]);
    let actor_of = |pid: &Pid| {
        world.ask(pid, |peers, _| {
            let security = peers.security();
            (security.actor().map(|actor| actor.id().to_owned()), security.scope().map(|scope| scope.policies().len()))
        })
    };
    let child = world.ask(parent.pid(), |peers, _| peers.spawn(World::start("app:actor"))).expect("it may");
    assert_eq!(actor_of(&child), (Some("ann".into()), Some(1)));
    let bob = World::start("app:actor").actor(Somebody::new("bob"));
    let grandchild = world.ask(&child, |peers, _| peers.spawn(bob)).expect("it may");
    assert_eq!(actor_of(&grandchild), (Some("bob".into()), Some(1)), "what is not said is inherited");
    let alone = World::start("app:actor").scope(Scope::default());
    let alone = world.ask(&grandchild, |peers, _| peers.spawn(alone)).expect("it may");
    assert_eq!(actor_of(&alone), (Some("bob".into()), Some(0)));
    let said = world.ask(&alone, |peers, _| refusal(peers.spawn(World::start("app:actor"))));
    assert_eq!(said, "not allowed to spawn process: app:actor", "no policy allows nothing");
    assert_eq!(actor_of(world.spawn().pid()), (None, None));
}

#[test]
fn policies_know_who_asks_and_whom_it_is_about() {
    let world = World::new(1);
    let (one, other) = (world.spawn(), world.spawn());
    let condition = |field: &str, operator, operand| Condition {
        field: FieldPath::parse(field).expect("a field"),
        operator,
        operand: Some(operand),
    };
    let to_itself = condition("meta.pid", ConditionOperator::Eq, Operand::Field(FieldPath::Resource));
    let as_ann = condition("actor.id", ConditionOperator::Eq, Operand::Value("ann".into()));
    let bound = by(
        &world,
        &[
            spec(&["process.send"], &["*"], Effect::Allow, vec![to_itself, as_ann]),
            allowing(&["process.send"], &[&one.pid().to_string()]),
        ],
    );
    let (to_one, to_other) = (one.pid().clone(), other.pid().clone());
    world.ask(bound.pid(), move |peers, _| {
        assert_eq!(peers.send(&peers.pid().clone(), word(1)), Ok(()), "to itself");
        assert_eq!(peers.send(&to_one, word(1)), Ok(()), "by its pid");
        assert!(matches!(peers.send(&to_other, word(1)), Err(SignalError::Denied(_))), "to nobody else");
    });
}
