//! Returned values as scripts see them: the two forms that an entry chooses from with `values`.
//!
//! Both are made from the exact shape, and `accept` takes both back as the same value, but for what the form of Wippy can't
//! say.

use std::borrow::Cow;

use super::accept::single_key;
use super::{Signature, WitType};
use crate::process::{FormError, Payload};

/// How many bytes of a result may become numbers: each takes 32 bytes on its way and 16 in the table of the script, and
/// nothing preempts the conversion.
pub const BYTES_AS_NUMBERS_MAX: usize = 1 << 19;

/// The values of a function in the form of Wippy.
///
/// A `char` is its code point, a `list<u8>` a list of numbers, an `enum` the number of its case, and `flags` are a bitmask
/// with the first flag in the lowest bit. A case without payload is `{case: true}`, one whose payload is nil its bare name.
/// An option of an option holds the bare value, so that `some(none)` is nil like `none`; a value that would be read as
/// something else stays wrapped as in the exact shape. Everything else is as it is.
///
/// # Errors
/// More than [`BYTES_AS_NUMBERS_MAX`] bytes would become numbers.
///
/// ```
/// use wippy::{process::Payload, wasm::value::{Signature, WitType, wippy_form}};
///
/// let colors = WitType::Enum(vec!["red".to_owned(), "green".to_owned()]);
/// let signature = Signature::new(vec![], vec![WitType::List(Box::new(colors))]);
/// let value = Payload::parse_json(r#"["green", "red"]"#)?;
/// assert_eq!(wippy_form(&value, &signature)?.to_string(), "[1,0]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wippy_form<'a>(value: &'a Payload, signature: &Signature) -> Result<Cow<'a, Payload>, FormError> {
    Form { is_named: false, bytes: BYTES_AS_NUMBERS_MAX }.results(value, signature)
}

/// The values of a function in the form that names what has a name and has bytes for bytes.
///
/// It is the exact shape, but for what a table can't say: `{case: nil}` is the bare name of the case, and `some(none)` is
/// `{none: true}`.
///
/// # Errors
/// None today.
///
/// ```
/// use wippy::{process::Payload, wasm::value::{Signature, WitType, named_form}};
///
/// let signature = Signature::new(vec![], vec![WitType::Result { ok: None, err: None }]);
/// let value = Payload::parse_json(r#"{"ok": null}"#)?;
/// assert_eq!(named_form(&value, &signature)?.to_string(), r#""ok""#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn named_form<'a>(value: &'a Payload, signature: &Signature) -> Result<Cow<'a, Payload>, FormError> {
    Form { is_named: true, bytes: BYTES_AS_NUMBERS_MAX }.results(value, signature)
}

/// A rewriting of one result.
struct Form {
    is_named: bool,
    /// How many bytes may still become numbers.
    bytes: usize,
}

impl Form {
    fn results<'a>(mut self, value: &'a Payload, signature: &Signature) -> Result<Cow<'a, Payload>, FormError> {
        match (signature.results(), value) {
            (types, _) if types.iter().all(|ty| self.keeps(ty)) => Ok(Cow::Borrowed(value)),
            ([ty], value) => self.of(value, ty).map(Cow::Owned),
            (types, Payload::List(items)) => self.each(items, types).map(Cow::Owned),
            _ => Ok(Cow::Borrowed(value)),
        }
    }

    /// Whether the exact shape of a type is the form already.
    fn keeps(&self, ty: &WitType) -> bool {
        match ty {
            WitType::Char | WitType::Enum(_) | WitType::Flags(_) => self.is_named,
            _ if ty.is_bytes() => self.is_named,
            WitType::Result { .. } | WitType::Variant(_) => false,
            WitType::Option(some) => !matches!(**some, WitType::Option(_)) && self.keeps(some),
            WitType::List(element) => self.keeps(element),
            WitType::Tuple(types) => types.iter().all(|ty| self.keeps(ty)),
            WitType::Record(fields) => fields.iter().all(|field| self.keeps(&field.ty)),
            _ => true,
        }
    }

    /// Recurses no deeper than the type. What is not in exact shape stays as it is.
    fn of(&mut self, value: &Payload, ty: &WitType) -> Result<Payload, FormError> {
        Ok(match (ty, value) {
            (WitType::Option(some), Payload::Map(entries)) if matches!(**some, WitType::Option(_)) => {
                let inner = self.of(entries.get("some").unwrap_or(&Payload::Nil), some)?;
                self.within_option(inner)
            }
            (WitType::Option(some), value) if !value.is_nil() => self.of(value, some)?,
            (WitType::Result { ok, err }, Payload::Map(entries)) => match entries.first() {
                Some((name, value)) if name == "ok" => self.case(name, value, ok.as_deref())?,
                Some((name, value)) => self.case(name, value, err.as_deref())?,
                None => value.clone(),
            },
            (WitType::Variant(cases), Payload::Map(entries)) => match entries.first() {
                Some((name, value)) => {
                    let ty = cases.iter().find(|case| case.name == *name).and_then(|case| case.ty.as_ref());
                    self.case(name, value, ty)?
                }
                None => value.clone(),
            },
            (WitType::Variant(_), Payload::String(name)) => self.case(name, &Payload::Nil, None)?,
            (WitType::List(element), Payload::List(items)) => {
                items.iter().map(|item| self.of(item, element)).collect::<Result<_, _>>()?
            }
            (WitType::Tuple(types), Payload::List(items)) => self.each(items, types)?,
            (WitType::Record(fields), Payload::Map(entries)) => {
                let field = |field: &super::Field| {
                    let value = entries.get(&field.name).unwrap_or(&Payload::Nil);
                    Ok((field.name.clone(), self.of(value, &field.ty)?))
                };
                fields.iter().map(field).collect::<Result<_, _>>()?
            }
            (ty, value) if !self.is_named => self.as_numbers(value, ty)?,
            (_, value) => value.clone(),
        })
    }

    fn each(&mut self, items: &[Payload], types: &[WitType]) -> Result<Payload, FormError> {
        items.iter().zip(types).map(|(item, ty)| self.of(item, ty)).collect()
    }

    /// A case of a variant or a side of a result: a table holds no nil, so where the payload is nil the name stands alone.
    fn case(&mut self, name: &str, value: &Payload, ty: Option<&WitType>) -> Result<Payload, FormError> {
        let Some(ty) = ty else {
            return Ok(if self.is_named { Payload::from(name) } else { single_key(name, true.into()) });
        };
        Ok(match self.of(value, ty)? {
            Payload::Nil => Payload::from(name),
            payload => single_key(name, payload),
        })
    }

    /// What the outer one of two options holds.
    fn within_option(&self, inner: Payload) -> Payload {
        let reads_as_option = |entries: &indexmap::IndexMap<String, Payload>| {
            entries.contains_key("some") || entries.get("none") == Some(&Payload::Bool(true))
        };
        match inner {
            Payload::Nil if self.is_named => single_key("none", true.into()),
            Payload::Map(entries) if self.is_named || reads_as_option(&entries) => {
                single_key("some", Payload::Map(entries))
            }
            inner if self.is_named => single_key("some", inner),
            bare => bare,
        }
    }

    /// Characters, bytes, names of cases and of flags as the numbers they are.
    fn as_numbers(&mut self, value: &Payload, ty: &WitType) -> Result<Payload, FormError> {
        let position =
            |names: &[String], name: &Payload| names.iter().position(|known| Some(known.as_str()) == name.as_str());
        Ok(match (ty, value) {
            (WitType::Char, Payload::String(text)) => {
                text.chars().next().map_or(Payload::Nil, |character| u32::from(character).into())
            }
            (WitType::Enum(names), name) => {
                position(names, name).map_or_else(|| name.clone(), |position| Payload::Int(position as i64))
            }
            // A bitmask has 64 bits, and a script 63 for what is not negative.
            (WitType::Flags(names), Payload::List(set)) if names.len() < 64 => {
                let bits = set.iter().filter_map(|name| position(names, name));
                Payload::Int(bits.fold(0, |mask, bit| mask | 1 << bit))
            }
            (_, Payload::Bytes(bytes)) => {
                self.bytes = self.bytes.checked_sub(bytes.len()).ok_or_else(|| {
                    FormError::new(format!(
                        "the result has more than {BYTES_AS_NUMBERS_MAX} bytes in a `list<u8>`, too many for a table of \
                         numbers; with `values: named` in its entry a `list<u8>` is a string"
                    ))
                })?;
                bytes.iter().map(|byte| Payload::from(*byte)).collect()
            }
            (_, value) => value.clone(),
        })
    }
}
