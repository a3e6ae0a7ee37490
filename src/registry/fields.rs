//! Reads the fields of an entry one by one: right type or a problem with its place, and nothing left over unnoticed.

use std::time::Duration;

use super::source::{Part, RawEntry};
use super::units::{MAX_MODE, parse_bytes, parse_count, parse_duration, parse_mode};
use super::{Diagnostic, Diagnostics, EntryId, Severity, Value};
use crate::suggest::near_miss;

/// The reader of one mapping of an entry. Each method names a field, which makes it known; [`Fields::finish`] reports
/// the others. A wrong value is reported and then counts as absent.
pub(crate) struct Fields<'d, 'e> {
    raw: &'e RawEntry,
    problems: &'d mut Diagnostics,
    path: Vec<String>,
    map: Option<&'e serde_json::Map<String, Value>>,
    known: Vec<&'static str>,
}

impl<'d, 'e> Fields<'d, 'e> {
    /// The fields of the entry's payload.
    pub(crate) fn of_payload(raw: &'e RawEntry, problems: &'d mut Diagnostics) -> Self {
        let map = raw.payload.as_object();
        let mut fields = Self { raw, problems, path: Vec::new(), map, known: Vec::new() };
        if map.is_none() && !raw.payload.is_null() {
            fields.wrong_type_at::<()>(&["data"], "a mapping", &raw.payload);
        }
        fields
    }

    /// The fields of the entry's `meta`.
    pub(crate) fn of_meta(raw: &'e RawEntry, problems: &'d mut Diagnostics) -> Self {
        Self { raw, problems, path: vec!["meta".to_owned()], map: Some(&raw.meta), known: Vec::new() }
    }

    /// The entry that is read.
    pub(crate) fn raw(&self) -> &'e RawEntry {
        self.raw
    }

    /// Reports every field that nobody asked for.
    pub(crate) fn finish(self) {
        let Some(map) = self.map else { return };
        let mut shown_known = self.known.clone();
        let mut seen = std::collections::HashSet::new();
        shown_known.retain(|name| seen.insert(*name));
        for key in map.keys().filter(|key| !self.known.contains(&key.as_str())) {
            let mut path = self.path.clone();
            path.push(key.clone());
            let meant = near_miss(key, self.known.iter().copied());
            let severity = if meant.is_some() { Severity::Error } else { Severity::Warning };
            let shown = shown_path(&path);
            let message = format!("unknown field `{shown}`");
            let mut problem = self.raw.problem(severity, "unknown-field", &path, Part::Key, message);
            problem = match meant {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem.note(format!("it is ignored; known here: {}", words(&shown_known))),
            };
            self.problems.add(problem);
        }
    }

    /// The value as it is; null counts as absent.
    pub(crate) fn any(&mut self, name: &'static str) -> Option<&'e Value> {
        self.known.push(name);
        self.map?.get(name).filter(|value| !value.is_null())
    }

    /// A mapping of anything.
    pub(crate) fn map(&mut self, name: &'static str) -> Option<&'e serde_json::Map<String, Value>> {
        match self.any(name)? {
            Value::Object(map) => Some(map),
            other => self.wrong_type(name, "a mapping", other),
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.any(name)? {
            Value::String(text) => Some(text.clone()),
            other => self.wrong_type(name, "a text", other),
        }
    }

    /// A text that must be there and not be empty; `message` says so, in the words of Wippy.
    pub(crate) fn required_text(&mut self, name: &'static str, message: &str) -> Option<String> {
        match self.any(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(Value::String(_)) | None => self.missing(name, message),
            Some(other) => self.wrong_type(name, "a text", other),
        }
    }

    /// A truth value, false when absent.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        match self.any(name) {
            None => false,
            Some(Value::Bool(value)) => *value,
            Some(other) => self.wrong_type(name, "`true` or `false`", other).unwrap_or_default(),
        }
    }

    /// One of several words; an empty text counts as absent.
    pub(crate) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)], message: &str) -> Option<T> {
        let text = self.text(name)?;
        if text.is_empty() {
            return None;
        }
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meant);
        }
        let expected = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        let mut problem = self.problem("invalid-value", name, format!("{message}: `{text}`")).expected(expected);
        if let Some(meant) = near_miss(&text, words.iter().map(|(word, _)| *word)) {
            problem = problem.help(format!("did you mean `{meant}`?"));
        }
        self.problems.add(problem);
        None
    }

    /// A whole number; negative ones are reported with `message`.
    pub(crate) fn count(&mut self, name: &'static str, max: u64, message: &str) -> Option<u64> {
        let value = self.any(name)?;
        let number = match value {
            Value::Number(number) => number,
            other => return self.wrong_type(name, "a whole number", other),
        };
        self.number_in_range(name, number, max, message)
    }

    /// A whole number that may also be a text with underscores.
    pub(crate) fn long_count(&mut self, name: &'static str, message: &str) -> Option<u64> {
        match self.any(name)? {
            Value::Number(number) => self.number_in_range(name, number, u64::MAX, message),
            Value::String(text) => self.parsed(name, parse_count(text), "a whole number, for example `1_000_000`"),
            other => self.wrong_type(name, "a whole number", other),
        }
    }

    /// A number of bytes: a number or a text with a unit.
    pub(crate) fn bytes(&mut self, name: &'static str, message: &str) -> Option<u64> {
        let expected = "a number of bytes, for example `64MiB` or `1_000_000`";
        match self.any(name)? {
            Value::Number(number) => self.number_in_range(name, number, u64::MAX, message),
            Value::String(text) => self.parsed(name, parse_bytes(text), expected),
            other => self.wrong_type(name, expected, other),
        }
    }

    fn number_in_range(
        &mut self,
        name: &'static str,
        number: &serde_json::Number,
        max: u64,
        message: &str,
    ) -> Option<u64> {
        // Go reads `2.0` into an integer field too.
        let whole = number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && (0.0..=9e15).contains(&float)).then_some(float as u64)
        });
        let problem = match whole {
            Some(whole) if whole <= max => return Some(whole),
            Some(whole) => self
                .problem("out-of-range", name, format!("{} is too large: {whole}", self.shown(name)))
                .expected(format!("at most {max}")),
            None if number.as_f64().is_some_and(|float| float < 0.0) => {
                self.problem("out-of-range", name, message).expected(format!("0 or more, found {number}"))
            }
            None => return self.wrong_type(name, "a whole number", &Value::Number(number.clone())),
        };
        self.problems.add(problem);
        None
    }

    /// A number with a fraction, at least 0.
    pub(crate) fn factor(&mut self, name: &'static str) -> Option<f64> {
        match self.any(name)? {
            Value::Number(number) => match number.as_f64() {
                Some(float) if float >= 0.0 => Some(float),
                _ => {
                    let message = format!("{} cannot be negative", self.shown(name));
                    let problem = self.problem("out-of-range", name, message).expected("0 or more");
                    self.problems.add(problem);
                    None
                }
            },
            other => self.wrong_type(name, "a number", other),
        }
    }

    /// A duration as Go writes it; the bare number 0 is one too.
    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        const EXPECTED: &str = "a duration with a unit, for example `500ms`, `5s` or `1m30s`";
        match self.any(name)? {
            Value::String(text) => self.parsed(name, parse_duration(text), EXPECTED),
            Value::Number(number) if number.as_u64() == Some(0) => Some(Duration::ZERO),
            Value::Number(number) => {
                let message = format!("{} must be a duration, not a number", self.shown(name));
                let problem = self
                    .problem("wrong-type", name, message)
                    .expected(EXPECTED)
                    .help(format!("write `{name}: {number}s` or `{name}: {number}ms`"));
                self.problems.add(problem);
                None
            }
            other => self.wrong_type(name, EXPECTED, other),
        }
    }

    /// Permission bits: a text in octal. With `number` a number counts as it is (YAML reads `0o644` as 420).
    pub(crate) fn mode(&mut self, name: &'static str, number: bool) -> Option<u32> {
        const EXPECTED: &str = "permission bits in octal, for example `\"0755\"`";
        let invalid = match self.any(name)? {
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => match parse_mode(text) {
                Some(mode) => return Some(mode),
                None => format!("invalid file mode format: `{text}`"),
            },
            Value::Number(bits) if number => match bits.as_u64().and_then(|bits| u32::try_from(bits).ok()) {
                Some(mode) if mode <= MAX_MODE => return Some(mode),
                _ => format!("invalid file mode format: {bits}"),
            },
            other => return self.wrong_type(name, EXPECTED, other),
        };
        let problem = self.problem("invalid-value", name, invalid).expected(EXPECTED);
        self.problems.add(problem);
        None
    }

    /// The ID of an entry, relative to the namespace of this one, that must be there; `message` says so, in the words
    /// of Wippy.
    pub(crate) fn required_id(&mut self, name: &'static str, message: &str) -> Option<EntryId> {
        match self.any(name) {
            None => self.missing(name, message),
            Some(Value::String(text)) if text.is_empty() => self.missing(name, message),
            Some(value) => self.id_of(&[name], value),
        }
    }

    /// A list of entry IDs; a single one counts as a list of one.
    pub(crate) fn ids(&mut self, name: &'static str) -> Vec<EntryId> {
        let Some(value) = self.any(name) else { return Vec::new() };
        match value {
            Value::Array(items) => {
                items.iter().enumerate().filter_map(|(at, item)| self.id_of(&[name, &at.to_string()], item)).collect()
            }
            Value::String(_) => self.id_of(&[name], value).into_iter().collect(),
            other => self.wrong_type(name, "a list of entry IDs", other).into_iter().collect(),
        }
    }

    /// Reads an ID in either form: `ns:name`, `name`, or `{ns: …, name: …}`.
    pub(crate) fn id_of(&mut self, path: &[&str], value: &Value) -> Option<EntryId> {
        const EXPECTED: &str = "an entry ID: `namespace:name`, or `name` for an entry of the same namespace";
        let own = self.raw.id.namespace();
        let id = match value {
            Value::String(text) => EntryId::resolve(text, own),
            Value::Object(parts) => {
                let part = |key: &str| parts.get(key).and_then(Value::as_str);
                match (part("ns").unwrap_or(own), part("name")) {
                    ("", Some(name)) => EntryId::resolve(name, own),
                    (namespace, Some(name)) => EntryId::new(namespace, name),
                    (_, None) => return self.wrong_type_at(path, EXPECTED, value),
                }
            }
            other => return self.wrong_type_at(path, EXPECTED, other),
        };
        match id {
            Ok(id) => Some(id),
            Err(error) => {
                let problem = self.problem_at("invalid-id", path, error.to_string()).expected(EXPECTED);
                self.problems.add(problem);
                None
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let Some(value) = self.any(name) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.wrong_type::<()>(name, "a list of texts", value);
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text.clone()),
                other => {
                    let at = at.to_string();
                    let found: Option<String> = self.wrong_type_at(&[name, &at], "a text", other);
                    debug_assert!(found.is_none());
                }
            }
        }
        texts
    }

    /// A list of texts; a single one counts as a list of one. None when it is absent or of another type.
    pub(crate) fn text_or_list(&mut self, name: &'static str) -> Option<Vec<String>> {
        match self.any(name)? {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(_) => Some(self.texts(name)),
            other => self.wrong_type(name, "a text or a list of texts", other),
        }
    }

    /// A mapping of texts to texts.
    pub(crate) fn text_map(&mut self, name: &'static str) -> indexmap::IndexMap<String, String> {
        let Some(value) = self.any(name) else { return indexmap::IndexMap::new() };
        let Some(map) = value.as_object() else {
            self.wrong_type::<()>(name, "a mapping of texts", value);
            return indexmap::IndexMap::new();
        };
        let mut texts = indexmap::IndexMap::with_capacity(map.len());
        for (key, value) in map {
            match value {
                Value::String(text) => drop(texts.insert(key.clone(), text.clone())),
                // Wippy's decoder writes scalars as text here; so does every reader of such a file.
                Value::Number(number) => drop(texts.insert(key.clone(), number.to_string())),
                Value::Bool(flag) => drop(texts.insert(key.clone(), flag.to_string())),
                other => drop(self.wrong_type_at::<()>(&[name, key], "a text", other)),
            }
        }
        texts
    }

    /// Reads the fields of a mapping; absent, it reads as an empty one would.
    pub(crate) fn nested<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Fields<'_, 'e>) -> T) -> T {
        let value = self.any(name);
        let map = value.and_then(Value::as_object);
        if let (Some(value), None) = (value, map) {
            self.wrong_type::<()>(name, "a mapping", value);
        }
        self.read_map(&[name], map, read)
    }

    /// Reads the fields of a mapping when it is there.
    pub(crate) fn optional<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Fields<'_, 'e>) -> T) -> Option<T> {
        if self.map.and_then(|map| map.get(name)).is_some_and(|value| !value.is_null()) {
            return Some(self.nested(name, read));
        }
        self.known.push(name);
        None
    }

    /// Reads the fields of each mapping of a list; items for which nothing comes out are left away.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Fields<'_, 'e>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.any(name) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.wrong_type::<()>(name, "a list of mappings", value);
            return Vec::new();
        };
        let mut out = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let at = at.to_string();
            match item.as_object() {
                Some(map) => out.extend(self.read_map(&[name, &at], Some(map), &mut read)),
                None => drop(self.wrong_type_at::<()>(&[name, &at], "a mapping", item)),
            }
        }
        out
    }

    fn read_map<T>(
        &mut self,
        steps: &[&str],
        map: Option<&'e serde_json::Map<String, Value>>,
        read: impl FnOnce(&mut Fields<'_, 'e>) -> T,
    ) -> T {
        let path = self.path.iter().cloned().chain(steps.iter().map(ToString::to_string)).collect();
        let mut fields = Fields { raw: self.raw, problems: &mut *self.problems, path, map, known: Vec::new() };
        let out = read(&mut fields);
        fields.finish();
        out
    }

    /// Reports an error at a field of this mapping.
    pub(crate) fn error(&mut self, problem: Diagnostic) {
        self.problems.add(problem);
    }

    /// An error at the value of a field, to be completed and given to [`Fields::error`].
    pub(crate) fn problem(&self, code: &'static str, name: &str, message: impl Into<String>) -> Diagnostic {
        self.problem_at(code, &[name], message)
    }

    /// The same for a path below this mapping; the empty path is the mapping itself.
    pub(crate) fn problem_at(&self, code: &'static str, steps: &[&str], message: impl Into<String>) -> Diagnostic {
        self.raw.problem(Severity::Error, code, &self.full_path(steps), Part::Value, message)
    }

    /// A warning at a path below this mapping.
    pub(crate) fn warning_at(&self, code: &'static str, steps: &[&str], message: impl Into<String>) -> Diagnostic {
        self.raw.problem(Severity::Warning, code, &self.full_path(steps), Part::Value, message)
    }

    fn full_path(&self, steps: &[&str]) -> Vec<String> {
        self.path.iter().cloned().chain(steps.iter().map(ToString::to_string)).collect()
    }

    /// Reports that a field is missing that must be there; `message` says so, in the words of Wippy.
    pub(crate) fn missing<T>(&mut self, name: &'static str, message: &str) -> Option<T> {
        // A slip in its name is one problem, not two; `finish` tells it.
        let misspelt = |map: &serde_json::Map<String, Value>| map.keys().any(|key| near_miss(key, [name]).is_some());
        if self.map.is_some_and(|map| !map.contains_key(name) && misspelt(map)) {
            return None;
        }
        // The mapping that lacks it is the place; an empty text has a place of its own.
        let code = "missing-field";
        let help = match name {
            "hash" => "`wippy hash FILE` prints the line to add".to_owned(),
            name => format!("add `{name}: …`"),
        };
        let problem = self.problem(code, name, message).help(help);
        self.problems.add(problem);
        None
    }

    fn wrong_type<T>(&mut self, name: &'static str, expected: &str, found: &Value) -> Option<T> {
        self.wrong_type_at(&[name], expected, found)
    }

    fn wrong_type_at<T>(&mut self, steps: &[&str], expected: &str, found: &Value) -> Option<T> {
        let shown = shown_path(&self.full_path(steps));
        let message = format!("`{shown}` has the wrong type: {}", described(found));
        let problem = self.problem_at("wrong-type", steps, message).expected(expected);
        let problem = match found {
            Value::Number(_) | Value::Bool(_) if expected.contains("text") || expected.contains('"') => {
                problem.help(format!("put it in quotes: `\"{found}\"`"))
            }
            _ => problem,
        };
        self.problems.add(problem);
        None
    }

    fn parsed<T>(&mut self, name: &'static str, result: Result<T, String>, expected: &str) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = format!("{}: {reason}", self.shown(name));
                let problem = self.problem("invalid-value", name, message).expected(expected);
                self.problems.add(problem);
                None
            }
        }
    }

    fn shown(&self, name: &str) -> String {
        shown_path(&self.full_path(&[name]))
    }
}

/// Where the items of a list of mappings were written that name these IDs in `field`, in this order. A broken item was
/// reported and left out, so an item's number among the typed ones is not its number in the file.
pub(crate) fn places_of_items<'e>(
    list: Option<&Value>,
    field: &str,
    namespace: &str,
    ids: impl Iterator<Item = &'e EntryId>,
) -> Vec<String> {
    let written: Vec<Option<EntryId>> = list
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|item| EntryId::resolve(item.get(field)?.as_str()?, namespace).ok())
        .collect();
    let mut next = 0;
    let mut place = |id: &EntryId| {
        // What is not written as the ID itself (a mapping, a public name) is taken to follow the one before.
        let at = written.iter().skip(next).position(|item| item.as_ref() == Some(id)).map_or(next, |at| next + at);
        next = at + 1;
        at.to_string()
    };
    ids.map(&mut place).collect()
}

/// `wasi.mounts[0].fs`.
pub(crate) fn shown_path<S: AsRef<str>>(path: &[S]) -> String {
    let mut shown = String::new();
    for step in path {
        let step = step.as_ref();
        if !shown.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) && !step.is_empty() {
            shown.push_str(&format!("[{step}]"));
        } else {
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(step);
        }
    }
    shown
}

/// What a value is, in words.
pub(crate) fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() <= 40 => format!("the text `{}`", text.escape_debug()),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn words(known: &[&str]) -> String {
    known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
