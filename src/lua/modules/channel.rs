//! `channel`: queues between the coroutines of a process. All of it is Lua, so what waits in them counts as the script's
//! memory and is collected like everything else.

use mlua::Table;

use crate::lua::vm::Builder;

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    builder.run::<()>("channel", include_str!("channel.lua"), (builder.core, &fields))?;
    Ok(fields)
}
