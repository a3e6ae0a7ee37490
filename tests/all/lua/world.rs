//! What scripts have of the world around them, tried by scripts: see `fixtures/apps/lua-world`.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use wippy::Runtime;
use wippy::process::{Exit, Payload};

use crate::support::{fixture, run_in};

/// A copy of the application: its scripts write into its folder.
pub(super) fn copy() -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let own =
        fs::read_dir(fixture("apps/lua-world")).expect("the application").map(|file| file.expect("a file").path());
    for file in own.chain([fixture("apps/lua-core/run.lua")]) {
        fs::copy(&file, copy.path().join(file.file_name().expect("a name"))).expect("a copy");
    }
    copy
}

/// Runs every function of a script; how many there are.
#[track_caller]
fn run(entry: &str) -> i64 {
    let app = copy();
    let runtime = Runtime::builder().load(app.path()).build().expect("an application");
    let process = runtime.spawn(&format!("app:{entry}"), [Payload::Nil; 0]).expect("a process");
    match process.wait_timeout(Duration::from_secs(120)).expect("an end") {
        Exit::Returned(Payload::Int(count)) => count,
        exit => panic!("{exit}"),
    }
}

#[test]
fn files() {
    assert_eq!(run("files"), 17);
}

#[test]
fn files_within_limits() {
    assert_eq!(run("few_files"), 2);
}

#[test]
fn variables() {
    assert_eq!(run("env"), 3);
}

#[test]
fn events() {
    assert_eq!(run("events"), 7);
}

#[test]
fn units_of_time() {
    assert_eq!(run("units"), 1);
}

#[test]
fn the_log() {
    let said = run_in(copy().path(), ["-v", "run", "log"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{}", said.stderr);
    let line = |text: &str| {
        let found = said.stderr.lines().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no line with {text}: {}", said.stderr)).to_owned()
    };
    for (text, level) in
        [("an info line", "INFO"), ("a warning", "WARN"), ("an error", "ERROR"), ("first", "INFO"), ("second", "INFO")]
    {
        let line = line(&format!("guest: {text}"));
        assert!(line.contains(level) && line.contains("pid={app:terminal|0x00001} entry=app:logger"), "{line}");
    }
    assert!(!said.stderr.contains("a debug line"), "{}", said.stderr);
    assert!(line("an info line").contains(r#"fields={"fn":"function"#), "{}", line("an info line"));
    assert!(line("an info line").contains(r#""list":[1,2],"number":5,"text":"t"}"#), "{}", line("an info line"));
    assert!(line("first").contains(r#"logger="auth" fields={"more":true,"request":7}"#), "{}", line("first"));
    assert!(line("second").contains(r#"logger="auth.deep" fields={"request":8}"#), "{}", line("second"));
    assert!(line("lllll").contains("cut=4464"), "what is cut is told");
    let fields = line("guest: fields");
    assert!(fields.contains("left_out=2") && fields.len() < 70_000, "{}", fields.len());
    let said = run_in(copy().path(), ["-s", "run", "log"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let app = copy();
    let mut debug = crate::support::wippy();
    debug.env("WIPPY_LOG", "guest=debug").arg("-C").arg(app.path()).args(["run", "log"]);
    let said = crate::support::Said::of(debug.output().expect("the program starts"));
    assert!(said.stderr.contains("a debug line"), "{}", said.stderr);
}
