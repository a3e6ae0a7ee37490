//! Waiting for a change that others make: costs them one load while nobody waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::reactor::assert_may_block;

/// Wakes those who wait for a condition when somebody has changed what it depends on.
///
/// What it depends on is written before [`ring`](Bell::ring), with `SeqCst` or under a lock that the condition takes.
#[derive(Default)]
pub(super) struct Bell {
    waiting: AtomicUsize,
    listeners: Mutex<Vec<Weak<Listener>>>,
    changed: Condvar,
}

type Listener = dyn Fn() + Send + Sync;

/// Somebody is told of changes as long as this is here.
pub(super) struct Listening {
    bell: Arc<Bell>,
    listener: Arc<Listener>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.bell.listeners.lock().retain(|other| !std::ptr::addr_eq(other.as_ptr(), Arc::as_ptr(&self.listener)));
        self.bell.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Bell {
    /// Something that somebody may wait for has changed.
    pub(super) fn ring(&self) {
        // SeqCst, with the addition in `wait_until`: either this sees who waits, or who waits sees the change.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let listeners = {
                let listeners = self.listeners.lock();
                self.changed.notify_all();
                listeners.clone()
            };
            // Outside the lock: what they do is foreign.
            listeners.iter().filter_map(Weak::upgrade).for_each(|listener| listener());
        }
    }

    /// Calls `listener` at every change from now on, on the thread that makes it: it must not block. Look at the condition
    /// after this, not before.
    pub(super) fn listen(self: &Arc<Self>, listener: impl Fn() + Send + Sync + 'static) -> Listening {
        let listener: Arc<Listener> = Arc::new(listener);
        self.listeners.lock().push(Arc::downgrade(&listener));
        // SeqCst, as in `wait_until`.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Listening { bell: Arc::clone(self), listener }
    }

    /// Waits until `holds`; false when the deadline passed before. Never on a worker.
    pub(super) fn wait_until(&self, deadline: Option<Instant>, mut holds: impl FnMut() -> bool) -> bool {
        if holds() {
            return true;
        }
        assert_may_block();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let held = {
            let mut guard = self.listeners.lock();
            loop {
                if holds() {
                    break true;
                }
                match deadline {
                    None => self.changed.wait(&mut guard),
                    Some(deadline) => {
                        if self.changed.wait_until(&mut guard, deadline).timed_out() {
                            break holds();
                        }
                    }
                }
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        held
    }

    /// How many threads wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_hears_every_ring_while_it_is_there() {
        let bell = Arc::new(Bell::default());
        let heard = Arc::new(AtomicUsize::new(0));
        let listen = || {
            let heard = Arc::clone(&heard);
            bell.listen(move || _ = heard.fetch_add(1, Ordering::SeqCst))
        };
        bell.ring();
        let (one, other) = (listen(), listen());
        bell.ring();
        assert_eq!(heard.load(Ordering::SeqCst), 2);
        drop(one);
        bell.ring();
        assert_eq!(heard.load(Ordering::SeqCst), 3);
        drop(other);
        bell.ring();
        assert_eq!((heard.load(Ordering::SeqCst), bell.waiting()), (3, 0));
    }
}
