//! `disable.namespaces` and `disable.entries`.

use super::super::settings::problem;
use super::super::{Diagnostics, RuntimeConfig, Severity, Value};
use super::RawEntries;

/// Drops what the configuration disables; names of nothing are warned of.
pub(super) fn apply(entries: &mut RawEntries, config: &RuntimeConfig, problems: &mut Diagnostics) {
    for key in ["namespaces", "entries"] {
        let Some(setting) = config.setting("disable", key) else { continue };
        let names: Vec<&str> = match &setting.value {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            // From `--set`: one, or several with commas.
            Value::String(text) => text.split(',').map(str::trim).collect(),
            _ => continue,
        };
        for name in names {
            let before = entries.len();
            match key {
                "namespaces" => entries.retain(|id, _| id.namespace() != name),
                _ => entries.retain(|id, _| id.to_string() != name),
            }
            if entries.len() == before {
                let mut warning = problem(setting, "unknown-entry", format!("`disable.{key}` names nothing: `{name}`"));
                warning.severity = Severity::Warning;
                problems.add(warning);
            }
        }
    }
}
