//! The end of a scheduler, and what becomes of its tasks.

use std::sync::mpsc;

use parking_lot::Mutex;

use super::*;

/// Tells where it is dropped.
struct Witness(mpsc::Sender<bool>);

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.send(current::on_worker());
    }
}

#[test]
fn queued_tasks_are_dropped_on_a_worker_without_a_step() {
    let (scheduler, _) = scheduler(2);
    let (tell, told) = mpsc::channel();
    let gates = [occupy(&scheduler), occupy(&scheduler)];
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let witness = Witness(tell.clone());
            let step = once(move || {
                let _ = &witness;
                unreachable!("the scheduler stops before");
            });
            scheduler.spawn(step).expect("within the bound")
        })
        .collect();
    let stopper = {
        let scheduler = scheduler.clone();
        std::thread::spawn(move || scheduler.shutdown())
    };
    wait_until(|| matches!(scheduler.spawn(once(|| {})), Err(SpawnError::Stopped { .. })));
    gates.iter().for_each(Gate::open);
    assert_eq!(stopper.join().expect("no panic"), Ok(()));
    drop(tell);
    let drops: Vec<_> = told.iter().collect();
    assert_eq!(drops.len(), 10);
    assert!(drops.iter().all(|&on_worker| on_worker));
    assert!(tasks.iter().all(|task| task.is_complete() && task.steps() == 0));
    assert_eq!(scheduler.stats().total().panics, 0);
    assert_eq!(scheduler.stats().live_tasks, 0);
}

#[test]
fn a_shutdown_may_be_repeated_and_raced() {
    let (scheduler, _) = scheduler(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(scheduler.shutdown(), Ok(())));
        }
    });
    assert_eq!(scheduler.shutdown(), Ok(()));
}

#[test]
fn a_worker_may_not_wait_for_a_shutdown_of_any_scheduler() {
    let (one, _) = scheduler(1);
    let (other, _) = scheduler(1);
    let (tell, told) = mpsc::channel();
    let ask = {
        let (one, other) = (one.clone(), other.clone());
        once(move || tell.send((one.shutdown(), other.shutdown())).expect("the test waits"))
    };
    one.spawn(ask).expect("within the bound");
    assert_eq!(told.recv(), Ok((Err(ShutdownError::OnWorker), Err(ShutdownError::OnWorker))));
    let alive = other.spawn(once(|| {})).expect("nothing has happened to it");
    wait_until(|| alive.is_complete());
}

#[test]
fn a_spinner_is_told_to_stop() {
    let (scheduler, _) = scheduler(1);
    let entered = Gate::default();
    let spinner = {
        let entered = entered.clone();
        Steps(move |_: &mut Context<'_>| {
            entered.open();
            wait_until(current::should_yield);
            Step::Preempted
        })
    };
    let spinner = scheduler.spawn(spinner).expect("within the bound");
    entered.wait();
    scheduler.shutdown().expect("not on a worker");
    assert!(spinner.is_complete());
    assert_eq!(spinner.steps(), 1);
}

#[test]
fn a_task_that_is_woken_after_the_shutdown_is_dropped() {
    let (scheduler, _) = scheduler(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let dropped = Dropped(Arc::clone(&drops));
    let task = scheduler.spawn(Steps(move |_: &mut Context<'_>| {
        let _ = &dropped;
        Step::Blocked
    }));
    let task = task.expect("within the bound");
    wait_until(|| task.state() == TaskState::Blocked);
    scheduler.shutdown().expect("not on a worker");
    assert_eq!(drops.load(Ordering::Relaxed), 0, "somebody may still hold what it borrows");
    task.wake();
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert!(task.is_complete());
    assert_eq!(scheduler.stats().live_tasks, 0);
}

#[test]
fn a_long_chain_of_drops_needs_no_deep_stack() {
    /// Wakes the next one when it is dropped.
    struct Link(Option<TaskRef>);
    impl Task for Link {
        fn step(&mut self, _context: &mut Context<'_>) -> Step {
            Step::Blocked
        }
    }
    impl Drop for Link {
        fn drop(&mut self) {
            if let Some(next) = self.0.take() {
                next.wake();
            }
        }
    }
    let (scheduler, _) = scheduler(1);
    let mut last = None;
    for _ in 0..100_000 {
        last = Some(scheduler.spawn(Link(last)).expect("within the bound"));
    }
    let last = last.expect("there are some");
    wait_until(|| last.state() == TaskState::Blocked);
    scheduler.shutdown().expect("not on a worker");
    last.wake();
    assert_eq!(scheduler.stats().live_tasks, 0);
}

#[test]
fn the_last_handle_may_be_dropped_by_a_task() {
    // The driver is the scheduler's own: when it is gone, so are the workers and everything they shared.
    struct Nothing;
    impl Driver for Nothing {
        fn park(&self, _timeout: Option<Duration>) {
            std::thread::yield_now();
        }
        fn poll(&self) {}
        fn unpark(&self) {}
        fn is_due(&self) -> bool {
            false
        }
    }
    let driver = Arc::new(Nothing);
    let builder = Scheduler::builder("last").workers(2).ticker(&Ticker::manual()).driver(Arc::clone(&driver) as _);
    let scheduler = Arc::new(Mutex::new(Some(builder.build().expect("threads are to be had"))));
    let holder = Arc::clone(&scheduler);
    let spawned = scheduler.lock().as_ref().map(|scheduler| {
        scheduler.spawn(once(move || {
            let last = holder.lock().take();
            assert!(last.is_some());
        }))
    });
    let task = spawned.expect("it is there").expect("within the bound");
    wait_until(|| task.is_complete());
    drop(task);
    wait_until(|| Arc::strong_count(&driver) == 1);
}

#[test]
fn everything_is_released_with_the_last_handle() {
    let drops = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        let (scheduler, _) = scheduler(2);
        for _ in 0..20 {
            let dropped = Dropped(Arc::clone(&drops));
            let step = Steps(move |context: &mut Context<'_>| {
                let _ = &dropped;
                context.waker().wake_by_ref();
                Step::Blocked
            });
            scheduler.spawn(step).expect("within the bound");
        }
    }
    wait_until(|| drops.load(Ordering::Relaxed) == 50 * 20);
}

#[test]
fn a_wrong_number_of_workers_is_an_error() {
    for workers in [0, MAX_WORKERS + 1] {
        let error = Scheduler::builder("wrong").workers(workers).build().expect_err("out of bounds");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_have_documented_names() {
    let scheduler = Scheduler::builder("names:unusual").workers(12).build().expect("threads are to be had");
    let names = || -> Vec<String> {
        let threads = std::fs::read_dir("/proc/self/task").expect("Linux has it").flatten();
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok()).collect()
    };
    // A thread gives itself its name, so it may take a moment.
    for expected in ["wippy-w0:unusua\n", "wippy-w11:unusu\n", "wippy-ticker\n"] {
        wait_until(|| names().iter().any(|name| name == expected));
    }
    scheduler.shutdown().expect("not on a worker");
}
