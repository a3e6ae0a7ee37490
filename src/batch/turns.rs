//! The order in which results are handed out: that of the inputs, or that of their ends.

use std::collections::VecDeque;

use super::item::Done;

/// An item that was over before its turn; nothing of one that was skipped.
type Early = Option<Done>;

/// What is over and has not been handed out.
pub(super) struct Turns {
    is_ordered: bool,
    /// What is handed out next.
    out: VecDeque<Done>,
    /// In order: whose turn it is.
    turn: u64,
    /// In order: what has to wait for its turn, by how far it is ahead. The first place is that of the turn itself.
    early: VecDeque<Option<Early>>,
    /// How many of these there are.
    early_items: usize,
}

impl Turns {
    /// In the order of the inputs, of which the first one has this index.
    pub(super) fn from(index: u64) -> Self {
        Self { is_ordered: true, out: VecDeque::new(), turn: index, early: VecDeque::new(), early_items: 0 }
    }

    /// In that of the ends from now on. Before the first one.
    pub(super) fn without_order(&mut self) {
        self.is_ordered = false;
    }

    /// The first input has this index. Before the first one.
    pub(super) fn start_at(&mut self, index: u64) {
        self.turn = index;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.out.len() + self.early_items
    }

    /// Whether some wait for their turn.
    pub(super) fn are_some_early(&self) -> bool {
        self.early_items > 0
    }

    /// Whether there is none whose turn it is.
    pub(super) fn is_nobodys(&self) -> bool {
        self.out.is_empty()
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<Done> {
        self.out.pop_front()
    }

    /// This index is over, with something to hand out or without.
    pub(super) fn settle(&mut self, index: u64, done: Option<Done>) {
        if !self.is_ordered {
            self.out.extend(done);
            return;
        }
        if index == self.turn && self.early_items == 0 {
            // Most often: nobody waits behind it.
            self.early.pop_front();
            self.out.extend(done);
            self.turn += 1;
            return;
        }
        let ahead = usize::try_from(index - self.turn).expect("as many as the bounds allow");
        if self.early.len() <= ahead {
            self.early.resize_with(ahead + 1, || None);
        }
        self.early[ahead] = Some(done);
        self.early_items += 1;
        while let Some(Some(_)) = self.early.front() {
            let done = self.early.pop_front().flatten().flatten();
            self.early_items -= 1;
            self.out.extend(done);
            self.turn += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::item::Begun;
    use super::*;

    fn done(index: u64) -> Done {
        Done::of(&Begun::of(index), Ok(index.into()))
    }

    proptest! {
        /// Whatever the order of the ends, and whoever is skipped: each once, by its index.
        #[test]
        fn the_order_is_that_of_the_inputs(keys in vec(any::<u32>(), 1..60), skipped in vec(any::<bool>(), 60), first in 0_u64..9) {
            let mut ends: Vec<u64> = (0..keys.len() as u64).collect();
            ends.sort_by_key(|index| keys[*index as usize]);
            let mut turns = Turns::from(0);
            turns.start_at(first);
            let mut handed_out = Vec::new();
            for (count, index) in ends.iter().enumerate() {
                turns.settle(first + index, (!skipped[*index as usize]).then(|| done(first + index)));
                prop_assert!(turns.len() <= count + 1);
                handed_out.extend(std::iter::from_fn(|| turns.next()).map(|done| done.index));
                let all_before = (0..).take_while(|index| ends[..=count].contains(index)).filter(|index| !skipped[*index as usize]);
                prop_assert_eq!(&handed_out, &all_before.map(|index| first + index).collect::<Vec<_>>());
            }
            prop_assert!(!turns.are_some_early() && turns.is_nobodys() && turns.len() == 0);
        }
    }

    #[test]
    fn without_an_order_nobody_waits() {
        let mut turns = Turns::from(0);
        turns.without_order();
        for index in [5, 2, 9] {
            turns.settle(index, Some(done(index)));
            assert_eq!(turns.next().map(|done| done.index), Some(index));
        }
    }
}
