//! What the application's files declared: typed entries with positions, or every problem with its place.
//!
//! **Purpose.** Read an application folder (lock file, sources, modules, configuration), normalise it, type every field
//! of every kind, check it as a whole, and say everything that is wrong in one run.
//!
//! **Must not know** anything else of this crate: no threads, no wasmtime, no reactor, no terminal. It holds values.
//! Whether a binary has the declared hash, whether a method is exported, whether an import exists: other rooms find that
//! out and report it with [`Entry::problem`], at the place of the field.
//!
//! **Entry function.** [`load()`]: [`LoadOptions`] in, [`Loaded`] out; [`load_with()`] takes entries that are made in code, too.
//!
//! **Way of a field.** file -> `document` (values and marks) -> `files` (entries of a file) -> `normalize` (override,
//! disable, link, override) -> `spec` (typed through `fields`) -> `check` (references, commands) -> [`Registry`].
//!
//! **Invariants**
//! - No content of any file panics, hangs, or expands without bound; each bound is a named constant.
//! - Every problem is reported, not the first; nothing runs from a registry whose load had an error.
//! - Every value leads to its place, whatever the style in which it was written.
//! - Nothing is ignored silently but files that are none of ours: no `namespace`, no registry file.

mod catalog;
mod check;
mod config;
mod declare;
mod diagnostic;
mod discover;
mod document;
mod entry;
mod fields;
mod files;
mod hash;
mod id;
mod includes;
mod kinds;
mod load;
mod lock;
mod normalize;
mod order;
mod pattern;
mod pipeline;
mod position;
pub mod render;
mod settings;
mod source;
mod spec;
mod startup;
mod units;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use catalog::Registry;
pub use config::RuntimeConfig;
pub use declare::{Declaration, DirectoryEntry, HostEntry, ServiceEntry, VariableEntry, WasmEntry};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use entry::{Command, Entry, ModuleRef};
pub use hash::{Hash, ParseHashError};
pub use id::{EntryId, ParseIdError};
pub use load::{LoadOptions, Loaded, load, load_with};
pub use order::DependencyCycle;
pub use pattern::IdPattern;
pub use position::Position;
pub(crate) use position::Span;
pub use spec::*;
pub(crate) use spec::{MAX_DROP_OLDEST, MAX_TOPIC};
pub use startup::{PlannedService, StartPlan};
#[cfg(any(feature = "cli", feature = "lua"))]
pub(crate) use units::parse_duration;

/// A value as it was read: texts, numbers, lists, mappings.
pub use serde_json::Value;
