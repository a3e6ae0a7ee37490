//! What all threads know of one scheduler.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::idle::Idle;
use super::observe::StepObserver;
use super::phase::Phase;
use super::queue::{OwnQueue, Queues};
use super::replace::Held;
use super::room::Room;
use super::spare::SpareCells;
use super::stats::{Counters, Stats};
use super::task::Job;
use super::tick::{Tended, Ticker};
use super::worker;
use crate::sync::Mutex;

/// The remote side of a scheduler: everything here may be used by every thread.
pub(super) struct Shared {
    name: Box<str>,
    pub(super) queues: Queues,
    pub(super) idle: Idle,
    pub(super) ticker: Ticker,
    pub(super) counters: Box<[Counters]>,
    pub(super) room: Room,
    pub(super) spare_cells: SpareCells,
    phase: Phase,
    /// The tick of the last look at the driver.
    last_poll: AtomicU64,
    /// The tick in which a worker last left the driver's role with events.
    last_departure: AtomicU64,
    polls_by_ticker: AtomicU64,
    /// The step counts at the last tick: a worker whose count stands still is inside a long step. The ticker's own.
    steps_at_tick: Box<[AtomicU64]>,
    pub(super) observer: Option<Arc<dyn StepObserver>>,
    /// The driver is one that events come from.
    pub(super) has_events: bool,
    /// Without replacements.
    workers: usize,
    seed: u64,
    pub(super) held: Held,
    /// One for each replacement that there may be.
    desks: Mutex<Vec<Desk>>,
}

/// The place of a replacement: its deque while nobody uses it, and the thread of who is there or was last.
#[derive(Default)]
struct Desk {
    is_taken: bool,
    own: Option<OwnQueue>,
    thread: Option<JoinHandle<()>>,
}

/// What a scheduler is made of, by its builder.
pub(super) struct Parts {
    pub(super) name: Box<str>,
    pub(super) idle: Idle,
    pub(super) ticker: Ticker,
    pub(super) max_tasks: usize,
    pub(super) observer: Option<Arc<dyn StepObserver>>,
    pub(super) has_events: bool,
    pub(super) seed: u64,
}

impl Shared {
    /// A scheduler of `workers` workers, and a replacement for each of the deques in `spare`.
    pub(super) fn new(parts: Parts, queues: Queues, workers: usize, spare: Vec<OwnQueue>) -> Self {
        let Parts { name, idle, ticker, max_tasks, observer, has_events, seed } = parts;
        let all = workers + spare.len();
        Self {
            name,
            queues,
            idle,
            ticker,
            counters: (0..all).map(|_| Counters::default()).collect(),
            room: Room::new(max_tasks, all),
            spare_cells: SpareCells::default(),
            phase: Phase::new(workers),
            last_poll: AtomicU64::new(0),
            last_departure: AtomicU64::new(0),
            polls_by_ticker: AtomicU64::new(0),
            steps_at_tick: (0..all).map(|_| AtomicU64::new(0)).collect(),
            observer,
            has_events,
            workers,
            seed,
            held: Held::new(all, spare.len()),
            desks: Mutex::new(spare.into_iter().map(|own| Desk { own: Some(own), ..Desk::default() }).collect()),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Puts a woken task into the injector, on a thread that may be no worker of this scheduler.
    pub(super) fn push_from_outside(&self, job: Job) {
        self.queues.push_woken(job);
        self.idle.notify_one();
        // Behind the fence with which `notify_one` begins.
        if self.phase.is_closed_after_fence() {
            self.drop_injected();
        }
    }

    /// Puts a task whose slice is over behind all others. Called by its worker.
    pub(super) fn push_preempted(&self, job: Job) {
        self.queues.push_preempted(job);
        self.idle.notify_one();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.phase.is_stopping()
    }

    /// Stops accepting and wakes the workers so that they end.
    pub(super) fn stop(&self) {
        self.phase.open_to_stopping();
        // It takes the lock of the sleepers, and so does a worker before it looks at the phase a last time.
        self.idle.notify_all();
    }

    /// A worker has dropped what was queued and ends; the last one closes the scheduler.
    pub(super) fn worker_leaves(&self) {
        if self.phase.worker_leaves() {
            self.drop_injected();
            // They refer to this scheduler, so it would never be dropped.
            self.spare_cells.clear();
        }
    }

    /// Drops the tasks of both injectors. Dropping one may make another one ready, which lands here again: only the
    /// outermost call loops, so a chain of tasks does not become a chain of calls.
    pub(super) fn drop_injected(&self) {
        thread_local!(static DROPPING: Cell<bool> = const { Cell::new(false) });
        if DROPPING.replace(true) {
            return;
        }
        while let Some(job) = self.queues.pop_woken().or_else(|| self.queues.pop_preempted()) {
            job.retire(None);
        }
        DROPPING.set(false);
    }

    /// Looks at the driver, unless a parked worker waits on it. True when it did.
    pub(super) fn poll_driver(&self, tick: u64) -> bool {
        // Relaxed: two workers may both look; that is not wrong, only not needed.
        self.last_poll.store(tick, Ordering::Relaxed);
        let polls = !self.idle.is_driven();
        if polls {
            self.idle.driver().poll();
        }
        polls
    }

    /// A parked worker leaves the driver in this tick, with events.
    pub(super) fn note_departure(&self, tick: u64) {
        // Relaxed: it carries no data. Read first, since there are many in one tick.
        if self.last_departure.load(Ordering::Relaxed) != tick {
            self.last_departure.store(tick, Ordering::Relaxed);
        }
    }

    /// True when nobody has looked at the driver since `tick` began.
    pub(super) fn is_poll_due(&self, tick: u64) -> bool {
        self.last_poll.load(Ordering::Relaxed) < tick
    }

    /// The worker's marked step is over.
    pub(super) fn unmark(&self, worker: usize) {
        if self.held.unmark(worker) {
            self.tell_replacements();
        }
    }

    /// One of them is too many: it looks when it wakes up, whichever it is.
    fn tell_replacements(&self) {
        self.idle.notify_all();
    }

    /// True for the number of a replacement.
    pub(super) fn is_replacement(&self, worker: usize) -> bool {
        worker >= self.workers
    }

    /// Starts a replacement for a worker that is held, when there is work that nobody else is there for.
    fn hire(self: &Arc<Self>) {
        if !self.held.is_one_missing() || self.idle.parked() > 0 || !self.queues.is_any() {
            return;
        }
        let mut desks = self.desks.lock();
        // Under the lock, as in `replacement_threads`.
        if self.is_stopping() {
            return;
        }
        let Some(at) = desks.iter().position(|desk| !desk.is_taken) else { return };
        if !self.phase.worker_joins() {
            return;
        }
        self.held.hire();
        let (shared, index) = (Arc::clone(self), self.workers + at);
        // It takes the deque itself, so that a thread that is refused loses nothing.
        let started = worker::start(Arc::clone(self), index, self.seed, move || shared.desks.lock()[at].own.take());
        match started {
            // The handle before belongs to a thread that is gone, or has nothing left to do.
            Ok(thread) => {
                desks[at].is_taken = true;
                desks[at].thread = Some(thread);
            }
            Err(error) => {
                self.held.not_hired();
                drop(desks);
                self.worker_leaves();
                tracing::warn!(scheduler = %self.name, %error, "no thread for the replacement of a worker");
            }
        }
    }

    /// A replacement leaves its deque, which is empty.
    pub(super) fn give_back(&self, index: usize, own: OwnQueue) {
        let mut desks = self.desks.lock();
        let desk = &mut desks[index - self.workers];
        desk.own = Some(own);
        desk.is_taken = false;
    }

    /// The threads of replacements that may still run, for who waits for them. After [`Shared::stop`] there are no others.
    pub(super) fn replacement_threads(&self) -> Vec<JoinHandle<()>> {
        self.desks.lock().iter_mut().filter_map(|desk| desk.thread.take()).collect()
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            workers: self
                .counters
                .iter()
                .enumerate()
                .map(|(worker, counters)| counters.read(self.queues.own_len(worker)))
                .collect(),
            live_tasks: self.room.live(),
            woken_queue: self.queues.woken_len(),
            preempted_queue: self.queues.preempted_len(),
            parked_workers: self.idle.parked(),
            polls_by_ticker: self.polls_by_ticker.load(Ordering::Relaxed),
            replacements: self.held.hired(),
        }
    }
}

impl Tended for Shared {
    /// Workers that are all inside steps look at neither the driver nor each other: then this is done here.
    fn tend(self: Arc<Self>, last: u64) {
        if self.is_stopping() {
            return;
        }
        if self.is_poll_due(last) && self.poll_driver(last + 1) {
            self.polls_by_ticker.fetch_add(1, Ordering::Relaxed);
        }
        let mut is_anybody_waiting = false;
        for (worker, (counters, seen)) in self.counters.iter().zip(&self.steps_at_tick).enumerate() {
            let steps = counters.steps();
            // All of them are looked at, so that all of them are noted.
            if seen.swap(steps, Ordering::Relaxed) == steps {
                if self.queues.own_len(worker) > 0 {
                    // Also the first one: its owner is not about to run it.
                    self.queues.free_next(worker);
                    is_anybody_waiting = true;
                }
                if self.held.hold(worker, |end| self.idle.driver().has_passed(end)) {
                    self.tell_replacements();
                }
            }
        }
        if is_anybody_waiting {
            self.idle.notify_one();
        }
        // Who left the driver in the tick that is over has had less than a tick to come back: waking another one for the role
        // would mostly only move its tasks there, to another core.
        if self.last_departure.load(Ordering::Relaxed) < last {
            self.idle.staff_driver();
        }
        self.hire();
    }
}
