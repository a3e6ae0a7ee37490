//! `json`: values as texts and back.
//!
//! An empty table is an empty list; a float without a fraction is written without one; what no number of JSON says, NaN
//! and infinities, is `null`. Bytes that are no UTF-8 become replacement characters.

mod schema;

use mlua::{Table, Value};

use crate::lua::call::{Args, Refusal, Reply};
use crate::lua::error::{ErrorObject, Kind};
use crate::lua::value::{self, NODES_MAX};
use crate::lua::vm::Builder;
use crate::process::Payload;

/// The longest text that is decoded, in bytes: nothing preempts that.
const TEXT_MAX: usize = 16 << 20;

/// Whole floats up to here are exact, and written as whole numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let fields = builder.lua.create_table()?;
    fields.raw_set(
        "encode",
        builder.function("encode", |lua, _, args| {
            let value = whole(&args.next())?;
            Reply::values(lua, lua.create_string(text_of(&value))?)
        })?,
    )?;
    fields.raw_set(
        "decode",
        builder.function("decode", |lua, _, args| {
            let value = decoded(&text(args)?)?;
            Reply::values(lua, value::to_lua(lua, &value)?)
        })?,
    )?;
    fields.raw_set(
        "validate",
        builder.function("validate", |lua, _, args| {
            let schema = schema_of(&args.next())?;
            let value = whole(&args.next())?;
            schema::validate(&schema, &to_json(&value)).map_err(ErrorObject::invalid)?;
            Reply::values(lua, true)
        })?,
    )?;
    fields.raw_set(
        "validate_string",
        builder.function("validate_string", |lua, _, args| {
            let schema = schema_of(&args.next())?;
            let value = decoded(&text(args)?)?;
            schema::validate(&schema, &to_json(&value)).map_err(ErrorObject::invalid)?;
            Reply::values(lua, true)
        })?,
    )?;
    Ok(fields)
}

/// A schema from a table or from a JSON text.
fn schema_of(value: &Value) -> Result<serde_json::Value, Refusal> {
    let schema = match value {
        Value::String(text) => decoded(&text.to_string_lossy()).map_err(|error| ErrorObject::invalid(error.message))?,
        value => value::to_payload(value)?,
    };
    Ok(schema::prepare(&to_json(&schema)).map_err(|problem| ErrorObject::invalid(format!("the schema: {problem}")))?)
}

/// The text to decode. One that is none is a mistake that scripts handle, as Wippy has it.
fn text(args: &mut Args) -> Result<String, Refusal> {
    match args.next() {
        Value::String(text) if text.as_bytes().is_empty() => {
            Err(ErrorObject::invalid("the text to decode is empty").into())
        }
        Value::String(text) => match text.to_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(ErrorObject::new(Kind::Internal, "the text is no UTF-8").into()),
        },
        other => Err(ErrorObject::invalid(format!("a text to decode is expected, not a {}", other.type_name())).into()),
    }
}

/// The payload of a value without gaps in its lists: elsewhere they are nil, here Wippy refuses them.
fn whole(value: &Value) -> Result<Payload, Refusal> {
    fn has_gap(value: &Payload) -> bool {
        match value {
            Payload::List(items) => items.iter().any(|item| item.is_nil() || has_gap(item)),
            Payload::Map(fields) => fields.values().any(has_gap),
            _ => false,
        }
    }
    let unsaid = |problem: String| ErrorObject::new(Kind::Internal, problem);
    let value = value::to_payload(value).map_err(|problem| unsaid(problem.to_string()))?;
    if has_gap(&value) {
        return Err(unsaid("a table has gaps between its positions; fill them, or use texts as keys".to_owned()).into());
    }
    Ok(value)
}

/// The payload that a text says, numbers as Lua has them.
pub(super) fn decoded(text: &str) -> Result<Payload, Box<ErrorObject>> {
    let unread = |kind, why: String| Box::new(ErrorObject::new(kind, why));
    if text.len() > TEXT_MAX {
        return Err(unread(Kind::Invalid, format!("a text of more than {} MiB", TEXT_MAX >> 20)));
    }
    if values_in(text) > NODES_MAX {
        return Err(unread(Kind::Invalid, format!("a text of more than {NODES_MAX} values")));
    }
    let value = Payload::parse_json(text).map_err(|error| unread(Kind::Internal, error.to_string()))?;
    Ok(with_lua_numbers(value))
}

/// At least as many as the text has values, before any of them takes memory.
fn values_in(text: &str) -> usize {
    let mut values = 1;
    let (mut in_text, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    values
}

fn with_lua_numbers(value: Payload) -> Payload {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "what is beyond 63 bits is a float, as in Lua itself")]
        Payload::UInt(number) => Payload::Float(number as f64),
        Payload::List(items) => Payload::List(items.into_iter().map(with_lua_numbers).collect()),
        Payload::Map(fields) => {
            Payload::Map(fields.into_iter().map(|(name, value)| (name, with_lua_numbers(value))).collect())
        }
        other => other,
    }
}

/// The JSON text of a payload; fields by their names.
pub(super) fn text_of(value: &Payload) -> String {
    to_json(value).to_string()
}

/// A payload as JSON has it. It nests no deeper than payloads do.
fn to_json(value: &Payload) -> serde_json::Value {
    use serde_json::Value;
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and exact")]
        Payload::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => Value::from(*number as i64),
        Payload::Float(number) => Value::from(*number),
        Payload::Bytes(bytes) => Value::from(String::from_utf8_lossy(bytes).into_owned()),
        Payload::List(items) => Value::Array(items.iter().map(to_json).collect()),
        Payload::Map(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect())
        }
        other => other.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_before_they_are_made() {
        for text in ["1", "[]", "[1,2]", r#"{"a": [1, {}], "b": 2}"#, r#"["a\",[", "\\"]"#] {
            let value = Payload::parse_json(text).expect(text);
            assert!(values_in(text) >= count(&value), "{text}");
            assert!(values_in(text) <= count(&value) + 2, "{text}");
        }
        let many = format!("[{}0]", "0,".repeat(NODES_MAX));
        assert!(decoded(&many).expect_err("too many").message.contains("more than 524288 values"));
    }

    fn count(value: &Payload) -> usize {
        match value {
            Payload::List(items) => 1 + items.iter().map(count).sum::<usize>(),
            Payload::Map(fields) => 1 + fields.values().map(count).sum::<usize>(),
            _ => 1,
        }
    }
}
