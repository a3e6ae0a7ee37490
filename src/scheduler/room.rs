//! The bound on live tasks, without a word that every spawn and every end of a task writes.
//!
//! Workers keep places in stock: a task that ends leaves its place to the worker that ran it, and one that this worker spawns
//! takes it from there. Only when a stock is empty, or has twice as much as it should, the common count is changed, by many
//! places at once. Who finds the scheduler full looks into the stocks before saying so, so the bound is exact.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::sync::CachePadded;

/// So many places go to a stock or come back from it at once, unless the bound is so small that they would be missed.
const BATCH_MAX: usize = 64;

/// The places of one scheduler.
#[derive(Debug)]
pub(super) struct Room {
    max: usize,
    batch: usize,
    /// Of live tasks and in stocks.
    taken: CachePadded<AtomicUsize>,
    /// Free places, one number for each worker. It is changed by its worker, and emptied by whoever finds no place.
    stocks: Box<[CachePadded<AtomicUsize>]>,
    /// One at a time: places on their way out of the stocks are in no count.
    emptying: Mutex<()>,
}

impl Room {
    /// For `max` live tasks, run by so many workers, replacements included.
    pub(super) fn new(max: usize, workers: usize) -> Self {
        Self {
            max,
            batch: (max / (8 * workers)).clamp(1, BATCH_MAX),
            taken: CachePadded(AtomicUsize::new(0)),
            stocks: (0..workers).map(|_| CachePadded::default()).collect(),
            emptying: Mutex::new(()),
        }
    }

    /// The bound.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// A task is to be spawned, perhaps by a worker. False when there are as many as there may be.
    #[must_use]
    pub(super) fn enter(&self, worker: Option<usize>) -> bool {
        // Relaxed, as everything here: the counts carry no data.
        let Some(stock) = worker.map(|worker| &self.stocks[worker]) else { return self.take(1) || self.take_last() };
        let one_less = |places: usize| places.checked_sub(1);
        if stock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return true;
        }
        if !self.take(self.batch) {
            return self.take_last();
        }
        stock.fetch_add(self.batch - 1, Ordering::Relaxed);
        true
    }

    /// A task is dropped, perhaps on a worker.
    pub(super) fn leave(&self, worker: Option<usize>) {
        let Some(stock) = worker.map(|worker| &self.stocks[worker]) else { return self.give(1) };
        let before = stock.fetch_add(1, Ordering::Relaxed);
        if before + 1 >= 2 * self.batch {
            let enough = |places: usize| places.checked_sub(self.batch);
            if stock.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_ok() {
                self.give(self.batch);
            }
        }
    }

    /// How many tasks are live. Exact when nobody spawns and no task ends meanwhile.
    pub(super) fn live(&self) -> usize {
        let read = || {
            let stocks: usize = self.stocks.iter().map(|stock| stock.load(Ordering::Relaxed)).sum();
            (self.taken.load(Ordering::Relaxed), stocks)
        };
        let mut before = read();
        // Counts that move between two looks say little; some more looks find a moment in which they don't.
        for _ in 0..16 {
            let again = read();
            if before == again {
                break;
            }
            before = again;
        }
        before.0.saturating_sub(before.1)
    }

    fn take(&self, places: usize) -> bool {
        // Adding first may make another one look into the stocks without need; it finds the truth there.
        if self.taken.fetch_add(places, Ordering::Relaxed) + places <= self.max {
            return true;
        }
        self.give(places);
        false
    }

    fn give(&self, places: usize) {
        let before = self.taken.fetch_sub(places, Ordering::Relaxed);
        debug_assert!(before >= places, "what is given back was taken");
    }

    /// One place, if there is one anywhere.
    #[cold]
    fn take_last(&self) -> bool {
        let _one_at_a_time = self.emptying.lock();
        let found: usize = self.stocks.iter().map(|stock| stock.swap(0, Ordering::Relaxed)).sum();
        self.give(found);
        let one_more = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

#[cfg(all(test, not(wippy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_exact_wherever_the_places_are() {
        for max in [0, 1, 2, 63, 64, 1000, 5000] {
            let room = Room::new(max, 3);
            let who = |at: usize| [None, Some(0), Some(1), Some(2)][at % 4];
            for turn in 0..3 {
                for live in 0..max {
                    assert_eq!(room.live(), live);
                    assert!(room.enter(who(live + turn)), "{live} of {max}");
                }
                for at in 0..4 {
                    assert!(!room.enter(who(at)), "{max} are all");
                }
                for live in (0..max).rev() {
                    room.leave(who(live * 7 + turn));
                    assert_eq!(room.live(), live);
                }
            }
        }
    }

    #[test]
    fn a_place_that_another_worker_has_in_stock_is_found() {
        let room = Room::new(1000, 2);
        assert!((0..1000).all(|_| room.enter(Some(0))));
        room.leave(Some(0));
        assert!(room.enter(Some(1)));
        assert!(!room.enter(Some(0)));
    }

    #[test]
    fn threads_together_never_pass_the_bound() {
        const MAX: usize = 10;
        let (room, inside) = (Room::new(MAX, 2), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for who in [None, None, Some(0), Some(1)] {
                let (room, inside) = (&room, &inside);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if room.enter(who) {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) < MAX);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            room.leave(who);
                        }
                    }
                });
            }
        });
        assert_eq!(room.live(), 0);
        assert!((0..MAX).all(|_| room.enter(None)));
        assert!(!room.enter(None));
    }
}
