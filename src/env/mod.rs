//! Environment variables as an application declares them: `env.variable` over `env.storage.*`.
//!
//! A variable names a storage and a key in it; what it has is what processes get, nothing of the host's environment comes
//! in by itself.
//!
//! It must not know processes, guests, or what a value is for.
//!
//! The way in is [`Environment::open`], the question [`Environment::lookup`].
//!
//! # Invariants
//! - A lookup never waits: files are read once, when the environment is made, and it does not wait for who replaces one.
//! - An empty value counts as none, and then the variable's default applies.
//! - What is written to a storage is seen by every later lookup, and a file is replaced as a whole or not at all.
//! - Files are bounded by [`FILE_BYTES_MAX`], values by [`VALUE_BYTES_MAX`], chains of routers by [`ROUTERS_MAX`].

mod dotenv;
mod error;
mod file;
mod storage;

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;

pub use error::{EnvError, SyntaxError};
pub use file::FILE_BYTES_MAX;

use storage::Storage;

use crate::registry::{Diagnostic, Diagnostics, Entry, EntryId, EnvVariable, Registry, Severity, Spec};
use crate::suggest;

/// The longest value that is taken: what Linux gives a single string of a program's environment.
pub const VALUE_BYTES_MAX: usize = 128 * 1024;

/// How many routers may lie behind one another; more are a circle.
pub const ROUTERS_MAX: usize = 8;

/// The variables and storages of an application. Clones are the same environment.
///
/// ```
/// use wippy::env::Environment;
/// use wippy::registry::{Entry, EnvStorageStatic, EnvVariable, Registry, Spec};
///
/// let values = [("API_URL".to_owned(), "http://localhost".to_owned())].into_iter().collect();
/// let storage = Entry::new("app:settings".parse()?, Spec::EnvStorageStatic(EnvStorageStatic { values }));
/// let variable = EnvVariable {
///     storage: "app:settings".parse()?,
///     variable: Some("API_URL".to_owned()),
///     default: None,
///     readonly: true,
/// };
/// let variable = Entry::new("app:api_url".parse()?, Spec::EnvVariable(variable));
///
/// let (environment, problems) = Environment::open(&Registry::from_entries([storage, variable]));
/// assert!(problems.is_empty());
/// assert_eq!(environment.lookup(&"app:api_url".parse()?)?.as_deref(), Some("http://localhost"));
/// assert_eq!(environment.find("API_URL", "app")?.to_string(), "app:api_url");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Environment {
    inner: Arc<Inner>,
}

struct Inner {
    variables: HashMap<EntryId, EnvVariable>,
    /// The IDs by the variables' public names; of equal names the first declared.
    names: HashMap<String, EntryId>,
    storages: HashMap<EntryId, Storage>,
}

impl Environment {
    /// The environment of an application. Reads the files of `env.storage.file`, so it blocks on the disk; what is wrong
    /// with one is told, and the answer of every lookup that needs it.
    pub fn open(registry: &Registry) -> (Self, Diagnostics) {
        let mut inner = Inner { variables: HashMap::new(), names: HashMap::new(), storages: HashMap::new() };
        let mut problems = Diagnostics::default();
        for entry in registry.iter() {
            if let Spec::EnvVariable(variable) = entry.spec() {
                if let Some(name) = &variable.variable {
                    inner.names.entry(name.clone()).or_insert_with(|| entry.id().clone());
                }
                inner.variables.insert(entry.id().clone(), variable.clone());
            } else if let Some(storage) = Storage::of(entry.id(), entry.spec(), registry.app_root()) {
                if let Some(error) = storage.problem() {
                    problems.add(told(entry, &error));
                }
                inner.storages.insert(entry.id().clone(), storage);
            }
        }
        (Self { inner: Arc::new(inner) }, problems)
    }

    /// The value of a variable: from its storage, else its default; `None` when both are missing or empty.
    ///
    /// # Errors
    /// The variable or its storage does not exist, or the storage cannot be read.
    pub fn lookup(&self, variable: &EntryId) -> Result<Option<String>, EnvError> {
        let spec = self.variable(variable)?;
        let found = self.inner.get(&spec.storage, variable, &key_of(variable, spec), ROUTERS_MAX)?;
        let value = found.or_else(|| spec.default.clone());
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// Every variable with its public name, where it has one. In no order.
    pub fn variables(&self) -> impl Iterator<Item = (&EntryId, Option<&str>)> {
        self.inner.variables.iter().map(|(id, spec)| (id, spec.variable.as_deref()))
    }

    /// The storage of a variable; `None` for a variable that does not exist.
    #[must_use]
    pub fn storage_of(&self, variable: &EntryId) -> Option<&EntryId> {
        self.inner.variables.get(variable).map(|spec| &spec.storage)
    }

    /// Whether a variable has no value and never will: no default, and nothing behind it but values written in entries.
    #[must_use]
    pub fn is_never_set(&self, variable: &EntryId) -> bool {
        let Some(storage) = self.storage_of(variable) else { return false };
        matches!(self.lookup(variable), Ok(None)) && self.inner.is_written_down(storage, ROUTERS_MAX)
    }

    /// The variable that `text` means in `namespace`: a public name, else an ID, else a name of the namespace.
    ///
    /// # Errors
    /// There is none; the nearest name is in the error.
    pub fn find(&self, text: &str, namespace: &str) -> Result<&EntryId, EnvError> {
        let by_id = |id: EntryId| self.inner.variables.get_key_value(&id).map(|(id, _)| id);
        let found = self.inner.names.get(text).or_else(|| EntryId::resolve(text, namespace).ok().and_then(by_id));
        found.ok_or_else(|| self.unknown(text))
    }

    /// Changes a variable in its storage; a router changes its first one. Blocks on the disk when that is a file.
    ///
    /// # Errors
    /// The variable or its storage does not exist or is read-only, the value is longer than [`VALUE_BYTES_MAX`] or contains
    /// a zero byte, or the file cannot be written.
    pub fn set(&self, variable: &EntryId, value: &str) -> Result<(), EnvError> {
        let spec = self.variable(variable)?;
        if spec.readonly {
            return Err(EnvError::VariableReadOnly { variable: variable.clone() });
        }
        if value.len() > VALUE_BYTES_MAX || value.contains('\0') {
            return Err(EnvError::BadValue { variable: variable.clone(), bytes: value.len() });
        }
        self.inner.set(&spec.storage, variable, &key_of(variable, spec), value, ROUTERS_MAX)
    }

    fn variable(&self, id: &EntryId) -> Result<&EnvVariable, EnvError> {
        self.inner.variables.get(id).ok_or_else(|| self.unknown(&id.to_string()))
    }

    fn unknown(&self, text: &str) -> EnvError {
        let mut known: Vec<_> = self.inner.variables.keys().map(EntryId::to_string).collect();
        known.extend(self.inner.names.keys().cloned());
        known.sort();
        let similar = suggest::near_miss(text, known.iter().map(String::as_str)).map(str::to_owned);
        EnvError::UnknownVariable { variable: text.to_owned(), similar }
    }
}

/// An error at the field that names the file.
fn told(entry: &Entry, error: &EnvError) -> Diagnostic {
    let problem = entry.problem(Severity::Error, "unusable-storage", &["file_path"], error.to_string());
    match error.source() {
        Some(cause) => problem.note(cause.to_string()),
        None => problem,
    }
}

/// The key of a variable in its storage.
fn key_of(id: &EntryId, spec: &EnvVariable) -> String {
    spec.variable.clone().unwrap_or_else(|| id.to_string())
}

impl Inner {
    fn storage(&self, storage: &EntryId, variable: &EntryId) -> Result<&Storage, EnvError> {
        self.storages
            .get(storage)
            .ok_or_else(|| EnvError::UnknownStorage { storage: storage.clone(), variable: variable.clone() })
    }

    /// Whether all that a storage gives is written in entries, through at most `routers` routers.
    fn is_written_down(&self, id: &EntryId, routers: usize) -> bool {
        match (self.storages.get(id), routers.checked_sub(1)) {
            (Some(Storage::Static(_)), _) => true,
            (Some(Storage::Router(behind)), Some(left)) => behind.iter().all(|id| self.is_written_down(id, left)),
            _ => false,
        }
    }

    /// The value of a key that is not empty, through at most `routers` routers.
    fn get(&self, id: &EntryId, variable: &EntryId, key: &str, routers: usize) -> Result<Option<String>, EnvError> {
        let storage = self.storage(id, variable)?;
        let Storage::Router(behind) = storage else {
            return Ok(storage.get(id, key)?.filter(|value| !value.is_empty()));
        };
        let routers = deeper(id, routers)?;
        for storage in behind {
            if let Some(value) = self.get(storage, variable, key, routers)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn set(&self, id: &EntryId, variable: &EntryId, key: &str, value: &str, routers: usize) -> Result<(), EnvError> {
        let storage = self.storage(id, variable)?;
        let Storage::Router(behind) = storage else { return storage.set(id, key, value) };
        let routers = deeper(id, routers)?;
        match behind.first() {
            Some(first) => self.set(first, variable, key, value, routers),
            None => Err(EnvError::StorageReadOnly { storage: id.clone() }),
        }
    }
}

/// One router less.
fn deeper(router: &EntryId, routers: usize) -> Result<usize, EnvError> {
    routers.checked_sub(1).ok_or_else(|| EnvError::TooManyRouters { storage: router.clone() })
}

impl std::fmt::Debug for Environment {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.inner.variables.keys())
            .field("storages", &self.inner.storages.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests;
