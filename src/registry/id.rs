//! Entry IDs: `namespace:name`, split at the first colon.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The ID of an entry, `namespace:name`. Cheap to clone.
///
/// The split is at the **first** colon, so a name may contain further colons.
///
/// ```
/// use wippy::registry::EntryId;
///
/// let id: EntryId = "wasi:io/poll:x".parse().unwrap();
/// assert_eq!((id.namespace(), id.name()), ("wasi", "io/poll:x"));
/// assert_eq!(EntryId::resolve("greet", "app").unwrap().to_string(), "app:greet");
/// assert!("greet".parse::<EntryId>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryId(Arc<Text>);

/// The whole text, and where its namespace ends: one count of references, which every process touches, and not two.
#[derive(PartialEq, Eq, Hash)]
struct Text {
    text: Box<str>,
    colon: usize,
}

/// Why a text is no entry ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// There is no namespace where one is needed.
    #[error("`{text}` has no namespace, expected `namespace:name`")]
    MissingNamespace {
        /// The text.
        text: String,
    },
    /// There is no name.
    #[error("`{text}` has no name, expected `namespace:name`")]
    MissingName {
        /// The text.
        text: String,
    },
}

impl EntryId {
    /// An ID of its two parts.
    ///
    /// # Errors
    /// When one of them is blank, or the namespace contains a colon (the text form could not be read back).
    pub fn new(namespace: &str, name: &str) -> Result<Self, ParseIdError> {
        if namespace.trim().is_empty() || namespace.contains(':') {
            return Err(ParseIdError::MissingNamespace { text: format!("{namespace}:{name}") });
        }
        if name.trim().is_empty() {
            return Err(ParseIdError::MissingName { text: format!("{namespace}:{name}") });
        }
        Ok(Self(Arc::new(Text { text: format!("{namespace}:{name}").into(), colon: namespace.len() })))
    }

    /// Reads `namespace:name`, or `name` as a name of `default_namespace`.
    ///
    /// # Errors
    /// When the name is blank, or no namespace is known.
    pub fn resolve(text: &str, default_namespace: &str) -> Result<Self, ParseIdError> {
        let (namespace, name) = match text.split_once(':') {
            Some(("", name)) => (default_namespace, name),
            Some(parts) => parts,
            None => (default_namespace, text),
        };
        if name.trim().is_empty() {
            return Err(ParseIdError::MissingName { text: text.to_owned() });
        }
        if namespace.trim().is_empty() {
            return Err(ParseIdError::MissingNamespace { text: text.to_owned() });
        }
        Self::new(namespace, name)
    }

    /// The same ID with a text of its own: who clones one does not count in the same place as who clones the other.
    pub(crate) fn apart(&self) -> Self {
        Self(Arc::new(Text { text: self.0.text.clone(), colon: self.0.colon }))
    }

    /// The part before the first colon.
    pub fn namespace(&self) -> &str {
        &self.0.text[..self.0.colon]
    }

    /// The part after the first colon.
    pub fn name(&self) -> &str {
        &self.0.text[self.0.colon + 1..]
    }
}

impl Ord for EntryId {
    /// By namespace, then by name.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.namespace(), self.name()).cmp(&(other.namespace(), other.name()))
    }
}

impl PartialOrd for EntryId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for EntryId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::resolve(text, "")
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_colon_splits() {
        let id: EntryId = "wasi:io/poll@0.2.0:x".parse().unwrap();
        assert_eq!(id.namespace(), "wasi");
        assert_eq!(id.name(), "io/poll@0.2.0:x");
    }

    #[test]
    fn relative_texts_take_the_default_namespace() {
        assert_eq!(EntryId::resolve("bin", "app.x").unwrap().to_string(), "app.x:bin");
        assert_eq!(EntryId::resolve(":bin", "app.x").unwrap().to_string(), "app.x:bin");
        assert_eq!(EntryId::resolve("other:bin", "app.x").unwrap().to_string(), "other:bin");
    }

    #[test]
    fn blank_parts_are_refused() {
        for text in ["", ":", "a:", "a: ", "  "] {
            assert!(
                matches!(EntryId::resolve(text, "ns"), Err(ParseIdError::MissingName { .. })),
                "{text:?} must have no name"
            );
        }
        assert!(matches!("x".parse::<EntryId>(), Err(ParseIdError::MissingNamespace { .. })));
        assert!(matches!(" :x".parse::<EntryId>(), Err(ParseIdError::MissingNamespace { .. })));
        assert!(EntryId::new("a:b", "c").is_err(), "such an ID would not survive its text form");
    }

    #[test]
    fn the_order_is_namespace_then_name() {
        let mut ids: Vec<EntryId> = ["b:a", "a:b", "a:a"].iter().map(|text| text.parse().unwrap()).collect();
        ids.sort();
        assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:a", "a:b", "b:a"]);
    }

    proptest! {
        #[test]
        fn text_survives(namespace in "[a-z][a-z.]{0,8}", name in "[a-z][a-z:/@]{0,8}") {
            let id = EntryId::new(&namespace, &name).unwrap();
            prop_assert_eq!(id.to_string().parse::<EntryId>().unwrap(), id);
        }
    }
}
