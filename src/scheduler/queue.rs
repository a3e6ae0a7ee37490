//! Where ready tasks wait, and in which order a worker looks.
//!
//! Two classes. *Woken* tasks (spawned, or made ready by a waker) go to the deque of the worker that woke them, or to
//! the injector when that was another thread, or when tasks wait there already. *Preempted* tasks used up a slice and go to
//! an injector of their own, which is looked at when there is nothing else, and once every [`PREEMPTED_FIRST_EVERY`] steps.
//!
//! Among woken tasks it is first come, first served: a deque gets nothing while the injector has something, so what lies in
//! a deque was woken before what lies in the injector, and a task waits for those only that were woken before it.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use super::idle::MAX_WORKERS;
use super::task::Job;
use crate::sync::{CachePadded, Injector, Steal, Stealer, Worker};

/// Every so many steps a worker looks at the preempted tasks first, so that woken ones that never run out do not starve
/// them. Prime, so that it does not fall into step with loops of tasks that wake each other in a round; this size, because
/// woken tasks then lose 1.6 % of the steps.
pub(super) const PREEMPTED_FIRST_EVERY: u64 = 61;

/// At most this many tasks move from the injector or from another deque at once: enough to pay for the contended access,
/// few enough that the owner of a deque, who takes one after the other, seldom gets in between.
const BATCH_MAX: usize = 32;

/// A theft is at most this many batches.
const BATCHES_STOLEN_MAX: usize = 16;

/// The queues that every thread can reach.
pub(super) struct Queues {
    woken: Injector<Job>,
    preempted: Injector<Job>,
    deques: Box<[Deque]>,
    /// Without replacements, whose deques come last.
    workers: usize,
}

/// The deque of a worker as others see it.
struct Deque {
    stealer: Stealer<Job>,
    /// The first job is what its owner does next, unless the present step goes on for long.
    is_first_taken: CachePadded<AtomicBool>,
}

impl Queues {
    /// The queues of so many workers and of their replacements, which have the rest of the deques.
    pub(super) fn new(deques: &[Worker<Job>], workers: usize) -> Self {
        debug_assert!(deques.len() <= MAX_WORKERS, "the builder checks the number of workers");
        Self {
            workers,
            woken: Injector::new(),
            preempted: Injector::new(),
            deques: deques
                .iter()
                .map(|deque| Deque { stealer: deque.stealer(), is_first_taken: CachePadded::default() })
                .collect(),
        }
    }

    pub(super) fn push_woken(&self, job: Job) {
        self.woken.push(job);
    }

    pub(super) fn push_preempted(&self, job: Job) {
        self.preempted.push(job);
    }

    /// The oldest woken task of the injector, alone.
    pub(super) fn pop_woken(&self) -> Option<Job> {
        until_settled(|| self.woken.steal())
    }

    /// The oldest woken task of the injector; some of those behind it move to the end of `deque`.
    pub(super) fn pop_woken_batch(&self, deque: &Worker<Job>) -> Option<Job> {
        if !self.has_woken() {
            return None;
        }
        // A fair share: the other workers come for theirs.
        let share = self.woken.len() / self.workers + 1;
        until_settled(|| self.woken.steal_batch_with_limit_and_pop(deque, share.min(BATCH_MAX)))
    }

    /// Moves all woken tasks that are in the injector now to the end of `deque`.
    pub(super) fn pull_woken(&self, deque: &Worker<Job>) {
        let all = deque.len() + self.woken.len();
        // Others may take some of them, or bring more; neither keeps this from ending.
        while deque.len() < all && !self.woken.is_empty() {
            match self.woken.steal_batch_with_limit(deque, BATCH_MAX) {
                Steal::Success(()) => {}
                Steal::Retry => crate::sync::spin_loop(),
                Steal::Empty => return,
            }
        }
    }

    /// True when the injector has woken tasks: one that is woken now queues behind them.
    pub(super) fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// The task that was preempted first. One by one: a batch would queue slices behind slices on one worker.
    pub(super) fn pop_preempted(&self) -> Option<Job> {
        until_settled(|| self.preempted.steal())
    }

    /// About half of the deque of some other worker, the oldest ones; victims in an order that starts anywhere.
    pub(super) fn steal(&self, me: usize, deque: &Worker<Job>, random: &Random) -> Option<Job> {
        let count = self.deques.len();
        if count == 1 {
            return None;
        }
        let start = random.below(count);
        (start..start + count).map(|place| place % count).filter(|&victim| victim != me).find_map(|victim| {
            // What its owner does next is left to it: two tasks that wake each other would go from worker to worker.
            if !self.deques[victim].is_worth_stealing() {
                return None;
            }
            let victim = &self.deques[victim].stealer;
            let first = until_settled(|| victim.steal_batch_with_limit_and_pop(deque, BATCH_MAX))?;
            // Who has many goes on having more than the thief does, so that one theft is enough for a while.
            let is_uneven =
                |batches: &usize| *batches < BATCHES_STOLEN_MAX && victim.len() > 2 * (deque.len() + BATCH_MAX);
            let mut batches = 1;
            while is_uneven(&batches) && !victim.steal_batch_with_limit(deque, BATCH_MAX).is_empty() {
                batches += 1;
            }
            Some(first)
        })
    }

    /// True when there is a job that no awake worker is about to run.
    pub(super) fn is_work_pending(&self) -> bool {
        self.is_injected() || self.deques.iter().any(Deque::is_worth_stealing)
    }

    /// True when there is a job anywhere.
    pub(super) fn is_any(&self) -> bool {
        self.is_injected() || self.deques.iter().any(|deque| !deque.stealer.is_empty())
    }

    /// The first job in the deque of `worker` is the next of its owner, or no longer so. Said before the job is pushed
    /// and after another one was taken.
    pub(super) fn set_first_taken(&self, worker: usize, is_taken: bool) {
        // Relaxed: a thief that sees a later push into the deque, or stands behind a fence, sees this as well.
        self.deques[worker].is_first_taken.store(is_taken, Ordering::Relaxed);
    }

    /// True when one of the injectors has a job.
    pub(super) fn is_injected(&self) -> bool {
        self.has_woken() || !self.preempted.is_empty()
    }

    pub(super) fn woken_len(&self) -> usize {
        self.woken.len()
    }

    pub(super) fn preempted_len(&self) -> usize {
        self.preempted.len()
    }

    /// How many jobs the deque of `worker` has.
    pub(super) fn deque_len(&self, worker: usize) -> usize {
        self.deques[worker].stealer.len()
    }
}

impl Deque {
    fn is_worth_stealing(&self) -> bool {
        match self.stealer.len() {
            0 => false,
            1 => !self.is_first_taken.load(Ordering::Relaxed),
            _ => true,
        }
    }
}

/// Repeats an attempt that lost a race against another thread. Each loss is somebody's gain, so this ends.
fn until_settled(mut steal: impl FnMut() -> Steal<Job>) -> Option<Job> {
    loop {
        match steal() {
            Steal::Success(job) => return Some(job),
            Steal::Empty => return None,
            Steal::Retry => crate::sync::spin_loop(),
        }
    }
}

/// A small generator of one worker (xorshift64*): quality is of no matter, a shared one would be.
#[derive(Debug)]
pub(super) struct Random(Cell<u64>);

impl Random {
    /// The generator of worker `index`; the same seed gives the same order of victims.
    pub(super) fn new(seed: u64, index: usize) -> Self {
        // One round of splitmix64, so that neighbouring workers get unrelated sequences.
        let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(Cell::new((z ^ (z >> 31)).max(1)))
    }

    /// A number in `0..bound`; the bias is below 2^-32 for every bound that occurs.
    fn below(&self, bound: usize) -> usize {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        let high = x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((high * bound as u64) >> 32) as usize
    }
}
