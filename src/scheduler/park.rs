//! What a worker with nothing to do waits on.

use std::time::Duration;

/// The source of wake-ups that idle workers wait on: the reactor, or a plain condition for a scheduler without I/O.
///
/// One thread at a time holds the driver role; the scheduler sees to that for [`Driver::park`]. [`Driver::poll`] may be
/// called by any worker at any time and returns at once when another thread drives.
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
}
