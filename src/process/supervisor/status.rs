//! What is told of services: their states, what happens to them, and why a runtime does not start or stops by itself.

use std::fmt;
use std::time::Duration;

use crate::process::{Exit, Pid};
use crate::reactor::Instant;
use crate::registry::EntryId;

/// What a service is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceState {
    /// It was never started.
    Unknown,
    /// It is to run, and waits for what it requires or for room.
    Starting,
    /// Its process lives; a host takes processes.
    Running,
    /// It was asked to end and has not yet.
    Stopping,
    /// It ended because it was asked to.
    Stopped,
    /// It did its work, or somebody ended its process. With a next delay it is started again.
    Exited,
    /// It ended with an error, or it could not start. With a next delay it is started again.
    Failed,
}

impl ServiceState {
    /// The state's name, as Wippy has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Exited => "exited",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One service at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its entry.
    pub id: EntryId,
    /// What it is doing.
    pub state: ServiceState,
    /// Its process, the last one when none lives; none for a host.
    pub pid: Option<Pid>,
    /// How often it began to run.
    pub starts: u64,
    /// How often the supervisor tried to start it again, with or without success.
    pub restarts: u64,
    /// How its last process ended.
    pub last_exit: Option<Exit>,
    /// Why it could not start the last time that was tried.
    pub last_error: Option<String>,
    /// How long the wait before its next start is, from its last end on; none when no start is to come.
    pub next_delay: Option<Duration>,
}

/// Something that happened to a service.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServiceEvent {
    /// When, by the clock of the runtime.
    pub at: Instant,
    /// The service.
    pub service: EntryId,
    /// What.
    pub change: ServiceChange,
}

impl fmt::Display for ServiceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.service, self.change)
    }
}

/// What happens to a service.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ServiceChange {
    /// It runs; without a pid it is a host.
    Started(Option<Pid>),
    /// There is no room for its process; it waits for it, at most as long as its start may take.
    WaitsForRoom {
        /// What is full.
        reason: String,
    },
    /// It could not start.
    StartFailed {
        /// Why.
        reason: String,
        /// When it is tried again; none when it is not.
        next: Option<Duration>,
    },
    /// Its process ended by itself, or by somebody who is not its supervisor.
    Ended {
        /// How.
        exit: Exit,
        /// When it is started again; none when it is not.
        next: Option<Duration>,
    },
    /// It is asked to end.
    Stopping,
    /// It did not end in time and is ended by force.
    Forced,
    /// It ended after it was asked to.
    Stopped,
    /// It did not end by force either.
    LeftBehind,
}

impl fmt::Display for ServiceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = |f: &mut fmt::Formatter<'_>, next: &Option<Duration>| match next {
            Some(next) => write!(f, "; started again in {next:?}"),
            None => f.write_str("; not started again"),
        };
        match self {
            Self::Started(None) => f.write_str("takes processes"),
            Self::Started(Some(pid)) => write!(f, "runs as {pid}"),
            Self::WaitsForRoom { reason } => write!(f, "waits for room: {reason}"),
            Self::StartFailed { reason, next } => {
                write!(f, "could not start: {reason}")?;
                again(f, next)
            }
            Self::Ended { exit, next } => {
                exit.fmt(f)?;
                again(f, next)
            }
            Self::Stopping => f.write_str("is asked to end"),
            Self::Forced => f.write_str("did not end in time and is terminated"),
            Self::Stopped => f.write_str("stopped"),
            Self::LeftBehind => f.write_str("did not end by force either and is left behind"),
        }
    }
}

/// Why a runtime does not start: a service without which it must not could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("service `{service}` could not start: {reason}{}", wanted(.chain))]
#[non_exhaustive]
pub struct StartupError {
    /// The service.
    pub service: EntryId,
    /// Why it could not.
    pub reason: String,
    /// Who wants it, from an `auto_start` entry to itself.
    pub chain: Vec<EntryId>,
}

fn wanted(chain: &[EntryId]) -> String {
    if chain.len() < 2 {
        return String::new();
    }
    let names: Vec<String> = chain.iter().map(|id| format!("`{id}`")).collect();
    format!(" (it is required: {})", names.join(" -> "))
}

/// Why a runtime that had started stops by itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Halt {
    /// A service was to be restarted more often than its `max_restarts` allow within its `window`.
    Intensity {
        /// The service.
        service: EntryId,
        /// How many restarts are allowed.
        max_restarts: u32,
        /// In which time.
        window: Duration,
        /// How it ended the last time.
        last: String,
    },
    /// The process of a service on a terminal host ended, which ends the program it is the face of.
    Terminal {
        /// The service.
        service: EntryId,
        /// How its process ended.
        exit: Exit,
    },
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intensity { service, max_restarts, window, last } => write!(
                f,
                "service `{service}` would be started again more often than its `max_restarts: {max_restarts}` allow within \
                 {window:?}; the last time it {last}"
            ),
            Self::Terminal { service, exit } => write!(f, "`{service}`, which has the terminal, {exit}"),
        }
    }
}
