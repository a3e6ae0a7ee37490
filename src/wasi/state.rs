//! What one process holds on the host's side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::ResourceTable;

use super::config::WasiConfig;
use super::preview1::Descriptors;
use super::random::Generators;
use super::sockets::KnownAddresses;
use super::stdio::StreamFailure;
use crate::reactor::Reactor;

/// How many resources (streams, pollables, descriptors, sockets) one process may hold at once. Enough for a guest that
/// serves ten thousand connections with two streams and a pollable each; a full table is the end of the process where
/// the function called has no error result.
pub(crate) const RESOURCES_MAX: usize = 65_536;

/// Lends a store's data type to the host functions of this room.
pub trait WasiView: Send + 'static {
    /// The process's host state.
    fn wasi(&mut self) -> &mut WasiState;
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
    /// Outlives the store: the exit report reads it.
    pub(super) usage: Arc<WasiUsage>,
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
        table.set_max_capacity(RESOURCES_MAX);
        WasiState {
            table,
            config,
            reactor,
            usage: Arc::default(),
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

    /// Its counters; they outlive the state.
    #[must_use]
    pub fn usage(&self) -> &Arc<WasiUsage> {
        &self.usage
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
                let drained = std::future::poll_fn(|cx| output.poll_drained(cx, target)).await;
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

/// What one process moved through its streams. Read from any thread, also after the process.
#[derive(Debug, Default)]
pub struct WasiUsage {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl WasiUsage {
    /// Bytes the guest has read from its standard input.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes the guest has written to its standard output and error, including those still on their way.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    pub(super) fn add_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
