//! Replacements: workers that are hired while others are inside steps that can't be preempted.
//!
//! A step says so of itself ([`Held::mark`]), and when its slice is over. The ticker sees it go on for a whole tick, and beyond
//! that time, and counts its worker as *held*; when there is work and nobody sleeps, it hires a replacement, an ordinary worker with a deque of its own. The step's end takes
//! the worker off the count, and a replacement that is one too many then hands over what it has and leaves.

use crate::sync::{AtomicU64, AtomicUsize, CachePadded, Ordering, fence};

/// At most this many replacements a scheduler. One is enough for a worker that computes; several are for guests that all ask
/// for `preempt: none`, and beyond this number they share the processors as threads anyhow.
pub const REPLACEMENTS_MAX: usize = 8;

/// The step of this worker ends when it is told to, or it is inside none.
const FREE: u64 = 0;
/// Its step can't be told to end. The bits above say when its slice is over: in one word with this, so that the ticker never
/// takes the end of one step for that of the next.
const MARKED: u64 = 1;
/// And it has been going on for a tick and beyond its slice.
const HELD: u64 = 2;
/// Where the time begins. What is left is more than a century.
const TIME_SHIFT: u32 = 2;

/// Which workers are held, and how many replacements there are for them.
#[derive(Debug)]
pub(super) struct Held {
    steps: Box<[CachePadded<AtomicU64>]>,
    held: AtomicUsize,
    hired: AtomicUsize,
    hired_max: usize,
}

impl Held {
    /// For so many workers, replacements included.
    pub(super) fn new(workers: usize, hired_max: usize) -> Self {
        Self {
            steps: (0..workers).map(|_| CachePadded(AtomicU64::new(FREE))).collect(),
            held: AtomicUsize::new(0),
            hired: AtomicUsize::new(0),
            hired_max,
        }
    }

    /// The present step of `worker`, which is the caller, can't be told to end, and its slice is over at this time.
    pub(super) fn mark(&self, worker: usize, slice_end_ns: u64) {
        let slice_end = slice_end_ns.min(u64::MAX >> TIME_SHIFT) << TIME_SHIFT;
        // Relaxed: it carries no data. A swap, so that all changes of the word are of one kind.
        self.steps[worker].swap(slice_end | MARKED, Ordering::Relaxed);
    }

    /// The marked step is over. True when a replacement may be too many now and has to be told.
    #[must_use]
    pub(super) fn unmark(&self, worker: usize) -> bool {
        self.steps[worker].swap(FREE, Ordering::Relaxed) & HELD != 0 && self.one_less()
    }

    /// The step of `worker` has been going on for a tick: it is held when that step is marked and `has_passed` says that the
    /// time at which its slice is over has come. True as for [`Held::unmark`]: the step has ended meanwhile.
    #[must_use]
    pub(super) fn hold(&self, worker: usize, has_passed: impl FnOnce(u64) -> bool) -> bool {
        let step = &self.steps[worker];
        let marked = step.load(Ordering::Relaxed);
        let is_marked = marked & (MARKED | HELD) == MARKED;
        if !is_marked || !has_passed(marked >> TIME_SHIFT) {
            return false;
        }
        // First the count: the end of the step, which takes it back, must not come before it.
        self.held.fetch_add(1, Ordering::Relaxed);
        step.compare_exchange(marked, marked | HELD, Ordering::Relaxed, Ordering::Relaxed).is_err() && self.one_less()
    }

    fn one_less(&self) -> bool {
        let before = self.held.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "what is taken back was counted");
        // Pairs with the fence of a replacement that parks: either this thread sees the replacement, or the replacement
        // sees that it is one too many.
        fence(Ordering::SeqCst);
        self.is_one_too_many()
    }

    /// True when there are fewer replacements than held workers and one more is allowed.
    pub(super) fn is_one_missing(&self) -> bool {
        let hired = self.hired.load(Ordering::Relaxed);
        hired < self.hired_max && hired < self.held.load(Ordering::Relaxed)
    }

    /// Counts one more replacement, which is started next. Only the ticker calls this.
    pub(super) fn hire(&self) {
        // Relaxed: the replacement starts afterwards, so this comes before its fence as well.
        self.hired.fetch_add(1, Ordering::Relaxed);
    }

    /// True when a replacement should leave.
    pub(super) fn is_one_too_many(&self) -> bool {
        self.hired.load(Ordering::Relaxed) > self.held.load(Ordering::Relaxed)
    }

    /// A replacement asks whether to leave; it is off the count then.
    #[must_use]
    pub(super) fn leave(&self) -> bool {
        let leave = |hired: usize| (hired > self.held.load(Ordering::Relaxed)).then(|| hired - 1);
        self.hired.fetch_update(Ordering::Relaxed, Ordering::Relaxed, leave).is_ok()
    }

    /// A replacement that was counted could not be started.
    pub(super) fn not_hired(&self) {
        self.hired.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many replacements there are.
    pub(super) fn hired(&self) -> usize {
        self.hired.load(Ordering::Relaxed)
    }
}
