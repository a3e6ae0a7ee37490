//! Which functions of the runtime a script calls, told to the log: `WIPPY_LOG=calls=trace`. Each is told once for a process: what
//! it uses is worth knowing, and a line for each call would drown everything else.
//!
//! Whether they are is asked once for each VM, when it is made: one that tells nothing has no hook for it.

use std::sync::Arc;

use mlua::debug::{Debug, DebugEvent};
use mlua::{Function, Lua, Table, Value};

use super::chunks::Chunks;
use super::own::Own;

/// The functions of modules, with their names.
const NAMES: &str = "calls";
/// The names that were told.
const TOLD: &str = "calls told";

/// Whether anybody wants to know.
pub(super) fn are_told() -> bool {
    tracing::enabled!(target: "calls", tracing::Level::TRACE)
}

/// Gives the prelude `named`, by which it says what the functions of a module are called.
pub(super) fn install(lua: &Lua, host: &Table) -> mlua::Result<()> {
    lua.set_named_registry_value(NAMES, lua.create_table()?)?;
    lua.set_named_registry_value(TOLD, lua.create_table()?)?;
    host.raw_set("named", lua.create_function(|lua, (way, fields): (String, Table)| name(lua, &way, &fields))?)
}

fn name(lua: &Lua, way: &str, fields: &Table) -> mlua::Result<()> {
    let names: Table = lua.named_registry_value(NAMES)?;
    fields.for_each(|key: Value, value: Value| {
        let way = format!("{way}.{}", super::value::text_of(&key));
        match value {
            Value::Function(function) => names.raw_set(function, way),
            Value::Table(fields) => name(lua, &way, &fields),
            _ => Ok(()),
        }
    })
}

/// What the hook does at a call: one of a function of a module, or of a method of an object of the runtime, is told when it is a
/// script that calls.
pub(super) fn tell(lua: &Lua, own: &Arc<Own>, debug: &Debug<'_>) -> mlua::Result<()> {
    let Some(called) = called(lua, &debug.function(), debug)? else { return Ok(()) };
    let is_ours = |caller: &Debug<'_>| caller.source().source.is_some_and(|name| Chunks::is_ours(&name));
    // Of a tail call it is not known any more who made it.
    if debug.event() == DebugEvent::Call && lua.inspect_stack(1, is_ours).unwrap_or(false) {
        return Ok(());
    }
    let told: Table = lua.named_registry_value(TOLD)?;
    if told.raw_get::<Option<bool>>(called.as_str())?.is_some() {
        return Ok(());
    }
    told.raw_set(called.as_str(), true)?;
    tracing::trace!(target: "calls", pid = %own.pid(), entry = %own.entry, "{called}");
    Ok(())
}

/// What a function is called by scripts; none when it is none of the runtime.
fn called(lua: &Lua, function: &Function, debug: &Debug<'_>) -> mlua::Result<Option<String>> {
    let names: Table = lua.named_registry_value(NAMES)?;
    if let Some(name) = names.raw_get::<Option<String>>(function)? {
        return Ok(Some(name));
    }
    let (names, source) = (debug.names(), debug.source());
    let is_of_runtime = source.what == "C" || source.source.is_some_and(|name| Chunks::is_ours(&name));
    Ok(names.name.filter(|_| names.name_what == Some("method") && is_of_runtime).map(|name| format!(":{name}")))
}
