//! A process ends when it is asked to, wherever it is: in its start function, at the end of its stack, before a reader
//! or a writer that never comes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use sha2::{Digest, Sha256};
use wippy::Runtime;
use wippy::process::{Exit, State};

use crate::support::{Running, wippy};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// An application with one host of each kind and one guest, given as text.
fn app(guest: &str, method: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let binary = wat::parse_str(guest).expect("a sound guest");
    let hash: String = Sha256::digest(&binary).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(folder.path().join("guest.wasm"), binary).expect("a file");
    let yaml = format!(
        "version: \"1.0\"\n\
         namespace: ends\n\
         entries:\n\
         - {{ name: terminal, kind: terminal.host }}\n\
         - {{ name: processes, kind: process.host }}\n\
         - {{ name: wasm, kind: fs.directory, directory: . }}\n\
         - {{ name: guest, kind: process.wasm, fs: wasm, path: /guest.wasm, hash: 'sha256:{hash}', method: {method} }}\n"
    );
    fs::write(folder.path().join("ends.yaml"), yaml).expect("a file");
    folder
}

/// The program on such an application, with the guest as its command.
fn run(app: &Path, options: &[&str]) -> std::process::Command {
    let mut command = wippy();
    command.arg("-C").arg(app).arg("run").args(options).args(["-x", "ends:guest"]);
    command
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends SIGTERM and gives the exit code.
fn end(mut program: Running) -> Option<i32> {
    program.signal("TERM");
    let mut code = None;
    until("the end of the program", || match program.child().try_wait().expect("a child") {
        Some(status) => {
            code = status.code();
            true
        }
        None => false,
    });
    code
}

/// Imports of preview 1, and a memory with one vector over a line of text.
const WRITER: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 0) "\64\00\00\00\05\00\00\00")
    (data (i32.const 100) "line\n")
    (func $line (param $fd i32) (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 16))))"#;

#[test]
fn a_guest_at_the_end_of_its_stack_may_still_log() {
    let deep = format!(
        r#"(module {WRITER}
            (func $deep (export "deep") (result i32) (call $line (i32.const 2)) (i32.add (i32.const 1) (call $deep))))"#
    );
    let app = app(&deep, "deep");
    let output = run(app.path(), &["--host", "ends:processes", "-v"]).output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{}", stderr.chars().rev().take(2000).collect::<String>());
    assert!(stderr.contains("limit `max_stack` exceeded: allowed 1 MiB"));
    assert!(stderr.matches("line").count() > 1000, "it logged all the way down");
}

#[test]
fn a_guest_that_reads_what_never_comes_is_ended_by_a_signal() {
    let reader = format!(
        r#"(module {WRITER}
            (func (export "_start") (call $line (i32.const 1))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))))"#
    );
    let app = app(&reader, "_start");
    let mut program = Running::start(run(app.path(), &[]).stdin(Stdio::piped()));
    let mut output = BufReader::new(program.child().stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, "line\n");
    // Held open until the end: nothing ever comes.
    let held = program.child().stdin.take();
    assert_eq!(end(program), Some(143));
    drop(held);
}

#[test]
fn a_guest_whose_output_nobody_reads_is_ended_by_a_signal() {
    let writer =
        format!(r#"(module {WRITER} (func (export "_start") (loop $more (call $line (i32.const 1)) (br $more))))"#);
    // It writes for ever, or ends with output that can't leave.
    let ended = format!(
        r#"(module {WRITER} (func (export "_start")
            (i32.store (i32.const 4) (i32.const 65536))
            (call $line (i32.const 1)) (call $line (i32.const 1)) (call $line (i32.const 1))))"#
    );
    for guest in [writer, ended] {
        let app = app(&guest, "_start");
        // The output of the second one has the grace to leave.
        let mut program = Running::start(&mut run(app.path(), &["--set", "shutdown.timeout=50ms"]));
        let mut output = program.child().stdout.take().expect("a pipe");
        let mut first = [0; 5];
        output.read_exact(&mut first).expect("it writes");
        // Long enough for the pipe and the queue to fill; if they are not, the signal ends it all the same.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(end(program), Some(143));
        drop(output);
    }
}

#[test]
fn a_guest_whose_log_nobody_reads_holds_no_worker() {
    let chatty =
        format!(r#"(module {WRITER} (func (export "_start") (loop $more (call $line (i32.const 1)) (br $more))))"#);
    let app = app(&chatty, "_start");
    let options = ["--host", "ends:processes", "-v", "--set", "shutdown.timeout=50ms"];
    let mut program = Running::start(run(app.path(), &options).stderr(Stdio::piped()));
    let mut log = program.child().stderr.take().expect("a pipe");
    let mut first = [0; 5];
    log.read_exact(&mut first).expect("it logs");
    // Nobody reads on. A worker that waited for that could not be ended, by force or otherwise.
    assert_eq!(end(program), Some(143));
    drop(log);
}

#[test]
fn a_program_whose_words_nobody_reads_is_ended_by_a_signal() {
    let spinner =
        format!(r#"(module {WRITER} (func (export "_start") (call $line (i32.const 1)) (loop $more (br $more))))"#);
    let app = app(&spinner, "_start");
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("its flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("it takes flags");
    while writer.write(&[b'x'; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).expect("it takes flags");
    // More than the time after which it says what it waits for.
    let mut program = Running::start(run(app.path(), &["--set", "shutdown.timeout=2s"]).stderr(writer));
    let mut output = program.child().stdout.take().expect("a pipe");
    output.read_exact(&mut [0; 5]).expect("it writes");
    assert_eq!(end(program), Some(143));
    drop((reader, output));
}

#[test]
fn force_ends_a_start_function() {
    let spinner = r#"(module (func $spin (loop $more (br $more))) (func (export "run")) (start $spin))"#;
    let app = app(spinner, "run");
    let runtime = Runtime::builder().load(app.path()).cache(false).build().expect("a sound app");
    let process = runtime.spawn("ends:guest", [0_i64; 0]).expect("a host with room");
    until("it runs", || process.state() == State::Running);
    process.cancel("it does not listen");
    process.terminate();
    assert_eq!(process.wait_timeout(PATIENCE), Some(Exit::Terminated));
}

#[test]
fn a_cancel_ends_a_guest_that_yields_though_nobody_else_would_run() {
    let polite = r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (func (export "run") (loop $more (drop (call $yield)) (br $more))))"#;
    let app = app(polite, "run");
    let runtime = Runtime::builder().load(app.path()).cache(false).build().expect("a sound app");
    let process = runtime.spawn("ends:guest", [0_i64; 0]).expect("a host with room");
    until("it runs", || process.state() == State::Running);
    process.cancel("enough");
    assert_eq!(process.wait_timeout(PATIENCE), Some(Exit::Cancelled { reason: "enough".into() }));
}
