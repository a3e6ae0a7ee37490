//! `fs.directory` entries as directories that binaries are read from.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use crate::registry::{Diagnostics, EntryId, Registry, Spec};

/// The directories of an application by entry.
pub struct Volumes(HashMap<EntryId, Volume>);

/// One directory.
pub struct Volume(PathBuf);

impl Volumes {
    /// The directories that the registry declares.
    #[must_use]
    pub fn open(registry: &Registry) -> (Self, Diagnostics) {
        let volumes = registry.iter().filter_map(|entry| match entry.spec() {
            Spec::FsDirectory(directory) => Some((entry.id().clone(), Volume(directory.path().to_owned()))),
            _ => None,
        });
        (Self(volumes.collect()), Diagnostics::default())
    }

    /// The directory of this entry.
    #[must_use]
    pub fn get(&self, id: &EntryId) -> Option<&Volume> {
        self.0.get(id)
    }
}

impl Volume {
    /// The content of a file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.0.join(path.trim_start_matches('/')))
    }
}
