//! Host interfaces beside WASI: what a guest may ask of the runtime that runs it, and of who embeds that.
//!
//! Linked per entry, like every interface: only when the entry lists its profile. Names and types follow Wippy's own
//! declarations (wippy-spec 3.3); those that Wippy does not have are defined beside them, in `wit`.

mod embedder;
mod funcs;
mod process;

use wasmtime::Module;
use wasmtime::component::{Component, Linker};

use super::state::State;
use crate::wasi::{Profile, ProfileSet};

pub(crate) use embedder::HostFunctions;
pub use embedder::{HostContext, HostError, HostFunctionError};
pub(super) use embedder::{ListedHosts, Provided};
pub(super) use process::Own;

/// What an entry lists under `imports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Listed {
    pub(super) profiles: ProfileSet,
    /// Interfaces of the embedder.
    pub(super) hosts: ListedHosts,
}

/// Links what `listed` enables. Returns the interfaces, with their versions, for the stubs to complete and not to hide.
pub(super) fn add_to_linker(
    linker: &mut Linker<State>,
    component: &Component,
    functions: &HostFunctions,
    Listed { profiles: listed, hosts }: &Listed,
) -> wasmtime::Result<Vec<&'static str>> {
    embedder::add_to_linker(linker, component, functions, hosts)?;
    let mut linked = Vec::new();
    if listed.contains(Profile::Funcs) {
        funcs::add_to_linker(linker)?;
        linked.push(funcs::INTERFACE);
    }
    if listed.contains(Profile::Process) {
        process::add_to_linker(linker)?;
        linked.extend(process::INTERFACES);
    }
    Ok(linked)
}

/// [`add_to_linker`] for core modules.
pub(super) fn add_to_core_linker(
    linker: &mut wasmtime::Linker<State>,
    module: &Module,
    functions: &HostFunctions,
    Listed { profiles: listed, hosts }: &Listed,
) -> wasmtime::Result<()> {
    embedder::add_to_core_linker(linker, module, functions, hosts)?;
    if listed.contains(Profile::Process) {
        process::add_to_core_linker(linker)?;
    }
    Ok(())
}
