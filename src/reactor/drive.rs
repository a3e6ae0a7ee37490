//! One turn of the reactor: wait or look, collect the wakers, let go of every lock, wake.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;
use std::time::Duration;

use mio::{Events, Poll, Registry, Token};

use super::Reactor;
use super::clock::Attached;
use super::timer::Wait;
use crate::scheduler::Driver;

/// Most events taken in one turn. The rest waits in the kernel for the next turn, behind the tasks that these woke.
pub const EVENTS_PER_TURN: usize = 1024;

/// Most timers fired in one turn, for the same reason.
pub const TIMERS_PER_TURN: usize = 1024;

/// The event of [`Driver::unpark`].
const UNPARK: Token = Token(usize::MAX);
/// The event of the timer descriptor.
pub(super) const ALARM: Token = Token(usize::MAX - 1);

/// What only the driving thread touches.
pub(super) struct Core {
    poll: Poll,
    events: Events,
}

/// Makes the epoll instance and what wakes it.
pub(super) fn new() -> io::Result<(Core, Registry, Parking)> {
    let poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    let parking = Parking { state: AtomicU8::new(EMPTY), waker: mio::Waker::new(&registry, UNPARK)? };
    Ok((Core { poll, events: Events::with_capacity(EVENTS_PER_TURN) }, registry, parking))
}

/// Nobody waits.
const EMPTY: u8 = 0;
/// A driver waits, or is about to.
const PARKED: u8 = 1;
/// The next park must not wait.
const NOTIFIED: u8 = 2;

/// The driver's sleep as one word. The wake-up descriptor alone would not do: a look by a busy worker could consume an
/// event that was meant for the next park.
pub(super) struct Parking {
    state: AtomicU8,
    waker: mio::Waker,
}

impl Parking {
    /// Announces a wait; `false` when an unpark came before it and the wait must not happen.
    fn begin(&self) -> bool {
        // AcqRel: pairs with the swap in `unpark`; what its caller did before is seen by a park that it ends.
        self.state.compare_exchange(EMPTY, PARKED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The wait is over; an unpark that came during it is used up.
    fn end(&self) {
        // AcqRel: pairs with the swap in `unpark`, as in `begin`.
        self.state.swap(EMPTY, Ordering::AcqRel);
    }

    fn unpark(&self) {
        // AcqRel: pairs with `begin` and `end`.
        if self.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED {
            // Fails only on a closed descriptor, which lives as long as we do.
            self.waker.wake().expect("the wake-up descriptor of a reactor can be written to");
        }
    }
}

thread_local! {
    /// The buffer of [`wake_all`], kept for its capacity. Taken while in use, so a waker that gets back in here finds an empty
    /// one.
    static WOKEN: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// Lets `collect` fill a buffer under whatever locks it takes, then wakes all, when it has let go of them.
fn wake_all<R>(collect: impl FnOnce(&mut Vec<Waker>) -> R) -> R {
    let mut woken = WOKEN.take();
    let result = collect(&mut woken);
    woken.drain(..).for_each(Waker::wake);
    WOKEN.set(woken);
    result
}

impl Driver for Reactor {
    fn park(&self, timeout: Option<Duration>) {
        wake_all(|woken| {
            let mut core = self.core.lock();
            let wait = if self.parking.begin() { self.timers.begin_wait(&self.clock) } else { Wait::Not };
            let timeout = match wait {
                Wait::Not => Some(Duration::ZERO),
                Wait::Event => timeout,
                Wait::AtMost(wait) => Some(timeout.map_or(wait, |timeout| timeout.min(wait))),
            };
            self.wait(&mut core, timeout, woken);
            self.parking.end();
            self.timers.collect(&self.clock, TIMERS_PER_TURN, woken);
        });
    }

    fn poll(&self) {
        wake_all(|woken| {
            if self.timers.is_due(&self.clock) {
                self.timers.fire(&self.clock, TIMERS_PER_TURN, woken);
            }
            // No source, no event that matters here; and whoever waits takes the events itself.
            if self.sources.len() > 0
                && let Some(mut core) = self.core.try_lock()
            {
                self.wait(&mut core, Some(Duration::ZERO), woken);
            }
        });
    }

    fn unpark(&self) {
        self.parking.unpark();
    }

    fn is_due(&self) -> bool {
        self.timers.is_due(&self.clock)
    }

    fn has_passed(&self, nanos: u64) -> bool {
        self.clock.now().as_nanos() >= nanos
    }
}

impl Reactor {
    /// Waits for events and moves the wakers they are for to `woken`.
    fn wait(&self, core: &mut Core, timeout: Option<Duration>, woken: &mut Vec<Waker>) {
        match core.poll.poll(&mut core.events, timeout) {
            Ok(()) => {}
            // A signal: an early return.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            // A bad descriptor or argument: ours to fix, and going on would spin.
            Err(error) => panic!("the reactor cannot wait for events: {error}"),
        }
        let events = core.events.iter().filter(|event| event.token() != UNPARK && event.token() != ALARM);
        self.sources.dispatch(events, woken);
    }
}

impl Attached for Reactor {
    fn advanced(&self) {
        // All of them, in bounded portions so that the lock is not held for long.
        while wake_all(|woken| self.timers.fire(&self.clock, TIMERS_PER_TURN, woken)) {}
    }
}
