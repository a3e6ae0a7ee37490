//! What one process holds on the host's side.

use std::sync::Arc;

use wasmtime::component::ResourceTable;

use super::config::WasiConfig;
use super::preview1::Descriptors;
use super::random::Generators;
use super::sockets::KnownAddresses;
use super::stdio::StreamFailure;
use crate::limits::{Usage, WaitReason, wait_for};
use crate::reactor::Reactor;

/// How many resources (streams, pollables, descriptors, sockets) a process may hold at once. At the bound a function with an
/// error result gives that, and any other one ends the process.
pub(super) fn handles_max(usage: &Usage) -> usize {
    usage.limits().max_handles.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Lends a store's data type to the host functions of this room.
pub trait WasiView: Send + 'static {
    /// The process's host state.
    fn wasi(&mut self) -> &mut WasiState;

    /// Whether somebody else would run if this process let others run now. Where nobody would, it need not stop for that.
    fn others_wait(&self) -> bool {
        true
    }
}

/// The host state of one process: its configuration, its resources, its counters.
///
/// Making one is cheap and does no I/O. Dropping one releases everything the guest held and hands the rest of an
/// unfinished line to where lines go; [`WasiState::drain`] before that waits until its output is out.
///
/// ```
/// use wippy::reactor::{Clock, Reactor, ReactorConfig};
/// use wippy::wasi::{WasiConfig, WasiState};
///
/// let reactor = Reactor::new(Clock::manual(), ReactorConfig::default())?;
/// let state = WasiState::new(WasiConfig::default(), reactor);
/// assert_eq!(state.usage().bytes_out(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct WasiState {
    /// The resources behind the guest's handles.
    pub(super) table: ResourceTable,
    pub(super) config: WasiConfig,
    /// Clock, timers and blocking pool.
    pub(super) reactor: Arc<Reactor>,
    /// Made at the first request.
    pub(super) generators: Option<Generators>,
    /// By which names the guest found which addresses.
    pub(super) known_addresses: KnownAddresses,
    /// What preview 1 knows as file descriptors. Made at the first request.
    pub(super) descriptors: Option<Descriptors>,
}

impl WasiState {
    /// The state of a new process.
    #[must_use]
    pub fn new(config: WasiConfig, reactor: Arc<Reactor>) -> WasiState {
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles_max(&config.usage));
        WasiState {
            table,
            config,
            reactor,
            generators: None,
            known_addresses: KnownAddresses::default(),
            descriptors: None,
        }
    }

    /// What the process was given.
    #[must_use]
    pub fn config(&self) -> &WasiConfig {
        &self.config
    }

    /// Its limits and counters; they outlive the state.
    #[must_use]
    pub fn usage(&self) -> &Arc<Usage> {
        &self.config.usage
    }

    /// The guest goes on as another process, whose usage follows that of this one.
    pub fn pass_on(&mut self, usage: Arc<Usage>) {
        self.config.usage = usage;
    }

    /// The table of its resources, for host functions of other rooms.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Ends the output and waits until all of it has left: a process is complete only then. An unfinished line is
    /// written as one. The future does not borrow the state, so the guest's resources can be gone before it ends;
    /// dropping it waits no longer.
    ///
    /// # Errors
    /// What went wrong with the output that was still on its way, of `stdout` first. A reader that has gone
    /// ([`StreamFailure::Closed`]) is no error of the process: whoever calls decides.
    pub fn drain(&self) -> impl Future<Output = Result<(), StreamFailure>> + Send + use<> {
        let (stdout, stderr) = (self.config.stdout.clone(), self.config.stderr.clone());
        async move {
            let mut ended = Ok(());
            for output in [stdout, stderr] {
                output.finish();
                let target = output.accepted();
                let drained = wait_for(WaitReason::Output, |cx| output.poll_drained(cx, target)).await;
                ended = ended.and(drained);
            }
            ended
        }
    }
}

impl Drop for WasiState {
    fn drop(&mut self) {
        self.config.stdout.finish();
        self.config.stderr.finish();
    }
}
