//! The bus of a runtime: events of systems that processes name, for whoever listens, as far as it keeps up.
//!
//! It is for what is worth knowing and not for what must arrive: nobody who sends waits or learns who heard it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::Payload;
use super::wildcard::fits_wildcard;

/// Events that wait for one listener; the oldest of more are left out, and counted.
pub const BUS_EVENTS: usize = 1024;

/// Bytes of the events that wait for one listener; beyond them the oldest are left out, too. No event is larger.
pub const BUS_BYTES: usize = 1 << 20;

/// Listeners of one runtime: each event is compared with all of them.
pub const BUS_LISTENERS: usize = 4096;

/// The longest name of a system or kind, in bytes.
pub const BUS_NAME_BYTES: usize = 256;

/// Something that happened, in the words of who tells it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BusEvent {
    /// What it happened in, for example `orders`.
    pub system: String,
    /// What happened, for example `order.created`.
    pub kind: String,
    /// What it happened to, for example `/orders/123`.
    pub path: String,
    /// What else is known of it.
    pub data: Payload,
}

impl BusEvent {
    /// An event without data.
    pub fn new(system: impl Into<String>, kind: impl Into<String>, path: impl Into<String>) -> Self {
        Self { system: system.into(), kind: kind.into(), path: path.into(), data: Payload::Nil }
    }

    /// The same with this data.
    #[must_use]
    pub fn data(mut self, data: Payload) -> Self {
        self.data = data;
        self
    }

    /// Bytes that it takes.
    fn size(&self) -> usize {
        size_of::<Self>() + self.system.len() + self.kind.len() + self.path.len() + self.data.size()
    }
}

/// An event as a listener hears it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The event.
    pub event: Arc<BusEvent>,
    /// How many between the one before and this one the listener was too slow for.
    pub missed: u64,
}

/// Why an event or a listener is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// A name is empty.
    #[error("the {what} of an event can't be empty")]
    Empty {
        /// Which one: `system`, `kind` or `path`.
        what: &'static str,
    },
    /// A name is longer than [`BUS_NAME_BYTES`].
    #[error("the {what} of an event has {bytes} bytes, and there may be {BUS_NAME_BYTES}")]
    LongName {
        /// Which one: `system` or `kind`.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The event is larger than [`BUS_BYTES`].
    #[error("an event of {bytes} bytes does not fit the bus, which takes {BUS_BYTES}; send where the data is")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// There are [`BUS_LISTENERS`] listeners.
    #[error("a runtime may have {BUS_LISTENERS} listeners of events, close those that are not needed")]
    TooMany,
}

/// The bus of a runtime. Clones are the same bus.
///
/// ```
/// use wippy::process::{Bus, BusEvent};
///
/// let bus = Bus::default();
/// let listening = bus.listen("orders*", Some("order.created"))?;
/// bus.send(BusEvent::new("orders.eu", "order.created", "/orders/1"))?;
/// bus.send(BusEvent::new("orders.eu", "order.paid", "/orders/1"))?;
/// let heard = listening.try_next().ok_or("nothing")?;
/// assert_eq!((heard.event.path.as_str(), heard.missed), ("/orders/1", 0));
/// assert_eq!(listening.try_next(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Bus(Arc<Mutex<Vec<Arc<Listener>>>>);

struct Listener {
    system: String,
    kind: Option<String>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Arc<BusEvent>>,
    bytes: usize,
    /// Left out since the last one that was heard.
    missed: u64,
    /// Left out since the beginning.
    lost: u64,
    waker: Option<Waker>,
}

impl Queue {
    fn push(&mut self, event: Arc<BusEvent>) -> Option<Waker> {
        self.bytes += event.size();
        self.events.push_back(event);
        while self.events.len() > BUS_EVENTS || self.bytes > BUS_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            self.missed += 1;
            self.lost += 1;
        }
        self.waker.take()
    }

    fn pop(&mut self) -> Option<Heard> {
        let event = self.events.pop_front()?;
        self.bytes -= event.size();
        Some(Heard { event, missed: std::mem::take(&mut self.missed) })
    }
}

/// The events that somebody listens to, from the moment of [`Bus::listen`] on. Dropping it ends it.
pub struct Listening {
    listener: Arc<Listener>,
    bus: Bus,
}

fn check(what: &'static str, name: &str) -> Result<(), BusError> {
    match name.len() {
        0 => Err(BusError::Empty { what }),
        bytes if bytes > BUS_NAME_BYTES => Err(BusError::LongName { what, bytes }),
        _ => Ok(()),
    }
}

impl Bus {
    /// Listens to a system, and to one kind of its events where one is given. A `*` in either stands for any text.
    ///
    /// # Errors
    /// A name is empty or too long, or the bus has [`BUS_LISTENERS`] listeners.
    pub fn listen(&self, system: &str, kind: Option<&str>) -> Result<Listening, BusError> {
        check("system", system)?;
        kind.map_or(Ok(()), |kind| check("kind", kind))?;
        let queue = Mutex::default();
        let listener = Arc::new(Listener { system: system.to_owned(), kind: kind.map(str::to_owned), queue });
        let mut listeners = self.0.lock();
        if listeners.len() >= BUS_LISTENERS {
            return Err(BusError::TooMany);
        }
        listeners.push(Arc::clone(&listener));
        Ok(Listening { listener, bus: self.clone() })
    }

    /// Tells everybody who listens. Nobody is waited for.
    ///
    /// # Errors
    /// A name is empty or too long, or the event larger than [`BUS_BYTES`].
    pub fn send(&self, event: BusEvent) -> Result<(), BusError> {
        check("system", &event.system)?;
        check("kind", &event.kind)?;
        if event.path.is_empty() {
            return Err(BusError::Empty { what: "path" });
        }
        let bytes = event.size();
        if bytes > BUS_BYTES {
            return Err(BusError::TooLarge { bytes });
        }
        let fits = |listener: &&Arc<Listener>| {
            fits_wildcard(&listener.system, &event.system)
                && listener.kind.as_ref().is_none_or(|kind| fits_wildcard(kind, &event.kind))
        };
        let listening: Vec<_> = self.0.lock().iter().filter(fits).cloned().collect();
        let event = Arc::new(event);
        for listener in listening {
            let waker = listener.queue.lock().push(Arc::clone(&event));
            waker.into_iter().for_each(Waker::wake);
        }
        Ok(())
    }
}

impl Listening {
    /// The next event, if there is one.
    #[must_use]
    pub fn try_next(&self) -> Option<Heard> {
        self.listener.queue.lock().pop()
    }

    /// The next event; the waker of the last poll is kept.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Heard> {
        let mut queue = self.listener.queue.lock();
        match queue.pop() {
            Some(heard) => Poll::Ready(heard),
            None => {
                let old = queue.waker.replace(context.waker().clone());
                drop(queue);
                drop(old);
                Poll::Pending
            }
        }
    }

    /// How many events it was too slow for since the beginning.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.listener.queue.lock().lost
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.bus.0.lock().retain(|listener| !Arc::ptr_eq(listener, &self.listener));
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("listeners", &self.0.lock().len()).finish()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listener { system, kind, .. } = &*self.listener;
        f.debug_struct("Listening").field("system", system).field("kind", kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    fn paths(listening: &Listening) -> Vec<String> {
        std::iter::from_fn(|| listening.try_next()).map(|heard| heard.event.path.clone()).collect()
    }

    #[test]
    fn everybody_hears_what_fits_from_its_beginning_to_its_end() {
        let bus = Bus::default();
        let all = bus.listen("*", None).unwrap();
        bus.send(BusEvent::new("orders", "created", "/1")).unwrap();
        let orders = bus.listen("orders", Some("paid")).unwrap();
        bus.send(BusEvent::new("orders", "created", "/2")).unwrap();
        bus.send(BusEvent::new("orders", "paid", "/3")).unwrap();
        bus.send(BusEvent::new("users", "paid", "/4")).unwrap();
        assert_eq!(paths(&all), ["/1", "/2", "/3", "/4"]);
        assert_eq!(paths(&orders), ["/3"]);
        drop(orders);
        assert_eq!(bus.0.lock().len(), 1, "who is gone is not asked");
    }

    #[test]
    fn a_slow_one_misses_the_oldest_and_hears_how_many() {
        let bus = Bus::default();
        let slow = bus.listen("s", None).unwrap();
        for number in 0..BUS_EVENTS + 3 {
            bus.send(BusEvent::new("s", "k", number.to_string())).unwrap();
        }
        let first = slow.try_next().unwrap();
        assert_eq!((first.event.path.as_str(), first.missed), ("3", 3));
        assert_eq!(slow.try_next().unwrap().missed, 0);
        // By bytes: two of these do not fit.
        let large = || BusEvent::new("s", "k", "large").data(Payload::from("x".repeat(BUS_BYTES * 2 / 3)));
        bus.send(large()).unwrap();
        bus.send(large()).unwrap();
        let last = slow.try_next().unwrap();
        assert_eq!((last.event.path.as_str(), last.missed), ("large", BUS_EVENTS as u64 - 2 + 1));
        assert_eq!((slow.try_next(), slow.lost()), (None, BUS_EVENTS as u64 + 2));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let bus = Bus::default();
        assert_eq!(bus.send(BusEvent::new("", "k", "p")), Err(BusError::Empty { what: "system" }));
        assert_eq!(bus.send(BusEvent::new("s", "", "p")), Err(BusError::Empty { what: "kind" }));
        assert_eq!(bus.send(BusEvent::new("s", "k", "")), Err(BusError::Empty { what: "path" }));
        let long = "x".repeat(BUS_NAME_BYTES + 1);
        let refused = BusError::LongName { what: "kind", bytes: BUS_NAME_BYTES + 1 };
        assert_eq!(bus.send(BusEvent::new("s", &*long, "p")), Err(refused));
        let large = BusEvent::new("s", "k", "p").data(Payload::from("x".repeat(BUS_BYTES)));
        assert!(matches!(bus.send(large), Err(BusError::TooLarge { .. })));
        assert_eq!(bus.listen("", None).unwrap_err(), BusError::Empty { what: "system" });
        let all: Vec<_> = (0..BUS_LISTENERS).map(|_| bus.listen("s", None).unwrap()).collect();
        assert_eq!(bus.listen("s", None).unwrap_err(), BusError::TooMany);
        drop(all);
        assert!(bus.listen("s", None).is_ok());
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken() {
        let bus = Bus::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let listening = bus.listen("s", None).unwrap();
        assert!(listening.poll_next(&mut context).is_pending());
        bus.send(BusEvent::new("other", "k", "p")).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        bus.send(BusEvent::new("s", "k", "p")).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(listening.poll_next(&mut context).is_ready());
    }
}
