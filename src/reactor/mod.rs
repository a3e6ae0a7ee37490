//! Readiness, timers and blocking calls, turned into wake-ups.
//!
//! What waits leaves a [`std::task::Waker`] here: a socket or pipe in [`Registration`], a deadline in [`Sleep`], a call
//! that has no readiness in [`BlockingCall`]. The reactor owns no thread for the first two: whoever parks on it (a worker
//! with nothing to do) waits in the one epoll instance, and busy workers look in without waiting.
//!
//! The reactor must not know processes, wasm, hosts or who runs its wakers: of the scheduler it knows only the trait
//! [`Driver`](crate::scheduler::Driver) that it implements.
//!
//! The way in is [`Reactor::new`].
//!
//! # Invariants
//! - Wakers are called, and foreign values dropped, outside every lock of this room.
//! - One thread at a time waits in the epoll instance; a second look meanwhile returns at once.
//! - A turn is bounded: at most [`EVENTS_PER_TURN`] events and [`TIMERS_PER_TURN`] timers, then the caller gets on.
//! - A timer never fires early, and fires in the order of deadlines; equal deadlines in the order of registration.
//! - An event of a registration that has ended reaches nobody, also when its slot is taken again.
//! - With a manual clock no timer fires unless [`Clock::advance`] said so.

mod alarm;
mod blocking;
mod clock;
mod drive;
mod guard;
mod near;
mod queue;
mod source;
mod timer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use blocking::{
    ABANDONED_JOBS_MAX, BLOCKING_IDLE, BLOCKING_QUEUE_MAX, BLOCKING_THREADS_MAX, BlockingCall, BlockingConfig,
    BlockingError, BlockingPool, BlockingStats,
};
pub use clock::{Clock, ClockError, HOOKS_MAX, Instant};
pub use drive::{EVENTS_PER_TURN, TIMERS_PER_TURN};
pub use guard::assert_may_block;
pub use mio::event::Source;
pub use source::{FdSource, Interest, ReactorClosed, Ready, Registration};
pub use timer::Sleep;

/// For tests of rooms that do not know schedulers and drive a reactor themselves.
#[cfg(all(test, feature = "http"))]
pub(crate) use crate::scheduler::Driver;
use alarm::Alarm;
use drive::{Core, Parking};
use source::Sources;
use timer::Timers;

/// How a [`Reactor`] is made.
///
/// Defaults: a blocking pool of its own with [`BlockingConfig::default`]; no thread exists before its first job.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ReactorConfig {
    /// The pool for calls without readiness, when it is shared with other reactors. `None`: a pool of its own.
    pub blocking: Option<BlockingPool>,
}

impl ReactorConfig {
    /// Uses `pool` for blocking calls instead of a pool of its own.
    pub fn with_blocking(mut self, pool: BlockingPool) -> Self {
        self.blocking = Some(pool);
        self
    }
}

/// What is waiting in a reactor, by kind. A snapshot: other threads go on meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReactorStats {
    /// Sleeps that were polled and have neither fired nor been dropped.
    pub timers: usize,
    /// Live registrations.
    pub sources: usize,
}

/// Readiness, timers and blocking calls behind one epoll instance and no thread of its own.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use wippy::reactor::{Clock, Reactor, ReactorConfig};
/// use wippy::scheduler::Driver;
///
/// struct Print;
/// impl std::task::Wake for Print {
///     fn wake(self: Arc<Self>) {
///         println!("the timer fired");
///     }
/// }
///
/// let reactor = Reactor::new(Clock::real(), ReactorConfig::default())?;
/// let mut sleep = reactor.sleep(Duration::from_millis(2));
/// let waker = Arc::new(Print).into();
/// let mut context = std::task::Context::from_waker(&waker);
/// while std::future::Future::poll(std::pin::Pin::new(&mut sleep), &mut context).is_pending() {
///     reactor.park(None); // what a worker with nothing to do does
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Reactor {
    /// The time that timers follow.
    clock: Clock,
    /// What only the driving thread touches: the poll and its event buffer.
    core: Mutex<Core>,
    /// Whether somebody drives, and whether the next park must not wait.
    parking: Parking,
    /// Pending timers.
    timers: Timers,
    /// Live registrations.
    sources: Sources,
    /// Calls without readiness.
    blocking: BlockingPool,
}

impl Reactor {
    /// Makes a reactor whose timers follow `clock`; a manual clock fires them from now on when it is advanced.
    ///
    /// # Errors
    /// The system's error when no epoll instance or wake-up descriptor can be made (usually the descriptor limit).
    pub fn new(clock: Clock, config: ReactorConfig) -> io::Result<Arc<Self>> {
        let (core, registry, parking) = drive::new()?;
        let alarm = if clock.is_manual() { Alarm::park_timeout() } else { Alarm::new(&registry)? };
        Ok(Self::with_alarm(clock, config, core, registry, parking, alarm))
    }

    fn with_alarm(
        clock: Clock,
        config: ReactorConfig,
        core: Core,
        registry: mio::Registry,
        parking: Parking,
        alarm: Alarm,
    ) -> Arc<Self> {
        let blocking = config.blocking.unwrap_or_else(|| BlockingPool::new(BlockingConfig::default()));
        let reactor = Arc::new(Self {
            clock,
            core: Mutex::new(core),
            parking,
            timers: Timers::new(alarm),
            sources: Sources::new(registry),
            blocking,
        });
        let attached = Arc::downgrade(&reactor);
        reactor.clock.attach(attached);
        reactor
    }

    /// The clock that this reactor's timers follow.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The pool for calls that have no readiness.
    pub fn blocking(&self) -> &BlockingPool {
        &self.blocking
    }

    /// A future that is ready once the clock has reached `deadline`. Nothing is registered before its first poll.
    pub fn sleep_until(self: &Arc<Self>, deadline: Instant) -> Sleep {
        Sleep::new(Arc::clone(self), deadline)
    }

    /// [`Reactor::sleep_until`] `duration` from now; a deadline past the end of the clock's range (584 years) is
    /// [`Instant::MAX`].
    pub fn sleep(self: &Arc<Self>, duration: Duration) -> Sleep {
        self.sleep_until(self.clock.now().saturating_add(duration))
    }

    /// Watches `source` for `interest` until the registration is dropped.
    ///
    /// # Errors
    /// [`ReactorClosed`] (kind `Other`) after [`Reactor::close`]; otherwise the system's error, for example
    /// `AlreadyExists` for a descriptor that is watched already and `PermissionDenied` for a regular file, which has no
    /// readiness: use [`Reactor::blocking`] for it.
    pub fn register<S: Source>(self: &Arc<Self>, source: S, interest: Interest) -> io::Result<Registration<S>> {
        Registration::new(Arc::clone(self), source, interest)
    }

    /// What waits here now.
    pub fn stats(&self) -> ReactorStats {
        ReactorStats { timers: self.timers.len(), sources: self.sources.len() }
    }

    /// Ends the service: new registrations are refused, everybody who waits is woken, waiting registrations answer with
    /// [`ReactorClosed`], and sleeps that are not over stay pending for ever (whoever ends them drops them). The
    /// blocking pool stays, it may be shared.
    pub fn close(&self) {
        let mut woken = Vec::new();
        self.timers.close(&mut woken);
        self.sources.close(&mut woken);
        woken.into_iter().for_each(std::task::Waker::wake);
        crate::scheduler::Driver::unpark(self);
    }
}

impl std::fmt::Debug for Reactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reactor").field("clock", &self.clock).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
