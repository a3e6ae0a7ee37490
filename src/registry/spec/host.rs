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
    /// What waits for a process to be read.
    pub mailbox: MailboxSpec,
    /// The limits of processes whose entry is silent.
    pub default_limits: LimitsSpec,
    /// The ceilings of all processes.
    pub limits: LimitsSpec,
    /// When the host starts and stops.
    pub lifecycle: Lifecycle,
}

/// The mailboxes of a host's processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailboxSpec {
    /// How many messages wait at most; 65,536 when not written.
    pub max_messages: Option<u64>,
    /// What they take at most, in bytes; 64 MiB when not written.
    pub max_bytes: Option<u64>,
    /// The topics of which the newest messages count: at a bound the oldest of the same topic give way. At most 64.
    pub drop_oldest: Vec<String>,
}

impl MailboxSpec {
    fn decode_fields(f: &mut Fields<'_, '_>) -> Self {
        let drop_oldest = f.texts("drop_oldest");
        if drop_oldest.len() > MAX_DROP_OLDEST {
            let message = format!("too many topics: {}", drop_oldest.len());
            let problem = f.problem("invalid-value", "drop_oldest", message);
            f.error(problem.expected(format!("at most {MAX_DROP_OLDEST}")));
        }
        for (at, topic) in drop_oldest.iter().enumerate() {
            if topic.is_empty() || topic.starts_with('@') || topic.len() > MAX_TOPIC {
                let at = at.to_string();
                let problem = f.problem_at("invalid-value", &["drop_oldest", &at], format!("invalid topic: `{topic}`"));
                f.error(problem.expected("a topic that processes send, not empty and without a leading `@`"));
            }
        }
        Self {
            max_messages: f.long_count("max_messages", "max_messages cannot be negative").filter(|count| *count != 0),
            max_bytes: f.bytes("max_bytes", "max_bytes cannot be negative").filter(|count| *count != 0),
            drop_oldest,
        }
    }
}

/// The most topics a mailbox has the newest messages count of.
pub(crate) const MAX_DROP_OLDEST: usize = 64;

/// The longest topic, in bytes.
pub(crate) const MAX_TOPIC: usize = 1024;

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
            mailbox: MailboxSpec::default(),
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
                mailbox: f.nested("mailbox", MailboxSpec::decode_fields),
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
