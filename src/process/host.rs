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
use super::{Birth, Pid, ProcessHandle, Program, SpawnError, Start, Stdio, Tasks};
use crate::reactor::Reactor;
use crate::registry::EntryId;
use crate::scheduler::{Scheduler, SpawnError as SchedulerError, current};

/// Shards of a process table: enough that workers on a few dozen cores rarely meet in one.
const TABLE_SHARDS: usize = 32;

/// The living processes of one host.
pub(super) struct Table {
    shards: Vec<Mutex<HashMap<u64, Arc<ProcessCell>>>>,
    /// Nobody is taken any more; read under the lock of a shard.
    closed: AtomicBool,
    /// Processes that wait for an empty table; touched only when somebody waits.
    waiting: AtomicBool,
    lock: Mutex<()>,
    emptied: Condvar,
}

impl Table {
    fn new() -> Self {
        Self {
            shards: (0..TABLE_SHARDS).map(|_| Mutex::default()).collect(),
            closed: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            lock: Mutex::new(()),
            emptied: Condvar::new(),
        }
    }

    fn shard(&self, unique: u64) -> &Mutex<HashMap<u64, Arc<ProcessCell>>> {
        &self.shards[usize::try_from(unique % TABLE_SHARDS as u64).unwrap_or(0)]
    }

    /// False when the table is closed.
    #[must_use]
    fn insert(&self, cell: Arc<ProcessCell>) -> bool {
        let mut shard = self.shard(cell.pid.unique()).lock();
        // Relaxed: the lock orders it with `close`.
        if self.closed.load(Ordering::Relaxed) {
            return false;
        }
        shard.insert(cell.pid.unique(), cell);
        true
    }

    /// Takes nobody from now on: when this returns, [`Table::all`] knows everybody there will ever be. Else a process
    /// that is spawned during a shutdown would be told by nobody to end.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            // An insertion under way is over after this, and a later one sees the flag.
            drop(shard.lock());
        }
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

    /// Waits until no process is left or the deadline, if there is one, has passed; true when none is left.
    fn wait_empty(&self, deadline: Option<Instant>) -> bool {
        let mut guard = self.lock.lock();
        // SeqCst, with the load in `remove`.
        self.waiting.store(true, Ordering::SeqCst);
        loop {
            if self.len() == 0 {
                return true;
            }
            match deadline {
                None => self.emptied.wait(&mut guard),
                Some(deadline) => {
                    if self.emptied.wait_until(&mut guard, deadline).timed_out() {
                        return self.len() == 0;
                    }
                }
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
        let birth = Birth {
            pid,
            entry: start.entry,
            input: start.input,
            stdio,
            reactor: Arc::clone(reactor),
            tasks: Tasks::new(scheduler.clone()),
        };
        let process = program.create(birth);
        if !self.table.insert(Arc::clone(&cell)) {
            return Err(SpawnError::Closing { host: self.id.clone() });
        }
        let task = ProcessTask::new(process, Arc::clone(&cell), Arc::clone(&self.table));
        match scheduler.spawn(task) {
            Ok(task) => {
                cell.attach(task);
                Ok(ProcessHandle::new(cell))
            }
            Err(error) => {
                let is_full = matches!(error, SchedulerError::Full { .. });
                // Dropping the task takes it out of the table and publishes an exit that nobody has a handle for. The
                // caller is told by the error, so the watchers are not told anything.
                cell.forget_watchers();
                drop(error);
                let host = self.id.clone();
                Err(if is_full {
                    SpawnError::Busy { host, live: self.table.len() }
                } else {
                    SpawnError::Closing { host }
                })
            }
        }
    }

    /// Stops the host: no new process, cancel for all, force for what is left at `deadline`, then the workers. Without
    /// a deadline the wait has no end.
    ///
    /// `tick` has computing guests look up: a forced end must not wait for a clock that stands still. Returns the
    /// processes that had to be terminated.
    ///
    /// On a worker, which may not wait, everybody is terminated at once and ends after this has returned; the workers stop
    /// when the host is dropped.
    pub(crate) fn shutdown(&self, deadline: Option<Instant>, tick: &dyn Fn()) -> Vec<Pid> {
        // Release, with the Acquire loads in `spawn` and `machinery`; the lock is passed once, so that a start that was
        // under way is over.
        self.closing.store(true, Ordering::Release);
        drop(self.starting.lock());
        self.table.close();
        let Some(machinery) = self.machinery.get() else { return Vec::new() };
        if current::on_worker() {
            let terminated = self.terminate_all();
            tick();
            return terminated;
        }
        for cell in self.table.all() {
            cell.cancel("host shutdown");
        }
        let mut terminated = Vec::new();
        let mut has_ended = true;
        if !self.table.wait_empty(deadline) {
            terminated = self.terminate_all();
            let deadline = Instant::now() + FORCED_END_WAIT;
            has_ended = false;
            while !has_ended && Instant::now() < deadline {
                tick();
                has_ended = self.table.wait_empty(Some(deadline.min(Instant::now() + FORCED_END_TICK)));
            }
        }
        if !has_ended {
            // Host code that blocks its worker: who waits for it may wait for ever. No word in the log, which may be what it
            // is blocked on; the caller has the list.
            machinery.scheduler.stop();
        } else if let Err(error) = machinery.scheduler.shutdown() {
            // Unreachable: this is no worker. A host that keeps its workers is better than a panic.
            tracing::error!(host = %self.id, %error, "the workers were not stopped");
        }
        machinery.reactor.close();
        terminated
    }

    fn terminate_all(&self) -> Vec<Pid> {
        let left = self.table.all();
        left.iter().for_each(|cell| cell.terminate());
        left.iter().map(|cell| cell.pid.clone()).collect()
    }
}

/// How long a shutdown waits for processes that were ended by force: a guest is stopped at its next tick, only host
/// code can hold it longer, a bulk memory operation or a write that nobody reads. The workers are left to themselves then.
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
