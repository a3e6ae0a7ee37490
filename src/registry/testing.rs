//! Applications in temporary folders, for the tests of this room.

use std::path::Path;

use super::{Diagnostic, Entry, LoadOptions, Loaded, load};

/// An application of these files.
pub(super) struct App {
    pub(super) folder: tempfile::TempDir,
}

impl App {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = Self { folder };
        files.iter().for_each(|(path, text)| app.write(path, text.as_bytes()));
        app
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn options(&self) -> LoadOptions {
        LoadOptions::new(self.path())
    }

    pub(super) fn load(&self) -> Loaded {
        load(&self.options())
    }
}

/// Loads entries of the namespace `app`, given as the items of a list.
pub(super) fn load_entries(entries: &str) -> Loaded {
    App::new(&[("src/_index.yaml", &format!("version: \"1.0\"\nnamespace: app\nentries:\n{entries}"))]).load()
}

/// Loads one entry `app:x` of a kind with these fields, each a line.
pub(super) fn load_fields(kind: &str, fields: &[&str]) -> Loaded {
    let mut text = format!("- name: x\n  kind: {kind}\n");
    for field in fields {
        text.push_str(&format!("  {field}\n"));
    }
    load_entries(&text)
}

impl Loaded {
    /// `severity[code]: message` of each problem.
    pub(super) fn headings(&self) -> Vec<String> {
        self.diagnostics.iter().map(heading).collect()
    }

    /// The entry, from a load without any problem.
    #[track_caller]
    pub(super) fn clean(&self, id: &str) -> &Entry {
        assert!(self.diagnostics.is_empty(), "{}", super::render::text(&self.diagnostics, false));
        self.entry(id)
    }

    #[track_caller]
    pub(super) fn entry(&self, id: &str) -> &Entry {
        let report = || super::render::text(&self.diagnostics, false);
        self.registry.get(&id.parse().unwrap()).unwrap_or_else(|| panic!("no {id}\n{}", report()))
    }

    /// The one problem there is.
    #[track_caller]
    pub(super) fn only(&self) -> &Diagnostic {
        assert_eq!(self.diagnostics.len(), 1, "{}", super::render::text(&self.diagnostics, false));
        self.diagnostics.iter().next().unwrap()
    }
}

pub(super) fn heading(problem: &Diagnostic) -> String {
    format!("{}[{}]: {}", problem.severity, problem.code, problem.message)
}
