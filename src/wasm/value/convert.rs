//! Payloads in exact shape as component values, and back.

use indexmap::IndexMap;
use wasmtime::component::Val;

use super::accept::{accept, single_key};
use super::error::Path;
use super::{ValueError, WitType};
use crate::process::Payload;

/// The component value that `value` means for `ty`; errors name places from `root` on, for example `argument 1`.
///
/// # Errors
/// The value does not fit; see [`ValueProblem`](super::ValueProblem).
///
/// ```
/// use wippy::{process::Payload, wasm::value::{WitType, lower}};
///
/// let error = lower(&Payload::from(300), &WitType::U8, "argument 1").unwrap_err();
/// assert_eq!(error.to_string(), "argument 1: 300 does not fit u8");
/// ```
pub fn lower(value: &Payload, ty: &WitType, root: &str) -> Result<Val, ValueError> {
    let at = Path::Root(root);
    exact_to_val(accept(value, ty, &at)?, ty, &at)
}

/// The payload that a component value of `ty` means, in the exact shape of its type:
///
/// | WIT | payload |
/// |---|---|
/// | `bool` | `Bool` |
/// | whole numbers | `Int`, above `i64::MAX` `UInt` |
/// | `f32`, `f64` | `Float` |
/// | `char`, `string` | `String` |
/// | `list<u8>` | `Bytes` |
/// | `list`, `tuple` | `List` |
/// | `record` | `Map` with every field in order |
/// | `option` | `Nil` or the value; an option of an option holds `{"some": value}` |
/// | `result` | `{"ok": value}` or `{"err": value}`, nil where there is no payload |
/// | `variant` | `{"case": payload}`, a case without payload `"case"` |
/// | `enum` | the name |
/// | `flags` | `List` of the names that are set, in the order of their declaration |
///
/// # Errors
/// The value is not of the type, or is one of those that cannot be passed.
pub fn lift(value: &Val, ty: &WitType) -> Result<Payload, ValueError> {
    val_to_payload(value, ty, &Path::Root("result"))
}

/// `value` must be in the exact shape of `ty`, as [`accept`] makes it; anything else is refused as a wrong kind.
pub(super) fn exact_to_val(value: Payload, ty: &WitType, at: &Path<'_>) -> Result<Val, ValueError> {
    Ok(match (ty, value) {
        (WitType::Bool, Payload::Bool(value)) => Val::Bool(value),
        (WitType::S8, Payload::Int(value)) => Val::S8(value as i8),
        (WitType::U8, Payload::Int(value)) => Val::U8(value as u8),
        (WitType::S16, Payload::Int(value)) => Val::S16(value as i16),
        (WitType::U16, Payload::Int(value)) => Val::U16(value as u16),
        (WitType::S32 | WitType::I32, Payload::Int(value)) => Val::S32(value as i32),
        (WitType::U32, Payload::Int(value)) => Val::U32(value as u32),
        (WitType::S64 | WitType::I64, Payload::Int(value)) => Val::S64(value),
        (WitType::U64, Payload::Int(value)) => Val::U64(value as u64),
        (WitType::U64, Payload::UInt(value)) => Val::U64(value),
        (WitType::F32, Payload::Float(value)) => Val::Float32(value as f32),
        (WitType::F64, Payload::Float(value)) => Val::Float64(value),
        (WitType::Char, Payload::String(text)) if text.chars().count() == 1 => {
            Val::Char(text.chars().next().unwrap_or_default())
        }
        (WitType::String, Payload::String(text)) => Val::String(text),
        (WitType::List(element), Payload::Bytes(bytes)) if **element == WitType::U8 => {
            Val::List(bytes.iter().copied().map(Val::U8).collect())
        }
        (WitType::List(element), Payload::List(items)) => {
            let item = |(index, item)| exact_to_val(item, element, &Path::Index(at, index));
            Val::List(items.into_iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
        (WitType::Option(_), Payload::Nil) => Val::Option(None),
        (WitType::Option(some), value) => {
            let inner = if matches!(**some, WitType::Option(_)) { only_value(value, "some", ty, at)? } else { value };
            Val::Option(Some(Box::new(exact_to_val(inner, some, at)?)))
        }
        (WitType::Tuple(types), Payload::List(items)) if items.len() == types.len() => {
            let items = items.into_iter().zip(types).map(|(item, ty)| exact_to_val(item, ty, at));
            Val::Tuple(items.collect::<Result<_, _>>()?)
        }
        (WitType::Result { ok, .. }, Payload::Map(entries)) if entries.contains_key("ok") => {
            Val::Result(Ok(case_payload(entries, ok.as_deref(), at)?))
        }
        (WitType::Result { err, .. }, Payload::Map(entries)) => {
            Val::Result(Err(case_payload(entries, err.as_deref(), at)?))
        }
        (WitType::Record(fields), Payload::Map(entries)) if entries.len() == fields.len() => {
            let fields = entries.into_iter().zip(fields).map(|((name, value), field)| {
                let value = exact_to_val(value, &field.ty, &Path::Field(at, &field.name))?;
                Ok((name, value))
            });
            Val::Record(fields.collect::<Result<_, _>>()?)
        }
        (WitType::Variant(_), Payload::String(name)) => Val::Variant(name, None),
        (WitType::Variant(cases), Payload::Map(entries)) => {
            let name = entries.keys().next().cloned().unwrap_or_default();
            let ty = cases.iter().find(|case| case.name == name).and_then(|case| case.ty.as_ref());
            Val::Variant(name, case_payload(entries, ty, at)?)
        }
        (WitType::Enum(_), Payload::String(name)) => Val::Enum(name),
        (WitType::Flags(_), Payload::List(names)) => {
            let name = |item| match item {
                Payload::String(name) => Ok(name),
                other => Err(at.kind_error(&other, ty)),
            };
            Val::Flags(names.into_iter().map(name).collect::<Result<_, _>>()?)
        }
        (_, other) => return Err(at.kind_error(&other, ty)),
    })
}

fn only_value(value: Payload, key: &str, ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    match value {
        Payload::Map(mut entries) if entries.len() == 1 && entries.contains_key(key) => {
            Ok(entries.swap_remove(key).unwrap_or_default())
        }
        other => Err(at.kind_error(&other, ty)),
    }
}

fn case_payload(
    entries: IndexMap<String, Payload>,
    ty: Option<&WitType>,
    at: &Path<'_>,
) -> Result<Option<Box<Val>>, ValueError> {
    let payload = entries.into_values().next().unwrap_or_default();
    ty.map(|ty| exact_to_val(payload, ty, at).map(Box::new)).transpose()
}

pub(super) fn val_to_payload(value: &Val, ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    Ok(match (ty, value) {
        (WitType::Bool, Val::Bool(value)) => Payload::from(*value),
        (WitType::S8, Val::S8(value)) => Payload::from(*value),
        (WitType::U8, Val::U8(value)) => Payload::from(*value),
        (WitType::S16, Val::S16(value)) => Payload::from(*value),
        (WitType::U16, Val::U16(value)) => Payload::from(*value),
        (WitType::S32 | WitType::I32, Val::S32(value)) => Payload::from(*value),
        (WitType::U32, Val::U32(value)) => Payload::from(*value),
        (WitType::S64 | WitType::I64, Val::S64(value)) => Payload::from(*value),
        (WitType::U64, Val::U64(value)) => Payload::from(*value),
        (WitType::F32, Val::Float32(value)) => Payload::from(*value),
        (WitType::F64, Val::Float64(value)) => Payload::from(*value),
        (WitType::Char, Val::Char(value)) => Payload::from(*value),
        (WitType::String, Val::String(text)) => Payload::from(text.as_str()),
        (WitType::List(element), Val::List(items)) if **element == WitType::U8 => {
            let byte = |item: &Val| match item {
                Val::U8(byte) => Ok(*byte),
                other => Err(unlike(other, element, at)),
            };
            Payload::from(items.iter().map(byte).collect::<Result<Vec<u8>, _>>()?)
        }
        (WitType::List(element), Val::List(items)) => {
            let item = |(index, item)| val_to_payload(item, element, &Path::Index(at, index));
            items.iter().enumerate().map(item).collect::<Result<_, _>>()?
        }
        (WitType::Option(_), Val::Option(None)) => Payload::Nil,
        (WitType::Option(some), Val::Option(Some(inner))) => wrap_some(val_to_payload(inner, some, at)?, some),
        (WitType::Tuple(types), Val::Tuple(items)) if items.len() == types.len() => {
            let items = items.iter().zip(types).map(|(item, ty)| val_to_payload(item, ty, at));
            items.collect::<Result<_, _>>()?
        }
        (WitType::Result { ok, .. }, Val::Result(Ok(value))) => {
            single_key("ok", optional(value.as_deref(), ok.as_deref(), at)?.unwrap_or_default())
        }
        (WitType::Result { err, .. }, Val::Result(Err(value))) => {
            single_key("err", optional(value.as_deref(), err.as_deref(), at)?.unwrap_or_default())
        }
        (WitType::Record(fields), Val::Record(values)) if values.len() == fields.len() => {
            let values = values.iter().zip(fields).map(|((name, value), field)| {
                let value = val_to_payload(value, &field.ty, &Path::Field(at, &field.name))?;
                Ok((name.clone(), value))
            });
            values.collect::<Result<_, _>>()?
        }
        (WitType::Variant(cases), Val::Variant(name, value)) => {
            let ty = cases.iter().find(|case| case.name == *name).and_then(|case| case.ty.as_ref());
            match optional(value.as_deref(), ty, at)? {
                Some(payload) => single_key(name, payload),
                None => Payload::from(name.as_str()),
            }
        }
        (WitType::Enum(_), Val::Enum(name)) => Payload::from(name.as_str()),
        // The engine lists flags in the order of their declaration, but a value made by hand may not.
        (WitType::Flags(names), Val::Flags(set)) => {
            names.iter().filter(|name| set.contains(name)).map(|name| Payload::from(name.as_str())).collect()
        }
        (_, other) => return Err(unlike(other, ty, at)),
    })
}

fn optional(value: Option<&Val>, ty: Option<&WitType>, at: &Path<'_>) -> Result<Option<Payload>, ValueError> {
    match (value, ty) {
        (Some(value), Some(ty)) => val_to_payload(value, ty, at).map(Some),
        _ => Ok(None),
    }
}

/// What an option of `some` holds: wrapped where the bare value could be nil as well.
pub(super) fn wrap_some(inner: Payload, some: &WitType) -> Payload {
    if matches!(some, WitType::Option(_)) { single_key("some", inner) } else { inner }
}

fn unlike(value: &Val, ty: &WitType, at: &Path<'_>) -> ValueError {
    use super::ValueProblem;
    use super::error::shown_type;
    let found = match value {
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => {
            return at.error(ValueProblem::Refused { ty: shown_type(ty) });
        }
        Val::List(items) => format!("a list of {}", items.len()),
        other => super::error::clipped(&format!("{other:?}"), 100),
    };
    at.error(ValueProblem::Kind { expected: shown_type(ty), found })
}
