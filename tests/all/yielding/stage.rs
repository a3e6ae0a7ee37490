//! What the stuck guests and the others run on: one worker, a pool that the test can hold, a clock, a resolver and servers
//! of the test, and somebody who looks at the worker's thread around every step.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wippy::Runtime;
use wippy::process::{Exit, Payload, ProcessHandle, Start};
use wippy::reactor::{BlockingCall, BlockingConfig, BlockingPool, BlockingStats, Clock};
use wippy::scheduler::StepObserver;
use wippy::wasi::{Lookup, ResolveError, Resolver};

use super::rows::Row;
use crate::support::{app, guest_index};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// How many processes come and go while somebody is stuck.
const OTHERS: i64 = 1000;

/// Threads of the pool: one for the standard input, two that the test holds.
const POOL_THREADS: usize = 3;

/// How far a manual clock goes when somebody looks again and again: as long as the longest pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A row's files are this large.
pub(super) const FILE_BYTES: usize = 64 << 20;

#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A running application with an entry for each row, and the entry `short` of the others.
pub(super) struct Stage {
    runtime: Runtime,
    host: &'static str,
    clock: Clock,
    pool: BlockingPool,
    hold: RefCell<Option<Hold>>,
    pub(super) names: Arc<Names>,
    pub(super) switches: Arc<Switches>,
    #[cfg(feature = "http")]
    pub(super) web: super::rows::Web,
    root: tempfile::TempDir,
    _app: tempfile::TempDir,
}

impl Stage {
    /// All rows on the host of this name: `processes`, or `terminal`, where guests have this program's standard input.
    pub(super) fn new(host: &'static str, clock: Clock, rows: &[Row]) -> Self {
        // A file system with a cache that can be dropped.
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mut entries = "- { name: short, kind: process.wasm, guest: math, method: add }\n".to_owned();
        #[cfg(feature = "http")]
        let web = {
            let web = super::rows::Web::new();
            entries.push_str(&web.entries());
            web
        };
        for row in rows {
            std::fs::create_dir(root.path().join(row.name)).expect("a folder");
            entries.push_str(&row.entries(root.path()));
        }
        let mut config = BlockingConfig::default();
        config.threads_max = POOL_THREADS;
        let (pool, names) = (BlockingPool::new(config), Arc::new(Names::default()));
        let switches = Arc::new(Switches::default());
        let app = app(&[("_index.yaml", &guest_index(&entries))]);
        let runtime = Runtime::builder()
            .load(app.path())
            .workers(1)
            .clock(clock.clone())
            .blocking(pool.clone())
            .resolver(names.clone())
            .observe_steps(switches.clone())
            .build()
            .unwrap_or_else(|error| panic!("a sound application: {error:?}"));
        Self {
            runtime,
            host,
            clock,
            pool,
            hold: RefCell::default(),
            names,
            switches,
            #[cfg(feature = "http")]
            web,
            root,
            _app: app,
        }
    }

    pub(super) fn spawn(&self, entry: &str, input: Vec<Payload>) -> ProcessHandle {
        let (entry, host) = (format!("app:{entry}"), format!("app:{}", self.host));
        let start = Start::new(entry.parse().expect("an ID"), host.parse().expect("an ID"));
        self.runtime.manager().spawn(start.input(input)).expect("a host with room")
    }

    /// The row's folder on the host.
    pub(super) fn folder(&self, row: &Row) -> PathBuf {
        self.root.path().join(row.name)
    }

    /// Whether time passes only when the test says so.
    pub(super) fn is_manual(&self) -> bool {
        self.clock.is_manual()
    }

    /// Lets time pass.
    pub(super) fn advance(&self, duration: Duration) {
        self.clock.advance(duration).expect("a manual clock");
    }

    pub(super) fn pool(&self) -> BlockingStats {
        self.pool.stats()
    }

    /// Short processes run from their start to their end, with the right answers.
    pub(super) fn others_complete(&self) {
        let others: Vec<_> =
            (0..OTHERS).map(|at| self.spawn("short", vec![Payload::Int(at), Payload::Int(1)])).collect();
        for (other, at) in others.iter().zip(0..) {
            assert_eq!(other.wait_timeout(PATIENCE), Some(Exit::Returned(Payload::Int(at + 1))), "{other:?}");
        }
    }

    /// The exit of a process that has nothing more to wait for, except to look again if it `looks`.
    pub(super) fn exit(&self, process: &ProcessHandle, looks: bool) -> Exit {
        until("the end of a guest that was let go", || {
            if looks && self.is_manual() {
                self.advance(LOOK);
            }
            process.exit().is_some()
        });
        process.exit().expect("it has one")
    }

    /// Nobody waits for the pool, but for the standard input if `reads` it.
    pub(super) fn is_quiet(&self, reads: bool) -> bool {
        let pool = self.pool();
        (pool.queued, pool.waiting, pool.running) == (0, 0, usize::from(reads))
    }

    /// Keeps every thread of the pool that is free.
    pub(super) fn hold_pool(&self) {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let mut calls = Vec::new();
        for _ in self.pool().running..POOL_THREADS {
            let gate = gate.clone();
            let mut call = Box::pin(self.pool.run(move || {
                let mut open = gate.0.lock();
                gate.1.wait_while(&mut open, |open| !*open);
            }));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            calls.push(call);
        }
        until("the pool is held", || self.pool().running == POOL_THREADS);
        *self.hold.borrow_mut() = Some(Hold { gate, _calls: calls });
    }

    pub(super) fn let_go_of_pool(&self) {
        self.hold.borrow_mut().take();
    }
}

/// The jobs of the test on the pool. They are not dropped before they are let go: threads of dropped ones are replaced.
struct Hold {
    gate: Arc<(Mutex<bool>, Condvar)>,
    _calls: Vec<Pin<Box<BlockingCall<()>>>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.gate.0.lock() = true;
        self.gate.1.notify_all();
    }
}

/// Lookups that are answered when the test says so.
#[derive(Default)]
pub(super) struct Names(Arc<Mutex<Lookups>>);

#[derive(Default)]
struct Lookups {
    asked: usize,
    /// By the number of the lookup.
    waiting: HashMap<usize, Waker>,
    /// Lookups up to this number are answered.
    answered: usize,
}

impl Names {
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().waiting.len()
    }

    /// Answers everybody who waits: there is no such name.
    pub(super) fn answer(&self) {
        let mut lookups = self.0.lock();
        lookups.answered = lookups.asked;
        let waiting = std::mem::take(&mut lookups.waiting);
        drop(lookups);
        waiting.into_values().for_each(Waker::wake);
    }
}

impl Resolver for Names {
    fn resolve(&self, _: &str) -> Lookup {
        let lookups = self.0.clone();
        lookups.lock().asked += 1;
        let number = lookups.lock().asked;
        Box::pin(std::future::poll_fn(move |cx| {
            let mut lookups = lookups.lock();
            if lookups.answered >= number {
                return Poll::Ready(Err(ResolveError::NotFound));
            }
            lookups.waiting.insert(number, cx.waker().clone());
            Poll::Pending
        }))
    }
}

/// Counts how often worker threads went to sleep inside of steps, by what the system says of them before and after.
#[derive(Default)]
pub(super) struct Switches {
    steps: AtomicU64,
    inside: AtomicU64,
}

thread_local! {
    /// The status of this thread, once it has been looked at.
    static STATUS: RefCell<Option<File>> = const { RefCell::new(None) };
    static BEFORE: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread gave up its processor to wait for something.
fn voluntary_switches() -> u64 {
    STATUS.with_borrow_mut(|status| {
        let status = status.get_or_insert_with(|| File::open("/proc/thread-self/status").expect("Linux"));
        let mut text = [0; 4096];
        let length = status.read_at(&mut text, 0).expect("a status");
        let text = std::str::from_utf8(&text[..length]).expect("ASCII");
        let (_, count) = text.split_once("\nvoluntary_ctxt_switches:").expect("a count of switches");
        count.lines().next().expect("a line").trim().parse().expect("a number")
    })
}

impl Switches {
    /// How many steps there were, and how often their threads waited in them.
    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.steps.load(Ordering::Relaxed), self.inside.load(Ordering::Relaxed))
    }
}

impl StepObserver for Switches {
    fn before_step(&self) {
        BEFORE.set(voluntary_switches());
    }

    fn after_step(&self) {
        let inside = voluntary_switches() - BEFORE.get();
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.inside.fetch_add(inside, Ordering::Relaxed);
    }
}

/// Makes a FIFO.
pub(super) fn make_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
}

/// The writing side of a FIFO, as soon as somebody reads it.
pub(super) fn writer_of(path: &Path) -> File {
    let mut writer = None;
    until("somebody opens the FIFO for reading", || {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        writer = OpenOptions::new().write(true).custom_flags(flags).open(path).ok();
        writer.is_some()
    });
    writer.expect("opened above")
}
