//! A process host: a scheduler, a reactor and a process table.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::cell::ProcessCell;
use super::task::ProcessTask;
use super::{Birth, Pid, ProcessHandle, Program, SpawnError, Start, Stdio};
use crate::reactor::Reactor;
use crate::registry::EntryId;
use crate::scheduler::{Scheduler, SpawnError as SchedulerError};

/// Shards of a process table: enough that workers on a few dozen cores rarely meet in one.
const TABLE_SHARDS: usize = 32;

/// The living processes of one host.
pub(super) struct Table {
    shards: Vec<Mutex<HashMap<u64, Arc<ProcessCell>>>>,
    /// Processes that wait for an empty table; touched only when somebody waits.
    waiting: AtomicBool,
    lock: Mutex<()>,
    emptied: Condvar,
}

impl Table {
    fn new() -> Self {
        Self {
            shards: (0..TABLE_SHARDS).map(|_| Mutex::default()).collect(),
            waiting: AtomicBool::new(false),
            lock: Mutex::new(()),
            emptied: Condvar::new(),
        }
    }

    fn shard(&self, unique: u64) -> &Mutex<HashMap<u64, Arc<ProcessCell>>> {
        &self.shards[usize::try_from(unique % TABLE_SHARDS as u64).unwrap_or(0)]
    }

    fn insert(&self, cell: Arc<ProcessCell>) {
        self.shard(cell.pid.unique()).lock().insert(cell.pid.unique(), cell);
    }

    pub(super) fn remove(&self, unique: u64) {
        let removed = self.shard(unique).lock().remove(&unique);
        drop(removed);
        // SeqCst, with the store in `wait_empty`: either this sees the waiter, or the waiter sees the removal.
        if self.waiting.load(Ordering::SeqCst) {
            let _guard = self.lock.lock();
            self.emptied.notify_all();
        }
    }

    fn get(&self, unique: u64) -> Option<Arc<ProcessCell>> {
        self.shard(unique).lock().get(&unique).cloned()
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn all(&self) -> Vec<Arc<ProcessCell>> {
        self.shards.iter().flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Waits until no process is left or the deadline has passed; true when none is left.
    fn wait_empty(&self, deadline: Instant) -> bool {
        let mut guard = self.lock.lock();
        // SeqCst, with the load in `remove`.
        self.waiting.store(true, Ordering::SeqCst);
        loop {
            if self.len() == 0 {
                return true;
            }
            if self.emptied.wait_until(&mut guard, deadline).timed_out() {
                return self.len() == 0;
            }
        }
    }
}

/// What kind of host it is, which decides where standard streams lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// `process.host`: output goes to the log.
    Process,
    /// `terminal.host`: the streams are this program's.
    Terminal,
}

impl HostKind {
    /// The kind of entry that declares such a host.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process.host",
            Self::Terminal => "terminal.host",
        }
    }
}

/// What a host runs on: made when its first process starts.
pub(crate) struct Machinery {
    /// Its workers.
    pub(crate) scheduler: Scheduler,
    /// The driver of that scheduler.
    pub(crate) reactor: Arc<Reactor>,
}

type Starter = Box<dyn Fn() -> io::Result<Machinery> + Send + Sync>;

/// A scheduler, a reactor and a process table under one entry ID. Hosts share nothing but compiled code.
///
/// Threads and the reactor begin with the first process: a host that is declared and not used costs nothing.
pub struct Host {
    id: EntryId,
    kind: HostKind,
    starter: Starter,
    machinery: OnceLock<Machinery>,
    /// Held while the machinery is made, so that it is made once.
    starting: Mutex<()>,
    table: Arc<Table>,
    /// The counter of the runtime: pids are unique over all hosts.
    next: Arc<AtomicU64>,
    closing: AtomicBool,
}

impl Host {
    /// A host whose scheduler and reactor `starter` makes when they are needed; `next` counts the processes of the whole
    /// runtime.
    pub(crate) fn new(
        id: EntryId,
        kind: HostKind,
        next: Arc<AtomicU64>,
        starter: impl Fn() -> io::Result<Machinery> + Send + Sync + 'static,
    ) -> Self {
        Self {
            id,
            kind,
            starter: Box::new(starter),
            machinery: OnceLock::new(),
            starting: Mutex::new(()),
            table: Arc::new(Table::new()),
            next,
            closing: AtomicBool::new(false),
        }
    }

    /// The entry it was declared by.
    #[must_use]
    pub fn id(&self) -> &EntryId {
        &self.id
    }

    /// What kind of host it is.
    #[must_use]
    pub fn kind(&self) -> HostKind {
        self.kind
    }

    /// The number of processes that have not ended.
    #[must_use]
    pub fn live(&self) -> usize {
        self.table.len()
    }

    /// What its workers did so far; `None` when it never had a process.
    #[must_use]
    pub fn stats(&self) -> Option<crate::scheduler::Stats> {
        self.machinery.get().map(|machinery| machinery.scheduler.stats())
    }

    pub(super) fn find(&self, unique: u64) -> Option<Arc<ProcessCell>> {
        self.table.get(unique)
    }

    fn machinery(&self) -> Result<&Machinery, SpawnError> {
        if let Some(machinery) = self.machinery.get() {
            return Ok(machinery);
        }
        let _starting = self.starting.lock();
        if self.closing.load(Ordering::Acquire) {
            return Err(SpawnError::Closing { host: self.id.clone() });
        }
        if self.machinery.get().is_none() {
            let made = (self.starter)()
                .map_err(|error| SpawnError::Start { host: self.id.clone(), cause: error.to_string() })?;
            let _ = self.machinery.set(made);
        }
        self.machinery.get().ok_or_else(|| SpawnError::Closing { host: self.id.clone() })
    }

    /// Starts a process of `program`. Its watchers are in place before its first step.
    pub(super) fn spawn(&self, program: &dyn Program, start: Start) -> Result<ProcessHandle, SpawnError> {
        program.check(&start.input).map_err(|error| SpawnError::Arguments { entry: start.entry.clone(), error })?;
        // Acquire, with the Release store in `shutdown`.
        if self.closing.load(Ordering::Acquire) {
            return Err(SpawnError::Closing { host: self.id.clone() });
        }
        let Machinery { scheduler, reactor } = self.machinery()?;
        let unique = self.next.fetch_add(1, Ordering::Relaxed);
        let pid = Pid::new(self.id.clone(), unique);
        let cell = Arc::new(ProcessCell::new(pid.clone(), start.entry.clone(), start.watchers));
        let stdio = match self.kind {
            HostKind::Terminal => Stdio::Terminal,
            HostKind::Process => Stdio::Log,
        };
        let birth = Birth { pid, entry: start.entry, input: start.input, stdio, reactor: Arc::clone(reactor) };
        let process = program.create(birth);
        self.table.insert(Arc::clone(&cell));
        let task = ProcessTask::new(process, Arc::clone(&cell), Arc::clone(&self.table));
        match scheduler.spawn(task) {
            Ok(task) => {
                cell.attach(task);
                Ok(ProcessHandle::new(cell))
            }
            Err(error) => {
                let refused = match &error {
                    SchedulerError::Full { .. } => SpawnError::Busy { host: self.id.clone(), live: self.table.len() },
                    _ => SpawnError::Closing { host: self.id.clone() },
                };
                // Dropping the task takes it out of the table and publishes an exit that nobody has a handle for.
                drop(error);
                Err(refused)
            }
        }
    }

    /// Stops the host: no new process, cancel for all, force for what is left after `grace`, then the workers.
    ///
    /// `tick` has computing guests look up: a forced end must not wait for a clock that stands still. Returns the
    /// processes that had to be terminated.
    pub(crate) fn shutdown(&self, grace: Duration, tick: &dyn Fn()) -> Vec<Pid> {
        // Release, with the Acquire loads in `spawn` and `machinery`; the lock is passed once, so that a start that was
        // under way is over.
        self.closing.store(true, Ordering::Release);
        drop(self.starting.lock());
        let Some(machinery) = self.machinery.get() else { return Vec::new() };
        for cell in self.table.all() {
            cell.cancel("host shutdown");
        }
        let mut terminated = Vec::new();
        if !self.table.wait_empty(Instant::now() + grace) {
            for cell in self.table.all() {
                terminated.push(cell.pid.clone());
                cell.terminate();
            }
            let deadline = Instant::now() + FORCED_END_WAIT;
            while Instant::now() < deadline {
                tick();
                if self.table.wait_empty(deadline.min(Instant::now() + FORCED_END_TICK)) {
                    break;
                }
            }
        }
        // On a worker it only stops accepting: a worker can not wait for itself.
        let _ = machinery.scheduler.shutdown();
        machinery.reactor.close();
        terminated
    }
}

/// How long a shutdown waits for processes that were ended by force: a guest is stopped at its next tick, only a bulk
/// memory operation of the engine can hold it longer.
const FORCED_END_WAIT: Duration = Duration::from_secs(5);

/// How often computing guests are asked to look up while their end is waited for.
const FORCED_END_TICK: Duration = Duration::from_millis(1);

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}
