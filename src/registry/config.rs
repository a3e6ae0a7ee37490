//! The runtime configuration: `.wippy.yaml`, `--set`, as sections of dotted keys.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Value;
use super::position::Position;
use super::units::parse_duration;

/// Sections of dotted keys, as `.wippy.yaml` and `--set` give them.
///
/// ```
/// use std::time::Duration;
/// use wippy::registry::RuntimeConfig;
///
/// let mut config = RuntimeConfig::default();
/// assert_eq!(config.shutdown_timeout(), Duration::from_secs(30));
/// config.set("shutdown", "timeout", "5s".into());
/// assert_eq!(config.shutdown_timeout(), Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeConfig {
    sections: BTreeMap<String, BTreeMap<String, Setting>>,
}

/// A value with where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) position: Option<Position>,
    /// For example "set by `--set shutdown.timeout=5s`".
    pub(crate) note: Option<String>,
}

/// How long a shutdown may take when nothing says otherwise.
const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

impl RuntimeConfig {
    /// The value of `section.key`; `key` may have dots.
    pub fn get(&self, section: &str, key: &str) -> Option<&Value> {
        self.setting(section, key).map(|setting| &setting.value)
    }

    /// Sets `section.key`.
    pub fn set(&mut self, section: &str, key: &str, value: Value) {
        self.insert(section, key, Setting { value, position: None, note: None });
    }

    /// Where `section.key` was written; none when it was not, or not in a file.
    pub fn position(&self, section: &str, key: &str) -> Option<&Position> {
        self.setting(section, key)?.position.as_ref()
    }

    /// `shutdown.timeout`: how long a shutdown may take; 30 s by default.
    pub fn shutdown_timeout(&self) -> Duration {
        self.duration("shutdown", "timeout").unwrap_or(DEFAULT_SHUTDOWN_TIMEOUT)
    }

    /// `security.strict_mode`: whether everything without an actor is refused; false by default.
    pub fn strict_mode(&self) -> bool {
        self.get("security", "strict_mode").and_then(Value::as_bool).unwrap_or_default()
    }

    /// `logmanager.min_level`: -1 debug, 0 info, 1 warn, 2 error.
    pub fn min_log_level(&self) -> Option<i64> {
        self.get("logmanager", "min_level").and_then(Value::as_i64)
    }

    /// `relay.node_name`: the first part of every pid.
    pub fn node_name(&self) -> Option<&str> {
        self.get("relay", "node_name").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// A duration of any section.
    pub fn duration(&self, section: &str, key: &str) -> Option<Duration> {
        parse_duration(self.get(section, key)?.as_str()?).ok()
    }

    pub(crate) fn setting(&self, section: &str, key: &str) -> Option<&Setting> {
        self.sections.get(section)?.get(key)
    }

    pub(crate) fn section(&self, section: &str) -> impl Iterator<Item = (&str, &Setting)> {
        self.sections.get(section).into_iter().flatten().map(|(key, setting)| (key.as_str(), setting))
    }

    pub(crate) fn insert(&mut self, section: &str, key: &str, setting: Setting) {
        self.sections.entry(section.to_owned()).or_default().insert(key.to_owned(), setting);
    }
}
