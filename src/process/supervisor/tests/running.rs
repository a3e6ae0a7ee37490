//! The thread of the supervisor on a real host.

use super::super::*;
use super::world::{Act, World, id, service};
use crate::process::{Payload, Start};

fn root() -> Lifecycle {
    Lifecycle { auto_start: true, ..Lifecycle::default() }
}

fn is_running(status: &ServiceStatus) -> bool {
    status.state == ServiceState::Running
}

#[test]
fn who_ignores_a_cancel_is_ended_by_force_when_its_time_is_over() {
    let slow = Lifecycle { requires: vec![id("quick")], stop_timeout: Duration::from_secs(2), ..root() };
    let services = vec![service("stubborn", slow), service("quick", root())];
    let world = World::new(usize::MAX, services, &[("stubborn", &[Act::Spin]), ("quick", &[Act::Wait])]);
    world.supervisor.begin().expect("a thread");
    world.supervisor.wait_for_startup().expect("a start");
    let pid = world.status("stubborn").pid.expect("a process");
    let supervisor = Arc::clone(&world.supervisor);
    let stop = std::thread::spawn(move || supervisor.stop(Duration::from_secs(30)));
    world.until("stubborn", |it| it.state == ServiceState::Stopping);
    assert_eq!(world.status("quick").state, ServiceState::Running, "it is still required");
    world.advance(Duration::from_secs(2));
    assert_eq!(stop.join().expect("no panic"), [pid]);
    let expected = [
        "0 `app:host` takes processes",
        "0 `app:quick` runs as {app:host|0x00001}",
        "0 `app:stubborn` runs as {app:host|0x00002}",
        "0 `app:stubborn` is asked to end",
        "2 `app:stubborn` did not end in time and is terminated",
        "2 `app:stubborn` stopped",
        "2 `app:quick` is asked to end",
        "2 `app:quick` stopped",
        "2 `app:host` is asked to end",
        "2 `app:host` stopped",
    ];
    assert_eq!(world.lines(), expected);
    assert_eq!(world.status("quick").last_exit.expect("an exit").to_string(), "cancelled: service stopping");
    assert!(world.supervisor.stop(Duration::ZERO).is_empty(), "it was told once");
}

#[test]
fn a_full_host_keeps_a_start_waiting_until_somebody_leaves() {
    let world = World::new(1, vec![service("one", root())], &[("one", &[Act::Wait]), ("other", &[Act::Wait])]);
    let other = world.manager.spawn(Start::new(id("other-p"), id("host"))).expect("room");
    world.supervisor.begin().expect("a thread");
    let waiting = world.until("one", |it| it.last_error.is_some());
    assert_eq!((waiting.state, waiting.starts), (ServiceState::Starting, 0));
    other.terminate();
    assert_eq!(world.until("one", is_running).starts, 1);
    assert_eq!(world.supervisor.wait_for_startup(), Ok(()));
}

#[test]
fn a_start_that_finds_no_room_in_its_time_has_failed() {
    let lifecycle = Lifecycle { start_timeout: Duration::from_secs(3), ..root() };
    let world = World::new(1, vec![service("one", lifecycle)], &[("one", &[Act::Wait]), ("other", &[Act::Wait])]);
    let other = world.manager.spawn(Start::new(id("other-p"), id("host"))).expect("room");
    world.supervisor.begin().expect("a thread");
    world.until("one", |it| it.last_error.is_some());
    world.advance(Duration::from_secs(3));
    let error = world.supervisor.wait_for_startup().expect_err("no room").to_string();
    assert!(error.contains("`app:one` could not start: no start within 3s: host `app:host` is full"), "{error}");
    // The failed start stops the host as well, and whoever is on it.
    assert_eq!(other.wait().to_string(), "cancelled: host shutdown");
}

#[test]
fn whoever_is_on_a_host_leaves_after_the_services() {
    let world = World::new(usize::MAX, vec![service("one", root())], &[("one", &[Act::Wait]), ("other", &[Act::Spin])]);
    let other = world.manager.spawn(Start::new(id("other-p"), id("host"))).expect("room");
    world.supervisor.begin().expect("a thread");
    world.supervisor.wait_for_startup().expect("a start");
    let supervisor = Arc::clone(&world.supervisor);
    let stop = std::thread::spawn(move || supervisor.stop(Duration::from_secs(4)));
    world.until("host", |it| it.state == ServiceState::Stopping);
    assert_eq!(world.status("one").state, ServiceState::Stopped);
    // The state is told a moment before the host closes.
    let mut all = vec![other.pid().clone()];
    let refused = loop {
        match world.manager.spawn(Start::new(id("other-p"), id("host"))) {
            Ok(in_time) => all.push(in_time.pid().clone()),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.to_string(), "host `app:host` is shutting down");
    world.advance(Duration::from_secs(4));
    assert_eq!(stop.join().expect("no panic"), all);
}

#[test]
fn a_program_that_is_not_there_is_no_start() {
    let world = World::new(usize::MAX, vec![service("one", root())], &[]);
    world.supervisor.begin().expect("a thread");
    let error = world.supervisor.wait_for_startup().expect_err("no program");
    assert_eq!(
        error.to_string(),
        "service `app:one` could not start: no process entry `app:one-p`; the application has none"
    );
}

#[test]
fn without_services_there_is_no_thread_and_all_is_up_at_once() {
    let world = World::new(usize::MAX, Vec::new(), &[]);
    world.supervisor.begin().expect("nothing to do");
    assert_eq!(world.supervisor.startup(), Some(Ok(())));
    assert!(matches!(*world.supervisor.thread.lock(), Thread::NotYet));
    assert_eq!(world.status("host").state, ServiceState::Running);
    assert!(world.supervisor.stop(Duration::MAX).is_empty());
    assert_eq!(world.status("host").state, ServiceState::Stopped);
}

#[test]
fn nothing_begins_after_a_stop() {
    let world = World::new(usize::MAX, vec![service("one", root())], &[("one", &[Act::Wait])]);
    assert!(world.supervisor.stop(Duration::ZERO).is_empty());
    world.supervisor.begin().expect("nothing to do");
    world.supervisor.wait_for_startup().expect_err("it was stopped before");
    assert_eq!(world.status("one").state, ServiceState::Unknown);
}

#[test]
fn an_error_that_a_process_returns_is_a_failure() {
    let error = Payload::parse_json(r#"{"err": 5}"#).expect("JSON");
    let exit = crate::process::Exit::Returned(error);
    let style = crate::process::ResultStyle::Result;
    assert_eq!(driver::end_of(&exit, style), unit::End::Abnormal);
    assert_eq!(driver::end_of(&exit, crate::process::ResultStyle::Value), unit::End::Normal);
}
