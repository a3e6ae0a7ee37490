//! The comings and goings of processes, for whoever wants to watch all of them.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Exit, Pid};
use crate::reactor::assert_may_block;
use crate::registry::EntryId;

/// How many events wait for a subscriber that does not read them; the oldest of more are left out, and counted.
pub const SUBSCRIPTION_EVENTS: usize = 4096;

/// Something that happened to a process of the runtime.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LifecycleEvent {
    /// It was started; its first step comes later.
    Started {
        /// Its name.
        pid: Pid,
        /// The entry it is made from.
        entry: EntryId,
        /// The process that started it, if one did.
        parent: Option<Pid>,
    },
    /// It has ended, and its resources are gone.
    Ended {
        /// Its name.
        pid: Pid,
        /// The entry it was made from.
        entry: EntryId,
        /// How.
        exit: Arc<Exit>,
    },
    /// The subscriber was too slow: this many events before the next one are missing.
    Missed {
        /// How many.
        events: u64,
    },
}

#[derive(Default)]
struct Queue {
    events: VecDeque<LifecycleEvent>,
    missed: u64,
    waker: Option<Waker>,
    closed: bool,
}

#[derive(Default)]
struct Subscriber {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The events of all processes of a runtime from the moment of the subscription on; see
/// [`Runtime::subscribe`](crate::Runtime::subscribe). Dropping it ends it.
pub struct Subscription(Arc<Subscriber>);

/// Those who want to hear.
#[derive(Default)]
pub(super) struct Subscribers {
    any: AtomicBool,
    all: Mutex<Vec<Weak<Subscriber>>>,
}

impl Queue {
    fn push(&mut self, event: LifecycleEvent) -> Option<Waker> {
        if self.events.len() == SUBSCRIPTION_EVENTS {
            self.events.pop_front();
            self.missed += 1;
        }
        self.events.push_back(event);
        self.waker.take()
    }

    fn pop(&mut self) -> Option<LifecycleEvent> {
        match std::mem::take(&mut self.missed) {
            0 => self.events.pop_front(),
            events => Some(LifecycleEvent::Missed { events }),
        }
    }
}

impl Subscribers {
    pub(super) fn subscribe(&self) -> Subscription {
        let subscriber = Arc::new(Subscriber::default());
        let mut all = self.all.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&subscriber));
        // Relaxed: what happens at the same time is before or after the subscription, as it likes.
        self.any.store(true, Ordering::Relaxed);
        Subscription(subscriber)
    }

    /// Whether somebody may listen.
    pub(super) fn has_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Tells everybody. What nobody wants to hear is not even made.
    pub(super) fn tell(&self, event: impl FnOnce() -> LifecycleEvent) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let listening: Vec<_> = {
            let mut all = self.all.lock();
            all.retain(|subscriber| subscriber.strong_count() > 0);
            self.any.store(!all.is_empty(), Ordering::Relaxed);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        if listening.is_empty() {
            return;
        }
        let event = event();
        for subscriber in listening {
            let waker = subscriber.queue.lock().push(event.clone());
            subscriber.changed.notify_all();
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        for subscriber in self.all.get_mut().drain(..).filter_map(|subscriber| subscriber.upgrade()) {
            let waker = {
                let mut queue = subscriber.queue.lock();
                queue.closed = true;
                queue.waker.take()
            };
            subscriber.changed.notify_all();
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Subscription {
    /// The next event, if there is one.
    #[must_use]
    pub fn try_next(&self) -> Option<LifecycleEvent> {
        self.0.queue.lock().pop()
    }

    /// The next event; waits for it, at most this long. `None` also when the runtime is gone.
    ///
    /// # Panics
    /// On a worker, where waiting could be waiting for itself.
    #[must_use]
    pub fn next_within(&self, timeout: Duration) -> Option<LifecycleEvent> {
        assert_may_block();
        let deadline = Instant::now().checked_add(timeout);
        let mut queue = self.0.queue.lock();
        loop {
            if let Some(event) = queue.pop() {
                return Some(event);
            }
            if queue.closed {
                return None;
            }
            match deadline {
                None => self.0.changed.wait(&mut queue),
                Some(deadline) if self.0.changed.wait_until(&mut queue, deadline).timed_out() => return queue.pop(),
                Some(_) => {}
            }
        }
    }

    /// The next event, on any executor; `None` when the runtime is gone.
    pub async fn next(&self) -> Option<LifecycleEvent> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// [`Subscription::next`] as a poll; the waker of the last one is kept.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<LifecycleEvent>> {
        let mut queue = self.0.queue.lock();
        match queue.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.closed => Poll::Ready(None),
            None => {
                let old = queue.waker.replace(context.waker().clone());
                drop(queue);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.0.queue.lock();
        f.debug_struct("Subscription").field("waiting", &queue.events.len()).field("missed", &queue.missed).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(number: u64) -> LifecycleEvent {
        let id: EntryId = "a:b".parse().unwrap();
        LifecycleEvent::Ended { pid: Pid::new(id.clone(), number), entry: id, exit: Arc::new(Exit::Terminated) }
    }

    #[test]
    fn everybody_hears_everything_from_the_subscription_on() {
        let subscribers = Subscribers::default();
        subscribers.tell(|| unreachable!("nobody wants to know"));
        let early = subscribers.subscribe();
        subscribers.tell(|| ended(1));
        let late = subscribers.subscribe();
        subscribers.tell(|| ended(2));
        assert_eq!([early.try_next(), early.try_next(), early.try_next()], [Some(ended(1)), Some(ended(2)), None]);
        assert_eq!(late.try_next(), Some(ended(2)));
        drop((early, late));
        subscribers.tell(|| unreachable!("nobody is left"));
    }

    #[test]
    fn a_slow_one_hears_how_much_it_missed() {
        let subscribers = Subscribers::default();
        let slow = subscribers.subscribe();
        for number in 0..SUBSCRIPTION_EVENTS as u64 + 3 {
            subscribers.tell(|| ended(number));
        }
        assert_eq!(slow.try_next(), Some(LifecycleEvent::Missed { events: 3 }));
        assert_eq!(slow.try_next(), Some(ended(3)));
    }

    #[test]
    fn who_waits_is_told_and_told_of_the_end() {
        let subscribers = Subscribers::default();
        let subscription = subscribers.subscribe();
        let waiting = std::thread::spawn(move || {
            let first = subscription.next_within(Duration::from_secs(60));
            (first, subscription.next_within(Duration::from_secs(60)), subscription.try_next())
        });
        subscribers.tell(|| ended(1));
        drop(subscribers);
        assert_eq!(waiting.join().expect("no panic"), (Some(ended(1)), None, None));
    }

    #[test]
    fn a_waker_is_called_once_something_comes() {
        let subscribers = Subscribers::default();
        let subscription = subscribers.subscribe();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(subscription.poll_next(&mut context), Poll::Pending);
        subscribers.tell(|| ended(1));
        assert_eq!(subscription.poll_next(&mut context), Poll::Ready(Some(ended(1))));
        drop(subscribers);
        assert_eq!(subscription.poll_next(&mut context), Poll::Ready(None));
    }
}
