//! The Lua parts of this room, compiled once for all VMs.

use std::collections::HashMap;
use std::sync::Arc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua};
use parking_lot::Mutex;

/// How the names of these chunks begin. No script has such a name.
const PREFIX: &str = "=[wippy ";

/// The chunk that runs first in every VM.
pub(super) const CORE: (&str, &str) = ("core", include_str!("prelude/core.lua"));

/// What the prelude has in place of Lua's own libraries, by the names of their tables. A chunk whose name begins with `!` may be
/// stopped anywhere; in all others no other coroutine of the process runs between two instructions.
pub(super) const LIBRARIES: [(&str, &str, &str); 3] = [
    ("table", "!table", include_str!("prelude/table.lua")),
    ("string", "!string", include_str!("prelude/string.lua")),
    ("os", "!os", include_str!("prelude/os.lua")),
];

/// Bytecode by the name of the chunk.
#[derive(Default)]
pub(super) struct Chunks(Mutex<HashMap<&'static str, Arc<[u8]>>>);

impl Chunks {
    /// A function that runs this chunk.
    pub(super) fn load(&self, lua: &Lua, name: &'static str, source: &'static str) -> mlua::Result<Function> {
        let known = self.0.lock().get(name).cloned();
        if let Some(code) = known {
            return lua
                .load(&code[..])
                .set_name(format!("{PREFIX}{name}]"))
                .set_mode(ChunkMode::Binary)
                .into_function();
        }
        let function = lua.load(source).set_name(format!("{PREFIX}{name}]")).into_function()?;
        self.0.lock().insert(name, function.dump(false).into());
        Ok(function)
    }

    /// Whether this is the name of a chunk of the runtime.
    pub(super) fn is_ours(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// Whether a function of this chunk must not be seen half done by another coroutine.
    pub(super) fn is_critical(name: &str) -> bool {
        name.strip_prefix(PREFIX).is_some_and(|name| !name.starts_with('!'))
    }
}
