//! What can go wrong between two programs.

use std::io;
use std::path::PathBuf;

use super::{ANSWER_BYTES_MAX, REASON_BYTES_MAX, SOCKETS_MAX};

/// Why a runtime can't be reached, or can't be made reachable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The system refused something at this path.
    #[error("`{}`: {cause}", .path.display())]
    Path {
        /// Where.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
    /// The folder of the sockets is a symbolic link or no folder.
    #[error("`{}` is no folder, or a symbolic link to one: remove it", .path.display())]
    NoFolder {
        /// Where.
        path: PathBuf,
    },
    /// The folder of the sockets belongs to somebody else.
    #[error("`{}` belongs to user {owner}, not to user {user}, who runs this program", .path.display())]
    ForeignFolder {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this program.
        user: u32,
    },
    /// Others may look into the folder of the sockets.
    #[error("`{0}` is open to others, its mode is {mode:03o}: `chmod 700 '{0}'`", .path.display())]
    OpenFolder {
        /// Where.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Every name that this program may give to a socket is taken.
    #[error("`{}` has {SOCKETS_MAX} sockets of this program already", .path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// The other end is another user's.
    #[error("the program at the other end belongs to user {user}")]
    ForeignPeer {
        /// Whose it is.
        user: u32,
    },
    /// Nobody is at the other end any more.
    #[error("the runtime has ended")]
    Gone,
    /// The connection failed, or the answer did not come in time.
    #[error("the runtime does not answer: {0}")]
    Connection(#[source] io::Error),
    /// The answer makes no sense: another version, perhaps.
    #[error("the answer of the runtime can't be read: {0}")]
    Answer(String),
    /// The answer is longer than a client reads.
    #[error("the answer of the runtime is longer than {ANSWER_BYTES_MAX} bytes")]
    LongAnswer,
    /// The runtime does not do it.
    #[error("the runtime refuses: {0}")]
    Refused(String),
    /// The reason of a cancel is too long.
    #[error("the reason has {0} bytes; at most {REASON_BYTES_MAX} are taken")]
    LongReason(usize),
    /// No living process has this name.
    #[error("no process `{0}`")]
    UnknownProcess(String),
}

impl ControlError {
    pub(super) fn path(path: impl Into<PathBuf>, cause: impl Into<io::Error>) -> Self {
        Self::Path { path: path.into(), cause: cause.into() }
    }
}
