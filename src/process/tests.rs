//! Processes that are native state machines, on a real scheduler.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::limits::WaitReason;
use crate::reactor::{Clock, Reactor, ReactorConfig};
use crate::registry::EntryId;
use crate::scheduler::{Scheduler, Ticker};
use crate::security::Policies;

/// What a test process does at each step.
type Script = Arc<dyn Fn(&Shared, &mut Context<'_>) -> Progress + Send + Sync>;

#[derive(Default)]
struct Shared {
    steps: AtomicUsize,
    closed: AtomicBool,
    dropped: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// Somebody is inside `create` with an argument that makes it wait, and may go on.
    creating: AtomicBool,
    create: AtomicBool,
}

struct Native {
    id: EntryId,
    script: Script,
    shared: Arc<Shared>,
}

struct NativeProcess {
    script: Script,
    shared: Arc<Shared>,
}

impl Program for Native {
    fn entry(&self) -> &EntryId {
        &self.id
    }
    fn check(&self, input: &[Payload]) -> Result<(), ArgumentError> {
        if input.len() > 1 { Err(ArgumentError::new("expected at most one argument")) } else { Ok(()) }
    }
    fn read_arguments(&self, text: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(text.iter().cloned().map(Payload::String).collect())
    }
    fn create(&self, birth: Birth) -> Box<dyn Process> {
        if let Some(Payload::String(_)) = birth.input.first() {
            self.shared.creating.store(true, Ordering::SeqCst);
            until(|| self.shared.create.load(Ordering::SeqCst));
        }
        Box::new(NativeProcess { script: Arc::clone(&self.script), shared: Arc::clone(&self.shared) })
    }
    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

impl Process for NativeProcess {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        // Before the count: who has seen a step finds its waker.
        *self.shared.waker.lock() = Some(context.waker().clone());
        self.shared.steps.fetch_add(1, Ordering::SeqCst);
        (self.script)(&self.shared, context)
    }
    fn close(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
    }
}

impl Drop for NativeProcess {
    fn drop(&mut self) {
        self.shared.dropped.store(true, Ordering::SeqCst);
    }
}

struct World {
    manager: Arc<Manager>,
    shared: Arc<Shared>,
    ticker: Ticker,
}

fn id(text: &str) -> EntryId {
    text.parse().unwrap()
}

fn world(script: impl Fn(&Shared, &mut Context<'_>) -> Progress + Send + Sync + 'static) -> World {
    world_of(1, usize::MAX, script)
}

fn world_of(
    workers: usize,
    max_tasks: usize,
    script: impl Fn(&Shared, &mut Context<'_>) -> Progress + Send + Sync + 'static,
) -> World {
    let shared = Arc::new(Shared::default());
    let ticker = Ticker::manual();
    let native = Native { id: id("app:native"), script: Arc::new(script), shared: Arc::clone(&shared) };
    let ticking = ticker.clone();
    let (rules, next) = (HostRules::default(), Arc::new(AtomicU64::new(1)));
    let ceiling = Ceiling::new(Vec::new());
    let host = Host::new(id("app:host"), HostKind::Process, rules, next, ceiling, move || {
        let reactor = Reactor::new(Clock::manual(), ReactorConfig::default())?;
        let builder = Scheduler::builder("host").workers(workers).max_tasks(max_tasks);
        let scheduler = builder.driver(Arc::clone(&reactor) as _).ticker(&ticking).build()?;
        Ok(Machinery { scheduler, reactor })
    });
    let programs = [(id("app:native"), Arc::new(native) as Arc<dyn Program>)].into_iter().collect();
    World { manager: Manager::new(programs, vec![host], Policies::default()), shared, ticker }
}

impl World {
    fn start(&self) -> Start {
        Start::new(id("app:native"), id("app:host"))
    }

    fn spawn(&self) -> ProcessHandle {
        self.manager.spawn(self.start()).unwrap()
    }

    /// Waits until the process has taken this many steps.
    fn await_steps(&self, steps: usize) {
        while self.shared.steps.load(Ordering::SeqCst) < steps {
            std::thread::yield_now();
        }
    }
}

/// Waits for a condition; the clock only ends a test that can't go on.
#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited for what never came");
        std::thread::yield_now();
    }
}

fn wait(process: &ProcessHandle) -> Exit {
    process.wait_timeout(Duration::from_secs(60)).expect("the process ends")
}

#[test]
fn a_result_is_the_exit_and_resources_are_gone_before_it() {
    let world = world(|_, _| Progress::Exit(Exit::Returned(42.into())));
    let (sender, receiver) = mpsc::channel();
    let shared = Arc::clone(&world.shared);
    let start = world.start().watch(move |pid: &Pid, exit: &Exit| {
        let gone = shared.closed.load(Ordering::SeqCst) && shared.dropped.load(Ordering::SeqCst);
        sender.send((pid.clone(), exit.clone(), gone)).unwrap();
    });
    let process = world.manager.spawn(start).unwrap();
    assert_eq!(process.pid().to_string(), "{app:host|0x00001}");
    let (pid, exit, gone) = receiver.recv().unwrap();
    assert_eq!((&pid, &exit, gone), (process.pid(), &Exit::Returned(42.into()), true));
    assert_eq!(wait(&process), exit);
    assert!(world.manager.find(&pid).is_none(), "an ended process is no longer found");
}

#[test]
fn arguments_and_places_are_checked_before_anything_is_made() {
    let world = world(|_, _| Progress::Exit(Exit::Returned(Payload::Nil)));
    let wrong = world.manager.spawn(world.start().input([1.into(), 2.into()])).unwrap_err();
    assert_eq!(wrong.to_string(), "`app:native`: expected at most one argument");
    let entry = world.manager.spawn(Start::new(id("app:other"), id("app:host"))).unwrap_err();
    assert_eq!(entry.to_string(), "no process entry `app:other`; there are `app:native`");
    let host = world.manager.spawn(Start::new(id("app:native"), id("app:nowhere"))).unwrap_err();
    assert_eq!(host.to_string(), "no host `app:nowhere`; there are `app:host`");
    assert_eq!(world.shared.steps.load(Ordering::SeqCst), 0);
    assert!(world.manager.only_host(HostKind::Process).unwrap().stats().is_none(), "no thread was started for it");
}

#[test]
fn terminate_ends_a_process_that_waits() {
    let world = world(|_, _| Progress::Blocked);
    let process = world.spawn();
    world.await_steps(1);
    process.terminate();
    assert_eq!(wait(&process), Exit::Terminated);
    assert!(world.shared.dropped.load(Ordering::SeqCst));
}

#[test]
fn terminate_is_seen_by_a_process_that_computes() {
    let world = world(|shared, _| {
        while !step::cancelled() {
            shared.steps.fetch_add(1, Ordering::SeqCst);
            std::hint::spin_loop();
        }
        Progress::Preempted
    });
    let process = world.spawn();
    world.await_steps(2);
    process.terminate();
    assert_eq!(wait(&process), Exit::Terminated);
}

#[test]
fn terminate_ends_a_process_that_is_queued() {
    let blocker = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&blocker);
    let world = world(move |_, _| {
        while gate.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Progress::Exit(Exit::Returned(Payload::Nil))
    });
    let first = world.spawn();
    world.await_steps(1);
    let queued = world.spawn();
    queued.terminate();
    blocker.store(false, Ordering::SeqCst);
    assert_eq!(wait(&queued), Exit::Terminated);
    assert_eq!(wait(&first), Exit::Returned(Payload::Nil));
    assert_eq!(world.shared.steps.load(Ordering::SeqCst), 1, "the queued one never ran");
}

#[test]
fn cancel_waits_for_the_next_wait() {
    let world = world(|shared, _| match shared.steps.load(Ordering::SeqCst) {
        1 => Progress::Blocked,
        2 | 3 => Progress::Preempted,
        _ => Progress::Blocked,
    });
    let process = world.spawn();
    until(|| process.state() == State::Blocked);
    process.cancel("enough");
    assert_eq!(wait(&process), Exit::Cancelled { reason: "enough".into() });
    assert_eq!(world.shared.steps.load(Ordering::SeqCst), 4, "it went on while it computed");
}

#[test]
fn an_exit_that_is_settled_is_changed_by_force_only() {
    let world = world(|shared, _| match shared.steps.load(Ordering::SeqCst) {
        1 | 2 | 4 => Progress::Leaving,
        _ => Progress::Exit(Exit::Exited(3)),
    });
    let process = world.spawn();
    until(|| process.state() == State::Blocked);
    process.cancel("too late");
    until(|| process.state() == State::Blocked && process.steps() == 2);
    assert_eq!(process.exit(), None);
    world.shared.waker.lock().clone().unwrap().wake();
    assert_eq!(wait(&process), Exit::Exited(3));
    let process = world.spawn();
    until(|| process.state() == State::Blocked);
    process.terminate();
    assert_eq!(wait(&process), Exit::Terminated);
    assert_eq!(world.shared.steps.load(Ordering::SeqCst), 4, "nobody waits for what it wrote");
}

#[test]
fn a_panic_is_the_exit_of_its_process_only() {
    let world = world(|shared, _| {
        assert!(shared.steps.load(Ordering::SeqCst) > 1, "the first step fails");
        Progress::Exit(Exit::Returned(Payload::Nil))
    });
    let process = world.spawn();
    let Exit::Failed(failure) = wait(&process) else { panic!("expected a failure") };
    assert_eq!(failure.kind, FailureKind::Panic);
    assert!(failure.message.contains("app:native") && failure.message.contains("the first step fails"), "{failure:?}");
    assert_eq!(wait(&world.spawn()), Exit::Returned(Payload::Nil));
}

#[test]
fn a_wait_on_a_worker_is_an_answer_and_no_deadlock() {
    let slot: Arc<Mutex<Option<ProcessHandle>>> = Arc::default();
    let own = Arc::clone(&slot);
    let world = world(move |_, _| match own.lock().take() {
        Some(handle) => Progress::Exit(handle.wait()),
        None => Progress::Blocked,
    });
    let process = world.spawn();
    world.await_steps(1);
    *slot.lock() = Some(process.clone());
    let waker = world.shared.waker.lock().clone().unwrap();
    waker.wake();
    let Exit::Failed(failure) = wait(&process) else { panic!("expected a failure") };
    assert_eq!(failure.kind, FailureKind::Deadlock);
}

#[test]
fn shutdown_cancels_then_terminates_and_refuses_more() {
    let world = world(|_, _| if step::cancelled() { Progress::Blocked } else { Progress::Preempted });
    let process = world.spawn();
    world.await_steps(3);
    let terminated = world.manager.shutdown(Duration::ZERO, &|| world.ticker.tick());
    assert_eq!(terminated, [process.pid().clone()]);
    assert_eq!(process.exit(), Some(Exit::Terminated));
    let refused = world.manager.spawn(world.start()).unwrap_err();
    assert_eq!(refused.to_string(), "host `app:host` is shutting down");
}

#[test]
fn a_handle_is_a_future_and_late_watchers_are_told() {
    let world = world(|_, _| Progress::Exit(Exit::Exited(3)));
    let process = world.spawn();
    let _ = wait(&process);
    let mut context = Context::from_waker(Waker::noop());
    let polled = std::pin::Pin::new(&mut process.clone()).poll(&mut context);
    assert_eq!(polled, std::task::Poll::Ready(Exit::Exited(3)));
    let (sender, receiver) = mpsc::channel();
    process.watch(move |_: &Pid, exit: &Exit| sender.send(exit.clone()).unwrap());
    assert_eq!(receiver.recv().unwrap(), Exit::Exited(3));
}

#[test]
fn a_spawn_that_meets_a_shutdown_is_refused_or_ends() {
    let released = Arc::new(AtomicBool::new(false));
    let release = Arc::clone(&released);
    // The first process holds the shutdown up, the second one waits for ever.
    let world = world_of(2, usize::MAX, move |shared, _| {
        if shared.steps.load(Ordering::SeqCst) == 1 {
            until(|| release.load(Ordering::SeqCst));
        }
        Progress::Blocked
    });
    let first = world.spawn();
    world.await_steps(1);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| world.manager.spawn(world.start().input(["wait".into()])));
        until(|| world.shared.creating.load(Ordering::SeqCst));
        let late = Mutex::new(Some(late));
        let outcome = Mutex::new(None);
        world.manager.shutdown(Duration::ZERO, &|| {
            // Everybody was told to end. Now the spawn goes on, and then the first process may end.
            if let Some(late) = late.lock().take() {
                world.shared.create.store(true, Ordering::SeqCst);
                let spawned = late.join().unwrap();
                if let Ok(process) = &spawned {
                    until(|| process.exit().is_some() || process.state() == State::Blocked);
                }
                *outcome.lock() = Some(spawned);
                released.store(true, Ordering::SeqCst);
            }
        });
        assert_eq!(first.exit(), Some(Exit::Terminated));
        match outcome.into_inner().expect("the shutdown had to use force") {
            Ok(process) => assert_eq!(process.exit(), Some(Exit::Terminated), "nobody may wait for it for ever"),
            Err(refused) => assert_eq!(refused.to_string(), "host `app:host` is shutting down"),
        }
    });
}

#[test]
fn a_refused_spawn_tells_only_its_caller() {
    let world = world_of(1, 1, |_, _| Progress::Blocked);
    let first = world.spawn();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let start = world.start().watch(move |_: &Pid, _: &Exit| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let refused = world.manager.spawn(start).unwrap_err();
    assert!(matches!(refused, SpawnError::Busy { live: 1, .. }), "{refused:?}");
    assert_eq!(told.load(Ordering::SeqCst), 0, "there was no process whose exit could be told");
    first.terminate();
    assert_eq!(wait(&first), Exit::Terminated);
}

#[test]
fn a_start_whose_name_is_taken_meanwhile_tells_its_watchers_of_who_has_it() {
    let world = world(|_, _| Progress::Blocked);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let late = scope.spawn(|| {
            let start = world.start().name("one").input(["wait".into()]);
            world.manager.spawn(start.watch(move |pid: &Pid, _: &Exit| sender.send(pid.clone()).unwrap()))
        });
        until(|| world.shared.creating.load(Ordering::SeqCst));
        let first = world.manager.spawn(world.start().name("one")).unwrap();
        world.shared.create.store(true, Ordering::SeqCst);
        let late = late.join().unwrap().unwrap();
        assert_eq!(late.pid(), first.pid());
        first.terminate();
        assert_eq!(wait(&late), Exit::Terminated);
        assert_eq!(receiver.recv().unwrap(), *first.pid());
        assert!(receiver.recv().is_err(), "told of a process that never was one");
    });
}

#[test]
fn a_watcher_that_panics_keeps_the_exit_from_nobody() {
    struct Woken(AtomicBool);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let world = world(move |_, _| {
        until(|| gate.load(Ordering::SeqCst));
        Progress::Exit(Exit::Exited(3))
    });
    let (sender, receiver) = mpsc::channel();
    let start = world.start().watch(|_: &Pid, _: &Exit| panic!("a watcher on purpose"));
    let start = start.watch(move |_: &Pid, exit: &Exit| sender.send(exit.clone()).unwrap());
    let mut process = world.manager.spawn(start).unwrap();
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    assert!(std::pin::Pin::new(&mut process).poll(&mut Context::from_waker(&waker)).is_pending());
    open.store(true, Ordering::SeqCst);
    assert_eq!(wait(&process), Exit::Exited(3));
    assert_eq!(receiver.recv(), Ok(Exit::Exited(3)), "the watcher after it is told");
    until(|| woken.0.load(Ordering::SeqCst));
}

#[test]
fn a_grace_without_end_is_no_panic() {
    let world = world(|_, _| Progress::Blocked);
    let process = world.spawn();
    assert_eq!(world.manager.shutdown(Duration::MAX, &|| ()), []);
    assert_eq!(process.exit(), Some(Exit::Cancelled { reason: "host shutdown".into() }));
}

#[test]
fn a_shutdown_on_a_worker_waits_for_nothing_and_ends_everybody() {
    type Slot = Arc<Mutex<Option<Arc<Manager>>>>;
    let slot: Slot = Arc::default();
    let (own, ticker) = (Arc::clone(&slot), Ticker::manual());
    let (sender, receiver) = mpsc::channel();
    let ticking = ticker.clone();
    let world = world(move |_, _| match own.lock().take() {
        Some(manager) => {
            // The other one can't end before this step does, so waiting for it would be waiting for nothing.
            let terminated = manager.shutdown(Duration::MAX, &|| ticking.tick());
            sender.send((terminated, manager.only_host(HostKind::Process).unwrap().live())).unwrap();
            Progress::Preempted
        }
        None => Progress::Blocked,
    });
    let World { manager, shared, .. } = world;
    let manager = Arc::new(manager);
    let start = || manager.spawn(Start::new(id("app:native"), id("app:host"))).unwrap();
    let waiting = start();
    until(|| waiting.state() == State::Blocked);
    *slot.lock() = Some(Arc::clone(&manager));
    let ending = start();
    let (terminated, live) = receiver.recv_timeout(Duration::from_secs(60)).expect("the shutdown returns");
    assert_eq!((terminated.len(), live), (2, 2), "both are told, none has ended yet");
    assert_eq!((wait(&waiting), wait(&ending)), (Exit::Terminated, Exit::Terminated));
    assert!(manager.spawn(Start::new(id("app:native"), id("app:host"))).is_err());
    assert!(shared.dropped.load(Ordering::SeqCst));
}

#[test]
fn a_step_that_never_ends_does_not_hold_a_shutdown_for_ever() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let world = world(move |_, _| {
        until(|| gate.load(Ordering::SeqCst));
        Progress::Blocked
    });
    let stuck = world.spawn();
    world.await_steps(1);
    assert_eq!(world.manager.shutdown(Duration::ZERO, &|| ()), [stuck.pid().clone()]);
    assert_eq!(stuck.exit(), None, "it is still inside its step");
    open.store(true, Ordering::SeqCst);
    assert_eq!(wait(&stuck), Exit::Terminated);
}

#[test]
fn who_looks_on_sees_what_each_process_waits_for() {
    let world = world(|shared, _| match shared.steps.load(Ordering::SeqCst) {
        1 => {
            WaitReason::Timer.note();
            WaitReason::TcpRead.note();
            Progress::Blocked
        }
        2 => {
            WaitReason::Message.note();
            Progress::Idle
        }
        _ => Progress::Blocked,
    });
    assert_eq!(world.manager.processes(), []);
    let process = world.spawn();
    let seen = |state: State| {
        until(|| process.state() == state);
        let [seen] = &world.manager.processes()[..] else { panic!("one process") };
        seen.clone()
    };
    let first = seen(State::Blocked);
    assert_eq!((&first.pid, &first.entry, first.steps), (process.pid(), process.entry(), 1));
    assert_eq!(first.waits, [WaitReason::TcpRead, WaitReason::Timer].into_iter().collect());
    let wake = || world.shared.waker.lock().clone().expect("a step was taken").wake();
    wake();
    let second = seen(State::Idle);
    assert_eq!((second.steps, second.waits.to_string()), (2, "message".to_owned()));
    wake();
    let third = seen(State::Blocked);
    assert!(third.waits.is_empty(), "it says no more: {:?}", third.waits);
    process.terminate();
    assert_eq!(wait(&process), Exit::Terminated);
    assert_eq!(world.manager.processes(), []);
}
