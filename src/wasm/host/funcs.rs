//! `wippy:runtime/funcs`: calls of functions of the registry. Functions are not served yet, so every call answers with an
//! error that says so: a guest that handles errors goes on, and none is ended for asking.

use wasmtime::component::Linker;

use super::super::state::State;
use crate::registry::EntryId;

/// The interface as Wippy declares it.
pub(super) const INTERFACE: &str = "wippy:runtime/funcs@0.1.0";

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap("call-string", |_, (target, _): (String, String)| Ok((call::<String>(&target),)))?;
    interface.func_wrap("call-bytes", |_, (target, _): (String, Vec<u8>)| Ok((call::<Vec<u8>>(&target),)))
}

/// The answer to a call of `target`. A malformed target is told as Wippy does, before anything else.
fn call<T>(target: &str) -> Result<T, String> {
    match target.parse::<EntryId>() {
        Err(_) => Err(format!("invalid function target: {target}")),
        Ok(id) => Err(format!("`{id}` was not called: this version serves no functions; spawn a process instead")),
    }
}
