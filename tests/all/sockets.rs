//! `wasi:sockets` with a real guest: every function of it, rules, and crowds. Everything stays on
//! 127.0.0.1 and ::1. `WIPPY_TEST_SIZE=long` makes the crowds larger.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wippy::Runtime;
use wippy::process::{Exit, Payload, ProcessHandle, Start, State};
use wippy::wasi::{Lookup, ResolveError, Resolver};

use super::support::app;

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many a crowd is, in the usual run and in the long one.
fn crowd(usual: usize, long: usize) -> usize {
    if std::env::var("WIPPY_TEST_SIZE").is_ok_and(|size| size == "long") { long } else { usual }
}

/// An application of one entry a method of the guest `net`, with `wasi:` blocks for some of them, and two hosts.
fn yaml(entries: &[(&str, &str, &str)]) -> String {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests");
    let sums = std::fs::read_to_string(guests.join("SHA256SUMS")).unwrap();
    let hash = |file: &str| {
        let line = sums.lines().find(|line| line.ends_with(&format!("  {file}"))).expect("a recorded guest");
        line[..64].to_owned()
    };
    let mut yaml = format!(
        "version: \"1.0\"\nnamespace: net\nentries:\n\
         - {{name: one, kind: process.host, host: {{workers: 1}}}}\n\
         - {{name: two, kind: process.host, host: {{workers: 2}}}}\n\
         - {{name: wasm, kind: fs.directory, directory: {}}}\n\
",
        guests.display(),
    );
    for (name, method, network) in entries {
        let _ = write!(
            yaml,
            "- name: {name}\n  kind: process.wasm\n  fs: wasm\n  path: /net.wasm\n  hash: sha256:{}\n  method: {method}\n  \
             imports: [wasi:sockets, wasi:io]\n",
            hash("net.wasm"),
        );
        if !network.is_empty() {
            let _ = writeln!(yaml, "  wasi: {{network: {network}}}");
        }
    }
    yaml
}

/// Every method of the guest under its own name, without rules.
const METHODS: [(&str, &str, &str); 11] = [
    ("echo-client", "echo-client", ""),
    ("echo-server", "echo-server", ""),
    ("udp-client", "udp-client", ""),
    ("udp-server", "udp-server", ""),
    ("resolve", "resolve", ""),
    ("dial-name", "dial-name", ""),
    ("dial", "dial", ""),
    ("dial-udp", "dial-udp", ""),
    ("stuck", "stuck", ""),
    ("pour", "pour", ""),
    ("check", "check", ""),
];

/// Knows what a test told it; every other name is not found, and `stalled.test` never answered.
#[derive(Default)]
struct Names {
    known: HashMap<&'static str, Vec<IpAddr>>,
    /// Lookups of `stalled.test` that nobody gave up yet.
    stalled: Arc<AtomicUsize>,
}

/// Counts itself out when the lookup is given up.
struct Stalled(Arc<AtomicUsize>);

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Resolver for Names {
    fn resolve(&self, name: &str) -> Lookup {
        match name {
            "stalled.test" => {
                self.stalled.fetch_add(1, Ordering::Relaxed);
                let stalled = Stalled(self.stalled.clone());
                Box::pin(async move {
                    let _stalled = stalled;
                    std::future::pending().await
                })
            }
            "soon.test" => Box::pin(async { Err(ResolveError::Temporary) }),
            "broken.test" => Box::pin(async { Err(ResolveError::Permanent) }),
            name => {
                let found = self.known.get(name).cloned().ok_or(ResolveError::NotFound);
                Box::pin(async { found })
            }
        }
    }
}

struct World {
    runtime: Runtime,
    _app: tempfile::TempDir,
}

impl World {
    fn new(entries: &[(&str, &str, &str)], names: Names) -> Self {
        let app = app(&[("_index.yaml", &yaml(entries))]);
        let runtime = Runtime::builder().load(app.path()).resolver(Arc::new(names)).build();
        let runtime = runtime.unwrap_or_else(|error| panic!("{error:?}"));
        Self { runtime, _app: app }
    }

    fn plain() -> Self {
        Self::new(&METHODS, Names::default())
    }

    fn spawn(&self, host: &str, entry: &str, input: Vec<Payload>) -> ProcessHandle {
        let start = Start::new(format!("net:{entry}").parse().unwrap(), format!("net:{host}").parse().unwrap());
        self.runtime.manager().spawn(start.input(input)).expect("a host with room")
    }

    /// Runs to the end and gives what it returned.
    fn call(&self, entry: &str, input: Vec<Payload>) -> Payload {
        returned(&self.spawn("two", entry, input))
    }
}

fn returned(process: &ProcessHandle) -> Payload {
    match process.wait_timeout(PATIENCE) {
        Some(Exit::Returned(value)) => value,
        other => panic!("{process:?}: {other:?}"),
    }
}

/// The `ok` of a result.
fn ok(value: &Payload) -> &Payload {
    match value {
        Payload::Map(fields) if fields.contains_key("ok") => &fields["ok"],
        other => panic!("{other:?}"),
    }
}

/// A result of the guest.
fn outcome(case: &str, value: Payload) -> Payload {
    Payload::Map([(case.to_owned(), value)].into_iter().collect())
}

fn int(value: usize) -> Payload {
    Payload::Int(value as i64)
}

fn text(value: &str) -> Payload {
    Payload::String(value.to_owned())
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn port(address: std::io::Result<SocketAddr>) -> usize {
    address.unwrap().port().into()
}

/// Takes one connection and reads the port that the guest tells.
fn told_port(listener: &TcpListener) -> u16 {
    let mut bytes = [0; 2];
    listener.accept().unwrap().0.read_exact(&mut bytes).unwrap();
    u16::from_be_bytes(bytes)
}

/// Room for this many descriptors beside those of the other tests; `false` when the system does not give it.
fn has_room_for(descriptors: u64) -> bool {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = descriptors + 512;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = limit.maximum.map_or(Some(wanted), |maximum| Some(maximum.min(wanted)));
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.is_none_or(|current| current >= wanted)
}

/// The families of addresses that this machine has.
fn families() -> &'static [bool] {
    if TcpListener::bind("[::1]:0").is_ok() { &[false, true] } else { &[false] }
}

#[test]
fn the_documents_are_followed_in_both_families() {
    let world = World::plain();
    let tcp = ["tcp-states", "tcp-options", "tcp-addresses", "tcp-shutdown", "stream-errors"];
    for subject in tcp.into_iter().chain(["udp-states", "udp-options", "udp-streams"]) {
        for &v6 in families() {
            let checked = world.call("check", vec![text(subject), Payload::Bool(v6)]);
            assert_eq!(checked, outcome("ok", Payload::Nil), "{subject}, IPv6: {v6}");
        }
    }
}

#[test]
fn a_client_gets_its_bytes_back_from_another_program() {
    let world = World::plain();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port(listener.local_addr());
    let server = std::thread::spawn(move || echo(listener.accept().unwrap().0));
    let echoed = world.call("echo-client", vec![int(port), int(50), int(10_000)]);
    assert_eq!(*ok(&echoed), int(500_000));
    assert_eq!(server.join().unwrap(), 500_000);
}

/// Echoes until the end; returns how many bytes.
fn echo(mut stream: TcpStream) -> usize {
    let (mut buffer, mut echoed) = (vec![0; 65_536], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return echoed,
            read => {
                stream.write_all(&buffer[..read]).unwrap();
                echoed += read;
            }
        }
    }
}

#[test]
fn one_guest_serves_a_crowd_by_poll() {
    let clients = crowd(100, 1000);
    if !has_room_for(2 * clients as u64) {
        eprintln!("skipped: no room for {clients} connections");
        return;
    }
    let world = World::plain();
    let report = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = world.spawn("one", "echo-server", vec![int(port(report.local_addr())), int(clients)]);
    let port = told_port(&report);
    let mut streams: Vec<_> = (0..clients).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    // All are open before the first speaks, and every one is served while the others are silent.
    for round in 0..3_u32 {
        for (at, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&(at as u32 ^ round).to_le_bytes()).unwrap();
        }
        for (at, stream) in streams.iter_mut().enumerate().rev() {
            let mut came = [0; 4];
            stream.read_exact(&mut came).unwrap();
            assert_eq!(u32::from_le_bytes(came), at as u32 ^ round);
        }
    }
    assert!(server.exit().is_none());
    drop(streams);
    assert_eq!(*ok(&returned(&server)), int(clients * 12));
}

/// How often a crowd's bytes go there and back, and how many they are.
const CROWD_ROUNDS: usize = 2;
const CROWD_BYTES: usize = 512;

#[test]
fn a_crowd_of_guests_holds_a_connection_each() {
    // Each has five memory mappings, and a program of Linux 65,530 by default.
    let guests = crowd(1000, 10_000);
    if !has_room_for(guests as u64) {
        eprintln!("skipped: no room for {guests} connections");
        return;
    }
    let world = World::plain();
    // Another program, which is this one again.
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "sockets::the_other_program", "--nocapture"])
        .env("WIPPY_TEST_CONNECTIONS", guests.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port = said.find_map(|line| line.strip_prefix("port ")?.parse().ok()).expect("it tells its port");
    let before = resident_kib();
    let input = || vec![int(port), int(CROWD_ROUNDS), int(CROWD_BYTES)];
    let processes: Vec<_> = (0..guests).map(|_| world.spawn("two", "echo-client", input())).collect();
    // Nobody is answered before everybody is there.
    until("every guest waits for its echo", || {
        if let Some(ended) = processes.iter().find(|process| process.exit().is_some()) {
            panic!("{ended:?}");
        }
        processes.iter().all(|process| process.state() == State::Blocked)
    });
    assert!(said.any(|line| line == "all are here"));
    eprintln!("{} KiB for each of {guests} guests with a connection", resident_kib().saturating_sub(before) / guests);
    eprintln!("{} memory mappings, descriptors: {}", mappings(), descriptors());
    drop(server.stdin.take());
    for process in &processes {
        assert_eq!(*ok(&returned(process)), int(CROWD_ROUNDS * CROWD_BYTES));
    }
    assert!(server.wait().unwrap().success());
}

/// The memory mappings of this program.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// How many descriptors this program has open, and how many it may have.
fn descriptors() -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    format!("{open} of {}", limit.map_or("any number".to_owned(), |limit| limit.to_string()))
}

/// The memory of this program that is in use, in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// No test: the echo server that the crowd talks to. It begins when all are there and its input has ended.
#[test]
#[ignore = "run as a program by another test"]
fn the_other_program() {
    let Ok(connections) = std::env::var("WIPPY_TEST_CONNECTIONS") else { return };
    let connections: usize = connections.parse().unwrap();
    assert!(has_room_for(connections as u64));
    let listener = listen(4096);
    println!("\nport {}", port(listener.local_addr()));
    let mut streams: Vec<_> = (0..connections).map(|_| listener.accept().unwrap().0).collect();
    println!("all are here");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    for _ in 0..CROWD_ROUNDS {
        for stream in &mut streams {
            let mut bytes = [0; CROWD_BYTES];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    }
}

/// A listener that keeps this many connections until they are accepted.
fn listen(backlog: i32) -> TcpListener {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let fd: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    listen(&fd, backlog).unwrap();
    fd.into()
}

#[test]
fn datagrams_come_back_both_ways() {
    let world = World::plain();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = port(server.local_addr());
    let echo = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        for _ in 0..40 {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..length], from).unwrap();
        }
    });
    for connected in [false, true] {
        let echoed = world.call("udp-client", vec![int(port), int(20), Payload::Bool(connected)]);
        assert_eq!(*ok(&echoed), int(20), "connected: {connected}");
    }
    echo.join().unwrap();
    // The other way: the guest is the server.
    let report = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = world.spawn("one", "udp-server", vec![int(self::port(report.local_addr())), int(10)]);
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, told_port(&report)));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..10_u8 {
        client.send_to(&[round], to).unwrap();
        let mut came = [0; 8];
        assert_eq!(client.recv_from(&mut came).unwrap(), (1, to));
        assert_eq!(came[0], round);
    }
    assert_eq!(*ok(&returned(&server)), int(10));
}

#[test]
fn what_a_guest_has_written_arrives_though_it_waits_for_nothing() {
    const BYTES: usize = 8 << 20;
    let world = World::plain();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pouring = world.spawn("one", "pour", vec![int(port(listener.local_addr())), int(BYTES)]);
    let mut stream = listener.accept().unwrap().0;
    until("the guest is stuck in a write or in its drop", || pouring.state() == State::Blocked);
    let mut came = Vec::new();
    stream.read_to_end(&mut came).unwrap();
    assert!(came.len() == BYTES && came.iter().all(|byte| *byte == 1), "{} bytes came", came.len());
    assert_eq!(*ok(&returned(&pouring)), int(BYTES));
}

#[test]
fn names_are_found_by_the_resolver_of_the_runtime() {
    let known = HashMap::from([("two.test", vec![IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap()])]);
    let world = World::new(&METHODS, Names { known, ..Names::default() });
    let resolve = |name: &str| world.call("resolve", vec![text(name)]);
    let found = |addresses: &[&str]| outcome("ok", list(addresses));
    let failed = |code: &str| outcome("err", text(code));
    assert_eq!(resolve("two.test"), found(&["127.0.0.1", "::1"]));
    assert_eq!(resolve("TWO.test."), found(&["127.0.0.1", "::1"]));
    assert_eq!(resolve("192.0.2.7"), found(&["192.0.2.7"]));
    assert_eq!(resolve("::1"), found(&["::1"]));
    assert_eq!(resolve("none.test"), failed("name-unresolvable"));
    assert_eq!(resolve("soon.test"), failed("temporary-resolver-failure"));
    assert_eq!(resolve("broken.test"), failed("permanent-resolver-failure"));
    assert_eq!(resolve("no name"), failed("invalid-argument"));
}

fn list(items: &[&str]) -> Payload {
    Payload::List(items.iter().map(|item| text(item)).collect())
}

/// What a guest waits for is let go when it is ended; that others go on meanwhile is said by `yielding`.
#[test]
fn a_guest_that_is_ended_lets_go_of_what_it_waits_for() {
    let names = Names::default();
    let stalled = names.stalled.clone();
    let world = World::new(&METHODS, names);
    // Accepts and never speaks.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = port(silent.local_addr());
    let stuck: Vec<_> = [("accept", 0), ("read", silent_port), ("write", silent_port), ("receive", 0), ("lookup", 0)]
        .into_iter()
        .map(|(what, port)| world.spawn("one", "stuck", vec![text(what), int(port)]))
        .collect();
    until("every one is stuck", || stuck.iter().all(|process| process.state() == State::Blocked));
    assert_eq!(stalled.load(Ordering::Relaxed), 1);
    let mut streams = [silent.accept().unwrap().0, silent.accept().unwrap().0];
    for process in &stuck {
        process.terminate();
        assert_eq!(process.wait_timeout(PATIENCE), Some(Exit::Terminated));
    }
    assert_eq!(stalled.load(Ordering::Relaxed), 0, "the lookup was given up");
    for stream in &mut streams {
        // To its end, or to what resets it.
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn rules_decide_whom_a_guest_talks_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let v6 = TcpListener::bind("[::1]:0");
    let at = port(listener.local_addr());
    let at6 = v6.as_ref().map_or(at, |v6| port(v6.local_addr()));
    let known = HashMap::from([
        ("here.test", vec![IpAddr::from([127, 0, 0, 1])]),
        ("also.here.test", vec![IpAddr::from([127, 0, 0, 1])]),
        ("mixed.test", vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([127, 0, 0, 1])]),
    ]);
    const DENIED: &str = "access-denied";
    const CONNECTED: &str = "connected";
    // method, address or name, port, rules, answer
    let cases = [
        ("dial", "127.0.0.1", at, String::new(), CONNECTED),
        ("dial", "127.0.0.1", at, "{}".into(), CONNECTED),
        ("dial", "127.0.0.1", at, "{allow: []}".into(), DENIED),
        ("dial", "127.0.0.1", at, "{allow: [loopback]}".into(), CONNECTED),
        ("dial", "127.0.0.1", at, "{allow: [private]}".into(), DENIED),
        ("dial", "127.0.0.1", at, "{deny: [loopback]}".into(), DENIED),
        ("dial", "127.0.0.1", at, "{allow: [loopback], deny: [127.0.0.0/8]}".into(), DENIED),
        ("dial", "127.0.0.1", at, format!("{{allow: [':{at}']}}"), CONNECTED),
        ("dial", "127.0.0.1", at, format!("{{allow: ['127.0.0.1:{}']}}", at - 1), DENIED),
        ("dial", "127.0.0.1", at, format!("{{deny: ['127.0.0.1:{at}']}}"), DENIED),
        ("dial", "127.0.0.1", at, format!("{{deny: ['127.0.0.1:{}']}}", at - 1), CONNECTED),
        ("dial", "127.0.0.1", at, "{allow: [here.test]}".into(), DENIED),
        ("dial", "::1", at6, format!("{{allow: ['[::1]:{at6}']}}"), CONNECTED),
        ("dial", "::1", at6, "{deny: ['::/64']}".into(), DENIED),
        ("dial-name", "here.test", at, "{allow: [here.test]}".into(), CONNECTED),
        ("dial-name", "also.here.test", at, "{allow: [here.test]}".into(), DENIED),
        ("dial-name", "also.here.test", at, "{allow: ['*.here.test']}".into(), CONNECTED),
        ("dial-name", "here.test", at, "{allow: ['*.here.test']}".into(), DENIED),
        ("dial-name", "here.test", at, format!("{{allow: ['here.test:{}']}}", at - 1), DENIED),
        ("dial-name", "here.test", at, "{deny: [here.test]}".into(), DENIED),
        ("dial-name", "here.test", at, "{deny: [127.0.0.1]}".into(), DENIED),
        ("dial-name", "here.test", at, "{allow: [here.test], deny: [loopback]}".into(), DENIED),
        // The address that no rule allows is not told, so the first is the allowed one.
        ("dial-name", "mixed.test", at, "{allow: [loopback]}".into(), CONNECTED),
        ("dial-name", "127.0.0.1", at, "{allow: [here.test]}".into(), DENIED),
        ("dial-udp", "127.0.0.1", at, "{allow: [loopback]}".into(), "sent"),
        ("dial-udp", "127.0.0.1", at, "{deny: [loopback]}".into(), DENIED),
    ];
    let names: Vec<_> = (0..cases.len()).map(|case| format!("case{case}")).collect();
    let mut entries: Vec<_> = cases
        .iter()
        .zip(&names)
        .map(|((method, .., rules, _), name)| (name.as_str(), *method, rules.as_str()))
        .collect();
    entries.push(("check", "check", "{allow: []}"));
    let world = World::new(&entries, Names { known, ..Names::default() });
    for ((method, to, port, rules, expected), name) in cases.iter().zip(&names) {
        if *to == "::1" && v6.is_err() {
            continue;
        }
        let found = world.call(name, vec![text(to), int(*port)]);
        assert_eq!(found, text(expected), "{method} {to} {port} with {rules}");
    }
    for &v6 in families() {
        let checked = world.call("check", vec![text("refused"), Payload::Bool(v6)]);
        assert_eq!(checked, outcome("ok", Payload::Nil), "IPv6: {v6}");
    }
}

/// Rules speak of who comes in, too.
#[test]
fn a_refused_visitor_is_not_accepted() {
    let report = TcpListener::bind("127.0.0.1:0").unwrap();
    let told = port(report.local_addr());
    let entries = [("picky", "echo-server", &*format!("{{allow: ['127.0.0.1:{told}', 127.0.0.2]}}"))];
    let world = World::new(&entries, Names::default());
    let server = world.spawn("one", "picky", vec![int(told), int(1)]);
    let port = told_port(&report);
    // From 127.0.0.1: hung up on.
    let mut refused = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(matches!(refused.read(&mut [0; 1]), Ok(0) | Err(_)));
    // From 127.0.0.2: served.
    let mut allowed = connect_from([127, 0, 0, 2], port);
    allowed.write_all(b"hi").unwrap();
    let mut came = [0; 2];
    allowed.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"hi");
    drop(allowed);
    assert_eq!(*ok(&returned(&server)), int(2));
}

fn connect_from(from: [u8; 4], port: u16) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let fd: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &SocketAddr::from((from, 0))).unwrap();
    connect(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
    fd.into()
}

#[test]
fn an_entry_without_sockets_has_no_network() {
    let yaml = yaml(&[("dial", "dial", "")]).replace("[wasi:sockets, wasi:io]", "[wasi:io]");
    let app = app(&[("_index.yaml", &yaml)]);
    let runtime = Runtime::builder().load(app.path()).build().unwrap();
    let start = Start::new("net:dial".parse().unwrap(), "net:one".parse().unwrap());
    let process = runtime.manager().spawn(start.input(vec![text("127.0.0.1"), int(9)])).unwrap();
    let exit = process.wait_timeout(PATIENCE).expect("it ends");
    assert!(format!("{exit:?}").contains("wasi:sockets"), "{exit:?}");
}

/// What a round trip costs, beside a native thread that blocks. Figures only: nothing here decides by time.
#[test]
#[ignore = "measures; run it by name with --nocapture"]
fn figures_of_a_round_trip() {
    const ROUNDS: usize = 20_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port(listener.local_addr());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || echo(stream));
        }
    });
    let world = World::plain();
    for _ in 0..3 {
        let start = Instant::now();
        let echoed = world.spawn("one", "echo-client", vec![int(port), int(ROUNDS), int(64)]);
        assert_eq!(*ok(&returned(&echoed)), int(ROUNDS * 64));
        let guest = start.elapsed();
        let start = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).unwrap();
        let mut bytes = [7; 64];
        for _ in 0..ROUNDS {
            stream.write_all(&bytes).unwrap();
            stream.read_exact(&mut bytes).unwrap();
        }
        let native = start.elapsed();
        eprintln!("a round trip: guest {:?}, native {:?}", guest / ROUNDS as u32, native / ROUNDS as u32);
    }
}
