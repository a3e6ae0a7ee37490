//! Overrides: the section `override` of the configuration, and `-o`.

use super::super::settings::coerced;
use super::super::source::Origin;
use super::super::{Diagnostic, Diagnostics, EntryId, LoadOptions, Position, RuntimeConfig, Value};
use super::{RawEntries, field_path, set_value};
use crate::suggest::closest;

/// A field of an entry with its new value.
#[derive(Debug)]
pub(super) struct Override {
    id: EntryId,
    path: Vec<String>,
    value: Value,
    position: Option<Position>,
    note: String,
}

const EXPECTED: &str = "`namespace:entry:field`, the field being `kind`, `meta.x` or a field of the kind";

/// All overrides in the order in which they count; the command line comes last.
pub(super) fn collect(options: &LoadOptions, config: &RuntimeConfig, problems: &mut Diagnostics) -> Vec<Override> {
    let mut overrides = Vec::new();
    for (key, setting) in config.section("override") {
        match parse_key(key) {
            Some((id, path)) => {
                let note = setting.note.clone().unwrap_or_else(|| format!("set by the override `{key}`"));
                let position = setting.position.clone();
                overrides.push(Override { id, path, value: setting.value.clone(), position, note });
            }
            None => {
                let message = format!("the override `{key}` names no field");
                let problem = super::super::settings::problem(setting, "bad-override", message);
                problems.add(problem.expected(EXPECTED));
            }
        }
    }
    for option in options.overrides.iter().flat_map(|option| split_commas(option)) {
        let parts = option.split_once('=').and_then(|(key, value)| Some((parse_key(key)?, value)));
        match parts {
            Some(((id, path), value)) => {
                let note = format!("set by `-o {option}`");
                overrides.push(Override { id, path, value: coerced(value), position: None, note });
            }
            None => {
                let message = format!("`-o {option}` overrides nothing");
                let expected = "`-o namespace:entry:field=value`";
                problems.add(Diagnostic::error("bad-override", message).expected(expected));
            }
        }
    }
    overrides
}

/// Sets the values; unknown entries and wrong paths are reported.
pub(super) fn apply(entries: &mut RawEntries, overrides: &[Override], problems: &mut Diagnostics) {
    for item in overrides {
        let report = |code, message| Diagnostic::error(code, message).at(item.position.clone()).note(item.note.clone());
        let Some(raw) = entries.get_mut(&item.id) else {
            let problem = report("unknown-entry", format!("the overridden entry `{}` does not exist", item.id));
            let known: Vec<String> = entries.keys().map(ToString::to_string).collect();
            problems.add(match closest(&item.id.to_string(), known.iter().map(String::as_str)) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem,
            });
            continue;
        };
        if let Err(reason) = set_value(raw, &item.path, item.value.clone(), false, item.origin()) {
            problems.add(report("bad-override", reason).entry(item.id.clone()));
        }
    }
}

/// The same for entries that still exist, without a word.
pub(super) fn apply_existing(entries: &mut RawEntries, overrides: &[Override]) {
    for item in overrides {
        if let Some(raw) = entries.get_mut(&item.id) {
            // What is wrong was told the first time.
            let _ = set_value(raw, &item.path, item.value.clone(), false, item.origin());
        }
    }
}

impl Override {
    fn origin(&self) -> Origin {
        Origin { path: Vec::new(), position: self.position.clone(), note: self.note.clone() }
    }
}

/// `namespace:entry:path`; the entry's name may have colons, the path has none.
fn parse_key(key: &str) -> Option<(EntryId, Vec<String>)> {
    let (id, path) = key.rsplit_once(':')?;
    Some((id.parse().ok()?, field_path(path)?))
}

/// Several overrides in one option; quotes protect commas, as in CSV.
fn split_commas(option: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for char in option.chars() {
        match char {
            '"' => quoted = !quoted,
            ',' if !quoted => parts.push(String::new()),
            char => {
                if let Some(part) = parts.last_mut() {
                    part.push(char);
                }
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_an_id_and_a_path() {
        let (id, path) = parse_key("app:web:api:wasi.cwd").unwrap();
        assert_eq!(id.to_string(), "app:web:api");
        assert_eq!(path, ["data", "wasi", "cwd"]);
        assert_eq!(parse_key("app:x:kind").unwrap().1, ["kind"]);
        assert_eq!(parse_key("app:x:meta.a").unwrap().1, ["meta", "a"]);
        assert_eq!(parse_key("app:x:data.a.b").unwrap().1, ["data", "a", "b"]);
        for bad in ["", "x", "app:x", "app:x:", "app:x:a..b", ":x:a", "app:x:meta", "app:x:kind.a"] {
            assert!(parse_key(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn commas_separate_and_quotes_protect() {
        assert_eq!(split_commas("a:b:c=1,a:b:d=2"), ["a:b:c=1", "a:b:d=2"]);
        assert_eq!(split_commas("\"a:b:c=1,2\",x"), ["a:b:c=1,2", "x"]);
    }
}
