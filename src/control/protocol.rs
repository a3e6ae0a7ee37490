//! What is said between client and server: each value is one line of JSON.
//!
//! Both sides may be of different versions: a field that a reader does not know is ignored, and names of states and of what
//! is waited for are texts.

use serde::{Deserialize, Serialize};

use crate::process::{Snapshot, State};

/// What a client asks for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(super) enum Request {
    /// Who lives.
    Processes,
    /// The end of a process when it next waits.
    Cancel { pid: String, reason: String },
    /// The end of a process by force.
    Terminate { pid: String },
}

/// What the server answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(super) enum Answer {
    /// As many lines follow, each a [`ProcessInfo`].
    Processes { runtime: RuntimeInfo, count: usize },
    /// The process was asked to end.
    Asked,
    /// No living process has this name.
    UnknownProcess,
    /// It can't be done.
    Refused { why: String },
}

/// A runtime, as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuntimeInfo {
    /// Its name among the runtimes of its user: the number of the program, and which of its runtimes.
    pub id: String,
    /// The process number of the program.
    pub program: u32,
    /// The version of the program.
    pub version: String,
    /// The folder of the application; empty when it was made in code.
    pub app: String,
    /// Nanoseconds since it began to serve.
    pub uptime_ns: u64,
}

/// A process of a runtime, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its name.
    pub pid: String,
    /// The entry it was made from.
    pub entry: String,
    /// The names it was given.
    #[serde(default)]
    pub names: Vec<String>,
    /// `ready`, `running`, `blocked`, `idle` or `complete`.
    pub state: String,
    /// What it waits for, by the names of [`WaitReason`](crate::limits::WaitReason); several for one who polls, none for one
    /// who does not wait.
    pub wait: Vec<String>,
    /// Steps it began.
    pub steps: u64,
    /// Steps that ended because the slice was over.
    pub preemptions: u64,
    /// Nanoseconds in steps.
    pub cpu_ns: u64,
    /// Bytes it holds.
    pub memory: u64,
    /// The most bytes it held.
    pub memory_peak: u64,
    /// Messages that wait for it; `None` for a process without a mailbox.
    pub mailbox: Option<usize>,
    /// Nanoseconds since it was spawned.
    pub uptime_ns: u64,
}

impl From<Snapshot> for ProcessInfo {
    fn from(process: Snapshot) -> Self {
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            pid: process.pid.to_string(),
            entry: process.entry.to_string(),
            names: process.names,
            state: state_name(process.state).to_owned(),
            wait: process.waits.iter().map(|reason| reason.name().to_owned()).collect(),
            steps: process.steps,
            preemptions: process.preemptions,
            cpu_ns: nanos(process.cpu),
            memory: process.memory,
            memory_peak: process.memory_peak,
            mailbox: process.mailbox,
            uptime_ns: nanos(process.uptime),
        }
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Running => "running",
        State::Blocked => "blocked",
        State::Idle => "idle",
        State::Complete => "complete",
    }
}

/// A value as one line.
pub(super) fn write<T: Serialize>(value: &T, into: &mut Vec<u8>) {
    // These types have string keys only, and a vector takes every byte.
    serde_json::to_writer(&mut *into, value).expect("a value that JSON can say");
    into.push(b'\n');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn line<T: Serialize>(value: &T) -> Value {
        let mut bytes = Vec::new();
        write(value, &mut bytes);
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn the_lines_are_as_they_were() {
        assert_eq!(line(&Request::Processes), json!({ "ask": "processes" }));
        let cancel = Request::Cancel { pid: "{a:b|0x00001}".into(), reason: "two\nlines".into() };
        assert_eq!(line(&cancel), json!({ "ask": "cancel", "pid": "{a:b|0x00001}", "reason": "two\nlines" }));
        let terminate = Request::Terminate { pid: "{a:b|0x00001}".into() };
        assert_eq!(line(&terminate), json!({ "ask": "terminate", "pid": "{a:b|0x00001}" }));
        assert_eq!(line(&Answer::UnknownProcess), json!({ "answer": "unknown-process" }));
        assert_eq!(line(&Answer::Refused { why: "no".into() }), json!({ "answer": "refused", "why": "no" }));
    }

    #[test]
    fn a_field_of_another_version_is_ignored() {
        let later = json!({ "answer": "asked", "since": "later" });
        assert_eq!(serde_json::from_value::<Answer>(later).unwrap(), Answer::Asked);
    }
}
