//! The functions that the prelude has of the host.

use mlua::{AnyUserData, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Thread, Value};

use super::call::{Refusal, Reply, encode, go_on};
use super::own::{self, Order};
use super::value;
use crate::process::Exit;

/// The longest line of the log that a script makes, in bytes; the rest is left out.
pub(super) const LOG_LINE_MAX: usize = 64 << 10;

pub(super) fn install(lua: &Lua, host: &Table) -> mlua::Result<()> {
    host.raw_set("text", lua.create_function(|_, value: Value| Ok(value::text_of(&value)))?)?;
    host.raw_set(
        "metamethod",
        lua.create_function(|_, (object, name): (Value, LuaString)| match object {
            Value::Table(table) => table.metatable().map_or(Ok(Value::Nil), |meta| meta.raw_get(name)),
            _ => Ok(Value::Nil),
        })?,
    )?;
    host.raw_set("concat", lua.create_function(concat)?)?;
    host.raw_set(
        "status",
        lua.create_function(|lua, thread: Value| {
            let own = own::of(lua)?;
            let answer = match &thread {
                Value::Thread(thread) => Reply::values(lua, own.coroutines.lock().status(lua, thread)),
                other => Err(Refusal::raise(format!(
                    "bad argument #1 to 'status' (coroutine expected, got {})",
                    other.type_name()
                ))),
            };
            encode(lua, &own, answer)
        })?,
    )?;
    host.raw_set(
        "is_nested",
        lua.create_function(|lua, ()| Ok(own::of(lua)?.coroutines.lock().is_nested(&lua.current_thread())))?,
    )?;
    host.raw_set(
        "unpark",
        lua.create_function(|lua, thread: Thread| {
            let own = own::of(lua)?;
            own.order(Order::Unpark(thread));
            Ok(())
        })?,
    )?;
    host.raw_set(
        "spawn_coroutine",
        lua.create_function(|lua, (thread, arguments): (Thread, MultiValue)| {
            let own = own::of(lua)?;
            let answer = if own.has_room() {
                own.order(Order::Start(thread, arguments));
                Reply::none()
            } else {
                let allowed = own.allowed();
                Err(Refusal::raise(format!(
                    "a process may have {allowed} coroutines and waits at once: `max_handles` under `limits:` of its entry"
                )))
            };
            encode(lua, &own, answer)
        })?,
    )?;
    host.raw_set(
        "drop_task",
        lua.create_function(|lua, id: i64| {
            let own = own::of(lua)?;
            own.order(Order::Drop(id.unsigned_abs()));
            Ok(())
        })?,
    )?;
    host.raw_set("build", lua.create_function(|lua, name: String| super::vm::build(lua, &own::of(lua)?, &name))?)?;
    host.raw_set("go_on", lua.create_function(|lua, left: AnyUserData| go_on(lua, &*own::of(lua)?, &left))?)?;
    host.raw_set(
        "trace",
        lua.create_function(|lua, error: Value| {
            let own = own::of(lua)?;
            *own.trace.lock() = lua.traceback(None, 1).ok().map(|trace| trace.to_string_lossy());
            Ok(error)
        })?,
    )?;
    host.raw_set(
        "take",
        lua.create_function(|lua, port: i64| {
            let own = own::of(lua)?;
            match own.ports.take(lua, &own, port)? {
                Some(value) => (true, value).into_lua_multi(lua),
                None => false.into_lua_multi(lua),
            }
        })?,
    )?;
    host.raw_set(
        "watch",
        lua.create_function(|lua, ()| {
            let own = own::of(lua)?;
            own.ports.watch();
            Ok(())
        })?,
    )?;
    host.raw_set(
        "print",
        lua.create_function(|lua, text: LuaString| {
            let own = own::of(lua)?;
            let location = lua
                .inspect_stack(2, |debug| {
                    let source = debug.source().short_src.map(|name| name.into_owned()).unwrap_or_default();
                    format!("{source}:{}", debug.current_line().unwrap_or_default())
                })
                .unwrap_or_default();
            let bytes = text.as_bytes();
            let answer = match own.usage.add_out(bytes.len()) {
                Ok(()) => {
                    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOG_LINE_MAX)]);
                    let (pid, entry) = (own.pid(), &own.entry);
                    tracing::info!(target: "guest", %pid, %entry, location, "{text}");
                    Reply::none()
                }
                Err(limit) => own.end(Exit::LimitExceeded(limit)),
            };
            encode(lua, &own, answer)
        })?,
    )
}

/// The texts of a list with a separator between them.
fn concat(lua: &Lua, (parts, separator): (Table, LuaString)) -> mlua::Result<LuaString> {
    let mut text = Vec::new();
    for (at, part) in parts.sequence_values::<LuaString>().enumerate() {
        if at > 0 {
            text.extend_from_slice(&separator.as_bytes());
        }
        text.extend_from_slice(&part?.as_bytes());
    }
    lua.create_string(text)
}
