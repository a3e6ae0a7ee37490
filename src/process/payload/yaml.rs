//! Payloads from YAML values, such as the `input` list of a supervised process.

use serde_yaml::Value;

use super::Payload;

/// Why a YAML value is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlError {
    /// A map key is a list, a map or nothing.
    #[error("expected text, a number or a boolean as the key of a map, found {found}")]
    Key {
        /// The kind of the key.
        found: &'static str,
    },
    /// Two keys of a map are the same once written as text.
    #[error("the key `{key}` occurs twice in a map")]
    DuplicateKey {
        /// The key as text.
        key: String,
    },
    /// A value carries a tag such as `!thing`.
    #[error("the tag `{tag}` has no meaning here, remove it")]
    Tag {
        /// The tag with its mark.
        tag: String,
    },
    /// Lists and maps nest deeper than [`Payload::MAX_DEPTH`].
    #[error("lists and maps nest deeper than {} levels", Payload::MAX_DEPTH)]
    TooDeep,
}

impl Payload {
    /// The payload that a YAML value says. Keys that are numbers or booleans become text.
    ///
    /// # Errors
    /// Keys without a text form, keys that collide as text, tags, and nesting beyond [`Payload::MAX_DEPTH`].
    pub fn from_yaml(value: &Value) -> Result<Payload, YamlError> {
        convert(value, Self::MAX_DEPTH)
    }
}

fn convert(value: &Value, depth: usize) -> Result<Payload, YamlError> {
    match value {
        Value::Null => Ok(Payload::Nil),
        Value::Bool(value) => Ok(Payload::Bool(*value)),
        Value::Number(number) => Ok(number_payload(number)),
        Value::String(text) => Ok(Payload::String(text.clone())),
        Value::Sequence(_) | Value::Mapping(_) if depth == 0 => Err(YamlError::TooDeep),
        Value::Sequence(items) => items.iter().map(|item| convert(item, depth - 1)).collect(),
        Value::Mapping(entries) => {
            let mut map = indexmap::IndexMap::with_capacity(entries.len());
            for (key, value) in entries {
                let key = key_text(key)?;
                if map.contains_key(&key) {
                    return Err(YamlError::DuplicateKey { key });
                }
                map.insert(key, convert(value, depth - 1)?);
            }
            Ok(Payload::Map(map))
        }
        Value::Tagged(tagged) => Err(YamlError::Tag { tag: tagged.tag.to_string() }),
    }
}

fn number_payload(number: &serde_yaml::Number) -> Payload {
    if let Some(value) = number.as_i64() {
        Payload::Int(value)
    } else if let Some(value) = number.as_u64() {
        Payload::from(value)
    } else {
        Payload::Float(number.as_f64().unwrap_or(f64::NAN))
    }
}

fn key_text(key: &Value) -> Result<String, YamlError> {
    match key {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => Err(YamlError::Key { found: "nothing" }),
        Value::Sequence(_) => Err(YamlError::Key { found: "a list" }),
        Value::Mapping(_) => Err(YamlError::Key { found: "a map" }),
        Value::Tagged(tagged) => Err(YamlError::Tag { tag: tagged.tag.to_string() }),
    }
}
