//! Services of whole applications: under a clock that the test moves, and once for real.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use wippy::Runtime;
use wippy::process::Pid;
use wippy::process::supervisor::{ServiceEvent, ServiceState, ServiceStatus};
use wippy::reactor::Clock;
use wippy::registry::EntryId;

use super::support::{Running, Said, assert_said, fixture, guest_app, run_in, wippy};

/// Longer than any machine needs; waited for only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happened so far.
#[derive(Default)]
struct Journal {
    events: Mutex<Vec<ServiceEvent>>,
    changed: Condvar,
}

impl Journal {
    /// Each event with the seconds of the clock.
    fn lines(&self) -> Vec<String> {
        let events = self.events.lock().expect("no panic");
        events.iter().map(|event| format!("{:>9.6} {event}", event.at.as_nanos() as f64 / 1e9)).collect()
    }

    /// Waits until so many events say this.
    fn until(&self, text: &str, times: usize) {
        let events = self.events.lock().expect("no panic");
        let holds =
            |events: &Vec<ServiceEvent>| events.iter().filter(|it| it.to_string().contains(text)).count() >= times;
        let (events, waited) =
            self.changed.wait_timeout_while(events, PATIENCE, |events| !holds(events)).expect("no panic");
        assert!(!waited.timed_out(), "`{text}` never came {times} times:\n{events:#?}");
    }

    /// Waits until an event of this service says this.
    fn until_of(&self, name: &str, text: &str) {
        let events = self.events.lock().expect("no panic");
        let holds = |events: &Vec<ServiceEvent>| {
            events.iter().any(|it| it.service.name() == name && it.to_string().contains(text))
        };
        let (events, waited) =
            self.changed.wait_timeout_while(events, PATIENCE, |events| !holds(events)).expect("no panic");
        assert!(!waited.timed_out(), "`{name}` never said `{text}`:\n{events:#?}");
    }
}

/// An application whose clock the test moves.
struct World {
    runtime: Arc<Runtime>,
    clock: Clock,
    journal: Arc<Journal>,
    _app: Option<tempfile::TempDir>,
}

impl World {
    fn load(app: &std::path::Path) -> Self {
        let clock = Clock::manual();
        let built = Runtime::builder().load(app).cache(false).clock(clock.clone()).seed(7).build();
        let runtime = Arc::new(built.unwrap_or_else(|error| panic!("a sound application: {error:?}")));
        let journal = Arc::<Journal>::default();
        let told = Arc::clone(&journal);
        runtime.watch_services(move |event: &ServiceEvent| {
            told.events.lock().expect("no panic").push(event.clone());
            told.changed.notify_all();
        });
        Self { runtime, clock, journal, _app: None }
    }

    /// Entries around guests; see [`guest_app`].
    fn new(entries: &str) -> Self {
        let app = guest_app(&format!("{GUESTS}{entries}"));
        let world = Self::load(app.path());
        Self { _app: Some(app), ..world }
    }

    fn status(&self, name: &str) -> ServiceStatus {
        self.runtime.services().into_iter().find(|service| service.id.name() == name).expect("a service")
    }

    fn advance(&self, time: Duration) {
        self.clock.advance(time).expect("a manual clock");
    }

    /// Begins a shutdown; its answer comes when it is over.
    fn shutdown(&self, grace: Duration) -> std::thread::JoinHandle<Vec<Pid>> {
        let runtime = Arc::clone(&self.runtime);
        std::thread::spawn(move || runtime.shutdown(grace))
    }
}

/// Processes for services: one that waits for its second argument in milliseconds, one that traps, one that never listens.
const GUESTS: &str = "\
- { name: wait, kind: process.wasm, guest: waiter, method: poll }
- { name: crash, kind: process.wasm, guest: unruly, method: broken }
- { name: spin, kind: process.wasm, guest: spinner, method: spin }
";

/// A process that its host does not take: no start of it succeeds.
const LOOSE: &str = "- { name: loose, kind: process.wasm, guest: spinner, method: spin, preempt: none }
- { name: free, kind: process.host, host: { allow_preempt_none: true } }
";

/// A service `app:NAME` of `process` with a lifecycle block; a year is for ever.
fn service(name: &str, process: &str, lifecycle: &str) -> String {
    let input = if process == "wait" { "input: [1, 31536000000], " } else { "" };
    format!(
        "- {{ name: {name}, kind: process.service, process: {process}, host: processes, {input}lifecycle: \
         {{ {lifecycle} }} }}\n"
    )
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn five_services_live_and_end_as_documented() {
    let world = World::load(&fixture("apps/services"));
    world.runtime.start_services().expect("a start");
    for crashes in 1..3 {
        world.journal.until("`services:crashing` trapped", crashes);
        world.advance(world.status("crashing").next_delay.expect("another start"));
    }
    world.journal.until("`services:crashing` trapped", 3);
    let shutdown = world.shutdown(Duration::from_secs(30));
    world.journal.until("`services:clock` stopped", 1);
    world.advance(Duration::from_millis(250));
    let terminated = shutdown.join().expect("no panic");
    let mut found = world.journal.lines().join("\n");
    for status in world.runtime.services() {
        let _ =
            write!(found, "\n{}: {}, {} starts, {} restarts", status.id, status.state, status.starts, status.restarts);
    }
    let _ = writeln!(found, "\nterminated: {}", terminated.iter().map(Pid::to_string).collect::<Vec<_>>().join(", "));
    let file = fixture("apps/services/expected.txt");
    if std::env::var_os("WIPPY_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&file, &found).expect("a writable file");
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    assert!(found == expected, "expected\n{expected}\nfound\n{found}");
}

#[test]
fn only_what_starts_by_itself_or_is_required_is_started() {
    let world = World::new(
        &[
            service("idle", "wait", ""),
            service("web", "wait", "auto_start: true, requires: [db], depends_on: [cache, db]"),
            service("db", "wait", ""),
            service("cache", "wait", ""),
        ]
        .concat(),
    );
    world.runtime.start_services().expect("a start");
    let states: Vec<_> =
        world.runtime.services().into_iter().map(|it| format!("{} {}", it.id.name(), it.state)).collect();
    assert_eq!(states, ["terminal running", "processes running", "db running", "cache running", "web running"]);
    assert_eq!(world.runtime.startup(), Some(Ok(())));
}

/// The waits of a service that ends at once, or after so many seconds, each time it is started.
fn delays(process: &str, runs: f64, restart: &str, times: usize) -> Vec<Duration> {
    let input = format!("input: [1, {}], ", (runs * 1e3) as u64);
    let input = if process == "wait" { input.as_str() } else { "" };
    let world = World::new(&format!(
        "- {{ name: one, kind: process.service, process: {process}, host: processes, {input}lifecycle: {{ auto_start: true, \
         {restart} }} }}\n"
    ));
    world.runtime.start_services().expect("a start");
    (1..=times)
        .map(|time| {
            if process == "wait" {
                // Its timer is there as soon as it waits; an advance before that would be lost on nobody, it looks at the
                // clock, but the run would be longer than is said here.
                let process = world.runtime.manager().find(&world.status("one").pid.expect("a process"));
                while process
                    .as_ref()
                    .is_some_and(|it| it.exit().is_none() && it.state() != wippy::process::State::Blocked)
                {
                    std::thread::yield_now();
                }
                world.advance(seconds(runs));
            }
            world.journal.until("started again in", time);
            let delay = world.status("one").next_delay.expect("another start");
            world.advance(delay);
            world.journal.until("`app:one` runs as", time + 1);
            delay
        })
        .collect()
}

#[test]
fn delays_grow_as_the_restart_block_says() {
    let exact = "restart: { initial_delay: 2s, backoff_factor: 3, max_delay: 15s, jitter: 0.000000001 }";
    let rounded: Vec<_> = delays("crash", 0.0, exact, 4).iter().map(|it| it.as_secs_f64().round()).collect();
    assert_eq!(rounded, [2.0, 6.0, 15.0, 15.0]);
    let default = delays("crash", 0.0, "startup: required", 2);
    assert_eq!(default, [Duration::from_nanos(1_054_676_360), Duration::from_nanos(1_888_994_390)]);
    let wide = delays("crash", 0.0, "restart: { jitter: 0.5 }", 1);
    assert_eq!(wide, [Duration::from_nanos(1_273_381_802)], "five times as far from a second");
}

#[test]
fn a_stable_run_begins_from_the_first_delay() {
    let policy = "policy: permanent, jitter: 0.000000001";
    for (threshold, expected) in [("3s", [1.0, 1.0]), ("3001ms", [1.0, 2.0]), ("0s", [1.0, 2.0])] {
        let restart = format!("stable_threshold: {threshold}, restart: {{ {policy} }}");
        let rounded: Vec<_> = delays("wait", 3.0, &restart, 2).iter().map(|it| it.as_secs_f64().round()).collect();
        assert_eq!(rounded, expected, "{threshold}");
    }
}

#[test]
fn a_policy_decides_which_ends_are_followed_by_a_start() {
    // One that returns at once, one that traps, one that is terminated.
    for (policy, returned, trapped, terminated) in
        [("permanent", true, true, true), ("transient", false, true, false), ("temporary", false, false, false)]
    {
        let entries = format!(
            "- {{ name: one, kind: process.service, process: wait, host: processes, input: [1, 0], lifecycle: \
             {{ auto_start: true, restart: {{ policy: {policy} }} }} }}\n{}{}",
            service("two", "crash", &format!("auto_start: true, restart: {{ policy: {policy} }}")),
            service("three", "wait", &format!("auto_start: true, restart: {{ policy: {policy} }}")),
        );
        let world = World::new(&entries);
        world.runtime.start_services().expect("a start");
        let pid = world.status("three").pid.expect("a process");
        world.runtime.manager().find(&pid).expect("it lives").terminate();
        for (name, again) in [("one", returned), ("two", trapped), ("three", terminated)] {
            let end = if again { "started again in" } else { "not started again" };
            world.journal.until_of(name, end);
        }
    }
}

#[test]
fn attempts_in_a_row_are_counted() {
    let world = World::new(&service("one", "crash", "auto_start: true, restart: { max_attempts: 2 }"));
    world.runtime.start_services().expect("a start");
    world.journal.until("started again in", 1);
    world.advance(world.status("one").next_delay.expect("another start"));
    world.journal.until("not started again", 1);
    let status = world.status("one");
    assert_eq!((status.state, status.starts, status.next_delay), (ServiceState::Failed, 2, None));
    assert!(world.runtime.halt().is_none());
}

#[test]
fn too_many_restarts_in_a_window_stop_the_runtime() {
    for (window, halts) in [("3s", true), ("1s", false)] {
        let restart = format!("restart: {{ max_restarts: 2, window: {window} }}");
        let world = World::new(
            &[
                service("one", "crash", &format!("auto_start: true, {restart}")),
                service("other", "wait", "auto_start: true"),
            ]
            .concat(),
        );
        world.runtime.start_services().expect("a start");
        for time in 1..3 {
            world.journal.until("started again in", time);
            world.advance(world.status("one").next_delay.expect("another start"));
        }
        world.journal.until("`app:one` trapped", 3);
        assert_eq!(world.runtime.halt().is_some(), halts, "{window}");
        if halts {
            world.journal.until("`app:other` stopped", 1);
            world.journal.until("`app:processes` stopped", 1);
        }
        let terminated = world.shutdown(Duration::ZERO).join().expect("no panic");
        let left = if halts { None } else { world.status("other").pid };
        assert_eq!(terminated, Vec::from_iter(left), "whoever is met twice is told once");
    }
}

#[test]
fn a_start_waits_for_room_as_long_as_its_timeout() {
    let entries = [
        "- { name: small, kind: process.host, host: { max_processes: 1 } }\n",
        "- { name: one, kind: process.service, process: wait, host: small, input: [1, 31536000000], lifecycle: \
         { auto_start: true, start_timeout: 7s } }\n",
        "- { name: two, kind: process.service, process: wait, host: small, input: [1, 31536000000], lifecycle: \
         { auto_start: true, start_timeout: 7s, startup: optional, restart: { policy: temporary } } }\n",
    ];
    let world = World::new(&entries.concat());
    world.runtime.start_services().expect("a start");
    world.journal.until("`app:two` waits for room", 1);
    world.advance(Duration::from_nanos(6_999_999_999));
    assert_eq!(world.status("two").state, ServiceState::Starting);
    world.advance(Duration::from_nanos(1));
    world.journal.until("`app:two` could not start: no start within 7s: host `app:small` is full", 1);
    assert_eq!(world.status("two").state, ServiceState::Failed);
}

#[test]
fn what_is_required_refuses_the_start_and_what_is_optional_is_tried_again() {
    let bad =
        |startup: &str| format!("{LOOSE}{}", service("one", "loose", &format!("auto_start: true, startup: {startup}")));
    let world = World::new(&(bad("required") + &service("other", "wait", "auto_start: true")));
    let error = world.runtime.start_services().expect_err("no start").to_string();
    let reason =
        "service `app:one` could not start: `app:loose` has `preempt: none`, which host `app:processes` does not allow";
    assert!(error.starts_with(reason), "{error}");
    assert_ne!(world.status("other").state, ServiceState::Running, "everything stops again");
    let world = World::new(&(bad("optional") + &service("other", "wait", "auto_start: true")));
    world.runtime.start_services().expect("a start");
    assert_eq!(world.status("other").state, ServiceState::Running);
    world.advance(world.status("one").next_delay.expect("another start"));
    world.journal.until("`app:one` could not start", 2);
}

#[test]
fn each_kind_of_host_has_its_time_to_stop() {
    for (host, kind) in [("own", "process.host"), ("own", "terminal.host")] {
        let world = World::new(&format!(
            "- {{ name: own, kind: {kind}, lifecycle: {{ stop_timeout: 3s }} }}\n{}",
            service("one", "wait", "auto_start: true"),
        ));
        world.runtime.start_services().expect("a start");
        let id = |name: &str| -> EntryId { format!("app:{name}").parse().expect("an ID") };
        let stray = world.runtime.manager().spawn(wippy::process::Start::new(id("spin"), id(host))).expect("a process");
        while stray.steps() == 0 {
            std::thread::yield_now();
        }
        let shutdown = world.shutdown(Duration::from_secs(30));
        world.journal.until("`app:own` is asked to end", 1);
        world.advance(Duration::from_nanos(2_999_999_999));
        assert!(stray.exit().is_none());
        world.advance(Duration::from_nanos(1));
        assert_eq!(shutdown.join().expect("no panic"), [stray.pid().clone()], "{kind}");
    }
}

/// The lines of a log without their times.
fn messages(log: &str) -> Vec<&str> {
    log.lines()
        .map(|line| line.split_once("driver: ").or(line.split_once("services: ")).map_or(line, |it| it.1))
        .collect()
}

/// Runs an application until its log says this, then sends a signal: the whole log, and what else was said.
fn run_until(app: &std::path::Path, words: &[&str], text: &str, signals: &[&str]) -> (String, Said) {
    let mut running = Running::start(wippy().arg("-C").arg(app).args(words));
    let mut stderr = BufReader::new(running.child().stderr.take().expect("a pipe"));
    let mut log = String::new();
    while !log.contains(text) {
        assert_ne!(stderr.read_line(&mut log).expect("UTF-8"), 0, "`{text}` never came:\n{log}");
    }
    for (at, signal) in signals.iter().enumerate() {
        running.signal(signal);
        while at + 1 < signals.len() && !log.contains("is asked to end") {
            assert_ne!(stderr.read_line(&mut log).expect("UTF-8"), 0, "it ended:\n{log}");
        }
    }
    stderr.read_to_string(&mut log).expect("UTF-8");
    (log, running.end())
}

#[test]
fn services_run_and_stop_for_real() {
    let (log, said) = run_until(
        &fixture("apps/services"),
        &["run"],
        "`services:crashing` trapped: wasm `unreachable` instruction executed; not started again",
        &["TERM"],
    );
    assert_said(&said, 1, "", "");
    let messages = messages(&log);
    let at = |text: &str| {
        messages.iter().position(|line| line.starts_with(text)).unwrap_or_else(|| panic!("no `{text}` in\n{log}"))
    };
    let runs = ["`services:store` runs as", "`services:clock` runs as", "`services:web` runs as"].map(at);
    assert!(runs.is_sorted(), "each behind what it requires:\n{log}");
    assert_eq!(messages.iter().filter(|line| line.contains("crashing` runs as")).count(), 3, "{log}");
    let stops = [
        "`services:web` stopped",
        "`services:clock` is asked",
        "`services:clock` stopped",
        "`services:store` is asked",
    ];
    assert!(stops.map(at).is_sorted(), "in reverse:\n{log}");
    assert!(at("`services:stubborn` did not end in time and is terminated") < at("`services:store` is asked"), "{log}");
    let last = "service `services:stubborn`, {services:batch|0x00004}, did not end in time and was terminated";
    // The log leaves through a thread of its own, so this one may stand before its end.
    assert!(messages.contains(&last), "{log}");
}

#[test]
fn services_that_end_in_time_are_a_clean_end() {
    let app = guest_app(&format!("{GUESTS}{}", service("one", "wait", "auto_start: true")));
    for signal in ["INT", "TERM"] {
        let (log, said) = run_until(app.path(), &["run"], "running until SIGINT or SIGTERM", &[signal]);
        assert_said(&said, 0, "", "");
        assert!(log.contains("`app:one` stopped"), "{log}");
    }
}

#[test]
fn the_second_signal_ends_services_at_once() {
    let app = guest_app(&format!("{GUESTS}{}", service("one", "spin", "auto_start: true, stop_timeout: 1h")));
    let options = ["--set", "shutdown.timeout=1h", "run"];
    let (log, said) = run_until(app.path(), &options, "running until", &["TERM", "INT"]);
    assert_said(&said, 130, "", "");
    assert!(!log.contains("stopped"), "{log}");
}

#[test]
fn a_shutdown_of_services_is_bounded_as_a_whole() {
    let app = guest_app(&format!("{GUESTS}{}", service("one", "spin", "auto_start: true, stop_timeout: 1h")));
    let options = ["--set", "shutdown.timeout=1ms", "run"];
    let (log, said) = run_until(app.path(), &options, "running until", &["TERM"]);
    assert_said(&said, 1, "", "");
    assert!(
        log.contains(
            "service `app:one`, {app:processes|0x00001}, did not end in time and was terminated
"
        ),
        "{log}"
    );
}

#[test]
fn an_application_whose_services_can_not_start_ends_with_the_reason() {
    let app = guest_app(&format!(
        "{GUESTS}{LOOSE}{}{}",
        service("db", "loose", ""),
        service("web", "wait", "auto_start: true, requires: [db]")
    ));
    let reason = "error: service `app:db` could not start: `app:loose` has `preempt: none`, which host `app:processes` does not \
                  allow: write `allow_preempt_none: true` under `host:` of a `process.host` and start it there (it is required: \
                  `app:web` -> `app:db`)\n";
    let said = run_in(app.path(), ["-s", "run"]);
    assert_said(&said, 1, "", reason);
    // A command needs them as well.
    let said = run_in(app.path(), ["run", "-x", "app:wait", "1", "0"]);
    assert_said(&said, 1, "", reason);
}

#[test]
fn too_many_restarts_end_the_program() {
    let app = guest_app(&format!(
        "{GUESTS}{}",
        service("one", "crash", "auto_start: true, restart: { initial_delay: 1ms, max_restarts: 3 }")
    ));
    let said = run_in(app.path(), ["-s", "run"]);
    let report = "error: service `app:one` would be started again more often than its `max_restarts: 3` allow within 60s; the \
                  last time it trapped: wasm `unreachable` instruction executed\n";
    assert_said(&said, 1, "", report);
}

#[test]
fn the_end_of_a_service_on_a_terminal_is_the_end_of_the_program() {
    for (process, input, code, stdout) in [("wait", "input: [1, 1], ", 0, "0\n"), ("crash", "", 134, "")] {
        let app = guest_app(&format!(
            "{GUESTS}- {{ name: face, kind: process.service, process: {process}, host: terminal, {input}lifecycle: \
             {{ auto_start: true, restart: {{ policy: permanent }} }} }}\n{}",
            service("one", "wait", "auto_start: true")
        ));
        let said = run_in(app.path(), ["-s", "run"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), stdout), "{}", said.stderr);
    }
}

#[test]
fn a_command_runs_beside_services_which_end_with_it() {
    let app = guest_app(&format!("{GUESTS}{}", service("one", "wait", "auto_start: true")));
    let said = run_in(app.path(), ["-v", "run", "-x", "app:wait", "1", "1"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "0\n"));
    let order = ["`app:one` runs as", "started pid={app:terminal|0x00002}", "`app:one` stopped"];
    assert!(order.map(|text| said.stderr.find(text).expect(text)).is_sorted(), "{}", said.stderr);
}

#[test]
fn a_signal_ends_a_start_that_waits() {
    let app = guest_app(&format!(
        "{GUESTS}- {{ name: small, kind: process.host, host: {{ max_processes: 1 }} }}\n{}{}",
        service("one", "wait", "auto_start: true").replace("host: processes", "host: small"),
        service("two", "wait", "auto_start: true, start_timeout: 1h").replace("host: processes", "host: small"),
    ));
    for (words, code) in [(&["run"][..], 0), (&["-v", "run", "-x", "app:wait", "1", "0"], 143)] {
        let (log, said) = run_until(app.path(), words, "waits for room", &["TERM"]);
        assert_said(&said, code, "", "");
        assert!(log.contains("`app:one` stopped") && !log.contains("`app:two` runs"), "{log}");
    }
}
