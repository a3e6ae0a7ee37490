//! Clients of every kind, good and bad, and users who have no business here.

use std::fs::{Permissions, set_permissions};
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rustix::process::geteuid;

use super::*;
use crate::process::{Manager, Pid};

/// A user who is nobody's.
const NOBODY: u32 = 65_534;

struct House {
    /// Dropped first: it removes its socket.
    server: Option<Server>,
    manager: Option<Arc<Manager>>,
    folder: PathBuf,
    parent: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("wippy");
        let manager = Manager::new(Default::default(), Vec::new(), Default::default());
        let server = Server::start(Arc::downgrade(&manager), Path::new("/the/app"), &Folders::only(&folder)).unwrap();
        Self { server: Some(server), manager: Some(manager), folder, parent }
    }

    fn socket(&self) -> PathBuf {
        self.server.as_ref().expect("a server").socket().to_owned()
    }

    fn peers(&self) -> Vec<Peer> {
        let (peers, problems) = runtimes(&Folders::only(&self.folder));
        assert!(problems.is_empty(), "{problems:?}");
        peers
    }

    fn peer(&self) -> Peer {
        self.peers().pop().expect("a runtime")
    }

    /// All that is answered to these bytes, when nothing more is said.
    fn answer_to(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_runtime_is_found_as_long_as_it_serves() {
    let mut house = House::new();
    let program = std::process::id();
    assert_eq!((mode(&house.folder), mode(&house.socket())), (0o700, 0o600));
    let peer = house.peer();
    assert_eq!((peer.id(), peer.program()), (format!("{program}-1"), program));
    let (info, processes) = peer.processes().unwrap();
    assert_eq!((info.id, info.app.as_str(), processes.len()), (peer.id(), "/the/app", 0));
    let manager = Arc::downgrade(house.manager.as_ref().unwrap());
    let second = Server::start(manager, Path::new(""), &Folders::only(&house.folder)).unwrap();
    assert_eq!(second.id(), format!("{program}-2"));
    assert_eq!(house.peers().iter().map(Peer::id).collect::<Vec<_>>(), [peer.id(), second.id().to_owned()]);
    drop(second);
    house.server = None;
    assert!(house.peers().is_empty(), "the socket goes with its server");
    assert!(matches!(peer.processes(), Err(ControlError::Gone)));
}

#[test]
fn a_folder_that_does_not_work_is_followed_by_the_next() {
    let parent = tempfile::tempdir().unwrap();
    let manager = Manager::new(Default::default(), Vec::new(), Default::default());
    let long = parent.path().join("a".repeat(120));
    let start = |folders: Vec<PathBuf>| Server::start(Arc::downgrade(&manager), Path::new(""), &Folders(folders));
    let server = start(vec!["/proc/no/such".into(), long.clone(), parent.path().join("good")]).unwrap();
    assert!(server.socket().starts_with(parent.path().join("good")));
    let error = start(vec!["/proc/no/such".into(), long]).unwrap_err().to_string();
    assert!(error.contains("aaa") && error.contains("too long"), "the last one: {error}");
}

#[test]
fn who_is_asked_for_and_not_there_is_unknown() {
    let house = House::new();
    let peer = house.peer();
    let pid: Pid = "{app:processes|0x00007}".parse().unwrap();
    let unknown = "no process `{app:processes|0x00007}`";
    assert_eq!(peer.terminate(&pid).unwrap_err().to_string(), unknown);
    assert_eq!(peer.cancel(&pid, "why").unwrap_err().to_string(), unknown);
    let long = "x".repeat(REASON_BYTES_MAX + 1);
    assert!(matches!(peer.cancel(&pid, &long), Err(ControlError::LongReason(1025))));
}

#[test]
fn requests_that_make_no_sense_are_answered_and_hurt_nobody() {
    let house = House::new();
    let refused = |why: &str| format!("{{\"answer\":\"refused\",\"why\":\"{why}");
    let version = env!("CARGO_PKG_VERSION");
    let not_understood = refused(&format!("version {version} does not understand the request: "));
    for request in ["", "\n", "[", "{}\n", "{\"ask\":\"everything\"}\n", "{\"ask\":\"terminate\"}\n", "\0\u{ff}\n"] {
        let answer = house.answer_to(request.as_bytes());
        assert!(answer.starts_with(&not_understood), "{request:?}: {answer}");
    }
    let nested = "[".repeat(REQUEST_BYTES_MAX);
    assert!(house.answer_to(nested.as_bytes()).starts_with(&not_understood));
    let no_pid = house.answer_to(b"{\"ask\":\"terminate\",\"pid\":\"seven\"}\n");
    assert!(no_pid.starts_with(&refused("`seven` is not a pid: expected braces")), "{no_pid}");
    let reason = "x".repeat(REASON_BYTES_MAX + 1);
    let long = house.answer_to(format!("{{\"ask\":\"cancel\",\"pid\":\"x\",\"reason\":\"{reason}\"}}\n").as_bytes());
    assert!(long.starts_with(&refused("the reason has 1025 bytes")), "{long}");
    // Somebody who leaves at once, and somebody who leaves in the middle.
    drop(UnixStream::connect(house.socket()).unwrap());
    UnixStream::connect(house.socket()).unwrap().write_all(b"{\"ask\":").unwrap();
    assert!(house.peer().processes().is_ok(), "it serves the next one");
}

#[test]
fn a_request_without_an_end_is_not_read_to_it() {
    let house = House::new();
    let mut stream = UnixStream::connect(house.socket()).unwrap();
    stream.write_all(&vec![b' '; REQUEST_BYTES_MAX + 1]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("at most 8192 bytes"), "{answer}");
}

#[test]
fn the_end_of_a_server_waits_for_no_client() {
    let mut house = House::new();
    // Silent ones: one is served, the others wait in line.
    let silent: Vec<_> = (0..4).map(|_| UnixStream::connect(house.socket()).unwrap()).collect();
    house.server = None;
    for mut stream in silent {
        let mut answer = Vec::new();
        // The kernel resets those that were never let in.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
}

#[test]
fn a_runtime_that_is_gone_says_so_while_its_server_is_there() {
    let mut house = House::new();
    house.manager = None;
    let error = house.peer().processes().unwrap_err().to_string();
    assert_eq!(error, "the runtime refuses: the runtime is shutting down");
}

#[test]
fn a_socket_by_which_nobody_answers_is_removed() {
    let house = House::new();
    let stale = |name: &str| {
        let path = house.folder.join(name);
        drop(UnixListener::bind(&path).unwrap());
        path
    };
    // Of a program that has ended, and of one whose number this one has got.
    let left = [stale("1-1.sock"), stale(&format!("{}-9.sock", std::process::id()))];
    let strangers = ["x-1.sock", "12.sock", "12-1", "12-1.new", "12-1.sock.old"].map(stale);
    assert_eq!(house.peers().len(), 3);
    for peer in house.peers() {
        let gone = matches!(peer.processes(), Err(ControlError::Gone));
        assert_eq!(gone, peer.id() != house.server.as_ref().unwrap().id(), "{}", peer.id());
    }
    assert_eq!(house.peers().len(), 1);
    assert!(left.iter().all(|path| !path.exists()));
    assert!(strangers.iter().all(|path| path.exists()), "what is no runtime's name is left alone");
}

#[test]
fn a_name_that_is_taken_is_left_to_whoever_has_it() {
    let house = House::new();
    let id = |number: u32| format!("{}-{number}", std::process::id());
    // One is about to listen, one has ended and was not found yet.
    drop(UnixListener::bind(house.folder.join(format!("{}.new", id(2)))).unwrap());
    drop(UnixListener::bind(house.folder.join(format!("{}.sock", id(3)))).unwrap());
    let manager = Arc::downgrade(house.manager.as_ref().unwrap());
    let next = Server::start(manager, Path::new(""), &Folders::only(&house.folder)).unwrap();
    assert_eq!(next.id(), id(4));
    let mut names: Vec<_> = std::fs::read_dir(&house.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected =
        [format!("{}.sock", id(1)), format!("{}.new", id(2)), format!("{}.sock", id(3)), format!("{}.sock", id(4))];
    assert_eq!(names, expected);
}

/// A runtime that gives this answer, whatever it is asked.
fn answering(answer: &'static [u8]) -> (Peer, tempfile::TempDir) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("wippy");
    folder::prepare(&folder).unwrap();
    let listener = UnixListener::bind(folder.join("1-1.sock")).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 64];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(answer).unwrap();
    });
    let peer = runtimes(&Folders::only(folder)).0.pop().expect("a runtime");
    (peer, parent)
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let process: &[u8] =
        br#"{"answer":"processes","runtime":{"id":"1-1","program":1,"version":"9","app":"","uptime_ns":0},"count":2}"#;
    for (answer, expected) in [
        (&b"hello\n"[..], "can't be read: expected value"),
        (b"{\"answer\":\"asked\"}\n", "can't be read: it is `Asked`"),
        (b"{\"answer\":\"refused\",\"why\":\"no\"}\n", "refuses: no"),
        (process, "can't be read: it has 0 of 2 processes"),
        (b"", "has ended"),
    ] {
        let (peer, _parent) = answering(answer);
        let error = peer.processes().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// In the environment of a program that is another user's, made of this one: what it does, and where.
const STRANGER: &str = "WIPPY_TEST_STRANGER";

/// What a stranger does, and says of it in one line.
fn be_a_stranger(task: &str) {
    let (deed, path) = task.split_once(' ').expect("a deed and a path");
    assert_eq!(geteuid().as_raw(), NOBODY);
    match deed {
        "ask" => match UnixStream::connect(path) {
            Err(error) => println!("\nstranger: {:?}", error.kind()),
            Ok(mut stream) => {
                // The server may have turned it away before this.
                let _ = stream.write_all(b"{\"ask\":\"processes\"}\n");
                let mut answer = String::new();
                let _ = stream.read_to_string(&mut answer);
                println!("\nstranger: heard `{answer}`");
            }
        },
        "look" => println!("\nstranger: {:?}", runtimes(&Folders::only(path))),
        _ => {
            let listener = UnixListener::bind(path).unwrap();
            println!("\nstranger: listens");
            let mut said = String::new();
            listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
            println!("\nstranger: heard `{said}`");
        }
    }
}

/// A program of a user who is nobody's, which only root can start.
struct Stranger {
    program: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Stranger {
    fn start(deed: &str, path: &Path) -> Self {
        // By this name it can be started whatever folder it lies in.
        let mut program = Command::new("/proc/self/exe")
            .args(["--exact", "control::tests::another_user_gets_no_answer", "--nocapture"])
            .env(STRANGER, format!("{deed} {}", path.display()))
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir("/")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(program.stdout.take().expect("a pipe")).lines();
        Self { program, said }
    }

    fn says(&mut self) -> String {
        let mut lines = self.said.by_ref().map(Result::unwrap);
        lines.find_map(|line| Some(line.strip_prefix("stranger: ")?.to_owned())).expect("it says what it found")
    }

    fn end(mut self) {
        self.said.by_ref().for_each(drop);
        assert!(self.program.wait().unwrap().success());
    }
}

fn stranger(deed: &str, path: &Path) -> String {
    let mut stranger = Stranger::start(deed, path);
    let found = stranger.says();
    stranger.end();
    found
}

/// Whether there can be a stranger.
fn is_root() -> bool {
    if !geteuid().is_root() {
        eprintln!("only root can become another user: the modes alone are tested");
    }
    geteuid().is_root()
}

#[test]
fn another_user_gets_no_answer() {
    if let Ok(task) = std::env::var(STRANGER) {
        return be_a_stranger(&task);
    }
    if !is_root() {
        return;
    }
    let house = House::new();
    let socket = house.socket();
    let open = |path: &Path, mode: u32| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(house.parent.path(), 0o711);
    assert_eq!(stranger("ask", &socket), "PermissionDenied", "the folder");
    open(&house.folder, 0o755);
    assert_eq!(stranger("ask", &socket), "PermissionDenied", "the socket");
    open(&socket, 0o666);
    assert_eq!(stranger("ask", &socket), "heard ``", "doors that somebody opened are not enough");
    let found = stranger("look", &house.folder);
    assert!(found.starts_with("([], [ForeignFolder {") && found.contains("owner: 0, user: 65534"), "{found}");
    open(&house.folder, 0o700);
    assert!(house.peer().processes().is_ok(), "its own user still gets one");
}

#[test]
fn a_socket_of_another_user_is_told_nothing() {
    if !is_root() {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("wippy");
    folder::prepare(&folder).unwrap();
    set_permissions(parent.path(), Permissions::from_mode(0o711)).unwrap();
    set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let mut stranger = Stranger::start("listen", &folder.join("1-1.sock"));
    assert_eq!(stranger.says(), "listens");
    set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    let peer = runtimes(&Folders::only(&folder)).0.pop().expect("a socket");
    assert!(matches!(peer.processes(), Err(ControlError::ForeignPeer { user: NOBODY })));
    assert_eq!(stranger.says(), "heard ``");
    stranger.end();
}
