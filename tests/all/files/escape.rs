//! What leads out of a mount, or changes what may only be read: refused, and nothing on the host is touched.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Mounts, assert_answers, lines};

/// Links as somebody on the host could have left them, each leading out of `/data`.
fn with_traps() -> Mounts {
    let mounts = Mounts::new();
    let data = mounts.host("data");
    symlink("../outside/secret", data.join("up")).unwrap();
    symlink("..", data.join("parent")).unwrap();
    symlink("folder/../../outside", data.join("sideways")).unwrap();
    symlink(mounts.host("outside/secret"), data.join("absolute")).unwrap();
    symlink("/", data.join("root")).unwrap();
    symlink("/proc/self/root", data.join("magic")).unwrap();
    symlink("up", data.join("twice")).unwrap();
    symlink("circle", data.join("circle")).unwrap();
    symlink("../outside/new", data.join("dangling")).unwrap();
    mounts
}

/// Everything below a folder: kind, content, target, links and time of modification of each.
fn picture(folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if metadata.is_symlink() {
            std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            std::fs::read(&path).unwrap()
        };
        let seen = format!(
            "{:o} {} {} {} {}",
            metadata.mode(),
            metadata.nlink(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            String::from_utf8_lossy(&content)
        );
        all.insert(path.strip_prefix(folder).unwrap().display().to_string(), seen);
    }
    all
}

const OUT: &str = "not-permitted";

/// Ways out of a mount, for components. The answer is the standard code of each.
const COMPONENT_ESCAPES: &[(&str, &str)] = &[
    // Upwards.
    ("open x /data .. read", OUT),
    ("open x /data ../outside/secret read", OUT),
    ("open x /data folder/../../outside/secret read,follow", OUT),
    ("open x /data ./../outside/new create,write", OUT),
    ("open x /data ../data/file read", OUT),
    ("stat-at /data ../outside/secret -", OUT),
    ("stat-at /data .. follow", OUT),
    ("hash-at /data ../outside/secret follow", OUT),
    ("mkdir /data ../outside/made", OUT),
    ("rmdir /data ../other", OUT),
    ("unlink /data ../outside/secret", OUT),
    ("readlink /data ../data/up", OUT),
    ("symlink /data file ../outside/link", OUT),
    ("link /data - ../outside/secret /data mine", OUT),
    ("link /data - file /data ../outside/yours", OUT),
    ("rename /data ../outside/secret /data mine", OUT),
    ("rename /data file /data ../outside/file", OUT),
    ("set-times-at /data ../outside/secret follow 1 1", OUT),
    ("set-times-at /data ../outside/secret - 1 1", OUT),
    // Absolute.
    ("open x /data /etc/passwd read", OUT),
    ("open x /data / directory,read", OUT),
    ("open x /data //etc/passwd read,follow", OUT),
    ("stat-at /data /etc/passwd follow", OUT),
    ("mkdir /data /tmp/wippy-escape", OUT),
    ("unlink /data /tmp/wippy-escape", OUT),
    ("link /data - /etc/hostname /data mine", OUT),
    ("rename /data file /data /tmp/wippy-escape", OUT),
    ("symlink /data file /tmp/wippy-escape", OUT),
    // Through links that somebody left.
    ("open x /data up read,follow", OUT),
    ("open x /data up read", "loop"),
    ("open x /data up write,truncate,follow", OUT),
    ("open x /data twice read,follow", OUT),
    ("open x /data parent/outside/secret read", OUT),
    ("open x /data sideways/secret read", OUT),
    ("open x /data sideways directory,read,follow", OUT),
    ("open x /data absolute read,follow", OUT),
    ("open x /data root/etc/passwd read", OUT),
    ("open x /data magic/etc/passwd read", OUT),
    ("open x /data circle read,follow", "loop"),
    ("open x /data dangling create,write,follow", OUT),
    ("open x /data dangling create,exclusive,write,follow", "exist"),
    ("stat-at /data up follow", OUT),
    ("hash-at /data absolute follow", OUT),
    ("mkdir /data sideways/made", OUT),
    ("rmdir /data parent/other", OUT),
    ("unlink /data sideways/secret", OUT),
    ("link /data - sideways/secret /data mine", OUT),
    ("rename /data sideways/secret /data mine", OUT),
    ("rename /data file /data sideways/file", OUT),
    ("symlink /data file sideways/link", OUT),
    ("set-times-at /data up follow 1 1", OUT),
    ("readlink /data absolute", OUT),
    ("readlink /data parent/data/up", OUT),
    // Links of its own that would lead out for others.
    ("symlink /data /etc/passwd mine", OUT),
    ("symlink /data / mine", OUT),
    // From one mount to another: two devices, whatever lies below them.
    ("rename /data file /other file2", "cross-device"),
    ("rename /other file /data file2", "cross-device"),
    ("rename /ro file /data file2", "cross-device"),
    ("rename /data file /ro file2", "cross-device"),
    ("link /data - file /other file2", "cross-device"),
    ("link /ro - file /data file2", "cross-device"),
    // Names of other kinds.
    ("open x /data folder/inner/.. read", "not-directory"),
    ("open x /data '' read", "no-entry"),
    ("mkdir /data ''", "no-entry"),
];

/// Changes below a mount that may only be read.
const COMPONENT_CHANGES: &[(&str, &str)] = &[
    ("open x /ro file write", "read-only"),
    ("open x /ro file read,write", "read-only"),
    ("open x /ro file truncate", "read-only"),
    ("open x /ro new create", "read-only"),
    ("open x /ro new create,exclusive,write", "read-only"),
    ("open x /ro folder directory,mutate", "read-only"),
    ("mkdir /ro made", "read-only"),
    ("rmdir /ro folder", "read-only"),
    ("unlink /ro file", "read-only"),
    ("symlink /ro file link", "read-only"),
    ("link /ro - file /ro second", "read-only"),
    ("rename /ro file /ro moved", "read-only"),
    ("set-times /ro now now", "read-only"),
    ("set-times-at /ro file follow now now", "read-only"),
    ("open f /ro file read", "ok"),
    ("write f 0 no", "read-only"),
    ("write-stream f 0 no", "read-only"),
    ("append-stream f no", "read-only"),
    ("set-size f 0", "read-only"),
    ("set-times f now now", "read-only"),
    ("read f 4 0", "ok text"),
];

/// Both for preview 1: 63 is `perm`, 75 `xdev`, 69 `rofs`, 32 `loop`, 20 `exist`, 44 `noent`. Descriptor 3 is `/data`, 4
/// `/other`, 5 `/ro`.
const COMMAND_ESCAPES: &[(&str, &str)] = &[
    ("open 3 .. d r -", "errno 63"),
    ("open 3 ../outside/secret - r -", "errno 63"),
    ("open 3 /etc/passwd - r -", "errno 63"),
    ("open 3 up - r -", "errno 63"),
    ("open 3 up - r - nofollow", "errno 32"),
    ("open 3 sideways/secret - rw -", "errno 63"),
    ("open 3 magic/etc/passwd - r -", "errno 63"),
    ("open 3 dangling c w -", "errno 63"),
    ("open 3 dangling ce w -", "errno 20"),
    ("statat 3 ../outside/secret", "errno 63"),
    ("statat 3 absolute", "errno 63"),
    ("settimesat 3 up 1 1", "errno 63"),
    ("settimesat 3 ../outside/secret 1 1 nofollow", "errno 63"),
    ("mkdir 3 ../outside/made", "errno 63"),
    ("rmdir 3 parent/other", "errno 63"),
    ("unlink 3 sideways/secret", "errno 63"),
    ("readlink 3 absolute", "errno 63"),
    ("symlink /etc/passwd 3 mine", "errno 63"),
    ("symlink file 3 ../outside/link", "errno 63"),
    ("link 3 ../outside/secret 3 mine", "errno 63"),
    ("link 3 file 3 sideways/mine", "errno 63"),
    ("link 3 file 4 mine", "errno 75"),
    ("rename 3 ../outside/secret 3 mine", "errno 63"),
    ("rename 3 file 3 /tmp/wippy-escape", "errno 63"),
    ("rename 3 file 4 file2", "errno 75"),
    ("rename 5 file 3 file2", "errno 75"),
    ("open 5 file - rw -", "errno 69"),
    ("open 5 new c r -", "errno 69"),
    ("open 5 file t r -", "errno 69"),
    ("mkdir 5 made", "errno 69"),
    ("rmdir 5 folder", "errno 69"),
    ("unlink 5 file", "errno 69"),
    ("symlink file 5 link", "errno 69"),
    ("link 5 file 5 second", "errno 69"),
    ("rename 5 file 5 moved", "errno 69"),
    ("settimesat 5 file 1 1", "errno 69"),
    ("settimes 5 1 1", "errno 69"),
    ("open 5 file - r -", "ok 6"),
    ("write 6 no", "errno 69"),
    ("pwrite 6 0 no", "errno 69"),
    ("setsize 6 0", "errno 69"),
    ("allocate 6 0 100", "errno 69"),
    ("settimes 6 1 1", "errno 69"),
];

#[test]
fn no_component_leaves_its_mounts() {
    let mounts = with_traps();
    let before = picture(&mounts.host(""));
    assert!(COMPONENT_ESCAPES.len() >= 40);
    assert_answers(COMPONENT_ESCAPES, &mounts.component("files", &lines(COMPONENT_ESCAPES)));
    assert_answers(COMPONENT_CHANGES, &mounts.component("files", &lines(COMPONENT_CHANGES)));
    assert_eq!(picture(&mounts.host("")), before);
    assert!(!Path::new("/tmp/wippy-escape").exists());
}

#[test]
fn no_command_leaves_its_mounts() {
    let mounts = with_traps();
    let before = picture(&mounts.host(""));
    assert!(COMMAND_ESCAPES.len() >= 40);
    assert_answers(COMMAND_ESCAPES, &mounts.command(&lines(COMMAND_ESCAPES)));
    assert_eq!(picture(&mounts.host("")), before);
}

/// A folder that is swapped for a link out, again and again, while a guest reads through it: each read finds the file inside
/// or is refused, never the one outside.
#[test]
fn a_race_between_a_check_and_its_use_finds_nothing_outside() {
    let mounts = Mounts::new();
    let (folder, aside, link) = (mounts.host("data/folder"), mounts.host("data/aside"), mounts.host("data/link"));
    std::fs::write(mounts.host("outside/inner"), "OUTSIDE").unwrap();
    symlink("../outside", &link).unwrap();
    let over = AtomicBool::new(false);
    let script: Vec<&str> = ["open f /data folder/inner read,follow", "read f 100 0", "drop f"].repeat(1000);
    let answers = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Relaxed: the scope's end is what orders.
            while !over.load(Ordering::Relaxed) {
                std::fs::rename(&folder, &aside).unwrap();
                std::fs::rename(&link, &folder).unwrap();
                std::fs::rename(&folder, &link).unwrap();
                std::fs::rename(&aside, &folder).unwrap();
            }
        });
        let answers = mounts.component("files", &script);
        over.store(true, Ordering::Relaxed);
        answers
    });
    let (mut inside, mut refused) = (0, 0);
    for answer in answers.chunks(3) {
        match (answer[0].as_str(), answer[1].as_str()) {
            ("ok", text) => {
                assert_eq!(text, "ok text of data/folder/inner");
                inside += 1;
            }
            ("no-entry" | "not-permitted", _) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(inside + refused, 1000);
    assert!(inside > 0, "the race was never won");
}
