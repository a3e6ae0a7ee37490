//! Time: instants in nanoseconds, from the system's monotonic clock or from a clock that a test moves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::near;

/// Most hooks a manual clock takes: a runtime adds one per ticker, a leak of hooks shows early.
pub const HOOKS_MAX: usize = 1024;

/// A point in time: nanoseconds since its [`Clock`] began. Instants of different clocks must not be compared.
///
/// ```
/// use std::time::Duration;
/// use wippy::reactor::Instant;
///
/// let start = Instant::from_nanos(500);
/// assert_eq!(start.checked_add(Duration::from_nanos(7)), Some(Instant::from_nanos(507)));
/// assert_eq!(start.checked_add(Duration::MAX), None);
/// assert_eq!(start.saturating_add(Duration::MAX), Instant::MAX);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant at which a clock began.
    pub const START: Self = Self(0);
    /// The last instant, 584 years after the start. A deadline there is never reached.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the clock began.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// `self + duration`, or `None` past [`Instant::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        u64::try_from(duration.as_nanos()).ok().and_then(|nanos| self.0.checked_add(nanos)).map(Self)
    }

    /// `self - duration`, or `None` before [`Instant::START`].
    pub fn checked_sub(self, duration: Duration) -> Option<Self> {
        u64::try_from(duration.as_nanos()).ok().and_then(|nanos| self.0.checked_sub(nanos)).map(Self)
    }

    /// `self + duration`, at most [`Instant::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }

    /// The time from `earlier` to `self`, or `None` when `earlier` is the later one.
    pub fn checked_duration_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// The time from `earlier` to `self`, zero when `earlier` is the later one.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Why a clock refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// Only a clock of [`Clock::manual`] can be moved.
    #[error("the clock follows the system and cannot be moved, make it with `Clock::manual`")]
    NotManual,
    /// The new time would lie past [`Instant::MAX`].
    #[error("the clock at {now_ns} ns cannot be advanced past {} ns", u64::MAX)]
    OutOfRange {
        /// Where the clock stands, in nanoseconds since it began.
        now_ns: u64,
    },
    /// [`HOOKS_MAX`] hooks are registered already.
    #[error("the clock has {HOOKS_MAX} hooks already, register one per runtime")]
    TooManyHooks,
}

/// Something whose timers follow a manual clock.
pub(super) trait Attached: Send + Sync {
    /// Fires what is due by now and calls the wakers before it returns.
    fn advanced(&self);
}

type Hook = Arc<dyn Fn(Instant) + Send + Sync>;

/// The time that timers follow: the system's monotonic clock, or one that only moves when told. Clones are the same
/// clock.
///
/// ```
/// use std::time::Duration;
/// use wippy::reactor::{Clock, Instant};
///
/// let clock = Clock::manual();
/// clock.advance(Duration::from_secs(3))?;
/// assert_eq!(clock.now(), Instant::from_nanos(3_000_000_000));
/// assert!(Clock::real().advance(Duration::from_secs(3)).is_err());
/// # Ok::<(), wippy::reactor::ClockError>(())
/// ```
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    /// The system's monotonic clock, and when this clock began, also by the count of [`near`].
    Real {
        start: std::time::Instant,
        start_ns: u64,
    },
    Manual(Arc<Manual>),
}

struct Manual {
    /// Nanoseconds since the start.
    now_ns: AtomicU64,
    /// Reactors whose timers follow. Ended ones are removed at the next attachment.
    attached: Mutex<Vec<Weak<dyn Attached>>>,
    /// Called after the timers, at most [`HOOKS_MAX`].
    hooks: Mutex<Vec<Hook>>,
}

impl Clock {
    /// What [`Clock::near`] is off at most, in either direction.
    pub const NEAR_OFF_MAX: Duration = Duration::from_millis(1);

    /// The system's monotonic clock; it begins now.
    pub fn real() -> Self {
        near::begin();
        let start = std::time::Instant::now();
        Self(Kind::Real { start, start_ns: near::of(start) })
    }

    /// A clock that stands at [`Instant::START`] until [`Clock::advance`] moves it.
    pub fn manual() -> Self {
        Self(Kind::Manual(Arc::new(Manual {
            now_ns: AtomicU64::new(0),
            attached: Mutex::default(),
            hooks: Mutex::default(),
        })))
    }

    /// Whether this clock only moves when told.
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Kind::Manual(_))
    }

    /// The time. Never earlier than what any thread saw before.
    pub fn now(&self) -> Instant {
        match &self.0 {
            // 584 years fit; the cast cannot lose anything that happens.
            Kind::Real { start, .. } => Instant(start.elapsed().as_nanos() as u64),
            // Acquire: pairs with the update in `advance`, so that who sees the new time sees what came before it.
            Kind::Manual(manual) => Instant(manual.now_ns.load(Ordering::Acquire)),
        }
    }

    /// As [`Clock::now`], for accounts of what took how long: it costs a third of that and is some tens of nanoseconds off, at most
    /// [`Clock::NEAR_OFF_MAX`]. Never earlier than what this thread saw here before.
    ///
    /// ```
    /// use wippy::reactor::Clock;
    ///
    /// let clock = Clock::real();
    /// let begin = clock.near();
    /// let sum: u64 = (0..1000).sum();
    /// let took = clock.near().saturating_duration_since(begin);
    /// assert!(sum == 499_500 && took.as_secs() < 60);
    /// ```
    #[inline]
    pub fn near(&self) -> Instant {
        match &self.0 {
            Kind::Real { start_ns, .. } => Instant(near::now().saturating_sub(*start_ns)),
            Kind::Manual(_) => self.now(),
        }
    }

    /// Moves a manual clock by `duration` in one jump, fires the due timers of every attached reactor in the order of
    /// their deadlines, then runs the hooks. Returns the new time, after every waker and hook was called; it does not wait
    /// for what they woke. Zero is allowed and fires what is due.
    ///
    /// # Errors
    /// [`ClockError::NotManual`] and [`ClockError::OutOfRange`]; nothing has happened then.
    pub fn advance(&self, duration: Duration) -> Result<Instant, ClockError> {
        let Kind::Manual(manual) = &self.0 else { return Err(ClockError::NotManual) };
        // AcqRel: pairs with the load in `now`, and orders concurrent advances. A sleep that read the old time
        // registers under the timer lock and looks again there; we take that lock after this update.
        let before = manual
            .now_ns
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now_ns| {
                Instant(now_ns).checked_add(duration).map(Instant::as_nanos)
            })
            .map_err(|now_ns| ClockError::OutOfRange { now_ns })?;
        let now = Instant(before).saturating_add(duration);
        // Copies: neither wakers nor hooks run under a lock.
        let attached = manual.attached.lock().clone();
        attached.iter().filter_map(Weak::upgrade).for_each(|reactor| reactor.advanced());
        let hooks = manual.hooks.lock().clone();
        hooks.iter().for_each(|hook| hook(now));
        Ok(now)
    }

    /// Calls `hook` with the new time at the end of every [`Clock::advance`], on the advancing thread, for the life of
    /// the clock.
    ///
    /// # Errors
    /// [`ClockError::NotManual`] for a real clock, which would never call it; [`ClockError::TooManyHooks`].
    pub fn on_advance(&self, hook: impl Fn(Instant) + Send + Sync + 'static) -> Result<(), ClockError> {
        let Kind::Manual(manual) = &self.0 else { return Err(ClockError::NotManual) };
        let mut hooks = manual.hooks.lock();
        if hooks.len() == HOOKS_MAX {
            return Err(ClockError::TooManyHooks);
        }
        hooks.push(Arc::new(hook));
        Ok(())
    }

    /// Lets a manual clock fire the timers of `reactor`; real clocks need no telling.
    pub(super) fn attach(&self, reactor: Weak<dyn Attached>) {
        if let Kind::Manual(manual) = &self.0 {
            let mut attached = manual.attached.lock();
            attached.retain(|reactor| reactor.strong_count() > 0);
            attached.push(reactor);
        }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_manual() { "Manual" } else { "Real" };
        f.debug_tuple(kind).field(&self.now()).finish()
    }
}
