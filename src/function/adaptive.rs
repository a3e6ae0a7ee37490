//! How many slots an adaptive pool has: decided at every tick of its own, by what was seen since the last one.
//!
//! More slots are a try: when calls did not get done faster with them, they go again, and the next try waits twice as long.
//! Knows no calls and no clock.

use std::time::Duration;

/// The time between two decisions.
pub(super) const TICK: Duration = Duration::from_millis(500);

/// A try adds one slot for this many that there are.
const SLOTS_PER_NEW_SLOT: usize = 4;

/// Ticks after which a try is judged, and those before it that it is compared with.
const TRY_TICKS: usize = 4;

/// A try was worth it when more than this percentage of the calls that got done before gets done with it.
const WORTH_PERCENT: u64 = 105;

/// Ticks in a row with less than half of the slots busy, after which one goes.
const CALM_TICKS: u32 = 8;

/// Ticks before the next try after one that was not worth it; doubled by each in a row.
const PAUSE_TICKS: u32 = 4;

/// The longest pause between two tries, in ticks.
const PAUSE_TICKS_MAX: u32 = 256;

/// What was seen at a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Slots there are to be.
    pub(super) slots: usize,
    /// Slots there may be.
    pub(super) slots_max: usize,
    pub(super) busy: usize,
    pub(super) queued: usize,
    /// Calls that ended since the last tick.
    pub(super) completed: u64,
}

/// Decides on the slots of one pool.
#[derive(Debug, Default)]
pub(super) struct Controller {
    /// Calls that ended in each of the last ticks, the newest last.
    history: [u64; TRY_TICKS],
    /// How many of those there were.
    known_ticks: usize,
    trial: Option<Trial>,
    calm_ticks: u32,
    pause_ticks: u32,
    /// The length of the next pause; zero is [`PAUSE_TICKS`].
    next_pause_ticks: u32,
}

#[derive(Debug)]
struct Trial {
    added: usize,
    /// Calls that ended in the ticks before it.
    before: u64,
    ticks_before: usize,
    ticks: usize,
}

impl Controller {
    /// How many slots there are to be from now on.
    pub(super) fn tick(&mut self, seen: Seen) -> usize {
        self.history.rotate_left(1);
        self.history[TRY_TICKS - 1] = seen.completed;
        self.known_ticks = (self.known_ticks + 1).min(TRY_TICKS);
        let is_calm = seen.busy * 2 < seen.slots;
        self.calm_ticks = if is_calm { self.calm_ticks + 1 } else { 0 };
        if self.trial.is_some() {
            return self.judge(seen);
        }
        if self.calm_ticks >= CALM_TICKS && seen.slots > 1 {
            self.calm_ticks = 0;
            return seen.slots - 1;
        }
        if self.pause_ticks > 0 {
            self.pause_ticks -= 1;
            return seen.slots;
        }
        if seen.busy < seen.slots || seen.queued == 0 || seen.slots >= seen.slots_max {
            return seen.slots;
        }
        let added = seen.slots.div_ceil(SLOTS_PER_NEW_SLOT).min(seen.slots_max - seen.slots);
        let before = self.history.iter().sum();
        self.trial = Some(Trial { added, before, ticks_before: self.known_ticks, ticks: 0 });
        seen.slots + added
    }

    /// It is asked again after a time in which it was not: what was seen before is no measure for what comes.
    pub(super) fn resume(&mut self) {
        (self.history, self.known_ticks, self.calm_ticks) = Default::default();
    }

    /// Whether it has nothing under way, so that it need not be asked while a pool has one slot and nothing waits.
    pub(super) fn is_at_rest(&self) -> bool {
        self.trial.is_none()
    }

    fn judge(&mut self, seen: Seen) -> usize {
        let Some(mut trial) = self.trial.take() else { return seen.slots };
        trial.ticks += 1;
        if trial.ticks < TRY_TICKS {
            self.trial = Some(trial);
            return seen.slots;
        }
        let after: u64 = self.history.iter().sum();
        // Where nothing ever ended nothing can be compared: calls that are longer than a try are no reason against it.
        let is_unknown = trial.before == 0 && after == 0;
        // A tick of each, times the same number.
        let before = trial.before.saturating_mul(TRY_TICKS as u64).saturating_mul(WORTH_PERCENT);
        if is_unknown || after.saturating_mul(trial.ticks_before as u64).saturating_mul(100) > before {
            self.next_pause_ticks = 0;
            return seen.slots;
        }
        self.pause_ticks = self.next_pause_ticks.max(PAUSE_TICKS);
        self.next_pause_ticks = self.pause_ticks.saturating_mul(2).min(PAUSE_TICKS_MAX);
        seen.slots.saturating_sub(trial.added).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool in which each busy slot ends as many calls in a tick as `rate` says of their number.
    fn run(controller: &mut Controller, slots: &mut usize, ticks: u32, rate: impl Fn(usize) -> u64) -> Vec<usize> {
        (0..ticks)
            .map(|_| {
                let completed = rate(*slots);
                *slots = controller.tick(Seen { slots: *slots, slots_max: 16, busy: *slots, queued: 5, completed });
                *slots
            })
            .collect()
    }

    #[test]
    fn more_slots_stay_as_long_as_they_get_more_done() {
        let (mut controller, mut slots) = (Controller::default(), 1);
        // Four ticks a try: one more at first, a quarter more later, and never beyond the bound.
        let seen = run(&mut controller, &mut slots, 60, |slots| slots as u64 * 10);
        assert_eq!(seen[..6], [2, 2, 2, 2, 2, 3]);
        assert_eq!((slots, seen.windows(2).all(|pair| pair[0] <= pair[1])), (16, true), "{seen:?}");
    }

    #[test]
    fn slots_that_get_no_more_done_go_again_and_the_next_try_waits_longer() {
        let (mut controller, mut slots) = (Controller::default(), 4);
        let mut seen = run(&mut controller, &mut slots, 4, |_| 10);
        seen.extend(run(&mut controller, &mut slots, 40, |_| 10));
        let tries: Vec<_> = (1..seen.len()).filter(|at| seen[*at] > seen[at - 1]).collect();
        let gaps: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() >= 2 && gaps.windows(2).all(|pair| pair[1] > pair[0]), "{seen:?}");
        assert_eq!(seen.iter().max(), Some(&5));
    }

    #[test]
    fn calls_that_take_longer_than_a_try_are_no_reason_against_it() {
        let (mut controller, mut slots) = (Controller::default(), 1);
        run(&mut controller, &mut slots, 60, |_| 0);
        assert_eq!(slots, 16);
    }

    #[test]
    fn idle_slots_go_one_by_one() {
        let (mut controller, mut slots) = (Controller::default(), 3);
        let mut tick = |busy| {
            slots = controller.tick(Seen { slots, slots_max: 16, busy, queued: 0, completed: 0 });
            slots
        };
        assert_eq!((0..8).map(|_| tick(1)).collect::<Vec<_>>(), [3, 3, 3, 3, 3, 3, 3, 2]);
        assert_eq!((0..7).map(|_| tick(0)).collect::<Vec<_>>(), [2; 7]);
        assert_eq!(tick(2), 2, "somebody needs them: it is counted anew");
        assert_eq!((0..8).map(|_| tick(0)).collect::<Vec<_>>(), [2, 2, 2, 2, 2, 2, 2, 1]);
        assert_eq!((0..20).map(|_| tick(0)).max(), Some(1), "the last one stays");
    }
}
