//! Which indexes are done: all below a mark, and some above it.

use std::collections::BTreeMap;

/// A set of indexes that is mostly one run from zero: as large as the number of its gaps, not of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoneSet {
    /// Runs from their first index to behind their last one; never empty, never adjacent.
    runs: BTreeMap<u64, u64>,
}

impl DoneSet {
    /// All indexes below this one are done.
    #[must_use]
    pub fn watermark(&self) -> u64 {
        self.runs.get(&0).copied().unwrap_or(0)
    }

    /// Adds an index; false when it was there.
    pub fn insert(&mut self, index: u64) -> bool {
        self.insert_run(index, index + 1)
    }

    /// Adds the indexes from `start` to behind `end`; false, and nothing is added, when one of them was there or there are none.
    pub fn insert_run(&mut self, start: u64, end: u64) -> bool {
        let before = self.runs.range(..=start).next_back().map(|(start, end)| (*start, *end));
        let after = self.runs.range(start..).next().map(|(start, end)| (*start, *end));
        if start >= end || before.is_some_and(|(_, last)| last > start) || after.is_some_and(|(first, _)| first < end) {
            return false;
        }
        let (mut first, mut last) = (start, end);
        if let Some((before, end)) = before
            && end == start
        {
            first = before;
        }
        if let Some((after, behind)) = after
            && after == end
        {
            self.runs.remove(&after);
            last = behind;
        }
        self.runs.insert(first, last);
        true
    }

    /// Whether an index is done.
    #[must_use]
    pub fn contains(&self, index: u64) -> bool {
        self.runs.range(..=index).next_back().is_some_and(|(_, end)| index < *end)
    }

    /// How many are done.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|(start, end)| end - start).sum()
    }

    /// Whether none is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs, in order.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(start, end)| (*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_watermark_is_where_the_first_gap_begins() {
        let mut done = DoneSet::default();
        assert!(done.is_empty() && done.watermark() == 0);
        for (index, watermark) in [(1, 0), (0, 2), (5, 2), (3, 2), (2, 4), (4, 6)] {
            assert!(done.insert(index));
            assert_eq!(done.watermark(), watermark, "after {index}");
        }
        assert_eq!(done.runs().collect::<Vec<_>>(), [(0, 6)]);
        assert!(!done.insert(3) && !done.insert_run(5, 9) && !done.insert_run(7, 7));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_set_holds(indexes in vec(0_u64..60, 0..80)) {
            let (mut done, mut plain) = (DoneSet::default(), BTreeSet::new());
            for index in indexes {
                prop_assert_eq!(done.insert(index), plain.insert(index));
                prop_assert_eq!(done.len(), plain.len() as u64);
                let runs: Vec<_> = done.runs().collect();
                prop_assert!(runs.windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
            for index in 0..61 {
                prop_assert_eq!(done.contains(index), plain.contains(&index));
            }
        }
    }
}
