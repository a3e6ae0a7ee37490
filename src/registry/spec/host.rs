//! `process.host` and `terminal.host`.

use super::super::fields::Fields;
use super::lifecycle::Lifecycle;
use super::limits::LimitsSpec;

/// `process.host`: a scheduler with its own workers, and its processes.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessHost {
    /// How many workers; none means one a core. At most 1,024.
    pub workers: Option<usize>,
    /// A hint for the first capacity of the shared queue, 1,024 by default; it grows.
    pub queue_size: usize,
    /// A hint for the first capacity of a worker's queue, 256 by default; it grows.
    pub local_queue_size: usize,
    /// How many processes may live at once; none means what the machine bears.
    pub max_processes: Option<u64>,
    /// How many spawned processes may wait for their first step.
    pub max_queued: Option<u64>,
    /// Whether entries may ask for `preempt: none`.
    pub allow_preempt_none: bool,
    /// The limits of processes whose entry is silent.
    pub default_limits: LimitsSpec,
    /// The ceilings of all processes.
    pub limits: LimitsSpec,
    /// When the host starts and stops.
    pub lifecycle: Lifecycle,
}

/// The most workers a host may ask for: each is a thread.
pub(crate) const MAX_WORKERS: u64 = 1_024;

/// The largest capacity hint; more is reserved memory, not capacity.
const MAX_QUEUE_HINT: u64 = 1 << 24;

impl Default for ProcessHost {
    fn default() -> Self {
        Self {
            workers: None,
            queue_size: 1_024,
            local_queue_size: 256,
            max_processes: None,
            max_queued: None,
            allow_preempt_none: false,
            default_limits: LimitsSpec::default(),
            limits: LimitsSpec::default(),
            lifecycle: Lifecycle::default(),
        }
    }
}

impl ProcessHost {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        let lifecycle = Lifecycle::decode(f);
        let host = f.nested("host", |f| {
            let default = Self::default();
            let workers = positive(f, "workers", MAX_WORKERS, "workers must be greater than 0");
            let queue_size = positive(f, "queue_size", MAX_QUEUE_HINT, "queue_size must be greater than 0");
            let local = positive(f, "local_queue_size", MAX_QUEUE_HINT, "local_queue_size must be greater than 0");
            // Real applications carry this one from an early release of Wippy; it has the meaning of `max_processes`
            // there and here.
            let max_processes = f.long_count("max_processes", "max_processes cannot be negative");
            let max_queued = f.long_count("max_queued", "max_queued cannot be negative");
            Self {
                workers,
                queue_size: queue_size.unwrap_or(default.queue_size),
                local_queue_size: local.unwrap_or(default.local_queue_size),
                max_processes: max_processes.filter(|count| *count != 0),
                max_queued: max_queued.filter(|count| *count != 0),
                allow_preempt_none: f.flag("allow_preempt_none"),
                default_limits: LimitsSpec::decode(f, "default_limits"),
                limits: LimitsSpec::decode(f, "limits"),
                lifecycle: Lifecycle::default(),
            }
        });
        Self { lifecycle, ..host }
    }
}

/// Zero means default; negative numbers are refused.
fn positive(f: &mut Fields<'_, '_>, name: &'static str, max: u64, message: &str) -> Option<usize> {
    f.count(name, max, message).filter(|count| *count != 0).and_then(|count| usize::try_from(count).ok())
}

/// `terminal.host`: one worker, the terminal's streams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TerminalHost {
    /// Whether logs stay away from the terminal while a process runs.
    pub hide_logs: bool,
    /// When the host starts and stops.
    pub lifecycle: Lifecycle,
}

impl TerminalHost {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        Self { hide_logs: f.flag("hide_logs"), lifecycle: Lifecycle::decode(f) }
    }
}
