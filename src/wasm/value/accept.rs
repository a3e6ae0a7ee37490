//! The one place that knows what a type accepts: any payload that means a value of the type becomes the payload in the
//! exact shape in which the type's values are returned.
//!
//! Everything after it (component values, memory of core modules, typed calls) sees only exact shapes.

use bytes::Bytes;
use indexmap::IndexMap;

use super::error::{Path, shown_number, shown_type, shown_value};
use super::{Hint, ValueError, ValueProblem, WitType};
use crate::process::Payload;

/// `value` in the exact shape of `ty`. Recurses no deeper than the type.
pub(super) fn accept(value: &Payload, ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    match ty {
        WitType::Bool => match value {
            Payload::Bool(value) => Ok(Payload::Bool(*value)),
            other => Err(at.kind_error(other, ty)),
        },
        WitType::S8 => integer(value, i8::MIN.into(), i8::MAX.into(), ty, at),
        WitType::U8 => integer(value, 0, u8::MAX.into(), ty, at),
        WitType::S16 => integer(value, i16::MIN.into(), i16::MAX.into(), ty, at),
        WitType::U16 => integer(value, 0, u16::MAX.into(), ty, at),
        WitType::S32 => integer(value, i32::MIN.into(), i32::MAX.into(), ty, at),
        WitType::U32 => integer(value, 0, u32::MAX.into(), ty, at),
        WitType::S64 => integer(value, i64::MIN.into(), i64::MAX.into(), ty, at),
        WitType::U64 => integer(value, 0, u64::MAX.into(), ty, at),
        WitType::I32 => {
            let number = integer(value, i32::MIN.into(), u32::MAX.into(), ty, at)?;
            Ok(wrapped(number, |bits| i64::from(bits as i32)))
        }
        WitType::I64 => Ok(wrapped(integer(value, i64::MIN.into(), u64::MAX.into(), ty, at)?, |bits| bits as i64)),
        WitType::F32 => single(float(value, ty, at)?, at),
        WitType::F64 => float(value, ty, at).map(Payload::Float),
        WitType::Char => character(value, at),
        WitType::String => text(value, ty, at).map(Payload::String),
        WitType::List(element) if **element == WitType::U8 => bytes(value, ty, at),
        WitType::List(element) => list(value, element, ty, at),
        WitType::Option(some) => option(value, some, ty, at),
        WitType::Tuple(types) => tuple(value, types, ty, at),
        WitType::Result { ok, err } => {
            let cases = [("ok", ok.as_deref()), ("err", err.as_deref())];
            let (index, payload) = choose(value, &cases, ty, at)?;
            // Unlike a variant a result is a map also without payload, so that every reader asks for a key.
            Ok(single_key(cases[index].0, payload.unwrap_or_default()))
        }
        WitType::Record(fields) => record(value, fields, ty, at),
        WitType::Variant(cases) => {
            let cases: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.ty.as_ref())).collect();
            let (index, payload) = choose(value, &cases, ty, at)?;
            Ok(match payload {
                Some(payload) => single_key(cases[index].0, payload),
                None => Payload::from(cases[index].0),
            })
        }
        WitType::Enum(names) => enumeration(value, names, ty, at),
        WitType::Flags(names) => flags(value, names, ty, at),
        WitType::Refused(_) => Err(at.error(ValueProblem::Refused { ty: shown_type(ty) })),
    }
}

/// Whether `value` is in the exact shape of `ty` for all to see: numbers, truth values, texts and bytes. What is not may be so
/// all the same, or fit.
pub(super) fn is_exact(value: &Payload, ty: &WitType) -> bool {
    match (ty, value) {
        (WitType::S32 | WitType::I32, Payload::Int(number)) => i32::try_from(*number).is_ok(),
        (WitType::U32, Payload::Int(number)) => u32::try_from(*number).is_ok(),
        (WitType::U64, Payload::Int(number)) => *number >= 0,
        (WitType::List(element), Payload::Bytes(_)) => **element == WitType::U8,
        (WitType::S64 | WitType::I64, Payload::Int(_))
        | (WitType::U64, Payload::UInt(_))
        | (WitType::F64, Payload::Float(_))
        | (WitType::Bool, Payload::Bool(_))
        | (WitType::String, Payload::String(_)) => true,
        _ => false,
    }
}

fn integer(value: &Payload, min: i128, max: i128, ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    let number = match value {
        Payload::Int(number) => i128::from(*number),
        Payload::UInt(number) => i128::from(*number),
        Payload::Float(number) if number.is_finite() && number.fract() != 0.0 => {
            return Err(at.error(ValueProblem::NotWhole { value: *number, ty: shown_type(ty) }));
        }
        // Saturates for infinities and beyond 128 bits, which is out of every range; NaN is not whole.
        Payload::Float(number) if !number.is_nan() => *number as i128,
        other => return Err(at.kind_error(other, ty)),
    };
    if number < min || number > max {
        return Err(at.error(ValueProblem::OutOfRange { value: shown_number(value), ty: shown_type(ty) }));
    }
    Ok(i64::try_from(number).map_or(Payload::UInt(number as u64), Payload::Int))
}

/// A number of either signedness as the signed number with the same bits.
fn wrapped(value: Payload, signed: impl Fn(u64) -> i64) -> Payload {
    match value {
        Payload::Int(number) => Payload::Int(signed(number as u64)),
        Payload::UInt(number) => Payload::Int(signed(number)),
        other => other,
    }
}

fn float(value: &Payload, ty: &WitType, at: &Path<'_>) -> Result<f64, ValueError> {
    match value {
        Payload::Float(number) => Ok(*number),
        Payload::Int(number) => Ok(*number as f64),
        Payload::UInt(number) => Ok(*number as f64),
        Payload::String(name) if name == "nan" => Ok(f64::NAN),
        Payload::String(name) if name == "inf" => Ok(f64::INFINITY),
        Payload::String(name) if name == "-inf" => Ok(f64::NEG_INFINITY),
        other => Err(at.kind_error(other, ty)),
    }
}

/// The nearest 32-bit float; a finite number must stay finite.
fn single(number: f64, at: &Path<'_>) -> Result<Payload, ValueError> {
    let nearest = number as f32;
    if nearest.is_infinite() && number.is_finite() {
        let value = Payload::Float(number).to_string();
        return Err(at.error(ValueProblem::OutOfRange { value, ty: shown_type(&WitType::F32) }));
    }
    Ok(Payload::from(nearest))
}

fn character(value: &Payload, at: &Path<'_>) -> Result<Payload, ValueError> {
    if let Payload::Int(_) | Payload::UInt(_) | Payload::Float(_) = value {
        let shown = value.to_string();
        let code = integer(value, 0, u32::MAX.into(), &WitType::Char, at)?;
        return match code.as_u64().and_then(|code| char::from_u32(code as u32)) {
            Some(character) => Ok(Payload::from(character)),
            None => Err(at.error(ValueProblem::OutOfRange { value: shown, ty: shown_type(&WitType::Char) })),
        };
    }
    let text = text(value, &WitType::Char, at)?;
    match text.chars().count() {
        1 => Ok(Payload::String(text)),
        count => Err(at.error(ValueProblem::NotOneCharacter { count })),
    }
}

fn text(value: &Payload, ty: &WitType, at: &Path<'_>) -> Result<String, ValueError> {
    match value {
        Payload::String(text) => Ok(text.clone()),
        Payload::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(at.error(ValueProblem::NotUtf8 { at: error.valid_up_to() })),
        },
        other => Err(at.kind_error(other, ty)),
    }
}

fn bytes(value: &Payload, ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    let bytes = match value {
        Payload::Bytes(bytes) => bytes.clone(),
        Payload::String(text) => Bytes::copy_from_slice(text.as_bytes()),
        Payload::List(items) => {
            let byte = |(index, item): (usize, &Payload)| match item {
                Payload::Int(number @ 0..=255) => Ok(*number as u8),
                other => {
                    let number = integer(other, 0, u8::MAX.into(), &WitType::U8, &Path::Index(at, index))?;
                    Ok(number.as_u64().unwrap_or_default() as u8)
                }
            };
            Bytes::from(items.iter().enumerate().map(byte).collect::<Result<Vec<u8>, _>>()?)
        }
        other if is_empty_table(other) => Bytes::new(),
        other => return Err(at.kind_error(other, ty)),
    };
    Ok(Payload::Bytes(bytes))
}

/// An empty table of a script is a list or a map, whichever the type wants.
fn is_empty_table(value: &Payload) -> bool {
    match value {
        Payload::List(items) => items.is_empty(),
        Payload::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

fn list(value: &Payload, element: &WitType, ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    match value {
        Payload::List(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| accept(item, element, &Path::Index(at, index)))
            .collect::<Result<Vec<_>, _>>()
            .map(Payload::List),
        other if is_empty_table(other) => Ok(Payload::List(Vec::new())),
        other => Err(at.kind_error(other, ty)),
    }
}

/// A table of a script does not show the nils at its end, so the options at the end of a tuple may be missing.
fn tuple(value: &Payload, types: &[WitType], ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    let may_lack = |found| types.iter().skip(found).all(|ty| matches!(ty, WitType::Option(_)));
    let items = match value {
        Payload::List(items) => items.as_slice(),
        other if is_empty_table(other) && may_lack(0) => &[],
        other => return Err(at.kind_error(other, ty)),
    };
    if items.len() > types.len() || !may_lack(items.len()) {
        let problem = ValueProblem::Length { ty: shown_type(ty), expected: types.len(), found: items.len() };
        return Err(at.error(problem));
    }
    items
        .iter()
        .chain(std::iter::repeat(&Payload::Nil))
        .zip(types)
        .enumerate()
        .map(|(index, (item, ty))| accept(item, ty, &Path::Index(at, index)))
        .collect::<Result<Vec<_>, _>>()
        .map(Payload::List)
}

/// An option of an option wraps what it holds as `{"some": value}`, because nil can say only one `none`. A script, whose
/// tables hold no nil, says `{"none": true}` for `{"some": null}`. The bare value is accepted as well unless it looks like
/// one of these.
fn option(value: &Payload, some: &WitType, ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    if value.is_nil() {
        return Ok(Payload::Nil);
    }
    if !matches!(some, WitType::Option(_)) {
        return accept(value, some, at);
    }
    let inner = match value {
        Payload::Map(entries) if entries.contains_key("some") => match entries.first() {
            Some((_, inner)) if entries.len() == 1 => accept(inner, some, &Path::Field(at, "some"))?,
            _ => return Err(at.error(ValueProblem::NotOneCase { ty: shown_type(ty), found: entries.len() })),
        },
        Payload::Map(entries) if entries.len() == 1 && entries.get("none") == Some(&Payload::Bool(true)) => {
            Payload::Nil
        }
        bare => accept(bare, some, at)?,
    };
    Ok(single_key("some", inner))
}

fn record(value: &Payload, fields: &[super::Field], ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    let none = IndexMap::new();
    let given = match value {
        Payload::Map(entries) => entries,
        other if is_empty_table(other) => &none,
        other => return Err(at.kind_error(other, ty)),
    };
    // A wrong name comes first: it is more likely the reason of a missing field than the other way round.
    let known = fields.iter().filter(|field| given.contains_key(&field.name)).count();
    if known < given.len() {
        let is_unknown = |name: &&String| !fields.iter().any(|field| field.name == **name);
        let name = given.keys().find(is_unknown).cloned().unwrap_or_default();
        let hint = Hint::for_name(&name, fields.iter().map(|field| field.name.as_str()));
        return Err(at.error(ValueProblem::UnknownField { name, hint }));
    }
    let mut out = IndexMap::with_capacity(fields.len());
    for field in fields {
        let value = match given.get(&field.name) {
            Some(value) => accept(value, &field.ty, &Path::Field(at, &field.name))?,
            None if matches!(field.ty, WitType::Option(_)) => Payload::Nil,
            None => {
                let problem = ValueProblem::MissingField { name: field.name.clone(), ty: shown_type(&field.ty) };
                return Err(at.error(problem));
            }
        };
        out.insert(field.name.clone(), value);
    }
    Ok(Payload::Map(out))
}

/// The case that `value` names, and its payload in exact shape.
///
/// `"case"` and, for cases without payload, `{case: null}` and `{case: true}`; `{case: payload}` for the others.
fn choose(
    value: &Payload,
    cases: &[(&str, Option<&WitType>)],
    ty: &WitType,
    at: &Path<'_>,
) -> Result<(usize, Option<Payload>), ValueError> {
    let (name, payload) = match value {
        Payload::String(name) => (name, None),
        Payload::Map(entries) => match entries.first() {
            Some((name, payload)) if entries.len() == 1 => (name, Some(payload)),
            _ => return Err(at.error(ValueProblem::NotOneCase { ty: shown_type(ty), found: entries.len() })),
        },
        other if is_empty_table(other) => {
            return Err(at.error(ValueProblem::NotOneCase { ty: shown_type(ty), found: 0 }));
        }
        other => return Err(at.kind_error(other, ty)),
    };
    let Some(index) = cases.iter().position(|(case, _)| case == name) else {
        let hint = Hint::for_name(name, cases.iter().map(|(case, _)| *case));
        return Err(at.error(ValueProblem::UnknownName { what: "case", name: name.clone(), hint }));
    };
    match (cases[index].1, payload) {
        (None, None | Some(Payload::Nil | Payload::Bool(true))) => Ok((index, None)),
        (None, Some(payload)) => {
            Err(at.error(ValueProblem::UnexpectedPayload { case: name.clone(), found: shown_value(payload) }))
        }
        (Some(ty), Some(payload)) => Ok((index, Some(accept(payload, ty, &Path::Field(at, name))?))),
        (Some(WitType::Option(_)), None) => Ok((index, Some(Payload::Nil))),
        (Some(ty), None) => Err(at.error(ValueProblem::MissingPayload { case: name.clone(), ty: shown_type(ty) })),
    }
}

fn enumeration(value: &Payload, names: &[String], ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    match value {
        Payload::String(name) if names.contains(name) => Ok(Payload::from(name.as_str())),
        Payload::String(name) => {
            let hint = Hint::for_name(name, names.iter().map(String::as_str));
            Err(at.error(ValueProblem::UnknownName { what: "case", name: name.clone(), hint }))
        }
        Payload::Int(_) | Payload::UInt(_) | Payload::Float(_) => {
            let value = integer(value, i64::MIN.into(), u64::MAX.into(), ty, at)?;
            match value.as_u64().and_then(|number| names.get(usize::try_from(number).ok()?)) {
                Some(name) => Ok(Payload::from(name.as_str())),
                None => {
                    let max = names.len().saturating_sub(1) as u64;
                    Err(at.error(ValueProblem::UnknownNumber { what: "case number", value: value.to_string(), max }))
                }
            }
        }
        other => Err(at.kind_error(other, ty)),
    }
}

/// Names in a list, one name, a map of names to booleans, or a bitmask with the first flag in the lowest bit; the exact shape lists
/// the names in the order of their declaration.
fn flags(value: &Payload, names: &[String], ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    let position = |name: &str| {
        names.iter().position(|known| known == name).ok_or_else(|| {
            let hint = Hint::for_name(name, names.iter().map(String::as_str));
            at.error(ValueProblem::UnknownName { what: "flag", name: name.to_owned(), hint })
        })
    };
    let mut set = vec![false; names.len()];
    match value {
        Payload::String(name) => set[position(name)?] = true,
        Payload::List(items) => {
            for (index, item) in items.iter().enumerate() {
                match item {
                    Payload::String(name) => set[position(name)?] = true,
                    other => return Err(Path::Index(at, index).kind_error(other, &WitType::String)),
                }
            }
        }
        Payload::Map(entries) => {
            for (name, on) in entries {
                match on {
                    Payload::Bool(on) => set[position(name)?] = *on,
                    other => return Err(Path::Field(at, name).kind_error(other, &WitType::Bool)),
                }
            }
        }
        Payload::Int(_) | Payload::UInt(_) | Payload::Float(_) => {
            let value = integer(value, i64::MIN.into(), u64::MAX.into(), ty, at)?;
            let max = u64::MAX.checked_shr(64u32.saturating_sub(names.len() as u32)).unwrap_or(0);
            let Some(bits) = value.as_u64().filter(|bits| *bits <= max) else {
                return Err(at.error(ValueProblem::UnknownNumber {
                    what: "set of flags",
                    value: value.to_string(),
                    max,
                }));
            };
            for (index, on) in set.iter_mut().enumerate().take(64) {
                *on = bits >> index & 1 == 1;
            }
        }
        other => return Err(at.kind_error(other, ty)),
    }
    Ok(names.iter().zip(set).filter(|(_, on)| *on).map(|(name, _)| Payload::from(name.as_str())).collect())
}

/// A map with one entry: a case and its payload.
pub(super) fn single_key(key: &str, value: Payload) -> Payload {
    Payload::Map(IndexMap::from([(key.to_owned(), value)]))
}
