//! The neutral value that arguments, results and messages are made of.
//!
//! A payload says what a YAML file, a command line, a script or a guest can say, and nothing about where it came from: it
//! must not know WIT types, Lua or any wire format but JSON and YAML, which are how people write and read it.
//! The way in is a `From` conversion, [`Payload::parse_json`] or [`Payload::from_yaml`]; the way out is `Display`.
//!
//! Invariants: a whole number that fits `i64` is always [`Payload::Int`], so `UInt` holds only numbers above `i64::MAX`
//! (use the conversions, they keep it); maps keep the order in which their keys were said.

mod convert;
mod json;
mod yaml;

pub use json::JsonError;
pub use yaml::YamlError;

use bytes::Bytes;
use indexmap::IndexMap;

/// A value between languages: what a YAML file, a command line, a script or a guest can say.
///
/// ```
/// use wippy::process::Payload;
///
/// let order = Payload::parse_json(r#"{"id": 7, "tags": ["new", null]}"#)?;
/// assert_eq!(order.get("id"), Some(&Payload::from(7)));
/// assert_eq!(order.to_string(), r#"{"id":7,"tags":["new",null]}"#);
/// # Ok::<(), wippy::process::JsonError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Payload {
    /// No value.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number that fits 64 bits with sign.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    String(String),
    /// Raw bytes.
    Bytes(Bytes),
    /// Values in order.
    List(Vec<Payload>),
    /// Named values in the order they were said.
    Map(IndexMap<String, Payload>),
}

impl Payload {
    /// How deep lists and maps may nest in a payload that comes from outside: printing, cloning and dropping a payload
    /// recurse, so whoever builds one from untrusted data checks [`Payload::is_too_deep`] or bounds itself by this.
    /// The same number bounds JSON and YAML texts.
    pub const MAX_DEPTH: usize = 128;

    /// The name of the kind of this value, as errors use it: `nil`, `boolean`, `integer`, `float`, `string`, `bytes`,
    /// `list` or `map`.
    pub fn kind(&self) -> &'static str {
        match self {
            Payload::Nil => "nil",
            Payload::Bool(_) => "boolean",
            Payload::Int(_) | Payload::UInt(_) => "integer",
            Payload::Float(_) => "float",
            Payload::String(_) => "string",
            Payload::Bytes(_) => "bytes",
            Payload::List(_) => "list",
            Payload::Map(_) => "map",
        }
    }

    /// What this value takes in memory, in bytes: itself and what it holds, bytes that are shared with others too.
    ///
    /// ```
    /// use wippy::process::Payload;
    ///
    /// let text = Payload::from("x".repeat(1000));
    /// assert_eq!(text.size(), Payload::Nil.size() + 1000);
    /// ```
    #[must_use]
    pub fn size(&self) -> usize {
        let held = match self {
            Payload::Nil | Payload::Bool(_) | Payload::Int(_) | Payload::UInt(_) | Payload::Float(_) => 0,
            Payload::String(text) => text.len(),
            Payload::Bytes(bytes) => bytes.len(),
            Payload::List(items) => items.iter().map(Payload::size).sum(),
            Payload::Map(entries) => {
                entries.iter().map(|(key, value)| size_of::<String>() + key.len() + value.size()).sum()
            }
        };
        size_of::<Self>() + held
    }

    /// Whether lists and maps nest deeper than [`Payload::MAX_DEPTH`] in this value. Looks no deeper than that itself.
    pub fn is_too_deep(&self) -> bool {
        self.nests_beyond(Self::MAX_DEPTH)
    }

    fn nests_beyond(&self, depth: usize) -> bool {
        match self {
            Payload::List(_) | Payload::Map(_) if depth == 0 => true,
            Payload::List(items) => items.iter().any(|item| item.nests_beyond(depth - 1)),
            Payload::Map(entries) => entries.values().any(|value| value.nests_beyond(depth - 1)),
            _ => false,
        }
    }

    /// Whether this is [`Payload::Nil`].
    pub fn is_nil(&self) -> bool {
        matches!(self, Payload::Nil)
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Payload::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number, if it is one that fits; a float never counts as one here.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Payload::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number, if it is one that is not negative; a float never counts as one here.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Payload::Int(value) => u64::try_from(*value).ok(),
            Payload::UInt(value) => Some(*value),
            _ => None,
        }
    }

    /// The number as a float, if it is a number; whole numbers beyond 2^53 are rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Payload::Int(value) => Some(*value as f64),
            Payload::UInt(value) => Some(*value as f64),
            Payload::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Payload::String(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is bytes or text.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Payload::Bytes(bytes) => Some(bytes),
            Payload::String(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The values in order, if it is a list.
    pub fn as_list(&self) -> Option<&[Payload]> {
        match self {
            Payload::List(items) => Some(items),
            _ => None,
        }
    }

    /// The named values, if it is a map.
    pub fn as_map(&self) -> Option<&IndexMap<String, Payload>> {
        match self {
            Payload::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under this key, if it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Payload> {
        self.as_map()?.get(key)
    }

    /// The value at this place, if it is a list that long.
    pub fn at(&self, index: usize) -> Option<&Payload> {
        self.as_list()?.get(index)
    }
}

#[cfg(test)]
mod tests;
