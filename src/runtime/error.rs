//! What building and checking lead to.

use std::io;

use crate::registry::{Diagnostics, EntryId, ParseIdError, Registry, render};
use crate::wasm;

/// What [`RuntimeBuilder::check`](super::RuntimeBuilder::check) found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// What was declared; without what could not be read.
    pub registry: Registry,
    /// All problems, by file and line.
    pub diagnostics: Diagnostics,
}

/// Why a runtime could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The application has errors; every one of them is in here, and its warnings.
    #[error("the application has {} error{}:\n{}", .0.errors(), if .0.errors() == 1 { "" } else { "s" }, render::text(.0, false))]
    Configuration(Diagnostics),
    /// The engine can't run on this machine.
    #[error(transparent)]
    Engine(#[from] wasm::EngineError),
    /// Two programs have the same entry ID: of the embedder, or one of them of the application.
    #[error("there are two programs `{entry}`: give the one of `RuntimeBuilder::program` another ID")]
    TwoPrograms {
        /// The ID.
        entry: EntryId,
    },
    /// The ID of a [native program](super::RuntimeBuilder::native) is none.
    #[error("a native program: {0}")]
    InvalidId(#[from] ParseIdError),
    /// A function of [`RuntimeBuilder::host_func`](super::RuntimeBuilder::host_func) can't be one.
    #[error(transparent)]
    HostFunction(#[from] wasm::HostFunctionError),
    /// The operating system refused something that is needed.
    #[error("the runtime could not get what it needs of the operating system")]
    System(#[from] io::Error),
}
