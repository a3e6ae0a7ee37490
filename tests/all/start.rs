//! What a command is compiled and looked at for, and what is told before it starts all the same.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Said, app, assert_said, guest_index, wippy};

const ENTRIES: &str = "\
- { name: greet, kind: process.wasm, meta: { command: { name: greet } }, guest: greeter, method: greet }
- { name: add, kind: process.wasm, meta: { command: { name: add } }, guest: math, method: add }
- { name: hub, kind: process.wasm, meta: { command: { name: hub } }, guest: math, method: add, imports: ['wippy:process'] }";

/// Runs a command with a cache of compiled code of its own.
fn run(app: &Path, cache: &Path, words: &[&str]) -> Said {
    let mut command = wippy();
    command.env("XDG_CACHE_HOME", cache).arg("-C").arg(app).arg("run").args(words);
    Said::of(command.output().expect("the program starts"))
}

/// The folders of the cache: compiled code of each engine, and marks.
fn folders(cache: &Path) -> (Vec<PathBuf>, PathBuf) {
    let modules = cache.join("wasmtime/modules");
    let marks = modules.join("wippy-sound");
    let all = fs::read_dir(&modules).expect("a cache").map(|folder| folder.expect("a folder").path());
    (all.filter(|folder| *folder != marks).collect(), marks)
}

fn files(folder: &Path) -> usize {
    let is_code = |path: &Path| path.extension().is_none();
    fs::read_dir(folder).map_or(0, |files| files.filter(|file| is_code(&file.as_ref().expect("a file").path())).count())
}

#[test]
fn a_command_is_loaded_without_what_it_does_not_reach() {
    let (app, cache) = (app(&[("_index.yaml", &guest_index(ENTRIES))]), tempfile::tempdir().expect("a folder"));
    let compiled = |words: &[&str], stdout: &str| {
        assert_said(&run(app.path(), cache.path(), words), 0, stdout, "");
        let (code, _) = folders(cache.path());
        let compiled: usize = code.iter().map(|folder| files(folder)).sum();
        code.iter().for_each(|folder| fs::remove_dir_all(folder).expect("a folder that can be removed"));
        compiled
    };
    assert_eq!(compiled(&["greet", "you"], "Hello, you!\n"), 2, "nobody had looked at them");
    assert_eq!(files(&folders(cache.path()).1), 1, "they are sound");
    assert_eq!(compiled(&["greet", "you"], "Hello, you!\n"), 1);
    assert_eq!(compiled(&["add", "40", "2"], "42\n"), 1);
    assert_eq!(compiled(&["hub", "40", "2"], "42\n"), 2, "it may start anybody");
    fs::remove_dir_all(folders(cache.path()).1).expect("marks");
    assert_eq!(compiled(&["add", "40", "2"], "42\n"), 2);
}

#[test]
fn what_is_wrong_is_told_of_whom_nobody_reaches() {
    let cache = tempfile::tempdir().expect("a folder");
    let told = |from: &str, to: &str| {
        let index = guest_index(ENTRIES);
        assert!(index.contains(from));
        let app = app(&[("_index.yaml", &index)]);
        assert_said(&run(app.path(), cache.path(), &["greet", "you"]), 0, "Hello, you!\n", "");
        fs::write(app.path().join("_index.yaml"), index.replacen(from, to, 1)).expect("a file");
        let first = run(app.path(), cache.path(), &["greet", "you"]);
        assert_eq!(run(app.path(), cache.path(), &["greet", "you"]), first, "it is told every time");
        first
    };
    let sound = |said: &Said| (said.code, said.stdout.as_str()) == (Some(0), "Hello, you!\n");
    let wrong = |said: &Said, problem: &str| said.code == Some(2) && said.stderr.contains(&format!("error[{problem}]"));
    let said = told("method: add", "method: ad");
    assert!(wrong(&said, "unknown-method"), "{}", said.golden());
    let said = told("path: /math.wasm", "path: /strings.wasm");
    assert!(wrong(&said, "hash-mismatch"), "{}", said.golden());
    let said = told("imports: ['wippy:process']", "imports: [wasi:cli]");
    assert!(wrong(&said, "component-import"), "{}", said.golden());
    let said = told("method: add", "method: add, wit: 'add: func(a: string);'");
    assert!(wrong(&said, "uncallable-method"), "{}", said.golden());
    // A warning is told as often.
    let said = told("method: add,", "method: add, preempt: none,");
    assert!(sound(&said) && said.stderr.contains("warning[preempt-not-allowed]"), "{}", said.golden());
}
