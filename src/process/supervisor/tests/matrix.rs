//! What becomes of a service, and of one that requires it, after each kind of end under each policy.

use super::super::*;
use super::world::{Act, World, id, service};
use crate::registry::{Restart, RestartPolicy, Startup as Needed};

const POLICIES: [(&str, Restart); 3] =
    [("permanent", Restart::Permanent), ("transient", Restart::Transient), ("temporary", Restart::Temporary)];

const ENDS: [(&str, Act); 4] =
    [("normal", Act::Return), ("abnormal", Act::Fail), ("killed", Act::Wait), ("no-start", Act::Refuse)];

/// How often the service ends, and how often it may be restarted within a minute.
const INTENSITIES: [(&str, usize, u32); 2] = [("within", 2, 2), ("beyond", 3, 2)];

/// Policy, end, intensity, alone or with one that requires it: the state of the service, how often it ran and was
/// restarted, each wait before that, whether the runtime stopped, and the same of the one that requires it.
const MATRIX: &str = "
permanent normal within alone: running 3/2 after [1.05467636s, 1.88899439s]
permanent normal within chain: running 3/2 after [1.05467636s, 1.88899439s]; dependent running 1/0
permanent normal beyond alone: exited 3/2 after [1.05467636s, 1.88899439s] and halts
permanent normal beyond chain: exited 3/2 after [1.05467636s, 1.88899439s] and halts; dependent stopped 1/0
permanent abnormal within alone: running 3/2 after [1.05467636s, 1.88899439s]
permanent abnormal within chain: running 3/2 after [1.05467636s, 1.88899439s]; dependent running 1/0
permanent abnormal beyond alone: failed 3/2 after [1.05467636s, 1.88899439s] and halts
permanent abnormal beyond chain: failed 3/2 after [1.05467636s, 1.88899439s] and halts; dependent stopped 1/0
permanent killed within alone: running 3/2 after [1.05467636s, 1.88899439s]
permanent killed within chain: running 3/2 after [1.05467636s, 1.88899439s]; dependent running 1/0
permanent killed beyond alone: exited 3/2 after [1.05467636s, 1.88899439s] and halts
permanent killed beyond chain: exited 3/2 after [1.05467636s, 1.88899439s] and halts; dependent stopped 1/0
permanent no-start within alone: running 1/2 after [1.05467636s, 1.88899439s]
permanent no-start within chain: running 1/2 after [1.05467636s, 1.88899439s]; dependent running 1/0
permanent no-start beyond alone: failed 0/2 after [1.05467636s, 1.88899439s] and halts
permanent no-start beyond chain: failed 0/2 after [1.05467636s, 1.88899439s] and halts; dependent unknown 0/0
transient normal within alone: exited 1/0
transient normal within chain: exited 1/0; dependent running 1/0
transient normal beyond alone: exited 1/0
transient normal beyond chain: exited 1/0; dependent running 1/0
transient abnormal within alone: running 3/2 after [1.05467636s, 1.88899439s]
transient abnormal within chain: running 3/2 after [1.05467636s, 1.88899439s]; dependent running 1/0
transient abnormal beyond alone: failed 3/2 after [1.05467636s, 1.88899439s] and halts
transient abnormal beyond chain: failed 3/2 after [1.05467636s, 1.88899439s] and halts; dependent stopped 1/0
transient killed within alone: exited 1/0
transient killed within chain: exited 1/0; dependent running 1/0
transient killed beyond alone: exited 1/0
transient killed beyond chain: exited 1/0; dependent running 1/0
transient no-start within alone: running 1/2 after [1.05467636s, 1.88899439s]
transient no-start within chain: running 1/2 after [1.05467636s, 1.88899439s]; dependent running 1/0
transient no-start beyond alone: failed 0/2 after [1.05467636s, 1.88899439s] and halts
transient no-start beyond chain: failed 0/2 after [1.05467636s, 1.88899439s] and halts; dependent unknown 0/0
temporary normal within alone: exited 1/0
temporary normal within chain: exited 1/0; dependent running 1/0
temporary normal beyond alone: exited 1/0
temporary normal beyond chain: exited 1/0; dependent running 1/0
temporary abnormal within alone: failed 1/0
temporary abnormal within chain: failed 1/0; dependent running 1/0
temporary abnormal beyond alone: failed 1/0
temporary abnormal beyond chain: failed 1/0; dependent running 1/0
temporary killed within alone: exited 1/0
temporary killed within chain: exited 1/0; dependent running 1/0
temporary killed beyond alone: exited 1/0
temporary killed beyond chain: exited 1/0; dependent running 1/0
temporary no-start within alone: failed 0/0
temporary no-start within chain: failed 0/0; dependent failed 0/0
temporary no-start beyond alone: failed 0/0
temporary no-start beyond chain: failed 0/0; dependent failed 0/0
";

fn lifecycle(policy: Restart, max_restarts: u32, requires: Vec<crate::registry::EntryId>) -> Lifecycle {
    Lifecycle {
        auto_start: true,
        // So that a start that fails is tried again from the first time on.
        startup: Needed::Optional,
        requires,
        restart: RestartPolicy { policy, max_restarts, ..RestartPolicy::default() },
        ..Lifecycle::default()
    }
}

/// Lets the service end so often, and gives the waits before its restarts.
fn let_it_end(world: &World, act: Act, ends: usize) -> Vec<Duration> {
    let mut delays = Vec::new();
    for round in 0..ends as u64 {
        if act == Act::Wait {
            let running = world.until("one", |it| it.restarts == round && it.state == ServiceState::Running);
            world.manager.find(&running.pid.expect("a process")).expect("it lives").terminate();
        }
        let over = |it: &ServiceStatus| matches!(it.state, ServiceState::Exited | ServiceState::Failed);
        let ended = world.until("one", |it| it.restarts == round && over(it));
        let Some(delay) = ended.next_delay else { return delays };
        delays.push(delay);
        world.advance(delay);
    }
    world.until("one", |it| it.restarts == ends as u64 && it.state == ServiceState::Running);
    delays
}

/// Every start that was announced comes exactly then.
fn assert_times(world: &World) {
    let journal = world.journal.lock();
    for (at, event) in journal.iter().enumerate() {
        let (ServiceChange::Ended { next: Some(next), .. } | ServiceChange::StartFailed { next: Some(next), .. }) =
            &event.change
        else {
            continue;
        };
        let following = journal[at + 1..].iter().find(|other| other.service == event.service).expect("a start");
        assert_eq!(following.at, event.at.saturating_add(*next), "{event}, then {following}");
    }
}

fn told(status: &ServiceStatus) -> String {
    format!("{} {}/{}", status.state, status.starts, status.restarts)
}

/// A line of the table.
fn row(policy: (&str, Restart), end: (&str, Act), intensity: (&str, usize, u32), has_dependent: bool) -> String {
    let (ends, max_restarts) = (intensity.1, intensity.2);
    let mut services = vec![service("one", lifecycle(policy.1, max_restarts, Vec::new()))];
    if has_dependent {
        services.push(service("two", lifecycle(Restart::Transient, 0, vec![id("one")])));
    }
    let script: Vec<Act> = std::iter::repeat_n(end.1, ends).chain([Act::Wait]).collect();
    let world = World::new(usize::MAX, services, &[("one", &script), ("two", &[Act::Wait])]);
    world.supervisor.begin().expect("a thread");
    let delays = let_it_end(&world, end.1, ends);
    assert_times(&world);
    let halts = world.supervisor.halt().is_some();
    let shape = if has_dependent { "chain" } else { "alone" };
    if halts {
        world.supervisor.shared.wait_until(|core| core.is_stopped().then_some(()));
    }
    let mut line = format!("{} {} {} {shape}: {}", policy.0, end.0, intensity.0, told(&world.status("one")));
    if !delays.is_empty() {
        line.push_str(&format!(" after {delays:?}"));
    }
    if halts {
        line.push_str(" and halts");
    }
    if has_dependent {
        let dependent = world.until("two", |it| it.state != ServiceState::Starting);
        line.push_str(&format!("; dependent {}", told(&dependent)));
    }
    line
}

#[test]
fn every_end_has_its_consequence() {
    let mut found = String::from("\n");
    for policy in POLICIES {
        for end in ENDS {
            for intensity in INTENSITIES {
                for has_dependent in [false, true] {
                    found.push_str(&row(policy, end, intensity, has_dependent));
                    found.push('\n');
                }
            }
        }
    }
    assert!(found == MATRIX, "expected{MATRIX}found{found}");
}
