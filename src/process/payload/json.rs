//! Payloads as JSON: 64-bit numbers exact, NaN and infinities as `"nan"`, `"inf"`, `"-inf"`, bytes as arrays of numbers.
//!
//! Text is read by a parser of our own because `serde_json` as it is built here sorts the keys of objects and may miss the
//! nearest float by one place.

use std::fmt;

use indexmap::IndexMap;
use serde::ser::{Serialize, Serializer};

use super::Payload;

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: expected {expected}")]
pub struct JsonError {
    /// Where the text stops being JSON, counted in characters from 1 over all lines.
    pub column: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl Payload {
    /// The payload that a JSON value says.
    ///
    /// Numbers that `serde_json` holds as 64-bit integers stay exact, all others are floats. `value` must not nest deeper
    /// than the stack allows; what `serde_json` parsed from text never does.
    pub fn from_json(value: &serde_json::Value) -> Payload {
        use serde_json::Value;
        match value {
            Value::Null => Payload::Nil,
            Value::Bool(value) => Payload::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Payload::Int(value),
                (None, Some(value)) => Payload::from(value),
                (None, None) => Payload::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Payload::String(text.clone()),
            Value::Array(items) => items.iter().map(Payload::from_json).collect(),
            Value::Object(entries) => {
                entries.iter().map(|(key, value)| (key.as_str(), Payload::from_json(value))).collect()
            }
        }
    }

    /// This value as JSON. NaN and infinities are the strings `"nan"`, `"inf"` and `"-inf"`, bytes an array of numbers.
    ///
    /// `Display` gives the same as compact text, with the keys of maps in their own order.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Payload::Nil => Value::Null,
            Payload::Bool(value) => Value::Bool(*value),
            Payload::Int(value) => Value::from(*value),
            Payload::UInt(value) => Value::from(*value),
            Payload::Float(value) => match unwritable_float(*value) {
                Some(name) => Value::from(name),
                None => Value::from(*value),
            },
            Payload::String(text) => Value::from(text.as_str()),
            Payload::Bytes(bytes) => Value::Array(bytes.iter().copied().map(Value::from).collect()),
            Payload::List(items) => Value::Array(items.iter().map(Payload::to_json).collect()),
            Payload::Map(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect())
            }
        }
    }

    /// The payload that a JSON text says: integers of 64 bits exact, other numbers the nearest float, keys in their order.
    ///
    /// # Errors
    /// Anything that is not one JSON value, a key twice in an object, nesting beyond [`Payload::MAX_DEPTH`].
    pub fn parse_json(text: &str) -> Result<Payload, JsonError> {
        let mut parser = Parser { text, at: 0 };
        parser.skip_space();
        let value = parser.value(Self::MAX_DEPTH)?;
        parser.skip_space();
        match parser.peek() {
            None => Ok(value),
            Some(_) => Err(parser.expected("the end")),
        }
    }
}

/// How JSON says a float that it has no number for.
fn unwritable_float(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("nan")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "inf" } else { "-inf" })
    } else {
        None
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Payload::Nil => serializer.serialize_unit(),
            Payload::Bool(value) => serializer.serialize_bool(*value),
            Payload::Int(value) => serializer.serialize_i64(*value),
            Payload::UInt(value) => serializer.serialize_u64(*value),
            Payload::Float(value) => match unwritable_float(*value) {
                Some(name) => serializer.serialize_str(name),
                None => serializer.serialize_f64(*value),
            },
            Payload::String(text) => serializer.serialize_str(text),
            Payload::Bytes(bytes) => serializer.collect_seq(bytes.iter()),
            Payload::List(items) => serializer.collect_seq(items),
            Payload::Map(entries) => serializer.collect_map(entries),
        }
    }
}

/// Compact JSON.
impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Payloads have text keys only and JSON names for every float, so this fails only when the formatter does.
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// A position in a JSON text; every method leaves it after what it read.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        let column = self.text.get(..self.at).map_or(self.at, |before| before.chars().count()) + 1;
        JsonError { column, expected }
    }

    /// One value; `depth` lists and objects may still be opened.
    fn value(&mut self, depth: usize) -> Result<Payload, JsonError> {
        match self.peek() {
            Some(b'{' | b'[') if depth == 0 => Err(self.expected("no deeper nesting than 128 levels")),
            Some(b'{') => self.object(depth - 1),
            Some(b'[') => self.array(depth - 1),
            Some(b'"') => Ok(Payload::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Payload, JsonError> {
        let words = [("null", Payload::Nil), ("true", Payload::Bool(true)), ("false", Payload::Bool(false))];
        for (word, value) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.expected("a value"))
    }

    fn array(&mut self, depth: usize) -> Result<Payload, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.eat(b']') {
            return Ok(Payload::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth)?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Payload::List(items));
            }
            if !self.eat(b',') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Payload, JsonError> {
        self.at += 1;
        let mut entries = IndexMap::new();
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Payload::Map(entries));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in double quotes"));
            }
            let key_at = self.at;
            let key = self.string()?;
            if entries.contains_key(&key) {
                self.at = key_at;
                return Err(self.expected("a key that is not there yet"));
            }
            self.skip_space();
            if !self.eat(b':') {
                return Err(self.expected("`:`"));
            }
            self.skip_space();
            let value = self.value(depth)?;
            entries.insert(key, value);
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Payload::Map(entries));
            }
            if !self.eat(b',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn number(&mut self) -> Result<Payload, JsonError> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        let mut whole = true;
        if self.eat(b'.') {
            whole = false;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if !self.eat(b'-') {
                self.eat(b'+');
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if whole && text != "-0" {
            if let Ok(value) = text.parse::<i64>() {
                return Ok(Payload::Int(value));
            }
            if let Ok(value) = text.parse::<u64>() {
                return Ok(Payload::UInt(value));
            }
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Payload::Float(value)),
            _ => {
                self.at = start;
                Err(self.expected("a number that fits 64 bits"))
            }
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.expected("a digit"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.expected("an escape such as `\\n` for this control character")),
                None => return Err(self.expected("`\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The character after `\u`, where two escapes may make one character.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !(self.eat(b'\\') && self.eat(b'u')) {
                    return Err(self.expected("the second half of a surrogate pair"));
                }
                match self.hex4()? {
                    second @ 0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return Err(self.expected("the second half of a surrogate pair")),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.expected("the first half of a surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|text| u32::from_str_radix(text, 16).ok());
        let code = code.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}
