//! What a load leaves for the next one: a mark that says that all code of an application is sound.
//!
//! Whether code compiles, has the method that its entry names and can be linked depends on the binary, on what the entry says of
//! it and on this program, and on nothing else. A mark is an empty file, named by a digest of all that. It lies where compiled
//! code does, and as deep: the cache counts it among its files, and removes it with the oldest of them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::binary::Binary;
use super::classes::Classes;
use super::guest::GuestSpec;
use crate::registry::{Entry, Hash};

/// The folder of marks, below that of the cache.
const FOLDER: &str = "modules/wippy-sound";

/// The mark of an application: set or not.
pub(super) struct Mark(PathBuf);

impl Mark {
    /// None where some binary is not the one that was meant, or this program does not know itself.
    pub(super) fn of(
        entries: &[(&Entry, GuestSpec<'_>)],
        binaries: &[Binary],
        classes: &Classes<'_>,
        cache: &Path,
    ) -> Option<Self> {
        let mut text = program()?;
        for ((entry, spec), binary) in entries.iter().zip(binaries) {
            let (hash, size) = match binary {
                Binary::Verified { hash, bytes } => (hash, bytes.len()),
                Binary::Unwanted { hash, size } => (hash, *size),
                Binary::Refused(_) | Binary::NoVolume => return None,
            };
            let classes = classes.needed(size, spec);
            let said = (entry.id(), hash, spec.method, spec.wit, spec.imports, classes);
            // Texts are quoted, so that no two applications are written the same.
            writeln!(text, "{said:?}").ok()?;
        }
        let digest = Hash::from_sha256(Sha256::digest(text).into()).to_string();
        Some(Self(cache.join(FOLDER).join(digest.replace(':', "-"))))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.exists()
    }

    /// Sets it. Without it the next load only does more.
    pub(super) fn set(&self) {
        let folder = self.0.parent().unwrap_or(&self.0);
        if let Err(error) = fs::create_dir_all(folder).and_then(|()| File::create(&self.0)) {
            tracing::debug!(%error, "the next run will look at all code again");
        }
    }
}

/// What tells this program from others, which may find other things wrong.
fn program() -> Option<String> {
    let file = fs::metadata("/proc/self/exe").ok()?;
    Some(format!("{} {} {:?}\n", env!("CARGO_PKG_VERSION"), file.len(), file.modified().ok()?))
}
