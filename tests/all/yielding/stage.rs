//! What the stuck guests and the others run on: one worker, a pool that the test can hold, a clock, a resolver and servers
//! of the test, and somebody who looks at the worker's thread around every step.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
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
use wippy::process::{Exit, Host, Payload, ProcessHandle, Start};
use wippy::reactor::{BLOCKING_QUEUE_MAX, BlockingCall, BlockingConfig, BlockingPool, BlockingStats, Clock};
use wippy::registry::LimitsSpec;
use wippy::scheduler::StepObserver;
use wippy::wasi::{Lookup, ResolveError, Resolver};

use super::rows::Row;
use crate::support::text_app;

/// How long a test waits for what must come before it says that it did not: no measure of anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The entry of the processes that come and go while somebody is stuck.
pub(crate) const OTHER: &str = "short";

/// How many they are.
const OTHERS: i64 = 1000;

/// Threads of the pool: one for the standard input, two that the test holds.
const POOL_THREADS: usize = 3;

/// How far a manual clock goes when somebody looks again and again: as long as the longest pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A row's files are this large.
pub(crate) const FILE_BYTES: usize = 64 << 20;

#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A running application with an entry for each row, and the entry [`OTHER`].
pub(crate) struct Stage {
    runtime: Runtime,
    host: &'static str,
    clock: Clock,
    pool: BlockingPool,
    hold: RefCell<Option<Hold>>,
    surplus: Cell<usize>,
    pub(crate) names: Arc<Names>,
    pub(crate) switches: Arc<Switches>,
    /// Limits of those that are spawned.
    limits: RefCell<LimitsSpec>,
    #[cfg(all(feature = "cli", feature = "http"))]
    pub(crate) web: super::rows::Web,
    root: tempfile::TempDir,
    _app: tempfile::TempDir,
}

impl Stage {
    /// All rows on the host of this name: `processes`, or `terminal`, where guests have this program's standard input.
    pub(crate) fn new(host: &'static str, clock: Clock, rows: &[Row]) -> Self {
        #[cfg(all(feature = "cli", feature = "http"))]
        let web = super::rows::Web::new();
        Self::with(
            host,
            clock,
            rows,
            &[],
            #[cfg(all(feature = "cli", feature = "http"))]
            web,
        )
    }

    /// [`Stage::new`] with guests in text form, and a server that several stages may share.
    pub(crate) fn with(
        host: &'static str,
        clock: Clock,
        rows: &[Row],
        texts: &[(&str, &str)],
        #[cfg(all(feature = "cli", feature = "http"))] web: super::rows::Web,
    ) -> Self {
        // A file system with a cache that can be dropped.
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mut entries = format!("- {{ name: {OTHER}, kind: process.wasm, guest: math, method: add }}\n");
        #[cfg(all(feature = "cli", feature = "http"))]
        entries.push_str(&web.entries());
        for row in rows {
            std::fs::create_dir(root.path().join(row.name)).expect("a folder");
            entries.push_str(&row.entries(root.path()));
        }
        let mut config = BlockingConfig::default();
        config.threads_max = POOL_THREADS;
        // Threads that leave meanwhile would be mistaken for what somebody has left behind.
        config.idle = Duration::from_secs(24 * 3600);
        let (pool, names) = (BlockingPool::new(config), Arc::new(Names::default()));
        let switches = Arc::new(Switches::default());
        let app = text_app(texts, &entries);
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
            surplus: Cell::default(),
            names,
            switches,
            limits: RefCell::default(),
            #[cfg(all(feature = "cli", feature = "http"))]
            web,
            root,
            _app: app,
        }
    }

    pub(crate) fn spawn(&self, entry_name: &str, input: Vec<Payload>) -> ProcessHandle {
        let (entry, host) = (format!("app:{entry_name}"), format!("app:{}", self.host));
        let start = Start::new(entry.parse().expect("an ID"), host.parse().expect("an ID"));
        let start = start.input(input).limits(self.limits.borrow().clone());
        self.switches.known(entry_name, || self.runtime.manager().spawn(start).expect("a host with room"))
    }

    /// Gives those that are spawned from now on these limits; those before are returned.
    pub(crate) fn set_limits(&self, limits: LimitsSpec) -> LimitsSpec {
        self.limits.replace(limits)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn host(&self) -> &Host {
        let name = format!("app:{}", self.host);
        self.runtime.manager().hosts().find(|host| host.id().to_string() == name).expect("a host")
    }

    /// The row's folder on the host.
    pub(crate) fn folder(&self, row: &Row) -> PathBuf {
        self.root.path().join(row.name)
    }

    /// Whether time passes only when the test says so.
    pub(crate) fn is_manual(&self) -> bool {
        self.clock.is_manual()
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration).expect("a manual clock");
    }

    pub(crate) fn pool(&self) -> BlockingStats {
        self.pool.stats()
    }

    /// Short processes run from their start to their end, with the right answers.
    pub(crate) fn others_complete(&self) {
        let others: Vec<_> = (0..OTHERS).map(|at| self.spawn(OTHER, vec![Payload::Int(at), Payload::Int(1)])).collect();
        for (other, at) in others.iter().zip(0..) {
            assert_eq!(other.wait_timeout(PATIENCE), Some(Exit::Returned(Payload::Int(at + 1))), "{other:?}");
        }
    }

    /// The exit of a process that has nothing more to wait for, except to look again if it `looks`.
    pub(crate) fn exit(&self, process: &ProcessHandle, looks: bool) -> Exit {
        until("the end of a guest that was let go", || {
            if looks && self.is_manual() {
                self.advance(LOOK);
            }
            process.exit().is_some()
        });
        process.exit().expect("it has one")
    }

    /// Nobody waits for the pool, but for the standard input if `reads` it.
    pub(crate) fn is_quiet(&self, reads: bool) -> bool {
        let pool = self.pool();
        (pool.queued, pool.waiting, pool.running) == (0, 0, usize::from(reads))
    }

    /// Keeps every thread of the pool that is free.
    pub(crate) fn hold_pool(&self) {
        let gate = Arc::<Gate>::default();
        let mut calls = Vec::new();
        until("the pool is held", || {
            let pool = self.pool();
            // A call that was running when this began may end before it is counted on.
            for _ in pool.running + pool.queued..POOL_THREADS {
                let gate = gate.clone();
                let mut call = Box::pin(self.pool.run(move || gate.wait()));
                assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                calls.push(call);
            }
            pool.running == POOL_THREADS
        });
        *self.hold.borrow_mut() = Some(Hold { gate, calls });
        self.surplus.set(self.pool().queued);
    }

    /// Jobs in the queue that were there when the pool was held. A job that is on its way from the queue to its thread is
    /// counted nowhere, and one more than there are threads may be waiting to hold one.
    pub(crate) fn surplus(&self) -> usize {
        self.surplus.get()
    }

    /// Fills the queue of a pool that is held: who comes now waits for room in it.
    pub(crate) fn fill_pool(&self) {
        let mut hold = self.hold.borrow_mut();
        let hold = hold.as_mut().expect("a pool that is held");
        for _ in self.pool().queued..BLOCKING_QUEUE_MAX {
            let mut call = Box::pin(self.pool.run(|| ()));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            hold.calls.push(call);
        }
    }

    pub(crate) fn let_go_of_pool(&self) {
        self.hold.borrow_mut().take();
    }
}

impl Drop for Stage {
    /// Whoever watches the scheduler must not keep it.
    fn drop(&mut self) {
        self.switches.begin();
    }
}

/// The jobs of the test on the pool. They are not dropped before they are let go: threads of dropped ones are replaced.
struct Hold {
    gate: Arc<Gate>,
    calls: Vec<Pin<Box<BlockingCall<()>>>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.open();
    }
}

/// Lookups that are answered when the test says so.
#[derive(Default)]
pub(crate) struct Names {
    lookups: Arc<Mutex<Lookups>>,
    /// Where they are made, when they are calls that nobody can interrupt; and what they wait for.
    on_pool: Mutex<Option<(BlockingPool, Arc<Gate>)>>,
}

/// Something that is waited for with a whole thread.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn wait(&self) {
        let mut open = self.open.lock();
        self.opened.wait_while(&mut open, |open| !*open);
    }

    pub(crate) fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }
}

#[derive(Default)]
struct Lookups {
    asked: usize,
    /// By the number of the lookup.
    waiting: HashMap<usize, Waker>,
    /// Lookups up to this number are answered.
    answered: usize,
}

impl Names {
    pub(crate) fn waiting(&self) -> usize {
        self.lookups.lock().waiting.len()
    }

    /// Makes the next lookups on threads of `stage`'s pool, until the gate that is returned is opened.
    pub(crate) fn hold_threads(&self, stage: &Stage) -> Arc<Gate> {
        let gate = Arc::<Gate>::default();
        *self.on_pool.lock() = Some((stage.pool.clone(), gate.clone()));
        gate
    }

    /// Answers everybody who waits: there is no such name.
    pub(crate) fn answer(&self) {
        *self.on_pool.lock() = None;
        let mut lookups = self.lookups.lock();
        lookups.answered = lookups.asked;
        let waiting = std::mem::take(&mut lookups.waiting);
        drop(lookups);
        waiting.into_values().for_each(Waker::wake);
    }
}

impl Resolver for Names {
    fn resolve(&self, _: &str) -> Lookup {
        if let Some((pool, gate)) = self.on_pool.lock().clone() {
            return Box::pin(async move {
                let _ = pool.run(move || gate.wait()).await;
                Err(ResolveError::NotFound)
            });
        }
        let lookups = self.lookups.clone();
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

/// How often worker threads went to sleep inside of steps, by what the system says of them before and after; of each entry
/// for itself.
#[derive(Default)]
pub(crate) struct Switches {
    steps: AtomicU64,
    inside: AtomicU64,
    entries: Mutex<Entries>,
}

/// What the steps of an entry's processes did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(crate) steps: u64,
    /// Those in which a thread waited, counted from zero.
    pub(crate) waits: Vec<u64>,
}

/// Steps at the beginning and at the end of an entry that are looked at one by one. Who makes more of them repeats itself in
/// between.
const EDGE_STEPS: u64 = 32;

/// Of the steps in between one of so many may meet the kernel's own locks: what waits by design waits at each repetition.
const REPEATED_CLEAN: u64 = 50;

impl Inside {
    /// Whether there is no wait by design in it.
    pub(crate) fn is_clean(&self) -> bool {
        let between = EDGE_STEPS..self.steps.saturating_sub(EDGE_STEPS);
        let repeated = self.waits.iter().filter(|step| between.contains(step)).count();
        repeated == self.waits.len() && repeated as u64 * REPEATED_CLEAN <= self.steps
    }
}

#[derive(Default)]
struct Entries {
    inside: BTreeMap<String, Inside>,
    /// Processes whose steps are told apart, with the steps that are counted already.
    known: Vec<(String, ProcessHandle, u64)>,
}

impl Entries {
    /// Whose step has just ended: one worker makes one step at a time.
    fn stepped(&mut self) -> &mut Inside {
        let stepped = self.known.iter_mut().find_map(|(entry, process, counted)| {
            let steps = process.steps();
            (steps > *counted).then(|| {
                *counted = steps;
                entry.as_str()
            })
        });
        self.inside.entry(stepped.unwrap_or(OTHER).to_owned()).or_default()
    }
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
    pub(crate) fn so_far(&self) -> (u64, u64) {
        (self.steps.load(Ordering::Relaxed), self.inside.load(Ordering::Relaxed))
    }

    /// Begins a lap: nothing has happened, and nobody is known.
    pub(crate) fn begin(&self) {
        *self.entries.lock() = Entries::default();
    }

    /// What the steps of each entry did since the lap began.
    pub(crate) fn entries(&self) -> BTreeMap<String, Inside> {
        self.entries.lock().inside.clone()
    }

    /// The process that `spawn` makes is one of `entry`. It makes no step before that is known.
    fn known(&self, entry: &str, spawn: impl FnOnce() -> ProcessHandle) -> ProcessHandle {
        let mut entries = self.entries.lock();
        let process = spawn();
        if entry != OTHER {
            entries.known.push((entry.to_owned(), process.clone(), 0));
        }
        process
    }
}

impl StepObserver for Switches {
    fn before_step(&self) {
        drop(self.entries.lock());
        BEFORE.set(voluntary_switches());
    }

    fn after_step(&self) {
        let waits = voluntary_switches() - BEFORE.get();
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.inside.fetch_add(waits, Ordering::Relaxed);
        let mut entries = self.entries.lock();
        let inside = entries.stepped();
        if waits > 0 {
            inside.waits.push(inside.steps);
        }
        inside.steps += 1;
    }
}

/// Makes a FIFO.
pub(crate) fn make_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
}

/// The writing side of a FIFO, as soon as somebody reads it.
pub(crate) fn writer_of(path: &Path) -> File {
    let mut writer = None;
    until("somebody opens the FIFO for reading", || {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        writer = OpenOptions::new().write(true).custom_flags(flags).open(path).ok();
        writer.is_some()
    });
    writer.expect("opened above")
}
