//! The function calls that a process is in.

use std::fmt;
use std::sync::Arc;

use crate::registry::EntryId;

/// The calls that led to a process which answers one: its own, the one of the process that made that call, and so on. Empty
/// for a process that answers nobody. Children that a process starts are in no call: it does not wait for them.
#[derive(Clone, Default)]
pub struct CallChain(Option<Arc<Link>>);

struct Link {
    call: u64,
    entry: EntryId,
    depth: usize,
    before: CallChain,
}

impl CallChain {
    /// This chain and one more call, by its number, of the function of this entry.
    pub(crate) fn then(&self, call: u64, entry: EntryId) -> Self {
        Self(Some(Arc::new(Link { call, entry, depth: self.depth() + 1, before: self.clone() })))
    }

    /// The number of the last call.
    pub(crate) fn last(&self) -> Option<u64> {
        self.0.as_ref().map(|link| link.call)
    }

    /// How many calls it has.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.as_ref().map_or(0, |link| link.depth)
    }

    /// The functions that are called, the last one first.
    pub fn entries(&self) -> impl Iterator<Item = &EntryId> {
        std::iter::successors(self.0.as_ref(), |link| link.before.0.as_ref()).map(|link| &link.entry)
    }
}

impl fmt::Debug for CallChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}
