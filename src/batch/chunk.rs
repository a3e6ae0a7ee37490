//! Items that a worker runs one after the other, without a process for each, which few of them need: see [`Prepared`].

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::item::Begun;
use super::ready::Ready;
use crate::process::{Attempted, Exit, Luck, Prepared};

/// Items of a chunk: enough that what is done for each chunk is little for each of them, and few enough that a result
/// is not late.
const CHUNK_MAX: usize = 64;

/// Chunks of a window for each worker, so that none waits for the last items of another one.
const CHUNKS_PER_WORKER: usize = 2;

/// An item of a chunk.
pub(super) struct Tried {
    pub(super) item: Begun,
    /// How it ended, and after what time; nothing of one that has to be a process.
    pub(super) ran: Option<(Exit, Duration)>,
}

/// What a worker is through with.
pub(super) struct Returned {
    pub(super) items: Vec<Tried>,
    /// The last one that was tried was in vain, and those after it were not tried.
    has_failed: bool,
}

/// The way of the items of a map to the workers.
pub(super) struct Lane {
    prepared: Arc<Prepared>,
    stop: Arc<AtomicBool>,
    luck: Luck,
    /// Those that make up the next chunk.
    next: Vec<Begun>,
    size: usize,
    /// How many have been sent and not returned.
    sent: usize,
}

impl Lane {
    pub(super) fn new(prepared: Prepared, window: usize) -> Self {
        let size = (window / (CHUNKS_PER_WORKER * crate::sync::cores())).clamp(1, CHUNK_MAX);
        let (prepared, stop) = (Arc::new(prepared), Arc::default());
        Self { prepared, stop, luck: Luck::default(), next: Vec::new(), size, sent: 0 }
    }

    /// How many are on their way, or about to be.
    pub(super) fn items(&self) -> usize {
        self.sent + self.next.len()
    }

    /// Takes an item, unless it had better be a process.
    pub(super) fn take(&mut self, item: Begun, ready: &Arc<Ready>) -> Result<(), Begun> {
        if !self.luck.is_worth_one() {
            return Err(item);
        }
        self.next.push(item);
        if self.next.len() == self.size {
            self.send(ready);
        }
        Ok(())
    }

    /// Sends what there is.
    pub(super) fn send(&mut self, ready: &Arc<Ready>) {
        if self.next.is_empty() {
            return;
        }
        let next = mem::replace(&mut self.next, Vec::with_capacity(self.size));
        self.sent += next.len();
        let items = next.into_iter().map(|item| Tried { item, ran: None }).collect();
        let chunk = Chunk { items, has_failed: false, ready: Arc::clone(ready) };
        self.prepared.tasks().spawn(chunk.run(Arc::clone(&self.prepared), Arc::clone(&self.stop)));
    }

    /// A chunk has come back.
    pub(super) fn settle(&mut self, returned: &Returned) {
        self.sent -= returned.items.len();
        if returned.has_failed {
            self.luck.failed();
        }
    }

    /// Begins none of those that were sent.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether that was said.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Items on their way. They come back whatever becomes of the task that has them.
struct Chunk {
    items: Vec<Tried>,
    has_failed: bool,
    ready: Arc<Ready>,
}

impl Chunk {
    async fn run(mut self, prepared: Arc<Prepared>, stop: Arc<AtomicBool>) {
        let mut at = 0;
        while at < self.items.len() {
            {
                let Some(stand) = prepared.take_place() else { return };
                for tried in &mut self.items[at..] {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    at += 1;
                    match stand.attempt(&tried.item.input) {
                        (Attempted::Ended(exit), time) => {
                            tried.item.attempts += 1;
                            tried.ran = Some((exit, time));
                        }
                        (Attempted::Unfit, _) => {}
                        (Attempted::Failed, _) => {
                            self.has_failed = true;
                            return;
                        }
                    }
                    if stand.is_slice_over() {
                        break;
                    }
                }
            }
            let mut is_back = false;
            poll_fn(|context| {
                if mem::replace(&mut is_back, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.ready.give_back(Returned { items: mem::take(&mut self.items), has_failed: self.has_failed });
    }
}
