//! Work of the host on behalf of processes, beside them on the same workers.

use std::fmt;
use std::future::Future;

use crate::scheduler::Scheduler;

/// Runs futures on the workers of one host: what must not run on a guest's stack, or outlives one call of a guest.
///
/// A cheap handle, given to every process with its [`Birth`](super::Birth). These futures have no pid and no exit, and a
/// host does not wait for them: they are dropped when it shuts down.
#[derive(Clone)]
pub struct Tasks(Scheduler);

impl Tasks {
    pub(crate) fn new(scheduler: Scheduler) -> Self {
        Self(scheduler)
    }

    /// Runs `future` from the next free worker on. One that can't be run, because the host is full or shuts down, is
    /// dropped: whoever waits for it sees its end of a channel closed.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        // The error carries the future; dropping it is what is promised.
        drop(self.0.spawn_detached(future));
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tasks").field(&self.0.name()).finish()
    }
}

#[cfg(all(test, not(wippy_loom)))]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::task::Poll;
    use std::time::Duration;

    use super::*;
    use crate::scheduler::current;

    /// Longer than any machine needs; waited for only by a test that fails.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_future_runs_on_a_worker_across_its_waits() {
        let scheduler = Scheduler::builder("tasks").workers(1).build().unwrap();
        let tasks = Tasks::new(scheduler);
        let (sender, receiver) = channel();
        let mut waited = false;
        tasks.spawn(std::future::poll_fn(move |context| {
            if !std::mem::replace(&mut waited, true) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            sender.send(current::on_worker()).unwrap();
            Poll::Ready(())
        }));
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(true));
    }

    #[test]
    fn a_future_that_can_not_be_run_is_dropped() {
        let scheduler = Scheduler::builder("tasks").workers(1).build().unwrap();
        scheduler.shutdown().unwrap();
        let (sender, receiver) = channel::<()>();
        Tasks::new(scheduler).spawn(async move {
            let _held = sender;
            std::future::pending().await
        });
        assert_eq!(receiver.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}
