//! Replacements: somebody goes on with the queue of a worker whose step can't be told to end, and leaves afterwards.

use std::sync::atomic::AtomicU64;

use super::*;

/// A scheduler that may have replacements, under a ticker of the test; the name shows in the names of its threads.
fn scheduler(name: &str, workers: usize, replacements: usize) -> (Scheduler, Ticker) {
    let ticker = Ticker::manual();
    let builder = Scheduler::builder(name).workers(workers).replacements(replacements).ticker(&ticker).seed(1);
    (builder.build().expect("threads are to be had"), ticker)
}

/// The threads of the scheduler with this name.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim().ends_with(&format!(":{name}"))).count()
}

/// A step that says that it can't be told to end, and ends when the gate is opened.
fn hold(scheduler: &Scheduler) -> Gate {
    hold_until(scheduler, 0)
}

/// As [`hold`], with a slice that is over then.
fn hold_until(scheduler: &Scheduler, slice_end_ns: u64) -> Gate {
    let (entered, gate) = (Gate::default(), Gate::default());
    let step = {
        let (entered, gate) = (entered.clone(), gate.clone());
        once(move || {
            current::mark_unpreemptible(slice_end_ns);
            entered.open();
            gate.wait();
        })
    };
    scheduler.spawn(step).expect("within the bound");
    entered.wait();
    gate
}

#[test]
fn a_worker_that_is_held_is_replaced_as_long_as_it_is() {
    let (scheduler, ticker) = scheduler("repl", 1, 8);
    for _ in 0..5 {
        let gate = hold(&scheduler);
        let others: Vec<_> = (0..100).map(|_| scheduler.spawn(once(|| {})).expect("within the bound")).collect();
        wait_until(|| {
            ticker.tick();
            others.iter().all(TaskRef::is_complete)
        });
        assert_eq!((scheduler.stats().replacements, threads("repl")), (1, 2));
        // It sleeps as any worker does, and wakes up for what comes.
        wait_until(|| scheduler.stats().parked_workers == 1);
        let late = scheduler.spawn(once(|| {})).expect("within the bound");
        wait_until(|| late.is_complete());
        gate.open();
        wait_until(|| scheduler.stats().replacements == 0 && threads("repl") == 1);
    }
    assert_eq!(scheduler.stats().total().steps, 5 * 102);
}

/// A driver without events, and with a clock that stands still.
#[derive(Default)]
struct Clock {
    now: AtomicU64,
    is_unparked: AtomicBool,
}

impl Driver for Clock {
    fn park(&self, _: Option<Duration>) {
        wait_until(|| self.is_unparked.swap(false, Ordering::Relaxed));
    }

    fn poll(&self) {}

    fn unpark(&self) {
        self.is_unparked.store(true, Ordering::Relaxed);
    }

    fn is_due(&self) -> bool {
        false
    }

    fn has_passed(&self, nanos: u64) -> bool {
        self.now.load(Ordering::Relaxed) >= nanos
    }
}

#[test]
fn a_replacement_waits_for_the_end_of_the_slice_that_the_step_told() {
    let (clock, ticker) = (Arc::new(Clock::default()), Ticker::manual());
    let builder = Scheduler::builder("slice").workers(1).replacements(1).ticker(&ticker);
    let scheduler = builder.driver(Arc::clone(&clock) as _).build().expect("threads are to be had");
    for slice_end in [5, 9] {
        let gate = hold_until(&scheduler, slice_end);
        let other = scheduler.spawn(once(|| {})).expect("within the bound");
        clock.now.store(slice_end - 1, Ordering::Relaxed);
        (0..10).for_each(|_| ticker.tick());
        assert_eq!((scheduler.stats().replacements, other.is_complete()), (0, false));
        clock.now.store(slice_end, Ordering::Relaxed);
        ticker.tick();
        assert_eq!(scheduler.stats().replacements, 1);
        wait_until(|| other.is_complete());
        gate.open();
        wait_until(|| scheduler.stats().replacements == 0);
    }
}

#[test]
fn nobody_replaces_a_worker_whose_step_can_be_told_to_end_or_that_has_nothing_else_to_do() {
    let (scheduler, ticker) = scheduler("nobody", 1, 8);
    let gate = hold(&scheduler);
    (0..10).for_each(|_| ticker.tick());
    assert_eq!(scheduler.stats().replacements, 0, "there is no other work");
    gate.open();
    let gate = occupy(&scheduler);
    let other = scheduler.spawn(once(|| {})).expect("within the bound");
    (0..10).for_each(|_| ticker.tick());
    assert_eq!((scheduler.stats().replacements, other.is_complete()), (0, false), "that step was not marked");
    gate.open();
    wait_until(|| other.is_complete());
}

#[test]
fn a_worker_that_sleeps_is_as_good_as_a_replacement() {
    let (scheduler, ticker) = scheduler("sleeps", 2, 8);
    let gate = hold(&scheduler);
    for _ in 0..10 {
        let other = scheduler.spawn(once(|| {})).expect("within the bound");
        wait_until(|| other.is_complete());
        wait_until(|| scheduler.stats().parked_workers == 1);
        ticker.tick();
    }
    assert_eq!(scheduler.stats().replacements, 0);
    gate.open();
}

#[test]
fn there_are_so_many_replacements_and_no_more() {
    let (scheduler, ticker) = scheduler("many", 1, 3);
    let (inside, gate) = (Arc::new(AtomicUsize::new(0)), Gate::default());
    let held: Vec<_> = (0..6)
        .map(|_| {
            let (inside, gate) = (Arc::clone(&inside), gate.clone());
            let step = once(move || {
                current::mark_unpreemptible(0);
                inside.fetch_add(1, Ordering::Relaxed);
                gate.wait();
            });
            scheduler.spawn(step).expect("within the bound")
        })
        .collect();
    wait_until(|| {
        ticker.tick();
        inside.load(Ordering::Relaxed) == 4
    });
    (0..20).for_each(|_| ticker.tick());
    assert_eq!((inside.load(Ordering::Relaxed), scheduler.stats().replacements, threads("many")), (4, 3, 4));
    gate.open();
    wait_until(|| held.iter().all(TaskRef::is_complete));
    wait_until(|| scheduler.stats().replacements == 0 && threads("many") == 1);
}

#[test]
fn a_shutdown_waits_for_replacements_too() {
    let (scheduler, ticker) = scheduler("shut", 1, 8);
    let held = hold(&scheduler);
    let other = scheduler.spawn(once(|| {})).expect("within the bound");
    wait_until(|| {
        ticker.tick();
        other.is_complete()
    });
    let replacement = occupy(&scheduler);
    held.open();
    replacement.open();
    scheduler.shutdown().expect("this is no worker");
    assert_eq!(threads("shut"), 0);
}

#[test]
fn no_task_is_lost_while_replacements_come_and_go() {
    let ticker = Ticker::start(Duration::from_micros(50)).expect("a thread is to be had");
    let builder = Scheduler::builder("goes").workers(2).replacements(REPLACEMENTS_MAX).ticker(&ticker);
    let scheduler = builder.build().expect("threads are to be had");
    let tasks: Vec<_> = (0..400)
        .map(|name| {
            let mut left = 20;
            let step = Steps(move |context: &mut Context<'_>| {
                if name % 7 == 0 {
                    current::mark_unpreemptible(0);
                    std::thread::sleep(Duration::from_micros(name));
                }
                left -= 1;
                match (left, name % 3) {
                    (0, _) => Step::Done,
                    (_, 0) => Step::Preempted,
                    _ => {
                        context.waker().wake_by_ref();
                        Step::Blocked
                    }
                }
            });
            scheduler.spawn(step).expect("within the bound")
        })
        .collect();
    wait_until(|| tasks.iter().all(TaskRef::is_complete));
    assert!(tasks.iter().all(|task| task.steps() == 20));
    wait_until(|| scheduler.stats().replacements == 0 && threads("goes") == 2);
}
