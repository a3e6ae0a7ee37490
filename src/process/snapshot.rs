//! What a living process looks like at one moment.

use std::time::Duration;

use super::Pid;
use crate::limits::Waits;
use crate::registry::EntryId;
use crate::scheduler::TaskState;

/// A living process at one moment, for somebody who looks on: the process itself is not stopped for it, so its numbers may
/// be a step apart.
///
/// ```
/// use wippy::Runtime;
///
/// let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
/// let worker = runtime.spawn("myns:compute_worker", [6, 7])?;
/// for process in runtime.manager().processes() {
///     println!("{} {} {}", process.pid, process.entry, process.waits);
/// }
/// # assert!(worker.wait().is_normal());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name of the process.
    pub pid: Pid,
    /// The entry it runs: the one it was made from, until it upgrades itself to another one.
    pub entry: EntryId,
    /// The names it was given; at most [`NAMES_MAX`](super::NAMES_MAX).
    pub names: Vec<String>,
    /// What its task is doing.
    pub state: TaskState,
    /// What it waits for; nothing when it does not wait, or when nobody has said.
    pub waits: Waits,
    /// Steps it began.
    pub steps: u64,
    /// Steps that ended because the slice was over.
    pub preemptions: u64,
    /// Time spent in steps, the present one included.
    pub cpu: Duration,
    /// Bytes it holds: linear memories, tables and buffers of the host.
    pub memory: u64,
    /// The most it held at any time.
    pub memory_peak: u64,
    /// Messages that wait for it; `None` for a process that does not read any.
    pub mailbox: Option<usize>,
    /// Time since it was spawned.
    pub uptime: Duration,
}
