//! `env.*` entries as values that processes are given.

use std::io;

use crate::registry::{Diagnostics, EntryId, Registry};

/// The variables of an application.
pub struct Environment(());

impl Environment {
    /// The variables that the registry declares.
    #[must_use]
    pub fn open(_: &Registry) -> (Self, Diagnostics) {
        (Self(()), Diagnostics::default())
    }

    /// The value of a variable.
    ///
    /// # Errors
    /// Its storage fails.
    pub fn lookup(&self, _: &EntryId) -> io::Result<Option<String>> {
        Ok(None)
    }
}
