//! Starts of one entry on one host, very many of them.

use std::fmt;
use std::sync::Arc;

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
#[derive(Clone, Copy)]
pub struct Launcher<'m> {
    pub(super) manager: &'m Manager,
    pub(super) program: &'m Arc<dyn Program>,
    pub(super) host: &'m Host,
}

impl Launcher<'_> {
    /// Starts a process with these arguments.
    ///
    /// # Errors
    /// See [`SpawnError`]; at a bound of the host or of the runtime [`SpawnError::Busy`], at once.
    pub fn spawn(&self, input: Vec<Payload>) -> Result<ProcessHandle, SpawnError> {
        self.host.launch(self.program, input, self.manager)
    }
}

impl fmt::Debug for Launcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launcher").field("entry", self.program.entry()).field("host", self.host.id()).finish()
    }
}
