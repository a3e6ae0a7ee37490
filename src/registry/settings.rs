//! Reads the runtime configuration: `.wippy.yaml`, then `--set`.

use std::path::Path;

use super::config::Setting;
use super::document::Format;
use super::fields::described;
use super::files::{ParsedFile, read_text};
use super::position::SourceFile;
use super::source::Part;
use super::units::parse_duration;
use super::{Diagnostic, Diagnostics, LoadOptions, RuntimeConfig, Value};
use crate::suggest::near_miss;

/// The configuration file of an application.
const CONFIG_FILE: &str = ".wippy.yaml";

/// The one version of the configuration.
const VERSION: &str = "1.0";

/// Sections that mean something here; a word close to one of them is a slip. All others are left alone, as in Wippy.
const SECTIONS: [&str; 12] = [
    "version",
    "shutdown",
    "security",
    "supervisor",
    "relay",
    "registry",
    "lua",
    "logmanager",
    "override",
    "disable",
    "workspace",
    "profiles",
];

/// The keys of sections that have no others.
const KEYS: [(&str, &[&str]); 3] =
    [("shutdown", &["timeout"]), ("security", &["strict_mode"]), ("disable", &["namespaces", "entries"])];

/// The configuration of an application; what is wrong with it is reported.
pub(super) fn read(options: &LoadOptions, problems: &mut Diagnostics) -> RuntimeConfig {
    let mut config = RuntimeConfig::default();
    let own = options.app.join(CONFIG_FILE);
    let path = options.config.as_deref().unwrap_or(&own);
    if options.config.is_some() || path.exists() {
        let shown = path.strip_prefix(&options.app).unwrap_or(path);
        read_file(path, shown, &mut config, problems);
    }
    for option in &options.set {
        set(option, &mut config, problems);
    }
    check(&config, problems);
    config
}

fn read_file(path: &Path, shown: &Path, config: &mut RuntimeConfig, problems: &mut Diagnostics) {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(problem) => {
            let position = SourceFile::new(shown, String::new()).position(Default::default());
            problems.add(Diagnostic::error("unreadable-file", problem.sentence()).at(Some(position)));
            return;
        }
    };
    let Some(file) = ParsedFile::parse(shown, text, Format::Yaml, problems) else { return };
    let Some(map) = file.document.value.as_object() else {
        let message = "the configuration has no version";
        problems.add(version_help(file.error("missing-field", &[], Part::Value, message)));
        return;
    };
    match map.get("version") {
        // Written without quotes it is a number; nobody is helped by a difference.
        Some(Value::String(text)) if text == VERSION => {}
        Some(Value::Number(number)) if number.as_f64() == Some(1.0) => {}
        None | Some(Value::Null) => {
            let message = "the configuration has no version";
            problems.add(version_help(file.error("missing-field", &[], Part::Value, message)));
        }
        Some(other) => {
            let message = format!("unsupported version: {}", described(other));
            problems.add(version_help(file.error("invalid-value", &["version"], Part::Value, message)));
        }
    }
    for (section, value) in map.iter().filter(|(section, _)| *section != "version") {
        if !SECTIONS.contains(&section.as_str())
            && let Some(meant) = near_miss(section, SECTIONS)
        {
            let problem = file.error("unknown-field", &[section], Part::Key, format!("unknown section `{section}`"));
            problems.add(problem.help(format!("did you mean `{meant}`?")));
        }
        match value {
            Value::Object(fields) => flatten(&file, section, &mut vec![section.clone()], fields, config),
            Value::Null => {}
            other => {
                let message = format!("the section `{section}` has the wrong type: {}", described(other));
                problems.add(file.error("wrong-type", &[section], Part::Value, message).expected("a mapping"));
            }
        }
    }
}

fn version_help(problem: Diagnostic) -> Diagnostic {
    problem.expected(format!("`version: \"{VERSION}\"`")).help(format!("add `version: \"{VERSION}\"` at the top"))
}

/// Nested mappings become dotted keys.
fn flatten(
    file: &ParsedFile,
    section: &str,
    path: &mut Vec<String>,
    fields: &serde_json::Map<String, Value>,
    config: &mut RuntimeConfig,
) {
    for (key, value) in fields {
        path.push(key.clone());
        match value {
            Value::Object(fields) => flatten(file, section, path, fields, config),
            value => {
                let position = Some(file.position(path, Part::Value));
                let setting = Setting { value: value.clone(), position, note: None };
                config.insert(section, &path[1..].join("."), setting);
            }
        }
        path.pop();
    }
}

/// `section.path=value`.
fn set(option: &str, config: &mut RuntimeConfig, problems: &mut Diagnostics) {
    let parts = option.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
    match parts {
        Some(((section, key), value)) if !section.is_empty() && !key.is_empty() => {
            let note = Some(format!("set by `--set {option}`"));
            config.insert(section, key, Setting { value: coerced(value), position: None, note });
        }
        _ => {
            let message = format!("`--set {option}` sets nothing");
            let problem = Diagnostic::error("bad-option", message).expected("`--set section.path=value`");
            problems.add(problem.help("for example `--set shutdown.timeout=5s`"));
        }
    }
}

/// The value of an option: a truth value, a whole number, a number, else a text.
pub(super) fn coerced(text: &str) -> Value {
    match text {
        "true" => return true.into(),
        "false" => return false.into(),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    // `inf`, `nan` and `1e5` are names as often as numbers; only digits and a point are a number.
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    match text.parse::<f64>() {
        Ok(number) if decimal => number.into(),
        _ => text.into(),
    }
}

/// The types of the keys that mean something here.
fn check(config: &RuntimeConfig, problems: &mut Diagnostics) {
    for (section, keys) in KEYS {
        for (key, setting) in config.section(section).filter(|(key, _)| !keys.contains(key)) {
            if let Some(meant) = near_miss(key, keys.iter().copied()) {
                let problem = problem(setting, "unknown-field", format!("unknown setting `{section}.{key}`"));
                problems.add(problem.help(format!("did you mean `{section}.{meant}`?")));
            }
        }
    }
    let mut expect = |section: &str, key: &str, expected: &str, good: &dyn Fn(&Value) -> bool| {
        let Some(setting) = config.setting(section, key) else { return };
        if !setting.value.is_null() && !good(&setting.value) {
            let message = format!("`{section}.{key}` has the wrong value: {}", described(&setting.value));
            problems.add(problem(setting, "invalid-value", message).expected(expected));
        }
    };
    let is_duration = |value: &Value| value.as_str().is_some_and(|text| parse_duration(text).is_ok());
    expect("shutdown", "timeout", "a duration with a unit, for example `30s`", &is_duration);
    expect("registry", "event_wait_timeout", "a duration with a unit, for example `30s`", &is_duration);
    expect("security", "strict_mode", "`true` or `false`", &Value::is_boolean);
    expect("logmanager", "min_level", "a whole number: -1 debug, 0 info, 1 warn, 2 error", &Value::is_i64);
    expect("relay", "node_name", "a text", &Value::is_string);
    expect("disable", "namespaces", "a list of texts", &is_texts);
    expect("disable", "entries", "a list of texts", &is_texts);
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string)) || value.is_string()
}

/// A problem of a setting, at its place.
pub(super) fn problem(setting: &Setting, code: &'static str, message: impl Into<String>) -> Diagnostic {
    let problem = Diagnostic::error(code, message).at(setting.position.clone());
    match &setting.note {
        Some(note) => problem.note(note.clone()),
        None => problem,
    }
}
