//! What stands behind [`crate::sync`] in a model: loom's types in the shape of the real ones.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use super::Steal;

/// loom's mutex with the signatures of `parking_lot`: no poisoning.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

/// The guard is an option only because waiting on a condition takes it by value for a moment.
pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().expect("a model that panics is over")))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only `Condvar::wait` takes it, and puts it back")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("only `Condvar::wait` takes it, and puts it back")
    }
}

/// loom's condition with the signatures of `parking_lot`.
#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let inner = guard.0.take().expect("the guard is whole outside of this function");
        guard.0 = Some(self.0.wait(inner).expect("a model that panics is over"));
    }

    /// A model has no time: this waits for the notification.
    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _timeout: Duration) {
        self.wait(guard);
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }
}

/// A queue whose contents need a lock and whose length does not, as weak as what it stands for: a reader of the length
/// learns nothing else.
#[derive(Debug)]
pub(crate) struct Injector<T> {
    jobs: loom::sync::Mutex<VecDeque<T>>,
    count: AtomicUsize,
}

impl<T> Injector<T> {
    pub(crate) fn new() -> Self {
        Self { jobs: loom::sync::Mutex::new(VecDeque::new()), count: AtomicUsize::new(0) }
    }

    pub(crate) fn push(&self, job: T) {
        let mut jobs = self.jobs.lock().expect("a model that panics is over");
        jobs.push_back(job);
        self.count.store(jobs.len(), Ordering::Release);
    }

    pub(crate) fn steal(&self) -> Steal<T> {
        let mut jobs = self.jobs.lock().expect("a model that panics is over");
        let job = jobs.pop_front();
        self.count.store(jobs.len(), Ordering::Release);
        job.map_or(Steal::Empty, Steal::Success)
    }

    pub(crate) fn steal_batch_with_limit_and_pop(&self, _into: &Worker<T>, _limit: usize) -> Steal<T> {
        self.steal()
    }

    pub(crate) fn steal_batch_with_limit(&self, into: &Worker<T>, _limit: usize) -> Steal<()> {
        self.steal().success().map_or(Steal::Empty, |job| {
            into.push(job);
            Steal::Success(())
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// The owner's end of a deque.
#[derive(Debug)]
pub(crate) struct Worker<T>(loom::sync::Arc<Injector<T>>);

impl<T> Worker<T> {
    pub(crate) fn new_fifo() -> Self {
        Self(loom::sync::Arc::new(Injector::new()))
    }

    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer(self.0.clone())
    }

    pub(crate) fn push(&self, job: T) {
        self.0.push(job);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.0.steal().success()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The thieves' end of a deque.
#[derive(Debug)]
pub(crate) struct Stealer<T>(loom::sync::Arc<Injector<T>>);

impl<T> Stealer<T> {
    pub(crate) fn steal_batch_with_limit_and_pop(&self, _into: &Worker<T>, _limit: usize) -> Steal<T> {
        self.0.steal()
    }

    pub(crate) fn steal(&self) -> Steal<T> {
        self.0.steal()
    }

    pub(crate) fn steal_batch_with_limit(&self, into: &Worker<T>, limit: usize) -> Steal<()> {
        self.0.steal_batch_with_limit(into, limit)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
