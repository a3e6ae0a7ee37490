//! The thread of the supervisor: it hears of ends, of room and of time, asks the core, and does what the core says.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::core::{Core, Effect, FORCED_END_WAIT};
use super::status::{ServiceChange, ServiceEvent};
use super::unit::End;
use crate::process::bell::Listening;
use crate::process::{Exit, Host, Manager, Payload, Pid, ProcessHandle, ResultStyle, SpawnError, Start};
use crate::reactor::{Clock, Instant};
use crate::registry::{EntryId, ProcessService, Value};

/// How often computing guests are asked to look up under a clock that stands still, while their forced end is waited for.
const FORCED_END_TICK: Duration = Duration::from_millis(1);

/// Somebody who is told of what happens to services, on the thread of the supervisor; must not block and not call back into
/// it.
pub trait ServiceObserver: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &ServiceEvent);
}

impl<F: Fn(&ServiceEvent) + Send + Sync> ServiceObserver for F {
    fn observe(&self, event: &ServiceEvent) {
        self(event);
    }
}

/// What a unit of the core is made of.
pub(super) enum Body {
    /// With the ID of its entry.
    Service(EntryId, Box<ProcessService>),
    Host(EntryId),
}

/// What the thread is told.
#[derive(Default)]
struct Inbox {
    /// Ends with their times: at most one for each service.
    ended: VecDeque<(usize, Exit, End, Instant)>,
    /// Somebody left, and so there may be room.
    room: bool,
    /// The earliest time at which everything is to be ended by force.
    stop: Option<Instant>,
    /// A manual clock was moved.
    moved: bool,
    /// A manual clock stood still for as long as a forced end may take.
    hopeless: bool,
    /// The thread is to end.
    quit: bool,
}

/// What the thread and its owner share.
pub(super) struct Shared {
    pub(super) manager: Arc<Manager>,
    clock: Clock,
    tick: Box<dyn Fn() + Send + Sync>,
    bodies: Vec<Body>,
    core: Mutex<Core>,
    /// Rung after every turn of the thread.
    turned: Condvar,
    inbox: Mutex<Inbox>,
    called: Condvar,
    observers: Mutex<Vec<Arc<dyn ServiceObserver>>>,
    /// Whom force met.
    terminated: Mutex<Vec<Pid>>,
}

impl Shared {
    pub(super) fn new(
        manager: Arc<Manager>,
        clock: Clock,
        tick: Box<dyn Fn() + Send + Sync>,
        bodies: Vec<Body>,
        core: Core,
    ) -> Arc<Self> {
        let shared = Arc::new(Self {
            manager,
            clock,
            tick,
            bodies,
            core: Mutex::new(core),
            turned: Condvar::new(),
            inbox: Mutex::default(),
            called: Condvar::new(),
            observers: Mutex::default(),
            terminated: Mutex::default(),
        });
        let weak = Arc::downgrade(&shared);
        // A real clock needs no telling. One with too many hooks has a leak elsewhere; its services don't notice time.
        let _ = shared.clock.on_advance(move |_| call(&weak, |inbox| inbox.moved = true));
        shared
    }

    pub(super) fn observe(&self, observer: Arc<dyn ServiceObserver>) {
        self.observers.lock().push(observer);
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock()
    }

    /// Waits until the core is as wanted.
    pub(super) fn wait_until<R>(&self, mut look: impl FnMut(&Core) -> Option<R>) -> R {
        let mut core = self.core.lock();
        loop {
            if let Some(found) = look(&core) {
                return found;
            }
            self.turned.wait(&mut core);
        }
    }

    /// Everything is to end within this time.
    pub(super) fn stop(&self, grace: Duration) {
        let deadline = self.clock.now().saturating_add(grace);
        self.tell(|inbox| inbox.stop = Some(inbox.stop.map_or(deadline, |before| before.min(deadline))));
    }

    pub(super) fn has_services(&self) -> bool {
        self.bodies.iter().any(|body| matches!(body, Body::Service(..)))
    }

    /// There is no thread and there will be none: no service runs or is ever started, and hosts are stopped by whoever asks.
    pub(super) fn refuse(&self) {
        let now = self.clock.now();
        let mut core = self.core.lock();
        core.stop(now, now);
        (0..self.bodies.len()).for_each(|at| drop(core.ended(at, None, now)));
        self.turned.notify_all();
    }

    pub(super) fn quit(&self) {
        self.tell(|inbox| inbox.quit = true);
    }

    pub(super) fn take_terminated(&self) -> Vec<Pid> {
        std::mem::take(&mut *self.terminated.lock())
    }

    fn tell(&self, what: impl FnOnce(&mut Inbox)) {
        what(&mut self.inbox.lock());
        self.called.notify_one();
    }
}

fn call(shared: &Weak<Shared>, what: impl FnOnce(&mut Inbox)) {
    if let Some(shared) = shared.upgrade() {
        shared.tell(what);
    }
}

/// What only the thread has.
pub(super) struct Driver {
    shared: Arc<Shared>,
    /// The living process of each service.
    processes: Vec<Option<ProcessHandle>>,
    /// There while somebody waits for room, or a host for its last process.
    listening: Option<Listening>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let processes = shared.bodies.iter().map(|_| None).collect();
        Self { shared, processes, listening: None }
    }

    /// Starts what can start.
    pub(super) fn begin(&mut self) {
        let effects = self.shared.core().begin(self.now());
        self.perform(effects);
    }

    /// Begins, and goes on until it is told to quit.
    pub(super) fn run(mut self) {
        self.begin();
        loop {
            self.shared.turned.notify_all();
            let inbox = self.wait();
            for (at, exit, end, when) in inbox.ended {
                self.processes[at] = None;
                let effects = self.shared.core().ended(at, Some((exit, end)), when);
                self.perform(effects);
            }
            if let Some(deadline) = inbox.stop {
                let effects = self.shared.core().stop(deadline, self.now());
                self.perform(effects);
            }
            if inbox.room {
                self.look_for_room();
            }
            if inbox.hopeless {
                let effects = self.shared.core().abandon(self.now());
                self.perform(effects);
            }
            let effects = self.shared.core().tick(self.now());
            self.perform(effects);
            if inbox.quit {
                self.shared.turned.notify_all();
                return;
            }
        }
    }

    fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Waits until it is told something or something is due.
    fn wait(&mut self) -> Inbox {
        let (deadline, waits_for_force) = {
            let core = self.shared.core();
            (core.deadline(), core.waits_for_force())
        };
        let shared = &*self.shared;
        let begin = std::time::Instant::now();
        let mut inbox = shared.inbox.lock();
        loop {
            let is_called = !inbox.ended.is_empty()
                || inbox.room
                || inbox.stop.is_some()
                || inbox.moved
                || inbox.hopeless
                || inbox.quit;
            let due = deadline.map(|deadline| deadline.saturating_duration_since(shared.clock.now()));
            if is_called || due.is_some_and(|due| due.is_zero()) {
                return std::mem::take(&mut *inbox);
            }
            match due {
                // Force takes real time. Without an end of it a drop would wait for a clock that nobody moves any more.
                _ if shared.clock.is_manual() && waits_for_force => {
                    inbox.hopeless = begin.elapsed() >= FORCED_END_WAIT;
                    if inbox.hopeless {
                        continue;
                    }
                    shared.called.wait_for(&mut inbox, FORCED_END_TICK);
                    MutexGuard::unlocked(&mut inbox, || (shared.tick)());
                }
                // Who moves the clock calls.
                Some(due) if !shared.clock.is_manual() => drop(shared.called.wait_for(&mut inbox, due)),
                _ => shared.called.wait(&mut inbox),
            }
        }
    }

    /// Does what the core says, and what it says to what came of that.
    fn perform(&mut self, effects: Vec<Effect>) {
        let mut effects: VecDeque<Effect> = effects.into();
        while let Some(effect) = effects.pop_front() {
            let more = match effect {
                Effect::Start(at) => self.start(at),
                Effect::Cancel(at) => self.cancel(at),
                Effect::Terminate(at) => self.terminate(at),
                Effect::Tell(event) => {
                    self.announce(&event);
                    continue;
                }
            };
            effects.extend(more);
        }
        let listens = self.shared.core().waits_for_room();
        if !listens {
            self.listening = None;
        }
    }

    fn start(&mut self, at: usize) -> Vec<Effect> {
        if !self.shared.core().is_starting(at) {
            return Vec::new();
        }
        let (id, service) = match &self.shared.bodies[at] {
            Body::Host(_) => return self.shared.core().started(at, None, self.now()),
            Body::Service(id, service) => (id.clone(), service.clone()),
        };
        let mut started = self.spawn(at, &id, &service);
        if matches!(&started, Err(SpawnError::Busy { .. })) && self.listening.is_none() {
            self.listen();
            // Who left before that was not heard.
            started = self.spawn(at, &id, &service);
        }
        let now = self.now();
        let mut core = self.shared.core.lock();
        match started {
            Ok(process) => {
                let pid = process.pid().clone();
                self.processes[at] = Some(process);
                core.started(at, Some(pid), now)
            }
            Err(error @ SpawnError::Busy { allowed: 1.., .. }) => core.full(at, error.to_string(), now),
            Err(error) => core.start_failed(at, error.to_string(), now),
        }
    }

    fn spawn(&self, at: usize, id: &EntryId, service: &ProcessService) -> Result<ProcessHandle, SpawnError> {
        let manager = &self.shared.manager;
        let style = manager.program(&service.process)?.result_style();
        let (weak, clock) = (Arc::downgrade(&self.shared), self.shared.clock.clone());
        let watcher = move |_: &Pid, exit: &Exit| {
            let news = (at, exit.clone(), end_of(exit, style), clock.now());
            call(&weak, |inbox| inbox.ended.push_back(news));
        };
        let input = service.input.iter().map(|value: &Value| Payload::from_json(value));
        let mut start = Start::new(service.process.clone(), service.host.clone()).input(input).watch(watcher);
        if let Some(identity) = manager.policies().identity(id) {
            (start.actor, start.scope) = (identity.actor.clone(), identity.scope.clone());
        }
        manager.spawn(start)
    }

    fn listen(&mut self) {
        let Some(host) = self.shared.manager.hosts().next() else { return };
        let weak = Arc::downgrade(&self.shared);
        self.listening = Some(host.bell().listen(move || call(&weak, |inbox| inbox.room = true)));
    }

    fn host(&self, at: usize) -> Option<&Host> {
        match &self.shared.bodies[at] {
            Body::Host(id) => self.shared.manager.host(id),
            Body::Service(..) => None,
        }
    }

    fn cancel(&mut self, at: usize) -> Vec<Effect> {
        if let Some(process) = &self.processes[at] {
            process.cancel("service stopping");
        }
        if self.host(at).is_some() && self.listening.is_none() {
            self.listen();
        }
        if let Some(host) = self.host(at) {
            host.close();
            host.cancel_all();
        }
        self.empty_host(at)
    }

    fn terminate(&mut self, at: usize) -> Vec<Effect> {
        let met = match &self.processes[at] {
            Some(process) => {
                process.terminate();
                vec![process.pid().clone()]
            }
            None => self.host(at).map(Host::terminate_all).unwrap_or_default(),
        };
        let mut terminated = self.shared.terminated.lock();
        for pid in met {
            // A service whose host is out of time as well is met twice.
            if !terminated.contains(&pid) {
                terminated.push(pid);
            }
        }
        drop(terminated);
        self.empty_host(at)
    }

    /// The end of a host that was asked to stop and has nobody left.
    fn empty_host(&self, at: usize) -> Vec<Effect> {
        if self.host(at).is_none_or(|host| host.live() > 0) {
            return Vec::new();
        }
        let mut core = self.shared.core();
        if core.is_stopping(at) { core.ended(at, None, self.now()) } else { Vec::new() }
    }

    fn look_for_room(&mut self) {
        for at in 0..self.shared.bodies.len() {
            let effects = self.empty_host(at);
            self.perform(effects);
        }
        let effects = self.shared.core().room();
        self.perform(effects);
    }

    fn announce(&self, event: &ServiceEvent) {
        let is_host = self.shared.manager.host(&event.service).is_some();
        match &event.change {
            // Theirs are the lines of everybody who runs on them.
            ServiceChange::Started(_) | ServiceChange::Stopping | ServiceChange::Stopped if is_host => {
                tracing::debug!("{event}");
            }
            ServiceChange::Started(_) | ServiceChange::Stopping | ServiceChange::Stopped => tracing::info!("{event}"),
            ServiceChange::Ended { exit, next: None } if exit.is_normal() => tracing::info!("{event}"),
            ServiceChange::WaitsForRoom { .. } => tracing::warn!("{event}"),
            ServiceChange::StartFailed { next: Some(_), .. } | ServiceChange::Ended { next: Some(_), .. } => {
                tracing::warn!("{event}");
            }
            ServiceChange::StartFailed { next: None, .. }
            | ServiceChange::Ended { .. }
            | ServiceChange::Forced
            | ServiceChange::LeftBehind => tracing::error!("{event}"),
        }
        let observers = self.shared.observers.lock().clone();
        observers.iter().for_each(|observer| observer.observe(event));
    }
}

/// What an exit means for a restart.
pub(super) fn end_of(exit: &Exit, style: ResultStyle) -> End {
    match exit {
        Exit::Returned(value) if style.read(value).is_err() => End::Abnormal,
        Exit::Returned(_) | Exit::Exited(0) => End::Normal,
        Exit::Cancelled { .. } | Exit::Terminated => End::Killed,
        Exit::Exited(_) | Exit::Trapped(_) | Exit::LimitExceeded(_) | Exit::Failed(_) => End::Abnormal,
    }
}
