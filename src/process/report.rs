//! What is known of a process at its end.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Exit, FailureKind, MailboxStats, Pid};
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
    /// What became of the messages that were sent to it.
    pub mailbox: MailboxStats,
}

impl Report {
    /// The report as JSON, with keys that stay: those of this struct, times in nanoseconds as `wall_ns` and `cpu_ns`.
    ///
    /// `exit` has a `kind` (`returned`, `exited`, `trapped`, `limit`, `cancelled`, `terminated`, `failed`) and what belongs to
    /// it; `limits` has what was allowed, `null` for no limit, times in nanoseconds; `messages` has the counts of the mailbox.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "pid": self.pid.to_string(),
            "entry": self.entry.to_string(),
            "exit": exit_json(&self.exit),
            "limits": limits_json(&self.limits),
            "wall_ns": nanos(self.wall),
            "cpu_ns": nanos(self.cpu),
            "steps": self.steps,
            "preemptions": self.preemptions,
            "memory_peak": self.memory_peak,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "messages": messages_json(&self.mailbox),
        })
    }
}

fn messages_json(mailbox: &MailboxStats) -> Value {
    json!({
        "accepted": mailbox.accepted,
        "refused": mailbox.refused,
        "dropped": mailbox.dropped,
        "discarded": mailbox.discarded,
        "unread": mailbox.unread,
    })
}

/// JSON has no more than 64 bits for a whole number; that is 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn exit_json(exit: &Exit) -> Value {
    match exit {
        Exit::Returned(value) => json!({ "kind": "returned", "value": value.to_json() }),
        Exit::Exited(code) => json!({ "kind": "exited", "code": code }),
        Exit::Trapped(trap) => json!({ "kind": "trapped", "message": trap.message, "backtrace": trap.backtrace }),
        Exit::LimitExceeded(limit) => json!({
            "kind": "limit",
            "limit": limit.limit,
            "allowed": limit.allowed,
            "used": limit.used,
            "after": limit.after,
            "backtrace": limit.backtrace,
        }),
        Exit::Cancelled { reason } => json!({ "kind": "cancelled", "reason": reason }),
        Exit::Terminated => json!({ "kind": "terminated" }),
        Exit::Failed(failure) => {
            json!({ "kind": "failed", "failure": failure_name(failure.kind), "message": failure.message })
        }
    }
}

fn failure_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Arguments => "arguments",
        FailureKind::Instantiate => "instantiate",
        FailureKind::Import => "import",
        FailureKind::Panic => "panic",
        FailureKind::Deadlock => "deadlock",
        FailureKind::LinkedProcess => "linked-process",
        FailureKind::NoProcess => "no-process",
        FailureKind::Script => "script",
        FailureKind::PermissionDenied => "permission-denied",
        FailureKind::Host => "host",
    }
}

fn limits_json(limits: &Limits) -> Value {
    let times = [("max_execution", limits.max_execution), ("max_cpu", limits.max_cpu), ("max_step", limits.max_step)];
    let counts = [
        ("max_fuel", limits.max_fuel),
        ("max_memory", limits.max_memory),
        ("max_stack", limits.max_stack),
        ("max_instances", limits.max_instances),
        ("max_tables", limits.max_tables),
        ("max_handles", limits.max_handles),
        ("max_output", limits.max_output),
        ("max_open_sockets", limits.max_open_sockets),
        ("max_open_files", limits.max_open_files),
    ];
    let times = times.map(|(name, time)| (format!("{name}_ns"), time.map(nanos)));
    let counts = counts.map(|(name, count)| (name.to_owned(), count));
    times.into_iter().chain(counts).map(|(name, value)| (name, json!(value))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LimitExceeded;
    use crate::process::{Failure, Payload, Trap};

    fn report(exit: Exit) -> Value {
        let report = Report {
            pid: "{app:processes|0x0002a}".parse().unwrap(),
            entry: "app:worker".parse().unwrap(),
            exit,
            limits: Limits { max_execution: Some(Duration::from_secs(5)), ..Limits::default() },
            wall: Duration::from_millis(7),
            cpu: Duration::from_millis(3),
            steps: 2,
            preemptions: 1,
            memory_peak: 65_536,
            bytes_in: 4,
            bytes_out: 9,
            mailbox: MailboxStats {
                accepted: 5,
                refused: 4,
                dropped: 3,
                discarded: 2,
                unread: 1,
                ..MailboxStats::default()
            },
        };
        report.to_json()
    }

    #[test]
    fn all_that_is_known_is_in_the_json() {
        let found = report(Exit::Returned(Payload::Int(42)));
        let limits = json!({
            "max_execution_ns": 5_000_000_000u64, "max_cpu_ns": null, "max_step_ns": null, "max_fuel": null,
            "max_memory": 1 << 30, "max_stack": 1 << 20, "max_instances": 64, "max_tables": 64, "max_handles": 65_536,
            "max_output": null, "max_open_sockets": null, "max_open_files": null,
        });
        let expected = json!({
            "pid": "{app:processes|0x0002a}", "entry": "app:worker", "exit": { "kind": "returned", "value": 42 },
            "limits": limits, "wall_ns": 7_000_000, "cpu_ns": 3_000_000, "steps": 2, "preemptions": 1,
            "memory_peak": 65_536, "bytes_in": 4, "bytes_out": 9,
            "messages": { "accepted": 5, "refused": 4, "dropped": 3, "discarded": 2, "unread": 1 },
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn every_end_has_its_kind() {
        let limit = LimitExceeded { after: Some("trapped: x".into()), ..LimitExceeded::new("max_cpu", "5ms", "6ms") };
        let ends = [
            (Exit::Exited(3), json!({ "kind": "exited", "code": 3 })),
            (
                Exit::Trapped(Trap { message: "unreachable".into(), backtrace: vec!["f".into()] }),
                json!({ "kind": "trapped", "message": "unreachable", "backtrace": ["f"] }),
            ),
            (
                Exit::LimitExceeded(limit),
                json!({ "kind": "limit", "limit": "max_cpu", "allowed": "5ms", "used": "6ms", "after": "trapped: x", "backtrace": [] }),
            ),
            (Exit::Cancelled { reason: "stop".into() }, json!({ "kind": "cancelled", "reason": "stop" })),
            (Exit::Terminated, json!({ "kind": "terminated" })),
            (
                Exit::Failed(Failure::new(FailureKind::Import, "no such thing")),
                json!({ "kind": "failed", "failure": "import", "message": "no such thing" }),
            ),
        ];
        for (exit, expected) in ends {
            assert_eq!(report(exit)["exit"], expected);
        }
    }
}
