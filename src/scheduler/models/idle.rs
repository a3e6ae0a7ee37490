//! Parking and waking: a job that is pushed is run, by as many workers as there are jobs.

use loom::sync::Arc;
use loom::thread;

use super::super::idle::{Idle, Surroundings};
use super::super::park::{Condition, Driver};
use super::check;
use crate::sync::{AtomicUsize, Condvar, Injector, Mutex, Ordering, Steal};

/// Workers over one injector. A job is run by counting it and, when `meet` says so, by waiting until so many jobs are
/// inside their steps together.
struct Pool {
    idle: Idle,
    queue: Injector<()>,
    jobs: usize,
    stop: AtomicUsize,
    /// So many jobs the first step pushes.
    spawns: AtomicUsize,
    meet: usize,
    inside: Mutex<usize>,
    arrived: Condvar,
    done: AtomicUsize,
    /// What the events of the driver made ready; in the real worker its own deque.
    fetched: std::sync::Arc<AtomicUsize>,
}

impl Surroundings for Pool {
    fn must_stay_awake(&self) -> bool {
        !self.queue.is_empty() || self.is_stopping()
    }

    fn own_len(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    fn falls_asleep(&self) {}

    fn woke_up(&self, _: bool) {}
}

impl Pool {
    fn new(workers: usize, jobs: usize, meet: usize) -> Self {
        let fetched = std::sync::Arc::new(AtomicUsize::new(0));
        Self::with_driver(workers, jobs, meet, fetched, std::sync::Arc::new(Condition::new()))
    }

    fn with_driver(
        workers: usize,
        jobs: usize,
        meet: usize,
        fetched: std::sync::Arc<AtomicUsize>,
        driver: std::sync::Arc<dyn Driver>,
    ) -> Self {
        Self {
            idle: Idle::new(workers, driver),
            queue: Injector::new(),
            jobs,
            stop: AtomicUsize::new(0),
            spawns: AtomicUsize::new(0),
            meet,
            inside: Mutex::new(0),
            arrived: Condvar::new(),
            done: AtomicUsize::new(0),
            fetched,
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed) == 1
    }

    fn push(&self) {
        self.queue.push(());
        self.idle.notify_one();
    }

    fn stop(&self) {
        self.stop.store(1, Ordering::Relaxed);
        self.idle.notify_all();
    }

    fn next_job(&self) -> bool {
        let take = |fetched: usize| fetched.checked_sub(1);
        self.fetched.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            || matches!(self.queue.steal(), Steal::Success(()))
    }

    fn step(&self) {
        let mut inside = self.inside.lock();
        *inside += 1;
        if *inside == self.meet {
            (0..self.meet).for_each(|_| self.arrived.notify_one());
        }
        while *inside < self.meet {
            self.arrived.wait(&mut inside);
        }
        drop(inside);
        for _ in 0..self.spawns.swap(0, Ordering::Relaxed) {
            self.queue.push(());
            self.idle.notify_one_from_worker();
        }
        // The last job ends the model.
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.jobs {
            self.stop();
        }
    }

    /// The loop of a worker, without pauses.
    fn work(&self, me: usize) {
        let mut is_searching = false;
        while !self.is_stopping() {
            if self.next_job() {
                if std::mem::take(&mut is_searching) {
                    self.idle.searching_to_running(false, || !self.queue.is_empty());
                }
                self.step();
            } else if is_searching {
                self.idle.park(me, self);
            } else {
                self.idle.running_to_searching();
                is_searching = true;
            }
        }
    }
}

/// Runs `workers` threads and `act` beside them, then looks whether all jobs were run.
fn run(pool: Pool, workers: usize, act: impl FnOnce(&Pool)) {
    let pool = Arc::new(pool);
    let threads: Vec<_> = (0..workers)
        .map(|me| {
            let pool = pool.clone();
            thread::spawn(move || pool.work(me))
        })
        .collect();
    act(&pool);
    threads.into_iter().for_each(|thread| thread.join().expect("no assertion failed"));
    assert_eq!(pool.done.load(Ordering::Relaxed), pool.jobs);
}

#[test]
fn loom_a_push_meets_a_worker_that_parks() {
    check(3, || run(Pool::new(1, 2, 0), 1, |pool| (0..2).for_each(|_| pool.push())));
}

#[test]
fn loom_two_pushers_wake_a_parked_worker() {
    check(2, || {
        let pool = Arc::new(Pool::new(1, 2, 0));
        let threads = [false, true].map(|is_worker| {
            let pool = pool.clone();
            thread::spawn(move || if is_worker { pool.work(0) } else { pool.push() })
        });
        pool.push();
        threads.into_iter().for_each(|thread| thread.join().expect("no assertion failed"));
        assert_eq!(pool.done.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn loom_two_workers_park_and_wake_again_and_again() {
    check(3, || run(Pool::new(2, 3, 0), 2, |pool| (0..3).for_each(|_| pool.push())));
}

#[test]
fn loom_two_jobs_get_a_worker_each() {
    // Each step waits for the other: one worker asleep beside a queued job is a deadlock.
    check(2, || run(Pool::new(2, 2, 2), 2, |pool| (0..2).for_each(|_| pool.push())));
}

#[test]
fn loom_what_a_worker_pushes_is_run_whoever_parks_meanwhile() {
    check(3, || {
        let pool = Pool::new(2, 3, 0);
        pool.spawns.store(2, Ordering::Relaxed);
        run(pool, 2, Pool::push);
    });
}

/// A driver with events; each makes one job ready, for the worker that drives.
struct Events {
    state: Mutex<EventState>,
    changed: Condvar,
    fetched: std::sync::Arc<AtomicUsize>,
}

#[derive(Default)]
struct EventState {
    waiting: usize,
    is_unparked: bool,
}

impl Events {
    fn happen(&self) {
        self.state.lock().waiting += 1;
        self.changed.notify_one();
    }
}

impl Driver for Events {
    fn park(&self, _timeout: Option<std::time::Duration>) {
        let mut state = self.state.lock();
        while state.waiting == 0 && !state.is_unparked {
            self.changed.wait(&mut state);
        }
        state.is_unparked = false;
        if state.waiting > 0 {
            state.waiting -= 1;
            self.fetched.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(&self) {}

    fn unpark(&self) {
        self.state.lock().is_unparked = true;
        self.changed.notify_one();
    }

    fn is_due(&self) -> bool {
        false
    }
}

#[test]
fn loom_who_leaves_the_driver_hands_on_the_role() {
    // The step that the first event starts waits for the one that the second event starts, and nobody else looks.
    check(2, || {
        let fetched = std::sync::Arc::new(AtomicUsize::new(0));
        let state = Mutex::new(EventState::default());
        let events = std::sync::Arc::new(Events { state, changed: Condvar::new(), fetched: fetched.clone() });
        let pool = Pool::with_driver(2, 2, 2, fetched, events.clone());
        run(pool, 2, |_| (0..2).for_each(|_| events.happen()));
    });
}
