//! Supervision: starts the services of an application in the order in which they require each other, starts again what
//! fails, and stops all of them in reverse.
//!
//! The decisions are in `core`, which has no thread, clock or process and is told of everything with its time; `driver` is
//! the thread that tells it and does what it says. Knows no entry but `process.service` and the hosts, no command line and
//! no signal.
//!
//! The way in is `Supervisor::begin`; the way out `Supervisor::stop`.
//!
//! # Invariants
//! - A service starts when everything it requires runs or has done its work, and is asked to end when nobody that requires it
//!   runs.
//! - A service has at most one process, and its end is known before another one starts.
//! - Observers, programs and hosts are called without a lock held, on the thread of the supervisor. No worker waits for it.
//! - It does nothing between two events: ends, room, a stop and the times that the core names.
//! - Once a stop has begun nothing is started.

mod backoff;
mod core;
mod driver;
mod status;
#[cfg(all(test, not(wippy_loom)))]
mod tests;
mod unit;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use self::core::{Core, Member, Startup};
use super::{HostKind, Manager, Pid};
use crate::reactor::{Clock, assert_may_block};
use crate::registry::{Lifecycle, PlannedService, Registry, Spec, StartPlan};
use crate::scheduler::current;
use driver::{Body, Driver, Shared};

pub use driver::ServiceObserver;
pub use status::{Halt, ServiceChange, ServiceEvent, ServiceState, ServiceStatus, StartupError};

/// The thread that supervises; the README names it.
const THREAD: &str = "wippy-supervisor";

/// What a [`Supervisor`] needs of its runtime.
pub(crate) struct SupervisorConfig {
    pub(crate) manager: Arc<Manager>,
    pub(crate) clock: Clock,
    /// Has computing guests look up.
    pub(crate) tick: Box<dyn Fn() + Send + Sync>,
    /// What delays are drawn from.
    pub(crate) seed: u64,
}

/// The services of one runtime.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    thread: Mutex<Thread>,
}

/// The thread of a supervisor: there is one at most in its life.
enum Thread {
    NotYet,
    Runs(JoinHandle<()>),
    Over,
}

impl Supervisor {
    /// The services that `registry` wants to start, and every host of `config`.
    pub(crate) fn new(registry: &Registry, config: SupervisorConfig) -> Self {
        let plan = StartPlan::of(registry);
        let (mut members, mut bodies) = (Vec::new(), Vec::new());
        // A host takes part that nobody wants to start: it takes processes all the same, and they are to be ended.
        for host in config.manager.hosts().filter(|host| plan.get(host.id()).is_none()) {
            let planned = PlannedService::unplanned(host.id().clone());
            members.push(Member { planned, lifecycle: lifecycle_of(registry, host.id()), has_terminal: false });
            bodies.push(Body::Host(host.id().clone()));
        }
        for planned in plan.services() {
            let body = match registry.get(&planned.id).map(crate::registry::Entry::spec) {
                Some(Spec::ProcessService(service)) => Body::Service(planned.id.clone(), Box::new(service.clone())),
                _ => Body::Host(planned.id.clone()),
            };
            let on_terminal = |id| config.manager.host(id).is_some_and(|host| host.kind() == HostKind::Terminal);
            let has_terminal = matches!(&body, Body::Service(_, service) if on_terminal(&service.host));
            let lifecycle = lifecycle_of(registry, &planned.id);
            members.push(Member { planned: planned.clone(), lifecycle, has_terminal });
            bodies.push(body);
        }
        let core = Core::new(members, config.seed);
        Self {
            shared: Shared::new(config.manager, config.clock, config.tick, bodies, core),
            thread: Mutex::new(Thread::NotYet),
        }
    }

    /// Has `observer` told of everything from now on.
    pub(crate) fn observe(&self, observer: Arc<dyn ServiceObserver>) {
        self.shared.observe(observer);
    }

    /// Begins to start the services; more calls change nothing, nor does one after a stop.
    ///
    /// # Errors
    /// The system refuses the thread `wippy-supervisor`.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let mut thread = self.thread.lock();
        if matches!(*thread, Thread::NotYet) && self.startup().is_none() {
            let mut driver = Driver::new(Arc::clone(&self.shared));
            if !self.shared.has_services() {
                // Nothing of a host needs a thread.
                driver.begin();
                return Ok(());
            }
            *thread = Thread::Runs(std::thread::Builder::new().name(THREAD.into()).spawn(|| driver.run())?);
        }
        Ok(())
    }

    /// How the start went, once that is known.
    pub(crate) fn startup(&self) -> Option<Result<(), StartupError>> {
        known(&self.shared.core())
    }

    /// Waits for [`Supervisor::startup`].
    pub(crate) fn wait_for_startup(&self) -> Result<(), StartupError> {
        assert_may_block();
        self.shared.wait_until(known)
    }

    /// Why it stopped everything by itself, if it did.
    pub(crate) fn halt(&self) -> Option<Halt> {
        self.shared.core().halt().cloned()
    }

    /// Every service and host, in the order of their starts.
    pub(crate) fn statuses(&self) -> Vec<ServiceStatus> {
        self.shared.core().statuses().collect()
    }

    /// Stops everything in reverse order, each within its `stop_timeout` and all of them within `grace`, by force after
    /// that, and waits for it. On a worker, which may not wait, it only asks for it. Returns whom force met.
    pub(crate) fn stop(&self, grace: Duration) -> Vec<Pid> {
        let thread = match std::mem::replace(&mut *self.thread.lock(), Thread::Over) {
            Thread::Runs(thread) => thread,
            Thread::NotYet => {
                self.shared.refuse();
                return Vec::new();
            }
            Thread::Over => return Vec::new(),
        };
        if current::on_worker() {
            self.shared.stop(Duration::ZERO);
            self.shared.quit();
            return Vec::new();
        }
        self.shared.stop(grace);
        self.shared.wait_until(|core| core.is_stopped().then_some(()));
        self.shared.quit();
        // It unwinds for nobody; if it did, its panic was printed.
        let _ = thread.join();
        self.shared.take_terminated()
    }
}

fn known(core: &Core) -> Option<Result<(), StartupError>> {
    match core.startup() {
        Startup::Pending => None,
        Startup::Done => Some(Ok(())),
        Startup::Failed(error) => Some(Err(error.clone())),
    }
}

fn lifecycle_of(registry: &Registry, id: &crate::registry::EntryId) -> Lifecycle {
    registry.get(id).and_then(|entry| entry.spec().lifecycle()).cloned().unwrap_or_default()
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("services", &self.statuses()).finish()
    }
}
