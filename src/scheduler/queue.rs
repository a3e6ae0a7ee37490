//! Where ready tasks wait, and in which order a worker looks.
//!
//! Two classes. *Woken* tasks (spawned, or made ready by a waker) go to the deque of the worker that woke them, or to
//! the injector when that was another thread, or when tasks wait there already. *Preempted* tasks used up a slice and go to
//! an injector of their own, which is looked at when there is nothing else, and once every [`PREEMPTED_FIRST_EVERY`] steps.
//!
//! Among woken tasks it is first come, first served: a deque gets nothing while the injector has something, so what lies in
//! a deque was woken before what lies in the injector, and a task waits for those only that were woken before it. The
//! exception are *partners*, tasks that wake each other: who is woken by the same task as the last time is run next, while
//! what the two share is in the cache of this worker, up to [`NEXT_IN_A_ROW_MAX`] times before somebody else's turn.

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

/// So many steps of partners follow each other; then the next one waits in the deque behind all others. Enough to have most of
/// what the cache gives, few enough that those who wait hardly notice.
pub(super) const NEXT_IN_A_ROW_MAX: u32 = 3;

/// The queues that every thread can reach.
pub(super) struct Queues {
    woken: Injector<Job>,
    preempted: Injector<Job>,
    deques: Box<[Deque]>,
    /// Without replacements, whose deques come last.
    workers: usize,
}

/// What a worker itself has to do: its deque, and before that the partner of the task that it runs.
pub(super) struct OwnQueue {
    pub(super) deque: Worker<Job>,
    /// One job at most; a deque, so that others can have it when the present step goes on for long.
    next: Worker<Job>,
    /// Steps of partners that followed each other.
    in_a_row: Cell<u32>,
}

impl OwnQueue {
    pub(super) fn new() -> Self {
        Self { deque: Worker::new_fifo(), next: Worker::new_fifo(), in_a_row: Cell::new(0) }
    }

    pub(super) fn pop(&self) -> Option<Job> {
        if let Some(next) = self.next.pop() {
            self.in_a_row.set(self.in_a_row.get() + 1);
            return Some(next);
        }
        self.in_a_row.set(0);
        self.deque.pop()
    }

    /// True when a partner may be put before all others.
    pub(super) fn takes_next(&self) -> bool {
        self.in_a_row.get() < NEXT_IN_A_ROW_MAX && self.next.is_empty()
    }

    /// The partner that was to be next, when it is somebody else's turn.
    pub(super) fn pop_next(&self) -> Option<Job> {
        self.next.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.deque.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.next.len() + self.deque.len()
    }
}

/// What a worker has to do as others see it.
struct Deque {
    stealer: Stealer<Job>,
    next: Stealer<Job>,
    taken: CachePadded<Taken>,
}

/// What others leave to the owner, unless its present step goes on for long.
#[derive(Default)]
struct Taken {
    /// The first job of the deque is what its owner does next.
    is_first: AtomicBool,
    /// So is the partner of the task that it runs.
    is_next: AtomicBool,
}

impl Queues {
    /// The queues of so many workers and of their replacements, which have the rest of the deques.
    pub(super) fn new(owns: &[OwnQueue], workers: usize) -> Self {
        debug_assert!(owns.len() <= MAX_WORKERS, "the builder checks the number of workers");
        Self {
            workers,
            woken: Injector::new(),
            preempted: Injector::new(),
            deques: owns
                .iter()
                .map(|own| Deque {
                    stealer: own.deque.stealer(),
                    next: own.next.stealer(),
                    taken: CachePadded::default(),
                })
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
            let Deque { stealer: victim, next, .. } = &self.deques[victim];
            let first = until_settled(|| victim.steal_batch_with_limit_and_pop(deque, BATCH_MAX));
            let Some(first) = first else { return until_settled(|| next.steal()) };
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
        self.is_injected() || (0..self.deques.len()).any(|worker| self.own_len(worker) > 0)
    }

    /// The first job in the deque of `worker` is the next of its owner, or no longer so. Said before the job is pushed
    /// and after another one was taken.
    pub(super) fn set_first_taken(&self, worker: usize, is_taken: bool) {
        // Relaxed: a thief that sees a later push into the deque, or stands behind a fence, sees this as well.
        self.deques[worker].taken.is_first.store(is_taken, Ordering::Relaxed);
    }

    /// Puts the partner of the task that `worker` runs before all that it has.
    pub(super) fn push_next(&self, worker: usize, own: &OwnQueue, job: Job) {
        // Relaxed: as above.
        self.deques[worker].taken.is_next.store(true, Ordering::Relaxed);
        own.next.push(job);
    }

    /// The step of `worker` goes on for long: what it would do next is for others as well.
    pub(super) fn free_next(&self, worker: usize) {
        self.set_first_taken(worker, false);
        self.deques[worker].taken.is_next.store(false, Ordering::Relaxed);
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

    /// How many jobs `worker` has for itself.
    pub(super) fn own_len(&self, worker: usize) -> usize {
        self.deques[worker].stealer.len() + self.deques[worker].next.len()
    }
}

impl Deque {
    fn is_worth_stealing(&self) -> bool {
        let is_next_free = || !self.next.is_empty() && !self.taken.is_next.load(Ordering::Relaxed);
        match self.stealer.len() {
            0 => is_next_free(),
            1 => !self.taken.is_first.load(Ordering::Relaxed) || is_next_free(),
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
