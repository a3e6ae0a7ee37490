//! `payload`: values with a format, as messages and calls bring them.

use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Table, UserData, UserDataMethods, Value};

use super::json;
use crate::lua::call::Reply;
use crate::lua::error::{self, ErrorObject, Kind};
use crate::lua::own::{self, Held};
use crate::lua::value;
use crate::lua::vm::Builder;
use crate::process::Payload;

/// Formats by the names of their constants.
const FORMATS: [(&str, &str); 8] = [
    ("JSON", JSON),
    ("YAML", YAML),
    ("STRING", STRING),
    ("BYTES", BYTES),
    ("MSGPACK", "application/msgpack"),
    ("LUA", LUA),
    ("GOLANG", "golang/any"),
    ("ERROR", ERROR),
];

const JSON: &str = "json/plain";
const YAML: &str = "yaml/plain";
const STRING: &str = "text/plain";
const BYTES: &str = "application/octet-stream";
const LUA: &str = "lua/any";
const ERROR: &str = "golang/error";

/// A payload as scripts have it.
pub(in crate::lua) struct PayloadObject {
    content: Content,
    #[expect(dead_code, reason = "held for its drop")]
    held: Held,
}

enum Content {
    Value(Payload),
    Error(ErrorObject),
    /// A text in one of the formats for that.
    Text(&'static str, Vec<u8>),
}

pub(super) fn install(builder: &Builder<'_>) -> mlua::Result<Table> {
    let lua = builder.lua;
    let formats = lua.create_table()?;
    for (name, format) in FORMATS {
        formats.raw_set(name, format)?;
    }
    let fields = lua.create_table()?;
    let seal: mlua::Function = builder.core.raw_get("seal")?;
    fields.raw_set("format", seal.call::<Value>(("payload.format", formats))?)?;
    fields.raw_set(
        "new",
        builder.function("new", |lua, _, args| {
            let value = args.next();
            let error = match &value {
                Value::UserData(object) => object.borrow::<ErrorObject>().ok().map(|error| error.clone()),
                _ => None,
            };
            let object = match error {
                Some(error) => Content::Error(error),
                None => Content::Value(value::to_payload(&value)?),
            };
            Reply::values(lua, PayloadObject::of(lua, object)?)
        })?,
    )?;
    Ok(fields)
}

impl PayloadObject {
    /// An object for a script.
    pub(in crate::lua) fn to_lua(lua: &Lua, payload: Payload) -> mlua::Result<Value> {
        Self::of(lua, Content::Value(payload))
    }

    fn of(lua: &Lua, content: Content) -> mlua::Result<Value> {
        let held = own::hold(lua, content.size())?;
        lua.create_userdata(Self { content, held }).map(Value::UserData)
    }

    /// What it holds, read from its format.
    pub(in crate::lua) fn value(&self) -> Result<Payload, Box<ErrorObject>> {
        self.content.value()
    }
}

impl Content {
    /// What it takes outside of the VM, in bytes.
    fn size(&self) -> usize {
        match self {
            Self::Value(payload) => payload.size(),
            Self::Error(error) => error.size(),
            Self::Text(_, bytes) => bytes.len(),
        }
    }

    fn value(&self) -> Result<Payload, Box<ErrorObject>> {
        let unread = |error: &dyn std::fmt::Display| Box::new(ErrorObject::new(Kind::Internal, error.to_string()));
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Error(error) => Ok(value::error_to_payload(error)),
            Self::Text(BYTES, bytes) => Ok(Payload::from(&bytes[..])),
            Self::Text(format, bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|error| unread(&error))?;
                match *format {
                    JSON => json::decoded(text),
                    YAML => {
                        let value: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| unread(&error))?;
                        Payload::from_yaml(&value).map_err(|error| unread(&error))
                    }
                    _ => Ok(Payload::from(text)),
                }
            }
        }
    }

    fn format(&self) -> &'static str {
        match self {
            Self::Value(_) => LUA,
            Self::Error(_) => ERROR,
            Self::Text(format, _) => format,
        }
    }

    /// The same in another format.
    fn transcode(&self, format: &str) -> Result<Self, Box<ErrorObject>> {
        let unsaid = |why: &str| {
            let message = format!("a payload in `{}` can't be one in `{format}`{why}", self.format());
            Box::new(ErrorObject::new(Kind::Internal, message))
        };
        Ok(match (format, self) {
            (_, Self::Error(error)) if format == ERROR => Self::Error(error.clone()),
            (LUA, _) => Self::Value(self.value()?),
            (JSON, _) => Self::Text(JSON, json::text_of(&self.value()?).into_bytes()),
            (YAML, _) => {
                let text = serde_yaml::to_string(&self.value()?).map_err(|error| unsaid(&format!(": {error}")))?;
                Self::Text(YAML, text.into_bytes())
            }
            (STRING, Self::Text(_, bytes)) if std::str::from_utf8(bytes).is_ok() => Self::Text(STRING, bytes.clone()),
            (BYTES, Self::Text(_, bytes)) => Self::Text(BYTES, bytes.clone()),
            (STRING | BYTES, Self::Value(Payload::String(text))) => {
                Self::Text(if format == STRING { STRING } else { BYTES }, text.clone().into_bytes())
            }
            (BYTES, Self::Value(Payload::Bytes(bytes))) => Self::Text(BYTES, bytes.to_vec()),
            (STRING | BYTES, _) => return Err(unsaid(": it holds no text")),
            _ if FORMATS.iter().any(|(_, known)| *known == format) => return Err(unsaid("")),
            _ => return Err(Box::new(ErrorObject::new(Kind::Internal, format!("there is no format `{format}`")))),
        })
    }

    fn data(&self, lua: &Lua) -> mlua::Result<MultiValue> {
        if let Self::Error(error) = self {
            return error::to_lua(lua, error.clone())?.into_lua_multi(lua);
        }
        let value = self.value().and_then(|value| value::to_lua(lua, &value).map_err(|error| Box::new(error.into())));
        answer(lua, value)
    }
}

/// A value, or nil and an error.
fn answer(lua: &Lua, result: Result<Value, Box<ErrorObject>>) -> mlua::Result<MultiValue> {
    match result {
        Ok(value) => value.into_lua_multi(lua),
        Err(error) => (Value::Nil, error::to_lua(lua, *error)?).into_lua_multi(lua),
    }
}

impl UserData for PayloadObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("data", |lua, payload, ()| payload.content.data(lua));
        methods.add_method("unmarshal", |lua, payload, ()| payload.content.data(lua));
        methods.add_method("get_format", |_, payload, ()| Ok(payload.content.format()));
        methods.add_method("transcode", |lua, payload, format: LuaString| {
            let made = payload.content.transcode(&format.to_string_lossy());
            let object = made.map(|content| PayloadObject::of(lua, content));
            match object {
                Ok(object) => answer(lua, Ok(object?)),
                Err(error) => answer(lua, Err(error)),
            }
        });
    }
}
