//! Calls that may block, kept off the workers.

use crate::scheduler::current;

/// Says that what follows may block: a read of a file, a write to a pipe, a wait for another thread.
///
/// # Panics
/// On a worker: a guest, and everybody who waits for its worker, would pay for the call. It belongs on
/// [`BlockingPool::run`](super::BlockingPool::run).
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("file");
/// wippy::reactor::assert_may_block();
/// std::fs::write(&path, "text")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn assert_may_block() {
    assert!(!current::on_worker(), "a call that may block was made on a worker");
}

#[cfg(all(test, not(wippy_loom)))]
mod tests {
    use std::sync::mpsc;
    use std::task::Context;

    use super::*;
    use crate::scheduler::{Scheduler, Step, Task};

    struct Blocking(mpsc::Sender<Option<String>>);

    impl Task for Blocking {
        fn step(&mut self, _: &mut Context<'_>) -> Step {
            assert_may_block();
            self.0.send(None).unwrap();
            Step::Done
        }

        fn panicked(&mut self, message: &str) {
            self.0.send(Some(message.to_owned())).unwrap();
        }
    }

    #[test]
    fn a_worker_may_not_block_and_others_may() {
        assert_may_block();
        let scheduler = Scheduler::builder("guard").workers(1).build().unwrap();
        let (sender, receiver) = mpsc::channel();
        scheduler.spawn(Blocking(sender)).unwrap();
        let message = receiver.recv().unwrap().expect("the step panics");
        assert!(message.contains("may block"), "{message}");
        scheduler.shutdown().unwrap();
    }
}
