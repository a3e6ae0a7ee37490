//! Who is asleep, who is looking for work, and whom a push wakes.
//!
//! The protocol and the argument why no wake-up is lost are in this room's README.md. In short: a worker is *running*,
//! *searching* or *parked*. A push that puts a job where any worker can find it wakes one parked worker unless somebody
//! is searching; who is the last to stop searching looks after what that left behind.
//!
//! Knows no queue and no task: it asks its [`Surroundings`].

use std::sync::Arc;

use super::park::{Driver, Parker};
use crate::sync::{AtomicUsize, CachePadded, Mutex, Ordering, fence};

/// At most this many workers a scheduler: what the counts can hold with room to spare, and more than machines have.
pub const MAX_WORKERS: usize = 4096;

/// What the idle protocol asks of the worker that goes to sleep.
pub(super) trait Surroundings {
    /// True when there is a job that nobody else is bound to run, or the scheduler stops.
    fn must_stay_awake(&self) -> bool;

    /// How many jobs the events of the driver put into the worker's own deque.
    fn own_len(&self) -> usize;

    /// The worker falls asleep now.
    fn falls_asleep(&self);

    /// The worker has woken up; `by_events` when it has seen some of the driver.
    fn woke_up(&self, by_events: bool);
}

const SEARCHING: usize = 1;
const PARKED: usize = 1 << 13;
const DRIVEN: usize = 1 << 26;

/// One reading of the counts: workers searching, workers parked, and whether one of the parked ones holds the driver.
#[derive(Clone, Copy, Debug)]
struct Counts(usize);

impl Counts {
    fn searching(self) -> usize {
        self.0 & (PARKED - 1)
    }

    fn parked(self) -> usize {
        (self.0 & (DRIVEN - 1)) / PARKED
    }

    fn is_driven(self) -> bool {
        self.0 & DRIVEN != 0
    }
}

/// Which workers are parked, and where. The counts change with it, under its lock.
#[derive(Debug)]
struct Sleepers {
    /// Those on their own condition; the last one has the warmest caches and goes first.
    waiting: Vec<usize>,
    role: Role,
}

/// Who holds the driver. Part of the list and not a lock of its own: a worker that waited for such a lock could not be
/// woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Nobody: the next worker that parks takes it.
    Free,
    /// A parked worker.
    Parked(usize),
    /// A worker that was woken and is still on its way out. It counts as searching, and frees the role before it stops
    /// searching, so whoever is the last to stop finds the role free.
    Leaving,
}

/// Where a worker parks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Condition,
    Driver,
}

/// The idle state of one scheduler.
pub(super) struct Idle {
    counts: CachePadded<AtomicUsize>,
    sleepers: Mutex<Sleepers>,
    parkers: Box<[CachePadded<Parker>]>,
    driver: Arc<dyn Driver>,
}

impl Idle {
    pub(super) fn new(workers: usize, driver: Arc<dyn Driver>) -> Self {
        assert!((1..=MAX_WORKERS).contains(&workers), "the builder checks the number of workers");
        Self {
            counts: CachePadded(AtomicUsize::new(0)),
            sleepers: Mutex::new(Sleepers { waiting: Vec::with_capacity(workers), role: Role::Free }),
            parkers: (0..workers).map(|_| CachePadded(Parker::new())).collect(),
            driver,
        }
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// True when a parked worker waits on the driver: nobody else needs to look at it.
    pub(super) fn is_driven(&self) -> bool {
        self.counts().is_driven()
    }

    /// How many workers are parked.
    pub(super) fn parked(&self) -> usize {
        self.counts().parked()
    }

    /// A job was pushed where every worker finds it: wakes one parked worker unless somebody is searching.
    pub(super) fn notify_one(&self) {
        // Pairs with the fences in `park` and `searching_to_running`: either this thread sees the worker that went to
        // sleep (or stopped searching), or that worker sees the job.
        fence(Ordering::SeqCst);
        let counts = self.counts();
        if counts.searching() == 0 && counts.parked() > 0 {
            self.parked_to_searching_by_other(Wanted::Searcher);
        }
    }

    /// As [`Idle::notify_one`], by a worker, and without the fence when all others are seen to run. That is not enough to
    /// be sure that each of them sees the job before it parks. But the caller is a worker that is awake and will look; only
    /// when its step goes on until the next tick somebody else is needed, and then the ticker tells.
    pub(super) fn notify_one_from_worker(&self) {
        let counts = self.counts();
        if counts.searching() > 0 || counts.parked() > 0 {
            self.notify_one();
        }
    }

    /// Workers are parked and nobody is on the driver or on the way there: wakes one for it. For the ticker, when who was to
    /// be back soon was not, for a whole tick.
    pub(super) fn staff_driver(&self) {
        let counts = self.counts();
        if !counts.is_driven() && counts.searching() == 0 && counts.parked() > 0 {
            self.parked_to_searching_by_other(Wanted::Searcher);
        }
    }

    /// Wakes everybody; a worker that parks later sees the reason itself.
    pub(super) fn notify_all(&self) {
        fence(Ordering::SeqCst);
        while self.parked_to_searching_by_other(Wanted::Hands) {}
    }

    /// A worker ran out of work and begins to look everywhere.
    pub(super) fn running_to_searching(&self) {
        // Relaxed: a pusher that does not see it wakes somebody without need.
        let before = self.counts.fetch_add(SEARCHING, Ordering::Relaxed);
        debug_assert!(Counts(before).searching() < MAX_WORKERS, "a worker searches once");
    }

    /// A searching worker found a job. The last one to do so answers for the pushes that relied on it, and for the
    /// driver when the parked ones have nobody on it, unless it `is_back_soon` itself.
    pub(super) fn searching_to_running(&self, is_back_soon: bool, is_work_pending: impl FnOnce() -> bool) {
        // SeqCst together with the fence pairs with the fence in `notify_one`.
        let before = Counts(self.counts.fetch_sub(SEARCHING, Ordering::SeqCst));
        debug_assert!(before.searching() > 0, "only a searching worker stops searching");
        if before.searching() == 1 && before.parked() > 0 {
            fence(Ordering::SeqCst);
            if !(before.is_driven() || is_back_soon) || is_work_pending() {
                self.parked_to_searching_by_other(Wanted::Searcher);
            }
        }
    }

    /// Sleeps until there is something to do; the worker is searching before and after.
    pub(super) fn park(&self, me: usize, around: &impl Surroundings) {
        let place = self.searching_to_parked(me);
        // Pairs with the fence in `notify_one`; see there.
        fence(Ordering::SeqCst);
        if !around.must_stay_awake() {
            around.falls_asleep();
            let by_events = self.sleep(me, place, around);
            around.woke_up(by_events);
        }
        self.parked_to_searching(me, place);
        // Events made several tasks ready: one is for this worker, the others are worth a worker each.
        for _ in 1..around.own_len() {
            if !self.parked_to_searching_by_other(Wanted::Hands) {
                break;
            }
        }
    }

    /// True when events of the driver ended it.
    fn sleep(&self, me: usize, place: Place, around: &impl Surroundings) -> bool {
        if place == Place::Condition {
            self.parkers[me].wait();
            return false;
        }
        while !self.parkers[me].drive(&*self.driver) {
            if around.own_len() > 0 {
                return true;
            }
        }
        false
    }

    fn searching_to_parked(&self, me: usize) -> Place {
        let mut sleepers = self.sleepers.lock();
        let (place, change) = match sleepers.role {
            Role::Free => {
                sleepers.role = Role::Parked(me);
                (Place::Driver, PARKED + DRIVEN)
            }
            Role::Parked(_) | Role::Leaving => {
                sleepers.waiting.push(me);
                (Place::Condition, PARKED)
            }
        };
        // SeqCst together with the fence in `park` pairs with the fence in `notify_one`.
        self.counts.fetch_add(change.wrapping_sub(SEARCHING), Ordering::SeqCst);
        self.check(&sleepers);
        place
    }

    /// The worker itself leaves `place`. When somebody took it off the list already the counts are right.
    fn parked_to_searching(&self, me: usize, place: Place) {
        let mut sleepers = self.sleepers.lock();
        let change = match place {
            Place::Driver => {
                let before = std::mem::replace(&mut sleepers.role, Role::Free);
                debug_assert!(matches!(before, Role::Leaving) || before == Role::Parked(me), "one worker drives");
                (before != Role::Leaving).then_some(PARKED + DRIVEN)
            }
            Place::Condition => {
                let listed = sleepers.waiting.iter().position(|&worker| worker == me);
                listed.map(|listed| {
                    sleepers.waiting.remove(listed);
                    PARKED
                })
            }
        };
        let Some(change) = change else { return };
        // SeqCst: as in `searching_to_parked`, so that all changes of the counts are of one kind.
        self.counts.fetch_add(SEARCHING.wrapping_sub(change), Ordering::SeqCst);
        self.check(&sleepers);
    }

    /// Takes one worker off the list and wakes it; those on a condition first, so that the driver keeps its worker.
    #[cold]
    fn parked_to_searching_by_other(&self, wanted: Wanted) -> bool {
        let mut sleepers = self.sleepers.lock();
        if wanted == Wanted::Searcher && self.counts().searching() > 0 {
            return false;
        }
        let (worker, change) = match (sleepers.waiting.pop(), sleepers.role) {
            (Some(worker), _) => (worker, PARKED),
            (None, Role::Parked(worker)) => {
                sleepers.role = Role::Leaving;
                (worker, PARKED + DRIVEN)
            }
            (None, Role::Free | Role::Leaving) => return false,
        };
        // SeqCst: as in `searching_to_parked`. The woken worker counts as searching from here on, so that the next push
        // does not wake another one.
        self.counts.fetch_add(SEARCHING.wrapping_sub(change), Ordering::SeqCst);
        self.check(&sleepers);
        drop(sleepers);
        self.parkers[worker].unpark(&*self.driver);
        true
    }

    /// The counts say what the list says, whenever its lock is free.
    fn check(&self, sleepers: &Sleepers) {
        let counts = self.counts();
        let is_driven = matches!(sleepers.role, Role::Parked(_));
        debug_assert_eq!(counts.is_driven(), is_driven);
        debug_assert_eq!(counts.parked(), sleepers.waiting.len() + usize::from(is_driven));
        debug_assert!(counts.searching() + counts.parked() <= self.parkers.len(), "a worker is in one state");
    }

    fn counts(&self) -> Counts {
        // Relaxed: readers that must not miss a change stand behind a fence.
        Counts(self.counts.load(Ordering::Relaxed))
    }
}

/// Why a worker is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Somebody has to look for work; one is enough.
    Searcher,
    /// There is work for one more, whoever else is searching.
    Hands,
}
