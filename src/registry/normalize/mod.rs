//! Raw entries -> raw entries: override, disable, link, override again, before anything is typed.

mod disable;
mod link;
mod overrides;

use indexmap::IndexMap;

use super::fields::{described, shown_path};
use super::source::{Origin, RawEntry};
use super::{Diagnostics, EntryId, LoadOptions, RuntimeConfig, Value};

/// All raw entries by ID, in the order of their declaration.
pub(super) type RawEntries = IndexMap<EntryId, RawEntry>;

/// Applies what the configuration and the modules say about the entries.
pub(super) fn apply(
    entries: &mut RawEntries,
    options: &LoadOptions,
    config: &RuntimeConfig,
    problems: &mut Diagnostics,
) {
    let overrides = overrides::collect(options, config, problems);
    overrides::apply(entries, &overrides, problems);
    disable::apply(entries, config, problems);
    link::apply(entries, problems);
    // Once more: an override has the last word over a linked value. Entries that are gone by now were disabled, and what
    // failed before has been told.
    overrides::apply_existing(entries, &overrides);
}

/// Sets a value of an entry: `["kind"]`, `["meta", …]` or `["data", …]`. With `append` it becomes the last item of a list.
///
/// # Errors
/// A sentence, when something on the way is no mapping.
fn set_value(raw: &mut RawEntry, path: &[String], value: Value, append: bool, origin: Origin) -> Result<(), String> {
    let (first, rest) = path.split_first().ok_or("there is no field")?;
    match (first.as_str(), rest) {
        ("kind", []) => match value {
            Value::String(kind) if !kind.trim().is_empty() => raw.kind = kind,
            other => return Err(format!("`kind` must be a text, not {}", described(&other))),
        },
        ("meta", [key, rest @ ..]) => {
            let field = raw.meta.entry(key.clone()).or_insert(Value::Null);
            put(field, rest, path, value, append)?;
        }
        ("data", [_, ..]) => put(&mut raw.payload, rest, path, value, append)?,
        _ => return Err(format!("`{}` cannot be set", shown_path(path))),
    }
    // Marks know the payload without `data`.
    let marked = if first == "data" { rest } else { path };
    raw.marks.origins.push(Origin { path: marked.to_vec(), ..origin });
    Ok(())
}

fn put(mut field: &mut Value, steps: &[String], path: &[String], value: Value, append: bool) -> Result<(), String> {
    for (at, step) in steps.iter().enumerate() {
        let here = path.len() - steps.len() + at;
        if field.is_null() {
            *field = Value::Object(serde_json::Map::new());
        }
        field = match field {
            Value::Object(fields) => fields.entry(step.clone()).or_insert(Value::Null),
            Value::Array(items) => {
                let count = items.len();
                let item = step.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.ok_or_else(|| format!("`{}` has {count} items, none at `{step}`", shown_path(&path[..here])))?
            }
            other => return Err(format!("`{}` is no mapping but {}", shown_path(&path[..here]), described(other))),
        };
    }
    match field {
        Value::Array(items) if append => items.push(value),
        Value::Null if append => *field = Value::Array(vec![value]),
        other if append => return Err(format!("`{}` is no list but {}", shown_path(path), described(other))),
        field => *field = value,
    }
    Ok(())
}

/// A dotted path of a field: `kind`, `meta.x`, `data.x`, or a bare `x` for `data.x`.
fn field_path(text: &str) -> Option<Vec<String>> {
    let text = text.trim().trim_start_matches('.');
    let mut path: Vec<String> = text.split('.').map(ToOwned::to_owned).collect();
    if path.iter().any(|step| step.trim().is_empty()) {
        return None;
    }
    match path[0].as_str() {
        "meta" | "data" if path.len() == 1 => return None,
        "kind" if path.len() > 1 => return None,
        "kind" | "meta" | "data" => {}
        _ => path.insert(0, "data".to_owned()),
    }
    Some(path)
}

#[cfg(test)]
mod tests;
