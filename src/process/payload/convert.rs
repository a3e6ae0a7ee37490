//! Payloads from the usual Rust values.

use bytes::Bytes;
use indexmap::IndexMap;

use super::Payload;

macro_rules! from_small_ints {
    ($($int:ty),*) => {$(
        impl From<$int> for Payload {
            fn from(value: $int) -> Self {
                Payload::Int(i64::from(value))
            }
        }
    )*};
}

from_small_ints!(i8, i16, i32, i64, u8, u16, u32);

impl From<u64> for Payload {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Payload::UInt(value), Payload::Int)
    }
}

impl From<usize> for Payload {
    fn from(value: usize) -> Self {
        Payload::from(value as u64)
    }
}

impl From<bool> for Payload {
    fn from(value: bool) -> Self {
        Payload::Bool(value)
    }
}

impl From<f32> for Payload {
    fn from(value: f32) -> Self {
        Payload::Float(f64::from(value))
    }
}

impl From<f64> for Payload {
    fn from(value: f64) -> Self {
        Payload::Float(value)
    }
}

impl From<char> for Payload {
    fn from(value: char) -> Self {
        Payload::String(value.to_string())
    }
}

impl From<&str> for Payload {
    fn from(value: &str) -> Self {
        Payload::String(value.to_owned())
    }
}

impl From<String> for Payload {
    fn from(value: String) -> Self {
        Payload::String(value)
    }
}

impl From<Bytes> for Payload {
    fn from(value: Bytes) -> Self {
        Payload::Bytes(value)
    }
}

/// Bytes, not a list of numbers.
impl From<Vec<u8>> for Payload {
    fn from(value: Vec<u8>) -> Self {
        Payload::Bytes(Bytes::from(value))
    }
}

/// Bytes, not a list of numbers.
impl From<&[u8]> for Payload {
    fn from(value: &[u8]) -> Self {
        Payload::Bytes(Bytes::copy_from_slice(value))
    }
}

impl From<Vec<Payload>> for Payload {
    fn from(items: Vec<Payload>) -> Self {
        Payload::List(items)
    }
}

impl From<IndexMap<String, Payload>> for Payload {
    fn from(entries: IndexMap<String, Payload>) -> Self {
        Payload::Map(entries)
    }
}

impl From<()> for Payload {
    fn from((): ()) -> Self {
        Payload::Nil
    }
}

/// `None` is nil, `Some` is the value itself.
impl<T: Into<Payload>> From<Option<T>> for Payload {
    fn from(value: Option<T>) -> Self {
        value.map_or(Payload::Nil, Into::into)
    }
}

impl FromIterator<Payload> for Payload {
    fn from_iter<I: IntoIterator<Item = Payload>>(items: I) -> Self {
        Payload::List(items.into_iter().collect())
    }
}

impl<K: Into<String>> FromIterator<(K, Payload)> for Payload {
    fn from_iter<I: IntoIterator<Item = (K, Payload)>>(entries: I) -> Self {
        Payload::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

/// So that the items of `["a", "b"]` or a document can be passed by reference.
impl From<&Payload> for Payload {
    fn from(value: &Payload) -> Self {
        value.clone()
    }
}
