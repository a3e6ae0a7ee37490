//! The name of a running process.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::registry::EntryId;

/// Names one process of one runtime: `{host|0x00001}`.
///
/// The host is the ID of the entry whose scheduler runs the process; the number counts up over the whole runtime, so it
/// is never used twice. The text form is Wippy's: at least five hexadecimal digits, and a node before an `@` where there
/// is one.
///
/// ```
/// use wippy::process::Pid;
///
/// let pid: Pid = "{app:processes|0x0002a}".parse()?;
/// assert_eq!(pid.host().to_string(), "app:processes");
/// assert_eq!(pid.unique(), 42);
/// assert_eq!(pid.to_string(), "{app:processes|0x0002a}");
/// # Ok::<(), wippy::process::PidError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid {
    node: Option<Arc<str>>,
    host: EntryId,
    unique: u64,
}

impl Pid {
    /// The pid with this number on this host, on the local node.
    #[must_use]
    pub fn new(host: EntryId, unique: u64) -> Self {
        Self { node: None, host, unique }
    }

    /// The host entry the process runs on.
    #[must_use]
    pub fn host(&self) -> &EntryId {
        &self.host
    }

    /// Whether it is of this node, as all pids of this program are.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.node.is_none()
    }

    /// The number that no other process of the runtime has.
    #[must_use]
    pub fn unique(&self) -> u64 {
        self.unique
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        if let Some(node) = &self.node {
            write!(f, "{node}@")?;
        }
        write!(f, "{}|{:#07x}}}", self.host, self.unique)
    }
}

/// Why a text is not a pid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PidError {
    /// The text does not stand between braces.
    #[error("`{0}` is not a pid: expected braces around it, as in `{{app:processes|0x00001}}`")]
    MissingBraces(String),
    /// There is no `|` between host and number.
    #[error("`{0}` is not a pid: expected `|` between host and number, as in `{{app:processes|0x00001}}`")]
    MissingPipe(String),
    /// The host is not an entry ID.
    #[error("`{0}` is not a pid: expected an entry ID `namespace:name` before the `|`")]
    Host(String),
    /// The number is not a hexadecimal number of at most 64 bits.
    #[error("`{0}` is not a pid: expected a hexadecimal number such as `0x00001` after the `|`")]
    Number(String),
}

impl FromStr for Pid {
    type Err = PidError;

    /// Reads Wippy's text form. With two pipes the part between them is dropped: an older form of the same thing.
    fn from_str(text: &str) -> Result<Self, PidError> {
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or_else(|| PidError::MissingBraces(text.to_owned()))?;
        let (place, _) = inner.split_once('|').ok_or_else(|| PidError::MissingPipe(text.to_owned()))?;
        let (_, number) = inner.rsplit_once('|').ok_or_else(|| PidError::MissingPipe(text.to_owned()))?;
        let (node, host) = match place.split_once('@') {
            Some((node, host)) => (Some(node), host),
            None => (None, place),
        };
        let host = host.parse().map_err(|_| PidError::Host(text.to_owned()))?;
        let digits = number.strip_prefix("0x").ok_or_else(|| PidError::Number(text.to_owned()))?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(PidError::Number(text.to_owned()));
        }
        let unique = u64::from_str_radix(digits, 16).map_err(|_| PidError::Number(text.to_owned()))?;
        Ok(Self { node: node.map(Arc::from), host, unique })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_wippys() {
        for text in ["{app:processes|0x00001}", "{node-1@app:processes|0xfffff}", "{a:b|0x123456}"] {
            assert_eq!(text.parse::<Pid>().unwrap().to_string(), text);
        }
        let old: Pid = "{app:p|app:entry|0x00007}".parse().unwrap();
        assert_eq!(old.to_string(), "{app:p|0x00007}");
    }

    #[test]
    fn what_is_no_pid_says_why() {
        for (text, expected) in [
            ("app:p|0x1", "expected braces"),
            ("{app:p}", "expected `|`"),
            ("{app|0x1}", "expected an entry ID"),
            ("{app:p|17}", "hexadecimal"),
            ("{app:p|0x+1}", "hexadecimal"),
            ("{app:p|0x1ffffffffffffffff}", "hexadecimal"),
        ] {
            let error = text.parse::<Pid>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
