//! `ctx`: the values that a process has from those who started it.

use mlua::Table;

use crate::lua::call::Reply;
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::value;
use crate::lua::vm::Builder;

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    fields.raw_set(
        "get",
        builder.function("get", |lua, own, args| {
            let key = args.text()?;
            match own.peers.context().get(&key) {
                Some(payload) => {
                    let value = value::to_lua(lua, payload)?;
                    Reply::values(lua, value)
                }
                None => Err(ErrorObject::new(Kind::NotFound, format!("no value for key: {key}")).into()),
            }
        })?,
    )?;
    fields.raw_set(
        "all",
        builder.function("all", |lua, own, _| {
            let all = lua.create_table()?;
            for (key, payload) in own.peers.context().iter() {
                all.raw_set(key, value::to_lua(lua, payload)?)?;
            }
            Reply::values(lua, all)
        })?,
    )?;
    Ok(fields)
}
