//! Futures as tasks: what their handles say, and what becomes of two that are joined.

use std::future::{pending, poll_fn};
use std::task::{Poll, Wake, Waker};

use parking_lot::Mutex;

use super::*;

/// Polls a future of this thread to its end.
fn run<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn spawn<F>(scheduler: &Scheduler, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    scheduler.spawn_future(future).expect("within the bound")
}

/// Ready when the gate is open; whoever opens it wakes the task.
async fn opened(gate: &Gate) {
    poll_fn(|_| if gate.is_open() { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[test]
fn results_go_to_threads_to_tasks_and_to_other_executors() {
    let (scheduler, _) = scheduler(2);
    let inner = scheduler.clone();
    let outer = spawn(&scheduler, async move { spawn(&inner, async { "inner".to_owned() }).await });
    assert_eq!(outer.wait().expect("a result").as_deref(), Ok("inner"));
    assert_eq!(run(spawn(&scheduler, async { 7 })), Ok(7));
}

#[test]
fn a_result_that_comes_later_wakes_the_last_one_who_asked() {
    let (scheduler, _) = scheduler(1);
    let gate = occupy(&scheduler);
    let mut handle = spawn(&scheduler, async { 7 });
    let mut first = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(&mut handle).poll(&mut first).is_pending());
    assert!(!handle.is_complete());
    let opens = thread::spawn(move || gate.open());
    assert_eq!(run(handle), Ok(7));
    opens.join().expect("no panic");
}

#[test]
fn a_panic_is_the_result_and_the_worker_goes_on() {
    let (scheduler, _) = scheduler(1);
    let panicked = spawn(&scheduler, async { panic!("by intent") }).wait();
    assert_eq!(panicked, Err::<(), _>(JoinError::Panicked { message: "by intent".to_owned() }));
    assert_eq!(spawn(&scheduler, async { 1 }).wait(), Ok(1));
}

#[test]
fn a_cancelled_future_is_dropped_and_its_handle_says_so() {
    let (scheduler, _) = scheduler(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let held = Dropped(Arc::clone(&drops));
    let waiting = spawn(&scheduler, async move {
        let _held = held;
        pending::<()>().await;
    });
    waiting.cancel();
    let complete = spawn(&scheduler, async {});
    assert_eq!(waiting.wait(), Err(JoinError::Cancelled));
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    wait_until(|| complete.is_complete());
    complete.cancel();
    assert_eq!(complete.wait(), Ok(()));
}

#[test]
fn a_shutdown_drops_what_is_queued_and_whoever_waits_hears_of_it() {
    let (scheduler, _) = scheduler(1);
    let gate = occupy(&scheduler);
    let queued = spawn(&scheduler, async {});
    scheduler.stop();
    gate.open();
    assert_eq!(queued.wait(), Err(JoinError::Cancelled));
    assert!(matches!(scheduler.spawn_future(async {}), Err(SpawnError::Stopped { .. })));
}

#[test]
fn a_worker_is_not_kept_waiting() {
    let (scheduler, _) = scheduler(1);
    let inner = scheduler.clone();
    let answer = spawn(&scheduler, async move { spawn(&inner, async {}).wait() }).wait();
    assert_eq!(answer, Ok(Err(JoinError::OnWorker)));
}

#[test]
fn a_future_beyond_the_bound_comes_back() {
    let scheduler = Scheduler::builder("full").workers(1).ticker(&Ticker::manual()).max_tasks(1).build();
    let scheduler = scheduler.expect("threads are to be had");
    let gate = occupy(&scheduler);
    let refused = scheduler.spawn_future(async { 5 });
    assert_eq!(run(refused.expect_err("it is full").into_task()), 5);
    gate.open();
}

#[test]
fn who_has_the_result_finds_room_for_the_next_one() {
    let scheduler = Scheduler::builder("one").workers(2).ticker(&Ticker::manual()).max_tasks(1).build();
    let scheduler = scheduler.expect("threads are to be had");
    for turn in 0..1000 {
        assert_eq!(spawn(&scheduler, async move { turn }).wait(), Ok(turn));
    }
}

#[test]
fn a_cell_that_is_used_again_knows_nothing_of_the_task_before() {
    let (scheduler, _) = scheduler(1);
    let inner = scheduler.clone();
    let drops = Arc::new(AtomicUsize::new(0));
    let results = Arc::clone(&drops);
    let all = spawn(&scheduler, async move {
        let kept = inner.spawn(once(|| {})).expect("within the bound");
        for turn in 0..3000 {
            let nobodys = Dropped(Arc::clone(&results));
            drop(spawn(&inner, async move { nobodys }));
            let handle = spawn(&inner, async move { turn });
            assert_eq!(handle.await, Ok(turn));
            let steps = inner.spawn(once(|| {})).expect("within the bound");
            spawn(&inner, async {}).await.expect("behind the one before");
            assert_eq!((steps.steps(), steps.is_cancelled()), (1, false));
            steps.cancel();
        }
        assert!(kept.is_complete() && !kept.is_cancelled());
        assert_eq!(kept.steps(), 1);
    });
    assert_eq!(all.wait(), Ok(()));
    wait_until(|| scheduler.stats().live_tasks == 0);
    assert_eq!(drops.load(Ordering::Relaxed), 3000);
}

#[test]
fn a_joined_future_runs_on_a_worker_that_has_nothing_to_do() {
    let (scheduler, _) = scheduler(2);
    let (open, inside) = (Gate::default(), Gate::default());
    let (opens, waits) = (open.clone(), open);
    let both = spawn(&scheduler, async move {
        // The first one keeps its worker until the second one has run.
        join(async move { waits.wait() }, async move { opens.open() }).await;
        inside.open();
    });
    assert_eq!(both.wait(), Ok(()));
}

#[test]
fn joined_futures_take_turns_where_there_is_no_worker_and_where_nobody_needs_work() {
    let both = |log: Arc<Mutex<Vec<u32>>>| async move {
        let gate = Gate::default();
        let (waits, opens, second) = (gate.clone(), gate, Arc::clone(&log));
        let waiting = async move {
            log.lock().push(1);
            opened(&waits).await;
            log.lock().push(3);
        };
        let opening = async move {
            second.lock().push(2);
            opens.open();
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if second.lock().len() == 3 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            "second"
        };
        join(waiting, opening).await
    };
    let log = Arc::default();
    assert_eq!(run(both(Arc::clone(&log))), ((), "second"));
    assert_eq!(*log.lock(), [1, 2, 3]);

    let (scheduler, _) = scheduler(1);
    let inner = scheduler.clone();
    let log = Arc::default();
    let joined = both(Arc::clone(&log));
    let steps = spawn(&scheduler, async move {
        // The deque has enough for others.
        let others: Vec<_> = (0..10).map(|_| spawn(&inner, async {})).collect();
        let said = joined.await;
        for other in others {
            other.await.expect("no panic");
        }
        said
    });
    assert_eq!(steps.wait(), Ok(((), "second")));
    assert_eq!(*log.lock(), [1, 2, 3]);
}

#[test]
fn a_panic_of_a_joined_future_is_that_of_the_task() {
    let (scheduler, _) = scheduler(1);
    let both = spawn(&scheduler, async { join(async {}, async { panic!("by intent") }).await.0 });
    let Err(JoinError::Panicked { message }) = both.wait() else { panic!("it panics") };
    assert!(message.contains("by intent"), "{message}");
}

#[test]
fn a_join_that_is_dropped_takes_its_second_future_with_it() {
    let (scheduler, _) = scheduler(2);
    let drops = Arc::new(AtomicUsize::new(0));
    let held = Dropped(Arc::clone(&drops));
    let began = Gate::default();
    let begins = began.clone();
    let both = spawn(
        &scheduler,
        join(pending::<()>(), async move {
            let _held = held;
            begins.open();
            pending::<()>().await;
        }),
    );
    began.wait();
    both.cancel();
    assert_eq!(both.wait(), Err(JoinError::Cancelled));
    wait_until(|| drops.load(Ordering::Relaxed) == 1);
}

#[test]
fn a_recursion_of_joins_lets_others_run_after_a_tick() {
    let (scheduler, ticker) = scheduler(1);
    let (entered, seen) = (Gate::default(), Gate::default());
    let (enters, sees) = (entered.clone(), seen.clone());
    let joins = spawn(&scheduler, async move {
        enters.open();
        let mut joins = 0_u64;
        while !sees.is_open() {
            join(async {}, async {}).await;
            joins += 1;
        }
        joins
    });
    entered.wait();
    let other = seen.clone();
    let other = spawn(&scheduler, async move { other.open() });
    while !seen.is_open() {
        ticker.tick();
        thread::yield_now();
    }
    assert_eq!(other.wait(), Ok(()));
    assert!(joins.wait().is_ok_and(|joins| joins > 0));
}

#[test]
fn a_future_that_nobody_waits_for_runs_to_its_end() {
    let (scheduler, _) = scheduler(2);
    let (drops, large) = (Arc::new(AtomicUsize::new(0)), [7_u8; 1000]);
    for _ in 0..100 {
        let (small, other) = (Dropped(Arc::clone(&drops)), Dropped(Arc::clone(&drops)));
        scheduler.spawn_detached(async move { drop(small) }).expect("within the bound");
        // One whose box is not kept.
        let held = async move {
            let _held = (large, other);
            panic!("by intent");
        };
        scheduler.spawn_detached(held).expect("within the bound");
    }
    wait_until(|| scheduler.stats().live_tasks == 0);
    assert_eq!(drops.load(Ordering::Relaxed), 200);
    wait_until(|| scheduler.stats().total().panics == 100);
}

#[test]
fn cells_that_are_kept_do_not_keep_the_scheduler() {
    struct Nothing;
    impl StepObserver for Nothing {
        fn before_step(&self) {}
        fn after_step(&self) {}
    }
    let observer = Arc::new(Nothing);
    let scheduler = Scheduler::builder("freed").workers(2).ticker(&Ticker::manual()).observe(observer.clone()).build();
    let scheduler = scheduler.expect("threads are to be had");
    let inner = scheduler.clone();
    let spawning = spawn(&scheduler, async move {
        for _ in 0..1000 {
            inner.spawn_detached(async {}).expect("within the bound");
        }
    });
    for _ in 0..1000 {
        scheduler.spawn_detached(async {}).expect("within the bound");
    }
    assert_eq!(spawning.wait(), Ok(()));
    wait_until(|| scheduler.stats().live_tasks == 0);
    scheduler.shutdown().expect("this is no worker");
    drop(scheduler);
    assert_eq!(Arc::strong_count(&observer), 1);
}
