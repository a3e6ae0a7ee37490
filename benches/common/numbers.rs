//! What guests are given, and what they have to answer.

/// What the items of a run are given.
#[derive(Clone, Copy)]
pub(crate) enum Numbers {
    /// Each its own number, to which a guest adds so much.
    Own { added: i64 },
    /// All the same, with the same answer.
    Same { argument: i64, answer: i64 },
}

impl Numbers {
    /// What this item is given.
    pub(crate) fn argument(self, item: u64) -> i64 {
        match self {
            Numbers::Own { .. } => item as i64,
            Numbers::Same { argument, .. } => argument,
        }
    }

    /// Every item has to have the right answer.
    pub(crate) fn check(self, item: u64, found: i64) {
        let expected = match self {
            Numbers::Own { added } => item as i64 + added,
            Numbers::Same { answer, .. } => answer,
        };
        assert_eq!(found, expected, "the answer of item {item}");
    }
}
