//! One task from its spawn to its end.

use std::sync::mpsc;

use super::*;

#[test]
fn spawned_tasks_run_once_and_are_dropped() {
    let (scheduler, _) = scheduler(2);
    let runs = Arc::new(AtomicUsize::new(0));
    let spawn = |_| {
        let runs = Arc::clone(&runs);
        let count = move || {
            runs.fetch_add(1, Ordering::Relaxed);
        };
        scheduler.spawn(once(count)).expect("within the bound")
    };
    let tasks: Vec<_> = (0..100).map(spawn).collect();
    wait_until(|| tasks.iter().all(TaskRef::is_complete));
    assert_eq!(runs.load(Ordering::Relaxed), 100);
    assert_eq!(Arc::strong_count(&runs), 1, "a complete task is dropped, whoever holds a reference to it");
    assert_eq!(scheduler.stats().live_tasks, 0);
    assert_eq!(scheduler.stats().total().steps, 100);
}

#[test]
fn a_boxed_task_is_a_task() {
    let (scheduler, _) = scheduler(1);
    let boxed: Box<dyn Task> = Box::new(once(|| {}));
    let task = scheduler.spawn(boxed).expect("within the bound");
    wait_until(|| task.is_complete());
}

#[test]
fn a_suspended_task_is_run_again_when_it_is_woken() {
    let (scheduler, _) = scheduler(2);
    for (step, state) in [(Step::Blocked, TaskState::Blocked), (Step::Idle, TaskState::Idle)] {
        let mut left = 3;
        let task = scheduler.spawn(Steps(move |_: &mut Context<'_>| {
            left -= 1;
            if left == 0 { Step::Done } else { step }
        }));
        let task = task.expect("within the bound");
        for steps in 1..3 {
            wait_until(|| task.state() == state);
            assert_eq!(task.steps(), steps);
            task.wake();
            wait_until(|| task.steps() > steps);
        }
        wait_until(|| task.is_complete());
        assert_eq!(task.steps(), 3);
    }
}

#[test]
fn a_wake_during_the_step_makes_one_more_step() {
    let (scheduler, _) = scheduler(2);
    let mut steps = 0;
    let task = scheduler.spawn(Steps(move |context: &mut Context<'_>| {
        steps += 1;
        // Twice: it is queued once all the same.
        context.waker().wake_by_ref();
        context.waker().wake_by_ref();
        if steps == 1000 { Step::Done } else { Step::Blocked }
    }));
    let task = task.expect("within the bound");
    wait_until(|| task.is_complete());
    assert_eq!(task.steps(), 1000);
    task.wake();
    task.cancel();
    assert!(!task.is_cancelled(), "a complete task can't be cancelled");
    assert_eq!(task.steps(), 1000);
}

#[test]
fn a_panic_ends_its_task_only() {
    struct Bomb {
        told: mpsc::Sender<String>,
        _dropped: Dropped,
    }
    impl Task for Bomb {
        fn step(&mut self, _context: &mut Context<'_>) -> Step {
            panic!("fuse {}", 7)
        }
        fn panicked(&mut self, message: &str) {
            let _ = self.told.send(message.to_owned());
            panic!("again")
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("and again")
        }
    }

    let (scheduler, _) = scheduler(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let (told, messages) = mpsc::channel();
    let task = scheduler.spawn(Bomb { told, _dropped: Dropped(Arc::clone(&drops)) }).expect("within the bound");
    wait_until(|| task.is_complete());
    assert_eq!(messages.try_recv().as_deref(), Ok("fuse 7"));
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    wait_until(|| scheduler.stats().total().panics == 1);
    assert_eq!(scheduler.stats().live_tasks, 0);

    let after = scheduler.spawn(once(|| {})).expect("within the bound");
    wait_until(|| after.is_complete());
}

#[test]
fn a_payload_that_panics_when_dropped_ends_its_task_only() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            std::panic::panic_any(Payload)
        }
    }
    let (scheduler, _) = scheduler(1);
    let task = scheduler.spawn(once(|| std::panic::panic_any(Payload))).expect("within the bound");
    wait_until(|| task.is_complete());
    wait_until(|| scheduler.stats().total().panics == 1);
}

/// Suspends until it is cancelled.
fn until_cancelled() -> impl Task {
    Steps(|_: &mut Context<'_>| if current::cancelled() { Step::Done } else { Step::Idle })
}

#[test]
fn cancelling_reaches_suspended_queued_and_running_tasks() {
    let (scheduler, _) = scheduler(1);
    let suspended = scheduler.spawn(until_cancelled()).expect("within the bound");
    wait_until(|| suspended.state() == TaskState::Idle);
    suspended.cancel();
    wait_until(|| suspended.is_complete());
    assert_eq!(suspended.steps(), 2);
    assert!(suspended.is_cancelled());

    let gate = occupy(&scheduler);
    let queued = scheduler.spawn(until_cancelled()).expect("within the bound");
    queued.cancel();
    gate.open();
    wait_until(|| queued.is_complete());
    assert_eq!(queued.steps(), 1);

    let entered = Gate::default();
    let running = scheduler.spawn({
        let entered = entered.clone();
        Steps(move |_: &mut Context<'_>| {
            entered.open();
            wait_until(|| current::cancelled() && current::should_yield());
            Step::Done
        })
    });
    let running = running.expect("within the bound");
    entered.wait();
    running.cancel();
    wait_until(|| running.is_complete());
    assert_eq!(running.steps(), 1);
}

#[test]
fn one_task_is_cancelled_and_its_neighbour_is_not() {
    let (scheduler, _) = scheduler(1);
    let [one, other] = [(); 2].map(|()| scheduler.spawn(until_cancelled()).expect("within the bound"));
    one.cancel();
    other.wake();
    wait_until(|| one.is_complete());
    wait_until(|| other.state() == TaskState::Idle);
    assert!(!other.is_cancelled());
}

#[test]
fn the_bound_on_live_tasks_gives_the_task_back() {
    let ticker = Ticker::manual();
    let scheduler = Scheduler::builder("full").workers(1).ticker(&ticker).max_tasks(2).build().expect("threads");
    let [one, _other] = [(); 2].map(|()| scheduler.spawn(until_cancelled()).expect("within the bound"));
    let error = scheduler.spawn(until_cancelled()).expect_err("one too many");
    assert!(matches!(error, SpawnError::Full { max_tasks: 2, .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the scheduler has 2 live tasks, which is its bound; wait for some to end, or raise `max_tasks`"
    );
    one.cancel();
    wait_until(|| one.is_complete());
    scheduler.spawn(error.into_task()).expect("there is room again");
}

#[test]
fn a_suspended_task_that_nobody_can_wake_is_dropped() {
    let (scheduler, _) = scheduler(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let dropped = Dropped(Arc::clone(&drops));
    let task = scheduler.spawn(Steps(move |_: &mut Context<'_>| {
        let _ = &dropped;
        Step::Blocked
    }));
    let task = task.expect("within the bound");
    wait_until(|| task.state() == TaskState::Blocked);
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    drop(task);
    wait_until(|| drops.load(Ordering::Relaxed) == 1);
    wait_until(|| scheduler.stats().live_tasks == 0);
}

#[test]
fn a_step_knows_where_it_is_and_others_know_that_they_are_not() {
    assert!(!current::on_worker() && !current::cancelled() && !current::should_yield());
    assert_eq!(current::scheduler_name(), None);
    current::mark_preempted();
    assert!(current::take_preempted(), "the note works without a worker");
    assert!(!current::take_preempted());

    let (scheduler, _) = scheduler(1);
    let (tell, told) = mpsc::channel();
    let mark = scheduler.spawn(once(current::mark_preempted)).expect("within the bound");
    let ask = once(move || {
        let answers = (current::on_worker(), current::scheduler_name(), current::take_preempted());
        tell.send(answers).expect("the test waits");
    });
    wait_until(|| mark.is_complete());
    scheduler.spawn(ask).expect("within the bound");
    assert_eq!(told.recv(), Ok((true, Some("test".into()), false)), "the note does not outlive the step");
}

#[test]
fn handles_and_tasks_may_go_to_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<Scheduler>();
    check::<TaskRef>();
    check::<Ticker>();
    check::<SpawnError<usize>>();
}

/// Writes down what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<&'static str>>);

impl Told {
    fn tell(&self, what: &'static str) {
        assert!(current::on_worker());
        self.0.lock().push(what);
    }
}

impl StepObserver for Told {
    fn before_step(&self) {
        self.tell("before");
    }

    fn after_step(&self) {
        self.tell("after");
    }
}

/// Tells of its drop.
struct Last(Arc<Told>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.tell("dropped");
    }
}

#[test]
fn an_observer_is_told_around_each_step_and_the_drop_after_the_last() {
    let told = Arc::new(Told::default());
    let scheduler = Scheduler::builder("observed").workers(1).ticker(&Ticker::manual()).observe(told.clone()).build();
    let scheduler = scheduler.unwrap();
    for panics in [false, true] {
        let (last, mut steps) = (Last(told.clone()), 0);
        let task = scheduler.spawn(Steps(move |_: &mut Context<'_>| {
            last.0.tell("step");
            steps += 1;
            match steps {
                1 => Step::Preempted,
                _ if panics => panic!("asked to"),
                _ => Step::Done,
            }
        }));
        let task = task.unwrap();
        wait_until(|| task.is_complete() && told.0.lock().len() == 7);
        let expected = ["before", "step", "after", "before", "step", "dropped", "after"];
        assert_eq!(*std::mem::take(&mut *told.0.lock()), expected);
    }
    scheduler.shutdown().unwrap();
}
