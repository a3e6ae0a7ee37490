//! What a step can ask about itself and the worker it runs on, from as deep inside as it likes.
//!
//! All of it reads a thread-local of the worker. Nothing of it is held across a switch of fibers: a fiber is polled on the
//! thread of its worker, and each function here is done before it returns. Outside of a worker the answers are "no".

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use super::join::JoinHandle;
use super::task::{Content, Job};
use super::worker::Core;

thread_local! {
    static CORE: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
    static PREEMPTED: Cell<bool> = const { Cell::new(false) };
    static WAS_CANCELLED: Cell<bool> = const { Cell::new(false) };
    /// What the step that is over noted, and what the one before the running step did; zero for nothing.
    static NOTED_NS: Cell<u64> = const { Cell::new(0) };
    static BEGAN_NS: Cell<u64> = const { Cell::new(0) };
}

/// True on a thread of a scheduler, whichever.
pub fn on_worker() -> bool {
    with_core(|_| ()).is_some()
}

/// The name of the scheduler whose thread this is.
pub fn scheduler_name() -> Option<Box<str>> {
    with_core(|core| core.shared().name().into())
}

/// True when somebody asked for the end of the running task: its step must return [`super::Step::Done`].
pub fn cancelled() -> bool {
    with_core(Core::is_cancelled).unwrap_or(false)
}

/// True when somebody had asked for the end of the running task before its step began; cheaper than [`cancelled`].
pub(crate) fn was_cancelled() -> bool {
    WAS_CANCELLED.get()
}

/// Says whether the task is cancelled whose step begins now.
pub(super) fn set_was_cancelled(is_cancelled: bool) {
    WAS_CANCELLED.set(is_cancelled);
}

/// Notes the time, of whatever clock the tasks of a scheduler read, at the end of a step: if the next step follows at once, it
/// need not read the clock to know when it began.
pub(crate) fn note_time(ns: u64) {
    NOTED_NS.set(ns);
}

/// The time that the step before noted, if the running one followed at once.
pub(crate) fn noted_time() -> Option<u64> {
    Some(BEGAN_NS.get()).filter(|ns| *ns != 0)
}

/// The worker does something that takes time between two steps.
pub(super) fn forget_time() {
    NOTED_NS.set(0);
}

/// A step begins.
pub(super) fn begin_step() {
    PREEMPTED.set(false);
    BEGAN_NS.set(NOTED_NS.take());
}

/// As [`should_yield`], for a task that could let others run now but has no need to: it looks at the driver as often as if each
/// time a step had ended.
pub(crate) fn others_wait() -> bool {
    with_core(Core::others_wait).unwrap_or(false)
}

/// True when the running task should let others run: it was cancelled, the scheduler stops, or other work is runnable
/// on this worker or from the injector. Looks at the driver first, without waiting, when nobody did since the last tick
/// or a timer is due. Meant to be asked at every tick.
pub fn should_yield() -> bool {
    with_core(Core::should_yield).unwrap_or(false)
}

/// Notes that the running step ends because its slice is over and not because it waits: what a poll of a future can't
/// say with `Pending`. Works on every thread, so a future that is polled elsewhere behaves the same.
pub fn mark_preempted() {
    PREEMPTED.set(true);
}

/// Takes the note back: true when [`mark_preempted`] was called since the step began or since the last call.
#[must_use]
pub fn take_preempted() -> bool {
    PREEMPTED.replace(false)
}

/// Says that the running step computes and can't be told to let others run: when it goes on for longer than a tick and
/// beyond the end of its slice, a replacement takes over the queue of its worker, if the scheduler may have one. Until the
/// end of the step; only the first call in it counts. No effect outside of a worker.
///
/// The end of the slice is in nanoseconds of the driver's clock, see [`Driver::has_passed`](super::Driver::has_passed); zero
/// for a slice of one tick.
pub fn mark_unpreemptible(slice_end_ns: u64) {
    let _ = with_core(|core| core.mark_unpreemptible(slice_end_ns));
}

/// Makes `core` the worker of this thread.
pub(super) fn enter(core: Rc<Core>) {
    let before = CORE.replace(Some(core));
    assert!(before.is_none(), "a thread is a worker once");
}

/// The thread is no worker any more.
pub(super) fn leave() -> Option<Rc<Core>> {
    CORE.take()
}

/// Puts a task that is ready into the deque of this thread when it is a worker of the task's scheduler, and gives it back
/// otherwise.
pub(super) fn push(job: Job) -> Result<(), Job> {
    let mut job = Some(job);
    with_core(|core| {
        if let Some(job) = job.take_if(|job| core.works_for(job.scheduler())) {
            core.push(job);
        }
    });
    job.map_or(Ok(()), Err)
}

/// Spawns `future` for a worker that may need work; gives it back when none does, or outside of a worker.
pub(super) fn fork<F>(future: F) -> Result<JoinHandle<F::Output>, F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let mut future = Some(future);
    let put = |content: &mut Content| content.put_future(future.take().expect("it is asked for once"));
    let forked = with_core(|core| core.fork(put)).flatten();
    match (forked, future) {
        (Some(cell), _) => Ok(JoinHandle::new(cell)),
        (None, future) => Err(future.expect("nobody asked for it")),
    }
}

/// Keeps the cell of a task that is complete for the next one, when this is a worker of its scheduler.
pub(super) fn recycle(cell: Job) {
    let mut cell = Some(cell);
    with_core(|core| {
        if let Some(cell) = cell.take_if(|cell| core.works_for(cell.scheduler())) {
            core.keep(cell);
        }
    });
}

/// True when the running step began before the tick that is over.
pub(crate) fn is_slice_over() -> bool {
    with_core(Core::is_slice_over).unwrap_or(false)
}

/// Calls `ask` with the worker of this thread; `None` elsewhere, and while the thread is being torn down.
///
/// Never inlined: a caller on a fiber may go on with another thread after a switch, and must not keep the address of the
/// thread-local that it computed before.
#[inline(never)]
pub(super) fn with_core<R>(ask: impl FnOnce(&Core) -> R) -> Option<R> {
    with_core_here(ask)
}

/// The same within the caller, for one that is itself never inlined.
#[inline(always)]
pub(super) fn with_core_here<R>(ask: impl FnOnce(&Core) -> R) -> Option<R> {
    CORE.try_with(|core| core.borrow().as_deref().map(ask)).ok().flatten()
}
