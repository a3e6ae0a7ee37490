//! `wippy ps`, `kill` and `cancel`: a program that looks at others.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};

use serde_json::{Value, json};
use wippy::Runtime;
use wippy::control::{Folders, Server};
use wippy::limits::WaitReason;
use wippy::process::{
    ArgumentError, Birth, Exit, Inbox, Message, Payload, Process, ProcessHandle, Program, Progress, ResultStyle, Start,
};
use wippy::registry::EntryId;

use super::support::{Running, Said, assert_said, fixture, run, wippy};
use super::yielding::stage::{PATIENCE, until};

/// A user's folder for sockets, and who looks there.
struct Session(tempfile::TempDir);

impl Session {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn wippy(&self) -> Command {
        let mut command = wippy();
        command.env("XDG_RUNTIME_DIR", self.0.path()).env("TMPDIR", self.0.path());
        command
    }

    /// A command of the application `watched`, with an input that stays open and silent.
    fn start(&self, words: &[&str]) -> Running {
        let mut command = self.wippy();
        Running::start(command.arg("-C").arg(fixture("apps/watched")).arg("run").args(words).stdin(Stdio::piped()))
    }

    fn said(&self, words: &[&str]) -> Said {
        Said::of(self.wippy().args(words).output().expect("the program starts"))
    }

    /// All processes, as `ps --json` has them; none while there is no runtime.
    fn processes(&self) -> Vec<Value> {
        let said = self.said(&["ps", "--json"]);
        match said.code {
            Some(0) => serde_json::from_str(&said.stdout).expect("JSON"),
            _ => Vec::new(),
        }
    }

    /// The process of this entry, when it is there and does this.
    #[track_caller]
    fn process(&self, entry: &str, state: &str, waits: &[&str]) -> Value {
        let mut found = None;
        until(&format!("`{entry}` is {state} and waits for {waits:?}"), || {
            let does = |process: &&Value| process["state"] == state && process["wait"] == json!(waits);
            found = self.processes().iter().filter(|process| process["entry"] == entry).find(does).cloned();
            found.is_some()
        });
        found.expect("it was found")
    }

    fn sockets(&self) -> Vec<String> {
        let folder = self.0.path().join("wippy");
        let entries =
            std::fs::read_dir(folder).map(|entries| entries.map(|entry| entry.expect("an entry").file_name()));
        entries.map(|names| names.map(|name| name.into_string().expect("text")).collect()).unwrap_or_default()
    }
}

const NOBODY: &str = "error: no runtime of this user is running\n  = help: `wippy run` starts one; a command is seen once it \
                      has run for 100 ms\n";

#[test]
fn programs_that_wait_and_compute_are_seen_by_another_and_ended() {
    let session = Session::new();
    let sleeper = session.start(&["sleep", "3600000"]);
    let spinner = session.start(&["spin"]);
    let net = session.start(&["net", "accept", "0"]);
    let mut reader = session.start(&["read"]);
    let sleeping = session.process("watched:sleeper", "blocked", &["timer"]);
    let computing = session.process("watched:spinner", "running", &[]);
    session.process("watched:net", "blocked", &["tcp-accept"]);
    session.process("watched:reader", "blocked", &["stdin"]);
    assert_eq!(sleeping["pid"], "{watched:terminal|0x00001}");
    assert!(sleeping["memory"].as_u64() > Some(0) && sleeping["mailbox"].is_null(), "{sleeping}");
    until("the time of a step that goes on is counted", || {
        let now = session.process("watched:spinner", "running", &[]);
        now["cpu_ns"].as_u64() > computing["cpu_ns"].as_u64() && now["steps"] == computing["steps"]
    });

    let said = session.said(&["ps"]);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!((said.code, lines.len(), said.stderr.as_str()), (Some(0), 5, ""), "{said:?}");
    assert!(lines[0].starts_with("RUNTIME") && lines[0].ends_with("UPTIME"), "{}", said.stdout);
    let row = |entry: &str| lines.iter().find(|line| line.contains(entry)).expect("a row").split_whitespace();
    let columns: Vec<_> = row("watched:sleeper").collect();
    let runtime = sleeping["runtime"].as_str().expect("a name");
    assert_eq!(columns[..5], [runtime, "{watched:terminal|0x00001}", "watched:sleeper", "blocked", "timer"]);
    assert!(row("watched:spinner").any(|column| column == "running"));
    assert_eq!(session.sockets().len(), 4);
    for name in session.sockets() {
        let mode = std::fs::metadata(session.0.path().join("wippy").join(name)).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    // Every one of them has a first process.
    let said = session.said(&["kill", "0x1"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert!(said.stderr.contains("several runtimes have a process `0x00001`"), "{}", said.stderr);
    let spinning = computing["runtime"].as_str().expect("a name");
    assert_said(&session.said(&["kill", "--runtime", spinning, "0x00001"]), 0, "", "");
    assert_said(&spinner.end(), 143, "", "`watched:spinner` was terminated\n");
    let program = runtime.split_once('-').expect("a program and a number").0;
    let cancel = ["cancel", "{watched:terminal|0x00001}", "--runtime", program, "--reason", "it is late"];
    assert_said(&session.said(&cancel), 0, "", "");
    assert_said(&sleeper.end(), 130, "", "`watched:sleeper` was cancelled: it is late\n");
    until("those that ended are seen no more", || session.processes().len() == 2);
    let unknown = "error: no process `0x00002`\n  = help: `wippy ps` shows those that there are\n";
    assert_said(&session.said(&["kill", "0x2"]), 1, "", unknown);

    // One that ends by force leaves its socket to whoever finds it.
    drop(net);
    assert_eq!(session.sockets().len(), 2);
    assert_eq!(session.processes().len(), 1);
    assert_eq!(session.sockets().len(), 1);
    drop(reader.child().stdin.take());
    assert_eq!(reader.end().code, Some(0));
    assert!(session.sockets().is_empty());
    for words in [&["ps"][..], &["ps", "--json"], &["kill", "0x1"], &["cancel", "0x1"]] {
        assert_said(&session.said(words), 1, "", NOBODY);
    }
}

#[test]
fn a_guest_that_waits_for_a_message_is_seen_and_decides_itself_when_to_end() {
    let session = Session::new();
    let echo = session.start(&["echo"]);
    let waiting = session.process("watched:echo", "idle", &["message"]);
    assert_eq!(waiting["mailbox"], 0, "{waiting}");
    let pid = waiting["pid"].as_str().expect("a pid");
    assert_said(&session.said(&["cancel", pid]), 0, "", "");
    assert_said(&echo.end(), 0, "0\n", "");
}

#[test]
fn what_makes_no_sense_is_told_before_anybody_is_asked() {
    let said = run(["kill", "17"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("`17` is not a pid; write it as `wippy ps` shows it"), "{}", said.stderr);
    assert_eq!(run(["cancel"]).code, Some(2));
    let long = "x".repeat(1025);
    let error = "error: `--reason`: the reason has 1025 bytes; at most 1024 are taken\n";
    assert_said(&run(["cancel", "0x1", "--reason", &long]), 2, "", error);
    let error = "error: `--watch` draws on a terminal, and standard output is none\n  = help: for a program, add `--json`: \
                 an array a line\n  = help: for one look, leave `--watch` out\n";
    assert_said(&run(["ps", "--watch"]), 2, "", error);
    let session = Session::new();
    let error =
        "error: no runtime `1-1` is running\n  = help: without `--runtime`, `wippy ps` shows those of all runtimes\n";
    assert_said(&session.said(&["ps", "--runtime", "1-1"]), 1, "", error);
}

#[test]
fn a_program_without_a_socket_runs_all_the_same() {
    let session = Session::new();
    std::fs::write(session.0.path().join("wippy"), "no folder").expect("a file");
    let mut command = session.wippy();
    command.env("TMPDIR", session.0.path().join("none")).arg("-C").arg(fixture("apps/watched"));
    let said = Said::of(command.args(["-v", "run", "sleep", "300"]).output().expect("the program starts"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("`wippy ps` does not see this runtime"), "{}", said.stderr);
    // Who looks is told why there may be more than is seen.
    let said = session.said(&["ps"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.starts_with("warning: `") && said.stderr.contains("is no folder"), "{}", said.stderr);
    assert!(said.stderr.ends_with(NOBODY), "{}", said.stderr);
}

/// A runtime of this program, and programs that look at it.
struct House {
    session: Session,
    runtime: Runtime,
    server: Server,
}

impl House {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With native programs beside those of the application `watched`, and whether they read their messages.
    fn with(programs: &[(&str, bool)]) -> Self {
        let session = Session::new();
        let builder = programs.iter().fold(Runtime::builder(), |builder, (id, reads)| {
            builder.program(Correspondent { id: id.parse().expect("an ID"), reads: *reads })
        });
        let runtime = builder.load(fixture("apps/watched")).build().expect("a sound application");
        let server = runtime.serve_control(&Folders::only(session.0.path().join("wippy"))).expect("a socket");
        Self { session, runtime, server }
    }

    fn spawn(&self, entry: &str, input: Vec<Payload>) -> ProcessHandle {
        let id = |name: &str| format!("watched:{name}").parse().expect("an ID");
        let start = Start::new(id(entry), id("processes")).input(input);
        self.runtime.manager().spawn(start).expect("a process")
    }

    fn net(&self, what: &str) -> ProcessHandle {
        self.spawn("net", vec![what.into(), Payload::Int(0)])
    }
}

#[test]
fn processes_of_one_runtime_are_in_the_order_of_their_numbers_and_found_by_them() {
    let house = House::new();
    let all = [
        house.spawn("sleeper", vec![Payload::Int(3_600_000)]),
        house.spawn("spinner", vec![]),
        house.net("accept"),
        house.net("receive"),
        house.net("lookup"),
    ];
    let session = &house.session;
    session.process("watched:sleeper", "blocked", &["timer"]);
    session.process("watched:spinner", "running", &[]);
    session.process("watched:net", "blocked", &["tcp-accept"]);
    session.process("watched:net", "blocked", &["udp-receive"]);
    let processes = session.processes();
    let pids: Vec<_> = processes.iter().map(|process| process["pid"].as_str().expect("text")).collect();
    let expected: Vec<_> = all.iter().map(|process| process.pid().to_string()).collect();
    assert_eq!(pids[..4], expected[..4], "the last one may have its answer");
    assert!(processes.iter().all(|process| process["runtime"] == house.server.id()));
    assert!(session.said(&["ps"]).stdout.starts_with("PID "), "one runtime needs no name");
    assert_said(&session.said(&["kill", "0x00002"]), 0, "", "");
    assert_eq!(all[1].wait_timeout(PATIENCE), Some(Exit::Terminated));
    assert_said(&session.said(&["cancel", "watched:processes|0x3"]), 0, "", "");
    let cancelled = Exit::Cancelled { reason: "wippy cancel".into() };
    assert_eq!(all[2].wait_timeout(PATIENCE), Some(cancelled));
}

/// A native process that waits for a message, and one that waits for something else and leaves its messages alone.
struct Correspondent {
    id: EntryId,
    reads: bool,
}

impl Program for Correspondent {
    fn entry(&self) -> &EntryId {
        &self.id
    }

    fn check(&self, _: &[Payload]) -> Result<(), ArgumentError> {
        Ok(())
    }

    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(Vec::new())
    }

    fn receives(&self) -> bool {
        true
    }

    fn create(&self, birth: Birth) -> Box<dyn Process> {
        Box::new(Waiting { inbox: birth.inbox(), reads: self.reads })
    }

    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

struct Waiting {
    inbox: Inbox,
    reads: bool,
}

impl Process for Waiting {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        if !self.reads {
            WaitReason::Room.note();
            return Progress::Blocked;
        }
        match self.inbox.poll_signal(context) {
            Poll::Pending => Progress::Idle,
            Poll::Ready(_) => Progress::Exit(Exit::Returned(Payload::Nil)),
        }
    }
}

#[test]
fn who_waits_for_messages_is_seen_with_its_mailbox_and_its_names() {
    let house = House::with(&[("native:reader", true), ("native:writer", false)]);
    let processes = ["native:reader", "native:writer"].map(|entry| {
        let start = Start::new(entry.parse().expect("an ID"), "watched:processes".parse().expect("an ID"));
        house.runtime.manager().spawn(start).expect("a process")
    });
    let manager = house.runtime.manager();
    for name in ["desk", "\u{1b}[2Jclear"] {
        manager.register(name, processes[0].pid()).expect("a free name");
    }
    for _ in 0..3 {
        let message = Message::new("add".parse().expect("a topic"), [7]);
        manager.send(processes[1].pid(), message).expect("room");
    }
    let session = &house.session;
    let reading = session.process("native:reader", "idle", &["message"]);
    assert_eq!((&reading["mailbox"], &reading["names"]), (&json!(0), &json!(["desk", "\u{1b}[2Jclear"])));
    let other = session.process("native:writer", "blocked", &["room"]);
    assert_eq!((&other["mailbox"], &other["names"]), (&json!(3), &json!([])));
    let said = session.said(&["ps"]);
    assert!(said.stdout.contains("  desk, [2Jclear  idle") && !said.stdout.contains('\u{1b}'), "{}", said.stdout);
    // A cancel is an event for who reads them.
    assert_said(&session.said(&["cancel", "0x1"]), 0, "", "");
    assert_eq!(processes[0].wait_timeout(PATIENCE), Some(Exit::Returned(Payload::Nil)));
}

#[test]
fn a_program_watches_line_by_line_until_nobody_reads() {
    let house = House::new();
    let sleeper = house.spawn("sleeper", vec![Payload::Int(3_600_000)]);
    let mut watch = Running::start(house.session.wippy().args(["ps", "--watch", "--json", "--interval", "50ms"]));
    let output = watch.child().stdout.take().expect("a pipe");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(output)).map(|line| line.expect("text"));
    let mut next = || serde_json::from_str::<Vec<Value>>(&lines.next().expect("a line")).expect("an array");
    while next().first().is_none_or(|process| process["wait"] != json!(["timer"])) {}
    sleeper.terminate();
    while !next().is_empty() {}
    drop(house.runtime);
    assert!(next().is_empty(), "it goes on without anybody to see");
    next();
    drop(lines);
    let said = watch.end();
    let warning =
        format!("warning: runtime `{}`: the runtime refuses: the runtime is shutting down\n", house.server.id());
    assert_said(&said, 0, "", &warning);
}

/// What a terminal gets when the screen of its own is entered, and when it is left.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// `wippy ps --watch` on a terminal of this size. `script` makes it; it is a part of every Linux that has a shell.
fn watch_on_a_terminal(session: &Session, height: usize, width: usize) -> Running {
    let size = format!("stty rows {height} cols {width}");
    let line = format!("{size}; exec '{}' --color never ps --watch --interval 50ms", env!("CARGO_BIN_EXE_wippy"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env("XDG_RUNTIME_DIR", session.0.path()).env("TMPDIR", session.0.path()).env("TERM", "xterm");
    command.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(&mut command)
}

/// What stands on a screen after these bytes, as far as this program uses a terminal.
fn screen_after(bytes: &str) -> Vec<String> {
    let page = bytes.rsplit("\x1b[H").next().expect("a page");
    page.split('\n').map(|line| line.trim_end_matches('\r').replace("\x1b[K", "").replace("\x1b[J", "")).collect()
}

#[test]
fn a_table_on_a_terminal_is_live_and_leaves_it_as_it_was() {
    let house = House::new();
    let spinner = house.spawn("spinner", vec![]);
    let sleeper = house.spawn("sleeper", vec![Payload::Int(3_600_000)]);
    let session = &house.session;
    let mut watch = watch_on_a_terminal(session, 12, 84);
    let mut output = watch.child().stdout.take().expect("a pipe");
    let mut all = String::new();
    let mut shows = |what: &str, shown: &dyn Fn(&[String]) -> bool| loop {
        let mut buffer = [0; 4096];
        let count = output.read(&mut buffer).expect("a terminal");
        assert!(count > 0, "it ended without {what}: {all}");
        // A character may be in two parts; none of those that are looked for.
        all.push_str(&String::from_utf8_lossy(&buffer[..count]));
        // The last page may be on its way.
        let whole = all.rfind("\x1b[H").map_or("", |last| &all[..last]);
        let screen = screen_after(whole);
        if whole.contains("\x1b[H") && shown(&screen) {
            return screen;
        }
    };
    let has = |screen: &[String], entry: &str, what: &str| {
        screen.iter().any(|line| line.contains(entry) && line.contains(what))
    };
    let screen = shows("both", &|screen| has(screen, ":spinner", "running") && has(screen, ":sleeper", "timer"));
    eprintln!("{}", screen.join("\n"));
    assert_eq!(screen[0], "1 runtime, 2 processes; every 50ms, Ctrl-C ends");
    assert!(screen[2].starts_with("PID ") && screen.iter().all(|line| line.chars().count() <= 84), "{screen:?}");
    spinner.terminate();
    let screen = shows("the end of one", &|screen| !has(screen, ":spinner", ""));
    assert_eq!(screen[0], "1 runtime, 1 process; every 50ms, Ctrl-C ends");
    watch.child().stdin.take().expect("a pipe").write_all(b"\x03").expect("a terminal");
    output.read_to_string(&mut all).expect("a terminal");
    assert!(all.contains(ENTER) && all.trim_end().ends_with(LEAVE), "{all}");
    assert_eq!(watch.child().wait().expect("its end").code(), Some(0), "{all}");
    sleeper.terminate();
}

#[test]
fn the_folder_is_shared_with_nobody() {
    let session = Session::new();
    let folder = session.0.path().join("wippy");
    let runtime = Runtime::builder().load(fixture("apps/watched")).build().expect("a sound application");
    let server = runtime.serve_control(&Folders::only(&folder)).expect("a socket");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(server.socket())), (0o700, 0o600));
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let refused = runtime.serve_control(&Folders::only(&folder)).expect_err("it is open");
    assert!(refused.to_string().contains("chmod 700"), "{refused}");
}
