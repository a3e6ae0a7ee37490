//! What a worker runs: the trait, its cell, and the handle that others hold.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Wake as StdWake, Waker};

use atomic_refcell::{AtomicRefCell, AtomicRefMut};
use smallbox::{SmallBox, smallbox};
use sync_wrapper::SyncWrapper;

use super::current;
use super::error::JoinError;
use super::join::{Awaited, Outcome, Pinned};
use super::shared::Shared;
use super::state::{State, Suspend, TaskState, Wait, Wake};
use super::unwind::guarded;
use crate::sync::CachePadded;

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
pub(super) type Job = Arc<TaskCell>;

/// What became of a task after a step.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) enum After {
    /// It waits, and may be running on another worker by now.
    Suspended,
    /// It is ready again: the worker puts it into a queue.
    Ready,
    /// Its slice is over and it is ready: the worker puts it behind all others.
    Preempted,
    /// It is dropped and complete.
    Complete,
    /// The same, because it panicked.
    Panicked,
}

/// How one step ended. What it waits for is no value within one: written as two bytes and read as a word that would be slow.
pub(super) enum Progress {
    /// Its slice is over.
    Preempted,
    /// It waits for a completion.
    Blocked,
    /// It waits for a message.
    Idle,
    /// It has ended, with this.
    Ended(Outcome),
}

/// What a cell holds.
pub(super) enum Content {
    /// The task is complete, or none has come yet.
    Nothing,
    /// Small ones, of [`INLINE_WORDS`], lie in the cell.
    Task(SmallBox<dyn Task, [usize; INLINE_WORDS]>),
    /// In a box of its own: without `unsafe` nothing can be pinned inside a cell. The box outlives the future, for the next one
    /// of its type.
    Future(Pin<Box<dyn Pinned>>),
}

/// Two cache lines.
const LINES_BYTES: usize = 128;

// Those of a model are larger.
const _: () = assert!(cfg!(all(test, wippy_loom)) || size_of::<TaskCell>() + 2 * size_of::<usize>() <= LINES_BYTES);

/// So many words of a task lie in its cell; one that is larger has a box.
const INLINE_WORDS: usize = 2;

/// The box of a future that is complete is kept up to this size, in bytes.
const BOX_KEPT_MAX: usize = 256;

impl Content {
    pub(super) fn put_task(&mut self, task: impl Task) {
        *self = Self::Task(smallbox!(task));
    }

    pub(super) fn put_future<F>(&mut self, future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let mut future = Some(future);
        let is_taken_over = match self {
            Self::Future(place) => place.as_mut().take_over(&mut future),
            Self::Nothing | Self::Task(_) => false,
        };
        if !is_taken_over {
            *self = Self::Future(Box::pin(future));
        }
    }

    /// True when there is a task that is not complete.
    fn is_live(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Task(_) => true,
            Self::Future(future) => future.is_live(),
        }
    }

    fn step(&mut self, context: &mut Context<'_>, is_cancelled: bool) -> Progress {
        match self {
            Self::Future(future) => future.as_mut().step(context, is_cancelled),
            Self::Task(task) => match task.step(context) {
                Step::Preempted => Progress::Preempted,
                Step::Blocked => Progress::Blocked,
                Step::Idle => Progress::Idle,
                // Nothing is allocated for it.
                Step::Done => Progress::Ended(Ok(Box::new(()))),
            },
            Self::Nothing => unreachable!("a task that is not complete is there"),
        }
    }

    /// A step panicked; this is dropped next.
    fn panicked(&mut self, message: &str) {
        if let Self::Task(task) = self {
            task.panicked(message);
        }
    }

    /// Drops the task. That is foreign code, whose panic must not reach the worker; what it drops is gone in any case.
    fn release(&mut self) {
        let _ = guarded(|| match &mut *self {
            Self::Future(future) if size_of_val(&**future) <= BOX_KEPT_MAX => future.as_mut().release(),
            content => *content = Self::Nothing,
        });
        debug_assert!(!self.is_live(), "an assignment that unwinds has stored the new value");
    }
}

/// How a task knows its scheduler. Many tasks share one, but not all: those that are spawned and dropped by different
/// threads at the same time do not count references in the same place.
pub(super) struct Anchor(CachePadded<Arc<Shared>>);

impl Anchor {
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self(CachePadded(Arc::clone(shared))))
    }
}

impl Deref for Anchor {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// One task with its state. All cells are of one type, so that a worker uses them again and what lies in the queues is one
/// pointer. What each step touches comes first, behind the counts of references. With those it has [`LINES_BYTES`], since whoever
/// spawns for other workers, and who of them runs it, each have every line of it from elsewhere.
#[repr(C)]
pub(super) struct TaskCell {
    scheduler: Arc<Anchor>,
    state: State,
    /// The state word already says who may touch the task, but without `unsafe` only something that counts hands out
    /// `&mut`. Nobody is ever in the way of another one: a failure to borrow is a bug.
    content: AtomicRefCell<SyncWrapper<Content>>,
    /// For who waits for the result, if there can be somebody.
    pub(super) result: Option<Awaited>,
}

impl TaskCell {
    /// A cell without a task.
    pub(super) fn new(scheduler: Arc<Anchor>) -> Self {
        let content = AtomicRefCell::new(SyncWrapper::new(Content::Nothing));
        Self { scheduler, state: State::ready(), content, result: None }
    }

    /// A task that is ready; the caller has found room for it and puts it into a queue.
    pub(super) fn fill(&mut self, put: impl FnOnce(&mut Content), is_awaited: bool) {
        self.state = State::ready();
        put(self.content.get_mut().get_mut());
        self.result = is_awaited.then(Awaited::default);
    }

    /// Drops what its task, which is complete, left behind. False when somebody else has the cell as well.
    #[must_use]
    pub(super) fn clear(self: &mut Arc<Self>) -> bool {
        if self.result.is_none() {
            // Whoever is alone with it stays so. `fill` takes over from those who had it before.
            return Arc::strong_count(self) == 1;
        }
        let Some(unshared) = Arc::get_mut(self) else { return false };
        unshared.drop_result();
        true
    }

    fn drop_result(&mut self) {
        if let Some(result) = self.result.take() {
            // Foreign code.
            let _ = guarded(move || drop(result));
        }
    }

    /// Where the task is.
    pub(super) fn state(&self) -> TaskState {
        self.state.load()
    }

    /// True when somebody asked for the end of the task.
    pub(super) fn is_cancelled(&self) -> bool {
        self.state.is_cancelled()
    }

    /// True when somebody else woke the task since its step began.
    pub(super) fn is_woken(&self) -> bool {
        self.state.is_woken()
    }

    /// One step, on this worker, which took the task out of a queue. `waker` is the task's own, and `wakes_itself` says
    /// afterwards whether the step called it.
    #[inline(always)]
    pub(super) fn step(self: &Arc<Self>, worker: usize, waker: &Waker, wakes_itself: &Cell<bool>) -> After {
        let is_cancelled = self.state.ready_to_running();
        current::set_was_cancelled(is_cancelled);
        let mut slot = self.content.try_borrow_mut().expect("steps of one task never overlap");
        let content = slot.get_mut();
        let progress = guarded(|| content.step(&mut Context::from_waker(waker), is_cancelled));
        let (outcome, after) = match progress {
            Ok(progress @ (Progress::Blocked | Progress::Idle)) => {
                let wait = if matches!(progress, Progress::Idle) { Wait::Message } else { Wait::Completion };
                // Before the state: once the task is suspended, the next step may begin.
                drop(slot);
                if wakes_itself.get() {
                    self.state.running_to_ready();
                    return After::Ready;
                }
                return match self.state.running_to_suspended(wait) {
                    Suspend::Suspended => After::Suspended,
                    Suspend::Ready => After::Ready,
                };
            }
            Ok(Progress::Preempted) => {
                drop(slot);
                self.state.running_to_ready();
                return After::Preempted;
            }
            Ok(Progress::Ended(outcome)) => (outcome, After::Complete),
            Err(message) => {
                // A second panic has nobody left to tell.
                let _ = guarded(|| content.panicked(&message));
                (Err(Box::new(JoinError::Panicked { message })), After::Panicked)
            }
        };
        let complete = |state: &State| {
            if Arc::strong_count(self) > 1 {
                return state.running_to_complete();
            }
            // Pairs with the release of those who had it: what they did to the state comes before this.
            fence(Ordering::Acquire);
            state.alone_to_complete();
        };
        self.end(slot, Some(worker), complete, outcome);
        after
    }

    /// Drops the task, which the caller, perhaps a worker, took out of a queue for good, and makes it complete.
    pub(super) fn retire(&self, worker: Option<usize>) {
        let slot = self.content.try_borrow_mut().expect("nobody is inside a step of a task that is dropped");
        self.end(slot, worker, State::ready_to_complete, Err(Box::new(JoinError::Cancelled)));
    }

    /// The task first, then the state, then the result: who sees it complete sees its resources gone, and who has the
    /// result finds room for another one.
    fn end(
        &self,
        mut slot: AtomicRefMut<'_, SyncWrapper<Content>>,
        worker: Option<usize>,
        complete: impl FnOnce(&State),
        outcome: Outcome,
    ) {
        slot.get_mut().release();
        drop(slot);
        self.scheduler.room.leave(worker);
        complete(&self.state);
        match &self.result {
            Some(result) => result.publish(outcome),
            None => drop(outcome),
        }
    }

    /// Asks for the end of the task.
    pub(super) fn cancel(self: &Arc<Self>) {
        if self.state.cancel() == Wake::Enqueue {
            Arc::clone(self).push();
        }
    }

    /// Puts the task, which is ready, into the deque of this thread when that is a worker of its scheduler, otherwise into the
    /// injector.
    pub(super) fn push(self: Arc<Self>) {
        if let Err(job) = current::push(self) {
            job.push_from_outside();
        }
    }

    fn push_from_outside(self: Arc<Self>) {
        let scheduler = Arc::clone(&self.scheduler);
        scheduler.push_from_outside(self);
    }

    /// Somebody wakes the task. True when the caller has to put it into a queue.
    pub(super) fn is_to_be_queued(&self) -> bool {
        self.state.wake() == Wake::Enqueue
    }

    /// Notes that the task at `by` made this one ready. True when it did so the last time as well.
    pub(super) fn is_woken_again_by(&self, by: *const TaskCell) -> bool {
        // A part of the address: two that share it are taken for one, which is no harm.
        let place = (by.addr() / align_of::<TaskCell>()) as u64;
        let mark = u32::try_from(place & u64::from(u32::MAX)).unwrap_or_default();
        self.state.is_woken_again_by(mark)
    }

    /// The scheduler that runs it.
    pub(super) fn scheduler(&self) -> &Shared {
        &self.scheduler
    }
}

// Never inlined: see `with_core_here`.
impl StdWake for TaskCell {
    #[inline(never)]
    fn wake(self: Arc<Self>) {
        // On a worker it may be a call of the worker itself: see there.
        let mut cell = Some(self);
        current::with_core_here(|core| core.waker_consumed(&mut cell));
        if let Some(cell) = cell
            && cell.is_to_be_queued()
        {
            cell.push_from_outside();
        }
    }

    #[inline(never)]
    fn wake_by_ref(self: &Arc<Self>) {
        let is_done = current::with_core_here(|core| core.waker_called(self)).unwrap_or(false);
        if !is_done && self.is_to_be_queued() {
            Arc::clone(self).push_from_outside();
        }
    }
}

impl Drop for TaskCell {
    /// A suspended task whose last waker and handle are gone can't run again: it is released here. Nobody is left who could
    /// wait for its result.
    fn drop(&mut self) {
        let content = self.content.get_mut().get_mut();
        if content.is_live() {
            content.release();
            self.scheduler.room.leave(None);
        }
        self.drop_result();
    }
}

/// A handle on a spawned task: wakes it, cancels it, looks at it. Holding it keeps the cell, not the task.
#[derive(Clone)]
pub struct TaskRef(pub(super) Job);

impl TaskRef {
    /// Makes the task ready when it is suspended; during a step it is run once more afterwards.
    pub fn wake(&self) {
        if self.0.is_to_be_queued() {
            Arc::clone(&self.0).push();
        }
    }

    /// Asks for the end of the task: [`super::current::cancelled`] is true in its next step, or in the present one from
    /// its next tick on. A suspended task is woken. No effect on a complete one.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// A waker of this task, for whoever will wake it.
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    /// True when the task has ended and its value is dropped.
    pub fn is_complete(&self) -> bool {
        self.state() == TaskState::Complete
    }

    /// True when somebody called [`TaskRef::cancel`] before the task was complete.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// How many steps the task has begun.
    pub fn steps(&self) -> u64 {
        self.0.state.steps()
    }

    /// Where the task is right now; out of date as soon as it is read, except for [`TaskState::Complete`].
    pub fn state(&self) -> TaskState {
        self.0.state()
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef").field("state", &self.state()).field("steps", &self.steps()).finish()
    }
}
