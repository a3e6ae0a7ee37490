//! What a process leaves to the next one of the same program: an instance of a guest, warm and with all that it holds.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ground::Admission;
use crate::limits::Usage;

/// An instance of a guest between two processes, as the language of the program knows it.
pub type Instance = Box<dyn Any + Send>;

/// A place for one instance: a process of a program takes out what is in it, and leaves its own in it when it ends with a
/// value. Whatever else ends it ends the instance, too. Dropping the place drops what is in it.
///
/// What is kept counts as a process of its host, and what it holds is charged to the next one.
#[derive(Clone, Default)]
pub(crate) struct Keep(Arc<Mutex<Option<Kept>>>);

/// An instance and what it takes up.
pub(super) struct Kept {
    pub(super) instance: Instance,
    pub(super) usage: Arc<Usage>,
    /// Given back behind the instance.
    pub(super) admission: Admission,
}

impl Keep {
    pub(super) fn take(&self) -> Option<Kept> {
        self.0.lock().take()
    }

    pub(super) fn put(&self, kept: Kept) {
        let before = self.0.lock().replace(kept);
        // Outside of the lock; one process at a time has this place, so there is none.
        drop(before);
    }

    /// Whether there is an instance in it.
    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().is_some()
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keep").field(&self.is_full()).finish()
    }
}
