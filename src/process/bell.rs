//! Waiting for a change that others make: costs them one load while nobody waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::reactor::assert_may_block;

/// Wakes those who wait for a condition when somebody has changed what it depends on.
///
/// What it depends on is written before [`ring`](Bell::ring), with `SeqCst` or under a lock that the condition takes.
#[derive(Default)]
pub(super) struct Bell {
    waiting: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Bell {
    /// Something that somebody may wait for has changed.
    pub(super) fn ring(&self) {
        // SeqCst, with the addition in `wait_until`: either this sees who waits, or who waits sees the change.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let _guard = self.lock.lock();
            self.changed.notify_all();
        }
    }

    /// Waits until `holds`; false when the deadline passed before. Never on a worker.
    pub(super) fn wait_until(&self, deadline: Option<Instant>, mut holds: impl FnMut() -> bool) -> bool {
        if holds() {
            return true;
        }
        assert_may_block();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let held = {
            let mut guard = self.lock.lock();
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
