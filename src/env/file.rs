//! `env.storage.file`: a `.env` file, read once and replaced as a whole when a value changes.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::EnvError;
use super::dotenv::{self, Document};
use crate::reactor::assert_may_block;
use crate::registry::{EntryId, EnvStorageFile};

/// The largest file that is read: a thousand long values.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// A `.env` file as it was read, or what is wrong with it.
pub(super) struct FileStorage {
    id: EntryId,
    spec: EnvStorageFile,
    /// The file as messages name it.
    shown: PathBuf,
    /// Held for a moment only: lookups do not wait for the disk.
    document: Mutex<Result<Document, EnvError>>,
    /// Held while the file is replaced, so that two changes cannot lose one another.
    replacing: Mutex<()>,
}

impl FileStorage {
    /// Reads the file. A missing one is empty with `auto_create`, which makes it at the first change.
    /// Messages name it as it is seen from `app_root`.
    pub(super) fn read(id: &EntryId, spec: EnvStorageFile, app_root: &Path) -> Self {
        let shown = spec.file_path.strip_prefix(app_root).unwrap_or(&spec.file_path).to_owned();
        let document = Mutex::new(read(id, &spec, &shown));
        Self { id: id.clone(), spec, shown, document, replacing: Mutex::new(()) }
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<String>, EnvError> {
        Ok(self.document.lock().as_ref().map_err(EnvError::clone)?.get(key).map(str::to_owned))
    }

    pub(super) fn set(&self, key: &str, value: &str) -> Result<(), EnvError> {
        if !dotenv::is_key(key) {
            return Err(EnvError::BadKey { storage: self.id.clone(), key: key.to_owned() });
        }
        let _replacing = self.replacing.lock();
        let mut changed = self.document.lock().as_ref().map_err(EnvError::clone)?.clone();
        changed.set(key, value);
        let text = changed.text();
        let path = &self.shown;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(bad_file(&self.id, path));
        }
        replace(&self.spec, &text).map_err(|source| EnvError::Write {
            storage: self.id.clone(),
            path: path.clone(),
            source: Arc::new(source),
        })?;
        *self.document.lock() = Ok(changed);
        Ok(())
    }

    pub(super) fn problem(&self) -> Option<EnvError> {
        self.document.lock().as_ref().err().cloned()
    }
}

fn read(id: &EntryId, spec: &EnvStorageFile, shown: &Path) -> Result<Document, EnvError> {
    let path = || shown.to_owned();
    let text = match read_text(&spec.file_path) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(bad_file(id, shown)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && spec.auto_create => String::new(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EnvError::NoFile { storage: id.clone(), path: path() });
        }
        Err(error) => {
            return Err(EnvError::Read { storage: id.clone(), path: path(), source: Arc::new(error) });
        }
    };
    Document::parse(&text).map_err(|(line, problem)| EnvError::Syntax {
        storage: id.clone(),
        path: path(),
        line,
        problem,
    })
}

/// The text of a regular file within the bound; `None` for any other.
fn read_text(path: &Path) -> io::Result<Option<String>> {
    assert_may_block();
    // Non-blocking: opening a FIFO without writer returns.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    Ok((text.len() as u64 <= FILE_BYTES_MAX).then_some(text))
}

/// Writes a file beside the old one and puts it in its place, so that nobody sees half of it.
fn replace(spec: &EnvStorageFile, text: &str) -> io::Result<()> {
    assert_may_block();
    // A link stays a link: what it leads to is replaced.
    let path = std::fs::canonicalize(&spec.file_path).unwrap_or_else(|_| spec.file_path.clone());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if spec.auto_create {
        DirBuilder::new().recursive(true).mode(spec.dir_mode).create(parent)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // The process in the name: two programs with one file do not share it.
    name.push(format!(".{}.new", std::process::id()));
    let new = parent.join(name);
    let written = write_new(&new, spec.file_mode, &path, text).and_then(|()| std::fs::rename(&new, &path));
    if written.is_err() {
        // What is left over is worth nothing; the first error is the one to report.
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn write_new(new: &Path, mode: u32, old: &Path, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(new)?;
    // A file that somebody protected stays protected.
    if let Ok(metadata) = std::fs::metadata(old) {
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn bad_file(id: &EntryId, path: &Path) -> EnvError {
    EnvError::BadFile { storage: id.clone(), path: path.to_owned(), bytes_max: FILE_BYTES_MAX }
}
