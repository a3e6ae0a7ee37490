//! The table: each way in which a guest can be stuck, how it gets there, and what lets it go.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};
use wippy::process::{Exit, Payload, ProcessHandle, State};

use crate::functions::late_function;

use super::stage::{FILE_BYTES, Stage, make_fifo, until, writer_of};

/// What sleepers sleep, and how many clocks others wait for; all of them but one come much later.
const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 365 * 24 * HOUR_MS;
const CLOCKS: usize = 100;

/// More than a FIFO and the pipe behind it hold.
const FIFO_BYTES: usize = 1_000_000;

/// A way to be stuck.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// The name of its entry and of its folder.
    pub(crate) name: &'static str,
    /// The fields of its entry.
    pub(crate) entry: &'static str,
    pub(crate) kind: Kind,
    pub(crate) start: fn(&Stage, &Row) -> Stuck,
}

/// What a row needs, and does, beside being stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// It waits for a thread of the pool, which the test holds.
    Pool,
    /// It reads the standard input of the program, on a thread of the pool.
    Stdin,
    /// Nothing tells when what it waits for comes: it looks again after a while.
    Looks,
}

/// A guest that is stuck, or about to be.
pub(crate) struct Stuck {
    pub(crate) process: ProcessHandle,
    /// The gate that keeps the guests of [`Kind::Pool`] until the pool is held.
    pub(crate) gate: Option<File>,
    /// Whether what it waits for is what it should wait for, as far as it can be seen from outside.
    pub(crate) is_there: Box<dyn Fn(&Stage) -> bool>,
    pub(crate) release: Box<dyn FnOnce(&Stage) -> End>,
}

/// How it ends after it was let go.
pub(crate) enum End {
    /// By itself, with an exit that this looks at.
    Answer(Box<dyn FnOnce(Exit)>),
    /// What it waits for can't be brought about, or does not end it: it has to be ended.
    ByForce,
}

impl Stuck {
    pub(crate) fn new(process: ProcessHandle, release: impl FnOnce(&Stage) -> End + 'static) -> Self {
        Self { process, gate: None, is_there: Box::new(|_| true), release: Box::new(release) }
    }

    pub(crate) fn there_when(mut self, is_there: impl Fn(&Stage) -> bool + 'static) -> Self {
        self.is_there = Box::new(is_there);
        self
    }
}

impl End {
    fn returned(value: impl Into<Payload>) -> Self {
        let expected = Exit::Returned(value.into());
        Self::Answer(Box::new(move |exit| assert_eq!(exit, expected)))
    }
}

impl Row {
    /// Its entry and the folder that it has as `/data`.
    pub(crate) fn entries(&self, root: &Path) -> String {
        let (name, folder) = (self.name, root.join(self.name));
        let mut wasi = format!("mounts: [{{ fs: folder-{name}, guest: /data }}]");
        if name == "http" {
            let _ = write!(wasi, ", env: [{{ id: app:url, name: API_URL }}]");
        }
        let mut entries = format!(
            "- {{ name: folder-{name}, kind: fs.directory, directory: '{}' }}\n\
             - {{ name: {name}, kind: process.wasm, {}, wasi: {{ {wasi} }} }}\n",
            folder.display(),
            self.entry,
        );
        if name == "function" {
            // One that has all its slots from the beginning: nobody looks after their number.
            entries.push_str(&late_function("late", HOUR_MS, ", pool: { type: static, size: 64 }"));
        }
        entries
    }

    /// The name of what it waits for.
    pub(crate) fn waits(&self) -> &'static str {
        let name = self.name.strip_suffix("-1").unwrap_or(self.name);
        match name {
            "sleep" | "poll" => "timer",
            "fifo-read" | "fifo-open" | "file-read" | "file-write" => "file",
            // The names of the others are the reasons.
            _ => name,
        }
    }

    pub(crate) fn start(&self, stage: &Stage) -> Stuck {
        (self.start)(stage, self)
    }

    /// A guest of this row.
    pub(crate) fn spawn(&self, stage: &Stage, input: Vec<Payload>) -> ProcessHandle {
        stage.spawn(self.name, input)
    }
}

pub(crate) const FILES: &str = "guest: files, method: run, imports: [wasi:io, wasi:filesystem]";
pub(crate) const NET: &str = "guest: net, method: stuck, imports: [wasi:sockets, wasi:io]";

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "sleep",
        entry: "guest: sleeper, method: sleep-ms, imports: [wasi:clocks, wasi:poll]",
        kind: Kind::Plain,
        start: sleep,
    },
    Row { name: "sleep-1", entry: "guest: waiter, method: poll", kind: Kind::Plain, start: sleep_1 },
    Row {
        name: "poll",
        entry: "guest: sleeper, method: sleep-poll, imports: [wasi:clocks, wasi:poll]",
        kind: Kind::Plain,
        start: poll,
    },
    Row { name: "poll-1", entry: "guest: waiter, method: poll", kind: Kind::Plain, start: poll_1 },
    Row { name: "fifo-read", entry: FILES, kind: Kind::Plain, start: fifo_read },
    Row { name: "fifo-read-1", entry: "guest: waiter, method: fifo-read", kind: Kind::Plain, start: fifo_read_1 },
    Row { name: "fifo-open", entry: FILES, kind: Kind::Looks, start: fifo_open },
    Row { name: "fifo-open-1", entry: "guest: waiter, method: fifo-write", kind: Kind::Looks, start: fifo_open_1 },
    Row { name: "file-read", entry: FILES, kind: Kind::Pool, start: file_read },
    Row { name: "file-read-1", entry: "guest: waiter, method: file-read", kind: Kind::Pool, start: file_read_1 },
    Row { name: "file-write", entry: FILES, kind: Kind::Pool, start: file_write },
    Row { name: "file-write-1", entry: "guest: waiter, method: file-write", kind: Kind::Pool, start: file_write_1 },
    Row { name: "tcp-connect", entry: NET, kind: Kind::Plain, start: tcp_connect },
    Row { name: "tcp-accept", entry: NET, kind: Kind::Plain, start: tcp_accept },
    Row { name: "tcp-read", entry: NET, kind: Kind::Plain, start: tcp_read },
    Row { name: "tcp-write", entry: NET, kind: Kind::Plain, start: tcp_write },
    Row { name: "udp-receive", entry: NET, kind: Kind::Plain, start: udp_receive },
    Row { name: "lookup", entry: NET, kind: Kind::Plain, start: lookup },
    Row { name: "function", entry: "guest: funcs, method: text, imports: [funcs]", kind: Kind::Plain, start: function },
    #[cfg(all(feature = "cli", feature = "http"))]
    Row {
        name: "http",
        entry: "guest: http-worker, method: run, imports: [wasi:io, wasi:cli, wasi:http]",
        kind: Kind::Plain,
        start: http,
    },
];

/// Those that need a standard input: they run in a program of their own.
pub(crate) const STDIN_ROWS: &[Row] = &[
    Row {
        name: "stdin",
        entry: "guest: command, method: run, imports: [wasi:cli, wasi:io, wasi:clocks, wasi:filesystem, wasi:random]",
        kind: Kind::Stdin,
        start: stdin,
    },
    Row { name: "stdin-1", entry: "guest: waiter, method: stdin", kind: Kind::Stdin, start: stdin_1 },
];

pub(crate) fn int(value: usize) -> Payload {
    Payload::Int(i64::try_from(value).expect("a small number"))
}

pub(crate) fn text(value: &str) -> Payload {
    Payload::String(value.to_owned())
}

fn texts<const N: usize>(lines: [&str; N]) -> Payload {
    Payload::List(lines.into_iter().map(text).collect())
}

/// A result without error.
fn fine() -> Payload {
    Payload::Map([("ok".to_owned(), Payload::Nil)].into_iter().collect())
}

/// What the guest `waiter` makes of bytes that it reads.
fn checksum<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> i64 {
    bytes.into_iter().fold(0, |sum: i64, byte| sum.wrapping_mul(31).wrapping_add(i64::from(*byte)))
}

/// Lets an hour pass when that is the test's to say.
fn after_an_hour(answer: impl Fn(Exit) + 'static) -> impl FnOnce(&Stage) -> End {
    move |stage| {
        if !stage.is_manual() {
            return End::ByForce;
        }
        stage.advance(Duration::from_millis(HOUR_MS.unsigned_abs()));
        End::Answer(Box::new(answer))
    }
}

fn sleep(stage: &Stage, row: &Row) -> Stuck {
    let slept = |exit| match exit {
        Exit::Returned(Payload::Int(slept)) => assert!(slept >= HOUR_MS * 1_000_000, "{slept} ns"),
        exit => panic!("{exit:?}"),
    };
    Stuck::new(row.spawn(stage, vec![Payload::Int(HOUR_MS)]), after_an_hour(slept))
}

fn is_first(clock: usize) -> impl Fn(Exit) {
    move |exit| assert_eq!(exit, Exit::Returned(int(clock)))
}

fn sleep_1(stage: &Stage, row: &Row) -> Stuck {
    Stuck::new(row.spawn(stage, vec![Payload::Int(1), Payload::Int(HOUR_MS)]), after_an_hour(is_first(0)))
}

/// The last of its clocks is the first to come.
fn poll(stage: &Stage, row: &Row) -> Stuck {
    let mut clocks = vec![Payload::Int(YEAR_MS); CLOCKS - 1];
    clocks.push(Payload::Int(HOUR_MS));
    Stuck::new(row.spawn(stage, vec![Payload::List(clocks)]), after_an_hour(is_first(CLOCKS - 1)))
}

fn poll_1(stage: &Stage, row: &Row) -> Stuck {
    let input = vec![int(CLOCKS), Payload::Int(HOUR_MS)];
    Stuck::new(row.spawn(stage, input), after_an_hour(is_first(CLOCKS - 1)))
}

/// The call of a function that answers after an hour.
fn function(stage: &Stage, row: &Row) -> Stuck {
    let answered = |exit| {
        let seven = Payload::Map([("ok".to_owned(), text("7"))].into_iter().collect());
        assert_eq!(exit, Exit::Returned(seven));
    };
    let stuck = Stuck::new(row.spawn(stage, vec![text("app:late"), text("now")]), after_an_hour(answered));
    stuck.there_when(|stage| {
        let processes = stage.runtime().manager().processes();
        let mut callees = processes.iter().filter(|process| process.entry.name() == "late").peekable();
        callees.peek().is_some() && callees.all(|process| process.state == State::Blocked)
    })
}

/// A new FIFO in the row's folder.
fn fifo(stage: &Stage, row: &Row, name: &str) -> std::path::PathBuf {
    let path = stage.folder(row).join(name);
    let _ = std::fs::remove_file(&path);
    make_fifo(&path);
    path
}

fn late(fifo: &Path) {
    writer_of(fifo).write_all(b"late").expect("a reader");
}

fn fifo_read(stage: &Stage, row: &Row) -> Stuck {
    let fifo = fifo(stage, row, "fifo");
    let process = row.spawn(stage, vec![texts(["open f /data fifo read", "read-stream f 0"])]);
    Stuck::new(process, move |_| {
        late(&fifo);
        End::returned(texts(["ok", "ok 4 late"]))
    })
}

fn fifo_read_1(stage: &Stage, row: &Row) -> Stuck {
    let fifo = fifo(stage, row, "fifo");
    Stuck::new(row.spawn(stage, vec![]), move |_| {
        late(&fifo);
        End::returned(checksum(b"late"))
    })
}

/// Reads a FIFO from another thread until that many bytes have come; whether its writer is there yet or not.
fn read_meanwhile(fifo: &Path) -> impl FnOnce() + use<> {
    let mut reader = {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        std::fs::OpenOptions::new().read(true).custom_flags(flags).open(fifo).expect("a FIFO")
    };
    let reading = std::thread::spawn(move || {
        let (mut came, mut buffer) = (0, vec![0; 65_536]);
        until("the bytes of a FIFO", || {
            // Neither an end nor an error means anything: the writer opens it when it looks the next time.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                came += count;
            }
            came >= FIFO_BYTES
        });
        assert_eq!(came, FIFO_BYTES);
    });
    move || reading.join().expect("all came")
}

fn fifo_open(stage: &Stage, row: &Row) -> Stuck {
    let fifo = fifo(stage, row, "fifo");
    let script = texts(["open f /data fifo write", &format!("fill f {FIFO_BYTES}")]);
    Stuck::new(row.spawn(stage, vec![script]), move |_| {
        let came = read_meanwhile(&fifo);
        End::Answer(Box::new(move |exit| {
            assert_eq!(exit, Exit::Returned(texts(["ok", "ok"])));
            came();
        }))
    })
}

fn fifo_open_1(stage: &Stage, row: &Row) -> Stuck {
    let fifo = fifo(stage, row, "fifo");
    Stuck::new(row.spawn(stage, vec![int(FIFO_BYTES)]), move |_| {
        let came = read_meanwhile(&fifo);
        End::Answer(Box::new(move |exit| {
            assert_eq!(exit, Exit::Returned(int(FIFO_BYTES)));
            came();
        }))
    })
}

/// A guest that has opened its file and waits at the gate. From there on it needs nothing but the file.
fn at_the_gate(stage: &Stage, row: &Row, input: Vec<Payload>, release: impl FnOnce(&Stage) -> End + 'static) -> Stuck {
    let gate = fifo(stage, row, "gate");
    let process = row.spawn(stage, input);
    let gate = writer_of(&gate);
    let mut stuck = Stuck::new(process, move |stage| {
        stage.let_go_of_pool();
        release(stage)
    });
    stuck.gate = Some(gate);
    stuck
}

/// Bytes of which no two pages are alike.
fn content() -> &'static [u8] {
    static CONTENT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let byte = |at| b'a' + u8::try_from((at / 4096 + at) % 23).expect("a small number");
    CONTENT.get_or_init(|| (0..FILE_BYTES).map(byte).collect())
}

/// Writes the file that is read, and has the system forget what is in it.
fn input_file(stage: &Stage, row: &Row) -> &'static [u8] {
    let (path, content) = (stage.folder(row).join("input"), content());
    std::fs::write(&path, content).expect("a file");
    let file = File::open(&path).expect("a file");
    file.sync_all().expect("a disk");
    until("the file leaves the page cache, or its file system does not tell", || {
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).expect("a file");
        let mut first = [0; 1];
        let mut buffers = [std::io::IoSliceMut::new(&mut first)];
        let read = rustix::io::preadv2(&file, &mut buffers, 0, ReadWriteFlags::NOWAIT);
        matches!(read, Err(Errno::AGAIN | Errno::OPNOTSUPP))
    });
    content
}

pub(crate) fn file_read(stage: &Stage, row: &Row) -> Stuck {
    let content = input_file(stage, row);
    let script = texts(["open f /data input read", "open g /data gate read", "read-stream g 0", "read-stream f 0"]);
    at_the_gate(stage, row, vec![script], move |_| {
        let first = String::from_utf8_lossy(&content[..40]).into_owned();
        End::returned(texts(["ok", "ok", "ok 1 x", &format!("ok {FILE_BYTES} {first}")]))
    })
}

fn file_read_1(stage: &Stage, row: &Row) -> Stuck {
    let content = input_file(stage, row);
    at_the_gate(stage, row, vec![], move |_| End::returned(checksum(content)))
}

/// A check that the file that was written has these bytes only.
fn written(stage: &Stage, row: &Row, byte: u8, answer: Payload) -> impl FnOnce(&Stage) -> End + use<> {
    let path = stage.folder(row).join("output");
    let _ = std::fs::remove_file(&path);
    move |_| {
        End::Answer(Box::new(move |exit| {
            assert_eq!(exit, Exit::Returned(answer));
            let found = std::fs::read(path).expect("a file");
            assert!(found.len() == FILE_BYTES && found.iter().all(|found| *found == byte), "{} bytes", found.len());
        }))
    }
}

fn file_write(stage: &Stage, row: &Row) -> Stuck {
    let fill = format!("fill f {FILE_BYTES}");
    let script = texts(["open f /data output create,write", "open g /data gate read", "read-stream g 0", &fill]);
    let written = written(stage, row, b'x', texts(["ok", "ok", "ok 1 x", "ok"]));
    at_the_gate(stage, row, vec![script], written)
}

fn file_write_1(stage: &Stage, row: &Row) -> Stuck {
    let written = written(stage, row, b'w', int(FILE_BYTES));
    at_the_gate(stage, row, vec![int(FILE_BYTES)], written)
}

fn stuck(stage: &Stage, row: &Row, what: &str, address: Option<SocketAddr>) -> ProcessHandle {
    let port = address.map_or(0, |address| usize::from(address.port()));
    row.spawn(stage, vec![text(what), int(port)])
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Its peer keeps one connection and drops the packets of further ones, until it takes them.
fn tcp_connect(stage: &Stage, row: &Row) -> Stuck {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let full: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&full, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    listen(&full, 0).expect("a listener");
    let full = TcpListener::from(full);
    let address = full.local_addr().expect("an address");
    let kept = TcpStream::connect(address).expect("room for one");
    Stuck::new(stuck(stage, row, "connect", Some(address)), move |_| {
        drop((full.accept().expect("the first"), kept));
        // The guest's own packets come again after a while; it needs the listener until then.
        End::Answer(Box::new(move |exit| {
            assert_eq!(exit, Exit::Returned(fine()));
            drop(full);
        }))
    })
}

/// Nobody knows its port.
fn tcp_accept(stage: &Stage, row: &Row) -> Stuck {
    Stuck::new(stuck(stage, row, "accept", None), |_| End::ByForce)
}

fn tcp_read(stage: &Stage, row: &Row) -> Stuck {
    let (silent, address) = listener();
    let process = stuck(stage, row, "read", Some(address));
    let mut peer = silent.accept().expect("the guest").0;
    Stuck::new(process, move |_| {
        peer.write_all(b"!").expect("the guest");
        End::Answer(Box::new(move |exit| {
            assert_eq!(exit, Exit::Returned(fine()));
            drop(peer);
        }))
    })
}

/// Writes until all buffers are full, and gets an error when its peer is gone.
fn tcp_write(stage: &Stage, row: &Row) -> Stuck {
    let (silent, address) = listener();
    let process = stuck(stage, row, "write", Some(address));
    let peer = silent.accept().expect("the guest").0;
    Stuck::new(process, move |_| {
        drop(peer);
        End::Answer(Box::new(|exit| match exit {
            Exit::Returned(Payload::Map(result)) => assert!(result.contains_key("err"), "{result:?}"),
            exit => panic!("{exit:?}"),
        }))
    })
}

fn udp_receive(stage: &Stage, row: &Row) -> Stuck {
    Stuck::new(stuck(stage, row, "receive", None), |_| End::ByForce)
}

fn lookup(stage: &Stage, row: &Row) -> Stuck {
    let process = stuck(stage, row, "lookup", None);
    let stuck = Stuck::new(process, |stage| {
        stage.names.answer();
        End::returned(Payload::Map([("err".to_owned(), text("name-unresolvable"))].into_iter().collect()))
    });
    stuck.there_when(|stage| stage.names.waiting() == 1)
}

/// A server that reads requests, and answers when the test says so. Clones are the same one.
#[cfg(all(feature = "cli", feature = "http"))]
#[derive(Clone)]
pub(crate) struct Web {
    address: SocketAddr,
    asked: std::sync::Arc<parking_lot::Mutex<Vec<TcpStream>>>,
}

#[cfg(all(feature = "cli", feature = "http"))]
impl Web {
    pub(crate) fn new() -> Self {
        let asked = std::sync::Arc::<parking_lot::Mutex<Vec<TcpStream>>>::default();
        let keep = asked.clone();
        let address = crate::http::server(move |stream| {
            crate::http::read_head(&mut std::io::BufReader::new(&stream));
            keep.lock().push(stream);
        });
        Self { address, asked }
    }

    /// Closes the connections of everybody who has asked.
    pub(crate) fn hang_up(&self) {
        self.asked.lock().clear();
    }

    /// The entries of its address.
    pub(crate) fn entries(&self) -> String {
        format!(
            "- {{ name: store, kind: env.storage.memory }}\n\
             - {{ name: url, kind: env.variable, storage: app:store, default: 'http://{}/' }}\n",
            self.address
        )
    }
}

#[cfg(all(feature = "cli", feature = "http"))]
fn http(stage: &Stage, row: &Row) -> Stuck {
    let stuck = Stuck::new(row.spawn(stage, vec![]), |stage| {
        for mut stream in stage.web.asked.lock().drain(..) {
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlate";
            stream.write_all(response).expect("the guest");
        }
        End::returned(text("200 4 late"))
    });
    stuck.there_when(|stage| stage.web.asked.lock().len() == 1)
}

/// What the program that holds this program's standard input open is told, and the line that it writes then.
pub(crate) const SPEAK: &str = "speak";
pub(crate) const SPOKEN: &[u8] = b"late\n";

/// Has the other program write its line and close the standard input.
fn spoken_to(answer: impl FnOnce(Exit) + 'static) -> End {
    println!("\n{SPEAK}");
    End::Answer(Box::new(answer))
}

fn stdin(stage: &Stage, row: &Row) -> Stuck {
    let process = row.spawn(stage, vec![text("--cat")]);
    // What it printed is seen by the other program.
    Stuck::new(process, |_| spoken_to(|exit| assert_eq!(exit, Exit::Exited(0))))
}

fn stdin_1(stage: &Stage, row: &Row) -> Stuck {
    Stuck::new(row.spawn(stage, vec![]), |_| {
        spoken_to(|exit| {
            // Beside the other row the line is for either of them.
            let (line, none) = (checksum(SPOKEN), 0);
            let Exit::Returned(Payload::Int(sum)) = exit else { panic!("{exit:?}") };
            assert!(sum == line || sum == none, "{sum}");
            println!("\nsum {sum}");
        })
    })
}
