//! A valid value of any type, as it can be typed on a command line.

use super::WitType;

/// Levels after which an example leaves lists empty and options away, so that it stays readable.
const MAX_FULL_LEVELS: usize = 3;

/// Words that WAVE reads as values unless they are marked as names.
const WAVE_KEYWORDS: [&str; 8] = ["true", "false", "inf", "nan", "some", "none", "ok", "err"];

/// A valid value of `ty` in WAVE; for a bare `string` or `char` the text itself.
pub(crate) fn example(ty: &WitType) -> String {
    match ty {
        WitType::String => "text".to_owned(),
        WitType::Char => "a".to_owned(),
        ty => wave(ty, 0),
    }
}

fn wave(ty: &WitType, level: usize) -> String {
    let next = |ty: &WitType| wave(ty, level + 1);
    let join = |parts: Vec<String>| parts.join(", ");
    match ty {
        WitType::Bool => "true".to_owned(),
        WitType::F32 | WitType::F64 => "1.5".to_owned(),
        WitType::Char => "'a'".to_owned(),
        WitType::String => "\"text\"".to_owned(),
        WitType::List(_) if level >= MAX_FULL_LEVELS => "[]".to_owned(),
        WitType::List(element) => format!("[{}]", next(element)),
        WitType::Option(_) if level >= MAX_FULL_LEVELS => "none".to_owned(),
        WitType::Option(some) => format!("some({})", next(some)),
        WitType::Tuple(types) => format!("({})", join(types.iter().map(next).collect())),
        WitType::Result { ok: Some(ok), .. } => format!("ok({})", next(ok)),
        WitType::Result { ok: None, .. } => "ok".to_owned(),
        WitType::Record(fields) => {
            let all_optional = fields.iter().all(|field| matches!(field.ty, WitType::Option(_)));
            let shown = |ty: &WitType| level < MAX_FULL_LEVELS || all_optional || !matches!(ty, WitType::Option(_));
            let field = |field: &super::Field| format!("{}: {}", name(&field.name), next(&field.ty));
            format!("{{{}}}", join(fields.iter().filter(|field| shown(&field.ty)).map(field).collect()))
        }
        WitType::Variant(cases) => match cases.first() {
            Some(case) => match &case.ty {
                Some(ty) => format!("{}({})", name(&case.name), next(ty)),
                None => name(&case.name),
            },
            None => String::new(),
        },
        WitType::Enum(names) => names.first().map(|first| name(first)).unwrap_or_default(),
        WitType::Flags(names) => format!("{{{}}}", names.first().map(|first| name(first)).unwrap_or_default()),
        _ => "7".to_owned(),
    }
}

fn name(name: &str) -> String {
    if WAVE_KEYWORDS.contains(&name) { format!("%{name}") } else { name.to_owned() }
}
