//! Replacements: one that is too many does not sleep on.

use loom::sync::Arc;
use loom::thread;

use super::super::idle::{Idle, Surroundings};
use super::super::park::Condition;
use super::super::replace::Held;
use super::check;

/// When the slice of the second worker's step is over.
const SLICE_END: u64 = 5;

/// Two workers that may be held, and a replacement, which is number two.
struct House {
    held: Held,
    idle: Idle,
}

impl Surroundings for House {
    fn must_stay_awake(&self) -> bool {
        self.held.is_one_too_many()
    }

    fn own_len(&self) -> usize {
        0
    }

    fn falls_asleep(&self) {}

    fn woke_up(&self, _: bool) {}
}

impl House {
    /// The first worker is held and has its replacement; the second one is inside a marked step.
    fn new() -> Arc<Self> {
        let house = Self { held: Held::new(3, 1), idle: Idle::new(3, std::sync::Arc::new(Condition::new())) };
        house.held.mark(0, 0);
        house.held.mark(1, SLICE_END);
        assert!(!house.held.hold(0, |end| end <= SLICE_END));
        assert!(!house.held.hold(1, |end| end < SLICE_END), "its slice is not over");
        assert!(house.held.is_one_missing());
        Arc::new(house)
    }

    fn replace(&self) {
        while !self.held.leave() {
            self.idle.running_to_searching();
            self.idle.park(2, self);
            self.idle.searching_to_running(false, || false);
        }
    }

    fn tell(&self, is_one_too_many: bool) {
        if is_one_too_many {
            self.idle.notify_all();
        }
    }
}

#[test]
fn loom_the_end_of_a_step_meets_its_replacement() {
    check(3, || {
        let house = House::new();
        let worker = {
            let house = house.clone();
            thread::spawn(move || house.tell(house.held.unmark(0)))
        };
        // What the ticker does.
        house.held.hire();
        let replacement = {
            let house = house.clone();
            thread::spawn(move || house.replace())
        };
        worker.join().expect("no assertion failed");
        // It would be a deadlock here if the replacement slept on.
        replacement.join().expect("no assertion failed");
        assert_eq!(house.held.hired(), 0);
    });
}

#[test]
fn loom_a_step_ends_while_the_ticker_counts_it() {
    check(2, || {
        let house = House::new();
        house.held.hire();
        let replacement = {
            let house = house.clone();
            thread::spawn(move || house.replace())
        };
        let workers = {
            let house = house.clone();
            thread::spawn(move || (0..2).for_each(|worker| house.tell(house.held.unmark(worker))))
        };
        // What the ticker does.
        house.tell(house.held.hold(1, |end| end <= SLICE_END));
        workers.join().expect("no assertion failed");
        replacement.join().expect("no assertion failed");
        assert!(!house.held.is_one_missing());
        assert_eq!(house.held.hired(), 0);
    });
}
