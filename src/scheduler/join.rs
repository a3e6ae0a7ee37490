//! A future as a task, and the handle of who waits for its result.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use parking_lot::Mutex;

use super::current;
use super::error::JoinError;
use super::state::TaskState;
use super::task::{Job, Progress};
use super::unwind::guarded;

/// The result of a task without its type, which its handle knows.
pub(super) type Outcome = Result<Box<dyn Any + Send>, Box<JoinError>>;

/// The place of a future, without its type.
pub(super) trait Pinned: Send {
    /// One poll.
    fn step(self: Pin<&mut Self>, context: &mut Context<'_>, is_cancelled: bool) -> Progress;

    /// Drops the future.
    fn release(self: Pin<&mut Self>);

    /// True when there is a future.
    fn is_live(&self) -> bool;

    /// Takes the future out of `other`, an `Option`, when it has the type of this place.
    fn take_over(self: Pin<&mut Self>, other: &mut dyn Any) -> bool;
}

impl<F: Future<Output: Send + 'static> + Send + 'static> Pinned for Option<F> {
    fn step(self: Pin<&mut Self>, context: &mut Context<'_>, is_cancelled: bool) -> Progress {
        if is_cancelled {
            return Progress::Ended(Err(Box::new(JoinError::Cancelled)));
        }
        let future = self.as_pin_mut().expect("a task that is not complete is there");
        match future.poll(context) {
            Poll::Ready(output) => Progress::Ended(Ok(Box::new(output))),
            Poll::Pending => Progress::Blocked,
        }
    }

    fn release(mut self: Pin<&mut Self>) {
        self.set(None);
    }

    fn is_live(&self) -> bool {
        self.is_some()
    }

    fn take_over(mut self: Pin<&mut Self>, other: &mut dyn Any) -> bool {
        let Some(other) = other.downcast_mut::<Self>() else { return false };
        self.set(other.take());
        true
    }
}

/// The result of a task, once it is there, and who waits for it.
#[derive(Default)]
pub(super) struct Awaited(Mutex<Slot>);

#[derive(Default)]
enum Slot {
    #[default]
    Nothing,
    AwaitedBy(Waker),
    There(Outcome),
    Taken,
}

impl Awaited {
    /// The task has ended. Called once.
    pub(super) fn publish(&self, outcome: Outcome) {
        let before = std::mem::replace(&mut *self.0.lock(), Slot::There(outcome));
        if let Slot::AwaitedBy(waker) = before {
            // Foreign code, on a worker.
            let _ = guarded(|| waker.wake());
        }
    }

    /// The result, or else `waker` is called when it is there.
    fn poll(&self, waker: impl FnOnce() -> Waker) -> Poll<Outcome> {
        let mut slot = self.0.lock();
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::There(outcome) => Poll::Ready(outcome),
            Slot::Taken => panic!("a join handle was polled after it had said the result"),
            Slot::Nothing => {
                *slot = Slot::AwaitedBy(waker());
                Poll::Pending
            }
            Slot::AwaitedBy(before) => {
                let waker = waker();
                *slot = Slot::AwaitedBy(if before.will_wake(&waker) { before } else { waker });
                Poll::Pending
            }
        }
    }
}

/// The result of a future that was given to [`Scheduler::spawn_future`](super::Scheduler::spawn_future): a future itself, on
/// whatever executor, or waited for with [`JoinHandle::wait`]. Dropping it does not touch the task.
#[must_use = "the task goes on without it; `drop` it to say that nobody waits for the result"]
pub struct JoinHandle<T> {
    /// Till the drop.
    cell: Option<Job>,
    result: PhantomData<fn() -> T>,
}

impl<T: Send + 'static> JoinHandle<T> {
    /// For a cell whose task is a future with this output.
    pub(super) fn new(cell: Job) -> Self {
        Self { cell: Some(cell), result: PhantomData }
    }

    fn poll_result(&self, waker: impl FnOnce() -> Waker) -> Poll<Result<T, JoinError>> {
        let result = self.cell().result.as_ref().expect("a task with a handle has a place for its result");
        result.poll(waker).map(|outcome| match outcome {
            Ok(output) => Ok(*output.downcast().expect("the handle knows the type of the result")),
            Err(error) => Err(*error),
        })
    }

    /// Waits for the result, on a thread that is no worker. A task that waits for something when its scheduler is shut down
    /// is not dropped before it is woken or cancelled, and neither does this return before.
    ///
    /// # Errors
    /// [`JoinError::Cancelled`] and [`JoinError::Panicked`] when the task ended without a result; [`JoinError::OnWorker`]
    /// from inside a worker of any scheduler, which may not wait: it awaits the handle.
    pub fn wait(self) -> Result<T, JoinError> {
        if current::on_worker() {
            return Err(JoinError::OnWorker);
        }
        loop {
            let this_thread = || Waker::from(Arc::new(Unpark(std::thread::current())));
            match self.poll_result(this_thread) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// Asks for the end of the task: its future is dropped instead of being polled again. No effect on one that has ended.
    pub fn cancel(&self) {
        self.cell().cancel();
    }

    /// True when the task has ended and its future is dropped.
    pub fn is_complete(&self) -> bool {
        self.cell().state() == TaskState::Complete
    }
}

impl<T: Send + 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// When it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_result(|| context.waker().clone())
    }
}

impl<T> JoinHandle<T> {
    fn cell(&self) -> &Job {
        self.cell.as_ref().expect("it is there till the drop")
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            current::recycle(cell);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("state", &self.cell().state()).finish()
    }
}

/// Wakes a thread that waits in [`JoinHandle::wait`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
