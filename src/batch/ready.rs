//! What has completed and was not looked at yet: workers add to it, one consumer takes all at once.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::chunk::Returned;

/// The keys of completed items. It never holds more than there are items in flight.
///
/// A consumer that is woken for every item spends more on being woken than a short item takes. So it says how many it wants
/// to see before it is woken, and takes care itself that this does not make it late.
#[derive(Default)]
pub(super) struct Ready {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    done: Vec<usize>,
    /// Chunks of items that were run, or not.
    returned: Vec<Returned>,
    /// How many items are in them.
    returned_items: usize,
    /// Whether somebody said that there is something else to look at.
    poked: bool,
    /// How many the consumer waits for; zero when it does not wait.
    wanted: usize,
    waker: Option<Waker>,
}

impl State {
    fn is_enough(&self, wanted: usize) -> bool {
        self.poked || self.done.len() + self.returned_items >= wanted
    }
}

impl Ready {
    /// This item has completed. Never blocks for longer than another such call.
    pub(super) fn push(&self, key: usize) {
        let mut state = self.state.lock();
        state.done.push(key);
        self.tell(state);
    }

    /// A worker is through with these.
    pub(super) fn give_back(&self, chunk: Returned) {
        let mut state = self.state.lock();
        state.returned_items += chunk.items.len();
        state.returned.push(chunk);
        self.tell(state);
    }

    /// There is something else to look at, for example a new input.
    pub(super) fn poke(&self) {
        let mut state = self.state.lock();
        state.poked = true;
        self.tell(state);
    }

    fn tell(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        if state.wanted == 0 || !state.is_enough(state.wanted) {
            return;
        }
        state.wanted = 0;
        let waker = state.waker.take();
        drop(state);
        match waker {
            Some(waker) => waker.wake(),
            None => _ = self.changed.notify_one(),
        }
    }

    /// Moves what has completed into `keys`, which is empty, and returns the chunks.
    pub(super) fn take(&self, keys: &mut Vec<usize>) -> Vec<Returned> {
        let mut state = self.state.lock();
        state.poked = false;
        state.returned_items = 0;
        std::mem::swap(&mut state.done, keys);
        std::mem::take(&mut state.returned)
    }

    /// Blocks until so many have completed, until a poke, or until the deadline; false when it was the deadline.
    pub(super) fn wait(&self, wanted: usize, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while !state.is_enough(wanted) {
            state.wanted = wanted;
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        state.wanted = 0;
                        return state.is_enough(wanted);
                    }
                }
            }
        }
        state.wanted = 0;
        true
    }

    /// Ready when one has completed or somebody poked; otherwise keeps the waker.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.is_enough(1) {
            return Poll::Ready(());
        }
        state.wanted = 1;
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_consumer_is_woken_once_there_is_enough() {
        let ready = Arc::new(Ready::default());
        let consumer = thread::spawn({
            let ready = Arc::clone(&ready);
            move || {
                assert!(ready.wait(3, None));
                let mut keys = Vec::new();
                ready.take(&mut keys);
                keys
            }
        });
        for key in 0..3 {
            assert!(!consumer.is_finished(), "{key}");
            ready.push(key);
        }
        assert_eq!(consumer.join().expect("no panic"), [0, 1, 2]);
    }

    #[test]
    fn a_poke_and_a_deadline_end_a_wait() {
        let ready = Ready::default();
        assert!(!ready.wait(1, Some(Instant::now())));
        ready.poke();
        assert!(ready.wait(1, None));
        ready.take(&mut Vec::new());
        assert!(!ready.wait(1, Some(Instant::now())));
    }

    #[test]
    fn a_waker_is_called_for_the_first_of_what_comes_and_then_forgotten() {
        let (ready, count) = (Ready::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        assert!(ready.poll(&mut context).is_pending());
        ready.push(7);
        ready.push(8);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(ready.poll(&mut context).is_ready());
        let mut keys = Vec::new();
        ready.take(&mut keys);
        assert_eq!(keys, [7, 8]);
        assert!(ready.poll(&mut context).is_pending());
    }
}
