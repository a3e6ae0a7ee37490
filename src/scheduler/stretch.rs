//! How long the stretches of work of one worker are, from waking up to parking again, judged by the ticks alone: no clock is
//! read for it.

use std::cell::Cell;

/// From this score on the next stretch is taken to be brief.
const BRIEF: u32 = 16;

/// The score goes no higher: two ticks in a row that fall into stretches change no opinion, and three do.
const SCORE_MAX: u32 = 4 * BRIEF;

/// The score of a worker: one more for each stretch into which no tick fell, half of it for one that had a tick.
///
/// A tick falls into a stretch of a hundredth of a tick once in a hundred times, however brief it is: with short work in quick
/// succession that is several times in a hundred ticks, so one tick must not outweigh all that was before. Where each
/// stretch is met by a tick with probability *p*, the score hovers around *2(1 - p)/p*, so stretches of a tenth of a tick are
/// about where the answer changes: those of 10 µs pass practically always, those of 300 µs as good as never.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    score: Cell<u32>,
}

impl Stretches {
    /// A stretch is over, and this is whether a tick fell into it.
    pub(super) fn ended(&self, had_tick: bool) {
        let score = self.score.get();
        self.score.set(if had_tick { score / 2 } else { (score + 1).min(SCORE_MAX) });
    }

    /// True when the next one will probably be much shorter than a tick.
    pub(super) fn are_brief(&self) -> bool {
        self.score.get() >= BRIEF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a thousand stretches are taken to be brief where each n-th one has a tick, once that has settled.
    fn brief_of_a_thousand(nth: u32) -> usize {
        let stretches = Stretches::default();
        let turn = |at: u32| {
            stretches.ended(at.is_multiple_of(nth));
            stretches.are_brief()
        };
        (0..1000).for_each(|at| {
            turn(at);
        });
        (1000..2000).filter(|at| turn(*at)).count()
    }

    #[test]
    fn short_work_stays_brief_and_long_work_never_is() {
        assert_eq!([100, 30, 20].map(brief_of_a_thousand), [1000; 3]);
        assert_eq!([1, 2, 3, 5, 8].map(brief_of_a_thousand), [0; 5]);
    }

    #[test]
    fn an_opinion_takes_some_stretches_to_change() {
        let stretches = Stretches::default();
        let changes = |had_tick: bool, to: bool| {
            (1..).find(|_| {
                stretches.ended(had_tick);
                stretches.are_brief() == to
            })
        };
        assert!(!stretches.are_brief(), "nothing is known yet");
        assert_eq!(changes(false, true), Some(16));
        (0..1000).for_each(|_| stretches.ended(false));
        assert_eq!(changes(true, false), Some(3));
    }
}
