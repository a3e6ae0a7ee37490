//! What a guest may know of the world around it, and every use of its streams: each function of `wasi:cli`, `clocks`,
//! `random` and `io`, called by the guest `probe`, and their siblings of preview 1, called by `files1`.

/// What a guest is told about its standard streams, on terminals and on pipes.
mod terminals;

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use wippy::process::{Exit, Payload, ProcessHandle, State};
use wippy::reactor::Clock;

use super::support::{House, Running, Said, assert_said, guest_app, run_in, wippy};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Every method of the probe as an entry of its name, and preview 1 beside it.
fn entries(wasi: &str) -> String {
    let methods =
        ["terminals", "surroundings", "end", "clocks", "wait-until", "random", "seeds", "copy", "streams", "misuse"];
    let entry = |method| {
        let imports = "[wasi:cli, wasi:clocks, wasi:random, wasi:io, wasi:filesystem]";
        format!(
            "- {{ name: {method}, kind: process.wasm, guest: probe, method: {method}, imports: {imports}{wasi} }}\n"
        )
    };
    methods.map(entry).concat() + "- { name: files1, kind: process.wasm, guest: files1, method: _start }"
}

#[track_caller]
fn text(exit: Exit) -> String {
    match exit {
        Exit::Returned(Payload::String(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// Asserts that a guest found nothing wrong.
#[track_caller]
fn assert_kept(exit: &Exit) {
    assert_eq!(*exit, Exit::Returned(Payload::List(Vec::new())));
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_guest_sees_the_surroundings_that_its_entry_declares() {
    let store = "- { name: store, kind: env.storage.static, values: { COLOUR: blue, SHAPE: 'a=b' } }
                 - { name: colour, kind: env.variable, storage: app:store, variable: COLOUR }
                 - { name: shape, kind: env.variable, storage: app:store, variable: SHAPE }";
    let wasi = ", wasi: { args: ['', 'zwei Wörter'], cwd: /some/where, env: [{ id: app:colour, name: C }, { id: app:shape, name: S }] }";
    let house = House::new(&format!("{store}\n{}", entries(wasi)));
    let declared =
        "[\"surroundings\", \"\", \"zwei Wörter\"]\n[(\"C\", \"blue\"), (\"S\", \"a=b\")]\nSome(\"/some/where\")";
    assert_eq!(text(house.run("surroundings", &[])), declared);
    let bare = House::new(&entries(""));
    assert_eq!(text(bare.run("surroundings", &[])), "[\"surroundings\"]\n[]\nSome(\"/\")");
}

#[test]
fn a_guest_ends_with_the_code_that_it_names() {
    let house = House::new(&entries(""));
    for (how, code) in [("ok", 0), ("err", 1), ("0", 0), ("1", 1), ("42", 42), ("255", 255)] {
        assert_eq!(house.run("end", &[how]), Exit::Exited(code), "{how}");
    }
    let app = guest_app(&entries(""));
    assert_said(&run_in(app.path(), ["run", "-x", "app:end", "77"]), 77, "", "");
    assert_said(&run_in(app.path(), ["run", "-x", "app:files1", "exit 78", "random 1"]), 78, "", "");
}

/// Numbers in a line.
#[track_caller]
fn numbers(line: &str) -> Vec<u64> {
    line.split(' ').map(|word| word.parse().unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[test]
fn clocks_show_the_systems_time_and_the_reactors() {
    let clock = Clock::manual();
    clock.advance(Duration::from_nanos(12_345)).expect("a manual clock");
    let house = House::with_clock(&entries(""), clock);
    let since_1970 = || SystemTime::UNIX_EPOCH.elapsed().expect("a clock that is set");
    let before = since_1970();
    let said = numbers(&text(house.run("clocks", &[])));
    let [seconds, nanos, resolution_seconds, resolution_nanos, monotonic, resolution] = said[..] else {
        panic!("{said:?}")
    };
    let shown = Duration::new(seconds, u32::try_from(nanos).expect("less than a second"));
    assert!(nanos < 1_000_000_000 && before <= shown && shown <= since_1970(), "{shown:?}");
    assert_eq!((resolution_seconds, resolution_nanos), (0, 1));
    assert_eq!((monotonic, resolution), (12_345, 1));
}

#[test]
fn a_guest_waits_until_an_instant() {
    let clock = Clock::manual();
    let house = House::with_clock(&entries(""), clock.clone());
    let pass = |nanos| clock.advance(Duration::from_nanos(nanos)).expect("a manual clock");
    let ended = |process: &ProcessHandle| {
        until("the waiter has ended", || process.exit().is_some());
        process.exit().expect("ended")
    };
    pass(1000);
    let waiting = house.start("wait-until", &["5000"]).expect("a process");
    until("it waits", || waiting.state() == State::Blocked);
    pass(3999);
    assert_eq!(waiting.state(), State::Blocked, "a nanosecond is missing");
    pass(1);
    assert_eq!(ended(&waiting), Exit::Returned(5000.into()));
    // What has been is no reason to wait.
    assert_eq!(ended(&house.start("wait-until", &["17"]).expect("a process")), Exit::Returned(5000.into()));
}

#[test]
fn random_values_differ_and_a_seed_is_its_processs_own() {
    let house = House::new(&entries(""));
    assert_kept(&house.run("random", &[]));
    let seeds = || text(house.run("seeds", &[]));
    let (one, other) = (seeds(), seeds());
    let (first, second) = one.split_once(") (").expect("two seeds");
    assert_eq!(first.trim_start_matches('('), second.trim_end_matches(')'), "the same as long as it lives");
    assert_ne!(one, other, "another process has another");
}

/// The program with a guest that copies this stdin.
fn copied(how: &str, skip: usize, stdin: &[u8]) -> Said {
    let app = guest_app(&entries(""));
    let mut command = wippy();
    command.arg("-C").arg(app.path()).args(["run", "-x", "app:copy", how, &skip.to_string()]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut input = running.child().stdin.take().expect("a pipe");
    let stdin = stdin.to_vec();
    // In pieces, and from a thread: the guest reads as fast as its own output is read.
    let writer = std::thread::spawn(move || stdin.chunks(100_000).all(|chunk| input.write_all(chunk).is_ok()));
    let said = running.end();
    assert!(writer.join().expect("no panic"), "all of it was read");
    said
}

#[test]
fn standard_streams_are_spliced_and_skipped() {
    for how in ["splice", "blocking-splice"] {
        assert_said(&copied(how, 3, b"0123456789"), 0, "3456789\0\0\0", "7 bytes\n");
        assert_said(&copied(how, 0, b""), 0, "\0\0\0", "0 bytes\n");
        let large: Vec<u8> = (0..1_000_000u32).map(|at| b'a' + (at % 23) as u8).collect();
        let said = copied(how, 70_000, &large);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), "930000 bytes\n"), "{how}");
        let (bytes, zeroes) = said.stdout.as_bytes().split_at(930_000);
        assert!(*bytes == large[70_000..] && zeroes == [0; 3], "{how}: other bytes");
    }
}

#[test]
fn streams_keep_every_promise() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("source"), "0123456789").expect("a file");
    let house = House::new(&format!(
        "- {{ name: data, kind: fs.directory, directory: '{}' }}\n{}",
        folder.path().display(),
        entries(", wasi: { mounts: [{ fs: data, guest: /data }] }")
    ));
    assert_kept(&house.run("streams", &[]));
    let written = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");
    assert_eq!(written("spliced"), b"0123456789!");
    assert_eq!(written("written"), [&b"abc\0\0d"[..], &[0; 4096]].concat());
}

#[test]
fn what_the_documents_forbid_ends_the_guest() {
    let house = House::new(&entries(""));
    for (what, said) in [
        ("zeroes", "expected at most 4096"),
        ("write", "more bytes than `check-write` allowed"),
        ("poll", "empty poll list"),
    ] {
        let exit = house.run("misuse", &[what]);
        assert!(format!("{exit:?}").contains(said), "{what}: {exit:?}");
        assert!(!matches!(exit, Exit::Returned(_)), "{what}: {exit:?}");
    }
}

/// What preview 1 answers to each line.
fn preview1(script: &[(&str, &str)]) {
    let app = guest_app(&entries(""));
    let lines = script.iter().map(|(line, _)| *line);
    let said = run_in(app.path(), ["run", "-x", "app:files1"].into_iter().chain(lines));
    let expected: String = script.iter().map(|(_, answer)| format!("{answer}\n")).collect();
    assert_said(&said, 0, &expected, "");
}

#[test]
fn preview_1_draws_yields_and_refuses_signals_and_sockets() {
    preview1(&[
        ("random 100", "ok another"),
        ("random 0", "ok the same"),
        ("yield", "ok"),
        ("raise 15", "errno 52"),
        ("raise 0", "errno 52"),
        ("accept 0", "errno 57"),
        ("accept 9", "errno 8"),
        ("recv 0 1", "errno 57"),
        ("recv 9 1", "errno 8"),
        ("send 1 text", "errno 57"),
        ("send 9 text", "errno 8"),
        ("shutdown 2 3", "errno 57"),
        ("shutdown 9 3", "errno 8"),
    ]);
}

#[test]
fn preview_1_has_two_clocks_and_waits_for_them() {
    preview1(&[
        ("clockres 0", "ok 1"),
        ("clockres 1", "ok 1"),
        ("clockres 2", "errno 58"),
        ("clockres 3", "errno 58"),
        ("clockres 4", "errno 28"),
        ("clock 2", "errno 58"),
        ("clock 4", "errno 28"),
        ("wait 0 1000", "ok 1 event of kind 0 for 42"),
        ("wait 1 1000", "ok 1 event of kind 0 for 42"),
        ("wait 0 1000 abs", "ok 1 event of kind 0 for 42"),
        ("wait 1 0 abs", "ok 1 event of kind 0 for 42"),
        ("wait 2 1000", "errno 58"),
        ("wait 4 1000", "errno 28"),
        // Standard input is at its end, and an end may be read.
        ("pollall 3600000000000 0", "ok 1:1"),
        ("pollall 3600000000000 0 0", "ok 1:1 2:1"),
        ("pollall 3600000000000 1", "ok 1:errno 8"),
        ("pollall 3600000000000 9 1", "ok 1:errno 8 2:errno 8"),
        ("pollall 1000", "ok 0:0"),
    ]);
    let app = guest_app(&entries(""));
    let since_1970 = || SystemTime::UNIX_EPOCH.elapsed().expect("a clock that is set").as_nanos();
    let before = since_1970();
    let said = run_in(app.path(), ["run", "-x", "app:files1", "clock 1", "clock 0", "wait 1 1000000", "clock 1"]);
    let after = since_1970();
    let shown: Vec<u128> = said.stdout.lines().filter_map(|line| line.strip_prefix("ok ")?.parse().ok()).collect();
    let [start, wall, end] = shown[..] else { panic!("{said:?}") };
    assert!((before..=after).contains(&wall), "{before} {wall} {after}");
    assert!(end >= start + 1_000_000, "{start} {end}");
}
