//! The services of a runtime: their start, what is told of them.

use std::io;
use std::sync::Arc;

use super::Runtime;
use crate::process::Payload;
use crate::process::supervisor::{Halt, ServiceObserver, ServiceStatus, StartupError};
use crate::reactor::assert_may_block;
use crate::registry::{Diagnostics, Registry, Severity, Spec, StartPlan};
use crate::wasm::Programs;

/// Why services were not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServicesError {
    /// One without which the runtime does not start could not.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// The operating system refused the supervisor its thread.
    #[error("the supervisor could not get its thread")]
    System(#[from] io::Error),
}

impl Runtime {
    /// Starts the services of the application, each after those it requires, and waits until everything runs without which
    /// the runtime does not start. Those with `startup: optional` may come later. From now on they are supervised: what
    /// fails is started again after a delay, as its `lifecycle.restart` says.
    ///
    /// A second call waits for the same start. After an error everything that had started is stopped again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wippy::Runtime;
    /// use wippy::process::supervisor::ServiceState;
    ///
    /// let runtime = Runtime::builder().load("fixtures/apps/services").build()?;
    /// runtime.start_services()?;
    /// let clock = runtime.services().into_iter().find(|service| service.id.name() == "clock").expect("a service");
    /// assert_eq!(clock.state, ServiceState::Running);
    /// runtime.shutdown(Duration::ZERO);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ServicesError::Startup`] names the service that could not start, why, and who requires it.
    ///
    /// # Panics
    /// On a worker: it waits.
    pub fn start_services(&self) -> Result<(), ServicesError> {
        assert_may_block();
        self.begin_services()?;
        Ok(self.supervisor.wait_for_startup()?)
    }

    /// [`Runtime::start_services`] without the wait: see [`Runtime::startup`].
    ///
    /// # Errors
    /// The system refuses the supervisor its thread.
    pub fn begin_services(&self) -> io::Result<()> {
        self.supervisor.begin()
    }

    /// How the start of the services went; none while that is not known.
    #[must_use]
    pub fn startup(&self) -> Option<Result<(), StartupError>> {
        self.supervisor.startup()
    }

    /// The services that are to run and the hosts, in the order of their starts.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceStatus> {
        self.supervisor.statuses()
    }

    /// Has `observer` told of everything that happens to services from now on; see [`ServiceObserver`].
    pub fn watch_services(&self, observer: impl ServiceObserver + 'static) {
        self.supervisor.observe(Arc::new(observer));
    }

    /// Why the runtime stopped its services by itself, if it did: one had to be started again too often, or the one that has
    /// the terminal ended. Call [`Runtime::shutdown`] then.
    #[must_use]
    pub fn halt(&self) -> Option<Halt> {
        self.supervisor.halt()
    }
}

/// Services whose `input` does not fit their process: a start that could only fail. An error where the runtime does not start
/// without it.
pub(super) fn arguments(registry: &Registry, programs: &Programs) -> Diagnostics {
    let plan = StartPlan::of(registry);
    let mut problems = Diagnostics::default();
    for entry in registry {
        let Spec::ProcessService(service) = entry.spec() else { continue };
        // One that is not there is told as such.
        let Some(program) = programs.get(&service.process) else { continue };
        let input: Vec<Payload> = service.input.iter().map(Payload::from_json).collect();
        let Err(error) = program.check(&input) else { continue };
        let is_needed = plan.get(entry.id()).is_some_and(|planned| planned.needed);
        let severity = if is_needed { Severity::Error } else { Severity::Warning };
        let message = format!("the service can't start: `{}`: {error}", service.process);
        problems.add(entry.problem(severity, "service-arguments", &["input"], message));
    }
    problems
}
