//! Where the sockets lie: a folder of the user's that nobody else can enter.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::ControlError;

/// The permissions of the folder.
const FOLDER_MODE: u32 = 0o700;

/// The bits that others must not have.
const OTHERS: u32 = 0o077;

/// Where the system keeps what belongs to a user who is logged in.
const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// The places where the sockets of a user's runtimes may lie, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders(pub(super) Vec<PathBuf>);

impl Folders {
    /// Those of the user who runs this program: `wippy` in `$XDG_RUNTIME_DIR`, and `wippy-UID` in the folder for temporary
    /// files, where there is no other.
    #[must_use]
    pub fn of_user() -> Self {
        let session = std::env::var_os(RUNTIME_DIR).map(PathBuf::from).filter(|path| path.is_absolute());
        let temporary = std::env::temp_dir().join(format!("wippy-{}", geteuid().as_raw()));
        Self(session.map(|path| path.join("wippy")).into_iter().chain([temporary]).collect())
    }

    /// This folder and no other. It is made when a runtime serves, in a folder that is there.
    #[must_use]
    pub fn only(folder: impl Into<PathBuf>) -> Self {
        Self(vec![folder.into()])
    }

    /// The folders, the preferred one first; none needs to be there.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }
}

/// Makes the folder, if it is not there, and checks it.
///
/// # Errors
/// It can't be made, or it is not the user's alone.
pub(super) fn prepare(folder: &Path) -> Result<(), ControlError> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(ControlError::path(folder, error)),
        _ => {}
    }
    check(folder)
}

/// Checks that the folder is the user's alone. One that is cannot be replaced by anybody else either: its parent is the
/// user's, too, or keeps files to their owners as a folder for temporary files does.
///
/// # Errors
/// It is not there, or it is not the user's alone.
pub(super) fn check(folder: &Path) -> Result<(), ControlError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOTDIR | Errno::LOOP => ControlError::NoFolder { path: folder.to_owned() },
        errno => ControlError::path(folder, errno),
    })?;
    let stat = rustix::fs::fstat(&opened).map_err(|errno| ControlError::path(folder, errno))?;
    let user = geteuid().as_raw();
    if stat.st_uid != user {
        return Err(ControlError::ForeignFolder { path: folder.to_owned(), owner: stat.st_uid, user });
    }
    let mode = Mode::from_raw_mode(stat.st_mode).as_raw_mode();
    if mode & OTHERS != 0 {
        return Err(ControlError::OpenFolder { path: folder.to_owned(), mode: mode & 0o777 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_folder_is_made_for_its_user_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("wippy");
        prepare(&folder).unwrap();
        prepare(&folder).expect("one that is there is used");
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_is_open_to_others_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("wippy");
        prepare(&folder).unwrap();
        for mode in [0o701, 0o710, 0o750, 0o777] {
            set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            let error = prepare(&folder).unwrap_err().to_string();
            assert!(error.contains(&format!("mode is {mode:o}: `chmod 700 '")), "{error}");
        }
    }

    #[test]
    fn a_link_to_a_folder_and_a_file_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        let (real, link, file) = (parent.path().join("real"), parent.path().join("link"), parent.path().join("file"));
        prepare(&real).unwrap();
        symlink(&real, &link).unwrap();
        std::fs::write(&file, "").unwrap();
        for path in [link, file] {
            assert!(matches!(prepare(&path), Err(ControlError::NoFolder { .. })), "{}", path.display());
        }
        let nowhere = parent.path().join("none/wippy");
        assert!(matches!(prepare(&nowhere), Err(ControlError::Path { .. })), "its parent is not there");
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        // The root of the file system is root's, and readable to others for everybody else who runs this.
        let refused = check(Path::new("/"));
        if geteuid().is_root() {
            assert!(matches!(refused, Err(ControlError::OpenFolder { .. })), "{refused:?}");
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("wippy");
            prepare(&folder).unwrap();
            std::os::unix::fs::chown(&folder, Some(65_534), None).unwrap();
            let error = check(&folder).unwrap_err().to_string();
            assert!(error.ends_with("belongs to user 65534, not to user 0, who runs this program"), "{error}");
        } else {
            assert!(matches!(refused, Err(ControlError::ForeignFolder { owner: 0, .. })), "{refused:?}");
        }
    }
}
