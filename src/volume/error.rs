//! Why a volume has no folder, or a file no content.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::FILE_BYTES_MAX;
use crate::registry::EntryId;

/// What was found where a regular file was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A folder.
    Folder,
    /// A FIFO, a socket or a device.
    Other,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Other => "a FIFO, socket or device",
        })
    }
}

/// The name that was probably meant; shown as the end of a message, empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Similar(Option<String>);

impl Similar {
    /// The name.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl From<Option<String>> for Similar {
    fn from(name: Option<String>) -> Self {
        Self(name)
    }
}

impl fmt::Display for Similar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, ", did you mean `{name}`?"))
    }
}

/// Why a volume could not be opened, or a file of it not read. Each names the entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The folder does not exist.
    #[error(
        "the directory `{}` of `{volume}` does not exist, create it or add `auto_init: true`{similar}",
        directory.display()
    )]
    Missing {
        /// The entry.
        volume: EntryId,
        /// The folder as it was written.
        directory: PathBuf,
        /// The folder beside it with nearly that name.
        similar: Similar,
    },
    /// There is something else in its place.
    #[error("`{}` of `{volume}` is not a directory, name the folder that contains the files", directory.display())]
    NotAFolder {
        /// The entry.
        volume: EntryId,
        /// The folder as it was written.
        directory: PathBuf,
    },
    /// `auto_init` could not make it.
    #[error("the directory `{}` of `{volume}` cannot be created", directory.display())]
    Make {
        /// The entry.
        volume: EntryId,
        /// The folder as it was written.
        directory: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refuses to open it.
    #[error("the directory `{}` of `{volume}` cannot be opened", directory.display())]
    Open {
        /// The entry.
        volume: EntryId,
        /// The folder as it was written.
        directory: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The volume's `mode` forbids it.
    #[error("`{path}` in `{volume}` may not be {deed}, the owner has no `{bit}` in its `mode: \"{mode:04o}\"`")]
    Denied {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
        /// What was to be done with it: `read`, `changed` or `entered`.
        deed: &'static str,
        /// The bit that is missing: `r`, `w` or `x`.
        bit: char,
        /// The mode.
        mode: u32,
    },
    /// There is no such file.
    #[error("no file `{path}` in `{volume}`{similar}")]
    NoFile {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
        /// The path that was probably meant.
        similar: Similar,
    },
    /// `..`, or a symbolic link, leads out of the volume.
    #[error("`{path}` leads out of `{volume}`, use a path without `..` and links that stay inside")]
    Outside {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
    },
    /// It is no regular file.
    #[error("`{path}` in `{volume}` is {found}, expected a regular file")]
    NotAFile {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
        /// What it is.
        found: FileKind,
    },
    /// It is larger than [`FILE_BYTES_MAX`].
    #[error("`{path}` in `{volume}` has more than {bytes_max} bytes, the most that is loaded")]
    TooLarge {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
        /// The bound.
        bytes_max: u64,
    },
    /// There is something with this name already.
    #[error("`{path}` in `{volume}` exists already")]
    Exists {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
    },
    /// It is no folder.
    #[error("`{path}` in `{volume}` is not a directory")]
    NotADirectory {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
    },
    /// It is a folder with something in it.
    #[error("`{path}` in `{volume}` is not empty, remove what is in it before")]
    NotEmpty {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
    },
    /// The folder has more names than are listed at once.
    #[error("`{path}` in `{volume}` has more than {names_max} names, the most that are listed")]
    TooMany {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
        /// The bound.
        names_max: usize,
    },
    /// The system refuses to change it.
    #[error("`{path}` in `{volume}` cannot be changed")]
    Change {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refuses to open or read it.
    #[error("`{path}` in `{volume}` cannot be read")]
    Read {
        /// The entry.
        volume: EntryId,
        /// The path inside the volume.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

const _: () = assert!(FILE_BYTES_MAX < u64::MAX, "one byte more than the bound is asked for");
