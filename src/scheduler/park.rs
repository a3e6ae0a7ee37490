//! What a worker with nothing to do waits on.

use std::time::Duration;

use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering};

/// The source of wake-ups that idle workers wait on: the reactor, or a plain condition for a scheduler without I/O.
///
/// One thread at a time holds the driver role; the scheduler sees to that for [`Driver::park`]. [`Driver::poll`] may be
/// called by any worker (and by the ticker) at any time and returns at once when another thread drives. Neither may
/// unwind: a panic in a driver aborts the program, because nobody could be woken any more.
pub trait Driver: Send + Sync + 'static {
    /// Waits for events and wakes the tasks they are for; returns after at most `timeout` (never on its own when
    /// `None`), after some event, or after [`Driver::unpark`], whichever is first. May return early for no reason.
    fn park(&self, timeout: Option<Duration>);

    /// Looks at events and timers without waiting and wakes the tasks they are for.
    fn poll(&self);

    /// Makes the running call of [`Driver::park`], or the next one, return at once. Callable from any thread.
    fn unpark(&self);

    /// True when a timer is due that nobody has fired yet. Cheap: it is asked at every tick while a guest computes.
    fn is_due(&self) -> bool;

    /// True when the time `nanos`, in nanoseconds of the clock that its timers go by, has come. Asked once a tick, of steps
    /// that can't be told to end. A driver without a clock has no time to wait for.
    fn has_passed(&self, nanos: u64) -> bool {
        let _ = nanos;
        true
    }
}

/// The driver of a scheduler without I/O: nothing ever happens, so parking waits for [`Driver::unpark`].
#[derive(Debug)]
pub(super) struct Condition {
    unparked: Mutex<bool>,
    changed: Condvar,
}

impl Condition {
    pub(super) fn new() -> Self {
        Self { unparked: Mutex::new(false), changed: Condvar::new() }
    }
}

impl Driver for Condition {
    fn park(&self, timeout: Option<Duration>) {
        let mut unparked = self.unparked.lock();
        match timeout {
            None => {
                while !*unparked {
                    self.changed.wait(&mut unparked);
                }
            }
            Some(timeout) if !*unparked => {
                let _ = self.changed.wait_for(&mut unparked, timeout);
            }
            Some(_) => {}
        }
        *unparked = false;
    }

    fn poll(&self) {}

    fn unpark(&self) {
        *self.unparked.lock() = true;
        self.changed.notify_one();
    }

    fn is_due(&self) -> bool {
        false
    }
}

const EMPTY: usize = 0;
const WAITING: usize = 1;
const DRIVING: usize = 2;
const NOTIFIED: usize = 3;

/// Where one worker sleeps: on its condition, or on the driver when it holds the role.
///
/// The word remembers one notification, so one that comes before the sleep ends the sleep. A notification that nobody
/// needs any more makes a later sleep end early; the caller looks at the idle counts and goes on.
#[derive(Debug)]
pub(super) struct Parker {
    state: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Parker {
    pub(super) fn new() -> Self {
        Self { state: AtomicUsize::new(EMPTY), lock: Mutex::new(()), changed: Condvar::new() }
    }

    /// Sleeps until [`Parker::unpark`].
    pub(super) fn wait(&self) {
        let mut guard = self.lock.lock();
        if !self.empty_to(WAITING) {
            return;
        }
        loop {
            self.changed.wait(&mut guard);
            // Acquire pairs with the release of the swap in `notify`.
            let notified = self.state.compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed);
            if notified.is_ok() {
                return;
            }
        }
    }

    /// Sleeps on `driver`, whose role the caller holds. True when [`Parker::unpark`] ended it, false after an event.
    #[must_use]
    pub(super) fn drive(&self, driver: &dyn Driver) -> bool {
        if !self.empty_to(DRIVING) {
            return true;
        }
        driver.park(None);
        // Acquire pairs with the release of the swap in `notify`.
        self.state.swap(EMPTY, Ordering::Acquire) == NOTIFIED
    }

    /// Ends the present sleep, or the next one. `driver` is unparked only when the sleeper is on it: a call in advance
    /// could be used up by the worker that is about to give the role away.
    pub(super) fn unpark(&self, driver: &dyn Driver) {
        if self.notify() == DRIVING {
            driver.unpark();
        }
    }

    /// As [`Parker::unpark`], for a sleeper that never drives.
    pub(super) fn unpark_waiting(&self) {
        let before = self.notify();
        debug_assert_ne!(before, DRIVING, "this sleeper has no driver");
    }

    /// Leaves the notification and wakes a sleeper that waits; returns what it found.
    fn notify(&self) -> usize {
        // Release pairs with the acquires in `wait`, `drive` and `empty_to`; acquire is not needed, nothing is read.
        let before = self.state.swap(NOTIFIED, Ordering::Release);
        if before == WAITING {
            // The sleeper went from WAITING to waiting under this lock: passing through it once means that the
            // notification can't fall between the two.
            drop(self.lock.lock());
            self.changed.notify_one();
        }
        before
    }

    /// False when a notification was there already; it is used up.
    fn empty_to(&self, asleep: usize) -> bool {
        if self.state.compare_exchange(EMPTY, asleep, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return true;
        }
        // Acquire pairs with the release of the swap in `notify`. A swap and not a store, so that it takes over from the
        // last of several notifications.
        let before = self.state.swap(EMPTY, Ordering::Acquire);
        debug_assert_eq!(before, NOTIFIED, "a parker has one sleeper");
        false
    }
}
