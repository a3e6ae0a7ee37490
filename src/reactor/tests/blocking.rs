use std::sync::{Condvar, Mutex};

use super::*;

/// Holds jobs until opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        drop(self.changed.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

fn pool(threads_max: usize, queue_max: usize, abandoned_jobs_max: usize) -> BlockingPool {
    BlockingPool::new(BlockingConfig { threads_max, queue_max, abandoned_jobs_max, ..BlockingConfig::default() })
}

/// A call that was polled once and holds its thread until the gate opens.
fn held(pool: &BlockingPool, gate: &Arc<Gate>, waker: &Waker) -> BlockingCall<()> {
    let gate = Arc::clone(gate);
    let mut call = pool.run(move || gate.pass());
    assert!(poll_once(&mut call, waker).is_pending());
    call
}

fn wait<T: Send + 'static>(call: &mut BlockingCall<T>) -> Result<T, BlockingError> {
    let this = std::thread::current();
    let waker = Waker::from(Arc::new(Call(move || this.unpark())));
    let start = std::time::Instant::now();
    loop {
        if let Poll::Ready(result) = poll_once(call, &waker) {
            return result;
        }
        std::thread::park_timeout(HANG);
        assert!(start.elapsed() < HANG, "hangs");
    }
}

#[test]
fn a_job_runs_on_a_named_thread_and_its_task_is_woken() {
    let reactor = real();
    let name = block_on(
        &reactor,
        reactor.blocking().run(|| {
            let thread = std::thread::current();
            thread.name().map(str::to_owned)
        }),
    );
    assert_eq!(name.unwrap().as_deref(), Some("wippy-blocking"));
}

#[test]
fn a_pool_may_serve_several_reactors() {
    let pool = pool(1, 1, 0);
    let config = ReactorConfig::default().with_blocking(pool.clone());
    let reactors = [(); 2].map(|()| Reactor::new(Clock::real(), config.clone()).unwrap());
    assert!(reactors.iter().all(|reactor| block_on(reactor, reactor.blocking().run(|| 7)).unwrap() == 7));
    assert_eq!(pool.stats().finished, 2);
}

#[test]
fn nothing_runs_before_the_first_poll() {
    let pool = pool(1, 1, 0);
    drop(pool.run(|| unreachable!("never polled")));
    assert_eq!(pool.stats(), BlockingStats::default());
}

#[test]
fn a_panic_is_an_error_and_the_thread_goes_on() {
    let pool = pool(1, 1, 0);
    let Err(BlockingError::Panicked { message }) = wait(&mut pool.run(|| panic!("expected {}", 1))) else {
        panic!("a panic is reported")
    };
    assert_eq!(message, "expected 1");
    assert_eq!(wait(&mut pool.run(|| 2)).unwrap(), 2);
    let stats = pool.stats();
    assert_eq!((stats.finished, stats.panicked, stats.threads), (2, 1, 1));
}

#[test]
fn a_result_that_panics_when_it_is_dropped_costs_no_thread() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("a result of the test");
        }
    }
    let pool = pool(1, 1, 0);
    let gate = Arc::new(Gate::default());
    let pass = Arc::clone(&gate);
    let mut abandoned = pool.run(move || {
        pass.pass();
        Bad
    });
    assert!(poll_once(&mut abandoned, Waker::noop()).is_pending());
    wait_until(|| pool.stats().running == 1);
    drop(abandoned);
    gate.open();
    assert_eq!(wait(&mut pool.run(|| 3)).unwrap(), 3);
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn threads_and_queue_are_bounded_and_the_rest_waits_in_order() {
    let pool = pool(2, 3, 0);
    let gate = Arc::new(Gate::default());
    let running: Vec<_> = (0..2).map(|_| held(&pool, &gate, Waker::noop())).collect();
    wait_until(|| pool.stats().running == 2);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut others: Vec<_> = (0..20)
        .map(|index| {
            let order = Arc::clone(&order);
            let mut call = pool.run(move || order.lock().unwrap().push(index));
            assert!(poll_once(&mut call, Waker::noop()).is_pending());
            call
        })
        .collect();
    let stats = pool.stats();
    assert_eq!((stats.threads, stats.running, stats.queued, stats.waiting), (2, 2, 3, 17));
    gate.open();
    others.iter_mut().for_each(|call| wait(call).unwrap());
    // Two threads may swap neighbours; nobody is overtaken by more than the other thread and the queue hold.
    let order = order.lock().unwrap();
    assert!(order.iter().enumerate().all(|(place, index)| place.abs_diff(*index) <= 5), "{order:?}");
    assert_eq!((order.len(), pool.stats().waiting, pool.stats().queued), (20, 0, 0));
    drop(running);
}

#[test]
fn a_call_that_is_dropped_before_it_ran_never_runs_and_frees_its_place() {
    let pool = pool(1, 1, 0);
    let gate = Arc::new(Gate::default());
    let mut running = held(&pool, &gate, Waker::noop());
    wait_until(|| pool.stats().running == 1);
    let poll = |waker: &Waker| {
        let mut call = pool.run(|| unreachable!("dropped before"));
        assert!(poll_once(&mut call, waker).is_pending());
        call
    };
    let queued = poll(Waker::noop());
    let (first, first_waker) = Counter::new();
    let (second, second_waker) = Counter::new();
    let (third, third_waker) = Counter::new();
    let first_call = poll(&first_waker);
    let second_call = poll(&second_waker);
    let mut third_call = {
        let mut call = pool.run(|| 3);
        assert!(poll_once(&mut call, &third_waker).is_pending());
        call
    };
    drop(second_call);
    assert_eq!((pool.stats().queued, pool.stats().waiting), (1, 2));
    drop(queued);
    assert_eq!((first.count(), second.count(), third.count()), (1, 0, 0), "the place goes to the first");
    drop(first_call);
    assert_eq!(third.count(), 1, "who was given the place and is dropped passes it on");
    gate.open();
    wait(&mut running).unwrap();
    assert_eq!(wait(&mut third_call).unwrap(), 3);
    assert_eq!(pool.stats().finished, 2);
}

#[test]
fn an_abandoned_job_is_counted_and_its_thread_replaced() {
    let pool = pool(1, 8, 1);
    let gate = Arc::new(Gate::default());
    let call = held(&pool, &gate, Waker::noop());
    wait_until(|| pool.stats().running == 1);
    let mut next = pool.run(|| 5);
    assert!(poll_once(&mut next, Waker::noop()).is_pending());
    assert_eq!(pool.stats().queued, 1, "one thread, and it is held");
    drop(call);
    assert_eq!(wait(&mut next).unwrap(), 5, "another thread stood in");
    assert_eq!((pool.stats().abandoned_jobs, pool.stats().threads), (1, 2));

    // The bound is reached: this one keeps its place.
    let second = held(&pool, &gate, Waker::noop());
    wait_until(|| pool.stats().running == 2);
    drop(second);
    let mut last = pool.run(|| 6);
    assert!(poll_once(&mut last, Waker::noop()).is_pending());
    let stats = pool.stats();
    assert_eq!((stats.abandoned_jobs, stats.threads, stats.queued), (2, 2, 1));
    gate.open();
    assert_eq!(wait(&mut last).unwrap(), 6);
    wait_until(|| pool.stats().abandoned_jobs == 0 && pool.stats().threads == 1);
}

#[test]
fn idle_threads_end() {
    let idle = Duration::from_millis(1);
    let pool = BlockingPool::new(BlockingConfig { idle, ..BlockingConfig::default() });
    for _ in 0..3 {
        wait(&mut pool.run(|| ())).unwrap();
        wait_until(|| pool.stats().threads == 0);
    }
    assert_eq!(pool.stats().idle, 0);
}

#[test]
fn closing_refuses_what_has_not_begun() {
    let pool = pool(1, 1, 0);
    let gate = Arc::new(Gate::default());
    let mut running = held(&pool, &gate, Waker::noop());
    wait_until(|| pool.stats().running == 1);
    let (counter, waker) = Counter::new();
    let mut queued = held(&pool, &gate, &waker);
    let mut waiting = held(&pool, &gate, &waker);
    pool.close();
    assert_eq!(counter.count(), 2);
    assert!(matches!(wait(&mut queued), Err(BlockingError::Closed)));
    assert!(matches!(wait(&mut waiting), Err(BlockingError::Closed)));
    assert!(matches!(wait(&mut pool.run(|| ())), Err(BlockingError::Closed)));
    gate.open();
    wait(&mut running).unwrap();
    wait_until(|| pool.stats().threads == 0);
}

#[test]
fn the_last_clone_closes_the_pool() {
    let pool = pool(1, 1, 0);
    let gate = Arc::new(Gate::default());
    let mut running = held(&pool, &gate, Waker::noop());
    wait_until(|| pool.stats().running == 1);
    let mut queued = held(&pool, &gate, Waker::noop());
    drop(pool.clone());
    assert!(poll_once(&mut queued, Waker::noop()).is_pending());
    drop(pool);
    assert!(matches!(wait(&mut queued), Err(BlockingError::Closed)));
    gate.open();
    wait(&mut running).unwrap();
}

/// Calls run, are dropped early and late, and wait for room, from several threads at once; in the end nothing is left over.
#[test]
fn counters_return_to_zero_after_a_storm() {
    let pool = pool(3, 2, 2);
    let threads: Vec<_> = (0..4_usize)
        .map(|thread| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                for round in 0..500 {
                    let mut call = pool.run(move || round);
                    match (round + thread) % 4 {
                        0 => drop(poll_once(&mut call, Waker::noop())),
                        1 => {
                            let _ = poll_once(&mut call, Waker::noop());
                            std::thread::yield_now();
                        }
                        _ => assert_eq!(wait(&mut call).unwrap(), round),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    wait_until(|| {
        let stats = pool.stats();
        (stats.queued, stats.waiting, stats.running, stats.abandoned_jobs) == (0, 0, 0, 0)
            && stats.threads <= 3
            && stats.idle == stats.threads
    });
}
