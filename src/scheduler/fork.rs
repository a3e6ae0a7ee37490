//! Fork and join: two futures at once, on two workers only where another one may need work.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::current;
use super::join::JoinHandle;

/// Runs two futures to their ends, the second one as a task of its own when another worker may need work, otherwise both within
/// the calling task, by turns. So a recursion that joins at each node makes few tasks, and may go down to leaves of a
/// microsecond.
///
/// Whoever calls it goes on being preempted: a task that has been computing for a tick lets others run at its next join.
/// When it is dropped, the second future is as well, if not at once. Outside of a worker both run within the caller.
///
/// ```
/// use wippy::scheduler::{self, Scheduler};
///
/// fn sum(numbers: std::ops::Range<u64>) -> std::pin::Pin<Box<dyn Future<Output = u64> + Send>> {
///     Box::pin(async move {
///         if numbers.end - numbers.start <= 1000 {
///             return numbers.sum();
///         }
///         let middle = numbers.start.midpoint(numbers.end);
///         let (left, right) = scheduler::join(sum(numbers.start..middle), sum(middle..numbers.end)).await;
///         left + right
///     })
/// }
///
/// let scheduler = Scheduler::builder("sums").workers(2).build()?;
/// let total = scheduler.spawn_future(sum(0..100_000)).expect("within the bound");
/// assert_eq!(total.wait(), Ok(4_999_950_000));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// When one of the futures panics.
pub async fn join<A, B>(a: A, b: B) -> (A::Output, B::Output)
where
    A: Future,
    B: Future<Output: Send + 'static> + Send + 'static,
{
    if current::is_slice_over() {
        LetOthersRun(false).await;
    }
    match current::fork(b) {
        Ok(handle) => {
            let forked = Forked(handle);
            let a = a.await;
            (a, forked.await)
        }
        Err(b) => by_turns(a, b).await,
    }
}

async fn by_turns<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|context| {
        poll_into(&mut of_a, a.as_mut(), context);
        poll_into(&mut of_b, b.as_mut(), context);
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            some => {
                (of_a, of_b) = some;
                Poll::Pending
            }
        }
    })
    .await
}

fn poll_into<F: Future>(output: &mut Option<F::Output>, future: Pin<&mut F>, context: &mut Context<'_>) {
    if output.is_none()
        && let Poll::Ready(ready) = future.poll(context)
    {
        *output = Some(ready);
    }
}

/// A task that nobody needs any more when this is dropped.
struct Forked<T: Send + 'static>(JoinHandle<T>);

impl<T: Send + 'static> Future for Forked<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Of the errors only the panic is possible: nobody else could cancel it, and after a shutdown nobody polls.
        Pin::new(&mut self.0).poll(context).map(|result| result.unwrap_or_else(|error| panic!("{error}")))
    }
}

impl<T: Send + 'static> Drop for Forked<T> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Ready at the second poll, behind those that wait.
struct LetOthersRun(bool);

impl Future for LetOthersRun {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
