//! What waits: FIFOs, and another process meanwhile. The host has one worker.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use wippy::process::{Exit, ProcessHandle, State};

use super::{Mounts, answers, as_argument};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
}

fn start(mounts: &Mounts, script: &[&str]) -> ProcessHandle {
    mounts.house().start("files", &[&as_argument(script)]).expect("a process")
}

fn suspended(process: &ProcessHandle) -> bool {
    process.state() == State::Blocked
}

/// Another process comes and goes while somebody waits; a thousand do in `yielding`.
fn others_complete(mounts: &Mounts, waiting: &ProcessHandle) {
    until("the guest waits", || suspended(waiting));
    assert_eq!(mounts.component("files", &["open f /ro file read", "read f 4 0"]), ["ok", "ok text"]);
    assert!(waiting.exit().is_none());
    until("the guest waits still", || suspended(waiting));
}

#[test]
fn a_fifo_without_writer_blocks_its_guest_only() {
    let mounts = Mounts::new();
    make_fifo(&mounts.host("data/fifo"));
    let reader = start(&mounts, &["open f /data fifo read", "type f", "read f 1 0", "read-stream f 0"]);
    others_complete(&mounts, &reader);
    let mut writer = std::fs::OpenOptions::new().write(true).open(mounts.host("data/fifo")).unwrap();
    // A writer alone is nothing to read yet.
    others_complete(&mounts, &reader);
    writer.write_all(b"late").unwrap();
    drop(writer);
    let expected = ["ok", "ok DescriptorType::Fifo", "invalid-seek", "ok 4 late"];
    assert_eq!(answers(reader.wait_timeout(PATIENCE).expect("the end")), expected);
}

#[test]
fn a_fifo_without_reader_blocks_its_guest_only() {
    let mounts = Mounts::new();
    make_fifo(&mounts.host("data/fifo"));
    let writer = start(&mounts, &["open f /data fifo write", "fill f 1000000"]);
    others_complete(&mounts, &writer);
    let mut reader = std::fs::File::open(mounts.host("data/fifo")).unwrap();
    let mut first = [0; 1000];
    reader.read_exact(&mut first).unwrap();
    // More than a pipe holds is on its way: nobody reads on.
    others_complete(&mounts, &writer);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!((first[0], rest.len()), (b'x', 999_000));
    assert_eq!(answers(writer.wait_timeout(PATIENCE).expect("the end")), ["ok", "ok"]);
}

#[test]
fn a_fifo_whose_reader_leaves_says_so() {
    let mounts = Mounts::new();
    make_fifo(&mounts.host("data/fifo"));
    let writer = start(&mounts, &["open f /data fifo write", "fill f 1000000"]);
    until("the guest waits", || suspended(&writer));
    drop(std::fs::File::open(mounts.host("data/fifo")).unwrap());
    let answers = answers(writer.wait_timeout(PATIENCE).expect("the end"));
    assert_eq!(answers, ["ok", "script: closed"]);
}

#[test]
fn a_guest_that_waits_for_a_fifo_can_be_terminated() {
    let mounts = Mounts::new();
    make_fifo(&mounts.host("data/fifo"));
    for script in [&["open f /data fifo read", "read-stream f 0"][..], &["open f /data fifo write"]] {
        let process = start(&mounts, script);
        until("the guest waits", || suspended(&process));
        process.terminate();
        assert_eq!(process.wait_timeout(PATIENCE), Some(Exit::Terminated));
    }
}

#[test]
fn devices_and_sockets_are_opened_without_waiting() {
    let mounts = Mounts::new();
    let socket = std::os::unix::net::UnixListener::bind(mounts.host("data/socket")).unwrap();
    let script = ["open s /data socket read", "open s /data socket write", "stat-at /data socket -"];
    let found = mounts.component("files", &script);
    assert_eq!(found[..2], ["no-such-device", "no-such-device"]);
    assert!(found[2].starts_with("ok DescriptorType::Unknown") || found[2].starts_with("ok DescriptorType::Socket"));
    drop(socket);
}

#[test]
fn a_preview_1_command_waits_for_a_fifo_too() {
    let mounts = Mounts::new();
    make_fifo(&mounts.host("data/fifo"));
    let fifo = mounts.host("data/fifo");
    let script = [
        "open 3 fifo - r n",
        "read 6 10",
        "setflags 6 -",
        "poll 6 r",
        "read 6 10",
        "read 6 10",
        "seek 6 0 0",
        "open 3 gone - w n",
    ];
    let answers = std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(fifo, "late").unwrap());
        mounts.command(&script)
    });
    // The writer may come before or after the read that does not wait.
    let expected = [["ok 6", "errno 6", "ok", "ok 1", "ok 4 late", "ok 0 ", "errno 70", "errno 44"]];
    let early = ["ok 6", "ok 4 late", "ok", "ok 1", "ok 0 ", "ok 0 ", "errno 70", "errno 44"];
    assert!(answers == expected[0] || answers == early, "{answers:?}");
}

#[test]
fn a_large_file_is_written_and_read_whole() {
    const BYTES: u64 = 64 << 20;
    let mounts = Mounts::new();
    let process =
        start(&mounts, &["open f /data large create,write,read", &format!("fill f {BYTES}"), "read-stream f 0"]);
    let written = answers(process.wait_timeout(PATIENCE).expect("the end"));
    assert_eq!(written, ["ok".to_owned(), "ok".to_owned(), format!("ok {BYTES} {}", "x".repeat(40))]);
    assert_eq!(std::fs::metadata(mounts.host("data/large")).unwrap().len(), BYTES);
}
