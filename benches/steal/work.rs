//! What tasks do and what loads wait with: the same for all executors.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Counts tasks down; the last one wakes the thread that waits. Neighbours count together first, and nobody counts references:
/// it is the executors that are measured and not one word that all threads write.
pub(crate) struct Latch {
    groups: Box<[Group]>,
    left: Group,
    tasks: usize,
    waits: Thread,
}

/// Tasks of a group.
const GROUP: usize = 100;

/// On cache lines of its own.
#[repr(align(128))]
struct Group(AtomicUsize);

impl Latch {
    /// For so many tasks, again and again, and the calling thread. It is never freed: there is one for each side.
    pub(crate) fn new(tasks: usize) -> &'static Latch {
        let group = |_| Group(AtomicUsize::new(0));
        let groups = (0..tasks.div_ceil(GROUP)).map(group).collect();
        Box::leak(Box::new(Latch { groups, left: group(0), tasks, waits: std::thread::current() }))
    }

    /// Nobody counts it down now.
    pub(crate) fn reset(&self) {
        for (at, group) in self.groups.iter().enumerate() {
            group.0.store(GROUP.min(self.tasks - at * GROUP), Ordering::Relaxed);
        }
        self.left.0.store(self.groups.len(), Ordering::Release);
    }

    /// The end of the task with this number.
    pub(crate) fn count_down(&self, task: usize) {
        let is_last = |group: &Group| group.0.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last(&self.groups[task / GROUP]) && is_last(&self.left) {
            self.waits.unpark();
        }
    }

    pub(crate) fn wait(&self) {
        while self.left.0.load(Ordering::Acquire) > 0 {
            std::thread::park();
        }
    }
}

/// Computes for about this long. How many rounds that takes is found out once, so all sides do the same.
pub(crate) fn compute(time: Duration) -> u64 {
    compute_rounds(time.as_nanos() as u64 * rounds_per_1024_ns() / 1024)
}

fn compute_rounds(rounds: u64) -> u64 {
    let mut x: u64 = black_box(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    black_box(x)
}

/// By the quickest of some attempts: whatever else the machine does only makes them slower.
fn rounds_per_1024_ns() -> u64 {
    const ROUNDS: u64 = 100_000;
    static FOUND: OnceLock<u64> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let attempt = || {
            let begin = Instant::now();
            compute_rounds(ROUNDS);
            begin.elapsed()
        };
        let quickest = (0..50).map(|_| attempt()).min().expect("some attempts");
        (ROUNDS * 1024 / quickest.as_nanos() as u64).max(1)
    })
}

/// Lets others run, `0` times or more.
pub(crate) struct Yields(pub(crate) u32);

impl Future for Yields {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.0.checked_sub(1) {
            None => Poll::Ready(()),
            Some(left) => {
                self.0 = left;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
