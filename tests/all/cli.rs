//! The program's commands, streams and exit codes.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;

use super::support::{Running, Said, app, assert_said, fixture, run, run_in, wippy};

/// The application with one command for each way to call a guest.
fn hello() -> PathBuf {
    fixture("apps/hello")
}

fn hello_run<'a>(words: impl IntoIterator<Item = &'a str>) -> Said {
    run_in(&hello(), ["run"].into_iter().chain(words))
}

#[test]
fn the_version_is_the_crates() {
    assert_said(&run(["--version"]), 0, concat!("wippy ", env!("CARGO_PKG_VERSION"), "\n"), "");
}

#[test]
fn nothing_asked_for_is_answered_with_the_help() {
    let said = run([]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    assert!(said.stderr.contains("Usage: wippy"), "{}", said.stderr);
    let help = run(["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    assert!(help.stdout.contains("Exit codes:"), "{}", help.stdout);
}

#[test]
fn hashes_are_lines_to_paste() {
    let app = app(&[("a.wasm", "abc"), ("b.wasm", "")]);
    let (a, b) = (app.path().join("a.wasm"), app.path().join("b.wasm"));
    let (a, b) = (a.to_str().expect("UTF-8"), b.to_str().expect("UTF-8"));
    let of_a = "hash: sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let of_b = "hash: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_said(&run(["hash", a]), 0, &format!("{of_a}\n"), "");
    assert_said(&run(["hash", a, b]), 0, &format!("{of_a}  # {a}\n{of_b}  # {b}\n"), "");
    let error = "error: `none.wasm` can't be read: No such file or directory (os error 2)\n";
    assert_said(&run(["hash", "none.wasm", b]), 2, &format!("{of_b}  # {b}\n"), error);
}

#[test]
fn the_hash_of_the_standard_input() {
    let mut running = Running::start(wippy().args(["hash", "-"]).stdin(Stdio::piped()));
    running.child().stdin.take().expect("a pipe").write_all(b"abc").expect("a reader");
    let expected = "hash: sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    assert_said(&running.end(), 0, expected, "");
}

#[test]
fn a_new_application_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("new app");
    let shown = dir.to_str().expect("UTF-8");
    let steps = format!(
        "made an application in '{shown}'; now run\n  wippy -C '{shown}' run greet World\n  wippy -C '{shown}' run list\n"
    );
    assert_said(&run(["init", shown]), 0, &steps, "");
    assert_said(&run_in(&dir, ["check", "--strict"]), 0, "4 entries, no problems\n", "");
    assert_said(&run_in(&dir, ["run", "greet", "World"]), 0, "Hello, World!\n", "");
    let list = "Available commands:\n\n  greet  Greets someone  (app:greet)\n\nRun with: wippy run <command>\n";
    assert_said(&run_in(&dir, ["run", "list"]), 0, list, "");
    let refused = format!(
        "error: `{shown}` can't become an application: it is not empty\n  = help: name a new or empty folder\n"
    );
    assert_said(&run(["init", shown]), 2, "", &refused);
}

#[test]
fn a_list_without_commands_says_how_to_get_one() {
    let app = app(&[("_index.yaml", "namespace: app\nentries: []\n")]);
    let said = run_in(app.path(), ["run", "list"]);
    assert!(said.stdout.starts_with("No commands found.\n\n"), "{}", said.stdout);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert_said(&run_in(app.path(), ["run", "list", "--json"]), 0, "[]\n", "");
}

#[test]
fn a_list_needs_no_binary() {
    let entry = "  - name: greet\n    kind: process.wasm\n    meta: { command: { name: greet } }\n    fs: app:wasm\n    path: /none.wasm\n    method: greet\n";
    let hash = format!("    hash: sha256:{}\n", "0".repeat(64));
    let wasm = "  - name: wasm\n    kind: fs.directory\n    directory: ./none\n";
    let index = format!("namespace: app\nentries:\n{wasm}{entry}{hash}");
    let app = app(&[("_index.yaml", &index)]);
    let list = "Available commands:\n\n  greet  (app:greet)\n\nRun with: wippy run <command>\n";
    assert_said(&run_in(app.path(), ["run", "list"]), 0, list, "");
}

#[test]
fn a_list_as_json() {
    let said = run_in(&hello(), ["run", "list", "--json"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let list: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    let greet = serde_json::json!({
        "name": "greet", "short": "Say hello to NAME", "id": "hello:greet", "kind": "process.wasm",
    });
    assert_eq!(list[0], greet);
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run(["completions", shell]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(["check", "doctor", "init"].iter().all(|name| said.stdout.contains(name)), "{shell}");
    }
}

#[test]
fn values_are_printed_and_errors_are_not_values() {
    assert_said(&hello_run(["greet", "World"]), 0, "Hello, World!\n", "");
    assert_said(&hello_run(["add", "6", "7"]), 0, "13\n", "");
    assert_said(&hello_run(["add", "--", "-6", "7"]), 0, "1\n", "");
    assert_said(&hello_run(["divide", "6", "3"]), 0, "2\n", "");
    assert_said(&hello_run(["-x", "hello:divide", "6", "3"]), 0, "2\n", "");
    let by_zero = hello_run(["divide", "6", "0"]);
    assert_eq!((by_zero.code, by_zero.stdout.as_str()), (Some(1), ""));
    assert!(by_zero.stderr.contains("zero"), "{}", by_zero.stderr);
}

#[test]
fn arguments_are_typed_in_json_and_in_wave() {
    let card = "#1 Ann [admin]\n";
    assert_said(&hello_run(["user-card", r#"{"id": 1, "name": "Ann", "tags": ["admin"]}"#]), 0, card, "");
    assert_said(&hello_run(["user-card", r#"{id: 1, name: "Ann", tags: ["admin"]}"#]), 0, card, "");
}

#[test]
fn options_behind_the_name_reach_the_guest() {
    let words = ["args", "-v", "--host", "x", "--color=never", "--", "--json"];
    let argv = "argc=6\nargv[0]=args\nargv[1]=-v\nargv[2]=--host\nargv[3]=x\nargv[4]=--color=never\nargv[5]=--json\n";
    assert_said(&hello_run(words), 0, argv, "");
}

#[test]
fn the_guest_chooses_its_exit_code() {
    assert_eq!(hello_run(["args", "--exit", "3"]).code, Some(3));
    let said = hello_run(["args", "--err", "told", "--exit", "300"]);
    let note =
        "`hello:args` exited with code 300; the largest exit code of a program is 255, so that is what this one has\n";
    assert_eq!((said.code, said.stderr), (Some(255), format!("told\n{note}")));
    assert_eq!(hello_run(["command", "--fail"]).code, Some(1));
    assert_eq!(hello_run(["command"]).code, Some(0));
}

#[test]
fn a_trap_names_the_entry_and_shows_the_frames() {
    let said = hello_run(["boom", "kaboom"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(134), ""));
    let mut lines = said.stderr.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with("error: `hello:boom` trapped: ")), "{}", said.stderr);
    assert!(lines.any(|line| line.contains("boom")), "{}", said.stderr);
}

#[test]
fn a_limit_of_time_has_the_code_of_a_timeout() {
    let said = run_in(&hello(), ["-o", "hello:spin:limits.max_execution_ms=20", "run", "spin"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(124), ""));
    assert!(said.stderr.starts_with("error: `hello:spin`: limit `max_execution"), "{}", said.stderr);
}

#[test]
fn standard_input_is_the_guests() {
    let command = &mut wippy();
    let mut running =
        Running::start(command.arg("-C").arg(hello()).args(["run", "args", "--cat"]).stdin(Stdio::piped()));
    running.child().stdin.take().expect("a pipe").write_all(b"one\ntwo\n").expect("a reader");
    assert_said(&running.end(), 0, "one\ntwo\n", "");
}

#[test]
fn a_reader_that_went_away_is_no_panic() {
    for words in [["run", "list"].as_slice(), &["run", "greet", "World"], &["--help"], &["completions", "bash"]] {
        let mut running = Running::start(wippy().arg("-C").arg(hello()).args(words));
        drop(running.child().stdout.take());
        let said = running.end();
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{words:?}");
    }
    let mut running = Running::start(wippy().arg("-C").arg(hello()).args(["run", "gret"]));
    drop(running.child().stderr.take());
    assert_eq!(running.end().code, Some(2));
}

#[test]
fn colours_are_for_who_wants_them() {
    let colours = |choice: &str| run_in(&hello(), ["--color", choice, "run", "gret"]).stderr.contains('\x1b');
    assert!(colours("always"));
    assert!(!colours("auto"), "a pipe has no colours");
    assert!(!colours("never"));
}

#[test]
fn warnings_are_told_once_unless_silence_is_wanted() {
    let index = "namespace: app\nentries:\n  - { name: t, kind: terminal.host, colour: red }\n";
    let app = app(&[("_index.yaml", index)]);
    let warned = run_in(app.path(), ["check"]);
    assert_eq!(warned.code, Some(0));
    assert_eq!(warned.stderr.matches("unknown field `colour`").count(), 1, "{}", warned.stderr);
    assert_eq!(run_in(app.path(), ["check", "--strict"]).code, Some(2));
}

#[test]
fn a_bad_filter_of_logs_is_told() {
    let said = Said::of(
        wippy()
            .env("WIPPY_LOG", "wippy=loud")
            .arg("-C")
            .arg(hello())
            .args(["run", "greet", "x"])
            .output()
            .expect("the program starts"),
    );
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.starts_with("error: `WIPPY_LOG` is no filter"), "{}", said.stderr);
}

#[test]
fn a_command_logs_only_when_asked() {
    assert_eq!(hello_run(["greet", "World"]).stderr, "");
    let said = run_in(&hello(), ["-v", "run", "greet", "World"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "Hello, World!\n"));
    assert!(said.stderr.contains("started"), "{}", said.stderr);
}

#[test]
fn silence_hides_warnings_and_never_errors() {
    let odd = fixture("odd/unknown-fields");
    assert_said(&run_in(&odd, ["-s", "run", "greet", "World"]), 0, "Hello, World!\n", "");
    let error =
        "error: no command `gret`\n  = help: did you mean `greet`?\n  = help: `wippy run list` shows the commands\n";
    assert_said(&run_in(&odd, ["-s", "run", "gret"]), 2, "", error);
}

#[test]
fn a_terminal_that_hides_logs_shows_none() {
    let said = run_in(&hello(), ["-v", "-o", "hello:terminal:hide_logs=true", "run", "greet", "World"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "Hello, World!\n"));
    assert!(!said.stderr.contains("started"), "{}", said.stderr);
}

#[test]
fn the_output_of_a_process_on_a_process_host_goes_to_the_log() {
    let said = run_in(&hello(), ["-v", "run", "--host", "hello:processes", "args", "one"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""));
    assert!(said.stderr.contains("argv[1]=one") && said.stderr.contains("hello:args"), "{}", said.stderr);
}

/// A running program whose stream is read line by line.
struct Watched {
    running: Running,
    lines: Box<dyn Iterator<Item = std::io::Result<String>>>,
}

impl Watched {
    fn stdout(words: &[&str]) -> Self {
        let mut running = Running::start(wippy().arg("-C").arg(hello()).args(words));
        let lines = Box::new(BufReader::new(running.child().stdout.take().expect("a pipe")).lines());
        Self { running, lines }
    }

    fn stderr(words: &[&str]) -> Self {
        let mut running = Running::start(wippy().arg("-C").arg(hello()).args(words));
        let lines = Box::new(BufReader::new(running.child().stderr.take().expect("a pipe")).lines());
        Self { running, lines }
    }

    /// Reads up to a line with this text.
    fn until(&mut self, text: &str) {
        let found = self.lines.by_ref().map(|line| line.expect("UTF-8")).find(|line| line.contains(text));
        assert!(found.is_some(), "the stream ended before `{text}`");
    }

    /// Waits for the end; the rest of the watched stream, and the rest of what was said.
    fn end(self) -> (String, Said) {
        let rest = self.lines.map(|line| line.expect("UTF-8") + "\n").collect();
        (rest, self.running.end())
    }
}

#[test]
fn a_signal_cancels_the_command() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut watched = Watched::stdout(&["run", "command", "--sleep", "1000000"]);
        watched.until("args:");
        watched.running.signal(signal);
        let (_, said) = watched.end();
        assert_said(&said, code, "", &format!("`hello:command` was cancelled: SIG{signal}\n"));
    }
}

#[test]
fn a_command_that_does_not_end_is_ended_by_force() {
    let mut watched = Watched::stderr(&["-v", "--set", "shutdown.timeout=1ms", "run", "spin"]);
    watched.until("started");
    watched.running.signal("TERM");
    let (log, said) = watched.end();
    assert_eq!((said.code, said.stdout.as_str()), (Some(143), ""));
    // Beyond a second it would say what it waits for.
    assert!(log.contains("`hello:spin` was terminated\n") && !log.contains("waiting up to"), "{log}");
}

#[test]
fn the_second_signal_ends_the_program_at_once() {
    for (second, code) in [("INT", 130), ("TERM", 143)] {
        let mut watched = Watched::stderr(&["-v", "--set", "shutdown.timeout=1h", "run", "spin"]);
        watched.until("started");
        watched.running.signal("INT");
        watched.until("SIGINT: waiting up to 3600s for `hello:spin` to end; another SIGINT ends it at once");
        watched.running.signal(second);
        let (_, said) = watched.end();
        assert_said(&said, code, "", "");
    }
}

#[test]
fn services_run_until_a_signal() {
    for signal in ["INT", "TERM"] {
        let mut watched = Watched::stderr(&["run"]);
        watched.until("running until SIGINT or SIGTERM");
        watched.running.signal(signal);
        let (log, said) = watched.end();
        assert_said(&said, 0, "", "");
        assert!(log.contains("stopping"), "{log}");
    }
}

/// The JSON that `--report` writes, and what the program said.
fn reported(command: &str) -> (serde_json::Value, Said) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.json");
    let said = run_in(&fixture("apps/unruly"), ["run", "--report", file.to_str().expect("UTF-8"), command]);
    let text = std::fs::read_to_string(file).expect("a report");
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    (serde_json::from_str(&text).expect("JSON"), said)
}

#[test]
fn a_report_says_how_a_command_ended_and_what_it_used() {
    let (report, said) = reported("hungry");
    assert_eq!(said.code, Some(125));
    let exit = &report["exit"];
    assert_eq!((&exit["kind"], &exit["limit"]), (&json("limit"), &json("max_memory")));
    assert_eq!((&exit["allowed"], &exit["used"]), (&json("8 MiB"), &json("8256 KiB")));
    assert_eq!(exit["after"], json("trapped: wasm `unreachable` instruction executed"));
    assert!(exit["backtrace"][0].as_str().expect("a frame").starts_with("hungry (offset "), "{exit}");
    // One page at the start, sixteen at each turn, up to the limit.
    assert_eq!((&report["memory_peak"], &report["limits"]["max_memory"]), (&json(7_405_568), &json(8 << 20)));
    assert_eq!((&report["entry"], &report["steps"]), (&json("unruly:hungry"), &json(1)));

    let (report, said) = reported("chatty");
    assert_eq!((said.code, said.stdout.as_str()), (Some(125), "line\nline\nline\nline\n"));
    assert_eq!((&report["bytes_out"], &report["exit"]["used"]), (&json(20), &json("25 bytes")));

    // Stopped while it computes: by the wall, and by the time of its own, which is no longer than that.
    for (command, limit) in [("slow", "max_execution"), ("busy", "max_cpu")] {
        let (report, said) = reported(command);
        assert_eq!(said.code, Some(124));
        let head = format!("error: `unruly:{command}`: limit `{limit}` exceeded: allowed 20ms, used ");
        assert!(said.stderr.starts_with(&head), "{}", said.stderr);
        assert!(
            said.stderr.contains("\nwasm backtrace, innermost first:\n  loop_for_ever (offset "),
            "{}",
            said.stderr
        );
        let time = |name: &str| report[name].as_u64().expect("a number");
        assert!(time("wall_ns") >= time("cpu_ns") && time("cpu_ns") > 0, "{report}");
        assert!(time(if command == "slow" { "wall_ns" } else { "cpu_ns" }) >= 20_000_000, "{report}");
    }

    // Into stdout, behind what the command said.
    let said = run_in(&fixture("apps/hello"), ["run", "--report", "-", "add", "6", "7"]);
    let (result, report) = said.stdout.split_once('\n').expect("two lines");
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    assert_eq!((said.code, result, &report["exit"]["value"]), (Some(0), "13", &json(13)));

    let said = run_in(&fixture("apps/hello"), ["run", "--report", "/dev/null/no", "add", "6", "7"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    assert!(said.stderr.starts_with("error: `--report /dev/null/no` can't be written: "), "{}", said.stderr);
}

fn json(value: impl Into<serde_json::Value>) -> serde_json::Value {
    value.into()
}
