//! An item on its way, and what became of it.

use std::time::Duration;

use super::captured::Output;
use crate::process::{Exit, Payload, ProcessHandle, SpawnError};

/// An item that is not over.
pub(super) struct Begun {
    pub(super) index: u64,
    pub(super) attempts: u32,
    pub(super) input: Vec<Payload>,
}

#[cfg(test)]
impl Begun {
    pub(super) fn of(index: u64) -> Self {
        Self { index, attempts: 1, input: Vec::new() }
    }
}

/// What became of an item.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done {
    /// Its place among the inputs, from zero.
    pub index: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What it returned; nothing for a command that ended with code 0.
    pub result: Result<Payload, ItemError>,
    /// What it wrote in its last try, when it is [captured](super::Map::capture).
    pub output: Output,
    /// The process of the last try, for its [report](ProcessHandle::report); none when it could not be started, or was over
    /// so soon that it did not become one.
    pub process: Option<ProcessHandle>,
    /// What the last try took from its beginning to its end; none when there was none.
    pub wall: Option<Duration>,
    /// The time that its guest had on a worker.
    pub cpu: Duration,
}

/// Why an item led to no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The input could not be read.
    #[error("{0}")]
    Input(String),
    /// No process was started.
    #[error(transparent)]
    NotStarted(#[from] SpawnError),
    /// The process returned the `err` of a WIT `result`.
    #[error("returned an error: {0}")]
    Returned(Payload),
    /// The process ended otherwise.
    #[error("{0}")]
    Ended(Exit),
}

impl ItemError {
    /// Its cause in a word: `input`, `spawn`, `error`, `exit`, `trap`, `limit`, `cancelled`, `terminated` or `host`.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::NotStarted(_) => "spawn",
            Self::Returned(_) => "error",
            Self::Ended(exit) => match exit {
                Exit::Returned(_) | Exit::Exited(_) => "exit",
                Exit::Trapped(_) => "trap",
                Exit::LimitExceeded(_) => "limit",
                Exit::Cancelled { .. } => "cancelled",
                Exit::Terminated => "terminated",
                Exit::Failed(_) => "host",
            },
        }
    }

    /// Whether another try may end better. Wrong arguments stay wrong, and who was asked to end was not to go on.
    pub(super) fn is_worth_a_retry(&self) -> bool {
        !matches!(self.cause(), "input" | "spawn" | "cancelled" | "terminated")
    }
}

impl Done {
    pub(super) fn of(item: &Begun, result: Result<Payload, ItemError>) -> Self {
        let Begun { index, attempts, .. } = *item;
        Self { index, attempts, result, output: Output::default(), process: None, wall: None, cpu: Duration::ZERO }
    }

    pub(super) fn without_process(item: &Begun, error: ItemError) -> Self {
        Self::of(item, Err(error))
    }
}
