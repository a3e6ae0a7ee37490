//! Host interfaces of Wippy itself, beside WASI: what a component may ask of the runtime that runs it.
//!
//! Linked per entry, like every interface: only when the entry lists its profile. Names and types follow Wippy's own
//! declarations (wippy-spec 3.3); those that Wippy does not have are defined beside them, in `wit`.

mod funcs;
mod process;

use wasmtime::component::Linker;

use super::state::State;
use crate::wasi::{Profile, ProfileSet};

pub(super) use process::Own;

/// Links what `listed` enables. Returns the interfaces, with their versions, for the stubs to complete and not to hide.
pub(super) fn add_to_linker(linker: &mut Linker<State>, listed: ProfileSet) -> wasmtime::Result<Vec<&'static str>> {
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
pub(super) fn add_to_core_linker(linker: &mut wasmtime::Linker<State>, listed: ProfileSet) -> wasmtime::Result<()> {
    if listed.contains(Profile::Process) {
        process::add_to_core_linker(linker)?;
    }
    Ok(())
}
