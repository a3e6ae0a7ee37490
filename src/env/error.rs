//! Why a variable has no answer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{ROUTERS_MAX, VALUE_BYTES_MAX};
use crate::registry::EntryId;

/// What is wrong with a line of a `.env` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// There is no `=`.
    #[error("expected `KEY=value`")]
    NoValue,
    /// What is before the `=` is no name.
    #[error("expected a key without blanks, quotes and `#` before the `=`")]
    BadKey,
    /// A quoted value has no end.
    #[error("expected a closing quote")]
    NoClosingQuote,
    /// There is text behind a quoted value.
    #[error("expected nothing but a comment after the closing quote")]
    AfterQuote,
}

/// Why a variable could not be looked up or changed. Each names the entry to look at.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// No `env.variable` has this ID or name.
    #[error(
        "environment variable `{variable}` not found, declare it as an `env.variable`{}",
        similar.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
    )]
    UnknownVariable {
        /// What was looked for.
        variable: String,
        /// The ID or name that was probably meant.
        similar: Option<String>,
    },
    /// A variable or a router names a storage that does not exist.
    #[error("referenced storage `{storage}` not found, `{variable}` needs it: declare it as an `env.storage`")]
    UnknownStorage {
        /// The missing entry.
        storage: EntryId,
        /// The variable that needs it.
        variable: EntryId,
    },
    /// The variable says `readonly: true`.
    #[error("environment variable `{variable}` is read-only, remove its `readonly: true` to change it")]
    VariableReadOnly {
        /// The variable.
        variable: EntryId,
    },
    /// The storage cannot be changed by its kind.
    #[error(
        "storage `{storage}` is read-only, use an `env.storage.memory` or `env.storage.file` for values that change"
    )]
    StorageReadOnly {
        /// The storage.
        storage: EntryId,
    },
    /// The value cannot be one of a variable.
    #[error(
        "a value of {bytes} bytes does not fit `{variable}`, expected at most {VALUE_BYTES_MAX} without zero bytes"
    )]
    BadValue {
        /// The variable.
        variable: EntryId,
        /// Its length.
        bytes: usize,
    },
    /// The key cannot be written in a `.env` file.
    #[error(
        "`{key}` cannot be a key of the file of storage `{storage}`, give the variable a public name: `variable: NAME`"
    )]
    BadKey {
        /// The storage.
        storage: EntryId,
        /// The key: the variable's ID.
        key: String,
    },
    /// The value in the program's environment is no text.
    #[error("`{key}` in the environment of the program (storage `{storage}`) is not UTF-8, set it to a text")]
    NotUnicode {
        /// The storage.
        storage: EntryId,
        /// The key.
        key: String,
    },
    /// A router leads through more than [`ROUTERS_MAX`] routers.
    #[error("router storage `{storage}` lies behind more than {ROUTERS_MAX} others, remove the circle in `storages`")]
    TooManyRouters {
        /// The router at which it was given up.
        storage: EntryId,
    },
    /// The file of a storage does not exist.
    #[error("the file `{}` of storage `{storage}` does not exist, create it or add `auto_create: true`", path.display())]
    NoFile {
        /// The storage.
        storage: EntryId,
        /// The file.
        path: PathBuf,
    },
    /// The file of a storage is a folder, FIFO or device, or too large.
    #[error(
        "`{}` of storage `{storage}` cannot be used, expected a regular file of at most {bytes_max} bytes",
        path.display()
    )]
    BadFile {
        /// The storage.
        storage: EntryId,
        /// The path.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// The file of a storage cannot be read, or is no text.
    #[error("the file `{}` of storage `{storage}` cannot be read", path.display())]
    Read {
        /// The storage.
        storage: EntryId,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// The file of a storage cannot be written; it is as it was.
    #[error("the file `{}` of storage `{storage}` cannot be written", path.display())]
    Write {
        /// The storage.
        storage: EntryId,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// A line of the file is wrong.
    #[error("{}:{line}: {problem} (storage `{storage}`)", path.display())]
    Syntax {
        /// The storage.
        storage: EntryId,
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: SyntaxError,
    },
}
