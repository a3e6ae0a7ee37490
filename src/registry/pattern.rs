//! Patterns over entry IDs.

use std::fmt;

use super::EntryId;

/// Which entries are meant: `*` is all, a trailing `*` all that begin so, anything else one entry.
///
/// ```
/// use wippy::registry::IdPattern;
///
/// let workers = IdPattern::new("app:worker.*");
/// assert!(workers.matches(&"app:worker.hash".parse()?));
/// assert!(!workers.matches(&"app:workers".parse()?));
/// # Ok::<(), wippy::registry::ParseIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPattern(String);

impl IdPattern {
    /// The pattern of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// All entries.
    #[must_use]
    pub fn any() -> Self {
        Self::new("*")
    }

    /// Whether this entry is meant.
    #[must_use]
    pub fn matches(&self, id: &EntryId) -> bool {
        let text = id.to_string();
        match self.0.strip_suffix('*') {
            Some(start) => text.starts_with(start),
            None => text == self.0,
        }
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trailing_star_stands_for_more() {
        let matches = |pattern: &str, id: &str| IdPattern::new(pattern).matches(&id.parse().unwrap());
        assert!(matches("*", "a:b") && matches("a:*", "a:b") && matches("a:b", "a:b") && matches("a*", "ab:c"));
        assert!(!matches("a:*", "b:b") && !matches("a:b", "a:bc") && !matches("*:b", "a:b"));
    }
}
