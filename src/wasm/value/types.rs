//! The types of values as a tree of our own: read from a component or from WIT text, shown in WIT notation.

use std::fmt;

use wasmtime::component::Type;

/// A WIT type, or the type of a core function's number.
///
/// Names of records and variants are lost when a component is compiled, so types show by structure:
/// `record { id: u32, name: string }`. [`wit_text`](super::wit_text) reads the same notation.
///
/// ```
/// use wippy::wasm::value::WitType;
///
/// let names = WitType::List(Box::new(WitType::String));
/// assert_eq!(names.to_string(), "list<string>");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the primitive types are named as WIT names them")]
pub enum WitType {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    /// 32 bits of a core function without WIT text: numbers of the signed and of the unsigned range, returned signed.
    I32,
    /// 64 bits of a core function without WIT text: numbers of the signed and of the unsigned range, returned signed.
    I64,
    F32,
    F64,
    Char,
    String,
    List(Box<WitType>),
    Option(Box<WitType>),
    Tuple(Vec<WitType>),
    Result {
        /// What `ok` carries, if anything.
        ok: Option<Box<WitType>>,
        /// What `err` carries, if anything.
        err: Option<Box<WitType>>,
    },
    Record(Vec<Field>),
    Variant(Vec<Case>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    /// A type whose values cannot cross the border of a process: resources, futures, streams. Holds its WIT notation.
    Refused(&'static str),
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The type of its value.
    pub ty: WitType,
}

/// A case of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The type of its payload, if it has one.
    pub ty: Option<WitType>,
}

/// How many types, names and cases one signature may have: the types of a component share parts, as a tree they could
/// be exponentially larger than the component.
pub const MAX_TYPE_PARTS: usize = 20_000;

/// A signature is larger than [`MAX_TYPE_PARTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the types of the signature have more than {MAX_TYPE_PARTS} parts")]
pub struct TypeTooLarge;

/// What is left of [`MAX_TYPE_PARTS`] while a signature is read.
pub(super) struct Parts(usize);

impl Parts {
    pub(super) fn new() -> Self {
        Parts(MAX_TYPE_PARTS)
    }

    fn take(&mut self, count: usize) -> Result<(), TypeTooLarge> {
        self.0 = self.0.checked_sub(count).ok_or(TypeTooLarge)?;
        Ok(())
    }
}

impl WitType {
    /// The type of a component's function parameter, result or of a part of it.
    ///
    /// # Errors
    /// [`TypeTooLarge`] beyond [`MAX_TYPE_PARTS`].
    pub fn of_component(ty: &Type) -> Result<WitType, TypeTooLarge> {
        Self::read(ty, &mut Parts::new())
    }

    pub(super) fn read(ty: &Type, parts: &mut Parts) -> Result<WitType, TypeTooLarge> {
        parts.take(1)?;
        let mut boxed = |ty: &Type| Self::read(ty, parts).map(Box::new);
        Ok(match ty {
            Type::Bool => WitType::Bool,
            Type::S8 => WitType::S8,
            Type::U8 => WitType::U8,
            Type::S16 => WitType::S16,
            Type::U16 => WitType::U16,
            Type::S32 => WitType::S32,
            Type::U32 => WitType::U32,
            Type::S64 => WitType::S64,
            Type::U64 => WitType::U64,
            Type::Float32 => WitType::F32,
            Type::Float64 => WitType::F64,
            Type::Char => WitType::Char,
            Type::String => WitType::String,
            Type::List(list) => WitType::List(boxed(&list.ty())?),
            Type::Option(option) => WitType::Option(boxed(&option.ty())?),
            Type::Result(result) => {
                let ok = result.ok().map(|ty| boxed(&ty)).transpose()?;
                WitType::Result { ok, err: result.err().map(|ty| boxed(&ty)).transpose()? }
            }
            Type::Tuple(tuple) => {
                WitType::Tuple(tuple.types().map(|ty| Self::read(&ty, parts)).collect::<Result<_, _>>()?)
            }
            Type::Record(record) => {
                let field = |field: wasmtime::component::types::Field<'_>| {
                    Ok(Field { name: field.name.to_owned(), ty: Self::read(&field.ty, parts)? })
                };
                WitType::Record(record.fields().map(field).collect::<Result<_, _>>()?)
            }
            Type::Variant(variant) => {
                let case = |case: wasmtime::component::types::Case<'_>| {
                    parts.take(1)?;
                    let ty = case.ty.map(|ty| Self::read(&ty, parts)).transpose()?;
                    Ok(Case { name: case.name.to_owned(), ty })
                };
                WitType::Variant(variant.cases().map(case).collect::<Result<_, _>>()?)
            }
            Type::Enum(cases) => {
                parts.take(cases.names().len())?;
                WitType::Enum(cases.names().map(str::to_owned).collect())
            }
            Type::Flags(flags) => {
                parts.take(flags.names().len())?;
                WitType::Flags(flags.names().map(str::to_owned).collect())
            }
            Type::Own(_) => WitType::Refused("own<resource>"),
            Type::Borrow(_) => WitType::Refused("borrow<resource>"),
            Type::Future(_) => WitType::Refused("future"),
            Type::Stream(_) => WitType::Refused("stream"),
            Type::ErrorContext => WitType::Refused("error-context"),
            Type::Map(_) => WitType::Refused("map"),
            Type::FixedLengthList(_) => WitType::Refused("list of fixed length"),
        })
    }

    /// The first part of this type whose values cannot cross the border of a process.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        match self {
            WitType::Refused(name) => Some(name),
            WitType::List(ty) | WitType::Option(ty) => ty.refused(),
            WitType::Tuple(types) => types.iter().find_map(WitType::refused),
            WitType::Result { ok, err } => ok.iter().chain(err).find_map(|ty| ty.refused()),
            WitType::Record(fields) => fields.iter().find_map(|field| field.ty.refused()),
            WitType::Variant(cases) => cases.iter().filter_map(|case| case.ty.as_ref()).find_map(WitType::refused),
            _ => None,
        }
    }

    /// Whether this is `list<u8>`, whose values are bytes.
    pub(crate) fn is_bytes(&self) -> bool {
        matches!(self, WitType::List(element) if **element == WitType::U8)
    }
}

/// WIT notation.
impl fmt::Display for WitType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            WitType::Bool => "bool",
            WitType::S8 => "s8",
            WitType::U8 => "u8",
            WitType::S16 => "s16",
            WitType::U16 => "u16",
            // No sign is known of a core function's numbers; they come back signed.
            WitType::S32 | WitType::I32 => "s32",
            WitType::U32 => "u32",
            WitType::S64 | WitType::I64 => "s64",
            WitType::U64 => "u64",
            WitType::F32 => "f32",
            WitType::F64 => "f64",
            WitType::Char => "char",
            WitType::String => "string",
            WitType::Refused(name) => name,
            WitType::List(element) => return write!(f, "list<{element}>"),
            WitType::Option(some) => return write!(f, "option<{some}>"),
            WitType::Tuple(types) => {
                f.write_str("tuple<")?;
                separated(f, types)?;
                return f.write_str(">");
            }
            WitType::Result { ok, err } => {
                return match (ok, err) {
                    (None, None) => f.write_str("result"),
                    (Some(ok), None) => write!(f, "result<{ok}>"),
                    (None, Some(err)) => write!(f, "result<_, {err}>"),
                    (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
                };
            }
            WitType::Record(fields) => return braced(f, "record", fields),
            WitType::Variant(cases) => return braced(f, "variant", cases),
            WitType::Enum(names) => return braced(f, "enum", names),
            WitType::Flags(names) => return braced(f, "flags", names),
        };
        f.write_str(name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.ty)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ty {
            Some(ty) => write!(f, "{}({ty})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

fn braced(f: &mut fmt::Formatter<'_>, keyword: &str, items: &[impl fmt::Display]) -> fmt::Result {
    write!(f, "{keyword} {{ ")?;
    separated(f, items)?;
    f.write_str(" }")
}

/// `items` with commas between them.
pub(super) fn separated(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}
