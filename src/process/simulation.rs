//! How long who waits for whom, exact: the real scheduler, reactor and table under a clock that only the test moves.
//!
//! A slice ends at the tick that the test makes, and it makes one when every worker is inside a slice. So a wait is a
//! number of slices that is counted and not a time that is measured, however busy the machine is.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::reactor::{Clock, Instant, Reactor, ReactorConfig, Sleep};
use crate::registry::EntryId;
use crate::scheduler::{Scheduler, Ticker};
use crate::security::Policies;

/// The length of a slice.
const TICK: Duration = Duration::from_millis(1);

/// Longer than any machine needs; waited for only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of so many steps of a worker one is the turn of a preempted process.
const TURN_EVERY: u64 = 61;

/// Where every slice waits for its end.
#[derive(Default)]
struct Turnstile {
    state: Mutex<Slices>,
    changed: Condvar,
}

#[derive(Default)]
struct Slices {
    /// Ticks so far.
    round: u64,
    /// Workers inside a slice of this round.
    inside: usize,
    /// Nobody waits any more.
    is_open: bool,
}

impl Turnstile {
    /// One slice: until the next tick.
    fn slice(&self) {
        let mut state = self.state.lock();
        let round = state.round;
        state.inside += 1;
        self.changed.notify_all();
        while state.round == round && !state.is_open {
            self.changed.wait(&mut state);
        }
    }

    /// Waits until so many workers are inside a slice.
    fn await_workers(&self, workers: usize) {
        let mut state = self.state.lock();
        while state.inside < workers {
            let waited = self.changed.wait_for(&mut state, PATIENCE);
            assert!(!waited.timed_out(), "{} of {workers} workers compute", state.inside);
        }
    }

    /// The slices of this round end.
    fn turn(&self) {
        let mut state = self.state.lock();
        state.round += 1;
        state.inside = 0;
        self.changed.notify_all();
    }

    fn open(&self) {
        self.state.lock().is_open = true;
        self.changed.notify_all();
    }
}

/// What the processes of a test share.
#[derive(Default)]
struct Stage {
    turnstile: Turnstile,
    /// Who computed, in the order of the slices' ends.
    log: Mutex<Vec<u64>>,
    /// How many slices each of those waited who were woken, by what woke them.
    waits: Mutex<Vec<(Woken, u64)>>,
    /// Those that wait for a call from outside.
    wakers: Mutex<Vec<(u64, Waker)>>,
    /// When the call came, in nanoseconds of the clock.
    called_ns: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    ByTimer,
    FromOutside,
}

/// The behaviour of a process.
enum Role {
    /// Computes for ever.
    Spinner,
    /// Computes for a slice whenever it is woken, and wakes itself.
    Restless,
    /// Waits to be called from outside, then computes for a slice.
    Worker,
    /// Waits for a timer and for a call, in turns, and notes how long it waited for a worker then.
    Interactive { random: u64, sleep: Option<Sleep>, was_called: bool },
}

struct Actor {
    name: u64,
    role: Role,
    stage: Arc<Stage>,
    reactor: Arc<Reactor>,
}

impl Actor {
    fn compute(&self) {
        self.stage.turnstile.slice();
        self.stage.log.lock().push(self.name);
    }

    fn await_call(&self, context: &Context<'_>) {
        self.stage.wakers.lock().push((self.name, context.waker().clone()));
    }
}

impl Process for Actor {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        let now = self.reactor.clock().now();
        match &mut self.role {
            Role::Spinner => {
                self.compute();
                while !step::should_yield() {
                    self.compute();
                }
                return Progress::Preempted;
            }
            Role::Restless => {
                self.compute();
                context.waker().wake_by_ref();
            }
            Role::Worker => {
                if self.reactor.clock().now() != Instant::START {
                    self.compute();
                }
                self.await_call(context);
            }
            Role::Interactive { random, sleep, was_called } => {
                let note = |woken, since: Instant| {
                    let waited = now.saturating_duration_since(since).as_nanos() / TICK.as_nanos();
                    self.stage.waits.lock().push((woken, waited as u64));
                };
                match sleep {
                    Some(timer) => match Pin::new(&mut *timer).poll(context) {
                        Poll::Pending => return Progress::Blocked,
                        Poll::Ready(()) => {
                            note(Woken::ByTimer, timer.deadline());
                            *sleep = None;
                            self.await_call(context);
                        }
                    },
                    None => {
                        if std::mem::replace(was_called, true) {
                            note(Woken::FromOutside, Instant::from_nanos(self.stage.called_ns.load(Ordering::Relaxed)));
                        }
                        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let mut timer = self.reactor.sleep(TICK * (1 + (*random >> 61) as u32));
                        let _ = Pin::new(&mut timer).poll(context);
                        *sleep = Some(timer);
                    }
                }
            }
        }
        Progress::Blocked
    }
}

/// A program for each role; its argument is the name of the process.
struct Cast {
    id: EntryId,
    role: fn() -> Role,
    stage: Arc<Stage>,
}

impl Program for Cast {
    fn entry(&self) -> &EntryId {
        &self.id
    }

    fn check(&self, _: &[Payload]) -> Result<(), ArgumentError> {
        Ok(())
    }

    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(Vec::new())
    }

    fn create(&self, birth: Birth) -> Box<dyn Process> {
        let (name, reactor, stage) = (birth.pid().unique(), Arc::clone(birth.reactor()), Arc::clone(&self.stage));
        Box::new(Actor { name, role: (self.role)(), stage, reactor })
    }

    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

struct Simulation {
    workers: usize,
    clock: Clock,
    stage: Arc<Stage>,
    manager: Arc<Manager>,
}

impl Simulation {
    fn new(workers: usize) -> Self {
        let (clock, ticker, stage) = (Clock::manual(), Ticker::manual(), Arc::new(Stage::default()));
        let ticking = ticker.clone();
        clock.on_advance(move |_| ticking.tick()).unwrap();
        let time = clock.clone();
        let host = Host::new(
            "app:host".parse().unwrap(),
            HostKind::Process,
            HostRules::default(),
            Arc::new(AtomicU64::new(0)),
            Ceiling::new(Vec::new()),
            move || {
                let reactor = Reactor::new(time.clone(), ReactorConfig::default())?;
                let builder = Scheduler::builder("sim").workers(workers).seed(1);
                let scheduler = builder.driver(Arc::clone(&reactor) as _).ticker(&ticker).build()?;
                Ok(Machinery { scheduler, reactor })
            },
        );
        let role = |name: &str, role: fn() -> Role| {
            let id: EntryId = format!("app:{name}").parse().unwrap();
            (id.clone(), Arc::new(Cast { id, role, stage: Arc::clone(&stage) }) as Arc<dyn Program>)
        };
        let programs = [
            role("spinner", || Role::Spinner),
            role("restless", || Role::Restless),
            role("worker", || Role::Worker),
            role("interactive", || Role::Interactive { random: 7, sleep: None, was_called: false }),
        ];
        Self {
            workers,
            clock,
            manager: Manager::new(programs.into_iter().collect(), vec![host], Policies::default()),
            stage,
        }
    }

    fn spawn(&self, role: &str, count: u64) -> Vec<ProcessHandle> {
        let start = || Start::new(format!("app:{role}").parse().unwrap(), "app:host".parse().unwrap());
        (0..count).map(|_| self.manager.spawn(start()).unwrap()).collect()
    }

    /// Waits until every worker computes. Who was woken before and is not waited for has had its step, or is in the line.
    fn settle(&self) {
        self.stage.turnstile.await_workers(self.workers);
    }

    /// One tick: the slices end, and every worker begins another one.
    fn tick(&self) {
        self.clock.advance(TICK).unwrap();
        self.stage.turnstile.turn();
        self.settle();
    }

    /// Ticks until a condition holds.
    fn tick_until(&self, holds: impl Fn(&Stage) -> bool) {
        let mut ticks = 0;
        while !holds(&self.stage) {
            self.tick();
            ticks += 1;
            assert!(ticks < 1_000, "nobody waits for so many slices");
        }
    }

    /// Calls all who wait for a call, in the order of their names.
    fn call(&self) {
        self.stage.called_ns.store(self.clock.now().as_nanos(), Ordering::Relaxed);
        let mut wakers = std::mem::take(&mut *self.stage.wakers.lock());
        wakers.sort_by_key(|(name, _)| *name);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.stage.turnstile.open();
        self.manager.shutdown(Duration::ZERO, &|| ());
    }
}

#[test]
fn ten_thousand_spinners_hold_up_nobody_who_wakes_for_more_than_two_slices() {
    const SPINNERS: u64 = 10_000;
    const TICKS: usize = 7_500;
    let simulation = Simulation::new(2);
    let _interactive = simulation.spawn("interactive", 1);
    // Two of them begin while the others come.
    let spinners = simulation.spawn("spinner", SPINNERS);
    simulation.settle();
    // Those that were spawned are in the class of the woken until they have used up a slice: it comes behind all of them.
    while simulation.stage.waits.lock().is_empty() {
        simulation.tick();
    }
    simulation.stage.waits.lock().clear();
    let before: Vec<_> = spinners.iter().map(ProcessHandle::steps).collect();
    for _ in 0..TICKS {
        simulation.tick();
        // In the middle of two slices.
        simulation.call();
    }
    let waits = simulation.stage.waits.lock();
    let longest = |woken| waits.iter().filter(|(by, _)| *by == woken).map(|(_, wait)| *wait).max();
    assert!(waits.len() > TICKS / 8, "it had its turns: {}", waits.len());
    // A timer ends with a tick, as slices do: then nothing but a spinner's turn comes first.
    assert!(longest(Woken::ByTimer).is_some_and(|wait| wait <= 1), "{:?}", longest(Woken::ByTimer));
    assert!(longest(Woken::FromOutside).is_some_and(|wait| wait <= 2), "{:?}", longest(Woken::FromOutside));
    let steps = || spinners.iter().zip(&before).map(|(spinner, before)| spinner.steps() - before);
    let (least, most) = (steps().min(), steps().max());
    assert!(least >= Some(1) && most <= least.map(|least| least + 1), "first come, first served: {least:?}, {most:?}");
}

#[test]
fn who_is_woken_waits_for_two_slices_and_those_who_were_woken_before() {
    for workers in [1, 2] {
        for before in [1, 2, 7, 40] {
            let simulation = Simulation::new(workers);
            let _others = simulation.spawn("worker", before);
            let last = simulation.spawn("interactive", 1);
            let _spinners = simulation.spawn("spinner", 200);
            simulation.settle();
            for _ in 0..20 {
                // Until all wait again.
                simulation.tick_until(|stage| stage.wakers.lock().len() > before as usize);
                let noted = simulation.stage.waits.lock().len();
                simulation.call();
                simulation.tick_until(|stage| stage.waits.lock().len() > noted);
                let (woken, waited) = simulation.stage.waits.lock()[noted];
                assert_eq!(woken, Woken::FromOutside);
                assert!(waited <= before + 2, "{waited} slices behind {before} others, {workers} workers");
                if workers == 1 {
                    // The slice that was going on, theirs, and perhaps a spinner's turn: all of it counted.
                    assert!(waited > before, "{waited} slices behind {before} others");
                }
            }
            assert_eq!(last[0].exit(), None);
        }
    }
}

#[test]
fn spinners_get_one_step_in_so_many_beside_those_who_wake_all_the_time() {
    for workers in [1, 2] {
        let simulation = Simulation::new(workers);
        let restless = simulation.spawn("restless", 3 * workers as u64);
        let spinners = simulation.spawn("spinner", 20);
        simulation.settle();
        for _ in 0..2_000 {
            simulation.tick();
        }
        let is_spinner = |name: &u64| spinners.iter().any(|spinner| spinner.pid().unique() == *name);
        let log = simulation.stage.log.lock().clone();
        let turns: Vec<_> = (0..log.len()).filter(|&place| is_spinner(&log[place])).collect();
        // Their first steps are those of spawned processes, from then on it is a turn of each worker.
        let gaps: Vec<_> = turns.windows(2).skip(20).map(|pair| (pair[1] - pair[0]) as u64).collect();
        assert!(gaps.len() as u64 >= 2_000 / TURN_EVERY - 2, "{}", gaps.len());
        if workers == 1 {
            assert!(gaps.iter().all(|gap| *gap == TURN_EVERY), "{gaps:?}");
        }
        let most = TURN_EVERY * workers as u64;
        assert!(gaps.iter().all(|gap| *gap <= most), "{gaps:?}");
        let steps = |processes: &[ProcessHandle]| {
            let steps = || processes.iter().map(ProcessHandle::steps);
            steps().max().unwrap() - steps().min().unwrap()
        };
        assert!(steps(&spinners) <= 1, "spinners take turns");
        assert!(steps(&restless) <= 1 || workers > 1, "those who wake take turns: {}", steps(&restless));
    }
}
