//! What can be wrong with a value, and where in it.

use std::fmt;

use super::WitType;
use crate::process::Payload;

/// A value does not fit its type: where, and why.
///
/// Shows as `argument 1.users[3].id: 4294967296 does not fit u32`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ValueError {
    /// Where in the value, for example `argument 1.users[3].id`.
    pub path: String,
    /// What is wrong there.
    pub problem: ValueProblem,
}

/// What is wrong with a value. Types and values are in the form in which a person writes them, long ones cut.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueProblem {
    /// The value is of another kind than the type wants.
    #[error("expected `{expected}`, found {found}")]
    Kind {
        /// The type in WIT notation.
        expected: String,
        /// Kind and text of the value.
        found: String,
    },
    /// The number is outside the range of the type.
    #[error("{value} does not fit {ty}")]
    OutOfRange {
        /// The number.
        value: String,
        /// The type in WIT notation.
        ty: String,
    },
    /// The number has a fraction where the type wants a whole one.
    #[error("{value} is not a whole number, expected `{ty}`")]
    NotWhole {
        /// The number.
        value: f64,
        /// The type in WIT notation.
        ty: String,
    },
    /// The text for a `char` is not one character.
    #[error("expected `char`, one character, found {count}")]
    NotOneCharacter {
        /// How many characters there are.
        count: usize,
    },
    /// The bytes for a `string` or a `char` are not UTF-8.
    #[error("expected text, found bytes that are not utf-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is wrong, from 0.
        at: usize,
    },
    /// A list for a tuple has another number of values.
    #[error("expected {expected} values for `{ty}`, found {found}")]
    Length {
        /// The type in WIT notation.
        ty: String,
        /// How many values the type has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A record has no such field.
    #[error("unknown field `{name}`{hint}")]
    UnknownField {
        /// The name that was given.
        name: String,
        /// The names there are, or the nearest.
        hint: Hint,
    },
    /// A field that is not optional is not there.
    #[error("missing field `{name}` of type `{ty}`")]
    MissingField {
        /// The name of the field.
        name: String,
        /// Its type in WIT notation.
        ty: String,
    },
    /// A variant, enum or result has no such case, or flags have no such flag.
    #[error("unknown {what} `{name}`{hint}")]
    UnknownName {
        /// `case` or `flag`.
        what: &'static str,
        /// The name that was given.
        name: String,
        /// The names there are, or the nearest.
        hint: Hint,
    },
    /// A number names no case of an enum, or a bitmask has bits beyond the flags.
    #[error("{value} is no {what}, expected 0 to {max}")]
    UnknownNumber {
        /// `case number` or `set of flags`.
        what: &'static str,
        /// The number that was given.
        value: String,
        /// The largest that would have a meaning.
        max: u64,
    },
    /// A case was given a payload that it does not have.
    #[error("case `{case}` takes no payload, found {found}")]
    UnexpectedPayload {
        /// The case.
        case: String,
        /// Kind and text of the payload.
        found: String,
    },
    /// A case was not given its payload.
    #[error("case `{case}` needs a payload of type `{ty}`")]
    MissingPayload {
        /// The case.
        case: String,
        /// The type of its payload in WIT notation.
        ty: String,
    },
    /// A map for a variant, result or nested option has not exactly one key.
    #[error("expected a map with one key, the case of `{ty}`, found {found} keys")]
    NotOneCase {
        /// The type in WIT notation.
        ty: String,
        /// How many keys there are.
        found: usize,
    },
    /// Values of this type cannot cross the border of a process.
    #[error("a value of type `{ty}` belongs to its instance and cannot be passed; export a function without it")]
    Refused {
        /// The type in WIT notation.
        ty: String,
    },
    /// A text on the command line says no value of the type, in JSON or in WAVE.
    #[error("expected `{expected}`, for example `{example}`, found {found}")]
    Unreadable {
        /// The text.
        found: String,
        /// The type in WIT notation.
        expected: String,
        /// A valid value of the type, as it can be typed.
        example: String,
    },
}

/// The names that would have been right: one that is near, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The name that was probably meant.
    DidYouMean(String),
    /// All names there are, cut when there are many.
    OneOf(Vec<String>),
}

/// How many names a [`Hint`] lists before it says how many more there are.
const MAX_NAMES_SHOWN: usize = 12;

impl Hint {
    /// The best hint for `name`: the nearest name within a third of its length, else all.
    pub(super) fn for_name<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Hint {
        let within = 1 + name.chars().count() / 4;
        let distance = |candidate: &str| strsim::damerau_levenshtein(name, candidate);
        match known.clone().map(|candidate| (distance(candidate), candidate)).min() {
            Some((found, candidate)) if found <= within => Hint::DidYouMean(candidate.to_owned()),
            _ => Hint::OneOf(known.map(str::to_owned).collect()),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hint::DidYouMean(name) => write!(f, ", did you mean `{name}`"),
            Hint::OneOf(names) => {
                for (index, name) in names.iter().take(MAX_NAMES_SHOWN).enumerate() {
                    let before = if index == 0 { ", expected one of" } else { "," };
                    write!(f, "{before} `{name}`")?;
                }
                match names.len().saturating_sub(MAX_NAMES_SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

/// Arguments do not fit the signature of the function they are for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// Too many or too few.
    #[error("expected {}, found {found}; the signature is `{signature}`", arguments(*expected))]
    Count {
        /// How many the function has.
        expected: usize,
        /// How many were given.
        found: usize,
        /// The function and its whole signature in WIT notation.
        signature: String,
    },
    /// One of them does not fit its parameter.
    #[error("{error}; the signature is `{signature}`")]
    Value {
        /// Which, and why.
        error: Box<ValueError>,
        /// The function and its whole signature in WIT notation.
        signature: String,
    },
}

fn arguments(count: usize) -> String {
    format!("{count} argument{}", if count == 1 { "" } else { "s" })
}

/// Characters of a value or type that an error shows.
const MAX_VALUE_SHOWN: usize = 100;
/// Characters of a signature that an error shows.
pub(super) const MAX_SIGNATURE_SHOWN: usize = 600;

/// `text`, cut after so many characters.
pub(super) fn clipped(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A type as errors show it.
pub(super) fn shown_type(ty: &WitType) -> String {
    clipped(&ty.to_string(), MAX_VALUE_SHOWN)
}

/// A text as errors show it.
pub(super) fn shown_text(text: &str) -> String {
    format!("`{}`", clipped(text, MAX_VALUE_SHOWN))
}

/// A value as errors show it: its kind, and its text where that is short.
pub(super) fn shown_value(value: &Payload) -> String {
    match value {
        Payload::Nil => "nothing".to_owned(),
        Payload::Bool(_) | Payload::Int(_) | Payload::UInt(_) | Payload::Float(_) => {
            format!("{} {}", value.kind(), shown_number(value))
        }
        Payload::String(text) => format!("string \"{}\"", clipped(text, MAX_VALUE_SHOWN).escape_debug()),
        Payload::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Payload::List(items) => format!("a list of {}", items.len()),
        Payload::Map(entries) if entries.is_empty() => "an empty map".to_owned(),
        Payload::Map(entries) => {
            let keys: Vec<_> = entries.keys().take(4).map(|key| format!("`{}`", clipped(key, 40))).collect();
            let more = if entries.len() > keys.len() { ", …" } else { "" };
            format!("a map with {}{more}", keys.join(", "))
        }
    }
}

/// A number as errors show it: JSON without the quotes it needs around `nan` and `inf`.
pub(super) fn shown_number(value: &Payload) -> String {
    value.to_string().trim_matches('"').to_owned()
}

/// A place in a value, from the inside out; written only when an error needs it.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root(&'a str),
    Argument(usize),
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(super) fn error(&self, problem: ValueProblem) -> ValueError {
        ValueError { path: self.to_string(), problem }
    }

    pub(super) fn kind_error(&self, value: &Payload, ty: &WitType) -> ValueError {
        self.error(ValueProblem::Kind { expected: shown_type(ty), found: shown_value(value) })
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root(name) => f.write_str(name),
            Path::Argument(number) => write!(f, "argument {number}"),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
