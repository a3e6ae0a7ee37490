//! What a worker runs: the trait, its cell, and the handle that others hold.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake as StdWake, Waker};

use parking_lot::Mutex;

use super::shared::Shared;
use super::state::{State, TaskState, Wake};
use super::unwind::guarded;

/// Something that is run in steps. Steps of one task never overlap; between two steps it may change workers.
///
/// ```
/// use std::task::Context;
/// use wippy::scheduler::{Scheduler, Step, Task};
///
/// /// Counts down, one step each, and lets others run in between.
/// struct Countdown(u32);
///
/// impl Task for Countdown {
///     fn step(&mut self, _context: &mut Context<'_>) -> Step {
///         match self.0.checked_sub(1) {
///             None => Step::Done,
///             Some(rest) => {
///                 self.0 = rest;
///                 Step::Preempted
///             }
///         }
///     }
/// }
///
/// let scheduler = Scheduler::builder("example").workers(1).build()?;
/// let task = scheduler.spawn(Countdown(3)).expect("one task is within every bound");
/// while !task.is_complete() {
///     std::thread::yield_now();
/// }
/// assert_eq!(task.steps(), 4);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Task: Send + 'static {
    /// Runs until the task waits, is preempted or ends.
    ///
    /// The waker of `context` makes the task ready again; it may be called from any thread, also during the step.
    /// Whether somebody asked for the end of this task is said by [`super::current::cancelled`]; a step that sees it
    /// must return [`Step::Done`].
    fn step(&mut self, context: &mut Context<'_>) -> Step;

    /// The last call after a step panicked: the task is dropped next. The worker goes on.
    fn panicked(&mut self, message: &str) {
        let _ = message;
    }
}

impl<T: Task + ?Sized> Task for Box<T> {
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        (**self).step(context)
    }

    fn panicked(&mut self, message: &str) {
        (**self).panicked(message);
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The slice is over and the task could go on: it goes to the injector, behind everybody who waits.
    Preempted,
    /// The task waits for a completion (I/O, a timer, another thread) and is run again when its waker is called.
    Blocked,
    /// The task waits for a message and is run again when its waker is called.
    Idle,
    /// The task has ended and is dropped by the worker.
    Done,
}

/// What lies in the queues: a task that is ready.
pub(super) type Job = Arc<dyn Runnable>;

/// A step panicked; the task has been told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panicked;

/// A cell without the type of its task.
pub(super) trait Runnable: Send + Sync {
    /// What observers may look at at any time.
    fn header(&self) -> &Header;

    /// One step. The caller has moved the state to running.
    fn step(&self, waker: &Waker) -> Result<Step, Panicked>;

    /// Drops the task. The caller owns it: it is running, or taken out of a queue for good.
    fn release(&self);

    fn into_waker(self: Arc<Self>) -> Waker;

    fn wake(self: Arc<Self>);

    fn cancel(self: Arc<Self>);
}

/// The part of a cell that does not depend on its task.
pub(super) struct Header {
    pub(super) state: State,
    /// Written by the worker inside a step only.
    steps: AtomicU64,
    shared: Arc<Shared>,
}

/// One task with its state: the only allocation that a spawn makes.
pub(super) struct TaskCell<T: Task> {
    header: Header,
    /// The state word already says who may touch the task, but without `unsafe` only a lock hands out `&mut`. It is
    /// never waited for: taking it is `try_lock`, and a failure is a bug.
    task: Mutex<Option<T>>,
}

impl<T: Task> TaskCell<T> {
    /// A cell whose state is ready; the caller has counted it as live and puts it into a queue.
    pub(super) fn new(task: T, shared: Arc<Shared>) -> Arc<Self> {
        let header = Header { state: State::ready(), steps: AtomicU64::new(0), shared };
        Arc::new(Self { header, task: Mutex::new(Some(task)) })
    }

    fn enqueue_if_asked(self: Arc<Self>, wake: Wake) {
        match wake {
            Wake::Enqueue => Arc::clone(&self.header.shared).push_woken(self),
            Wake::Pending | Wake::Complete => {}
        }
    }
}

impl<T: Task> Runnable for TaskCell<T> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn step(&self, waker: &Waker) -> Result<Step, Panicked> {
        let steps = &self.header.steps;
        steps.store(steps.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let mut slot = self.task.try_lock().expect("steps of one task never overlap");
        let task = slot.as_mut().expect("a task that is not complete is there");
        guarded(|| task.step(&mut Context::from_waker(waker))).map_err(|message| {
            // A second panic has nobody left to tell.
            let _ = guarded(|| task.panicked(&message));
            Panicked
        })
    }

    fn release(&self) {
        let task = self.task.try_lock().expect("nobody is inside a step of a task that is dropped").take();
        if task.is_some() {
            // The task's own drop is foreign code; its panic must not reach the worker.
            let _ = guarded(move || drop(task));
            self.header.shared.forget_task();
        }
    }

    fn into_waker(self: Arc<Self>) -> Waker {
        Waker::from(self)
    }

    fn wake(self: Arc<Self>) {
        let wake = self.header.state.wake();
        self.enqueue_if_asked(wake);
    }

    fn cancel(self: Arc<Self>) {
        let wake = self.header.state.cancel();
        self.enqueue_if_asked(wake);
    }
}

impl<T: Task> StdWake for TaskCell<T> {
    fn wake(self: Arc<Self>) {
        Runnable::wake(self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.header.state.wake() == Wake::Enqueue {
            self.header.shared.push_woken(Arc::clone(self) as Job);
        }
    }
}

impl<T: Task> Drop for TaskCell<T> {
    /// A suspended task whose last waker and handle are gone can't run again: it is released here.
    fn drop(&mut self) {
        if self.task.get_mut().is_some() {
            self.release();
        }
    }
}

/// A handle on a spawned task: wakes it, cancels it, looks at it. Holding it keeps the cell, not the task.
#[derive(Clone)]
pub struct TaskRef(pub(super) Job);

impl TaskRef {
    /// Makes the task ready when it is suspended; during a step it is run once more afterwards.
    pub fn wake(&self) {
        Arc::clone(&self.0).wake();
    }

    /// Asks for the end of the task: [`super::current::cancelled`] is true in its next step, or in the present one from
    /// its next tick on. A suspended task is woken. No effect on a complete one.
    pub fn cancel(&self) {
        Arc::clone(&self.0).cancel();
    }

    /// A waker of this task, for whoever will wake it.
    pub fn waker(&self) -> Waker {
        Arc::clone(&self.0).into_waker()
    }

    /// True when the task has ended and its value is dropped.
    pub fn is_complete(&self) -> bool {
        self.state() == TaskState::Complete
    }

    /// True when somebody called [`TaskRef::cancel`] before the task was complete.
    pub fn is_cancelled(&self) -> bool {
        self.0.header().state.is_cancelled()
    }

    /// How many steps the task has begun.
    pub fn steps(&self) -> u64 {
        self.0.header().steps.load(Ordering::Relaxed)
    }

    /// Where the task is right now; out of date as soon as it is read, except for [`TaskState::Complete`].
    pub fn state(&self) -> TaskState {
        self.0.header().state.load()
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef").field("state", &self.state()).field("steps", &self.steps()).finish()
    }
}
