//! JSON Schema: the parts of draft 2020-12 and of draft 7 that need nothing but the schema itself.
//!
//! The crates for it have no bound on their work: a schema of a few lines can ask for a time that doubles with every level,
//! or refer to itself without an end, and nothing preempts a worker in there. Here every step is counted. What is not
//! understood is refused and never ignored, but for words that no draft knows.

use std::collections::{HashMap, HashSet};

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::lua::modules::time::is_rfc3339;

/// The most that one validation looks at: schemas times values, and every 64 bytes of a text.
const STEPS_MAX: usize = 1 << 20;

/// How deep schemas may refer to each other and values nest, together.
const DEPTH_MAX: usize = 400;

/// What a pattern may take when it is compiled, in bytes.
const PATTERN_BYTES: usize = 256 << 10;

/// Words whose value is a schema, a list of them, and a map of them.
const SCHEMAS: [&str; 10] = [
    "items",
    "additionalItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "dependencies",
];
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const MAPS: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependentRequired"];
/// Words of the drafts that are not understood here.
const REFUSED: [&str; 5] =
    ["unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "contentSchema"];
const NUMBERS: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const COUNTS: [&str; 8] =
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"];
const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// A schema as it is used: looked through for what is not understood, and with empty lists where it has empty maps, which
/// scripts can't tell apart.
///
/// # Errors
/// A sentence that names the word.
pub(super) fn prepare(schema: &Value) -> Result<Value, String> {
    let fields = match schema {
        Value::Bool(_) => return Ok(schema.clone()),
        Value::Array(items) if items.is_empty() => return Ok(Value::Object(Map::new())),
        Value::Object(fields) => fields,
        other => return Err(format!("expected a table, not {other}")),
    };
    let mut prepared = Map::new();
    for (name, value) in fields {
        prepared.insert(name.clone(), word(name, value).map_err(|problem| within(name, problem))?);
    }
    Ok(Value::Object(prepared))
}

fn within(name: &str, problem: String) -> String {
    format!("`{name}`: {problem}")
}

/// The value of one word of a schema.
fn word(name: &str, value: &Value) -> Result<Value, String> {
    let list = |value: &Value| -> Result<Value, String> {
        let items = value.as_array().ok_or("expected a list of schemas")?;
        Ok(Value::Array(items.iter().map(prepare).collect::<Result<_, _>>()?))
    };
    match name {
        _ if REFUSED.contains(&name) => return Err("this word is not understood here".to_owned()),
        "$ref" => {
            let target = value.as_str().ok_or("expected a text")?;
            if target != "#" && !target.starts_with("#/") {
                return Err(format!("`{target}` is beyond the schema; only `#` and `#/…` are followed"));
            }
        }
        "items" if value.as_array().is_some_and(|items| !items.is_empty()) => return list(value),
        "dependencies" => return map(value, |value| if value.is_array() { Ok(value.clone()) } else { prepare(value) }),
        "dependentRequired" => return map(value, |value| Ok(value.clone())),
        _ if SCHEMAS.contains(&name) => return prepare(value),
        _ if LISTS.contains(&name) => return list(value),
        _ if MAPS.contains(&name) => {
            if name == "patternProperties" {
                for pattern in value.as_object().into_iter().flat_map(Map::keys) {
                    compiled(pattern)?;
                }
            }
            return map(value, prepare);
        }
        "pattern" => drop(compiled(value.as_str().ok_or("expected a text")?)?),
        "type" => {
            let one = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
            if !one(value) && !value.as_array().is_some_and(|types| !types.is_empty() && types.iter().all(one)) {
                return Err(format!("expected one or some of {}", TYPES.join(", ")));
            }
        }
        "required" | "enum" if !value.is_array() => return Err("expected a list".to_owned()),
        "multipleOf" if value.as_f64().is_none_or(|number| number <= 0.0) => {
            return Err("expected a number above zero".to_owned());
        }
        _ if NUMBERS.contains(&name) && !value.is_number() => return Err("expected a number".to_owned()),
        _ if COUNTS.contains(&name) && !value.is_u64() => return Err("expected a whole number".to_owned()),
        _ => {}
    }
    Ok(value.clone())
}

fn map(value: &Value, item: impl Fn(&Value) -> Result<Value, String>) -> Result<Value, String> {
    match value {
        Value::Array(items) if items.is_empty() => Ok(Value::Object(Map::new())),
        Value::Object(fields) => {
            let item = |(name, value): (&String, &Value)| {
                Ok((name.clone(), item(value).map_err(|problem| within(name, problem))?))
            };
            Ok(Value::Object(fields.iter().map(item).collect::<Result<_, String>>()?))
        }
        _ => Err("expected a table with names".to_owned()),
    }
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).build();
    built.map_err(|error| format!("the pattern `{pattern}`: {}", error.to_string().replace('\n', " ")))
}

/// Whether a value is as a schema that was prepared says.
///
/// # Errors
/// The first place where it is not, as a sentence; or that it would take more than [`STEPS_MAX`] to find out.
pub(super) fn validate(schema: &Value, value: &Value) -> Result<(), String> {
    let mut validation = Validation { root: schema, steps: STEPS_MAX, patterns: HashMap::new() };
    match validation.value(schema, value, DEPTH_MAX) {
        Ok(()) => Ok(()),
        Err(Problem::Refused { path, message }) => {
            let place: String = path.iter().rev().map(|step| format!("/{step}")).collect();
            Err(if place.is_empty() { message } else { format!("at `{place}`: {message}") })
        }
        Err(Problem::Stopped(message)) => Err(message),
    }
}

/// Why a value is not taken.
enum Problem {
    /// It is not as the schema says; the way to the place, innermost first.
    Refused { path: Vec<String>, message: String },
    /// It can't be said: nothing that was tried besides changes that.
    Stopped(String),
}

fn refused(message: impl Into<String>) -> Problem {
    Problem::Refused { path: Vec::new(), message: message.into() }
}

impl Problem {
    fn at(mut self, step: impl ToString) -> Self {
        if let Self::Refused { path, .. } = &mut self {
            path.push(step.to_string());
        }
        self
    }
}

type Checked = Result<(), Problem>;

struct Validation<'s> {
    root: &'s Value,
    /// What is left of them.
    steps: usize,
    patterns: HashMap<&'s str, Regex>,
}

impl<'s> Validation<'s> {
    fn spend(&mut self, bytes: usize) -> Checked {
        let left = self.steps.checked_sub(1 + bytes / 64);
        let stopped = || Problem::Stopped(format!("the validation takes more than {STEPS_MAX} steps"));
        left.map(|left| self.steps = left).ok_or_else(stopped)
    }

    /// For a list that is gone through.
    fn spend_on(&mut self, items: usize) -> Checked {
        self.spend(items.saturating_mul(8))
    }

    /// Whether it fits, where it does not matter why not.
    fn fits(&mut self, schema: &'s Value, value: &Value, depth: usize) -> Result<bool, Problem> {
        match self.value(schema, value, depth) {
            Ok(()) => Ok(true),
            Err(Problem::Refused { .. }) => Ok(false),
            Err(stopped) => Err(stopped),
        }
    }

    fn value(&mut self, schema: &'s Value, value: &Value, depth: usize) -> Checked {
        self.spend(0)?;
        let stopped = || Problem::Stopped(format!("schemas and values nest deeper than {DEPTH_MAX}"));
        let depth = depth.checked_sub(1).ok_or_else(stopped)?;
        let fields = match schema {
            Value::Bool(false) => return Err(refused("nothing is allowed here")),
            Value::Object(fields) => fields,
            _ => return Ok(()),
        };
        if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
            let root = self.root;
            let pointed = root.pointer(&percent_decoded(&target[1..]));
            let missing = || Problem::Stopped(format!("the schema: `{target}` leads nowhere"));
            self.value(pointed.ok_or_else(missing)?, value, depth)?;
        }
        self.plain(fields, value)?;
        match value {
            Value::String(text) => self.text(fields, text)?,
            Value::Number(_) => numbers(fields, value)?,
            Value::Array(items) => self.items(fields, items, depth)?,
            Value::Object(members) => self.members(fields, (value, members), depth)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(fields, value, depth)
    }

    /// `type`, `enum`, `const`.
    fn plain(&mut self, fields: &'s Map<String, Value>, value: &Value) -> Checked {
        if let Some(wanted) = fields.get("type") {
            let wanted: Vec<&str> = match wanted {
                Value::Array(types) => {
                    self.spend_on(types.len())?;
                    types.iter().filter_map(Value::as_str).collect()
                }
                one => one.as_str().into_iter().collect(),
            };
            if !wanted.iter().any(|name| is_of_type(value, name)) {
                return Err(refused(format!("expected {}, not {}", wanted.join(" or "), type_of(value))));
            }
        }
        if let Some(Value::Array(choices)) = fields.get("enum") {
            let mut found = false;
            for choice in choices {
                self.spend(size(choice))?;
                found |= same(choice, value);
            }
            if !found {
                let choices: Vec<String> = choices.iter().take(10).map(Value::to_string).collect();
                return Err(refused(format!("expected one of {}", choices.join(", "))));
            }
        }
        match fields.get("const") {
            Some(wanted) => {
                self.spend(size(wanted))?;
                same(wanted, value).then_some(()).ok_or_else(|| refused(format!("expected {wanted}")))
            }
            None => Ok(()),
        }
    }

    fn text(&mut self, fields: &'s Map<String, Value>, text: &str) -> Checked {
        self.spend(text.len())?;
        bounds(fields, "Length", "characters", text.chars().count())?;
        if let Some(pattern) = fields.get("pattern").and_then(Value::as_str)
            && !self.matches(pattern, text)?
        {
            return Err(refused(format!("expected a text that matches `{pattern}`")));
        }
        match fields.get("format").and_then(Value::as_str) {
            Some(format) if !has_format(text, format) => {
                Err(refused(format!("expected a text of the format {format}")))
            }
            _ => Ok(()),
        }
    }

    fn matches(&mut self, pattern: &'s str, text: &str) -> Result<bool, Problem> {
        self.spend(text.len())?;
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.is_match(text));
        }
        // A pattern that was compiled once is so again.
        let compiled = compiled(pattern).map_err(Problem::Stopped)?;
        Ok(self.patterns.entry(pattern).or_insert(compiled).is_match(text))
    }

    fn items(&mut self, fields: &'s Map<String, Value>, items: &[Value], depth: usize) -> Checked {
        self.spend_on(items.len())?;
        bounds(fields, "Items", "items", items.len())?;
        // A list of schemas is `prefixItems` in the later draft and `items` in the older one.
        let (first, rest) = match (fields.get("prefixItems"), fields.get("items")) {
            (Some(Value::Array(first)), rest) => (first.as_slice(), rest),
            (_, Some(Value::Array(first))) => (first.as_slice(), fields.get("additionalItems")),
            (_, rest) => (&[][..], rest),
        };
        for (at, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(at).or(rest) {
                self.value(schema, item, depth).map_err(|problem| problem.at(at))?;
            }
        }
        if fields.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = HashSet::new();
            for (at, item) in items.iter().enumerate() {
                let text = item.to_string();
                self.spend(text.len())?;
                if !seen.insert(text) {
                    return Err(refused("expected no item twice").at(at));
                }
            }
        }
        if let Some(schema) = fields.get("contains") {
            let mut found = 0_u64;
            for item in items {
                found += u64::from(self.fits(schema, item, depth)?);
            }
            let least = fields.get("minContains").and_then(Value::as_u64).unwrap_or(1);
            let most = fields.get("maxContains").and_then(Value::as_u64).unwrap_or(u64::MAX);
            if !(least..=most).contains(&found) {
                return Err(refused(format!("{found} of the items are as `contains` says")));
            }
        }
        Ok(())
    }

    fn members(
        &mut self,
        fields: &'s Map<String, Value>,
        (whole, members): (&Value, &Map<String, Value>),
        depth: usize,
    ) -> Checked {
        self.spend_on(members.len())?;
        bounds(fields, "Properties", "properties", members.len())?;
        let need = |wanted: &Value| {
            let mut names = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
            names.find(|name| !members.contains_key(*name)).map(str::to_owned)
        };
        self.spend_on(fields.get("required").and_then(Value::as_array).map_or(0, Vec::len))?;
        if let Some(name) = fields.get("required").and_then(need) {
            return Err(refused(format!("`{name}` is missing")));
        }
        let named = fields.get("properties").and_then(Value::as_object);
        let patterns = fields.get("patternProperties").and_then(Value::as_object);
        for (name, value) in members {
            let mut is_known = false;
            if let Some(schema) = named.and_then(|named| named.get(name)) {
                is_known = true;
                self.value(schema, value, depth).map_err(|problem| problem.at(name))?;
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                if self.matches(pattern, name)? {
                    is_known = true;
                    self.value(schema, value, depth).map_err(|problem| problem.at(name))?;
                }
            }
            if let (false, Some(schema)) = (is_known, fields.get("additionalProperties")) {
                if *schema == Value::Bool(false) {
                    return Err(refused(format!("`{name}` is not allowed")));
                }
                self.value(schema, value, depth).map_err(|problem| problem.at(name))?;
            }
            if let Some(schema) = fields.get("propertyNames") {
                self.value(schema, &Value::from(name.as_str()), depth).map_err(|problem| problem.at(name))?;
            }
        }
        for list in ["dependentRequired", "dependentSchemas", "dependencies"] {
            for (name, wanted) in fields.get(list).and_then(Value::as_object).into_iter().flatten() {
                self.spend_on(wanted.as_array().map_or(0, Vec::len))?;
                if !members.contains_key(name) {
                    continue;
                }
                if let Some(missing) = need(wanted) {
                    return Err(refused(format!("`{missing}` is missing beside `{name}`")));
                }
                if !wanted.is_array() {
                    self.value(wanted, whole, depth)?;
                }
            }
        }
        Ok(())
    }

    /// What schemas make of other schemas.
    fn combined(&mut self, fields: &'s Map<String, Value>, value: &Value, depth: usize) -> Checked {
        let list = |name: &str| fields.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for schema in list("allOf") {
            self.value(schema, value, depth)?;
        }
        for (name, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
            let schemas = list(name);
            let mut fit = 0;
            for schema in schemas {
                fit += usize::from(self.fits(schema, value, depth)?);
                if fit > 0 && most > 1 {
                    break;
                }
            }
            if !schemas.is_empty() && !(1..=most).contains(&fit) {
                return Err(refused(format!("it is as {fit} of the {} forms of `{name}` say", schemas.len())));
            }
        }
        if let Some(schema) = fields.get("not")
            && self.fits(schema, value, depth)?
        {
            return Err(refused("it is as `not` says"));
        }
        if let Some(condition) = fields.get("if") {
            let branch = if self.fits(condition, value, depth)? { "then" } else { "else" };
            if let Some(schema) = fields.get(branch) {
                self.value(schema, value, depth)?;
            }
        }
        Ok(())
    }
}

fn percent_decoded(pointer: &str) -> String {
    let bytes = pointer.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = pointer.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    let whole = || value.as_f64().is_some_and(|number| number.fract() == 0.0);
    type_of(value) == name || (name == "number" && value.is_number()) || (name == "integer" && whole())
}

/// About how many bytes a comparison with it looks at.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| 64 + size(item)).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| 64 + name.len() + size(value)).sum(),
        _ => 8,
    }
}

/// Equal as JSON has it: 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => order(one, other) == Some(std::cmp::Ordering::Equal),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

fn order(one: &Value, other: &Value) -> Option<std::cmp::Ordering> {
    match (one.as_i64(), other.as_i64()) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

fn numbers(fields: &Map<String, Value>, value: &Value) -> Checked {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for (name, allowed, said) in [
        ("minimum", &[Greater, Equal][..], "at least"),
        ("maximum", &[Less, Equal], "at most"),
        ("exclusiveMinimum", &[Greater], "more than"),
        ("exclusiveMaximum", &[Less], "less than"),
    ] {
        if let Some(bound) = fields.get(name)
            && !order(value, bound).is_some_and(|order| allowed.contains(&order))
        {
            return Err(refused(format!("expected {said} {bound}, not {value}")));
        }
    }
    let Some(unit) = fields.get("multipleOf") else { return Ok(()) };
    let is_multiple = match (value.as_i64(), unit.as_i64()) {
        (Some(value), Some(unit)) => value % unit == 0,
        _ => {
            let parts = value.as_f64().unwrap_or_default() / unit.as_f64().unwrap_or(1.0);
            (parts - parts.round()).abs() < 1e-9
        }
    };
    is_multiple.then_some(()).ok_or_else(|| refused(format!("expected a multiple of {unit}")))
}

/// `min…` and `max…` of something.
fn bounds(fields: &Map<String, Value>, what: &str, said: &str, count: usize) -> Checked {
    let bound = |end: &str| fields.get(&format!("{end}{what}")).and_then(Value::as_u64);
    if let Some(least) = bound("min").filter(|least| (count as u64) < *least) {
        return Err(refused(format!("expected at least {least} {said}, not {count}")));
    }
    match bound("max").filter(|most| count as u64 > *most) {
        Some(most) => Err(refused(format!("expected at most {most} {said}, not {count}"))),
        None => Ok(()),
    }
}

/// Whether a text is of a format; a format that is not known is any text.
fn has_format(text: &str, format: &str) -> bool {
    let is_host = |text: &str| {
        let label = |label: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(good)
        };
        text.len() <= 253 && text.split('.').all(label)
    };
    match format {
        "email" => text.rsplit_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && name.len() <= 64 && !name.contains(char::is_whitespace) && is_host(host)
        }),
        "hostname" => is_host(text),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uri" => url::Url::parse(text).is_ok(),
        "uuid" => {
            let is_at = |(at, byte): (usize, u8)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            };
            text.len() == 36 && text.bytes().enumerate().all(is_at)
        }
        "date-time" => is_rfc3339(text),
        "date" => is_rfc3339(&format!("{text}T00:00:00Z")),
        "time" => is_rfc3339(&format!("2000-01-01T{text}")),
        "regex" => compiled(text).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
