//! Payloads as Lua values and back.
//!
//! Whole numbers are exact on both ways. A table is a list when its keys are positions from 1 on, of which those that hold
//! nothing are nil up to the last one that does, and a map when all of its keys are texts; an empty one is a list. What
//! can't be said in a payload, a function or a cycle, is an error that names its place, never left out.

use std::fmt::{self, Write as _};

use indexmap::IndexMap;
use mlua::{AnyUserData, Lua, Table, Value};

use super::error::ErrorObject;
use super::modules::{Moment, PayloadObject, Span, text_of_time};
use crate::process::{MAILBOX_BYTES, Payload};

/// How many values a table may hold that becomes a payload: nothing preempts a conversion.
pub(super) const NODES_MAX: usize = 1 << 19;

/// How many bytes a payload from a script may take: what fits a mailbox.
pub(super) const BYTES_MAX: usize = MAILBOX_BYTES;

/// Why a value does not fit the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(.path))]
pub(super) struct ValueError {
    /// The steps from the outermost value to the one that does not fit, innermost first.
    path: Vec<String>,
    message: String,
}

fn place(path: &[String]) -> String {
    if path.is_empty() {
        return String::new();
    }
    let steps: String = path.iter().rev().map(String::as_str).collect();
    format!("at `{}`: ", steps.trim_start_matches('.'))
}

impl ValueError {
    fn new(message: impl fmt::Display) -> Self {
        Self { path: Vec::new(), message: message.to_string() }
    }

    fn within(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }
}

impl From<mlua::Error> for ValueError {
    fn from(error: mlua::Error) -> Self {
        Self::new(error)
    }
}

impl From<ValueError> for ErrorObject {
    fn from(error: ValueError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// What is left of the bounds of one conversion.
struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), ValueError> {
        let nodes = self.nodes.checked_sub(1);
        let bytes = self.bytes.checked_sub(bytes + size_of::<Payload>());
        match (nodes, bytes) {
            (Some(nodes), Some(bytes)) => {
                (self.nodes, self.bytes) = (nodes, bytes);
                Ok(())
            }
            (None, _) => Err(ValueError::new(format_args!("a value of more than {NODES_MAX} parts"))),
            (_, None) => Err(ValueError::new(format_args!("a value of more than {} MiB", BYTES_MAX >> 20))),
        }
    }
}

/// The payload that a Lua value is.
pub(super) fn to_payload(value: &Value) -> Result<Payload, ValueError> {
    convert(value, Payload::MAX_DEPTH, &mut Budget { nodes: NODES_MAX, bytes: BYTES_MAX })
}

fn convert(value: &Value, depth: usize, budget: &mut Budget) -> Result<Payload, ValueError> {
    budget.take(0)?;
    Ok(match value {
        Value::Nil => Payload::Nil,
        Value::Boolean(truth) => Payload::Bool(*truth),
        Value::Integer(number) => Payload::Int(*number),
        Value::Number(number) => Payload::Float(*number),
        Value::String(text) => {
            let bytes = text.as_bytes();
            budget.take(bytes.len())?;
            match std::str::from_utf8(&bytes) {
                Ok(text) => Payload::from(text),
                Err(_) => Payload::from(&*bytes),
            }
        }
        Value::Table(table) => match depth.checked_sub(1) {
            Some(depth) => table_to_payload(table, depth, budget)?,
            None => {
                return Err(ValueError::new(format_args!(
                    "tables nest deeper than {}, or one contains itself",
                    Payload::MAX_DEPTH
                )));
            }
        },
        Value::UserData(object) => {
            object_to_payload(object).ok_or_else(|| ValueError::new("an object of the runtime can't be passed on"))?
        }
        other => return Err(ValueError::new(format_args!("a {} can't be passed on", other.type_name()))),
    })
}

/// Of a time its seconds since 1970 are passed on, of a duration its nanoseconds, of a payload what it holds.
fn object_to_payload(object: &AnyUserData) -> Option<Payload> {
    if let Ok(error) = object.borrow::<ErrorObject>() {
        return Some(error_to_payload(&error));
    }
    if let Ok(payload) = object.borrow::<PayloadObject>() {
        return payload.value().ok();
    }
    if let Ok(time) = object.borrow::<Moment>() {
        return Some(time.unix().into());
    }
    object.borrow::<Span>().ok().map(|span| span.nanoseconds().into())
}

/// What is left of an error beyond its process.
pub(super) fn error_to_payload(error: &ErrorObject) -> Payload {
    let mut fields = IndexMap::from([
        ("kind".to_owned(), Payload::from(error.kind.name())),
        ("message".to_owned(), Payload::from(error.message.as_str())),
    ]);
    if let Some(retryable) = error.retryable {
        fields.insert("retryable".to_owned(), retryable.into());
    }
    if !error.details.is_nil() {
        fields.insert("details".to_owned(), error.details.clone());
    }
    Payload::Map(fields)
}

fn table_to_payload(table: &Table, depth: usize, budget: &mut Budget) -> Result<Payload, ValueError> {
    // Items are read in their order below; before that it only counts which positions there are.
    let mut length = 0;
    let mut fields = IndexMap::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        match key {
            Value::Integer(at @ 1..) if fields.is_empty() => length = at.max(length),
            Value::String(name) if length == 0 => {
                let Ok(name) = name.to_str().map(|name| name.to_owned()) else {
                    return Err(ValueError::new("a key of a table is no UTF-8"));
                };
                budget.take(name.len())?;
                let value = convert(&value, depth, budget).map_err(|error| error.within(format!(".{name}")))?;
                fields.insert(name, value);
            }
            Value::Integer(_) | Value::String(_) if length > 0 || !fields.is_empty() => {
                return Err(ValueError::new("a table with both positions and names can't be passed on"));
            }
            Value::Integer(at) => {
                return Err(ValueError::new(format_args!(
                    "a table with the position {at} can't be passed on; the first is 1"
                )));
            }
            other => {
                let kind = other.type_name();
                return Err(ValueError::new(format_args!("a table with a {kind} as key can't be passed on")));
            }
        }
    }
    if !fields.is_empty() {
        return Ok(Payload::Map(fields));
    }
    // Nils count as well: a table with one value at a position far off is no short way to a large list.
    if length > budget.nodes as i64 {
        return Err(ValueError::new(format_args!(
            "a table with the position {length} can't be passed on: it stands for a list of more than {NODES_MAX} parts"
        )));
    }
    let item = |at: i64| {
        let value: Value = table.raw_get(at)?;
        convert(&value, depth, budget).map_err(|error| error.within(format!("[{at}]")))
    };
    Ok(Payload::List((1..=length).map(item).collect::<Result<_, _>>()?))
}

/// The Lua value of a payload.
pub(super) fn to_lua(lua: &Lua, payload: &Payload) -> Result<Value, ValueError> {
    Ok(match payload {
        Payload::Nil => Value::Nil,
        Payload::Bool(truth) => Value::Boolean(*truth),
        Payload::Int(number) => Value::Integer(*number),
        Payload::UInt(number) => {
            return Err(ValueError::new(format_args!(
                "{number} is beyond the whole numbers of Lua, which end at 2^63-1"
            )));
        }
        Payload::Float(number) => Value::Number(*number),
        Payload::String(text) => Value::String(lua.create_string(text)?),
        Payload::Bytes(bytes) => Value::String(lua.create_string(bytes)?),
        Payload::List(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                let value = to_lua(lua, item).map_err(|error| error.within(format!("[{}]", at + 1)))?;
                table.raw_set(at + 1, value)?;
            }
            Value::Table(table)
        }
        Payload::Map(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (name, value) in fields {
                let value = to_lua(lua, value).map_err(|error| error.within(format!(".{name}")))?;
                table.raw_set(name.as_str(), value)?;
            }
            Value::Table(table)
        }
    })
}

/// Whether a payload can be a Lua value at all.
pub(super) fn check(payload: &Payload) -> Result<(), ValueError> {
    match payload {
        Payload::UInt(number) => {
            Err(ValueError::new(format_args!("{number} is beyond the whole numbers of Lua, which end at 2^63-1")))
        }
        Payload::List(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| check(item).map_err(|error| error.within(format!("[{}]", at + 1)))),
        Payload::Map(fields) => {
            fields.iter().try_for_each(|(name, value)| check(value).map_err(|error| error.within(format!(".{name}"))))
        }
        _ => Ok(()),
    }
}

/// A value as `tostring` says it where no metamethod does.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number_text(*number),
        Value::String(text) => text.to_string_lossy(),
        Value::UserData(object) => match object.borrow::<ErrorObject>() {
            Ok(error) => error.message.clone(),
            Err(_) => text_of_time(object).unwrap_or_else(|| format!("userdata: {:?}", value.to_pointer())),
        },
        Value::Error(error) => error.to_string(),
        Value::Table(table) => {
            let name = table.metatable().and_then(|meta| meta.raw_get::<Option<String>>("__name").ok().flatten());
            format!("{}: {:?}", name.as_deref().unwrap_or("table"), value.to_pointer())
        }
        other => format!("{}: {:?}", other.type_name(), other.to_pointer()),
    }
}

/// A float, never like a whole number.
fn number_text(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan".into() } else { "nan".into() };
    }
    let mut text = String::new();
    let _ = write!(text, "{number}");
    if !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lua() -> Lua {
        Lua::new()
    }

    fn payload(source: &str) -> Result<Payload, ValueError> {
        let lua = lua();
        to_payload(&lua.load(source).eval::<Value>().unwrap())
    }

    #[test]
    fn whole_numbers_are_exact() {
        let lua = lua();
        for number in [0, -1, i64::MAX, i64::MIN, (1 << 53) + 1] {
            let value = to_lua(&lua, &Payload::Int(number)).unwrap();
            assert_eq!(to_payload(&value), Ok(Payload::Int(number)));
        }
        let error = to_lua(&lua, &Payload::from(vec![Payload::from(u64::MAX)])).unwrap_err();
        let expected = "at `[1]`: 18446744073709551615 is beyond the whole numbers of Lua, which end at 2^63-1";
        assert_eq!(error.to_string(), expected);
        assert_eq!(check(&Payload::from(vec![Payload::from(u64::MAX)])), Err(error));
    }

    #[test]
    fn tables_are_lists_or_maps() {
        assert_eq!(payload("return {}").unwrap().to_string(), "[]");
        assert_eq!(payload("return {1, 'a', {b = 2.5}}").unwrap().to_string(), r#"[1,"a",{"b":2.5}]"#);
        assert_eq!(payload("return {nil, 2, nil, nil, 5, nil}").unwrap().to_string(), "[null,2,null,null,5]");
        assert_eq!(payload("return {[3] = true}").unwrap().to_string(), "[null,null,true]");
        assert_eq!(payload(r#"return "\xff""#), Ok(Payload::from(vec![0xff_u8])));
        for (source, expected) in [
            ("return {1, nil, 3, x = 1}", "a table with both positions and names can't be passed on"),
            ("return {a = {[0] = 1}}", "at `a`: a table with the position 0 can't be passed on; the first is 1"),
            ("return {[1 << 40] = 1}", "a table with the position 1099511627776 can't be passed on"),
            ("return {a = {print}}", "at `a[1]`: a function can't be passed on"),
            ("return {[true] = 1}", "a table with a boolean as key can't be passed on"),
            ("local t = {} t.t = t return t", "tables nest deeper than 128, or one contains itself"),
        ] {
            let error = payload(source).unwrap_err().to_string();
            assert!(error.contains(expected), "{source}: {error}");
        }
    }

    #[test]
    fn a_conversion_has_bounds() {
        let many = format!("local t = {{}} for i = 1, {} do t[i] = i end return t", NODES_MAX + 1);
        assert!(payload(&many).unwrap_err().to_string().contains("more than 524288 parts"));
        let large = format!("return ('x'):rep({})", BYTES_MAX);
        assert!(payload(&large).unwrap_err().to_string().contains("more than 64 MiB"));
    }

    #[test]
    fn what_comes_back_is_what_went() {
        let lua = lua();
        let payload = Payload::parse_json(r#"{"a": [1, 2.5, "x", true], "b": {"c": [[1]]}}"#).unwrap();
        assert_eq!(to_payload(&to_lua(&lua, &payload).unwrap()), Ok(payload));
    }
}
