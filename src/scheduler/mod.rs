//! Runs tasks on a fixed set of worker threads: own deque first, then the injector, then stealing.
//!
//! Must not know: pids, wasm, WASI, Lua, I/O, time. A [`Task`] is something with a `step`, a [`Driver`] is something to
//! wait on, a [`Ticker`] says when a slice may be over.
//!
//! Entry: [`Scheduler::builder`], then [`Scheduler::spawn`] for a state machine, or [`Scheduler::spawn_future`] for a future
//! with a [`JoinHandle`], and [`join()`] for two at once. Inside: a waker or a spawn makes a task ready (`task`, `state`) and puts it
//! into a queue (`shared`, `queue`); a worker takes it out and runs one step (`worker`), or sleeps (`idle`, `park`);
//! replacements come and go (`replace`). README.md argues why no wake-up is lost.
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
//! - A ready task is run as long as some worker is not inside a step; a deque's first job and the partner of the task that its
//!   owner runs may wait for the owner up to the next tick, and so may others that were pushed at the very moment when a
//!   worker parked.
//! - A task is dropped on a worker, before it counts as complete. The exceptions are a suspended task whose last waker is
//!   dropped elsewhere, and tasks that are woken after the shutdown.
//! - While any worker is awake, somebody looks at the driver at least once a tick; after two at the latest where a worker
//!   that has just left it is in a step that never asks whether it should yield.

mod builder;
pub mod current;
mod error;
mod fork;
mod idle;
mod join;
#[cfg(all(test, wippy_loom))]
mod models;
mod observe;
mod park;
mod phase;
mod queue;
mod replace;
mod room;
mod shared;
mod spare;
mod state;
mod stats;
mod stretch;
mod task;
#[cfg(all(test, not(wippy_loom)))]
mod tests;
mod tick;
mod unwind;
mod worker;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

pub use builder::{Builder, DEFAULT_MAX_TASKS};
pub use error::{JoinError, ShutdownError, SpawnError};
pub use fork::join;
pub use idle::MAX_WORKERS;
pub use join::JoinHandle;
pub use observe::StepObserver;
pub use park::Driver;
pub use replace::REPLACEMENTS_MAX;
pub use state::TaskState;
pub use stats::{Stats, WorkerStats};
pub use task::{Step, Task, TaskRef};
pub use tick::{DEFAULT_PERIOD, Ticker};
pub use worker::WORKER_STACK_BYTES;

use shared::Shared;
use task::{Anchor, Content, Job, TaskCell};

/// Anchors for tasks that are spawned from outside.
const ANCHORS: usize = 16;

/// So many tasks of one thread have the same anchor before the next one's turn comes.
const ANCHORED_IN_A_ROW: usize = 64;

/// A set of workers. A cheap handle; when the last clone is dropped the workers stop as after [`Scheduler::shutdown`],
/// but nobody waits for them.
#[derive(Clone)]
pub struct Scheduler(Arc<Handle>);

/// A task in its cell, in no queue yet.
struct Prepared {
    job: Job,
    /// It is spawned by a worker of its scheduler.
    is_own: bool,
}

struct Handle {
    shared: Arc<Shared>,
    /// What tasks that are spawned by other threads know their scheduler by; neighbours in time share one.
    anchors: Box<[Arc<Anchor>]>,
    /// Who shuts down holds this while waiting, so a second caller waits as well.
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Scheduler {
    /// Settings of a scheduler called `name`, which shows in its threads' names.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    fn new(shared: Arc<Shared>) -> Self {
        let anchors = (0..ANCHORS).map(|_| Anchor::new(&shared)).collect();
        Self(Arc::new(Handle { shared, anchors, threads: Mutex::new(Vec::new()) }))
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
        let prepared = self.prepare(task, |content, task| content.put_task(task), false)?;
        let task = TaskRef(Arc::clone(&prepared.job));
        self.push(prepared);
        Ok(task)
    }

    /// As [`Scheduler::spawn`], for a future; one poll is one step. The handle says what becomes of it.
    ///
    /// ```
    /// use wippy::scheduler::Scheduler;
    ///
    /// let scheduler = Scheduler::builder("example").workers(2).build()?;
    /// let inner = scheduler.clone();
    /// let sum = scheduler.spawn_future(async move {
    ///     let parts: Vec<_> = (1..=4).map(|part| inner.spawn_future(async move { part * part })).collect();
    ///     let mut sum = 0;
    ///     for part in parts {
    ///         sum += part.expect("within the bound").await.expect("no panic");
    ///     }
    ///     sum
    /// });
    /// assert_eq!(sum.expect("within the bound").wait(), Ok(30));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Scheduler::spawn`]; they give the future back.
    pub fn spawn_future<F>(&self, future: F) -> Result<JoinHandle<F::Output>, SpawnError<F>>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let prepared = self.prepare(future, |content, future| content.put_future(future), true)?;
        let handle = JoinHandle::new(Arc::clone(&prepared.job));
        self.push(prepared);
        Ok(handle)
    }

    /// As [`Scheduler::spawn_future`], for one that nobody waits for; it costs a little less.
    ///
    /// # Errors
    /// As for [`Scheduler::spawn`]; they give the future back.
    pub fn spawn_detached<F>(&self, future: F) -> Result<(), SpawnError<F>>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.push(self.prepare(future, |content, future| content.put_future(future), false)?);
        Ok(())
    }

    /// Has `put` put `task` into a cell, which the caller puts into a queue.
    fn prepare<T>(
        &self,
        task: T,
        put: impl FnOnce(&mut Content, T),
        is_awaited: bool,
    ) -> Result<Prepared, SpawnError<T>> {
        let shared = &self.0.shared;
        if shared.is_stopping() {
            return Err(SpawnError::Stopped { task });
        }
        let own = current::with_core(|core| core.works_for(shared).then(|| (core.index(), core.new_cell()))).flatten();
        let (worker, cell) = own.unzip();
        if !shared.room.enter(worker) {
            return Err(SpawnError::Full { task, max_tasks: shared.room.max() });
        }
        let cell = cell.or_else(|| shared.spare_cells.one());
        let mut cell = cell.unwrap_or_else(|| Arc::new(TaskCell::new(self.0.anchor())));
        Arc::get_mut(&mut cell).expect("a new cell is nobody else's").fill(|content| put(content, task), is_awaited);
        Ok(Prepared { job: cell, is_own: worker.is_some() })
    }

    fn push(&self, Prepared { job, is_own }: Prepared) {
        match is_own {
            true => job.push(),
            // Without a reference for the time of it: whoever spawns has one.
            false => self.0.shared.push_from_outside(job),
        }
    }

    /// The index of this thread among its workers, those that replace one included; `None` elsewhere.
    pub(crate) fn current_worker(&self) -> Option<usize> {
        current::with_core(|core| core.works_for(&self.0.shared).then(|| core.index())).flatten()
    }

    /// One more than the largest index of a worker.
    pub(crate) fn places(&self) -> usize {
        self.0.shared.counters.len()
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

    fn keep(&self, thread: thread::JoinHandle<()>) {
        self.0.threads.lock().push(thread);
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Handle {
    /// For a task that this thread spawns, which is no worker of this scheduler. So many in a row get the same one that it has
    /// mostly moved on when the workers drop them.
    fn anchor(&self) -> Arc<Anchor> {
        thread_local!(static SPAWNED: Cell<usize> = const { Cell::new(0) });
        let spawned = SPAWNED.replace(SPAWNED.get().wrapping_add(1));
        Arc::clone(&self.anchors[spawned / ANCHORED_IN_A_ROW % ANCHORS])
    }
}

impl Drop for Handle {
    /// Perhaps on a worker, so this must not wait.
    fn drop(&mut self) {
        self.shared.stop();
    }
}
