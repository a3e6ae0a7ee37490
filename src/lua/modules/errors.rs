//! `errors`: errors with a kind, made and looked at by scripts.

use mlua::{Lua, Table, Value};

use crate::lua::call::{Args, Refusal, Reply};
use crate::lua::error::{self, ErrorObject, Frame, Kind, Stack};
use crate::lua::value;
use crate::lua::vm::Builder;

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let lua = builder.lua;
    let fields = lua.create_table()?;
    for (name, kind) in Kind::ALL {
        fields.raw_set(name, kind.name())?;
    }
    fields.raw_set(
        "new",
        builder.function("new", |lua, _, args| {
            let mut error = described(args)?;
            error.stack = Stack::now(lua);
            Reply::values(lua, error::to_lua(lua, error)?)
        })?,
    )?;
    fields.raw_set(
        "wrap",
        builder.function("wrap", |lua, _, args| {
            let cause = args.next();
            let text = args.text()?;
            let mut error = object_of(&cause);
            error.message = format!("{text}: {}", error.message);
            error.stack = Stack::now(lua);
            Reply::values(lua, error::to_lua(lua, error)?)
        })?,
    )?;
    fields.raw_set(
        "is",
        builder.function("is", |lua, _, args| {
            let error = args.next();
            let kind = args.text()?;
            let is_it = match &error {
                Value::UserData(object) => object.borrow::<ErrorObject>().is_ok_and(|error| error.kind.name() == kind),
                _ => false,
            };
            Reply::values(lua, is_it)
        })?,
    )?;
    fields.raw_set(
        "call_stack",
        builder.function("call_stack", |lua, _, args| match args.next() {
            Value::UserData(object) => match object.borrow::<ErrorObject>() {
                Ok(error) => Reply::values(lua, table_of(lua, &error.stack)?),
                Err(_) => Reply::none(),
            },
            _ => Reply::none(),
        })?,
    )?;
    Ok(fields)
}

/// `{ thread =, frames = { { source =, line =, name = }, … } }`.
fn table_of(lua: &Lua, stack: &Stack) -> mlua::Result<Table> {
    let frames = stack.frames.iter().map(|Frame { source, line, name }| {
        let frame = lua.create_table_with_capacity(0, 3)?;
        frame.raw_set("source", source.as_str())?;
        frame.raw_set("line", *line)?;
        frame.raw_set("name", name.as_str())?;
        Ok(frame)
    });
    let frames = frames.collect::<mlua::Result<Vec<_>>>()?;
    let table = lua.create_table()?;
    table.raw_set("thread", stack.thread.as_str())?;
    table.raw_set("frames", frames)?;
    Ok(table)
}

/// An error from a text or from a table of its parts.
fn described(args: &mut Args) -> Result<ErrorObject, Refusal> {
    let value = args.next();
    let Value::Table(parts) = value else {
        return match value {
            Value::String(text) => Ok(ErrorObject::new(Kind::Unknown, text.to_string_lossy())),
            _ => Err(args.bad("a text or a table with `message` expected")),
        };
    };
    let Some(message) = parts.raw_get::<Option<String>>("message")? else {
        return Err(args.bad("the table has no `message`"));
    };
    let kind = match parts.raw_get::<Option<String>>("kind")? {
        None => Kind::Unknown,
        Some(name) => Kind::of(&name).ok_or_else(|| args.bad(format_args!("`{name}` is no kind of error")))?,
    };
    let details = value::to_payload(&parts.raw_get("details")?)
        .map_err(|problem| args.bad(format_args!("`details`: {problem}")))?;
    Ok(ErrorObject { kind, message, retryable: parts.raw_get("retryable")?, details, ..ErrorObject::default() })
}

/// What is known of anything that was raised or returned as an error.
fn object_of(value: &Value) -> ErrorObject {
    if let Value::UserData(object) = value
        && let Ok(error) = object.borrow::<ErrorObject>()
    {
        return error.clone();
    }
    ErrorObject::new(Kind::Unknown, error::text_of(value))
}
