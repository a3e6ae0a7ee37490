//! `fs.directory`.

use std::path::{Path, PathBuf};

use super::super::fields::Fields;

/// A folder of the host that entries and guests see as a root of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsDirectory {
    /// The folder as it was written.
    pub directory: String,
    /// The folder on the host: below the application's folder, or the module's, unless it was written absolute.
    pub root: PathBuf,
    /// Permission bits; the owner's gate what may be done. 0o755 when not written.
    pub mode: u32,
    /// Whether the folder is made when it is missing.
    pub auto_init: bool,
    /// What a relative `directory` starts at.
    pub base: DirectoryBase,
}

/// What a relative directory starts at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryBase {
    /// The folder of the application.
    #[default]
    Project,
    /// The folder that the owning module was loaded from.
    Module,
}

/// The mode of a directory whose entry names none.
const DEFAULT_MODE: u32 = 0o755;

impl FsDirectory {
    /// A folder with the defaults of every other field.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let directory = root.display().to_string();
        Self { directory, root, mode: DEFAULT_MODE, auto_init: false, base: DirectoryBase::Project }
    }

    /// The folder on the host.
    pub fn path(&self) -> &Path {
        &self.root
    }

    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        let directory = f.required_text("directory", "directory path is required");
        let mode = f.mode("mode", false).unwrap_or(DEFAULT_MODE);
        // Readable by all and searchable by nobody is a slip: such a folder could not be entered.
        let mode = if mode & 0o444 == 0o444 && mode & 0o111 == 0 { mode | 0o111 } else { mode };
        let auto_init = f.flag("auto_init");
        let bases = [("project", DirectoryBase::Project), ("module", DirectoryBase::Module)];
        let base = f.word("base", &bases, "invalid directory base").unwrap_or_default();
        // Accepted by Wippy, without effect there and here.
        f.text("type");
        let directory = directory?;
        let start = match base {
            DirectoryBase::Project => &f.raw().app_root,
            DirectoryBase::Module => &f.raw().load_root,
        };
        // The parts without `.`, so that two spellings of a folder are the same path.
        let root = start.join(&directory).components().collect();
        Some(Self { directory, root, mode, auto_init, base })
    }
}
