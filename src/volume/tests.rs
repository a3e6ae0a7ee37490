use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

use super::*;

/// A folder with `secret` in it and the volume `app:data` below, which has `a/b/file` and `file`.
fn volume() -> (TempDir, Volume) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let root = folder.path().join("data");
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("a/b/file"), "deep").unwrap();
    std::fs::write(root.join("file"), "content").unwrap();
    let volume = open(FsDirectory::new(root)).unwrap();
    (folder, volume)
}

fn open(spec: FsDirectory) -> Result<Volume, VolumeError> {
    Volume::open("app:data".parse().unwrap(), &spec)
}

fn message(result: Result<impl Sized, VolumeError>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn files_are_read_below_the_root() {
    let (_folder, volume) = volume();
    for path in ["file", "/file", "//file", "./file", "/a/../file", "a/b/../../file"] {
        assert_eq!(volume.read(path).unwrap(), b"content", "{path}");
    }
    assert_eq!(volume.read("/a/b/file").unwrap(), b"deep");
}

#[test]
fn nothing_leads_out() {
    let (folder, volume) = volume();
    let outside = folder.path().join("secret");
    symlink(&outside, volume.root().join("absolute")).unwrap();
    symlink("../secret", volume.root().join("relative")).unwrap();
    symlink("../../..", volume.root().join("a/b/up")).unwrap();
    symlink("a/b/file", volume.root().join("inside")).unwrap();
    assert_eq!(volume.read("inside").unwrap(), b"deep", "a link that stays inside is fine");
    for path in ["../secret", "/../secret", "a/../../secret", "absolute", "relative", "a/b/up/secret", ".."] {
        let Err(VolumeError::Outside { path: named, .. }) = volume.read(path) else { panic!("`{path}` is refused") };
        assert_eq!(named, format!("/{}", path.trim_start_matches('/')));
    }
    // An absolute path is one inside the volume.
    let absolute = outside.to_str().unwrap();
    assert!(matches!(volume.read(absolute), Err(VolumeError::NoFile { .. })));
}

#[test]
fn the_folder_stays_the_same_when_its_path_changes() {
    let (folder, volume) = volume();
    std::fs::rename(volume.root(), folder.path().join("moved")).unwrap();
    std::fs::create_dir(volume.root()).unwrap();
    std::fs::write(volume.root().join("file"), "another").unwrap();
    assert_eq!(volume.read("file").unwrap(), b"content");
}

/// A hang here is a failure of the whole run; there is nothing to wait for.
#[test]
fn only_regular_files_are_read_and_nothing_hangs() {
    let (_folder, volume) = volume();
    mkfifoat(CWD, volume.root().join("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    let _listener = UnixListener::bind(volume.root().join("socket")).unwrap();
    for (path, found) in
        [("fifo", FileKind::Other), ("socket", FileKind::Other), ("a", FileKind::Folder), ("/", FileKind::Folder)]
    {
        let error = volume.read(path).unwrap_err();
        assert!(matches!(error, VolumeError::NotAFile { found: is, .. } if is == found), "{path}: {error}");
    }
    let devices = open(FsDirectory::new("/dev")).unwrap();
    assert_eq!(
        message(devices.read("/zero")),
        "`/zero` in `app:data` is a FIFO, socket or device, expected a regular file"
    );
}

#[test]
fn a_missing_file_names_what_was_probably_meant() {
    let (_folder, volume) = volume();
    for (path, expected) in [
        ("/fiel", "no file `/fiel` in `app:data`, did you mean `/file`?"),
        ("a/c/file", "no file `/a/c/file` in `app:data`, did you mean `/a/b/file`?"),
        ("a/b/fil", "no file `/a/b/fil` in `app:data`, did you mean `/a/b/file`?"),
        ("other.wasm", "no file `/other.wasm` in `app:data`"),
        ("file/below", "no file `/file/below` in `app:data`"),
    ] {
        assert_eq!(message(volume.read(path)), expected);
    }
}

#[test]
fn a_suggestion_does_not_look_outside() {
    let (folder, volume) = volume();
    symlink(folder.path(), volume.root().join("out")).unwrap();
    assert_eq!(
        message(volume.read("out/secrte")),
        "`/out/secrte` leads out of `app:data`, use a path without `..` and links that stay inside"
    );
}

#[test]
fn what_is_read_is_bounded() {
    let (_folder, volume) = volume();
    let mut bytes = b"older".to_vec();
    volume.read_at_most("file", 7, &mut bytes).unwrap();
    assert_eq!(bytes, b"content");
    assert_eq!(
        message(volume.read_at_most("file", 6, &mut bytes)),
        "`/file` in `app:data` has more than 6 bytes, the most that is loaded"
    );
    let sparse = std::fs::File::create(volume.root().join("sparse")).unwrap();
    sparse.set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(matches!(volume.read("sparse"), Err(VolumeError::TooLarge { bytes_max: FILE_BYTES_MAX, .. })));
}

#[test]
fn the_owners_bits_of_mode_gate() {
    let (folder, _) = volume();
    let with = |mode| open(FsDirectory { mode, ..FsDirectory::new(folder.path().join("data")) }).unwrap();
    assert_eq!(
        message(with(0o377).read("/file")),
        "`/file` in `app:data` may not be read, the owner has no `r` in its `mode: \"0377\"`"
    );
    assert_eq!(with(0o400).read("file").unwrap(), b"content");
    assert_eq!(with(0o577).access(), Access { read: true, write: false, search: true });
    assert_eq!(with(0o255).access(), Access { read: false, write: true, search: false });
    assert_eq!(with(0o750).mask(0o666), 0o640);
    assert_eq!(with(0o755).mask(0o4777), 0o755, "no bits beyond permissions");
}

#[test]
fn auto_init_makes_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("var/lib/data");
    let missing = FsDirectory::new(&root);
    assert_eq!(
        message(open(missing.clone())),
        format!("the directory `{}` of `app:data` does not exist, create it or add `auto_init: true`", root.display())
    );
    assert!(!root.exists());
    open(FsDirectory { auto_init: true, mode: 0o700, ..missing.clone() }).unwrap();
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    open(FsDirectory { auto_init: true, ..missing }).unwrap();
}

#[test]
fn a_folder_that_is_none_is_refused_with_the_next_step() {
    let (folder, _) = volume();
    let at = |name: &str| open(FsDirectory::new(folder.path().join(name)));
    let root = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(
        message(at("dat")),
        format!(
            "the directory `{}` of `app:data` does not exist, create it or add `auto_init: true`, did you mean `data`?",
            root("dat")
        )
    );
    assert_eq!(
        message(at("secret")),
        format!("`{}` of `app:data` is not a directory, name the folder that contains the files", root("secret"))
    );
    let below_a_file = FsDirectory { auto_init: true, ..FsDirectory::new(folder.path().join("secret/data")) };
    assert!(matches!(open(below_a_file), Err(VolumeError::NotAFolder { .. })));
    mkfifoat(CWD, folder.path().join("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    assert!(matches!(at("fifo"), Err(VolumeError::NotAFolder { .. })));
}

#[test]
fn all_volumes_of_an_application_open_or_are_told() {
    let (folder, _) = volume();
    let entry =
        |name: &str, folder: PathBuf| Entry::new(name.parse().unwrap(), Spec::FsDirectory(FsDirectory::new(folder)));
    let missing = folder.path().join("dat");
    let registry = Registry::from_entries([
        entry("app:data", folder.path().join("data")),
        entry("app:missing", missing.clone()),
        entry("app:file", folder.path().join("secret")),
    ]);
    let (volumes, problems) = Volumes::open(&registry);
    let get = |name: &str| volumes.get(&name.parse().unwrap());
    assert_eq!(get("app:data").unwrap().read("file").unwrap(), b"content");
    assert!(get("app:missing").is_none() && get("app:file").is_none());
    let told: Vec<_> = problems.iter().map(|problem| (problem.to_string(), problem.help.clone())).collect();
    let secret = folder.path().join("secret");
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(
        format!("error[unusable-directory]: `app:missing`: the directory `{}` does not exist", missing.display()),
        vec!["create it, or add `auto_init: true`".to_owned(), "did you mean `data`?".to_owned()],
    )));
    assert!(told.iter().any(|(message, _)| message.contains(&format!("`{}` of `app:file` is not", secret.display()))));
}

#[test]
fn a_directory_is_called_what_the_entry_calls_it() {
    let (folder, _) = volume();
    let written =
        |name: &str| FsDirectory { directory: format!("./{name}"), ..FsDirectory::new(folder.path().join(name)) };
    assert_eq!(
        message(open(written("dat"))),
        "the directory `./dat` of `app:data` does not exist, create it or add `auto_init: true`, did you mean `data`?"
    );
    assert!(message(open(written("secret"))).starts_with("`./secret` of `app:data` is not a directory"));
}

#[test]
fn a_check_makes_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let directory = |name: &str, auto_init| {
        let spec = FsDirectory { auto_init, ..FsDirectory::new(folder.path().join(name)) };
        Entry::new(format!("app:{name}").parse().unwrap(), Spec::FsDirectory(spec))
    };
    let registry = Registry::from_entries([directory("made", true), directory("missing", false)]);
    let (volumes, problems) = Volumes::open_existing(&registry);
    assert!(volumes.get(&"app:made".parse().unwrap()).is_none() && !folder.path().join("made").exists());
    let told: Vec<_> = problems.iter().map(|problem| problem.entry.as_ref().unwrap().to_string()).collect();
    assert_eq!(told, ["app:missing"]);
    let (volumes, _) = Volumes::open(&registry);
    assert!(volumes.get(&"app:made".parse().unwrap()).is_some() && folder.path().join("made").is_dir());
}
