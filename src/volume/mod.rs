//! Folders of the host that entries and guests see as roots of their own: `fs.directory`.
//!
//! A [`Volume`] is an open directory. Everything below it is reached through that descriptor: no `..`, no absolute path and
//! no symbolic link leads out of it, also when somebody moves folders meanwhile.
//!
//! It must not know processes, guests, or how WASI names its errors: it gives the directory ([`Volume::dir`]) and what may
//! be done in it ([`Volume::access`]), reads whole files for those who load, and does by path what scripts ask for.
//!
//! The way in is [`Volumes::open`] for an application, [`Volume::open`] for one folder.
//!
//! # Invariants
//! - A volume that exists is open: what happens to the path of its folder later does not change where it leads.
//! - Nothing here waits for another program: a FIFO or a device is refused, not read.
//! - What is read into memory is bounded by [`FILE_BYTES_MAX`], what is listed by [`NAMES_LISTED_MAX`],
//!   for a suggestion by `NAMES_MAX`.

mod error;
mod files;

use std::collections::HashMap;
use std::error::Error as _;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

pub use error::{FileKind, Similar, VolumeError};
pub use files::{FileMode, Listed, NAMES_LISTED_MAX, Stat};

use crate::reactor::assert_may_block;
use crate::registry::{Diagnostic, Diagnostics, Entry, EntryId, FsDirectory, Registry, Severity, Spec};
use crate::suggest;

/// The largest file that [`Volume::read`] takes: many times the largest wasm binary, and less than what would exhaust a
/// small machine.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// How many names of a folder are looked at for a "did you mean".
const NAMES_MAX: usize = 4096;

/// The volumes of an application by entry.
///
/// ```
/// use wippy::registry::{Entry, FsDirectory, Registry, Spec};
/// use wippy::volume::Volumes;
///
/// let missing = Entry::new("app:data".parse()?, Spec::FsDirectory(FsDirectory::new("/nowhere/at/all")));
/// let (volumes, problems) = Volumes::open(&Registry::from_entries([missing]));
/// assert!(volumes.get(&"app:data".parse()?).is_none());
/// assert_eq!(problems.errors(), 1);
/// # Ok::<(), wippy::registry::ParseIdError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Volumes(HashMap<EntryId, Volume>);

impl Volumes {
    /// Opens every `fs.directory` of the registry. One that cannot be opened is left out, and the problem told, at the
    /// field.
    pub fn open(registry: &Registry) -> (Self, Diagnostics) {
        Self::open_each(registry, Volume::open)
    }

    /// Opens what is there and makes nothing: a folder that [`open`](Self::open) would make is left out without a problem.
    pub fn open_existing(registry: &Registry) -> (Self, Diagnostics) {
        let (volumes, problems) =
            Self::open_each(registry, |id, spec| Volume::open(id, &FsDirectory { auto_init: false, ..spec.clone() }));
        let would_be_made = |problem: &Diagnostic| {
            let entry = problem.entry.as_ref().and_then(|id| registry.get(id));
            let missing = |spec: &FsDirectory| spec.auto_init && !spec.path().exists();
            matches!(entry.map(Entry::spec), Some(Spec::FsDirectory(spec)) if missing(spec))
        };
        let mut kept = Diagnostics::default();
        kept.extend(problems.into_iter().filter(|problem| !would_be_made(problem)));
        (volumes, kept)
    }

    fn open_each(
        registry: &Registry,
        open: impl Fn(EntryId, &FsDirectory) -> Result<Volume, VolumeError>,
    ) -> (Self, Diagnostics) {
        let mut volumes = HashMap::new();
        let mut problems = Diagnostics::default();
        for entry in registry.iter() {
            let Spec::FsDirectory(spec) = entry.spec() else { continue };
            match open(entry.id().clone(), spec) {
                Ok(volume) => drop(volumes.insert(entry.id().clone(), volume)),
                Err(error) => problems.add(told(entry, &error)),
            }
        }
        (Self(volumes), problems)
    }

    /// The volume of an entry.
    pub fn get(&self, id: &EntryId) -> Option<&Volume> {
        self.0.get(id)
    }
}

/// An error at the entry's field, with the advice apart from the fact.
fn told(entry: &Entry, error: &VolumeError) -> Diagnostic {
    let problem = |message: String| entry.problem(Severity::Error, "unusable-directory", &["directory"], message);
    if let VolumeError::Missing { directory, similar, .. } = error {
        let problem = problem(format!("the directory `{}` does not exist", directory.display()));
        let problem = problem.help("create it, or add `auto_init: true`");
        return match similar.name() {
            Some(name) => problem.help(format!("did you mean `{name}`?")),
            None => problem,
        };
    }
    let problem = problem(error.to_string());
    match error.source() {
        Some(cause) => problem.note(cause.to_string()),
        None => problem,
    }
}

/// What the owner's bits of a volume's `mode` allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// `r`: files may be read and opened, folders listed, attributes asked for.
    pub read: bool,
    /// `w`: files may be written, and names made, moved and removed.
    pub write: bool,
    /// `x`: folders may be opened.
    pub search: bool,
}

impl Access {
    /// The owner's bits of `mode`.
    fn of(mode: u32) -> Self {
        Self { read: mode & 0o400 != 0, write: mode & 0o200 != 0, search: mode & 0o100 != 0 }
    }
}

/// An open folder of the host, as `fs.directory` declares it. Clones are the same volume.
///
/// ```
/// use wippy::registry::FsDirectory;
/// use wippy::volume::Volume;
///
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("worker.wasm"), b"\0asm")?;
/// let volume = Volume::open("app:binaries".parse()?, &FsDirectory::new(folder.path()))?;
/// assert_eq!(volume.read("/worker.wasm")?, b"\0asm");
///
/// let error = volume.read("/wroker.wasm").unwrap_err();
/// assert_eq!(error.to_string(), "no file `/wroker.wasm` in `app:binaries`, did you mean `/worker.wasm`?");
/// assert!(volume.read("/../secret").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Volume {
    inner: Arc<Inner>,
}

struct Inner {
    id: EntryId,
    /// Where it was opened; for messages only.
    root: PathBuf,
    dir: Dir,
    mode: u32,
}

impl Volume {
    /// Opens the folder that `spec` of the entry `id` names; `auto_init` makes it with all its parents when it is missing.
    ///
    /// # Errors
    /// The folder is missing (and `auto_init` is off), is no folder, or cannot be made or opened.
    ///
    /// # Panics
    /// On a worker: it blocks on the disk.
    pub fn open(id: EntryId, spec: &FsDirectory) -> Result<Self, VolumeError> {
        assert_may_block();
        let root = spec.path().to_owned();
        // As it was written: that is what the reader of the message looks for.
        let written = || PathBuf::from(&spec.directory);
        let dir = match open_root(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && spec.auto_init => {
                let made = std::fs::DirBuilder::new().recursive(true).mode(spec.mode).create(&root);
                made.and_then(|()| open_root(&root)).map_err(|source| VolumeError::Make {
                    volume: id.clone(),
                    directory: written(),
                    source,
                })?
            }
            Err(error) => return Err(open_error(id, &root, written(), error)),
            Ok(dir) => dir,
        };
        Ok(Self { inner: Arc::new(Inner { id, root, dir, mode: spec.mode }) })
    }

    /// Opens a folder as an entry with no other field would: reading, writing and entering are allowed.
    ///
    /// # Errors
    /// As [`Volume::open`].
    pub fn of_folder(id: EntryId, folder: impl Into<PathBuf>) -> Result<Self, VolumeError> {
        Self::open(id, &FsDirectory::new(folder))
    }

    /// The entry that declares it.
    pub fn id(&self) -> &EntryId {
        &self.inner.id
    }

    /// The path of the folder on the host at the time it was opened, for messages.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The open folder: paths resolve below it, whatever they contain.
    pub fn dir(&self) -> &Dir {
        &self.inner.dir
    }

    /// What `mode` allows.
    pub fn access(&self) -> Access {
        Access::of(self.inner.mode)
    }

    /// The permission bits of a file that is made with the wish `wanted`: no bit beyond `mode`.
    pub fn mask(&self, wanted: u32) -> u32 {
        wanted & self.inner.mode & 0o777
    }

    /// The whole content of a regular file. A leading `/` means the root of the volume.
    ///
    /// Blocks on the disk: for threads that load, not for workers.
    ///
    /// # Errors
    /// `mode` forbids reading; there is no such file (with the name that was probably meant); the path leads out of the
    /// volume; it is no regular file; it has more than [`FILE_BYTES_MAX`] bytes; the system refuses.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, VolumeError> {
        let mut bytes = Vec::new();
        self.read_into(path, &mut bytes).map(|()| bytes)
    }

    /// [`read`](Self::read) into the place of what `bytes` holds.
    pub(crate) fn read_into(&self, path: &str, bytes: &mut Vec<u8>) -> Result<(), VolumeError> {
        self.read_at_most(path, FILE_BYTES_MAX, bytes)
    }

    fn read_at_most(&self, path: &str, bytes_max: u64, bytes: &mut Vec<u8>) -> Result<(), VolumeError> {
        assert_may_block();
        let volume = || self.inner.id.clone();
        let shown = || format!("/{}", path.trim_start_matches('/'));
        self.check_read(path)?;
        let inside = inside(path);
        let failed = |error| self.read_error(inside, error);
        let options = never_waiting(OpenOptions::new().read(true));
        let file = self.inner.dir.open_with(inside, &options).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(VolumeError::NotAFile {
                volume: volume(),
                path: shown(),
                found: kind_of(metadata.file_type()),
            });
        }
        let too_large = || VolumeError::TooLarge { volume: volume(), path: shown(), bytes_max };
        if metadata.len() > bytes_max {
            return Err(too_large());
        }
        bytes.clear();
        bytes.reserve_exact(usize::try_from(metadata.len()).unwrap_or_default());
        // The file of std reads into memory that nobody has written yet. One more than allowed: it may grow meanwhile.
        file.into_std().take(bytes_max + 1).read_to_end(bytes).map_err(failed)?;
        if bytes.len() as u64 > bytes_max { Err(too_large()) } else { Ok(()) }
    }

    /// Why a file could not be opened or read.
    fn read_error(&self, inside: &str, error: io::Error) -> VolumeError {
        let (volume, path) = (self.inner.id.clone(), format!("/{inside}"));
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                VolumeError::NoFile { volume, path, similar: self.similar(Path::new(inside)).into() }
            }
            // Not the system's refusal, but that of the resolution below the root.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => VolumeError::Outside { volume, path },
            // The answer to opening a socket.
            _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                VolumeError::NotAFile { volume, path, found: FileKind::Other }
            }
            _ => VolumeError::Read { volume, path, source: error },
        }
    }

    /// The path with the first name that does not exist replaced by the nearest one of its folder.
    fn similar(&self, path: &Path) -> Option<String> {
        let mut existing = PathBuf::from(".");
        let mut components = path.components();
        let wrong = components.find_map(|component| match component {
            Component::Normal(name) => {
                let next = existing.join(name);
                if self.inner.dir.symlink_metadata(&next).is_ok() {
                    existing = next;
                    return None;
                }
                Some(name.to_str())
            }
            Component::CurDir => None,
            _ => Some(None),
        })??;
        let names =
            names_of(self.inner.dir.read_dir(&existing).ok()?.map(|entry| entry.map(|entry| entry.file_name())));
        let nearest = suggest::near_miss(wrong, names.iter().map(String::as_str))?;
        let meant = existing.join(nearest).join(components.as_path());
        let meant = meant.components().filter(|component| *component != Component::CurDir).collect::<PathBuf>();
        Some(format!("/{}", meant.display()))
    }
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume")
            .field("id", &self.inner.id)
            .field("root", &self.inner.root)
            .field("access", &self.access())
            .finish()
    }
}

fn open_root(root: &Path) -> io::Result<Dir> {
    Dir::open_ambient_dir(root, ambient_authority())
}

fn open_error(volume: EntryId, root: &Path, directory: PathBuf, source: io::Error) -> VolumeError {
    match source.kind() {
        io::ErrorKind::NotFound => {
            let similar = similar_sibling(root);
            VolumeError::Missing { volume, directory, similar: similar.into() }
        }
        io::ErrorKind::NotADirectory => VolumeError::NotAFolder { volume, directory },
        _ => VolumeError::Open { volume, directory, source },
    }
}

/// The folder beside a missing one that has nearly its name.
fn similar_sibling(root: &Path) -> Option<String> {
    let (parent, name) = (root.parent()?, root.file_name()?.to_str()?);
    let names = names_of(std::fs::read_dir(parent).ok()?.map(|entry| entry.map(|entry| entry.file_name())));
    let nearest = suggest::near_miss(name, names.iter().map(String::as_str))?;
    parent.join(nearest).is_dir().then(|| nearest.to_owned())
}

/// The first [`NAMES_MAX`] names of a folder, sorted, so that of equally near ones the same is suggested each time.
fn names_of(entries: impl Iterator<Item = io::Result<std::ffi::OsString>>) -> Vec<String> {
    let mut names: Vec<_> =
        entries.take(NAMES_MAX).filter_map(|name| name.ok().and_then(|name| name.into_string().ok())).collect();
    names.sort();
    names
}

/// The path below the root that `path` means: a leading `/` is the root.
fn inside(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        inside => inside,
    }
}

/// The same, but opening a FIFO without the other side returns, and no terminal becomes the program's: what it is is asked
/// of the open file.
fn never_waiting(options: &mut OpenOptions) -> OpenOptions {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed()).to_owned()
}

fn kind_of(file_type: FileType) -> FileKind {
    if file_type.is_dir() { FileKind::Folder } else { FileKind::Other }
}

#[cfg(test)]
mod tests;
