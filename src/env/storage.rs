//! Where values are: one variant a kind of `env.storage.*`.

use std::collections::HashMap;
use std::path::Path;

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::EnvError;
use super::file::FileStorage;
use crate::registry::{EntryId, Spec};

/// A storage of values by key.
pub(super) enum Storage {
    /// The environment of this program, read-only.
    Os,
    /// Lost at the end. Only keys of variables are written, so the declarations bound it.
    Memory(Mutex<HashMap<String, String>>),
    /// Written in the entry, read-only.
    Static(IndexMap<String, String>),
    /// A `.env` file.
    File(FileStorage),
    /// Others, asked in order; the first one is written.
    Router(Vec<EntryId>),
}

impl Storage {
    /// The storage that an entry declares; `None` for other kinds. Files are named as seen from `app_root`.
    pub(super) fn of(id: &EntryId, spec: &Spec, app_root: &Path) -> Option<Self> {
        Some(match spec {
            Spec::EnvStorageOs => Self::Os,
            Spec::EnvStorageMemory => Self::Memory(Mutex::default()),
            Spec::EnvStorageStatic(spec) => Self::Static(spec.values.clone()),
            Spec::EnvStorageFile(spec) => Self::File(FileStorage::read(id, spec.clone(), app_root)),
            Spec::EnvStorageRouter(spec) => Self::Router(spec.storages.clone()),
            _ => return None,
        })
    }

    /// The value of a key here; a router has none of its own.
    pub(super) fn get(&self, id: &EntryId, key: &str) -> Result<Option<String>, EnvError> {
        match self {
            Self::Os => os_value(id, key),
            Self::Memory(values) => Ok(values.lock().get(key).cloned()),
            Self::Static(values) => Ok(values.get(key).cloned()),
            Self::File(file) => file.get(key),
            Self::Router(_) => Ok(None),
        }
    }

    /// Changes the value of a key here.
    pub(super) fn set(&self, id: &EntryId, key: &str, value: &str) -> Result<(), EnvError> {
        match self {
            Self::Memory(values) => {
                values.lock().insert(key.to_owned(), value.to_owned());
                Ok(())
            }
            Self::File(file) => file.set(key, value),
            Self::Os | Self::Static(_) | Self::Router(_) => Err(EnvError::StorageReadOnly { storage: id.clone() }),
        }
    }

    /// What is wrong with it whatever the key.
    pub(super) fn problem(&self) -> Option<EnvError> {
        match self {
            Self::File(file) => file.problem(),
            _ => None,
        }
    }
}

fn os_value(id: &EntryId, key: &str) -> Result<Option<String>, EnvError> {
    // `var_os` panics for no key, but nothing of the system has such a name either.
    if key.is_empty() || key.contains(['=', '\0']) {
        return Ok(None);
    }
    let not_unicode = |_| EnvError::NotUnicode { storage: id.clone(), key: key.to_owned() };
    std::env::var_os(key).map(|value| value.into_string().map_err(not_unicode)).transpose()
}
