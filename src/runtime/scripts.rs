//! The Lua entries of an application, in a build with Lua and in one without.

use std::sync::Arc;

use crate::env::Environment;
use crate::function::{Function, Functions};
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
    pub(super) fn new(
        streams: &Arc<ProgramStreams>,
        volumes: &Volumes,
        environment: &Environment,
        functions: &Functions,
    ) -> Self {
        Self(crate::lua::Engine::new(crate::lua::World {
            terminal: Arc::new(super::console::Console(Arc::clone(streams))),
            volumes: volumes.clone(),
            environment: environment.clone(),
            functions: functions.downgrade(),
        }))
    }

    /// Adds the programs and functions of Lua entries, and tells their problems.
    pub(super) fn load(
        &self,
        registry: &Registry,
        programs: &mut Programs,
        functions: &mut Vec<Function>,
    ) -> Diagnostics {
        let scripts = self.0.load(registry);
        programs.extend(scripts.programs);
        functions.extend(scripts.functions);
        scripts.diagnostics
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
    pub(super) fn new(_: &Arc<ProgramStreams>, _: &Volumes, _: &Environment, _: &Functions) -> Self {
        Self
    }

    /// Tells of everything that can't run.
    pub(super) fn load(&self, registry: &Registry, _: &mut Programs, _: &mut Vec<Function>) -> Diagnostics {
        use crate::registry::Severity;
        let mut problems = Diagnostics::default();
        let scripts = ["process.lua", "function.lua"].into_iter().flat_map(|kind| registry.of_kind(kind));
        problems.extend(scripts.map(|entry| {
            entry
                .problem(Severity::Error, "not-served", &["kind"], "this build of wippy has no Lua")
                .help("build it with the feature `lua`, which is on by default")
        }));
        problems
    }

    pub(super) fn on_tick(&self, _: &Ticker) {}
}
