//! The Lua entries of an application, in a build with Lua and in one without.

use std::sync::Arc;

use crate::env::Environment;
use crate::registry::{Diagnostics, Registry};
use crate::scheduler::Ticker;
use crate::volume::Volumes;
use crate::wasi::ProgramStreams;
use crate::wasm::Programs;

/// What runs scripts.
#[cfg(feature = "lua")]
pub(super) struct Scripts(crate::lua::Engine);

#[cfg(feature = "lua")]
impl Scripts {
    pub(super) fn new(streams: &Arc<ProgramStreams>, volumes: &Volumes, environment: &Environment) -> Self {
        Self(crate::lua::Engine::new(crate::lua::World {
            terminal: Arc::new(super::console::Console(Arc::clone(streams))),
            volumes: volumes.clone(),
            environment: environment.clone(),
        }))
    }

    /// Adds the programs of Lua entries, and tells their problems.
    pub(super) fn load(&self, registry: &Registry, programs: &mut Programs) -> Diagnostics {
        let (scripts, problems) = self.0.load(registry);
        programs.extend(scripts);
        problems
    }

    pub(super) fn on_tick(&self, ticker: &Ticker) {
        ticker.on_tick(self.0.on_tick());
    }
}

/// Nothing runs scripts.
#[cfg(not(feature = "lua"))]
pub(super) struct Scripts;

#[cfg(not(feature = "lua"))]
impl Scripts {
    pub(super) fn new(_: &Arc<ProgramStreams>, _: &Volumes, _: &Environment) -> Self {
        Self
    }

    /// Tells of every process that can't run.
    pub(super) fn load(&self, registry: &Registry, _: &mut Programs) -> Diagnostics {
        use crate::registry::Severity;
        let mut problems = Diagnostics::default();
        problems.extend(registry.of_kind("process.lua").map(|entry| {
            entry
                .problem(Severity::Error, "not-served", &["kind"], "this build of wippy has no Lua")
                .help("build it with the feature `lua`, which is on by default")
        }));
        problems
    }

    pub(super) fn on_tick(&self, _: &Ticker) {}
}
