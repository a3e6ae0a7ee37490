//! `wippy batch`: records, sources, failures, halts, journals.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Said, text_app, wippy};

/// Adds one; fails for odd numbers; spins for ever; shouts; tells its arguments.
const ENTRIES: &str = "
- { name: add, kind: process.wasm, text: items, method: add, meta: { command: { name: add } } }
- { name: even, kind: process.wasm, text: items, method: even }
- { name: spin, kind: process.wasm, text: items, method: spin }
- { name: count, kind: process.wasm, text: items, method: count }
- { name: slow, kind: process.wasm, text: items, method: slow }
- { name: shout, kind: process.wasm, guest: strings, method: shout, wit: 'shout: func(words: string) -> string;' }
- { name: args, kind: process.wasm, guest: args, method: _start }
";

const ITEMS: &str = r#"(module
    (func (export "add") (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
    (func (export "even") (param i64) (result i64)
        (if (i64.ne (i64.and (local.get 0) (i64.const 1)) (i64.const 0)) (then unreachable)) (local.get 0))
    (func (export "spin") (param i64) (result i64) (loop (br 0)) (unreachable))
    (func (export "count") (param i64) (result i64)
        (loop (local.set 0 (i64.sub (local.get 0) (i64.const 1))) (br_if 0 (i64.gt_s (local.get 0) (i64.const 0))))
        (local.get 0))
    (func (export "slow") (param i64) (result i64) (local i64)
        (loop
            (local.set 1 (i64.add (local.get 1) (i64.const 1)))
            (br_if 0 (i64.lt_u (local.get 1) (i64.const 20000))))
        (local.get 0)))"#;

/// An application and a folder for what batches read and write.
struct World {
    app: TempDir,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self::with("")
    }

    fn with(entries: &str) -> Self {
        let app = text_app(&[("items", ITEMS)], &format!("{ENTRIES}{entries}"));
        Self { app, folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = wippy();
        command.current_dir(self.folder.path()).arg("-C").arg(self.app.path()).arg("batch");
        command.args(arguments.split_whitespace());
        command
    }

    fn start(&self, arguments: &str) -> Child {
        self.command(arguments).stdin(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Runs a batch to its end.
    fn run(&self, arguments: &str) -> Said {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &str, input: &str) -> Said {
        let mut child = self.start(arguments);
        // Little enough for the pipe, whoever reads it.
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("room");
        Said::of(child.wait_with_output().expect("the program"))
    }
}

fn record(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn indexes(output: &str) -> Vec<u64> {
    output.lines().map(|line| record(line)["index"].as_u64().expect("an index")).collect()
}

#[track_caller]
fn assert_each_once(output: &str, count: u64) {
    let mut indexes = indexes(output);
    indexes.sort_unstable();
    let expected: Vec<u64> = (0..count).collect();
    assert!(indexes == expected, "{} records for {count} inputs", indexes.len());
}

/// The causes of the records' errors, nothing for those without.
fn causes(output: &str) -> Vec<String> {
    let cause = |line| record(line)["err"]["cause"].as_str().unwrap_or_default().to_owned();
    output.lines().map(cause).collect()
}

#[test]
fn a_batch_writes_a_record_for_each_line_in_order() {
    let world = World::new();
    let said = world.run_with("add", "6\n\n[1]\n[1, 2]\n[1,\n");
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines[..2], [r#"{"index":0,"ok":7}"#, r#"{"index":1,"ok":2}"#]);
    assert!(lines[2].starts_with(r#"{"index":2,"err":{"cause":"spawn","message":"`app:add`: expected 1"#), "{said:?}");
    assert!(lines[3].starts_with(r#"{"index":3,"err":{"cause":"input","message":"a line that is no JSON: "#));
    assert_eq!((lines.len(), said.code), (4, Some(1)));
    assert!(said.stderr.starts_with("4 items in ") && said.stderr.contains("\nlatency p50 "), "{}", said.stderr);
    assert!(said.stderr.ends_with("2 failed: input 1, spawn 1\n"), "{}", said.stderr);
    // Nothing to do is done well.
    assert_eq!(world.run_with("add", "").code, Some(0));
}

#[test]
fn a_batch_runs_over_ranges_and_files() {
    let world = World::new();
    let said = world.run("app:add --range -1..2");
    let expected = "{\"index\":0,\"ok\":0}\n{\"index\":1,\"ok\":1}\n{\"index\":2,\"ok\":2}\n";
    assert_eq!((said.stdout.as_str(), said.code), (expected, Some(0)));
    world.write("in.ndjson", "[1]\n[2]\n");
    let said = world.run("add --input in.ndjson --output out.ndjson");
    assert_eq!((said.stdout.as_str(), said.code), ("", Some(0)));
    assert_eq!(world.read("out.ndjson"), "{\"index\":0,\"ok\":2}\n{\"index\":1,\"ok\":3}\n");
    for (name, text) in [("b.txt", "bee"), ("a.txt", "ant"), ("c.md", "cow")] {
        world.write(name, text);
    }
    let said = world.run("app:shout --arg-files *.txt");
    assert_eq!(said.stdout, "{\"index\":0,\"ok\":\"ANT\"}\n{\"index\":1,\"ok\":\"BEE\"}\n");
    let said = world.run("app:shout --arg-files *.txt --arg-files-as path");
    assert_eq!(said.stdout, "{\"index\":0,\"ok\":\"A.TXT\"}\n{\"index\":1,\"ok\":\"B.TXT\"}\n");
}

#[test]
fn what_can_not_be_is_told_before_anything_runs() {
    let world = World::new();
    world.write("in.ndjson", "[1]\n");
    for (arguments, expected) in [
        ("ad --range 0..1", "no command `ad`"),
        ("app:ad --range 0..1", "no entry `app:ad`"),
        ("add --range 5..1", "expected two whole numbers"),
        ("add --range 0..1 --arg-files *", "cannot be used with"),
        ("add --input none.ndjson", "`--input none.ndjson`: No such file"),
        ("add --input .", "`--input .`: "),
        ("add --arg-files *.none", "no file matches"),
        ("add --range 0..1 --resume", "--journal"),
        ("add --range 0..1 --journal j", "`--journal` needs `--output FILE`"),
        ("add --range 0..1 --window 0", "--window"),
        ("add --range 0..1 --timeout 0s", "no item ends in no time"),
        ("add --range 0..1 --halt later", "expected `never`, `soon` or `now`"),
        ("add --range 0..1 --host app:none", "no host `app:none`"),
        ("add --range 0..1 --output none/out", "`--output none/out`: No such file"),
    ] {
        let said = world.run(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{arguments}");
        assert!(said.stderr.contains(expected), "{arguments}: {}", said.stderr);
    }
}

#[test]
fn failures_are_counted_and_halt_a_batch_when_that_is_wanted() {
    let world = World::new();
    let said = world.run("app:even --range 0..6 --json");
    assert_eq!(causes(&said.stdout), ["", "trap", "", "trap", "", "trap"]);
    let summary = record(said.stderr.lines().last().expect("a summary"));
    assert_eq!((summary["items"].as_u64(), summary["failures"]["trap"].as_u64()), (Some(6), Some(3)));
    assert!(summary["latency_ns"]["p99"].as_u64() >= summary["latency_ns"]["p50"].as_u64());
    assert!(summary["latency_ns"]["p50"].as_u64() > Some(100), "{summary}");
    // One by one, so that it is known what has begun: one more than what is over.
    let said = world.run("app:even --range 0..1000 --window 1 --halt soon,fail=2");
    assert_eq!((said.stdout.lines().count(), said.code), (5, Some(1)));
    assert!(said.stderr.ends_with("stopped before its end\n"), "{}", said.stderr);
    let said = world.run("app:even --range 0..1000 --window 1 --halt now,fail=50%");
    assert_eq!(said.stdout.lines().count(), 21);
    let said = world.run("app:even --range 0..4 --retries 2");
    assert_eq!(record(said.stdout.lines().nth(1).expect("a record"))["attempts"], 3);
    assert!(said.stderr.ends_with("2 failed: trap 2\n4 tried again\n"), "{}", said.stderr);
}

#[test]
fn an_item_has_its_time_and_its_output() {
    let world = World::new();
    let said = world.run("app:spin --range 0..3 --timeout 20ms");
    assert_eq!(causes(&said.stdout), ["limit"; 3]);
    assert!(said.stdout.lines().all(|line| record(line)["err"]["limit"] == "max_execution"), "{}", said.stdout);
    let input = "[\"a\"]\n[\"--err\", \"b\"]\n";
    let said = world.run_with("app:args --guest-output-max 20", input);
    let first = record(said.stdout.lines().next().expect("a record"));
    assert_eq!((first["stdout"].as_str(), first["dropped"].as_u64()), (Some("argc=2\nargv[0]=args\n"), Some(10)));
    assert_eq!(record(said.stdout.lines().nth(1).expect("a record"))["stderr"], "b\n");
    let said = world.run_with("app:args --guest-output stderr", input);
    assert_eq!(said.stdout, "{\"index\":0,\"ok\":null}\n{\"index\":1,\"ok\":null}\n");
    assert!(said.stderr.starts_with("[0] argc=2\n[0] argv[0]=args\n[0] argv[1]=a\n[1] argc=3\n"), "{}", said.stderr);
    assert!(said.stderr.contains("\n[1] b\n"), "{}", said.stderr);
}

#[test]
fn records_come_while_the_input_goes_on_and_a_window_bounds_what_runs() {
    let world = World::new();
    let mut child = world.start("add --window 1");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for number in 0..3 {
        writeln!(input, "{number}").expect("somebody reads");
        let line = output.next().expect("a record").expect("text");
        assert_eq!(line, format!("{{\"index\":{number},\"ok\":{}}}", number + 1));
    }
    drop(input);
    assert!(output.next().is_none() && child.wait().expect("its end").success());
}

#[test]
fn without_an_order_nobody_waits_for_the_first() {
    let world = World::new();
    // The first one ends by its time only.
    let input = "[1000000000000]\n[1]\n[2]\n";
    let said = world.run_with("app:count --timeout 100ms", input);
    assert_eq!(indexes(&said.stdout), [0, 1, 2], "{said:?}");
    let said = world.run_with("app:count --timeout 100ms --unordered", input);
    assert_eq!(indexes(&said.stdout).last(), Some(&0), "{said:?}");
}

#[test]
fn a_batch_runs_on_the_named_host_and_from_a_pool() {
    let world = World::new();
    let said = world.run("add --range 0..100 --allocator pool=8");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_each_once(&said.stdout, 100);
    let world = World::with("- { name: narrow, kind: process.host, host: { max_processes: 1 } }\n");
    let said = world.run("add --range 0..100");
    assert!(said.stderr.contains("several entries of kind `process.host`"), "{said:?}");
    // Where only one lives at once, the window makes no difference.
    let said = world.run("add --range 0..100 --host app:narrow");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_each_once(&said.stdout, 100);
    let said = world.run("add --range 0..1 --host app:terminal");
    assert_each_once(&said.stdout, 1);
}

#[test]
fn a_reader_that_has_enough_ends_a_batch() {
    let world = World::new();
    let mut child = world.start("add --range 0..100000000");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(output.next().expect("a record").is_ok());
    drop(output);
    assert_eq!(child.wait().expect("its end").code(), Some(0));
}

#[test]
fn a_signal_lets_what_runs_end_and_the_batch_can_be_resumed() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let world = World::new();
        let arguments = "app:slow --range 0..30000 --output out --journal journal";
        let child = world.start(arguments);
        wait_for_output(&world, 1);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).expect("a process");
        let said = Said::of(child.wait_with_output().expect("its end"));
        assert_eq!(said.code, Some(if signal == rustix::process::Signal::INT { 130 } else { 143 }), "{said:?}");
        assert!(said.stderr.contains("items to end; again to end at once\n"), "{}", said.stderr);
        assert!(said.stderr.ends_with("stopped before its end; `--resume` goes on from here\n"), "{}", said.stderr);
        let before = world.read("out");
        assert!(before.lines().count() < 30_000);
        let said = world.run(&format!("{arguments} --resume"));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stderr.contains(&format!("{} were done before\n", before.lines().count())), "{said:?}");
        let output = world.read("out");
        assert!(output.starts_with(&before));
        assert_eq!(indexes(&output), (0..30_000).collect::<Vec<_>>());
        // And once more, with nothing to do.
        assert_eq!(world.run(&format!("{arguments} --resume")).code, Some(0));
        assert!(world.read("out") == output);
    }
}

fn wait_for_output(world: &World, bytes: u64) {
    let started = std::time::Instant::now();
    while world.path("out").metadata().map_or(0, |metadata| metadata.len()) < bytes {
        assert!(started.elapsed() < Duration::from_secs(120), "no output");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills of a batch at random moments: `WIPPY_TEST_SIZE=long` for many.
#[test]
fn a_batch_that_is_killed_at_any_moment_has_each_index_once_in_the_end() {
    let is_long = std::env::var("WIPPY_TEST_SIZE").is_ok_and(|size| size == "long");
    let (kills, items) = if is_long { (200, 100_000) } else { (10, 4000) };
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut killed = 0;
    while killed < kills {
        let world = World::new();
        let input: String = (0..items).map(|number| format!("[{}]\n", number * 2)).collect();
        world.write("in", &input);
        let order = if random.bool() { "--unordered" } else { "" };
        let arguments = format!("app:slow --input in --output out --journal journal --resume {order}");
        loop {
            let mut child = world.start(&arguments);
            // From before it has loaded to near its end.
            std::thread::sleep(Duration::from_micros(random.u64(0..400_000)));
            if killed < kills {
                child.kill().expect("a child");
            }
            let said = Said::of(child.wait_with_output().expect("its end"));
            match said.code {
                None => killed += 1,
                code => {
                    assert_eq!(code, Some(0), "seed {seed}: {said:?}");
                    break;
                }
            }
        }
        let output = world.read("out");
        assert_each_once(&output, items);
        let is_right =
            |line: &str| record(line)["ok"].as_u64() == record(line)["index"].as_u64().map(|index| index * 2);
        assert!(output.lines().all(is_right), "seed {seed}: the records are those of their inputs");
        if order.is_empty() {
            assert_eq!(indexes(&output), (0..items).collect::<Vec<_>>(), "seed {seed}");
        }
    }
    eprintln!("{killed} kills");
}

#[test]
fn a_journal_knows_its_batch() {
    let world = World::new();
    world.write("in", "[1]\n[2]\n[3]\n");
    let arguments = "add --input in --output out --journal journal";
    assert_eq!(world.run(arguments).code, Some(0));
    let output = world.read("out");
    let changes: [(&str, &str, &dyn Fn()); 5] = [
        (arguments, "add `--resume`", &|| ()),
        ("app:even --input in --output out --journal journal --resume", "its entry is `app:add`", &|| ()),
        ("add --input in --output out --journal journal --resume --unordered", "its order is `in order`", &|| ()),
        (
            "add --input in --output out --journal journal --resume",
            "are not those that the journal's batch had",
            &|| {
                world.write("in", "[1]\n[9]\n[3]\n");
            },
        ),
        ("add --input in --output out --journal journal --resume", "its input is `lines of in, 12 bytes`", &|| {
            world.write("in", "[1]\n[2]\n[3]\n[4]\n");
        }),
    ];
    for (arguments, expected, change) in changes {
        change();
        let said = world.run(arguments);
        assert_eq!(said.code, Some(2), "{arguments}");
        assert!(said.stderr.contains(expected), "{arguments}: {}", said.stderr);
        assert!(world.read("out") == output, "{arguments}: the output is as it was");
    }
    // An output that has lost its end is made again from what is left.
    world.write("in", "[1]\n[2]\n[3]\n");
    world.write("out", &output[..output.len() - 1]);
    assert_eq!(world.run(&format!("{arguments} --resume")).code, Some(0));
    assert!(world.read("out") == output);
}

#[test]
fn what_was_ended_by_force_runs_again_when_the_batch_is_resumed() {
    for order in ["", "--unordered"] {
        let world = World::new();
        world.write("in", "[2]\n[1]\n[4]\n[6]\n");
        let arguments = format!("app:even --input in --output out --journal journal --halt now {order}");
        assert_eq!(world.run(&arguments).code, Some(1));
        let said = world.run(&format!("{arguments} --resume").replace("--halt now", ""));
        // What failed has failed; all others are there.
        assert_eq!(said.code, Some(1), "{said:?}");
        let output = world.read("out");
        assert_each_once(&output, 4);
        let mut causes = causes(&output);
        causes.sort_unstable();
        assert_eq!(causes, ["", "", "", "trap"]);
    }
}
