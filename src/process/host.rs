//! A process host: a scheduler, a reactor and a process table.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::bell::Bell;
use super::ceiling::{Ceiling, Footprint, Reached};
use super::cell::{Beginning, ProcessCell};
use super::ground::{Admission, Ground, Plot, Spot};
use super::keep::{Keep, Kept};
use super::lifecycle::LifecycleEvent;
use super::mailbox::{Mailbox, MailboxBounds};
use super::manager::{Manager, Realm};
use super::message::{SignalError, Topic};
use super::peers::Peers;
use super::table::{Bounds, Full, Place, Table};
use super::task::{ProcessTask, Unborn};
use super::{
    ContextValues, Payload, Pid, Prepared, ProcessHandle, Program, Snapshot, SpawnError, Start, Stdio, Tasks, topology,
};
use crate::limits::{Limits, Usage};
use crate::reactor::Reactor;
use crate::registry::{EntryId, LimitsSpec};
use crate::scheduler::{Scheduler, SpawnError as SchedulerError, current};

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

/// What a host says of its processes. The default says nothing: everybody is taken, with the limits of their entries.
#[derive(Clone, Debug)]
pub(crate) struct HostRules {
    /// How many processes it takes.
    pub(crate) bounds: Bounds,
    /// The bounds of their mailboxes.
    pub(crate) mailbox: MailboxBounds,
    /// The topics of which the newest messages count.
    pub(crate) drop_oldest: Vec<Topic>,
    /// The limits of processes whose entry is silent.
    pub(crate) default_limits: LimitsSpec,
    /// The ceilings of all of them.
    pub(crate) ceilings: LimitsSpec,
    /// Whether it takes programs whose processes can't be preempted.
    pub(crate) allow_preempt_none: bool,
    /// How long its processes may take to end when it stops.
    pub(crate) stop_timeout: Duration,
}

impl Default for HostRules {
    fn default() -> Self {
        Self {
            bounds: Bounds::NONE,
            mailbox: MailboxBounds::default(),
            drop_oldest: Vec::new(),
            default_limits: LimitsSpec::default(),
            ceilings: LimitsSpec::default(),
            allow_preempt_none: false,
            stop_timeout: Duration::MAX,
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

/// The workers of a host, and what each of them has of it.
pub(super) type Running = (Scheduler, Box<[Arc<Ground>]>);

type Starter = Box<dyn Fn() -> io::Result<Machinery> + Send + Sync>;

/// A scheduler, a reactor and a process table under one entry ID. Hosts share nothing but compiled code.
///
/// Threads and the reactor begin with the first process: a host that is declared and not used costs nothing.
pub struct Host {
    id: EntryId,
    kind: HostKind,
    rules: HostRules,
    starter: Starter,
    machinery: OnceLock<Running>,
    /// Held while the machinery is made, so that it is made once.
    starting: Mutex<()>,
    table: Arc<Table>,
    /// The bounds of all hosts together.
    ceiling: Ceiling,
    /// The counter of the runtime: pids are unique over all hosts.
    next: Arc<AtomicU64>,
    closing: AtomicBool,
}

impl Host {
    /// A host whose scheduler and reactor `starter` makes when they are needed; `next` counts the processes of the whole
    /// runtime, and `ceiling` bounds them.
    pub(crate) fn new(
        id: EntryId,
        kind: HostKind,
        rules: HostRules,
        next: Arc<AtomicU64>,
        ceiling: Ceiling,
        starter: impl Fn() -> io::Result<Machinery> + Send + Sync + 'static,
    ) -> Self {
        Self {
            id,
            kind,
            starter: Box::new(starter),
            machinery: OnceLock::new(),
            starting: Mutex::new(()),
            table: Arc::new(Table::new(rules.bounds, ceiling.clone())),
            ceiling,
            rules,
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

    /// The number of processes that have not ended, and of instances of functions that are kept for the next call.
    #[must_use]
    pub fn live(&self) -> usize {
        self.table.len()
    }

    /// How long its processes may take to end when it stops.
    pub(crate) fn stop_timeout(&self) -> Duration {
        self.rules.stop_timeout
    }

    /// What its workers did so far; `None` when it never had a process.
    #[must_use]
    pub fn stats(&self) -> Option<crate::scheduler::Stats> {
        self.machinery.get().map(|(scheduler, _)| scheduler.stats())
    }

    /// The timers and sources that its processes wait for, and those of connections kept for the next ones; `None` when it
    /// never had a process.
    #[must_use]
    pub fn reactor_stats(&self) -> Option<crate::reactor::ReactorStats> {
        self.machinery.get().map(|(_, grounds)| grounds[0].host().reactor.stats())
    }

    pub(super) fn find(&self, unique: u64) -> Option<Arc<ProcessCell>> {
        self.table.get(unique)
    }

    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        self.table.all().iter().map(|cell| cell.snapshot()).collect()
    }

    /// Its workers, and what each of them has of it: started when they are not yet.
    pub(super) fn machinery(&self, realm: &Realm) -> Result<&Running, SpawnError> {
        if let Some(machinery) = self.machinery.get() {
            return Ok(machinery);
        }
        let _starting = self.starting.lock();
        if self.closing.load(Ordering::Acquire) {
            return Err(SpawnError::Closing { host: self.id.clone() });
        }
        if self.machinery.get().is_none() {
            let Machinery { scheduler, reactor } = (self.starter)()
                .map_err(|error| SpawnError::Start { host: self.id.clone(), cause: error.to_string() })?;
            let (id, scheduler_of, ceiling, table) = (&self.id, &scheduler, &self.ceiling, &self.table);
            let plot = Plot { id, realm, reactor: &reactor, scheduler: scheduler_of, ceiling, table };
            let grounds = Ground::of_host(&plot);
            let _ = self.machinery.set((scheduler, grounds));
        }
        self.machinery.get().ok_or_else(|| SpawnError::Closing { host: self.id.clone() })
    }

    /// Its workers and its reactor.
    pub(super) fn workers(&self, realm: &Realm) -> Result<(Tasks, Arc<Reactor>), SpawnError> {
        let (_, grounds) = self.machinery(realm)?;
        let host = grounds[0].host();
        Ok((host.tasks.clone(), Arc::clone(&host.reactor)))
    }

    /// Starts a process of `program`. Its watchers are in place before its first step.
    ///
    /// At a bound it waits for room until `deadline`, if there is one; on a worker it never waits. What a start has in it is taken
    /// out of it: it is too large to be handed on from one to the next.
    pub(super) fn spawn(
        &self,
        program: &Arc<dyn Program>,
        start: &mut Start,
        deadline: Option<Instant>,
        manager: &Manager,
    ) -> Result<ProcessHandle, SpawnError> {
        program.check(&start.input).map_err(|error| SpawnError::Arguments { entry: start.entry.clone(), error })?;
        self.check_preemptible(program)?;
        start.check_context()?;
        self.check_open()?;
        let (scheduler, grounds) = self.machinery(manager.realm())?;
        let ground = &grounds[Ground::place_of(scheduler)];
        let spot = ground.spot(program);
        let (limits, footprint) = self.limits(&start.limits, &spot)?;
        let bond = Bond::of(start, manager)
            .map_err(|error| SpawnError::Signal { entry: start.entry.clone(), error: error.into() })?;
        // Most often it is known before anything is made.
        if let Some(owner) = start.name.as_deref().and_then(|name| manager.names().lookup(name)) {
            return signal(owner, start, &bond);
        }
        let kept = start.keep.as_ref().and_then(Keep::take);
        let (kept, admission) = match kept {
            // It has its room already.
            Some(Kept { instance, usage, mut admission }) => {
                admission.line_up();
                (Some((instance, usage)), admission)
            }
            None => (None, Admission::new(Arc::clone(ground), self.admit(ground, &footprint, deadline)?)),
        };
        let born_ns = ground.clock.near().as_nanos();
        let usage = Arc::new(match &kept {
            Some((_, before)) => Usage::following(before, limits, born_ns),
            None => Usage::new(limits, born_ns),
        });
        let beginning = Beginning {
            parent: start.starter.as_ref().map(|starter| starter.pid().clone()),
            calls: std::mem::take(&mut start.calls),
            traps_links: start.trap_links,
            watchers: std::mem::take(&mut start.watchers),
        };
        let cell = self.cell(ground, spot, usage, beginning);
        let stdio = start.stdio.take().unwrap_or(self.stdio());
        let inherited = start.starter.as_ref().map(Peers::security);
        let context = start.starter.as_ref().map(Peers::context).cloned().unwrap_or_default();
        let context = context.with(std::mem::take(&mut start.context));
        let security = manager.policies().context(inherited, start.actor.take(), start.scope.take(), &self.id);
        let (input, kept) = (std::mem::take(&mut start.input), kept.map(|(instance, _)| instance));
        let unborn = Unborn { input, stdio, security, context, kept };
        if !ground.host().table.insert(Arc::clone(&cell)) {
            return Err(SpawnError::Closing { host: self.id.clone() });
        }
        match self.join(&cell, start, &bond, manager) {
            Ok(None) => {}
            Ok(Some(owner)) => {
                start.watchers = cell.forget();
                self.table.remove(cell.pid.unique());
                drop((unborn, admission));
                return signal(owner, start, &bond);
            }
            Err(error) => {
                drop(cell.forget());
                self.table.remove(cell.pid.unique());
                return Err(SpawnError::Signal { entry: start.entry.clone(), error: error.into() });
            }
        }
        self.hand_over(scheduler, cell, unborn, admission.into_place(), start.keep.take())
    }

    /// Starts a process of a program, as this worker has it, of which nothing is said but its arguments.
    pub(super) fn launch(
        &self,
        (scheduler, ground): (&Scheduler, &Arc<Ground>),
        spot: &Arc<Spot>,
        input: Vec<Payload>,
        manager: &Manager,
    ) -> Result<ProcessHandle, SpawnError> {
        let program = &spot.program;
        program.check(&input).map_err(|error| SpawnError::Arguments { entry: program.entry().clone(), error })?;
        self.check_preemptible(program)?;
        self.check_open()?;
        let (limits, footprint) = match spot.usual.get() {
            Some((limits, footprint)) => (Arc::clone(limits), *footprint),
            None => self.limits(&LimitsSpec::default(), spot)?,
        };
        let place = self.admit(ground, &footprint, None)?;
        let usage = Arc::new(Usage::new(limits, ground.clock.near().as_nanos()));
        let cell = self.cell(ground, Arc::clone(spot), usage, Beginning::default());
        let security = manager.policies().context(None, None, None, &self.id);
        let (stdio, context) = (self.stdio(), ContextValues::default());
        let unborn = Unborn { input, stdio, security, context, kept: None };
        if !ground.host().table.insert(Arc::clone(&cell)) {
            self.table.give_back(&ground.host().desk, place);
            return Err(SpawnError::Closing { host: self.id.clone() });
        }
        self.hand_over(scheduler, cell, unborn, place, None)
    }

    fn cell(&self, ground: &Arc<Ground>, spot: Arc<Spot>, usage: Arc<Usage>, beginning: Beginning) -> Arc<ProcessCell> {
        let unique = self.next.fetch_add(1, Ordering::Relaxed);
        let pid = Pid::new(ground.host().id.clone(), unique);
        let mailbox = Mailbox::new(self.rules.mailbox, spot.program.receives());
        for topic in &self.rules.drop_oldest {
            mailbox.drop_oldest(topic.clone());
        }
        Arc::new(ProcessCell::new(pid, spot, Arc::clone(ground), usage, mailbox, beginning))
    }

    /// Where standard streams lead when a start does not say.
    fn stdio(&self) -> Stdio {
        match self.kind {
            HostKind::Terminal => Stdio::Terminal,
            HostKind::Process => Stdio::Log,
        }
    }

    /// Gives a process that is in the table to the workers.
    fn hand_over(
        &self,
        scheduler: &Scheduler,
        cell: Arc<ProcessCell>,
        unborn: Unborn,
        place: Place,
        keep: Option<Keep>,
    ) -> Result<ProcessHandle, SpawnError> {
        // Nobody hears of its end before: there is none yet.
        cell.ground.realm.subscribers.tell(|| LifecycleEvent::Started {
            pid: cell.pid.clone(),
            entry: cell.entry().clone(),
            parent: cell.parent.clone(),
        });
        let task = ProcessTask::new(unborn, Arc::clone(&cell), place, keep);
        match scheduler.spawn(task) {
            Ok(task) => {
                cell.attach(task);
                Ok(ProcessHandle::new(cell))
            }
            Err(error) => {
                let full = match &error {
                    SchedulerError::Full { max_tasks, .. } => Some(*max_tasks),
                    SchedulerError::Stopped { .. } => None,
                };
                // Dropping the task takes it out of the table and publishes an exit that nobody has a handle for. The
                // caller is told by the error, so the watchers are not told anything.
                drop(cell.forget());
                drop(error);
                Err(match full {
                    Some(allowed) => self.busy(Full::Host { bound: "max_processes", allowed }),
                    None => SpawnError::Closing { host: self.id.clone() },
                })
            }
        }
    }

    /// What many starts of a program with these limits have in common; `None` when some can't be.
    pub(super) fn prepare(
        &self,
        program: &Arc<dyn Program>,
        limits: &LimitsSpec,
        manager: &Manager,
    ) -> Option<Prepared> {
        self.check_preemptible(program).ok()?;
        let (_, grounds) = self.machinery(manager.realm()).ok()?;
        let ground = grounds.last()?;
        let (limits, footprint) = self.limits(limits, &ground.spot(program)).ok()?;
        Some(Prepared { program: Arc::clone(program), ground: Arc::clone(ground), limits, footprint })
    }

    /// What the process of a start may use, and what it takes of the machine.
    fn limits(&self, own: &LimitsSpec, spot: &Spot) -> Result<(Arc<Limits>, Footprint), SpawnError> {
        let is_usual = *own == LimitsSpec::default();
        if let Some(usual) = spot.usual.get().filter(|_| is_usual) {
            return Ok(usual.clone());
        }
        let program = &spot.program;
        let layers = [own, &program.limits(), &self.rules.default_limits];
        let mut limits = LimitsSpec::resolve(&layers, &self.rules.ceilings);
        limits.crowd = u64::try_from(self.rules.bounds.processes).ok().filter(|processes| *processes < u64::MAX);
        program.settle(&mut limits).map_err(|error| SpawnError::Limits { entry: program.entry().clone(), error })?;
        let footprint = program.footprint(&limits);
        let limits = Arc::new(limits);
        if is_usual {
            let _ = spot.usual.set((Arc::clone(&limits), footprint));
        }
        Ok((limits, footprint))
    }

    /// Gives a process its name, those who have to do with it, and its first messages. Nothing of that when somebody took the
    /// name meanwhile, who is returned.
    fn join(
        &self,
        cell: &Arc<ProcessCell>,
        start: &mut Start,
        bond: &Bond,
        manager: &Manager,
    ) -> Result<Option<Arc<ProcessCell>>, SignalError> {
        if let Some(name) = &start.name {
            // Who had it may be gone by the time that we ask who it is.
            while let Err(error) = manager.names().register(name, cell) {
                match (error, manager.names().lookup(name)) {
                    (SignalError::NameTaken { .. }, Some(owner)) => return Ok(Some(owner)),
                    (SignalError::NameTaken { .. }, None) => {}
                    (error, _) => return Err(error),
                }
            }
        }
        bond.tie(cell)?;
        std::mem::take(&mut start.messages).into_iter().try_for_each(|message| cell.send(message))?;
        Ok(None)
    }

    fn check_preemptible(&self, program: &Arc<dyn Program>) -> Result<(), SpawnError> {
        if !program.is_preemptible() && !self.rules.allow_preempt_none {
            return Err(SpawnError::PreemptNone { entry: program.entry().clone(), host: self.id.clone() });
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), SpawnError> {
        // Acquire, with the Release store in `shutdown`.
        if self.closing.load(Ordering::Acquire) {
            return Err(SpawnError::Closing { host: self.id.clone() });
        }
        Ok(())
    }

    fn admit(&self, ground: &Ground, footprint: &Footprint, deadline: Option<Instant>) -> Result<Place, SpawnError> {
        let desk = &ground.host().desk;
        let admitted = match deadline {
            Some(deadline) if !current::on_worker() => self.table.admit_until(desk, footprint, deadline),
            _ => self.table.admit(desk, footprint),
        };
        admitted.map_err(|full| match self.check_open() {
            Ok(()) => self.busy(full),
            Err(closing) => closing,
        })
    }

    fn busy(&self, full: Full) -> SpawnError {
        let host = self.id.clone();
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        match full {
            Full::Host { bound, allowed } => {
                SpawnError::Busy { host, bound, allowed, live: self.table.len(), raise: None }
            }
            Full::Runtime(Reached { resource, allowed, live, raise }) => SpawnError::Busy {
                host,
                bound: resource.name(),
                allowed: count(allowed),
                live: count(live),
                raise: Some(raise),
            },
        }
    }

    /// Takes no process from now on.
    pub(super) fn close(&self) {
        // Release, with the Acquire loads in `spawn` and `machinery`; the lock is passed once, so that a start that was
        // under way is over.
        self.closing.store(true, Ordering::Release);
        drop(self.starting.lock());
        self.table.close();
    }

    /// Asks everybody to end.
    pub(super) fn cancel_all(&self) {
        self.table.all().iter().for_each(|cell| cell.cancel(None, "host shutdown"));
    }

    /// What is rung when somebody has left this host or another one of the runtime.
    pub(super) fn bell(&self) -> &Arc<Bell> {
        self.ceiling.bell()
    }

    /// Stops the host: no new process, cancel for all, force for what is left at `deadline` or after its own
    /// `stop_timeout`, then the workers. Without either the wait has no end.
    ///
    /// `tick` has computing guests look up: a forced end must not wait for a clock that stands still. Returns the
    /// processes that had to be terminated.
    ///
    /// On a worker, which may not wait, everybody is terminated at once and ends after this has returned; the workers stop
    /// when the host is dropped.
    pub(crate) fn shutdown(&self, deadline: Option<Instant>, tick: &dyn Fn()) -> Vec<Pid> {
        self.close();
        let Some((scheduler, grounds)) = self.machinery.get() else { return Vec::new() };
        if current::on_worker() {
            let terminated = self.terminate_all();
            tick();
            return terminated;
        }
        self.cancel_all();
        let own = Instant::now().checked_add(self.rules.stop_timeout);
        let deadline = deadline.into_iter().chain(own).min();
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
            scheduler.stop();
        } else if let Err(error) = scheduler.shutdown() {
            // Unreachable: this is no worker. A host that keeps its workers is better than a panic.
            tracing::error!(host = %self.id, %error, "the workers were not stopped");
        }
        grounds[0].host().reactor.close();
        terminated
    }

    /// Ends everybody by force, and says whom.
    pub(super) fn terminate_all(&self) -> Vec<Pid> {
        let left = self.table.all();
        left.iter().for_each(|cell| cell.terminate());
        left.iter().map(|cell| cell.pid.clone()).collect()
    }
}

impl Drop for Host {
    /// Processes hold on to what they stand on, so the workers do not stop by themselves while there are some.
    fn drop(&mut self) {
        if let Some((scheduler, _)) = self.machinery.get() {
            scheduler.stop();
        }
    }
}

/// The processes that a start has monitor or link with the new one.
struct Bond {
    monitored_by: Option<Arc<ProcessCell>>,
    linked_with: Option<Arc<ProcessCell>>,
}

impl Bond {
    fn of(start: &Start, manager: &Manager) -> Result<Self, SignalError> {
        let cell = |pid: &Option<Pid>| pid.as_ref().map(|pid| manager.cell(pid)).transpose();
        Ok(Self { monitored_by: cell(&start.monitored_by)?, linked_with: cell(&start.linked_with)? })
    }

    fn tie(&self, cell: &Arc<ProcessCell>) -> Result<(), SignalError> {
        if let Some(watcher) = &self.monitored_by {
            match topology::monitor(watcher, &cell.pid, Some(cell)) {
                Ok(()) | Err(SignalError::AlreadyMonitored { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.linked_with.as_ref().map_or(Ok(()), |linked| topology::link(linked, cell))
    }
}

/// The start of a process whose name somebody has: a word to that one instead.
fn signal(owner: Arc<ProcessCell>, start: &mut Start, bond: &Bond) -> Result<ProcessHandle, SpawnError> {
    let allowed = start.starter.as_ref().map_or(Ok(()), |starter| starter.may_signal(&owner));
    let told = allowed
        .and_then(|()| bond.tie(&owner))
        .and_then(|()| std::mem::take(&mut start.messages).into_iter().try_for_each(|message| owner.send(message)));
    told.map_err(|error| SpawnError::Signal { entry: start.entry.clone(), error: error.into() })?;
    std::mem::take(&mut start.watchers).into_iter().for_each(|watcher| owner.watch(watcher));
    Ok(ProcessHandle::new(owner))
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
