//! Starts of one entry on one host, very many of them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::ground::{Ground, Spot};
use super::host::Running;
use super::{Host, Manager, Payload, ProcessHandle, Program, SpawnError};

/// An entry and a host that were looked up once: [`Manager::launcher`]. Its starts say nothing but the arguments; whatever else a
/// [`Start`](super::Start) can say is as by default.
///
/// A start takes some hundred nanoseconds less in this way, which is something beside a guest of a microsecond.
///
/// ```
/// use wippy::Runtime;
///
/// let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
/// let launcher = runtime.manager().launcher(&"myns:compute_worker".parse()?, &"myns:processes".parse()?)?;
/// let processes = (0..10).map(|number| launcher.spawn(vec![number.into(), 7.into()]));
/// for process in processes.collect::<Result<Vec<_>, _>>()? {
///     assert!(process.wait().is_normal());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Launcher<'m> {
    manager: &'m Manager,
    program: &'m Arc<dyn Program>,
    host: &'m Host,
    running: &'m Running,
    /// The program as each worker has it, once that has started it, and as everybody else does.
    spots: Arc<[OnceLock<Arc<Spot>>]>,
}

impl<'m> Launcher<'m> {
    pub(super) fn new(manager: &'m Manager, program: &'m Arc<dyn Program>, host: &'m Host) -> Result<Self, SpawnError> {
        let running = host.machinery(manager.realm())?;
        let spots = running.1.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { manager, program, host, running, spots })
    }

    /// Starts a process with these arguments.
    ///
    /// # Errors
    /// See [`SpawnError`]; at a bound of the host or of the runtime [`SpawnError::Busy`], at once.
    pub fn spawn(&self, input: Vec<Payload>) -> Result<ProcessHandle, SpawnError> {
        let (scheduler, grounds) = self.running;
        let at = Ground::place_of(scheduler);
        let spot = self.spots[at].get_or_init(|| grounds[at].spot(self.program));
        self.host.launch((scheduler, &grounds[at]), spot, input, self.manager)
    }
}

impl fmt::Debug for Launcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launcher").field("entry", self.program.entry()).field("host", self.host.id()).finish()
    }
}
