//! How long a guest goes on when its slice is over and others wait: not at all, or a little where that will do.
//!
//! A guest that is preempted comes back when others have had its caches. If it was about to be over anyway, that costs more than
//! it gives: of guests that compute for little more than a slice each lost a tenth. So a program remembers whether its guests,
//! once they have computed through a tick, are soon over. While nearly all of them are, each has [`GRACE_TICKS`] ticks in its
//! life in which it goes on though others wait. A guest whose entry sets `max_step` has the slice that was asked for.

use std::sync::atomic::{AtomicU32, Ordering};

/// Ticks through which a guest goes on. It is over within the second when it computes for one tick and a half.
const GRACE_TICKS: u32 = 2;

/// A program has proven to be brief from this score on.
const PROVEN: u32 = 16;

/// The score goes no higher, so that what a program did long ago is forgotten.
const SCORE_MAX: u32 = 64;

/// What one guest that goes on for longer takes away: while they are more than one in six, there is no grace.
const LONG_COSTS: u32 = 5;

/// The score of one program.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU32);

impl Pace {
    /// A guest has computed through so many ticks by now. True when it goes on, whoever waits.
    pub(super) fn goes_on(&self, ticks: u32) -> bool {
        if ticks <= GRACE_TICKS {
            // Relaxed, as everything here: it carries no data, and one more or less makes no difference.
            return self.0.load(Ordering::Relaxed) >= PROVEN;
        }
        if ticks == GRACE_TICKS + 1 {
            self.change(|score| score.saturating_sub(LONG_COSTS));
        }
        false
    }

    /// A guest is over that has computed through so many ticks.
    pub(super) fn ended(&self, ticks: u32) {
        if (1..=GRACE_TICKS).contains(&ticks) {
            self.change(|score| (score + 1).min(SCORE_MAX));
        }
    }

    fn change(&self, to: impl Fn(u32) -> u32) {
        self.0.store(to(self.0.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest that computes through so many ticks; the first of them at which it is preempted.
    fn run(pace: &Pace, ticks: u32) -> Option<u32> {
        let preempted = (1..=ticks).filter(|tick| !pace.goes_on(*tick)).min();
        pace.ended(ticks);
        preempted
    }

    #[test]
    fn grace_is_for_programs_whose_guests_are_soon_over() {
        let pace = Pace::default();
        let first: Vec<_> = (0..20).map(|_| run(&pace, 1)).collect();
        assert_eq!(first.iter().filter(|preempted| preempted.is_some()).count(), PROVEN as usize);
        assert_eq!((run(&pace, 2), run(&pace, 1)), (None, None));
        // A long one among them is preempted after two ticks; the more there are, the more there is doubt.
        (0..100).for_each(|_| _ = run(&pace, 1));
        let long: Vec<_> = (0..12).map(|_| run(&pace, 100)).collect();
        assert_eq!(long[..10], [Some(3); 10]);
        assert_eq!((long[11], run(&pace, 1)), (Some(1), Some(1)));
    }

    #[test]
    fn those_that_no_tick_meets_tell_nothing() {
        let pace = Pace::default();
        (0..1000).for_each(|_| assert_eq!(run(&pace, 0), None));
        assert_eq!(run(&pace, 1), Some(1));
    }

    #[test]
    fn one_long_guest_in_five_that_a_tick_meets_is_too_many() {
        let pace = Pace::default();
        let late = |nth: u32| {
            let met = (0..1000).map(|at| run(&pace, if at % nth == 0 { 50 } else { 1 }));
            met.filter(|preempted| *preempted == Some(3)).count()
        };
        assert_eq!(late(5), 0);
        assert!(late(10) > 80);
    }
}
