//! Idle workers, the driver, and who is woken.

use std::task::Waker;

use parking_lot::{Condvar, Mutex};

use super::*;

/// A driver whose events are wakers to call.
#[derive(Default)]
struct Events {
    state: Mutex<EventState>,
    changed: Condvar,
    parks: AtomicUsize,
    polls: AtomicUsize,
    driving: AtomicUsize,
    due: AtomicBool,
}

#[derive(Default)]
struct EventState {
    wakers: Vec<Waker>,
    is_unparked: bool,
}

impl Events {
    fn happen(&self, wakers: impl IntoIterator<Item = Waker>) {
        self.state.lock().wakers.extend(wakers);
        self.changed.notify_one();
    }

    fn parks(&self) -> usize {
        self.parks.load(Ordering::Relaxed)
    }

    fn polls(&self) -> usize {
        self.polls.load(Ordering::Relaxed)
    }
}

impl Driver for Events {
    fn park(&self, timeout: Option<Duration>) {
        assert_eq!(timeout, None, "a worker waits for as long as it takes");
        assert_eq!(self.driving.fetch_add(1, Ordering::Relaxed), 0, "one thread drives");
        self.parks.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        while state.wakers.is_empty() && !state.is_unparked {
            self.changed.wait(&mut state);
        }
        state.is_unparked = false;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.driving.fetch_sub(1, Ordering::Relaxed);
    }

    fn poll(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.due.store(false, Ordering::Relaxed);
        let wakers = std::mem::take(&mut self.state.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn unpark(&self) {
        self.state.lock().is_unparked = true;
        self.changed.notify_one();
    }

    fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }
}

/// Events one after the other.
const EVENTS: u64 = 32;

fn driven(workers: usize) -> (Scheduler, Arc<Events>, Ticker) {
    let (events, ticker) = (Arc::new(Events::default()), Ticker::manual());
    let builder = Scheduler::builder("driven").workers(workers).driver(Arc::clone(&events) as _).ticker(&ticker);
    (builder.seed(5).build().expect("threads are to be had"), events, ticker)
}

fn wait_until_parked(scheduler: &Scheduler, workers: usize) {
    wait_until(|| scheduler.stats().parked_workers == workers);
}

/// Suspended tasks that, once woken, stay inside their step until as many of them are.
fn meeting(scheduler: &Scheduler, count: usize) -> Vec<TaskRef> {
    let arrived = Arc::new(AtomicUsize::new(0));
    let spawn = |_| {
        let (arrived, mut is_first) = (Arc::clone(&arrived), true);
        let step = Steps(move |_: &mut Context<'_>| {
            if std::mem::take(&mut is_first) {
                return Step::Blocked;
            }
            arrived.fetch_add(1, Ordering::Relaxed);
            wait_until(|| arrived.load(Ordering::Relaxed) == count);
            Step::Done
        });
        scheduler.spawn(step).expect("within the bound")
    };
    let tasks: Vec<_> = (0..count).map(spawn).collect();
    wait_until(|| tasks.iter().all(|task| task.state() == TaskState::Blocked));
    tasks
}

#[test]
fn an_idle_worker_parks_on_the_driver_and_a_spawn_ends_that() {
    let (scheduler, events, _) = driven(1);
    wait_until(|| events.parks() == 1);
    let task = scheduler.spawn(once(|| {})).expect("within the bound");
    wait_until(|| task.is_complete() && events.parks() == 2);
    assert_eq!(events.polls(), 0, "one step is no reason to look at the driver");
}

#[test]
fn an_event_runs_its_task_on_the_worker_that_drives() {
    let (scheduler, events, _) = driven(1);
    let tasks = meeting(&scheduler, 1);
    wait_until_parked(&scheduler, 1);
    events.happen(tasks.iter().map(TaskRef::waker));
    wait_until(|| tasks[0].is_complete());
}

#[test]
fn so_many_events_get_so_many_workers() {
    // Each step waits for all others, so a worker that is left asleep is a test that hangs.
    for count in [2, 3, 4] {
        let (scheduler, events, _) = driven(4);
        let tasks = meeting(&scheduler, count);
        wait_until_parked(&scheduler, 4);
        events.happen(tasks.iter().map(TaskRef::waker));
        wait_until(|| tasks.iter().all(TaskRef::is_complete));
    }
}

#[test]
fn so_many_spawns_from_outside_get_so_many_workers() {
    let (scheduler, _, _) = driven(4);
    let tasks = meeting(&scheduler, 4);
    wait_until_parked(&scheduler, 4);
    tasks.iter().for_each(TaskRef::wake);
    wait_until(|| tasks.iter().all(TaskRef::is_complete));
}

#[test]
fn who_finds_work_at_the_driver_hands_on_the_role() {
    let (scheduler, events, _) = driven(2);
    let tasks = meeting(&scheduler, 2);
    wait_until_parked(&scheduler, 2);
    events.happen([tasks[0].waker()]);
    // The first step goes on until the second event is seen, and the first worker can't see it.
    wait_until(|| tasks[0].state() == TaskState::Running);
    events.happen([tasks[1].waker()]);
    wait_until(|| tasks.iter().all(TaskRef::is_complete));
    assert_eq!(events.polls(), 0);
}

#[test]
fn a_worker_that_is_always_back_soon_wakes_nobody_and_loses_the_role_when_it_is_not() {
    let events = Arc::new(Events::default());
    // Ticks are rare, so that no step is long on a machine that has others to run.
    let ticker = Ticker::start(Duration::from_millis(50)).expect("a thread is to be had");
    let scheduler = Scheduler::builder("brief").workers(2).driver(Arc::clone(&events) as _).ticker(&ticker).build();
    let scheduler = scheduler.expect("threads are to be had");
    let brief = scheduler.spawn(Steps(|_: &mut Context<'_>| Step::Blocked)).expect("within the bound");
    let long = meeting(&scheduler, 2);
    wait_until_parked(&scheduler, 2);
    // Sooner or later no tick falls into any of so many steps, and then each is one park of one worker.
    wait_until(|| {
        let before = scheduler.stats().total().parked;
        for _ in 0..EVENTS {
            let steps = brief.steps();
            events.happen([brief.waker()]);
            wait_until(|| brief.steps() > steps && scheduler.stats().parked_workers == 2);
        }
        scheduler.stats().total().parked == before + EVENTS
    });
    // Now it stays inside a step until somebody has seen another event.
    events.happen([long[0].waker()]);
    wait_until(|| long[0].state() == TaskState::Running && events.driving.load(Ordering::Relaxed) == 1);
    events.happen([long[1].waker()]);
    wait_until(|| long.iter().all(TaskRef::is_complete));
}

#[test]
fn a_busy_worker_looks_at_the_driver_every_so_many_steps() {
    let (scheduler, events, _) = driven(1);
    let sleeper = meeting(&scheduler, 1);
    let spinner =
        scheduler.spawn(Steps(|_: &mut Context<'_>| if current::cancelled() { Step::Done } else { Step::Preempted }));
    let spinner = spinner.expect("within the bound");
    wait_until(|| spinner.steps() > 0);
    events.happen([sleeper[0].waker()]);
    wait_until(|| sleeper[0].is_complete());
    assert!(events.polls() > 0);
    assert_eq!(scheduler.stats().polls_by_ticker, 0);
    spinner.cancel();
    wait_until(|| spinner.is_complete());
}

#[test]
fn a_step_that_asks_looks_at_the_driver_once_a_tick_and_when_a_timer_is_due() {
    let (scheduler, events, ticker) = driven(1);
    let sleepers = meeting(&scheduler, 1);
    wait_until_parked(&scheduler, 1);
    let before = events.polls();
    let (told, go_on) = (Gate::default(), Gate::default());
    let spinner = {
        let (events, ticker, told, go_on) = (Arc::clone(&events), ticker.clone(), told.clone(), go_on.clone());
        scheduler.spawn(once(move || {
            assert!(!current::should_yield());
            assert_eq!(events.polls(), before, "it is the tick in which the step began");
            ticker.tick();
            assert!(!current::should_yield());
            assert!(!current::should_yield());
            assert_eq!(events.polls(), before + 1, "once in the new tick");
            events.due.store(true, Ordering::Relaxed);
            assert!(!current::should_yield());
            assert_eq!(events.polls(), before + 2, "a timer is due");
            told.open();
            go_on.wait();
            ticker.tick();
            assert!(current::should_yield(), "an event made another task ready");
        }))
    };
    told.wait();
    events.happen([sleepers[0].waker()]);
    go_on.open();
    let spinner = spinner.expect("within the bound");
    wait_until(|| spinner.is_complete() && sleepers[0].is_complete());
    assert_eq!(scheduler.stats().total().panics, 0);
}

#[test]
fn the_ticker_looks_at_the_driver_when_all_workers_are_inside_steps() {
    let (scheduler, events, ticker) = driven(2);
    let sleepers = meeting(&scheduler, 1);
    let gates = [occupy(&scheduler), occupy(&scheduler)];
    events.happen([sleepers[0].waker()]);
    wait_until(|| {
        ticker.tick();
        events.polls() > 0
    });
    assert_eq!(sleepers[0].state(), TaskState::Ready, "the event was seen although nobody can run the task");
    assert!(scheduler.stats().polls_by_ticker > 0);
    assert_eq!(scheduler.stats().woken_queue, 1);
    gates.iter().for_each(Gate::open);
    wait_until(|| sleepers[0].is_complete());
}

#[test]
fn the_ticker_finds_a_worker_for_a_job_behind_a_long_step() {
    let (scheduler, _, ticker) = driven(2);
    wait_until_parked(&scheduler, 2);
    let ran = Gate::default();
    let long = {
        let (scheduler, ran) = (scheduler.clone(), ran.clone());
        once(move || {
            let child = once({
                let ran = ran.clone();
                move || ran.open()
            });
            scheduler.spawn(child).expect("within the bound");
            // A step must not wait like this; a native one that computes for long does the same to its deque.
            ran.wait();
        })
    };
    let long = scheduler.spawn(long).expect("within the bound");
    wait_until(|| {
        ticker.tick();
        long.is_complete()
    });
    assert_eq!(scheduler.stats().total().stolen, 1);
}
