//! Deeds by path, for those who do one at a time: the bits of `mode` are asked first, then the system. All of it blocks on
//! the disk and is for the blocking pool.

use std::io;
use std::time::SystemTime;

use cap_std::fs::{DirBuilder, DirBuilderExt, File, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::io::Errno;

use super::{FileKind, Volume, VolumeError, inside, kind_of, never_waiting};
use crate::reactor::assert_may_block;

/// What a new file allows, before the volume's `mode` and the program's own mask.
const FILE_MODE: u32 = 0o666;

/// What a new folder allows, before the volume's `mode` and the program's own mask.
const FOLDER_MODE: u32 = 0o777;

/// The most names that [`Volume::list`] gives: some MiB of them.
pub const NAMES_LISTED_MAX: usize = 1 << 16;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// To be read.
    Read,
    /// To be written from its beginning; what was in it is gone. Made when it is missing.
    Write,
    /// To be written at its end. Made when it is missing.
    Append,
    /// To be made and written.
    WriteNew,
}

/// What is known of a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its length in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// When it was changed, in seconds since 1970.
    pub modified: i64,
    /// Whether it is a folder.
    pub is_dir: bool,
}

impl Stat {
    /// What the system says of it.
    pub fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().map(|time| time.into_std());
        let since = modified.map(|time| time.duration_since(SystemTime::UNIX_EPOCH));
        let seconds = since.map_or(0, |since| match since {
            Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
        });
        Self { size: metadata.len(), mode: metadata.mode() & 0o7777, modified: seconds, is_dir: metadata.is_dir() }
    }
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name, as the system has it.
    pub name: Vec<u8>,
    /// Whether it is that of a folder; a symbolic link is none.
    pub is_dir: bool,
}

impl Volume {
    /// Opens a regular file. Nothing else is opened, so nothing is waited for.
    ///
    /// # Errors
    /// `mode` forbids it; it does not exist, or exists though it should be made; it is no regular file; the path leads out of
    /// the volume; the system refuses.
    ///
    /// # Panics
    /// On a worker, like everything here: it blocks on the disk.
    pub fn open_file(&self, path: &str, mode: FileMode) -> Result<File, VolumeError> {
        assert_may_block();
        if mode == FileMode::Read {
            self.check_read(path)?;
        } else {
            self.check_write(path)?;
        }
        self.check_passes(path)?;
        let mut options = OpenOptions::new();
        match mode {
            FileMode::Read => options.read(true),
            FileMode::Write => options.write(true).create(true),
            FileMode::Append => options.append(true).create(true),
            FileMode::WriteNew => options.write(true).create_new(true),
        };
        options.mode(self.mask(FILE_MODE));
        let failed = |error| self.deed_error(path, error, mode != FileMode::Read);
        let file = self.dir().open_with(inside(path), &never_waiting(&mut options)).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(self.not_a_file(path, kind_of(metadata.file_type())));
        }
        if mode == FileMode::Write && metadata.len() > 0 {
            // Only now: a device that is opened is not to be told anything.
            file.set_len(0).map_err(failed)?;
        }
        Ok(file)
    }

    /// What is known of a file or folder, or of what a symbolic link leads to.
    ///
    /// # Errors
    /// As [`Volume::open_file`].
    pub fn stat(&self, path: &str) -> Result<Stat, VolumeError> {
        assert_may_block();
        self.check_read(path)?;
        self.check_passes(path)?;
        let metadata = self.dir().metadata(inside(path)).map_err(|error| self.deed_error(path, error, false))?;
        Ok(Stat::of(&metadata))
    }

    /// Makes a folder; those above it have to exist.
    ///
    /// # Errors
    /// As [`Volume::open_file`]; there is something with this name already.
    pub fn make_folder(&self, path: &str) -> Result<(), VolumeError> {
        assert_may_block();
        self.check_write(path)?;
        self.check_passes(path)?;
        let made = self.dir().create_dir_with(inside(path), DirBuilder::new().mode(self.mask(FOLDER_MODE)));
        made.map_err(|error| self.deed_error(path, error, true))
    }

    /// Removes a file, a symbolic link or an empty folder.
    ///
    /// # Errors
    /// As [`Volume::open_file`]; the folder is not empty.
    pub fn remove(&self, path: &str) -> Result<(), VolumeError> {
        assert_may_block();
        self.check_write(path)?;
        self.check_passes(path)?;
        let within = inside(path);
        let removed = self.dir().symlink_metadata(within).and_then(|metadata| match metadata.is_dir() {
            true => self.dir().remove_dir(within),
            false => self.dir().remove_file(within),
        });
        removed.map_err(|error| self.deed_error(path, error, true))
    }

    /// What is in a folder, by name.
    ///
    /// # Errors
    /// As [`Volume::open_file`]; it is no folder, or has more than [`NAMES_LISTED_MAX`] names.
    pub fn list(&self, path: &str) -> Result<Vec<Listed>, VolumeError> {
        self.list_at_most(path, NAMES_LISTED_MAX)
    }

    pub(super) fn list_at_most(&self, path: &str, names_max: usize) -> Result<Vec<Listed>, VolumeError> {
        assert_may_block();
        let folder = self.folder(path)?;
        let failed = |error| self.deed_error(path, error, false);
        let mut listed = Vec::new();
        for entry in self.dir().read_dir(&folder).map_err(failed)? {
            if listed.len() == names_max {
                let (volume, path) = (self.id().clone(), shown(path));
                return Err(VolumeError::TooMany { volume, path, names_max });
            }
            let entry = entry.map_err(failed)?;
            let is_dir = entry.file_type().map_err(failed)?.is_dir();
            listed.push(Listed { name: entry.file_name().into_encoded_bytes(), is_dir });
        }
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    /// The way to a folder from the root, without `..` and symbolic links; `.` for the root itself.
    ///
    /// # Errors
    /// As [`Volume::open_file`]; it is no folder.
    pub fn folder(&self, path: &str) -> Result<String, VolumeError> {
        assert_may_block();
        self.check_read(path)?;
        self.check_passes(path)?;
        let failed = |error| self.deed_error(path, error, false);
        let metadata = self.dir().metadata(inside(path)).map_err(failed)?;
        if !metadata.is_dir() {
            return Err(VolumeError::NotADirectory { volume: self.id().clone(), path: shown(path) });
        }
        let found = self.dir().canonicalize(inside(path)).map_err(failed)?;
        if !found.as_os_str().is_empty() && found.as_os_str() != "." {
            self.check_search(path)?;
        }
        match found.into_os_string().into_string() {
            Ok(found) if found.is_empty() => Ok(".".to_owned()),
            Ok(found) => Ok(found),
            Err(_) => Err(failed(io::ErrorKind::InvalidFilename.into())),
        }
    }

    pub(super) fn check_read(&self, path: &str) -> Result<(), VolumeError> {
        if self.access().read { Ok(()) } else { Err(self.denied(path, "read", 'r')) }
    }

    fn check_write(&self, path: &str) -> Result<(), VolumeError> {
        if self.access().write { Ok(()) } else { Err(self.denied(path, "changed", 'w')) }
    }

    fn check_search(&self, path: &str) -> Result<(), VolumeError> {
        if self.access().search { Ok(()) } else { Err(self.denied(path, "entered", 'x')) }
    }

    /// `mode` lets pass through folders, if the path does.
    fn check_passes(&self, path: &str) -> Result<(), VolumeError> {
        let passes = path.split('/').filter(|part| !part.is_empty() && *part != ".").count() > 1;
        if passes { self.check_search(path) } else { Ok(()) }
    }

    fn denied(&self, path: &str, deed: &'static str, bit: char) -> VolumeError {
        VolumeError::Denied { volume: self.id().clone(), path: shown(path), deed, bit, mode: self.inner.mode }
    }

    fn not_a_file(&self, path: &str, found: FileKind) -> VolumeError {
        VolumeError::NotAFile { volume: self.id().clone(), path: shown(path), found }
    }

    /// What an answer of the system means.
    fn deed_error(&self, path: &str, error: io::Error, changes: bool) -> VolumeError {
        let (volume, shown) = (self.id().clone(), shown(path));
        match error.kind() {
            io::ErrorKind::AlreadyExists => VolumeError::Exists { volume, path: shown },
            io::ErrorKind::DirectoryNotEmpty => VolumeError::NotEmpty { volume, path: shown },
            io::ErrorKind::IsADirectory => self.not_a_file(path, FileKind::Folder),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.read_error(inside(path), error),
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => self.read_error(inside(path), error),
            _ if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => self.not_a_file(path, FileKind::Other),
            _ if changes => VolumeError::Change { volume, path: shown, source: error },
            _ => VolumeError::Read { volume, path: shown, source: error },
        }
    }
}

/// A path as messages have it.
fn shown(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn volume() -> (tempfile::TempDir, Volume) {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::of_folder("app:data".parse().unwrap(), folder.path()).unwrap();
        (folder, volume)
    }

    fn write(volume: &Volume, path: &str, mode: FileMode, text: &str) -> Result<(), VolumeError> {
        volume.open_file(path, mode).map(|mut file| file.write_all(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_file_is_written_in_each_mode() {
        let (_folder, volume) = volume();
        let text = || {
            let mut text = String::new();
            volume.open_file("/f", FileMode::Read).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        write(&volume, "f", FileMode::WriteNew, "one").unwrap();
        write(&volume, "f", FileMode::Append, " two").unwrap();
        assert_eq!(text(), "one two");
        write(&volume, "f", FileMode::Write, "3").unwrap();
        assert_eq!(text(), "3");
        let error = write(&volume, "f", FileMode::WriteNew, "").unwrap_err();
        assert_eq!(error.to_string(), "`/f` in `app:data` exists already");
        assert_eq!(volume.stat("f").unwrap().size, 1);
    }

    #[test]
    fn what_could_wait_is_not_opened() {
        let (folder, volume) = volume();
        mknodat(CWD, folder.path().join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for mode in [FileMode::Read, FileMode::Write, FileMode::Append] {
            let error = volume.open_file("fifo", mode).unwrap_err();
            assert!(matches!(error, VolumeError::NotAFile { found: FileKind::Other, .. }), "{error}");
        }
        let error = volume.open_file(".", FileMode::Append).unwrap_err();
        assert!(matches!(error, VolumeError::NotAFile { found: FileKind::Folder, .. }), "{error}");
    }

    #[test]
    fn no_deed_leads_out() {
        let (folder, volume) = volume();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        symlink(outside.path(), folder.path().join("out")).unwrap();
        for refused in [
            volume.stat("out/secret").map(drop),
            volume.open_file("out/secret", FileMode::Write).map(drop),
            volume.make_folder("out/more"),
            volume.remove("out/secret"),
            volume.list("out").map(drop),
            volume.folder("out").map(drop),
            volume.folder("..").map(drop),
        ] {
            assert!(matches!(refused, Err(VolumeError::Outside { .. })), "{refused:?}");
        }
        // The link itself is in the volume.
        volume.remove("out").unwrap();
        assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"x");
    }

    #[test]
    fn folders_are_made_listed_and_removed() {
        let (folder, volume) = volume();
        volume.make_folder("d").unwrap();
        volume.make_folder("/d/e").unwrap();
        write(&volume, "d/b", FileMode::Write, "").unwrap();
        symlink("e", folder.path().join("d/link")).unwrap();
        let listed: Vec<_> = volume.list("d").unwrap().into_iter().map(|entry| (entry.name, entry.is_dir)).collect();
        assert_eq!(listed, [(b"b".to_vec(), false), (b"e".to_vec(), true), (b"link".to_vec(), false)]);
        assert!(matches!(volume.list_at_most("d", 2), Err(VolumeError::TooMany { names_max: 2, .. })));
        assert_eq!(["/", "d/link", "d/./e/.."].map(|path| volume.folder(path).unwrap()), [".", "d/e", "d"]);
        assert!(matches!(volume.folder("d/b"), Err(VolumeError::NotADirectory { .. })));
        assert!(matches!(volume.remove("d"), Err(VolumeError::NotEmpty { .. })));
        assert!(matches!(volume.make_folder("d"), Err(VolumeError::Exists { .. })));
        for path in ["d/b", "d/link", "d/e", "d"] {
            volume.remove(path).unwrap();
        }
        let error = volume.remove("d").unwrap_err();
        assert_eq!(error.to_string(), "no file `/d` in `app:data`");
    }
}
