//! `env.storage.*` and `env.variable`.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::super::EntryId;
use super::super::fields::Fields;

/// `env.storage.static`: values written in the entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvStorageStatic {
    /// The values by key.
    pub values: IndexMap<String, String>,
}

impl EnvStorageStatic {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        Self { values: f.text_map("values") }
    }
}

/// `env.storage.file`: a `.env` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvStorageFile {
    /// The file; a relative path starts at the application's folder.
    pub file_path: PathBuf,
    /// Whether the file is made when it is missing.
    pub auto_create: bool,
    /// Permission bits of a file that is made, 0o644 when not written.
    pub file_mode: u32,
    /// Permission bits of folders that are made, 0o755 when not written.
    pub dir_mode: u32,
}

impl EnvStorageFile {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        let file_path = f.required_text("file_path", "file path must not be empty");
        let auto_create = f.flag("auto_create");
        // Zero means default, as with all numbers of Wippy.
        let file_mode = f.mode("file_mode", true).filter(|mode| *mode != 0).unwrap_or(0o644);
        let dir_mode = f.mode("dir_mode", true).filter(|mode| *mode != 0).unwrap_or(0o755);
        let file_path = f.raw().app_root.join(file_path?);
        Some(Self { file_path, auto_create, file_mode, dir_mode })
    }
}

/// `env.storage.router`: several storages, tried in order; the first one is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvStorageRouter {
    /// At least one.
    pub storages: Vec<EntryId>,
}

impl EnvStorageRouter {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        let storages = f.ids("storages");
        let given = f.raw().payload.get("storages").is_some_and(|value| !value.is_null());
        let empty = f.raw().payload.get("storages").and_then(|value| value.as_array()).is_some_and(Vec::is_empty);
        if !given || empty {
            let message = "router storage must have at least one storage";
            let problem = f.problem("missing-field", "storages", message).help("add `storages: [namespace:storage]`");
            f.error(problem);
        }
        Self { storages }
    }
}

/// `env.variable`: a variable of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvVariable {
    /// The storage that is asked.
    pub storage: EntryId,
    /// The public name and the key in the storage; without one the full ID is the key.
    pub variable: Option<String>,
    /// What counts when the storage has no value.
    pub default: Option<String>,
    /// Whether it may only be read.
    pub readonly: bool,
}

impl EnvVariable {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        let message = "invalid storage ID format, must have both namespace and name";
        let storage = f.required_id("storage", message);
        let variable = f.text("variable").filter(|name| !name.is_empty());
        if let Some(name) = &variable
            && !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            let problem = f
                .problem("invalid-value", "variable", format!("invalid variable name: `{}`", name.escape_debug()))
                .expected("letters of ASCII, digits and `_`");
            f.error(problem);
        }
        let default = f.text("default");
        let readonly = f.flag("readonly");
        Some(Self { storage: storage?, variable, default, readonly })
    }
}
