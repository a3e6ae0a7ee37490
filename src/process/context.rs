//! What a process can look up without being told in its arguments: values that go from starter to started.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Payload, SpawnError, Start};

/// What the values of a process may take, in bytes: each process that is started gets all of them.
pub const CONTEXT_BYTES_MAX: usize = 64 << 10;

/// Named values that a process has from those who started it. Cheap to clone.
///
/// ```
/// use wippy::process::ContextValues;
///
/// let values = ContextValues::default();
/// assert!(values.get("request").is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContextValues(Option<Arc<IndexMap<String, Payload>>>);

impl ContextValues {
    /// The value under this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Payload> {
        self.0.as_ref()?.get(key)
    }

    /// All of them, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Payload)> {
        self.0.iter().flat_map(|values| values.iter()).map(|(key, value)| (key.as_str(), value))
    }

    /// These and others, which win.
    pub(super) fn with(self, others: IndexMap<String, Payload>) -> Self {
        if others.is_empty() {
            return self;
        }
        let mut values = self.0.map(Arc::unwrap_or_clone).unwrap_or_default();
        values.extend(others);
        Self(Some(Arc::new(values)))
    }

    fn size(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.size()).sum()
    }
}

impl Start {
    /// Whether what it gives fits what a process may have.
    pub(super) fn check_context(&self) -> Result<(), SpawnError> {
        let own: usize = self.context.iter().map(|(key, value)| key.len() + value.size()).sum();
        let inherited = self.starter.as_ref().map_or(0, |starter| starter.context().size());
        let bytes = match own {
            0 => 0,
            own => own + inherited,
        };
        if bytes > CONTEXT_BYTES_MAX {
            return Err(SpawnError::Context { entry: self.entry.clone(), bytes, allowed: CONTEXT_BYTES_MAX });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_later_wins_and_what_was_given_stays() {
        let first = ContextValues::default().with(IndexMap::from([("a".into(), 1.into()), ("b".into(), 2.into())]));
        let second = first.clone().with(IndexMap::from([("b".into(), 3.into())]));
        assert_eq!((first.get("b"), second.get("b")), (Some(&2.into()), Some(&3.into())));
        assert_eq!(second.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(second.clone().with(IndexMap::new()), second);
    }

    #[test]
    fn what_is_given_has_a_bound() {
        let start = Start::new("app:a".parse().unwrap(), "app:h".parse().unwrap());
        assert_eq!(start.check_context(), Ok(()));
        let error = start.context("key", "x".repeat(CONTEXT_BYTES_MAX).into()).check_context().unwrap_err();
        assert!(error.to_string().starts_with("`app:a`: the context of a process may take 65536 bytes"), "{error}");
    }
}
