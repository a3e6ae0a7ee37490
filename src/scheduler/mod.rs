//! Runs tasks on a fixed set of worker threads: own deque first, then the injector, then stealing.
//!
//! Must not know: pids, wasm, WASI, Lua, I/O, time. A [`Task`] is something with a `step`, a [`Driver`] is something to
//! wait on, a [`Ticker`] says when a slice may be over.
//!
//! Entry: [`Scheduler::builder`], then [`Scheduler::spawn`]. Inside: a waker or a spawn makes a task ready
//! (`task`, `state`) and puts it into a queue (`shared`, `queue`); a worker takes it out and runs one step (`worker`), or
//! sleeps (`idle`, `park`); replacements come and go (`replace`). README.md argues why no wake-up is lost.
//!
//! It is of use without everything else of this crate, and is built with no feature at all:
//!
//! ```
//! use std::sync::mpsc;
//! use std::task::Context;
//! use wippy::scheduler::{Scheduler, Step, Task};
//!
//! /// Adds up, one number a step, so that others run in between.
//! struct Sum {
//!     left: u64,
//!     sum: u64,
//!     done: mpsc::Sender<u64>,
//! }
//!
//! impl Task for Sum {
//!     fn step(&mut self, _: &mut Context<'_>) -> Step {
//!         self.sum += self.left;
//!         self.left -= 1;
//!         if self.left > 0 {
//!             return Step::Preempted;
//!         }
//!         let _ = self.done.send(self.sum);
//!         Step::Done
//!     }
//! }
//!
//! let scheduler = Scheduler::builder("sums").workers(2).build()?;
//! let (done, sums) = mpsc::channel();
//! for left in 1..=100 {
//!     scheduler.spawn(Sum { left, sum: 0, done: done.clone() })?;
//! }
//! assert_eq!(sums.iter().take(100).sum::<u64>(), 171_700);
//! scheduler.shutdown()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A future is a task whose step polls it once, with the waker of the step's context; the task answers [`Step::Blocked`] while
//! it waits. What waits for I/O or time takes a [`Reactor`](crate::reactor::Reactor) as its driver.
//!
//! Invariants:
//! - Steps of one task never overlap, and a task that is woken after its step began is run again.
//! - A worker never unwinds: a panic in a step ends that task; a panic of the scheduler itself aborts.
//! - A ready task is run as long as some worker is not inside a step; a deque's first job may wait for its owner up to
//!   the next tick.
//! - A task is dropped on a worker, before it counts as complete. The exceptions are a suspended task whose last waker is
//!   dropped elsewhere, and tasks that are woken after the shutdown.
//! - While any worker is awake, somebody looks at the driver at least once a tick; after two at the latest where a worker
//!   that has just left it is in a step that never asks whether it should yield.

mod builder;
pub mod current;
mod error;
mod idle;
#[cfg(all(test, wippy_loom))]
mod models;
mod observe;
mod park;
mod phase;
mod queue;
mod replace;
mod shared;
mod state;
mod stats;
mod stretch;
mod task;
#[cfg(all(test, not(wippy_loom)))]
mod tests;
mod tick;
mod unwind;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

pub use builder::{Builder, DEFAULT_MAX_TASKS};
pub use error::{ShutdownError, SpawnError};
pub use idle::MAX_WORKERS;
pub use observe::StepObserver;
pub use park::Driver;
pub use replace::REPLACEMENTS_MAX;
pub use state::TaskState;
pub use stats::{Stats, WorkerStats};
pub use task::{Step, Task, TaskRef};
pub use tick::{DEFAULT_PERIOD, Ticker};

use shared::Shared;
use task::TaskCell;

/// A set of workers. A cheap handle; when the last clone is dropped the workers stop as after [`Scheduler::shutdown`],
/// but nobody waits for them.
#[derive(Clone)]
pub struct Scheduler(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// Who shuts down holds this while waiting, so a second caller waits as well.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Scheduler {
    /// Settings of a scheduler called `name`, which shows in its threads' names.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle { shared, threads: Mutex::new(Vec::new()) }))
    }

    /// The name it was built with.
    pub fn name(&self) -> &str {
        self.0.shared.name()
    }

    /// Makes `task` ready: in the deque of the calling worker when it is one of this scheduler, otherwise in the
    /// injector. A `Box<dyn Task>` is a task as well.
    ///
    /// # Errors
    /// [`SpawnError::Full`] at the bound on live tasks, [`SpawnError::Stopped`] after a shutdown; both give the task back.
    pub fn spawn<T: Task>(&self, task: T) -> Result<TaskRef, SpawnError<T>> {
        let shared = &self.0.shared;
        if shared.is_stopping() {
            return Err(SpawnError::Stopped { task });
        }
        if !shared.admit_task() {
            return Err(SpawnError::Full { task, max_tasks: shared.max_tasks() });
        }
        let cell: task::Job = TaskCell::new(task, Arc::clone(shared));
        shared.push_woken(Arc::clone(&cell));
        Ok(TaskRef(cell))
    }

    /// What it has done and what is queued.
    pub fn stats(&self) -> Stats {
        self.0.shared.stats()
    }

    /// Stops: no task is accepted any more, each worker ends its present step, tasks in queues are dropped by the
    /// workers, the threads end. Returns when they have. Suspended tasks are dropped when they are woken, or when their
    /// last waker is. Calling it again is fine.
    ///
    /// # Errors
    /// [`ShutdownError::OnWorker`] from inside a worker of any scheduler; nothing has happened then.
    pub fn shutdown(&self) -> Result<(), ShutdownError> {
        if current::on_worker() {
            return Err(ShutdownError::OnWorker);
        }
        self.0.shared.stop();
        let replacements = self.0.shared.replacement_threads();
        for thread in self.0.threads.lock().drain(..).chain(replacements) {
            // A worker that panics aborts the program, so there is no error to look at.
            let _ = thread.join();
        }
        Ok(())
    }

    /// As [`Scheduler::shutdown`], but returns at once: each worker stops in its own time. For a worker whose step may
    /// never end, and for callers that may not wait.
    pub fn stop(&self) {
        self.0.shared.stop();
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    fn keep(&self, thread: JoinHandle<()>) {
        self.0.threads.lock().push(thread);
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    /// Perhaps on a worker, so this must not wait.
    fn drop(&mut self) {
        self.shared.stop();
    }
}
