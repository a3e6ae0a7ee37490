//! How late tasks wake up that all wait for the same moment: our reactor and scheduler, and tokio's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use criterion::Throughput;
use wippy::reactor::{Clock, Reactor, ReactorConfig};
use wippy::scheduler::{Scheduler, Step, Task};

use crate::common::case::Case;
use crate::{OURS, PEER, WORKERS};

use crate::sleepers::{Lateness, native};

/// Time to start a task, generously. A crowd that was not there in time is made again, with twice as much.
const START: Duration = Duration::from_micros(5);

/// A crowd that has been started.
struct Crowd {
    deadline: Instant,
    /// Nanoseconds after the deadline, of each.
    late: Box<[AtomicU64]>,
    left: AtomicUsize,
    waiter: std::thread::Thread,
}

impl Crowd {
    fn new(count: usize, start: Duration) -> Arc<Crowd> {
        let start = start * u32::try_from(count).expect("some thousands");
        Arc::new(Crowd {
            deadline: Instant::now() + Duration::from_millis(5) + start,
            late: (0..count).map(|_| AtomicU64::new(0)).collect(),
            left: AtomicUsize::new(count),
            waiter: std::thread::current(),
        })
    }

    /// One has woken up.
    fn woken(&self, number: usize) {
        let late = Instant::now().checked_duration_since(self.deadline).expect("nobody wakes early");
        self.late[number].store(u64::try_from(late.as_nanos()).expect("seconds"), Ordering::Relaxed);
        // Release, with the load in `wait`: what is stored is seen by who sees none left.
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waiter.unpark();
        }
    }

    /// Waits for the last one. Nothing when it took too long to start them all.
    fn wait(&self, lateness: &mut Lateness) -> Option<Duration> {
        let is_early = Instant::now() < self.deadline;
        while self.left.load(Ordering::Acquire) > 0 {
            std::thread::park();
        }
        let last = self.deadline.elapsed();
        let each = self.late.iter().map(|late| Duration::from_nanos(late.load(Ordering::Relaxed)));
        is_early.then(|| lateness.add(each, last))
    }
}

/// Makes crowds until one is there before its deadline.
fn in_time(lateness: &mut Lateness, mut crowd: impl FnMut(&mut Lateness, Duration) -> Option<Duration>) -> Duration {
    let mut start = START;
    loop {
        if let Some(late) = crowd(lateness, start) {
            return late;
        }
        start *= 2;
    }
}

/// A future as a task.
struct Future<F>(std::pin::Pin<Box<F>>);

impl<F: std::future::Future<Output = ()> + Send + 'static> Task for Future<F> {
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        match self.0.as_mut().poll(context) {
            Poll::Ready(()) => Step::Done,
            Poll::Pending => Step::Blocked,
        }
    }
}

pub(crate) fn case(count: usize) -> Case {
    let reactor = Reactor::new(Clock::real(), ReactorConfig::default()).expect("a reactor");
    let scheduler = Scheduler::builder("bench").workers(WORKERS).driver(reactor.clone()).build().expect("a scheduler");
    let ours = move |lateness: &mut Lateness, start| {
        let crowd = Crowd::new(count, start);
        // The same moment on the reactor's clock, or a little later.
        let deadline = crowd.deadline.saturating_duration_since(Instant::now());
        let deadline = reactor.clock().now().saturating_add(deadline);
        for number in 0..count {
            let (crowd, sleep) = (crowd.clone(), reactor.sleep_until(deadline));
            let task = Future(Box::pin(async move {
                sleep.await;
                crowd.woken(number);
            }));
            drop(scheduler.spawn(task).unwrap_or_else(|_| panic!("room for {count} tasks")));
        }
        crowd.wait(lateness)
    };
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().expect("a runtime");
    let peer = move |lateness: &mut Lateness, start| {
        let crowd = Crowd::new(count, start);
        for number in 0..count {
            let crowd = crowd.clone();
            tokio.spawn(async move {
                tokio::time::sleep_until(crowd.deadline.into()).await;
                crowd.woken(number);
            });
        }
        crowd.wait(lateness)
    };
    let sides = vec![
        native(OURS, move |lateness| in_time(lateness, &ours)),
        native(PEER, move |lateness| in_time(lateness, &peer)),
    ];
    Case { per_iteration: Throughput::Elements(1), sides }
}
