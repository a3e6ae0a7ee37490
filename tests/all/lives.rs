//! Random lives: processes that compute, sleep, read, write, trap, exceed limits, meet a host function that panics, and are
//! cancelled or terminated at any time. Each ends once, in one of the ways that its life allows, and leaves nothing behind.
//!
//! What a life does follows from the seed and its number; when its steps happen does not. `WIPPY_TEST_SEED` replays a seed,
//! `WIPPY_TEST_SIZE=long` makes a million lives of ten thousand.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use wippy::Runtime;
use wippy::process::{Exit, Failure, FailureKind, Host, Payload, Pid, ProcessHandle, Start};
use wippy::reactor::{BlockingConfig, BlockingPool};
use wippy::wasi::{Lookup, ResolveError, Resolver};

use crate::support::text_app;

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Processes that live at once.
const WINDOW: usize = 200;

/// Lives of the usual run, and of the long one.
const LIVES: u64 = 10_000;
const LIVES_LONG: u64 = 1_000_000;

/// Most memory in use after all lives of a long run, in percent of what it was after a tenth of them.
const GROWTH_MAX_PERCENT: u64 = 105;

/// An end is asked for before this many further lives have begun: some have not begun by then, some run, some are over.
const ASK_WITHIN: u64 = 2 * WINDOW as u64;

/// How long nobody ends before ends are asked for that were not due yet: those who wait for them may be the only ones.
const LULL: Duration = Duration::from_millis(5);

/// The reason of each cancel.
const REASON: &str = "no more";

/// What the resolver panics with, and the name that makes it.
const PANIC: &str = "a resolver that panics";
const PANIC_NAME: &str = "panic.test";

/// What it writes, and reads.
const FILE: &[u8] = b"a file of some bytes";

const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\64\00\00\00\05\00\00\00")
    (data (i32.const 100) "line\n")
    (data (i32.const 200) "file")
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "count") (param $times i32) (result i32) (local $at i32)
        (loop $again
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $at) (local.get $times))))
        (local.get $at))
    (func (export "spin") (loop $again (br $again)))
    (func (export "sleep") (param $us i64) (result i32)
        (i32.store (i32.const 1016) (i32.const 1))
        (i64.store (i32.const 1024) (i64.mul (local.get $us) (i64.const 1000)))
        (call $poll (i32.const 1000) (i32.const 1100) (i32.const 1) (i32.const 1200)))
    (func (export "read") (result i32)
        (if (call $open (i32.const 3) (i32.const 0) (i32.const 200) (i32.const 4) (i32.const 0) (i64.const 2)
                (i64.const 0) (i32.const 0) (i32.const 300))
            (then unreachable))
        (i32.store (i32.const 304) (i32.const 400))
        (i32.store (i32.const 308) (i32.const 100))
        (if (call $read (i32.load (i32.const 300)) (i32.const 304) (i32.const 1) (i32.const 312)) (then unreachable))
        (i32.load (i32.const 312)))
    (func (export "write") (param $times i32) (result i32)
        (loop $again
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
            (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
        (i32.const 0))
    (func $deep (export "deep") (result i32) (i32.add (i32.const 1) (call $deep)))
    (func (export "greedy") (loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0)))) unreachable)
    (func (export "trap") unreachable)
    (func (export "exit") (param $code i32) (call $exit (local.get $code))))"#;

/// A source of numbers that look random: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn small(&mut self, end: i64) -> i64 {
        i64::try_from(self.below(end.unsigned_abs())).expect("it is below an `i64`")
    }
}

/// How a life ends when nobody asks for its end.
#[derive(Clone, Copy, Debug)]
enum Natural {
    Returned(i64),
    /// Its bytes came back, or its connection was reset: the system does that once in ten thousand times when ports are used
    /// again as soon as here.
    Echoed(i64),
    NotFound,
    Exited(u32),
    Trapped,
    Limit(&'static str),
    Panicked,
    /// Not at all.
    Never,
}

/// What a life is.
#[derive(Debug)]
struct Life {
    entry: &'static str,
    input: Vec<Payload>,
    natural: Natural,
    /// Which end is asked for, after this many further lives have begun.
    cancel: Option<u64>,
    terminate: Option<u64>,
}

impl Life {
    /// The life with this number.
    fn of(seed: u64, number: u64, echo: u16) -> Self {
        let mut random = Random(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let (entry, input, natural) = plan(&mut random, echo);
        let mut life = Self { entry, input, natural, cancel: None, terminate: None };
        match random.below(10) {
            0 => life.cancel = Some(random.below(ASK_WITHIN)),
            1 => life.terminate = Some(random.below(ASK_WITHIN)),
            2 => (life.cancel, life.terminate) = (Some(random.below(ASK_WITHIN)), Some(random.below(ASK_WITHIN))),
            _ => {}
        }
        match life.natural {
            // It does not hear of a cancel.
            Natural::Never if life.entry == "spin" => {
                life.terminate = life.terminate.or(Some(random.below(ASK_WITHIN)));
            }
            Natural::Never if life.terminate.is_none() => {
                life.cancel = life.cancel.or(Some(random.below(ASK_WITHIN)));
            }
            _ => {}
        }
        life
    }

    /// Whether it may end like this.
    fn allows(&self, exit: &Exit) -> bool {
        let natural = match (self.natural, exit) {
            (Natural::Returned(value), Exit::Returned(Payload::Int(found))) => value == *found,
            (Natural::Echoed(bytes), Exit::Returned(Payload::Map(map))) => {
                map.get("ok") == Some(&Payload::Int(bytes)) || map.contains_key("err")
            }
            (Natural::NotFound, Exit::Returned(Payload::Map(map))) => map.contains_key("err"),
            (Natural::Exited(code), Exit::Exited(found)) => code == *found,
            (Natural::Trapped, Exit::Trapped(_)) => true,
            (Natural::Limit(limit), Exit::LimitExceeded(found)) => found.limit == limit,
            (Natural::Panicked, Exit::Failed(Failure { kind: FailureKind::Panic, message, .. })) => {
                message.contains(PANIC)
            }
            _ => false,
        };
        natural
            || self.terminate.is_some() && *exit == Exit::Terminated
            || self.cancel.is_some() && *exit == (Exit::Cancelled { reason: REASON.to_owned() })
    }
}

/// What a life does.
fn plan(random: &mut Random, echo: u16) -> (&'static str, Vec<Payload>, Natural) {
    let int = Payload::Int;
    match random.below(100) {
        0..30 => {
            let (a, b) = (random.small(1000), random.small(1000));
            ("add", vec![int(a), int(b)], Natural::Returned(a + b))
        }
        30..45 => {
            let times = 1 + random.small(20_000);
            ("count", vec![int(times)], Natural::Returned(times))
        }
        45..55 => ("sleep", vec![int(random.small(2_000))], Natural::Returned(0)),
        55..63 => ("read", vec![], Natural::Returned(FILE.len() as i64)),
        63..70 => ("write", vec![int(1 + random.small(20))], Natural::Returned(0)),
        70..75 => ("trap", vec![], Natural::Trapped),
        75..80 => {
            let code = random.small(256);
            ("exit", vec![int(code)], Natural::Exited(code as u32))
        }
        80..82 => ("spin", vec![], Natural::Never),
        82..86 => ("sleep", vec![int(3_600_000_000)], Natural::Never),
        86..88 => ("deep", vec![], Natural::Limit("max_stack")),
        88..90 => ("greedy", vec![], Natural::Limit("max_memory")),
        90..92 => ("spin-fuel", vec![], Natural::Limit("max_fuel")),
        92 => ("spin-cpu", vec![], Natural::Limit("max_cpu")),
        93 => ("spin-wall", vec![], Natural::Limit("max_execution")),
        94 => ("sleep-wall", vec![int(3_600_000_000)], Natural::Limit("max_execution")),
        95 => ("write-limit", vec![int(100)], Natural::Limit("max_output")),
        96 => ("echo-client", vec![int(echo.into()), int(2), int(16)], Natural::Echoed(32)),
        97 => ("resolve", vec![Payload::String("nobody.test".into())], Natural::NotFound),
        _ => ("resolve", vec![Payload::String(PANIC_NAME.into())], Natural::Panicked),
    }
}

/// Knows nobody, and panics at one name: an embedder's code inside of a host function.
struct Panics;

impl Resolver for Panics {
    fn resolve(&self, name: &str) -> Lookup {
        assert!(name != PANIC_NAME, "{PANIC}");
        Box::pin(async { Err(ResolveError::NotFound) })
    }
}

fn entries(folder: &std::path::Path) -> String {
    let mut entries = format!("- {{ name: data, kind: fs.directory, directory: '{}' }}\n", folder.display());
    let mut entry = |name: &str, method: &str, limits: &str| {
        entries.push_str(&format!(
            "- {{ name: {name}, kind: process.wasm, text: lives, method: {method}, limits: {{ {limits} }}, \
             wasi: {{ mounts: [{{ fs: data, guest: /data }}] }} }}\n"
        ));
    };
    for method in ["add", "count", "spin", "sleep", "read", "write", "trap", "exit", "deep"] {
        entry(method, method, "");
    }
    entry("greedy", "greedy", "max_memory: 1MiB");
    entry("spin-fuel", "spin", "max_fuel: 10_000");
    entry("spin-cpu", "spin", "max_cpu: 1ms");
    entry("spin-wall", "spin", "max_execution: 2ms");
    entry("sleep-wall", "sleep", "max_execution: 2ms");
    entry("write-limit", "write", "max_output: 50");
    for method in ["resolve", "echo-client"] {
        entries.push_str(&format!(
            "- {{ name: {method}, kind: process.wasm, guest: net, method: {method}, imports: [wasi:sockets, wasi:io] }}\n"
        ));
    }
    entries
}

/// Connections that the server serves side by side: more than there usually are, so that hardly anybody waits for it.
const ECHOES: usize = 8;

/// Sends back what comes.
fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let listeners: Vec<_> = (0..ECHOES).map(|_| listener.try_clone().expect("a descriptor")).collect();
    let serve = |listener: TcpListener| {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
        }
    };
    for listener in listeners {
        std::thread::spawn(move || serve(listener));
    }
    port
}

/// What this program holds.
#[derive(Debug)]
struct Held {
    resident_kib: u64,
    descriptors: usize,
}

impl Held {
    fn now() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).expect("Linux");
        let status = text("/proc/self/status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux");
        Self {
            resident_kib: line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number"),
            descriptors: std::fs::read_dir("/proc/self/fd").expect("Linux").count(),
        }
    }
}

/// The crowd of those who live.
struct Crowd {
    runtime: Runtime,
    pool: BlockingPool,
    living: HashMap<u64, (Life, ProcessHandle)>,
    /// Whose end is to be asked for when this many lives have begun, and how.
    asked: BTreeMap<u64, Vec<(u64, Ask)>>,
    tell: Sender<(u64, Exit)>,
    told: Receiver<(u64, Exit)>,
    ends: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Cancel,
    Terminate,
}

impl Crowd {
    fn begin(&mut self, number: u64, life: Life) {
        let id = |name: &str| format!("app:{name}").parse().expect("an ID");
        let tell = self.tell.clone();
        let start = Start::new(id(life.entry), id("processes"))
            .input(life.input.clone())
            .watch(move |_: &Pid, exit: &Exit| drop(tell.send((number, exit.clone()))));
        let process = self.runtime.manager().spawn(start).expect("a host with room");
        for (after, ask) in [(life.cancel, Ask::Cancel), (life.terminate, Ask::Terminate)] {
            if let Some(after) = after {
                self.asked.entry(number + after).or_default().push((number, ask));
            }
        }
        self.living.insert(number, (life, process));
    }

    /// Asks for the ends that are due by now, or for the next ones.
    fn ask(&mut self, now: u64) {
        while let Some(due) = self.asked.first_entry().filter(|due| *due.key() <= now) {
            for (number, ask) in due.remove() {
                match (self.living.get(&number), ask) {
                    (Some((_, process)), Ask::Cancel) => process.cancel(REASON),
                    (Some((_, process)), Ask::Terminate) => process.terminate(),
                    (None, _) => {}
                }
            }
        }
    }

    /// Waits for one end.
    fn end(&mut self) {
        let told = loop {
            match (self.told.recv_timeout(LULL), self.asked.keys().next().copied()) {
                (Ok(told), _) => break Ok(told),
                (Err(_), Some(next)) => self.ask(next),
                (Err(_), None) => break self.told.recv_timeout(PATIENCE),
            }
        };
        let Ok((number, exit)) = told else { panic!("exits that were lost: {:?}", self.living) };
        let (life, process) =
            self.living.remove(&number).unwrap_or_else(|| panic!("life {number} ended twice: {exit:?}"));
        assert!(life.allows(&exit), "life {number}: {exit:?} of {life:?}");
        assert_eq!(process.exit().as_ref(), Some(&exit), "life {number}");
        assert_eq!(process.usage().memory(), 0, "life {number}: what it held is gone before its exit is known");
        let kind = match exit {
            Exit::Returned(_) => "returned",
            Exit::Exited(_) => "exited",
            Exit::Trapped(_) => "trapped",
            Exit::LimitExceeded(limit) => limit.limit,
            Exit::Cancelled { .. } => "cancelled",
            Exit::Terminated => "terminated",
            _ => "panicked",
        };
        *self.ends.entry(kind).or_default() += 1;
    }

    fn host(&self) -> &Host {
        let name = "app:processes";
        self.runtime.manager().hosts().find(|host| host.id().to_string() == name).expect("a host")
    }

    /// Everybody has ended and nothing is left of them.
    fn rest(&mut self) -> Held {
        self.ask(u64::MAX);
        while !self.living.is_empty() {
            self.end();
        }
        let start = Instant::now();
        loop {
            let tasks = self.host().stats().map_or(0, |stats| stats.live_tasks);
            let waits = self.host().reactor_stats().map_or(0, |stats| stats.timers + stats.sources);
            let pool = self.pool.stats();
            let left = [self.host().live(), tasks, waits, pool.queued, pool.waiting, pool.running, pool.abandoned_jobs];
            if left == [0; 7] {
                return Held::now();
            }
            assert!(start.elapsed() < PATIENCE, "left behind: {left:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn random_lives_end_once_and_leave_nothing_behind() {
    let seed = std::env::var("WIPPY_TEST_SEED").unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        Random(u64::try_from(now.as_nanos() & u128::from(u64::MAX)).expect("64 bits")).next().to_string()
    });
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "lives::the_other_program", "--nocapture"])
        .env("WIPPY_TEST_LIVES_SEED", &seed)
        // One heap: how well the memory of several is used again is a matter of which thread allocates when.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::null())
        .output()
        .expect("this program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    eprintln!("{stderr}");
    assert!(output.status.success(), "WIPPY_TEST_SEED={seed} replays this:\n{stdout}{stderr}");
}

/// No test: the lives, in a program whose memory is their affair alone.
#[test]
#[ignore = "run as a program by another test"]
fn the_other_program() {
    let Some(seed) = std::env::var("WIPPY_TEST_LIVES_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let is_long = std::env::var("WIPPY_TEST_SIZE").is_ok_and(|size| size == "long");
    let lives = if is_long { LIVES_LONG } else { LIVES };
    eprintln!("seed {seed}, {lives} lives");
    // The panics that are asked for are no news.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(PANIC) {
            hook(panic);
        }
    }));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), FILE).expect("a file");
    let app = text_app(&[("lives", GUEST)], &entries(folder.path()));
    let pool = BlockingPool::new(BlockingConfig::default());
    let built =
        Runtime::builder().load(app.path()).workers(2).resolver(Arc::new(Panics)).blocking(pool.clone()).build();
    let runtime = built.unwrap_or_else(|error| panic!("a sound application: {error:?}"));
    let echo = echo_server();
    let (tell, told) = channel();
    let (living, asked, ends) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut crowd = Crowd { runtime, pool, living, asked, tell, told, ends };
    let start = Instant::now();
    let mut after_a_tenth = None;
    for number in 0..lives {
        if number > 0 && number % (lives / 10) == 0 {
            let held = crowd.rest();
            eprintln!("after {number} lives, {:?}: {held:?}", start.elapsed());
            after_a_tenth.get_or_insert(held);
        }
        crowd.begin(number, Life::of(seed, number, echo));
        crowd.ask(number);
        while crowd.living.len() >= WINDOW {
            crowd.end();
        }
    }
    let (before, after) = (after_a_tenth.expect("more than ten lives"), crowd.rest());
    eprintln!("after {lives} lives, {:?}: {after:?}", start.elapsed());
    eprintln!("{:?}", crowd.ends);
    assert_eq!(crowd.ends.values().sum::<u64>(), lives);
    assert!(crowd.told.try_recv().is_err(), "somebody ended twice");
    // The last connection is the server's for a moment longer.
    let start = Instant::now();
    while Held::now().descriptors > before.descriptors {
        assert!(start.elapsed() < PATIENCE, "descriptors: {before:?}, {after:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let grown = after.resident_kib * 100 / before.resident_kib;
    assert!(!is_long || grown <= GROWTH_MAX_PERCENT, "memory: {grown} % of what it was");
    let kinds = ["returned", "exited", "trapped", "cancelled", "terminated", "panicked"];
    let limits = ["max_stack", "max_memory", "max_fuel", "max_cpu", "max_execution", "max_output"];
    let missing: Vec<_> = kinds.iter().chain(&limits).filter(|kind| !crowd.ends.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "nobody ended with {missing:?}");
}
