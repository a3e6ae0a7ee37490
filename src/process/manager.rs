//! Finds the program and the host of a start, and brings them together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::cell::Watcher;
use super::{ArgumentError, Host, HostKind, Payload, Pid, ProcessHandle, Program};
use crate::registry::{EntryId, LimitsSpec};

/// What is needed to start a process.
///
/// ```
/// use wippy::process::Start;
///
/// let start = Start::new("app:worker".parse()?, "app:processes".parse()?).input([6.into(), 7.into()]);
/// # Ok::<(), wippy::registry::ParseIdError>(())
/// ```
#[non_exhaustive]
pub struct Start {
    /// The entry of the program.
    pub entry: EntryId,
    /// The entry of the host.
    pub host: EntryId,
    /// The arguments.
    pub input: Vec<Payload>,
    /// Limits of this process alone, before those of its entry; the ceilings of its host hold all the same.
    pub limits: LimitsSpec,
    /// Who is told of the exit; in place before the first step, so that no exit can be missed.
    pub watchers: Vec<Box<dyn Watcher>>,
}

impl Start {
    /// A start of this entry on this host, without arguments.
    #[must_use]
    pub fn new(entry: EntryId, host: EntryId) -> Self {
        Self { entry, host, input: Vec::new(), limits: LimitsSpec::default(), watchers: Vec::new() }
    }

    /// With these arguments.
    #[must_use]
    pub fn input(mut self, input: impl IntoIterator<Item = Payload>) -> Self {
        self.input = input.into_iter().collect();
        self
    }

    /// With limits of its own: what is silent in them is as the entry says.
    #[must_use]
    pub fn limits(mut self, limits: LimitsSpec) -> Self {
        self.limits = limits;
        self
    }

    /// With somebody who is told of the exit.
    #[must_use]
    pub fn watch(mut self, watcher: impl Watcher + 'static) -> Self {
        self.watchers.push(Box::new(watcher));
        self
    }
}

/// Why a process was not started. The caller's mistakes and the host's state; what goes wrong later is an
/// [`Exit`](super::Exit).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No process entry has this ID.
    #[error("no process entry `{entry}`{}", hint(.known))]
    UnknownEntry {
        /// What was asked for.
        entry: EntryId,
        /// The process entries there are.
        known: Vec<EntryId>,
    },
    /// The text names no entry.
    #[error("{cause}")]
    InvalidId {
        /// Why not.
        cause: String,
    },
    /// A start without a host needs exactly one of its kind.
    #[error("{}", only_host(.kind, .known))]
    NotOneHost {
        /// The kind of entry that is looked for: `process.host` or `terminal.host`.
        kind: &'static str,
        /// The hosts of this kind.
        known: Vec<EntryId>,
    },
    /// No host has this ID.
    #[error("no host `{host}`{}", host_hint(.known))]
    UnknownHost {
        /// What was asked for.
        host: EntryId,
        /// The hosts there are.
        known: Vec<EntryId>,
    },
    /// The arguments do not fit the entry's function.
    #[error("`{entry}`: {error}")]
    Arguments {
        /// The entry.
        entry: EntryId,
        /// What does not fit.
        error: ArgumentError,
    },
    /// The entry can't run with these limits.
    #[error("`{entry}`: {error}")]
    Limits {
        /// The entry.
        entry: EntryId,
        /// What does not fit.
        error: ArgumentError,
    },
    /// The processes of the entry can't be preempted, and the host takes no such.
    #[error(
        "`{entry}` has `preempt: none`, which host `{host}` does not allow: write `allow_preempt_none: true` under `host:` of a \
         `process.host` and start it there"
    )]
    PreemptNone {
        /// The entry.
        entry: EntryId,
        /// The host.
        host: EntryId,
    },
    /// There is no room for another process now: at its host, by what that declares, or in the whole runtime, by what
    /// bounds it on this machine.
    #[error("{}", busy(.host, .bound, *.allowed, *.live, .raise.as_deref()))]
    Busy {
        /// The host.
        host: EntryId,
        /// The bound that was reached: `max_processes` or `max_queued` of the host, or the name of a
        /// [`Resource`](super::Resource).
        bound: &'static str,
        /// How many that allows; of a resource, processes like this one in an otherwise empty runtime. When that is zero
        /// no waiting helps.
        allowed: usize,
        /// How many processes live: at the host, or in the runtime when a resource is the bound.
        live: usize,
        /// The setting that raises it, when a resource is the bound.
        raise: Option<String>,
    },
    /// The host could not get its threads or its reactor.
    #[error("host `{host}` could not start: {cause}")]
    Start {
        /// The host.
        host: EntryId,
        /// What the operating system said.
        cause: String,
    },
    /// The host is shutting down.
    #[error("host `{host}` is shutting down")]
    Closing {
        /// The host.
        host: EntryId,
    },
}

fn busy(host: &EntryId, bound: &str, allowed: usize, live: usize, raise: Option<&str>) -> String {
    match raise {
        None => {
            format!(
                "host `{host}` is full: {live} processes, and its `{bound}` is {allowed}; wait for one and try again"
            )
        }
        Some(raise) if allowed == 0 => {
            format!("no process like this fits here: the bound is {bound}, and what raises it is: {raise}")
        }
        Some(raise) => format!(
            "no room on `{host}`: {live} processes live, and the bound of all hosts, {bound}, has room for {allowed} like \
             this; wait for one and try again, or raise it: {raise}"
        ),
    }
}

fn names(known: &[EntryId]) -> String {
    known.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

fn hint(known: &[EntryId]) -> String {
    if known.is_empty() { "; the application has none".into() } else { format!("; there are {}", names(known)) }
}

fn only_host(kind: &str, known: &[EntryId]) -> String {
    if known.is_empty() {
        let name = kind.split('.').next().unwrap_or(kind);
        format!("the application has no `{kind}`; declare one:\n  - name: {name}\n    kind: {kind}")
    } else {
        format!("the application has several entries of kind `{kind}`: {}; name one of them", names(known))
    }
}

fn host_hint(known: &[EntryId]) -> String {
    if known.is_empty() {
        "; declare one:\n  - name: processes\n    kind: process.host".into()
    } else {
        format!("; there are {}", names(known))
    }
}

/// The programs and hosts of one runtime. Both are fixed once it runs.
#[derive(Default)]
pub struct Manager {
    programs: HashMap<EntryId, Arc<dyn Program>>,
    hosts: IndexMap<EntryId, Host>,
}

impl Manager {
    pub(crate) fn new(programs: HashMap<EntryId, Arc<dyn Program>>, hosts: Vec<Host>) -> Self {
        Self { programs, hosts: hosts.into_iter().map(|host| (host.id().clone(), host)).collect() }
    }

    /// Starts a process: its arguments are checked now, its first step happens on a worker of the host.
    ///
    /// # Errors
    /// See [`SpawnError`]; at a bound of the host or of the runtime [`SpawnError::Busy`], at once.
    pub fn spawn(&self, start: Start) -> Result<ProcessHandle, SpawnError> {
        self.spawn_by(start, None)
    }

    /// [`Manager::spawn`], which waits for room when the host or the runtime is at a bound, as long as `timeout`. On a worker
    /// it does not wait: whoever would make room may need this very thread. Nor does it for what would not fit alone.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub fn spawn_within(&self, start: Start, timeout: Duration) -> Result<ProcessHandle, SpawnError> {
        // Past the clock's end there is no deadline to compare with; thirty years are as good.
        const FOREVER: Duration = Duration::from_secs(1 << 30);
        let now = Instant::now();
        self.spawn_by(start, now.checked_add(timeout).or_else(|| now.checked_add(FOREVER)))
    }

    fn spawn_by(&self, start: Start, deadline: Option<Instant>) -> Result<ProcessHandle, SpawnError> {
        let program = self.program(&start.entry)?;
        let host = self.hosts.get(&start.host).ok_or_else(|| SpawnError::UnknownHost {
            host: start.host.clone(),
            known: self.hosts.keys().cloned().collect(),
        })?;
        host.spawn(&**program, start, deadline)
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
        self.hosts.get(pid.host())?.find(pid.unique()).map(ProcessHandle::new)
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

    /// Stops every host, terminal hosts last, in reverse order of declaration; returns what had to be terminated. The
    /// grace is one for all of them together.
    pub(crate) fn shutdown(&self, grace: Duration, tick: &dyn Fn()) -> Vec<Pid> {
        let (terminals, processes): (Vec<_>, Vec<_>) =
            self.hosts.values().rev().partition(|host| host.kind() == HostKind::Terminal);
        // A grace beyond the clock's end is one without an end.
        let deadline = Instant::now().checked_add(grace);
        processes.into_iter().chain(terminals).flat_map(|host| host.shutdown(deadline, tick)).collect()
    }
}
