//! One worker: the loop, and what belongs to its thread alone.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;

use super::current;
use super::idle::Surroundings;
use super::queue::{OwnQueue, PREEMPTED_FIRST_EVERY, Random};
use super::shared::Shared;
use super::spare::SPARE_CELLS_BATCH;
use super::state::TaskState;
use super::stats::Count;
use super::stretch::Stretches;
use super::task::{After, Anchor, Content, Job, TaskCell};
use super::unwind::AbortIfUnwinding;
use crate::sync::spin_loop;

/// A busy worker looks at the driver every so many steps, and once a tick however many there are. A look is a system
/// call (about half a microsecond), so steps of a microsecond pay below one percent. Prime: see [`PREEMPTED_FIRST_EVERY`].
const POLL_EVERY: u64 = 127;

/// A worker that has no events to wait for looks everywhere so many times before it parks, with pauses that double from
/// [`PAUSE_FIRST`] on: together 3 to 10 µs, by the processor, which is less than falling asleep and being woken costs.
const SEARCH_ROUNDS: u32 = 5;

/// The first pause of a search, in `spin_loop` hints.
const PAUSE_FIRST: u32 = 8;

/// A worker with so many jobs in its deque forks no more: thieves, who take half, find large ones, since the oldest come
/// first; and it makes a few more tasks for each theft, not one for each fork.
const FORKED_AHEAD: usize = 4;

/// The stack of a worker, in bytes. A step begins at its top, whatever it belongs to: there are no steps within steps.
pub const WORKER_STACK_BYTES: usize = 2 << 20;

/// Linux keeps this many bytes of a thread's name.
const THREAD_NAME_MAX: usize = 15;

/// What one worker owns. Lives on its thread; the thread-local of [`current`] points to it.
pub(super) struct Core {
    shared: Arc<Shared>,
    anchor: Arc<Anchor>,
    index: usize,
    own: OwnQueue,
    random: Random,
    /// The task inside its step, as its waker: making one of the job and the job of it again counts no references. The step
    /// borrows it, and so do others for a moment; it is changed between steps only.
    running: RefCell<Option<Waker>>,
    /// Where the cell of this task is; for comparison.
    running_at: Cell<*const TaskCell>,
    /// What this worker calls the waker of the task for.
    errand: Cell<Errand>,
    /// The answer to [`Errand::Ask`].
    answer: Cell<Answer>,
    /// What became of the task.
    after: Cell<Option<After>>,
    /// The job that its waker was made into again.
    back: Cell<Option<Job>>,
    /// The task has called its own waker during the step.
    wakes_itself: Cell<bool>,
    /// Cells for tasks to come.
    spare: RefCell<Vec<Job>>,
    steps: Cell<u64>,
    /// The number of steps at which the driver is looked at, whatever the tick.
    next_poll: Cell<u64>,
    /// How often a task asked whether others wait since the last look at the driver.
    looks_spared: Cell<u64>,
    /// The last tick this worker took notice of.
    tick: Cell<u64>,
    /// The driver's events come in: who is woken then is dealt with when they are all there.
    parking: Cell<bool>,
    /// The tick in which it woke up last, and its steps by then.
    woke_in: Cell<(u64, u64)>,
    stretches: Stretches,
    /// There may be jobs in the deque that nobody was told of: the first one, because it is this worker's next, or those
    /// that came with a batch.
    untold: Cell<bool>,
    /// The present step said that it can't be told to end.
    is_marked: Cell<bool>,
    /// The loop is over: this thread is a stranger to its scheduler now.
    retired: Cell<bool>,
}

/// Why a worker calls the waker of the task that it runs. A waker is a reference, and the only one that a step needs; but the
/// standard library has no way from a waker back to what it wakes, except calling it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Errand {
    /// It does not: whoever calls wakes the task.
    #[default]
    Wake,
    /// To run a step.
    Step,
    /// To have the job back.
    Return,
    /// To ask what others want of the task.
    Ask,
}

/// What others want of the running task.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    is_cancelled: bool,
    /// A step that begins later.
    is_woken: bool,
}

impl Core {
    pub(super) fn new(shared: Arc<Shared>, index: usize, own: OwnQueue, seed: u64) -> Self {
        let tick = shared.ticker.ticks();
        Self {
            anchor: Anchor::new(&shared),
            shared,
            index,
            own,
            random: Random::new(seed, index),
            running: RefCell::new(None),
            running_at: Cell::new(ptr::null()),
            errand: Cell::default(),
            answer: Cell::default(),
            after: Cell::new(None),
            back: Cell::new(None),
            wakes_itself: Cell::new(false),
            spare: RefCell::new(Vec::new()),
            steps: Cell::new(0),
            next_poll: Cell::new(POLL_EVERY),
            looks_spared: Cell::new(0),
            tick: Cell::new(tick),
            parking: Cell::new(false),
            woke_in: Cell::new((tick, 0)),
            stretches: Stretches::default(),
            untold: Cell::new(false),
            is_marked: Cell::new(false),
            retired: Cell::new(false),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// True on a worker of this scheduler, inside its loop.
    pub(super) fn works_for(&self, shared: &Shared) -> bool {
        std::ptr::eq(&*self.shared, shared) && !self.retired.get()
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// A cell without a task, for one that this worker spawns: one that was used before, if there is one.
    pub(super) fn new_cell(&self) -> Job {
        let mut spare = self.spare.borrow_mut();
        if spare.is_empty() {
            self.shared.spare_cells.some(&mut spare);
        }
        spare.pop().unwrap_or_else(|| Arc::new(TaskCell::new(Arc::clone(&self.anchor))))
    }

    /// Keeps the cell of a task, if that is complete, unless somebody else still has it.
    pub(super) fn keep(&self, mut cell: Job) {
        if cell.state() != TaskState::Complete || !cell.clear() {
            return;
        }
        let mut spare = self.spare.borrow_mut();
        spare.push(cell);
        if spare.len() >= 2 * SPARE_CELLS_BATCH {
            self.shared.spare_cells.keep(&mut spare);
        }
    }

    /// See [`current::fork`].
    pub(super) fn fork(&self, put: impl FnOnce(&mut Content)) -> Option<Job> {
        let queues = &self.shared.queues;
        let is_plenty = self.own.len() >= FORKED_AHEAD || queues.has_woken();
        if is_plenty || self.retired.get() || self.shared.is_stopping() || !self.shared.room.enter(Some(self.index)) {
            return None;
        }
        let mut cell = self.new_cell();
        Arc::get_mut(&mut cell).expect("a new cell is nobody else's").fill(put, true);
        self.push(Arc::clone(&cell));
        // The present step goes on with the other half, perhaps for long.
        self.tell_of_others();
        Some(cell)
    }

    /// See [`current::is_slice_over`].
    pub(super) fn is_slice_over(&self) -> bool {
        self.shared.ticker.ticks() > self.tick.get() + 1
    }

    /// True when the running task is cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.ask().is_cancelled
    }

    fn ask(&self) -> Answer {
        let running = self.running.borrow();
        let Some(waker) = running.as_ref() else { return Answer::default() };
        self.errand.set(Errand::Ask);
        waker.wake_by_ref();
        self.answer.get()
    }

    /// Somebody on this thread called the waker of `cell`. False when it is no task of this worker's scheduler: nothing was done.
    #[inline]
    pub(super) fn waker_called(&self, cell: &Arc<TaskCell>) -> bool {
        match self.errand.take() {
            Errand::Step => {
                let waker = self.running.borrow();
                let waker = waker.as_ref().expect("it was called");
                self.after.set(Some(cell.step(self.index, waker, &self.wakes_itself)));
            }
            Errand::Ask => {
                self.answer.set(Answer { is_cancelled: cell.is_cancelled(), is_woken: cell.is_woken() });
            }
            Errand::Wake | Errand::Return => {
                if ptr::eq(self.running_at.get(), &**cell) {
                    // The worker itself queues the task behind its step: nobody else needs to know.
                    self.wakes_itself.set(true);
                } else if !self.works_for(cell.scheduler()) {
                    return false;
                } else if cell.is_to_be_queued() {
                    self.push_woken(Arc::clone(cell));
                }
            }
        }
        true
    }

    /// The same by value; what is left was not taken.
    #[inline]
    pub(super) fn waker_consumed(&self, cell: &mut Option<Job>) {
        let Some(job) = cell.as_ref() else { return };
        if self.errand.get() == Errand::Return {
            self.errand.set(Errand::Wake);
            self.back.set(cell.take());
        } else if ptr::eq(self.running_at.get(), &**job) {
            self.wakes_itself.set(true);
            *cell = None;
        } else if self.works_for(job.scheduler()) {
            let job = cell.take().expect("it was there just now");
            if job.is_to_be_queued() {
                self.push_woken(job);
            }
        }
    }

    /// See [`current::mark_unpreemptible`].
    pub(super) fn mark_unpreemptible(&self, slice_end_ns: u64) {
        if !self.is_marked.replace(true) {
            self.shared.held.mark(self.index, slice_end_ns);
        }
    }

    /// See [`current::should_yield`].
    pub(super) fn should_yield(&self) -> bool {
        if self.is_cancelled() || self.shared.is_stopping() {
            return true;
        }
        let tick = self.shared.ticker.ticks();
        if self.shared.is_poll_due(tick) || self.shared.idle.driver().is_due() {
            self.poll_driver(tick);
        }
        !self.own.is_empty() || self.shared.queues.is_injected()
    }

    /// See [`current::others_wait`].
    pub(super) fn others_wait(&self) -> bool {
        // Most often it is known at once; all else that a step would end for is looked at behind it.
        if !self.own.is_empty() {
            return true;
        }
        self.looks_spared.set(self.looks_spared.get() + 1);
        if self.looks_spared.get() >= POLL_EVERY {
            self.poll_driver(self.shared.ticker.ticks());
        }
        // Who woke the task may have done so to be heard between two steps.
        self.ask().is_woken || self.should_yield()
    }

    /// A waker made this job ready. If the running task did that the last time as well, they are partners, and it is next.
    fn push_woken(&self, job: Job) {
        let by = self.running_at.get();
        if !by.is_null() && job.is_woken_again_by(by) && self.own.takes_next() {
            self.shared.queues.push_next(self.index, &self.own, job);
        } else {
            self.push(job);
        }
    }

    /// Puts a job that was just woken into the own deque. Those that wait in the injector were woken before it, so they are
    /// taken in first.
    ///
    /// The first job of the deque is this worker's next, so waking somebody for it would only move it away from its warm
    /// cache; if the present step goes on beyond a tick, the ticker tells the others.
    pub(super) fn push(&self, job: Job) {
        if self.shared.queues.has_woken() {
            self.shared.queues.pull_woken(&self.own.deque);
        }
        let is_next = self.own.deque.is_empty();
        if is_next {
            self.shared.queues.set_first_taken(self.index, true);
            self.untold.set(true);
        }
        self.own.deque.push(job);
        if !is_next && !self.parking.get() {
            self.shared.idle.notify_one_from_worker();
        }
    }

    /// The loop: look after the driver, take a job, run it; without a job search, without success park.
    fn run(&self) {
        let idle = &self.shared.idle;
        let mut searching = None;
        while !self.shared.is_stopping() && !self.leaves() {
            self.look_after_driver();
            if let Some(job) = self.next_job() {
                if searching.take().is_some() {
                    idle.searching_to_running(self.is_back_soon(), || self.shared.queues.is_work_pending());
                }
                self.tell_of_others();
                self.step(job);
                continue;
            }
            current::forget_time();
            searching = match searching {
                None => {
                    idle.running_to_searching();
                    Some(0)
                }
                Some(round) if self.searches_no_more(round) => {
                    idle.park(self.index, self);
                    Some(0)
                }
                Some(round) => {
                    (0..PAUSE_FIRST << round).for_each(|_| spin_loop());
                    Some(round + 1)
                }
            };
        }
        if searching.is_some() {
            idle.searching_to_running(false, || !self.shared.is_stopping() && self.shared.queues.is_work_pending());
        }
        if self.shared.is_stopping() {
            self.drop_queued();
        } else {
            self.hand_over();
        }
    }

    /// True for a replacement that is one too many: it goes now.
    fn leaves(&self) -> bool {
        self.shared.is_replacement(self.index) && self.shared.held.leave()
    }

    /// A replacement goes: what it has is for the others.
    fn hand_over(&self) {
        while let Some(job) = self.own.pop() {
            self.shared.push_from_outside(job);
        }
        self.shared.queues.set_first_taken(self.index, false);
    }

    /// True when this worker will park again before anybody else could take the driver's role for it: it leaves the role to
    /// itself and wakes nobody. Where each event is work of some microseconds, the wake would cost more than the work. If it
    /// does not come back, the next tick finds the role free.
    fn is_back_soon(&self) -> bool {
        self.stretches.are_brief() && self.shared.ticker.has_thread()
    }

    /// True when a search that has gone on for so many rounds is over.
    fn searches_no_more(&self, round: u32) -> bool {
        // Nobody on the driver: events end the park there as soon as they would end a search.
        round == SEARCH_ROUNDS || self.shared.has_events && !self.shared.idle.is_driven()
    }

    fn look_after_driver(&self) {
        let tick = self.shared.ticker.ticks();
        let is_new_tick = self.tick.replace(tick) != tick && self.shared.is_poll_due(tick);
        if is_new_tick || self.steps.get() >= self.next_poll.get() {
            self.poll_driver(tick);
        }
    }

    fn poll_driver(&self, tick: u64) {
        self.next_poll.set(self.steps.get() + POLL_EVERY);
        self.looks_spared.set(0);
        current::forget_time();
        if self.shared.poll_driver(tick) {
            self.count(Count::Poll);
        }
    }

    /// Own deque, injector, other deques, preempted tasks; now and then a preempted one first.
    fn next_job(&self) -> Option<Job> {
        let queues = &self.shared.queues;
        self.take_turn()
            .or_else(|| self.own.pop())
            .or_else(|| self.take_batch(queues.pop_woken_batch(&self.own.deque)))
            .or_else(|| self.steal())
            .or_else(|| queues.pop_preempted())
    }

    /// The preempted task whose turn it is although woken ones may wait.
    fn take_turn(&self) -> Option<Job> {
        let is_turn = self.steps.get().is_multiple_of(PREEMPTED_FIRST_EVERY);
        let job = is_turn.then(|| self.shared.queues.pop_preempted()).flatten()?;
        if let Some(next) = self.own.pop_next() {
            self.push(next);
        }
        Some(job)
    }

    /// A step is about to begin: what is left in the deque waits for it, so somebody else may have it.
    fn tell_of_others(&self) {
        if self.untold.take() {
            self.shared.queues.set_first_taken(self.index, false);
            if !self.own.deque.is_empty() {
                self.shared.idle.notify_one();
            }
        }
    }

    fn take_batch(&self, first: Option<Job>) -> Option<Job> {
        if first.is_some() {
            self.untold.set(true);
        }
        first
    }

    fn steal(&self) -> Option<Job> {
        let job = self.shared.queues.steal(self.index, &self.own.deque, &self.random)?;
        self.count(Count::Stolen);
        self.take_batch(Some(job))
    }

    /// One step of one task, and whatever follows from how it ended. Inlined, see [`guarded`](super::unwind::guarded).
    #[inline(always)]
    fn step(&self, job: Job) {
        let observer = self.shared.observer.as_ref();
        if let Some(observer) = observer {
            observer.before_step();
        }
        self.steps.set(self.steps.get() + 1);
        self.count(Count::Step);
        current::begin_step();
        self.running_at.set(Arc::as_ptr(&job));
        self.running.replace(Some(Waker::from(job)));
        self.errand.set(Errand::Step);
        self.running.borrow().as_ref().expect("it was put there above").wake_by_ref();
        let after = self.after.take().expect("this was what the waker was called for");
        if self.is_marked.take() {
            self.shared.unmark(self.index);
        }
        self.running_at.set(ptr::null());
        self.wakes_itself.set(false);
        let waker = self.running.take().expect("it was there during the step");
        match after {
            // Perhaps the last reference: then nobody can wake the task, and it is dropped here.
            After::Suspended => drop(waker),
            After::Complete => self.keep(self.job_of(waker)),
            After::Ready => self.push(self.job_of(waker)),
            After::Preempted => {
                self.count(Count::Preempted);
                self.shared.push_preempted(self.job_of(waker));
            }
            After::Panicked => {
                self.count(Count::Panic);
                drop(waker);
            }
        }
        if let Some(observer) = observer {
            observer.after_step();
        }
    }

    /// The job that was made into this waker.
    fn job_of(&self, waker: Waker) -> Job {
        self.errand.set(Errand::Return);
        waker.wake();
        self.back.take().expect("this was what the waker was called for")
    }

    /// The scheduler stops: drops what is queued, here, because a task is dropped on a worker.
    fn drop_queued(&self) {
        loop {
            while let Some(job) = self.own.pop() {
                job.retire(Some(self.index));
            }
            self.shared.drop_injected();
            // Those that were dropped may have made others ready.
            if self.own.is_empty() {
                return;
            }
        }
    }

    fn count(&self, count: Count) {
        self.shared.counters[self.index].add(count);
    }
}

impl Surroundings for Core {
    fn must_stay_awake(&self) -> bool {
        self.shared.is_stopping()
            || self.shared.queues.is_work_pending()
            || self.shared.is_replacement(self.index) && self.shared.held.is_one_too_many()
    }

    fn own_len(&self) -> usize {
        self.own.len()
    }

    fn falls_asleep(&self) {
        self.count(Count::Parked);
        self.parking.set(true);
        let (tick, steps) = self.woke_in.get();
        // Who was woken for nothing has learned nothing.
        if steps != self.steps.get() {
            self.stretches.ended(tick != self.shared.ticker.ticks());
        }
        self.shared.ticker.leave();
    }

    fn woke_up(&self, by_events: bool) {
        self.shared.ticker.enter();
        let tick = self.shared.ticker.ticks();
        if by_events {
            self.shared.note_departure(tick);
        }
        self.woke_in.set((tick, self.steps.get()));
        self.parking.set(false);
    }
}

/// Starts the thread of a worker; it takes its deque from `own`. Without one it is not needed and ends.
pub(super) fn start(
    shared: Arc<Shared>,
    index: usize,
    seed: u64,
    own: impl FnOnce() -> Option<OwnQueue> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(thread_name(index, shared.name())).stack_size(WORKER_STACK_BYTES);
    thread.spawn(move || {
        let _abort = AbortIfUnwinding("a worker");
        let own = own().expect("a worker that is started has a deque");
        main(Rc::new(Core::new(shared, index, own, seed)));
    })
}

/// The main function of a worker's thread.
fn main(core: Rc<Core>) {
    current::enter(Rc::clone(&core));
    core.shared.ticker.enter();
    core.run();
    core.retired.set(true);
    core.shared.ticker.leave();
    let shared = Arc::clone(&core.shared);
    drop(current::leave());
    if let Some(Core { index, own, .. }) = Rc::into_inner(core)
        && shared.is_replacement(index)
    {
        shared.give_back(index, own);
    }
    shared.worker_leaves();
}

fn thread_name(index: usize, scheduler: &str) -> String {
    let local = scheduler.rsplit(':').next().unwrap_or_default();
    let mut name = format!("wippy-w{index}:{local}").replace('\0', "");
    while name.len() > THREAD_NAME_MAX {
        name.pop();
    }
    name
}
