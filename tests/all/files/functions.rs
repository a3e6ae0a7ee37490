//! Every function once, its answers and its effect on the host.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::super::support::{app, fixture};
use super::{Mounts, assert_answers, lines};
use wippy::Runtime;

#[track_caller]
fn component(mounts: &Mounts, entry: &str, script: &[(&str, &str)]) {
    assert_answers(script, &mounts.component(entry, &lines(script)));
}

#[track_caller]
fn command(mounts: &Mounts, script: &[(&str, &str)]) {
    assert_answers(script, &mounts.command(&lines(script)));
}

#[test]
fn a_component_sees_its_mounts_in_the_order_of_their_paths() {
    let mounts = Mounts::new();
    component(&mounts, "files", &[("mounts", "ok /data /other /ro"), ("type /ro", "ok DescriptorType::Directory")]);
}

#[test]
fn an_entry_that_does_not_list_files_sees_none() {
    component(&Mounts::new(), "unlisted", &[("mounts", "ok")]);
}

#[test]
fn a_component_reads_and_writes() {
    let mounts = Mounts::new();
    component(
        &mounts,
        "files",
        &[
            ("open f /data file read", "ok"),
            ("read f 4 0", "ok text"),
            ("read f 100 8", "ok data/file"),
            ("read f 100 17", "ok eof"),
            ("read f 0 0", "ok"),
            ("read-stream f 5", "ok 12 of data/file"),
            ("read-stream f 1000", "ok 0 "),
            ("write f 0 no", "bad-descriptor"),
            ("write-stream f 0 no", "bad-descriptor"),
            ("read /data 1 0", "is-directory"),
            ("read-stream /data 0", "is-directory"),
            ("write-stream /data 0 no", "bad-descriptor"),
            ("open new /data new create,write", "ok"),
            ("write new 3 later", "ok 5"),
            ("write-stream new 0 abc", "ok"),
            ("append-stream new end", "ok"),
            ("drop-stream new 1 X", "ok"),
            ("read new 1 0", "bad-descriptor"),
            ("set-size new 10", "ok"),
            ("sync new", "ok"),
            ("sync-data new", "ok"),
            ("sync /data", "ok"),
            ("sync-data /data", "ok"),
            ("advise new sequential", "ok"),
            ("advise new no-reuse", "ok"),
            ("advise /data normal", "bad-descriptor"),
            ("write new 9223372036854775807 far", "file-too-large"),
            ("write-stream new 9223372036854775807 far", "file-too-large"),
            ("flags new", "ok DescriptorFlags(WRITE)"),
            ("flags /data", "ok DescriptorFlags(READ | MUTATE_DIRECTORY)"),
            ("flags /ro", "ok DescriptorFlags(READ)"),
            ("type new", "ok DescriptorType::RegularFile"),
            ("drop new", "ok"),
        ],
    );
    assert_eq!(mounts.text("data/new"), "aXclateren");
}

#[test]
fn a_component_opens_in_every_way() {
    let mounts = Mounts::new();
    std::os::unix::fs::symlink("file", mounts.host("data/link")).unwrap();
    std::os::unix::fs::symlink("missing", mounts.host("data/dangling")).unwrap();
    component(
        &mounts,
        "files",
        &[
            ("open a /data missing read", "no-entry"),
            ("open a /data file create,exclusive,write", "exist"),
            ("open a /data made create,exclusive,read", "ok"),
            ("open a /data file truncate,write,read", "ok"),
            ("read a 10 0", "ok eof"),
            ("open a /data file directory,read", "not-directory"),
            ("open a /data file directory,create", "invalid"),
            ("open a /data folder directory,read,mutate", "ok"),
            ("open b a inner read", "ok"),
            ("read b 4 0", "ok text"),
            ("open b a .. read", "not-permitted"),
            ("open b /data folder/../file read", "ok"),
            ("open b /data folder read", "ok"),
            ("type b", "ok DescriptorType::Directory"),
            ("open b /data folder write", "is-directory"),
            ("open b /data file/ read", "not-directory"),
            ("open b /data folder/ read", "ok"),
            ("open b /data '' read", "no-entry"),
            ("open b /data . read", "ok"),
            ("open c b file read", "ok"),
            ("open b /data link read", "loop"),
            ("open b /data link read,follow", "ok"),
            ("open b /data dangling create,write,follow", "ok"),
            ("open b c file read", "not-directory"),
            ("open b /data file -", "ok"),
            ("read b 1 0", "bad-descriptor"),
            ("open b /data file read,write,file-sync,data-sync,write-sync", "ok"),
            (
                "flags b",
                "ok DescriptorFlags(READ | WRITE | FILE_INTEGRITY_SYNC | DATA_INTEGRITY_SYNC | REQUESTED_WRITE_SYNC)",
            ),
            ("write b 0 synced", "ok 6"),
        ],
    );
    assert!(mounts.host("data/missing").exists(), "made through the link");
    // What the program's own mask leaves of 0o666, and no bit that the volume's mode has not.
    assert_eq!(std::fs::metadata(mounts.host("data/made")).unwrap().permissions().mode() & 0o077 & !0o040, 0);
}

#[test]
fn a_component_works_on_names() {
    let mounts = Mounts::new();
    component(
        &mounts,
        "files",
        &[
            ("mkdir /data made", "ok"),
            ("mkdir /data made", "exist"),
            ("mkdir /data made/deep/", "ok"),
            ("mkdir /data missing/deep", "no-entry"),
            ("rmdir /data made", "not-empty"),
            ("rmdir /data made/deep", "ok"),
            ("rmdir /data file", "not-directory"),
            ("unlink /data folder", "is-directory"),
            ("symlink /data ../file made/up", "ok"),
            ("readlink /data made/up", "ok ../file"),
            ("readlink /data file", "invalid"),
            ("stat-at /data made/up -", "ok DescriptorType::SymbolicLink 1 7"),
            ("stat-at /data made/up follow", "ok DescriptorType::RegularFile 1 17"),
            ("link /data - file /data second", "ok"),
            ("link /data follow file /data third", "invalid"),
            ("link /data - file /data second", "exist"),
            ("stat-at /data second -", "ok DescriptorType::RegularFile 2 17"),
            ("rename /data second /data folder/moved", "ok"),
            ("rename /data missing /data folder/moved", "no-entry"),
            ("rename /data folder /data made", "not-empty"),
            ("unlink /data made/up", "ok"),
            (
                "list /data",
                "ok file:DescriptorType::RegularFile folder:DescriptorType::Directory made:DescriptorType::Directory",
            ),
            ("open f /data folder directory", "ok"),
            ("list f", "ok inner:DescriptorType::RegularFile moved:DescriptorType::RegularFile"),
            ("open f /data folder/moved read", "ok"),
            ("list f", "not-directory"),
            ("unlink /data folder/moved", "ok"),
        ]
        .map(|(line, answer)| (line, answer)),
    );
    assert_eq!(std::fs::metadata(mounts.host("data/file")).unwrap().nlink(), 1);
}

#[test]
fn a_component_asks_and_sets_attributes() {
    let mounts = Mounts::new();
    let script = [
        "open f /data file read,write",
        "set-times f 1000 2000",
        "stat f",
        "set-times-at /data file follow - 3000",
        "stat-at /data file -",
        "set-times /data 4000 5000",
        "stat /data",
        "symlink /data file link",
        "set-times-at /data link - 6000 7000",
        "stat-at /data link -",
        "stat-at /data link follow",
        "set-times-at /data missing follow now now",
        "open g /data file read",
        "same f g",
        "same f /data",
        "hash f",
        "hash-at /data link follow",
        "hash-at /data link -",
        "write f 0 changed",
        "hash f",
    ];
    let found = mounts.component("files", &script);
    let expected = [
        "ok",
        "ok",
        "ok DescriptorType::RegularFile 1 17 2000 1000",
        "ok",
        "ok DescriptorType::RegularFile 1 17 3000 1000",
        "ok",
        "ok DescriptorType::Directory 3 4096 5000 4000",
        "ok",
        "ok",
        "ok DescriptorType::SymbolicLink 1 4 7000 6000",
        "ok DescriptorType::RegularFile 1 17 3000 1000",
        "no-entry",
        "ok",
        "ok true",
        "ok false",
    ];
    for ((line, found), expected) in script.iter().zip(&found).zip(expected) {
        // A folder's size is the file system's affair.
        let same = found == expected || (found.contains("Directory") && expected.contains("Directory"));
        assert!(same, "{line}: {found}, expected {expected}");
    }
    let [direct, through, link, _, after] = &found[15..] else { panic!("{found:?}") };
    assert_eq!(direct, through);
    assert_ne!(direct, link);
    let halves = |hash: &str| hash.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (halves(direct), halves(after));
    assert_eq!(before[1], after[1], "the object is the same");
    assert_ne!(before[2], after[2], "its content is not");
}

#[test]
fn a_large_folder_is_listed_whole() {
    let mounts = Mounts::new();
    for name in 0..1000 {
        std::fs::write(mounts.host(&format!("other/{name}")), "").unwrap();
    }
    let listed = &mounts.component("files", &["list /other"])[0];
    assert_eq!(listed.split(' ').count() - 1, 1001);
    for room in ["60", "300", "65536"] {
        let listed = &mounts.command(&[&format!("list 4 {room}")])[0];
        let names: std::collections::BTreeSet<_> = listed.split(' ').skip(1).collect();
        assert_eq!((names.len(), listed.split(' ').count() - 1), (1003, 1003), "with a buffer of {room}");
    }
}

#[test]
fn the_owners_bits_gate_what_a_guest_does() {
    let mounts = Mounts::new();
    component(
        &mounts,
        "read",
        &[
            ("open f /data file read", "ok"),
            ("read f 4 0", "ok text"),
            ("open f /data file write", "access"),
            ("mkdir /data made", "access"),
            ("unlink /data file", "access"),
            ("flags /data", "ok DescriptorFlags(READ)"),
        ],
    );
    component(
        &mounts,
        "near",
        &[
            ("open f /data file read,write", "ok"),
            ("open f /data folder directory", "access"),
            ("open f /data folder/inner read", "access"),
            ("stat-at /data folder/inner -", "access"),
        ],
    );
}

#[test]
fn a_command_reads_and_writes() {
    let mounts = Mounts::new();
    command(
        &mounts,
        &[
            ("prestat 3", "ok /data"),
            ("prestat 5", "ok /ro"),
            ("prestat 6", "errno 8"),
            ("open 3 file - r -", "ok 6"),
            ("read 6 4", "ok 4 text"),
            ("tell 6", "ok 4"),
            ("seek 6 -4 2", "ok 13"),
            ("read 6 100", "ok 4 file"),
            ("read 6 100", "ok 0 "),
            ("seek 6 -100 1", "errno 28"),
            ("seek 6 0 9", "errno 28"),
            ("pread 6 2 8", "ok 2 da"),
            ("tell 6", "ok 17"),
            ("write 6 no", "errno 8"),
            ("fdstat 6", "ok type 4 flags 0 read 1 write 0"),
            ("setsize 6 3", "errno 28"),
            ("open 3 new ce rw -", "ok 7"),
            ("write 7 hello", "ok 5"),
            ("pwrite 7 1 EL", "ok 2"),
            ("tell 7", "ok 5"),
            ("setflags 7 a", "ok"),
            ("seek 7 0 0", "ok 0"),
            ("write 7 again", "ok 5"),
            ("tell 7", "ok 10"),
            ("fdstat 7", "ok type 4 flags 1 read 1 write 1"),
            ("setflags 7 s", "errno 58"),
            ("setrights 7", "errno 58"),
            ("setsize 7 12", "ok"),
            ("allocate 7 0 20", "ok"),
            ("stat 7", "ok type 4 links 1 size 20"),
            ("settimes 7 1000 2000", "ok"),
            ("stat 7", "ok type 4 links 1 size 20 mtime 2000 atime 1000"),
            ("advise 7 4", "ok"),
            ("advise 7 9", "errno 28"),
            ("sync 7", "ok"),
            ("datasync 7", "ok"),
            ("sync 3", "ok"),
            ("poll 6 r", "ok 0"),
            ("poll 7 w", "ok 262144"),
            ("renumber 7 6", "ok"),
            ("tell 7", "errno 8"),
            ("pread 6 5 0", "ok 5 hELlo"),
            ("close 6", "ok"),
            ("close 6", "errno 8"),
            ("open 3 file - r -", "ok 6"),
            ("read 3 1", "errno 8"),
            ("seek 3 0 0", "errno 8"),
        ]
        .map(|(line, answer)| (line, answer)),
    );
    assert!(mounts.text("data/new").starts_with("hELloagain\0"));
}

#[test]
fn a_command_works_on_names() {
    let mounts = Mounts::new();
    command(
        &mounts,
        &[
            ("mkdir 3 made", "ok"),
            ("mkdir 3 made", "errno 20"),
            ("symlink ../file 3 made/up", "ok"),
            ("readlink 3 made/up", "ok ../file"),
            ("statat 3 made/up", "ok type 4 links 1 size 17"),
            ("statat 3 made/up nofollow", "ok type 7 links 1 size 7"),
            ("open 3 made/up - r - nofollow", "errno 32"),
            ("open 3 made/up - r -", "ok 6"),
            ("link 3 file 3 made/second", "ok"),
            ("statat 3 file", "ok type 4 links 2 size 17"),
            ("rename 3 made/second 3 third", "ok"),
            ("settimesat 3 third 10 20", "ok"),
            ("statat 3 file", "ok type 4 links 2 size 17 mtime 20 atime 10"),
            ("open 3 made d r -", "ok 7"),
            ("list 7 4096", "ok .:3 ..:3 up:7"),
            ("open 7 up - r - nofollow", "errno 32"),
            ("fdstat 7", "ok type 3 flags 0 read 0 write 0"),
            ("stat 7", "ok type 3 links 2"),
            ("rmdir 3 made", "errno 55"),
            ("unlink 3 made/up", "ok"),
            ("rmdir 3 made", "ok"),
            ("unlink 3 third", "ok"),
            ("unlink 3 folder", "errno 31"),
            ("list 3 4096", "ok .:3 ..:3 "),
            ("open 3 file d r -", "errno 54"),
            ("mkdir 6 made", "errno 54"),
            ("mkdir 0 made", "errno 8"),
        ]
        .map(|(line, answer)| (line, answer)),
    );
}

#[test]
fn only_directories_are_mounted() {
    let index = super::super::support::guest_index(
        "- { name: packed, kind: fs.cloud }
         - { name: files, kind: process.wasm, guest: files, method: run, wasi: { mounts: [{ fs: packed, guest: /data }] } }",
    );
    let app = app(&[("_index.yaml", &index)]);
    let checked = Runtime::builder().load(app.path()).cache(false).check().expect("an engine");
    let problems: Vec<_> = checked.diagnostics.iter().map(|problem| problem.message.clone()).collect();
    assert!(problems.iter().any(|text| text.contains("`app:packed` can't be mounted")), "{problems:?}");
}

/// The functions of `wasi:filesystem`, and the word by which a script calls each.
const COMPONENT_FUNCTIONS: &[(&str, &str)] = &[
    ("preopens get-directories", "mounts"),
    ("types filesystem-error-code", "write-stream"),
    ("types [method]descriptor.advise", "advise"),
    ("types [method]descriptor.append-via-stream", "append-stream"),
    ("types [method]descriptor.create-directory-at", "mkdir"),
    ("types [method]descriptor.get-flags", "flags"),
    ("types [method]descriptor.get-type", "type"),
    ("types [method]descriptor.is-same-object", "same"),
    ("types [method]descriptor.link-at", "link"),
    ("types [method]descriptor.metadata-hash", "hash"),
    ("types [method]descriptor.metadata-hash-at", "hash-at"),
    ("types [method]descriptor.open-at", "open"),
    ("types [method]descriptor.read", "read"),
    ("types [method]descriptor.read-directory", "list"),
    ("types [method]descriptor.read-via-stream", "read-stream"),
    ("types [method]descriptor.readlink-at", "readlink"),
    ("types [method]descriptor.remove-directory-at", "rmdir"),
    ("types [method]descriptor.rename-at", "rename"),
    ("types [method]descriptor.set-size", "set-size"),
    ("types [method]descriptor.set-times", "set-times"),
    ("types [method]descriptor.set-times-at", "set-times-at"),
    ("types [method]descriptor.stat", "stat"),
    ("types [method]descriptor.stat-at", "stat-at"),
    ("types [method]descriptor.symlink-at", "symlink"),
    ("types [method]descriptor.sync", "sync"),
    ("types [method]descriptor.sync-data", "sync-data"),
    ("types [method]descriptor.unlink-file-at", "unlink"),
    ("types [method]descriptor.write", "write"),
    ("types [method]descriptor.write-via-stream", "write-stream"),
    ("types [method]directory-entry-stream.read-directory-entry", "list"),
];

/// The same for the functions of preview 1 that take a descriptor of a file or a path.
const COMMAND_FUNCTIONS: &[(&str, &str)] = &[
    ("fd_advise", "advise"),
    ("fd_allocate", "allocate"),
    ("fd_close", "close"),
    ("fd_datasync", "datasync"),
    ("fd_fdstat_get", "fdstat"),
    ("fd_fdstat_set_flags", "setflags"),
    ("fd_fdstat_set_rights", "setrights"),
    ("fd_filestat_get", "stat"),
    ("fd_filestat_set_size", "setsize"),
    ("fd_filestat_set_times", "settimes"),
    ("fd_pread", "pread"),
    ("fd_prestat_dir_name", "prestat"),
    ("fd_prestat_get", "prestat"),
    ("fd_pwrite", "pwrite"),
    ("fd_read", "read"),
    ("fd_readdir", "list"),
    ("fd_renumber", "renumber"),
    ("fd_seek", "seek"),
    ("fd_sync", "sync"),
    ("fd_tell", "tell"),
    ("fd_write", "write"),
    ("path_create_directory", "mkdir"),
    ("path_filestat_get", "statat"),
    ("path_filestat_set_times", "settimesat"),
    ("path_link", "link"),
    ("path_open", "open"),
    ("path_readlink", "readlink"),
    ("path_remove_directory", "rmdir"),
    ("path_rename", "rename"),
    ("path_symlink", "symlink"),
    ("path_unlink_file", "unlink"),
    ("poll_oneoff", "poll"),
];

#[test]
fn every_function_is_called_by_a_guest() {
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::from_file(&engine, fixture("guests/files.wasm")).unwrap();
    let mut imported = BTreeSet::new();
    for (name, item) in component.component_type().imports(&engine) {
        let Some(interface) = name.strip_prefix("wasi:filesystem/") else { continue };
        let wasmtime::component::types::ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        for (function, item) in instance.exports(&engine) {
            if matches!(item.ty, wasmtime::component::types::ComponentItem::ComponentFunc(_)) {
                imported.insert(format!("{} {function}", interface.split('@').next().unwrap()));
            }
        }
    }
    let listed: BTreeSet<String> = COMPONENT_FUNCTIONS.iter().map(|(function, _)| (*function).to_owned()).collect();
    assert_eq!(imported, listed);
    let module = wasmtime::Module::from_file(&engine, fixture("guests/files1.wasm")).unwrap();
    let imported: BTreeSet<&str> = module.imports().map(|import| import.name()).collect();
    let missing: Vec<_> = COMMAND_FUNCTIONS.iter().filter(|(function, _)| !imported.contains(function)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Each in a script of this file, with an answer.
    let scripts = include_str!("functions.rs");
    for (function, word) in COMPONENT_FUNCTIONS.iter().chain(COMMAND_FUNCTIONS) {
        let called = ["(\"", "        \""].iter().any(|before| scripts.contains(&format!("{before}{word} ")));
        assert!(called || *word == "mounts", "{function}: no script calls `{word}`");
    }
}
