//! What a runtime would find here and make for an application: for somebody who asks before anything runs.

use std::path::PathBuf;

use super::{BuildError, EngineClass, Machine, Purpose, RuntimeBuilder};
use crate::process::{Ceiling, Footprint};
use crate::registry::{Diagnostics, Registry};
use crate::wasm::{self, Allocator};

/// The size of the small binary that a [`Survey`] counts processes for, in bytes.
pub const SMALL_BINARY: usize = 64 << 10;

/// The size of the large one, in bytes: its data is mapped.
pub const LARGE_BINARY: usize = 4 << 20;

/// What [`RuntimeBuilder::survey`] found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Survey {
    /// What this machine has.
    pub machine: Machine,
    /// What bounds the number of processes.
    pub ceiling: Ceiling,
    /// What a process of a binary of [`SMALL_BINARY`] bytes takes, with the limits that hold where nobody says anything.
    pub small: Footprint,
    /// What a process of a binary of [`LARGE_BINARY`] bytes takes.
    pub large: Footprint,
    /// Where compiled code is kept; `None` when it is not.
    pub cache: Option<PathBuf>,
    /// Where the memories and stacks of processes come from here.
    pub allocator: Allocator,
    /// Why that is [`Allocator::OnDemand`] although slabs were asked for.
    pub without_slabs: Option<String>,
    /// The engines of the application.
    pub engines: Vec<EngineClass>,
    /// What was declared; without what could not be read.
    pub registry: Registry,
    /// The problems of the application.
    pub diagnostics: Diagnostics,
}

impl RuntimeBuilder {
    /// Looks at the machine, and reads and compiles the application as [`check`](Self::check) does; starts nothing.
    ///
    /// ```
    /// use wippy::Runtime;
    ///
    /// let survey = Runtime::builder().load("fixtures/apps/mission").survey()?;
    /// if let Some((processes, bound)) = survey.ceiling.processes(&survey.small) {
    ///     println!("{processes} processes: {}", bound.raise);
    /// }
    /// # Ok::<(), wippy::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// Only what has nothing to do with the application; its problems are in the answer.
    ///
    /// # Panics
    /// On a worker: reading and compiling block.
    pub fn survey(self) -> Result<Survey, BuildError> {
        let (loaded, plan) = self.read(Purpose::Check)?;
        let machine = Machine::probe();
        Ok(Survey {
            ceiling: plan.ceiling(machine.bounds.clone()),
            machine,
            small: wasm::usual(SMALL_BINARY, plan.supply),
            large: wasm::usual(LARGE_BINARY, plan.supply),
            cache: loaded.engines.cache_directory().map(Into::into),
            allocator: loaded.engines.supply().allocator,
            without_slabs: loaded.engines.without_slabs().map(Into::into),
            engines: loaded.engines.classes(),
            registry: loaded.registry,
            diagnostics: loaded.diagnostics,
        })
    }
}
