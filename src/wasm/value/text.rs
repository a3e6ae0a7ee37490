//! Values typed on a command line: JSON or WAVE, read by the type that is expected.

use std::borrow::Cow;

use indexmap::IndexMap;
use wasmtime::component::wasm_wave::ast::{Node, NodeType};
use wasmtime::component::wasm_wave::untyped::UntypedValue;

use super::accept::{accept, single_key};
use super::error::{Path, shown_text, shown_type};
use super::example::example;
use super::{ValueError, ValueProblem, WitType};
use crate::process::Payload;

/// Characters that may open a list, record or variant in a WAVE text: its parser recurses for each, so a text with more
/// is not read.
const MAX_WAVE_BRACKETS_DEEP: usize = Payload::MAX_DEPTH;

/// `text` as a value of `ty` in exact shape.
///
/// A `string` is the text as it is, and so is a `char` that is one character. Everything else is JSON where the text is
/// JSON and fits, else WAVE.
pub(super) fn read_text(text: &str, ty: &WitType, at: &Path<'_>) -> Result<Payload, ValueError> {
    match ty {
        WitType::String => return Ok(Payload::from(text)),
        WitType::Char if text.chars().count() == 1 => return Ok(Payload::from(text)),
        WitType::Refused(_) => return Err(at.error(ValueProblem::Refused { ty: shown_type(ty) })),
        _ => {}
    }
    let mut reason = None;
    if let Ok(value) = Payload::parse_json(text) {
        match accept(&value, ty, at) {
            Ok(value) => return Ok(value),
            Err(error) => reason = Some(error),
        }
    }
    if let Some(value) = read_wave(text, ty) {
        match accept(&value, ty, at) {
            Ok(value) => return Ok(value),
            // A text that is both says the same in both, and the first error quotes it as it was typed.
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    match reason {
        // A wrong kind as a whole says nothing that an example would not say better.
        Some(error) if !is_whole_kind(&error, at) => Err(error),
        _ => {
            let (found, expected) = (shown_text(text), shown_type(ty));
            Err(at.error(ValueProblem::Unreadable { found, expected, example: example(ty) }))
        }
    }
}

fn is_whole_kind(error: &ValueError, at: &Path<'_>) -> bool {
    matches!(error.problem, ValueProblem::Kind { .. }) && error.path == at.to_string()
}

/// The payload that a WAVE text means for `ty`, not yet in exact shape; `None` where it is not WAVE.
fn read_wave(text: &str, ty: &WitType) -> Option<Payload> {
    if nesting(text) > MAX_WAVE_BRACKETS_DEEP {
        return None;
    }
    let value = UntypedValue::parse(text).ok()?;
    node_payload(value.node(), text, ty)
}

/// An upper bound of how deep brackets nest, those in strings included.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Any node means some payload; the type decides only what WAVE leaves open: how `some` and keywords used as names read.
fn node_payload(node: &Node, text: &str, ty: &WitType) -> Option<Payload> {
    let label = |node: &Node| text.get(node.span()).map(|name| name.strip_prefix('%').unwrap_or(name));
    let some = match ty {
        WitType::Option(some) => Some(&**some),
        _ => None,
    };
    match (node.ty(), some) {
        (NodeType::OptionNone, Some(_)) => return Some(Payload::Nil),
        (NodeType::OptionSome, Some(some)) => {
            let inner = node_payload(node.as_option().ok()??, text, some)?;
            return Some(super::convert::wrap_some(inner, some));
        }
        // A bare value for an option of an option stands for the innermost.
        (_, Some(some)) => return Some(super::convert::wrap_some(node_payload(node, text, some)?, some)),
        (_, None) => {}
    }
    if let WitType::Variant(_) | WitType::Enum(_) = ty
        && let Some(case) = keyword_case(node, text, ty)
    {
        return Some(case);
    }
    Some(match node.ty() {
        NodeType::BoolTrue => Payload::Bool(true),
        NodeType::BoolFalse => Payload::Bool(false),
        NodeType::Number => number_payload(text.get(node.span())?)?,
        NodeType::Char => Payload::from(node.as_char(text).ok()?),
        NodeType::String | NodeType::MultilineString => Payload::String(node.as_str(text).map(Cow::into_owned).ok()?),
        NodeType::Tuple => {
            let types = if let WitType::Tuple(types) = ty { types.as_slice() } else { &[] };
            let nth = |index: usize| types.get(index).unwrap_or(ty_unknown());
            let items = node.as_tuple().ok()?.enumerate();
            items.map(|(index, item)| node_payload(item, text, nth(index))).collect::<Option<_>>()?
        }
        NodeType::List => {
            let element = if let WitType::List(element) = ty { element } else { ty_unknown() };
            node.as_list().ok()?.map(|item| node_payload(item, text, element)).collect::<Option<_>>()?
        }
        NodeType::Record => {
            let fields = if let WitType::Record(fields) = ty { fields.as_slice() } else { &[] };
            let mut entries = IndexMap::new();
            for (name, value) in node.as_record(text).ok()? {
                let field = fields.iter().find(|field| field.name == name);
                let value = node_payload(value, text, field.map_or(ty_unknown(), |field| &field.ty))?;
                if entries.insert(name.to_owned(), value).is_some() {
                    return None;
                }
            }
            Payload::Map(entries)
        }
        NodeType::Label => Payload::from(label(node)?),
        NodeType::VariantWithPayload => {
            let (name, payload) = node.as_variant(text).ok()?;
            case_payload(name, payload?, text, ty)?
        }
        NodeType::OptionNone => Payload::Nil,
        NodeType::OptionSome => single_key("some", node_payload(node.as_option().ok()??, text, ty_unknown())?),
        NodeType::ResultOk | NodeType::ResultErr => {
            let (ok, err) = match ty {
                WitType::Result { ok, err } => (ok.as_deref(), err.as_deref()),
                _ => (None, None),
            };
            let (key, payload, ty) = match node.as_result().ok()? {
                Ok(payload) => ("ok", payload, ok),
                Err(payload) => ("err", payload, err),
            };
            let payload =
                payload.map(|node| node_payload(node, text, ty.unwrap_or(ty_unknown()))).map(Option::unwrap_or_default);
            single_key(key, payload.unwrap_or_default())
        }
        NodeType::Flags => {
            node.as_flags(text).ok()?.map(|name| Payload::from(name.strip_prefix('%').unwrap_or(name))).collect()
        }
    })
}

/// The case of a variant or enum whose name WAVE keeps for itself, such as `none` or `ok`; `%none` is the long way.
fn keyword_case(node: &Node, text: &str, ty: &WitType) -> Option<Payload> {
    let payload = match node.ty() {
        NodeType::OptionNone | NodeType::BoolTrue | NodeType::BoolFalse => None,
        NodeType::OptionSome => node.as_option().ok()?,
        NodeType::ResultOk | NodeType::ResultErr => node.as_result().ok()?.unwrap_or_else(|payload| payload),
        _ => return None,
    };
    let name = text.get(node.span())?.split('(').next()?.trim_end();
    match payload {
        Some(payload) => case_payload(name, payload, text, ty),
        None => Some(Payload::from(name)),
    }
}

fn case_payload(name: &str, payload: &Node, text: &str, ty: &WitType) -> Option<Payload> {
    let payload_ty = match ty {
        WitType::Variant(cases) => cases.iter().find(|case| case.name == name).and_then(|case| case.ty.as_ref()),
        _ => None,
    };
    Some(single_key(name, node_payload(payload, text, payload_ty.unwrap_or(ty_unknown()))?))
}

/// Stands for the type of a part that the expected type does not have; checking the whole then fails with its reason.
fn ty_unknown() -> &'static WitType {
    &WitType::String
}

/// A WAVE number: `nan`, `inf`, `-inf` or what JSON has.
fn number_payload(text: &str) -> Option<Payload> {
    match text {
        "nan" | "inf" | "-inf" => Some(Payload::from(text)),
        number => Payload::parse_json(number).ok(),
    }
}
