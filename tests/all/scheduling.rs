//! Who runs when: real guests under a manual clock, so that nothing here depends on the speed of the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use wippy::process::{Exit, Payload, ProcessHandle, Start, State};
use wippy::reactor::Clock;
use wippy::{Runtime, process};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);

const TICK: Duration = Duration::from_millis(1);

struct World {
    clock: Clock,
    runtime: Runtime,
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual();
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps/scheduling");
        let runtime = Runtime::builder().load(app).cache(false).clock(clock.clone()).build().expect("a sound app");
        Self { clock, runtime }
    }

    fn spawn(&self, host: &str, entry: &str, input: &[i64]) -> ProcessHandle {
        let start = Start::new(format!("sched:{entry}").parse().unwrap(), format!("sched:{host}").parse().unwrap());
        let input = input.iter().map(|value| Payload::Int(*value));
        self.runtime.manager().spawn(start.input(input)).expect("a host with room")
    }

    /// Waits for a condition without moving the clock.
    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "it never came: {what}");
            std::thread::yield_now();
        }
    }

    /// Lets slices end, one tick after another, until a condition holds.
    fn tick_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        Self::until(what, || {
            holds() || {
                self.clock.advance(TICK).expect("a manual clock");
                // The workers get the processor before the next tick.
                std::thread::sleep(Duration::from_micros(50));
                false
            }
        });
    }

    fn end(&self, processes: &[ProcessHandle]) {
        for process in processes {
            process.terminate();
        }
        self.tick_until("the end of who was terminated", || processes.iter().all(|process| process.exit().is_some()));
        for process in processes {
            assert_eq!(process.exit(), Some(Exit::Terminated));
        }
    }
}

fn waits(process: &ProcessHandle) -> bool {
    process.state() == State::Blocked
}

#[test]
fn a_thousand_sleepers_wait_on_two_workers_and_wake_at_once() {
    let world = World::new();
    let sleepers: Vec<_> = (0..1000).map(|_| world.spawn("two", "sleep", &[250])).collect();
    World::until("every sleeper waits", || sleepers.iter().all(waits));
    world.clock.advance(Duration::from_millis(249)).unwrap();
    assert!(sleepers.iter().all(waits), "nobody wakes early");
    world.clock.advance(Duration::from_millis(1)).unwrap();
    World::until("every sleeper has ended", || sleepers.iter().all(|sleeper| sleeper.exit().is_some()));
    for sleeper in &sleepers {
        // What the guest measured itself, on the same clock: to the nanosecond.
        assert_eq!(sleeper.exit(), Some(Exit::Returned(Payload::Int(250_000_000))));
    }
}

#[test]
fn short_processes_pass_between_spinners_and_every_spinner_goes_on() {
    let world = World::new();
    let spinners: Vec<_> =
        (0..8).map(|at| world.spawn("two", if at % 2 == 0 { "spin" } else { "spin-component" }, &[])).collect();
    world.tick_until("every spinner has begun", || spinners.iter().all(|spinner| spinner.steps() > 0));
    let before: Vec<_> = spinners.iter().map(ProcessHandle::steps).collect();
    for turn in 0..100 {
        let short = world.spawn("two", "short", &[turn, 1]);
        world.tick_until("a short process has ended", || short.exit().is_some());
        assert_eq!(short.exit(), Some(Exit::Returned(Payload::Int(turn + 1))));
    }
    for (spinner, before) in spinners.iter().zip(before) {
        assert!(spinner.steps() > before, "{spinner:?} made no step beside the short ones");
        assert_eq!(spinner.exit(), None);
    }
    world.end(&spinners);
}

#[test]
fn a_sleeper_wakes_while_the_only_worker_spins() {
    let world = World::new();
    let spinner = world.spawn("one", "spin", &[]);
    World::until("the spinner has the worker", || spinner.state() == State::Running);
    let sleeper = world.spawn("one", "sleep", &[20]);
    world.tick_until("the sleeper waits", || waits(&sleeper));
    let before = spinner.steps();
    world.tick_until("the sleeper has ended", || sleeper.exit().is_some());
    let Some(Exit::Returned(Payload::Int(slept))) = sleeper.exit() else { panic!("{sleeper:?}") };
    assert!(slept >= 20_000_000, "it slept its time: {slept}");
    world.tick_until("the spinner goes on", || spinner.steps() > before);
    assert_eq!(spinner.exit(), None);
    world.end(&[spinner]);
}

#[test]
fn a_guest_that_meets_nobody_and_waits_for_nothing_takes_one_step() {
    let world = World::new();
    let short = world.spawn("one", "short", &[6, 7]);
    World::until("it has ended", || short.exit().is_some());
    assert_eq!((short.exit(), short.steps()), (Some(Exit::Returned(Payload::Int(13))), 1));
}

#[test]
fn a_lone_spinner_pays_for_no_switch() {
    let world = World::new();
    let spinner = world.spawn("one", "spin", &[]);
    World::until("the spinner runs", || spinner.steps() > 0 && spinner.state() == State::Running);
    let before = spinner.steps();
    for _ in 0..200 {
        world.clock.advance(TICK).unwrap();
    }
    assert_eq!(spinner.steps(), before, "nobody waits, so its slice goes on");
    world.end(&[spinner]);
}

#[test]
fn wall_time_ends_a_guest_wherever_it_is() {
    let world = World::new();
    let sleeping = world.spawn("two", "hasty", &[60_000]);
    let spinning = world.spawn("two", "short-lived", &[]);
    World::until("one waits, one computes", || waits(&sleeping) && spinning.state() == State::Running);
    world.clock.advance(Duration::from_millis(49)).unwrap();
    assert_eq!((sleeping.exit(), spinning.state()), (None, State::Running));
    world.clock.advance(Duration::from_millis(1)).unwrap();
    // One that is running may not have reached its loop when a tick comes; later ones find it there. They move no time.
    World::until("both have ended", || {
        world.clock.advance(Duration::ZERO).expect("a manual clock");
        sleeping.exit().is_some() && spinning.exit().is_some()
    });
    for process in [sleeping, spinning] {
        let Some(Exit::LimitExceeded(limit)) = process.exit() else { panic!("{process:?}") };
        assert_eq!((limit.limit, limit.allowed.as_str(), limit.used.as_str()), ("max_execution", "50ms", "50ms"));
    }
    let in_time = world.spawn("two", "hasty", &[49]);
    World::until("it waits", || waits(&in_time));
    world.clock.advance(Duration::from_millis(49)).unwrap();
    World::until("it has ended", || in_time.exit().is_some());
    assert_eq!(in_time.exit(), Some(Exit::Returned(Payload::Int(49_000_000))));
}

#[test]
fn the_real_clock_does_the_same() {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps/scheduling");
    let runtime = Runtime::builder().load(app).cache(false).build().expect("a sound app");
    let spawn = |entry: &str, input: &[i64]| {
        let start = Start::new(format!("sched:{entry}").parse().unwrap(), "sched:one".parse().unwrap());
        runtime.manager().spawn(start.input(input.iter().map(|value| Payload::Int(*value)))).unwrap()
    };
    let spinner = spawn("spin", &[]);
    let sleeper = spawn("sleep", &[5]);
    let exit = sleeper.wait_timeout(PATIENCE).expect("the sleeper wakes beside a spinner");
    assert!(matches!(exit, process::Exit::Returned(Payload::Int(slept)) if slept >= 5_000_000), "{exit:?}");
    spinner.terminate();
    assert_eq!(spinner.wait_timeout(PATIENCE), Some(Exit::Terminated));
    assert!(runtime.shutdown(Duration::from_secs(1)).is_empty());
}

#[test]
fn a_slice_is_as_long_as_the_tick_that_was_asked_for() {
    const PERIOD: Duration = Duration::from_millis(30);
    const SLICES: u32 = 6;
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps/scheduling");
    let runtime = Runtime::builder().load(app).cache(false).tick(PERIOD).build().expect("a sound app");
    let begin = Instant::now();
    let pair = [(); 2].map(|()| {
        let start = Start::new("sched:spin".parse().unwrap(), "sched:one".parse().unwrap());
        runtime.manager().spawn(start).unwrap()
    });
    let slices = || pair.iter().map(|process| process.usage().preemptions()).sum::<u64>();
    World::until("slices end", || slices() >= u64::from(SLICES));
    // A slow machine makes slices longer, never shorter: each ends at a tick. The first one may begin in mid-period.
    assert!(begin.elapsed() >= (SLICES - 1) * PERIOD, "{:?}", begin.elapsed());
}

#[test]
fn a_shutdown_under_a_clock_that_stands_still_ends_what_computes() {
    let world = World::new();
    let spinners: Vec<_> = (0..3).map(|_| world.spawn("two", "spin", &[])).collect();
    World::until("somebody computes", || spinners.iter().any(|spinner| spinner.state() == State::Running));
    let terminated = world.runtime.shutdown(Duration::ZERO);
    assert_eq!(terminated.len(), 3);
    assert!(spinners.iter().all(|spinner| spinner.exit() == Some(Exit::Terminated)));
}
