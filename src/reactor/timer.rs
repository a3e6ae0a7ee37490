//! Timers: the shared state behind [`Sleep`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::Reactor;
use super::alarm::Alarm;
use super::clock::{Clock, Instant};
use super::queue::{Key, Queue};

/// No timer is pending. [`Instant::MAX`] is never reached, so it needs no value of its own.
const NONE: u64 = u64::MAX;

/// The pending timers of a reactor and the end of its driver's wait.
pub(super) struct Timers {
    state: Mutex<State>,
    /// The earliest deadline in nanoseconds, or [`NONE`]: written under the lock, read without it as a hint. Relaxed
    /// everywhere: an outdated value delays by one look, and a driver that is about to wait looks under the lock.
    earliest_ns: AtomicU64,
    /// Ends the driver's wait.
    alarm: Alarm,
}

struct State {
    queue: Queue,
    /// When the waiting driver wakes by itself. `None` while nobody waits: then nobody needs to be told of a new
    /// earliest timer, the next wait looks first.
    driver_until: Option<Instant>,
    /// What the alarm is set to. A past value is as good as none.
    alarm_at: Option<Instant>,
    /// After [`Reactor::close`].
    closed: bool,
}

/// How long the driver may wait for events.
pub(super) enum Wait {
    /// Something is due: look, do not wait.
    Not,
    /// Until an event; the alarm is one when a timer is pending.
    Event,
    /// As [`Wait::Event`], but no longer than this.
    AtMost(Duration),
}

/// What became of a poll.
#[must_use]
enum Armed {
    Due,
    Waiting,
    /// The driver waits for too long and must be unparked.
    TellDriver,
}

impl Timers {
    pub(super) fn new(alarm: Alarm) -> Self {
        let state = State { queue: Queue::default(), driver_until: None, alarm_at: None, closed: false };
        Self { state: Mutex::new(state), earliest_ns: AtomicU64::new(NONE), alarm }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// Whether a timer is due; a hint that may be outdated by one change.
    pub(super) fn is_due(&self, clock: &Clock) -> bool {
        match self.earliest_ns.load(Ordering::Relaxed) {
            NONE => false,
            earliest_ns => clock.now().as_nanos() >= earliest_ns,
        }
    }

    /// The driver is about to wait: says how long, and asks to be told of earlier timers until [`Timers::collect`].
    pub(super) fn begin_wait(&self, clock: &Clock) -> Wait {
        let mut state = self.state.lock();
        let Some(next) = state.queue.next_deadline() else {
            state.driver_until = Some(Instant::MAX);
            return Wait::Event;
        };
        // The one who advances a manual clock fires its timers.
        if clock.is_manual() {
            return Wait::Event;
        }
        let after = next.saturating_duration_since(clock.now());
        if after.is_zero() {
            return Wait::Not;
        }
        state.driver_until = Some(next);
        if state.alarm_at == Some(next) {
            return Wait::Event;
        }
        if self.alarm.set(after) {
            state.alarm_at = Some(next);
            Wait::Event
        } else {
            Wait::AtMost(after)
        }
    }

    /// Ends the driver's wait, if there was one, and moves the wakers of at most `limit` due timers to `woken`.
    pub(super) fn collect(&self, clock: &Clock, limit: usize, woken: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        state.driver_until = None;
        if state.queue.next_deadline().is_some() {
            self.pop_due(&mut state, clock.now(), limit, woken);
        }
    }

    /// Moves the wakers of at most `limit` due timers to `woken`, without touching the state of the driver. Returns whether
    /// more may be due. Asks under the lock: a sleep that read the time before an advance may not have published its
    /// deadline when the advancing thread comes here.
    pub(super) fn fire(&self, clock: &Clock, limit: usize, woken: &mut Vec<Waker>) -> bool {
        let mut state = self.state.lock();
        self.pop_due(&mut state, clock.now(), limit, woken);
        drop(state);
        woken.len() >= limit
    }

    fn pop_due(&self, state: &mut State, now: Instant, limit: usize, woken: &mut Vec<Waker>) {
        let before = woken.len();
        while woken.len() - before < limit
            && let Some(waker) = state.queue.pop_due(now)
        {
            woken.push(waker);
        }
        if woken.len() > before {
            self.publish_earliest(state);
        }
    }

    fn publish_earliest(&self, state: &State) {
        let earliest_ns = state.queue.next_deadline().map_or(NONE, Instant::as_nanos);
        self.earliest_ns.store(earliest_ns, Ordering::Relaxed);
    }

    /// Registers `waker` for `deadline` under `key`, unless it is due.
    fn arm(&self, clock: &Clock, deadline: Instant, key: &mut Option<Key>, waker: &Waker) -> Armed {
        let now = clock.now();
        if now >= deadline {
            return Armed::Due;
        }
        let mut state = self.state.lock();
        // Whoever advanced a manual clock since our look has fired what it found; this look is under its lock.
        if clock.is_manual() && clock.now() >= deadline {
            return Armed::Due;
        }
        if let Some(current) = key.and_then(|key| state.queue.waker_mut(key)) {
            if !current.will_wake(waker) {
                let old = std::mem::replace(current, waker.clone());
                drop(state);
                drop(old);
            }
            return Armed::Waiting;
        }
        if state.closed {
            return Armed::Waiting;
        }
        *key = Some(state.queue.insert(deadline, waker.clone()));
        if deadline.as_nanos() < self.earliest_ns.load(Ordering::Relaxed) {
            self.earliest_ns.store(deadline.as_nanos(), Ordering::Relaxed);
        }
        self.shorten_wait(&mut state, clock, now, deadline)
    }

    /// A timer was added: sees to it that a waiting driver wakes in time for it.
    fn shorten_wait(&self, state: &mut State, clock: &Clock, now: Instant, deadline: Instant) -> Armed {
        if clock.is_manual() || state.driver_until.is_none_or(|until| until <= deadline) {
            return Armed::Waiting;
        }
        state.driver_until = Some(deadline);
        if self.alarm.set(deadline.saturating_duration_since(now)) {
            state.alarm_at = Some(deadline);
            Armed::Waiting
        } else {
            Armed::TellDriver
        }
    }

    /// Removes an entry that may have fired already.
    fn disarm(&self, key: Key) {
        let mut state = self.state.lock();
        let waker = state.queue.remove(key);
        if waker.is_some() {
            self.publish_earliest(&state);
        }
        drop(state);
        // Outside the lock: the last reference to a task may go with it.
        drop(waker);
    }

    /// Takes every waker; later sleeps are not registered.
    pub(super) fn close(&self, woken: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        state.closed = true;
        woken.extend(state.queue.drain());
        self.publish_earliest(&state);
    }
}

/// A future that is ready once its reactor's clock has reached a deadline.
///
/// Cheap to make and to drop: it is registered at its first poll and removed when dropped. It may be polled from another
/// task than before; the task of the last poll is woken. A deadline in the past is ready at once.
#[must_use = "a sleep does nothing unless polled"]
pub struct Sleep {
    reactor: Arc<Reactor>,
    deadline: Instant,
    /// The entry of the last poll that had to wait; it may have fired since.
    key: Option<Key>,
}

impl Sleep {
    pub(super) fn new(reactor: Arc<Reactor>, deadline: Instant) -> Self {
        Self { reactor, deadline, key: None }
    }

    /// When it is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether it is over by now, polled or not.
    pub fn is_elapsed(&self) -> bool {
        self.reactor.clock().now() >= self.deadline
    }

    /// Starts again with another deadline; a task that waits is not told before it polls.
    pub fn reset(&mut self, deadline: Instant) {
        self.disarm();
        self.deadline = deadline;
    }

    fn disarm(&mut self) {
        if let Some(key) = self.key.take() {
            self.reactor.timers.disarm(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let reactor = &this.reactor;
        match reactor.timers.arm(reactor.clock(), this.deadline, &mut this.key, context.waker()) {
            Armed::Due => {
                this.disarm();
                Poll::Ready(())
            }
            Armed::Waiting => Poll::Pending,
            Armed::TellDriver => {
                crate::scheduler::Driver::unpark(&**reactor);
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).field("polled", &self.key.is_some()).finish()
    }
}
