//! What can go wrong between a scheduler and its caller.

use std::fmt;

/// Why a task was not spawned. Gives the task back.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError<T> {
    /// The scheduler has as many live tasks as it may have.
    #[error("the scheduler has {max_tasks} live tasks, which is its bound; wait for some to end, or raise `max_tasks`")]
    Full {
        /// The task that was not spawned.
        task: T,
        /// The bound.
        max_tasks: usize,
    },
    /// The scheduler was shut down.
    #[error("the scheduler was shut down and accepts no tasks; spawn before the shutdown")]
    Stopped {
        /// The task that was not spawned.
        task: T,
    },
}

impl<T> SpawnError<T> {
    /// The task that was not spawned.
    pub fn into_task(self) -> T {
        match self {
            Self::Full { task, .. } | Self::Stopped { task } => task,
        }
    }
}

/// Without the task, which need not be `Debug`.
impl<T> fmt::Debug for SpawnError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { max_tasks, .. } => {
                f.debug_struct("Full").field("max_tasks", max_tasks).finish_non_exhaustive()
            }
            Self::Stopped { .. } => f.debug_struct("Stopped").finish_non_exhaustive(),
        }
    }
}

/// Why a scheduler was not shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The call came from a worker: it would wait for its own step to end, or keep another scheduler's worker waiting.
    #[error("`shutdown` was called from inside a worker, which may not wait; call it from another thread")]
    OnWorker,
}

/// Why a future that was spawned has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It was dropped before its end: somebody cancelled it, or its scheduler was shut down.
    #[error("the task was cancelled, or its scheduler shut down, before it had a result")]
    Cancelled,
    /// A poll panicked.
    #[error("the task panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The call that waits came from a worker: it would keep it from the very tasks that it waits for.
    #[error(
        "`wait` was called from inside a worker, which may not wait; await the handle, or call it from another thread"
    )]
    OnWorker,
}
