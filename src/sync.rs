//! std or loom: one switch.
//!
//! The protocols that are model-checked (task state, parking, idle counts, the ticker's sleep) take their atomics, locks
//! and queues from here. A test build with `WIPPY_LOOM=1` gets loom's, everything else gets `std`, `parking_lot` and
//! `crossbeam-deque`. `crossbeam-deque` knows nothing of loom, so its place is taken by a twin: contents under a mutex,
//! emptiness behind a relaxed counter, because that is all the orderings that the protocols may lean on.
//!
//! Knows no room; anybody may import it. Counters that only inform (statistics) use `std` directly.

#[cfg(not(all(test, wippy_loom)))]
mod imp {
    pub(crate) use crossbeam_deque::{Injector, Stealer, Worker};
    pub(crate) use parking_lot::{Condvar, Mutex};
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}

#[cfg(all(test, wippy_loom))]
#[path = "sync/twin.rs"]
mod imp;

pub(crate) use crossbeam_deque::Steal;
pub(crate) use imp::*;

/// Cores that this program may use, at least one. The system is asked once: it answers by reading files.
pub(crate) fn cores() -> usize {
    static CORES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// A value on cache lines of its own, so that its writers do not slow down the readers of its neighbours.
///
/// 128 bytes: two lines, because the prefetcher of x86 fetches them in pairs, and one line of the larger ARM cores.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub(crate) T);

impl<T> std::ops::Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
