//! Single decisions of the core, each at its border.

use std::collections::VecDeque;

use super::super::core::{Core, Effect, Member, Startup};
use super::super::unit::End;
use super::super::*;
use super::world::{id, service};
use crate::process::{Exit, Payload, Pid};
use crate::reactor::Instant;
use crate::registry::{Entry, ProcessHost, Restart, RestartPolicy, Startup as Needed};

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A core whose starts succeed and whose processes do what the test says; its time stands until it is moved.
struct Bench {
    core: Core,
    names: Vec<String>,
    now: Instant,
    /// Who could not start if it was tried.
    refused: Vec<&'static str>,
    /// Who finds no room.
    full: Vec<&'static str>,
    log: Vec<String>,
}

impl Bench {
    /// The services of an application with one host, in the order of their starts.
    fn new(services: Vec<Entry>) -> Self {
        let host = Entry::new(id("host"), Spec::ProcessHost(ProcessHost::default()));
        let registry = Registry::from_entries([host].into_iter().chain(services));
        let plan = StartPlan::of(&registry);
        let members: Vec<Member> = plan
            .services()
            .map(|planned| Member {
                planned: planned.clone(),
                lifecycle: lifecycle_of(&registry, &planned.id),
                has_terminal: planned.id.name() == "face",
            })
            .collect();
        let names = members.iter().map(|member| member.planned.id.name().to_owned()).collect();
        let core = Core::new(members, 7);
        Self { core, names, now: Instant::START, refused: vec![], full: vec![], log: vec![] }
    }

    fn begin(&mut self) {
        let effects = self.core.begin(self.now);
        self.perform(effects);
    }

    fn at(&self, name: &str) -> usize {
        self.names.iter().position(|other| other == name).expect("a service")
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut effects: VecDeque<Effect> = effects.into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Start(at) => effects.extend(self.start(at)),
                Effect::Cancel(at) => self.log.push(format!("cancel {}", self.names[at])),
                Effect::Terminate(at) => self.log.push(format!("terminate {}", self.names[at])),
                Effect::Tell(event) => self.log.push(event.to_string().replace("app:", "")),
            }
        }
    }

    fn start(&mut self, at: usize) -> Vec<Effect> {
        let name = self.names[at].as_str();
        if !self.core.is_starting(at) {
            Vec::new()
        } else if self.refused.contains(&name) {
            self.core.start_failed(at, "it is refused".to_owned(), self.now)
        } else if self.full.contains(&name) {
            self.core.full(at, "all is full".to_owned(), self.now)
        } else {
            let pid = (name != "host").then(|| Pid::new(id("host"), at as u64));
            self.core.started(at, pid, self.now)
        }
    }

    fn end(&mut self, name: &str, end: End) {
        let exit = match end {
            End::Normal => Exit::Returned(Payload::Nil),
            End::Abnormal => Exit::Exited(3),
            End::Killed => Exit::Terminated,
        };
        let effects = self.core.ended(self.at(name), Some((exit, end)), self.now);
        self.perform(effects);
    }

    fn empty_host(&mut self) {
        let effects = self.core.ended(self.at("host"), None, self.now);
        self.perform(effects);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        let effects = self.core.tick(self.now);
        self.perform(effects);
    }

    fn stop(&mut self, grace: Duration) {
        let effects = self.core.stop(self.now.saturating_add(grace), self.now);
        self.perform(effects);
        self.pass(Duration::ZERO);
    }

    fn state(&self, name: &str) -> ServiceState {
        self.status(name).state
    }

    fn status(&self, name: &str) -> ServiceStatus {
        self.core.statuses().nth(self.at(name)).expect("a service")
    }

    /// What was logged since the last call.
    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

fn root(requires: &[&str]) -> Lifecycle {
    Lifecycle { auto_start: true, requires: requires.iter().map(|name| id(name)).collect(), ..Lifecycle::default() }
}

fn restarted(change: impl FnOnce(&mut RestartPolicy)) -> Lifecycle {
    let mut lifecycle = root(&[]);
    lifecycle.restart.jitter = 0.0;
    change(&mut lifecycle.restart);
    lifecycle
}

#[test]
fn services_start_behind_what_they_require_and_stop_before_it() {
    let mut bench = Bench::new(vec![
        service("web", root(&["cache"])),
        service("cache", root(&["db"])),
        service("db", root(&[])),
        service("log", root(&[])),
    ]);
    bench.begin();
    let started = |name: &str, at: u64| format!("`{name}` runs as {{host|0x{at:05x}}}");
    let expected = ["`host` takes processes", &started("db", 1), &started("log", 2), &started("cache", 3)];
    assert_eq!(bench.said(), [&expected[..], &[&started("web", 4)]].concat());
    assert_eq!(*bench.core.startup(), Startup::Done);
    bench.stop(seconds(30.0));
    assert_eq!(
        bench.said(),
        ["`web` is asked to end", "cancel web", "`log` is asked to end", "cancel log"],
        "independent branches together"
    );
    bench.end("web", End::Killed);
    bench.end("log", End::Killed);
    assert_eq!(bench.said(), ["`web` stopped", "`cache` is asked to end", "cancel cache", "`log` stopped"]);
    bench.end("cache", End::Abnormal);
    bench.end("db", End::Normal);
    assert!(!bench.core.is_stopped(), "the host has to be empty first");
    bench.empty_host();
    assert_eq!(bench.said()[3..], ["`db` stopped", "`host` is asked to end", "cancel host", "`host` stopped"]);
    assert!(bench.core.is_stopped());
    for name in ["web", "cache", "db", "log", "host"] {
        assert_eq!(bench.state(name), ServiceState::Stopped, "{name}");
    }
}

#[test]
fn each_has_its_own_time_to_stop_and_all_have_one_together() {
    let slow =
        |name, secs, requires: &[&str]| service(name, Lifecycle { stop_timeout: seconds(secs), ..root(requires) });
    let services = || vec![slow("a", 2.0, &["b"]), slow("b", 4.0, &["c"]), slow("c", 60.0, &[])];
    let mut bench = Bench::new(services());
    bench.begin();
    bench.stop(seconds(10.0));
    bench.pass(seconds(1.999));
    bench.said();
    bench.pass(seconds(0.001));
    assert_eq!(bench.said(), ["`a` did not end in time and is terminated", "terminate a"]);
    assert_eq!(bench.core.deadline(), Some(Instant::from_nanos(7_000_000_000)), "force has five seconds");
    bench.end("a", End::Killed);
    assert_eq!(bench.said(), ["`a` stopped", "`b` is asked to end", "cancel b"]);
    bench.pass(seconds(4.0));
    bench.end("b", End::Killed);
    bench.said();
    assert_eq!(bench.core.deadline(), Some(Instant::from_nanos(10_000_000_000)), "not a minute more");
    bench.pass(seconds(4.0));
    assert_eq!(bench.said()[1], "terminate c");

    let mut bench = Bench::new(services());
    bench.begin();
    bench.stop(seconds(1.0));
    bench.said();
    bench.pass(seconds(1.0));
    // Asked first, all at once, and forced at the next look.
    bench.pass(Duration::ZERO);
    let forced: Vec<_> = bench.said().into_iter().filter(|line| line.starts_with("terminate")).collect();
    assert_eq!(forced, ["terminate a", "terminate host", "terminate c", "terminate b"], "the order waits for nobody");
}

#[test]
fn a_second_stop_may_only_be_shorter() {
    let mut bench = Bench::new(vec![service("a", Lifecycle { stop_timeout: seconds(60.0), ..root(&[]) })]);
    bench.begin();
    bench.stop(seconds(30.0));
    bench.stop(seconds(50.0));
    assert_eq!(bench.core.deadline(), Some(Instant::from_nanos(30_000_000_000)));
    bench.stop(Duration::ZERO);
    assert_eq!(bench.said().last().expect("a line"), "terminate a");
}

#[test]
fn who_does_not_end_by_force_is_left_behind_and_holds_up_nobody() {
    let mut bench = Bench::new(vec![service("a", root(&["b"])), service("b", root(&[]))]);
    bench.begin();
    bench.stop(seconds(30.0));
    bench.pass(seconds(10.0));
    bench.said();
    bench.pass(seconds(4.9));
    assert_eq!(bench.said(), [""; 0]);
    bench.pass(seconds(0.1));
    let expected = ["`a` did not end by force either and is left behind", "`b` is asked to end", "cancel b"];
    assert_eq!(bench.said(), expected);
    bench.end("b", End::Killed);
    bench.empty_host();
    assert!(bench.core.is_stopped());
    bench.end("a", End::Killed);
    assert_eq!(bench.state("a"), ServiceState::Stopped, "late, but it ended");
}

#[test]
fn nobody_is_started_once_a_stop_has_begun() {
    let mut bench = Bench::new(vec![service("a", restarted(|_| ())), service("b", root(&[]))]);
    bench.begin();
    bench.end("a", End::Abnormal);
    bench.stop(seconds(30.0));
    bench.end("b", End::Abnormal);
    bench.empty_host();
    bench.said();
    bench.pass(seconds(100.0));
    assert_eq!((bench.said(), bench.core.deadline()), (Vec::new(), None));
    assert_eq!((bench.state("a"), bench.status("a").next_delay), (ServiceState::Failed, None));
}

#[test]
fn delays_grow_and_a_stable_run_resets_them() {
    let mut bench = Bench::new(vec![service("a", restarted(|_| ()))]);
    bench.begin();
    let mut delays = Vec::new();
    for ran in [0.0, 1.0, 4.999_999_999, 5.0, 0.0] {
        bench.pass(seconds(ran));
        bench.end("a", End::Abnormal);
        let delay = bench.status("a").next_delay.expect("another start");
        delays.push(delay.as_secs());
        bench.pass(delay - Duration::from_nanos(1));
        assert_eq!(bench.state("a"), ServiceState::Failed, "not a moment before");
        bench.pass(Duration::from_nanos(1));
        assert_eq!(bench.state("a"), ServiceState::Running);
    }
    assert_eq!(delays, [1, 2, 4, 1, 2]);
    assert_eq!((bench.status("a").starts, bench.status("a").restarts), (6, 5));
}

#[test]
fn attempts_are_starts_in_all() {
    let mut bench = Bench::new(vec![service("a", restarted(|restart| restart.max_attempts = 3))]);
    bench.begin();
    for _ in 0..2 {
        bench.end("a", End::Abnormal);
        bench.pass(bench.status("a").next_delay.expect("another start"));
    }
    bench.end("a", End::Abnormal);
    let status = bench.status("a");
    assert_eq!((status.state, status.starts, status.next_delay), (ServiceState::Failed, 3, None));
    assert_eq!(bench.said().last().expect("a line"), "`a` exited with code 3; not started again");
    assert!(bench.core.halt().is_none(), "the others go on");
}

#[test]
fn only_restarts_within_the_window_count() {
    let lifecycle = || {
        restarted(|restart| {
            restart.max_restarts = 2;
            restart.window = seconds(10.0);
        })
    };
    // It ends at 0, 4 and after: ten seconds after the first one it is still within the window, a moment later it is not.
    for (wait, halts) in [(6.0, true), (6.000_000_001, false)] {
        let mut bench = Bench::new(vec![service("a", lifecycle())]);
        bench.begin();
        bench.end("a", End::Abnormal);
        bench.pass(seconds(4.0));
        bench.end("a", End::Abnormal);
        bench.pass(seconds(wait));
        bench.end("a", End::Abnormal);
        assert_eq!(bench.core.halt().is_some(), halts, "{wait}");
    }
    let mut bench = Bench::new(vec![service("a", lifecycle()), service("b", root(&[]))]);
    bench.begin();
    for _ in 0..3 {
        bench.end("a", End::Abnormal);
        bench.pass(seconds(2.0));
    }
    let halt = bench.core.halt().expect("a report").to_string();
    assert_eq!(
        halt,
        "service `app:a` would be started again more often than its `max_restarts: 2` allow within 10s; the last time it \
         exited with code 3"
    );
    assert_eq!(bench.state("b"), ServiceState::Stopping, "everything stops");
}

#[test]
fn a_start_without_which_nothing_starts_fails_all() {
    let mut bench = Bench::new(vec![
        service("web", root(&["db"])),
        service("db", Lifecycle { auto_start: false, ..root(&[]) }),
        service("log", root(&[])),
    ]);
    bench.refused = vec!["db"];
    bench.begin();
    let Startup::Failed(error) = bench.core.startup() else { panic!("it did not start") };
    let expected = "service `app:db` could not start: it is refused (it is required: `app:web` -> `app:db`)";
    assert_eq!(error.to_string(), expected);
    let said = bench.said();
    assert!(said.contains(&"`db` could not start: it is refused; not started again".to_owned()), "{said:?}");
    assert_eq!(bench.state("web"), ServiceState::Unknown);
}

#[test]
fn an_optional_service_is_tried_until_it_starts() {
    let optional = Lifecycle { startup: Needed::Optional, ..restarted(|_| ()) };
    let mut bench = Bench::new(vec![service("a", optional), service("b", root(&[]))]);
    bench.refused = vec!["a"];
    bench.begin();
    assert_eq!(*bench.core.startup(), Startup::Done);
    for delay in [1, 2, 4] {
        assert_eq!(bench.status("a").next_delay, Some(Duration::from_secs(delay)));
        bench.pass(Duration::from_secs(delay));
    }
    bench.refused.clear();
    bench.pass(Duration::from_secs(8));
    let status = bench.status("a");
    assert_eq!((status.state, status.starts, status.restarts), (ServiceState::Running, 1, 4));
    assert_eq!(status.last_error, None);
}

#[test]
fn who_requires_what_never_runs_is_told_why() {
    let temporary = Lifecycle { startup: Needed::Optional, ..restarted(|it| it.policy = Restart::Temporary) };
    let optional = |requires: &[&str]| Lifecycle { startup: Needed::Optional, ..root(requires) };
    let mut bench = Bench::new(vec![
        service("db", temporary),
        service("cache", optional(&["db"])),
        service("web", optional(&["cache"])),
    ]);
    bench.refused = vec!["db"];
    bench.begin();
    assert_eq!(
        bench.status("web").last_error.expect("a reason"),
        "it requires `app:cache`, which could not start: it requires `app:db`, which could not start: it is refused"
    );
    let mut bench = Bench::new(vec![service("web", root(&["gone"]))]);
    bench.begin();
    let Startup::Failed(error) = bench.core.startup() else { panic!("it did not start") };
    assert_eq!(error.to_string(), "service `app:web` could not start: it requires `app:gone`, which can't run");
}

#[test]
fn a_restart_waits_for_what_is_required() {
    let mut bench = Bench::new(vec![
        service("db", restarted(|_| ())),
        service("web", {
            let mut lifecycle = restarted(|restart| restart.initial_delay = seconds(0.5));
            lifecycle.requires = vec![id("db")];
            lifecycle
        }),
    ]);
    bench.begin();
    bench.end("db", End::Abnormal);
    assert_eq!(bench.state("web"), ServiceState::Running, "one is not restarted because of another");
    bench.end("web", End::Abnormal);
    bench.pass(seconds(0.5));
    assert_eq!(bench.state("web"), ServiceState::Starting);
    bench.pass(seconds(0.5));
    assert_eq!((bench.state("db"), bench.state("web")), (ServiceState::Running, ServiceState::Running));
}

#[test]
fn one_that_did_its_work_is_as_good_as_one_that_runs() {
    let mut bench = Bench::new(vec![
        service("setup", root(&[])),
        service("slow", root(&[])),
        service("web", root(&["setup", "slow"])),
    ]);
    bench.full = vec!["slow"];
    bench.begin();
    bench.end("setup", End::Normal);
    bench.full.clear();
    let effects = bench.core.room();
    bench.perform(effects);
    assert_eq!((bench.state("setup"), bench.state("web")), (ServiceState::Exited, ServiceState::Running));
}

#[test]
fn a_start_waits_for_room_as_long_as_it_may() {
    let patient = Lifecycle { start_timeout: seconds(3.0), ..root(&[]) };
    let mut bench = Bench::new(vec![service("a", patient.clone()), service("b", root(&[]))]);
    bench.full = vec!["a"];
    bench.begin();
    assert_eq!(bench.state("b"), ServiceState::Running, "nobody waits with it");
    let effects = bench.core.room();
    bench.perform(effects);
    let said = bench.said();
    assert_eq!(said.iter().filter(|line| line.contains("waits for room: all is full")).count(), 1, "{said:?}");
    assert!(bench.core.waits_for_room());
    bench.pass(seconds(2.999));
    assert_eq!(bench.state("a"), ServiceState::Starting);
    bench.pass(seconds(0.001));
    let Startup::Failed(error) = bench.core.startup() else { panic!("its time is over") };
    assert_eq!(error.to_string(), "service `app:a` could not start: no start within 3s: all is full");

    let mut bench = Bench::new(vec![service("a", patient)]);
    bench.full = vec!["a"];
    bench.begin();
    bench.pass(seconds(2.0));
    bench.full.clear();
    let effects = bench.core.room();
    bench.perform(effects);
    assert_eq!((bench.state("a"), bench.core.startup()), (ServiceState::Running, &Startup::Done));
    assert!(!bench.core.waits_for_room());
}

#[test]
fn the_end_of_whoever_has_the_terminal_is_the_end_of_all() {
    for end in [End::Normal, End::Abnormal] {
        let always = restarted(|restart| restart.policy = Restart::Permanent);
        let mut bench = Bench::new(vec![service("face", always), service("b", root(&[]))]);
        bench.begin();
        bench.end("face", end);
        assert!(matches!(bench.core.halt(), Some(Halt::Terminal { service, .. }) if *service == id("face")));
        assert_eq!(bench.state("b"), ServiceState::Stopping);
    }
}

#[test]
fn a_host_that_requires_a_service_stops_before_it() {
    let mut bench = Bench::new(vec![
        service("db", root(&[])),
        Entry::new(
            id("workers"),
            Spec::ProcessHost(ProcessHost { lifecycle: root(&["db"]), ..ProcessHost::default() }),
        ),
    ]);
    bench.begin();
    bench.stop(seconds(30.0));
    let cancelled: Vec<_> = bench.said().into_iter().filter(|line| line.starts_with("cancel")).collect();
    assert_eq!(cancelled, ["cancel workers"]);
}

#[test]
fn a_start_that_a_stop_interrupts_has_failed() {
    let mut bench = Bench::new(vec![service("a", root(&[]))]);
    bench.full = vec!["a"];
    bench.begin();
    bench.stop(seconds(30.0));
    let Startup::Failed(error) = bench.core.startup() else { panic!("it never ran") };
    assert_eq!(error.to_string(), "service `app:a` could not start: the runtime was stopped before");
    assert!(!bench.core.is_starting(bench.at("a")));
}

#[test]
fn who_waits_for_room_does_not_start_behind_what_has_ended() {
    let optional = |requires: &[&str]| Lifecycle { startup: Needed::Optional, ..root(requires) };
    let db = Lifecycle { startup: Needed::Optional, ..restarted(|restart| restart.max_attempts = 2) };
    let mut bench = Bench::new(vec![service("db", db), service("web", optional(&["db"]))]);
    bench.full = vec!["web"];
    bench.begin();
    bench.end("db", End::Abnormal);
    bench.full.clear();
    let effects = bench.core.room();
    bench.perform(effects);
    assert_eq!((bench.state("web"), bench.status("web").starts), (ServiceState::Starting, 0));
    bench.pass(seconds(1.0));
    assert_eq!(bench.state("web"), ServiceState::Running, "as soon as that is back");
}
