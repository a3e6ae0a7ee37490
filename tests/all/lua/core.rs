//! What scripts may use, tried by scripts: see `fixtures/apps/lua-core`.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use wippy::Runtime;
use wippy::process::{Exit, Payload};

use crate::support::{Said, fixture, wippy};

/// Runs every function of a script; how many there are.
#[track_caller]
fn run(entry: &str) -> i64 {
    let runtime = Runtime::builder().load(fixture("apps/lua-core")).build().expect("an application");
    let process = runtime.spawn(&format!("app:{entry}"), [Payload::Nil; 0]).expect("a process");
    match process.wait_timeout(Duration::from_secs(120)).expect("an end") {
        Exit::Returned(Payload::Int(count)) => count,
        exit => panic!("{exit}"),
    }
}

#[test]
fn the_sandbox_has_what_it_may_and_nothing_else() {
    assert_eq!(run("sandbox"), 8);
}

#[test]
fn texts() {
    assert_eq!(run("texts"), 7);
}

#[test]
fn tables() {
    assert_eq!(run("tables"), 5);
}

#[test]
fn errors() {
    assert_eq!(run("errors"), 6);
}

#[test]
fn coroutines() {
    assert_eq!(run("coroutines"), 10);
}

#[test]
fn channels() {
    assert_eq!(run("channels"), 8);
}

#[test]
fn processes() {
    assert_eq!(run("processes_test"), 16);
}

#[test]
fn functions() {
    assert_eq!(run("functions_test"), 13);
}

#[test]
fn security() {
    assert_eq!(run("security_test"), 6);
}

#[test]
fn a_terminal_is_read_and_written() {
    let mut command = wippy();
    command.arg("-C").arg(fixture("apps/lua-core")).args(["run", "copy"]).stdin(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(b"one\r\ntwo\nthree").expect("a reader");
    let said = Said::of(child.wait_with_output().expect("an end"));
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), "1: one\n2: two\n3: three\n"));
    assert_eq!(said.stderr, "lines\t3\n");
}
