//! The neutral value that arguments, results and messages are made of.

use bytes::Bytes;
use indexmap::IndexMap;

/// A value between languages: what a YAML file, a command line, a script or a guest can say.
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
