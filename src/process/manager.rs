//! Finds the program and the host of a start, and brings them together.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::cell::ProcessCell;
use super::lifecycle::{Subscribers, Subscription};
use super::message::{Message, SignalError};
use super::names::Names;
use super::sending::Sending;
use super::{
    Bus, Host, HostKind, Launcher, Pid, Prepared, ProcessHandle, Program, Snapshot, SpawnError, Start, Tasks, topology,
};
use crate::reactor::Reactor;
use crate::registry::{EntryId, LimitsSpec};
use crate::security::Policies;

/// The programs and hosts of one runtime, both fixed once it runs, and the names of its processes.
pub struct Manager {
    programs: FxHashMap<EntryId, Arc<dyn Program>>,
    hosts: IndexMap<EntryId, Host, FxBuildHasher>,
    names: Arc<Names>,
    realm: Realm,
    bus: Bus,
    policies: Policies,
}

/// What processes have of their runtime, which they may outlive by a moment.
#[derive(Clone, Default)]
pub(super) struct Realm {
    /// Who hears of the beginnings and ends of all.
    pub(super) subscribers: Arc<Subscribers>,
    /// Not what keeps a runtime alive: its processes are what it ends.
    pub(super) manager: Weak<Manager>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let programs: Vec<_> = self.programs.keys().collect();
        f.debug_struct("Manager")
            .field("programs", &programs)
            .field("hosts", &self.hosts.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Manager {
    pub(crate) fn new(programs: HashMap<EntryId, Arc<dyn Program>>, hosts: Vec<Host>, policies: Policies) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            programs: programs.into_iter().collect(),
            hosts: hosts.into_iter().map(|host| (host.id().clone(), host)).collect(),
            names: Arc::default(),
            realm: Realm { subscribers: Arc::default(), manager: own.clone() },
            bus: Bus::default(),
            policies,
        })
    }

    pub(super) fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The bus on which processes tell events.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The policies of the application.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The events of all processes from now on. A subscriber that does not read them misses the oldest, and is told how many.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wippy::Runtime;
    /// use wippy::process::LifecycleEvent;
    ///
    /// let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
    /// let events = runtime.subscribe();
    /// let worker = runtime.spawn("myns:compute_worker", [6, 7])?;
    /// let started = events.next_within(Duration::from_secs(60));
    /// assert!(matches!(started, Some(LifecycleEvent::Started { pid, .. }) if pid == *worker.pid()));
    /// let ended = events.next_within(Duration::from_secs(60));
    /// assert!(matches!(ended, Some(LifecycleEvent::Ended { exit, .. }) if exit.is_normal()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.realm.subscribers.subscribe()
    }

    pub(super) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Starts a process: its arguments are checked now, its first step happens on a worker of the host.
    ///
    /// # Errors
    /// See [`SpawnError`]; at a bound of the host or of the runtime [`SpawnError::Busy`], at once.
    pub fn spawn(&self, mut start: Start) -> Result<ProcessHandle, SpawnError> {
        self.spawn_by(&mut start, None)
    }

    /// [`Manager::spawn`], which waits for room when the host or the runtime is at a bound, as long as `timeout`. On a worker
    /// it does not wait: whoever would make room may need this very thread. Nor does it for what would not fit alone.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub fn spawn_within(&self, mut start: Start, timeout: Duration) -> Result<ProcessHandle, SpawnError> {
        // Past the clock's end there is no deadline to compare with; thirty years are as good.
        const FOREVER: Duration = Duration::from_secs(1 << 30);
        let now = Instant::now();
        self.spawn_by(&mut start, now.checked_add(timeout).or_else(|| now.checked_add(FOREVER)))
    }

    fn spawn_by(&self, start: &mut Start, deadline: Option<Instant>) -> Result<ProcessHandle, SpawnError> {
        let program = self.program(&start.entry)?;
        self.spawn_of(program, start, deadline)
    }

    /// [`Manager::spawn`] of a program that is none of its own.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub(crate) fn spawn_foreign(
        &self,
        program: &Arc<dyn Program>,
        mut start: Start,
    ) -> Result<ProcessHandle, SpawnError> {
        self.spawn_of(program, &mut start, None)
    }

    fn spawn_of(
        &self,
        program: &Arc<dyn Program>,
        start: &mut Start,
        deadline: Option<Instant>,
    ) -> Result<ProcessHandle, SpawnError> {
        self.known_host(&start.host)?.spawn(program, start, deadline, self)
    }

    /// Starts processes of an entry on a host, which are looked up once.
    ///
    /// # Errors
    /// There is no such entry or host, or the host does not start or is closing.
    pub fn launcher(&self, entry: &EntryId, host: &EntryId) -> Result<Launcher<'_>, SpawnError> {
        Launcher::new(self, self.program(entry)?, self.known_host(host)?)
    }

    /// What many runs of an entry with these limits have in common, where they may do without processes.
    pub(crate) fn prepare(&self, entry: &EntryId, host: &EntryId, limits: &LimitsSpec) -> Option<Prepared> {
        let program = self.programs.get(entry).filter(|program| program.can_be_attempted())?;
        self.host(host)?.prepare(program, limits, self)
    }

    /// The living process with this name.
    pub(super) fn cell(&self, pid: &Pid) -> Result<Arc<ProcessCell>, SignalError> {
        match self.hosts.get(pid.host()) {
            Some(host) if pid.is_local() => {
                host.find(pid.unique()).ok_or_else(|| SignalError::NoProcess { pid: pid.clone() })
            }
            _ => Err(SignalError::Foreign { pid: pid.clone() }),
        }
    }

    /// Puts a message into the mailbox of a process, at once or not at all. Messages of one thread arrive in the order in
    /// which it sent them.
    ///
    /// # Errors
    /// See [`SignalError`]; at the bound of the mailbox [`SignalError::Busy`].
    pub fn send(&self, to: &Pid, message: Message) -> Result<(), SignalError> {
        self.cell(to)?.send(message)
    }

    /// [`Manager::send`], which waits for room in a full mailbox, by turn.
    ///
    /// # Errors
    /// See [`SignalError`]: what can be known now.
    pub fn sending(&self, to: &Pid, message: Message) -> Result<Sending, SignalError> {
        Sending::new(self.cell(to)?, message)
    }

    /// Has the process `watcher` told of the end of another one, once; at once when that is gone.
    ///
    /// # Errors
    /// `watcher` is gone, or monitors it already; see [`SignalError`].
    pub fn monitor(&self, watcher: &Pid, pid: &Pid) -> Result<(), SignalError> {
        let watcher = self.cell(watcher)?;
        match self.cell(pid) {
            Ok(cell) => topology::monitor(&watcher, pid, Some(&cell)),
            Err(SignalError::NoProcess { .. }) => topology::monitor(&watcher, pid, None),
            Err(error) => Err(error),
        }
    }

    /// Links two processes: when either ends abnormally the other one ends, too, or is told if it traps links.
    ///
    /// # Errors
    /// One of them is gone; see [`SignalError`].
    pub fn link(&self, one: &Pid, other: &Pid) -> Result<(), SignalError> {
        topology::link(&self.cell(one)?, &self.cell(other)?)
    }

    /// Gives a name to a process, which keeps it until its end.
    ///
    /// # Errors
    /// Somebody else has it, or it is none; see [`SignalError`].
    pub fn register(&self, name: &str, pid: &Pid) -> Result<(), SignalError> {
        self.names.register(name, &self.cell(pid)?)
    }

    /// The process that has this name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<Pid> {
        self.names.lookup(name).map(|cell| cell.pid.clone())
    }

    /// The pid that a text means: a pid, or the name of a process.
    ///
    /// # Errors
    /// It is neither.
    pub fn resolve(&self, text: &str) -> Result<Pid, SignalError> {
        if let Ok(pid) = text.parse() {
            return Ok(pid);
        }
        self.lookup(text).ok_or_else(|| SignalError::Unresolved { text: text.to_owned() })
    }

    /// The program of an entry.
    ///
    /// # Errors
    /// No process entry has this ID.
    pub fn program(&self, entry: &EntryId) -> Result<&Arc<dyn Program>, SpawnError> {
        self.programs.get(entry).ok_or_else(|| {
            let mut known: Vec<_> = self.programs.keys().cloned().collect();
            known.sort();
            SpawnError::UnknownEntry { entry: entry.clone(), known }
        })
    }

    /// The living process with this name.
    #[must_use]
    pub fn find(&self, pid: &Pid) -> Option<ProcessHandle> {
        self.cell(pid).ok().map(ProcessHandle::new)
    }

    /// All living processes of all hosts as they are now, by the number of their pid. There are as many as the hosts and the
    /// ceiling of the runtime allow.
    #[must_use]
    pub fn processes(&self) -> Vec<Snapshot> {
        let mut processes: Vec<_> = self.hosts.values().flat_map(Host::snapshots).collect();
        processes.sort_by_key(|process| process.pid.unique());
        processes
    }

    /// The only host of a kind.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn only_host(&self, kind: HostKind) -> Result<&Host, SpawnError> {
        let mut found = self.hosts.values().filter(|host| host.kind() == kind);
        match (found.next(), found.next()) {
            (Some(host), None) => Ok(host),
            _ => Err(SpawnError::NotOneHost {
                kind: kind.name(),
                known: self.hosts.values().filter(|host| host.kind() == kind).map(|host| host.id().clone()).collect(),
            }),
        }
    }

    /// The hosts in the order of their declaration.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// The host of an entry.
    pub(super) fn host(&self, id: &EntryId) -> Option<&Host> {
        self.hosts.get(id)
    }

    fn known_host(&self, id: &EntryId) -> Result<&Host, SpawnError> {
        let known = || self.hosts.keys().cloned().collect();
        self.host(id).ok_or_else(|| SpawnError::UnknownHost { host: id.clone(), known: known() })
    }

    /// The workers and the reactor of a host, for work beside its processes.
    ///
    /// # Errors
    /// There is no such host, or it can't start, or it is shutting down.
    pub(crate) fn workers_of(&self, host: &EntryId) -> Result<(Tasks, Arc<Reactor>), SpawnError> {
        self.known_host(host)?.workers(&self.realm)
    }

    /// Has every host take no process from now on.
    pub(crate) fn close(&self) {
        self.hosts.values().for_each(Host::close);
    }

    /// Stops every host, terminal hosts last, in reverse order of declaration; returns what had to be terminated. The
    /// grace is one for all of them together, and each has its own `stop_timeout` besides.
    pub(crate) fn shutdown(&self, grace: Duration, tick: &dyn Fn()) -> Vec<Pid> {
        let (terminals, processes): (Vec<_>, Vec<_>) =
            self.hosts.values().rev().partition(|host| host.kind() == HostKind::Terminal);
        // A grace beyond the clock's end is one without an end.
        let deadline = Instant::now().checked_add(grace);
        processes.into_iter().chain(terminals).flat_map(|host| host.shutdown(deadline, tick)).collect()
    }
}
