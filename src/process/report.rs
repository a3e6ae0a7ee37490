//! What is known of a process at its end.

use std::time::Duration;

use super::{Exit, Pid};
use crate::limits::Limits;
use crate::registry::EntryId;

/// How a process ended and what it used: the numbers are final, since a report exists only after the end.
///
/// ```
/// use wippy::Runtime;
///
/// let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
/// let worker = runtime.spawn("myns:compute_worker", [6, 7])?;
/// assert!(worker.wait().is_normal());
/// let report = worker.report().expect("it has ended");
/// assert_eq!((report.entry.to_string().as_str(), report.steps), ("myns:compute_worker", 1));
/// assert!(report.memory_peak > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The name of the process.
    pub pid: Pid,
    /// The entry it was made from.
    pub entry: EntryId,
    /// How it ended; with the limit, allowed and used, when it was one, and the backtrace of a trap.
    pub exit: Exit,
    /// What it was allowed: the limits of entry, host and spawn as they came out together.
    pub limits: Limits,
    /// Time from spawn to the end.
    pub wall: Duration,
    /// Time spent in steps.
    pub cpu: Duration,
    /// Steps it began.
    pub steps: u64,
    /// Steps that ended because the slice was over.
    pub preemptions: u64,
    /// The most memory it held, in bytes: linear memories, tables and buffers of the host.
    pub memory_peak: u64,
    /// Bytes read from its standard input.
    pub bytes_in: u64,
    /// Bytes written to its standard output and error.
    pub bytes_out: u64,
}
