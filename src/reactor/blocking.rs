//! Calls that have no readiness: a bounded pool of threads named `wippy-blocking`.
//!
//! One file of some length: a call's stage and the pool's state change together, under two locks taken in one order, and
//! whoever changes one side of that has to see the other.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Default for [`BlockingConfig::threads_max`]: file systems and name servers answer many requests at once, and a
/// blocked thread costs little but its stack.
pub const BLOCKING_THREADS_MAX: usize = 64;

/// Default for [`BlockingConfig::queue_max`]: what 64 threads work off in a moment. Callers beyond it wait for room.
pub const BLOCKING_QUEUE_MAX: usize = 1024;

/// Default for [`BlockingConfig::abandoned_jobs_max`]: a dead network file system can hold that many threads before it
/// costs the living ones theirs.
pub const ABANDONED_JOBS_MAX: usize = 64;

/// Default for [`BlockingConfig::idle`]: longer than the pauses of a busy program.
pub const BLOCKING_IDLE: Duration = Duration::from_secs(10);

/// The name of every thread of the pool.
const THREAD_NAME: &str = "wippy-blocking";

/// The bounds of a [`BlockingPool`]. Each is at least 1 (a zero counts as 1), except `abandoned_jobs_max`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlockingConfig {
    /// Most threads that work for somebody. Default [`BLOCKING_THREADS_MAX`].
    pub threads_max: usize,
    /// Most jobs that wait for a thread. Default [`BLOCKING_QUEUE_MAX`].
    pub queue_max: usize,
    /// Most jobs whose caller is gone and whose thread is replaced meanwhile: the pool has at most
    /// `threads_max + abandoned_jobs_max` threads, and further abandoned jobs keep their place among `threads_max` until
    /// they return. Default [`ABANDONED_JOBS_MAX`].
    pub abandoned_jobs_max: usize,
    /// How long a thread without work stays. Default [`BLOCKING_IDLE`].
    pub idle: Duration,
}

impl Default for BlockingConfig {
    fn default() -> Self {
        Self {
            threads_max: BLOCKING_THREADS_MAX,
            queue_max: BLOCKING_QUEUE_MAX,
            abandoned_jobs_max: ABANDONED_JOBS_MAX,
            idle: BLOCKING_IDLE,
        }
    }
}

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// The job panicked; its thread goes on.
    #[error("the blocking call panicked: {message}")]
    Panicked {
        /// What it panicked with, if that was text.
        message: String,
    },
    /// The pool was closed before the job began.
    #[error("the blocking pool is closed, the runtime is shutting down")]
    Closed,
    /// The system gave the pool no thread at all.
    #[error("no thread for blocking calls could be started, raise the limit of threads or lower the memory in use")]
    NoThread(#[source] io::Error),
}

/// What a pool is doing. A snapshot: other threads go on meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockingStats {
    /// Threads, idle ones and those of abandoned jobs included.
    pub threads: usize,
    /// Threads without work.
    pub idle: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Calls that wait for room in the queue.
    pub waiting: usize,
    /// Jobs that run, abandoned ones included.
    pub running: usize,
    /// Jobs that run though their caller is gone.
    pub abandoned_jobs: usize,
    /// Jobs that ran to their end since the pool was made, with or without panic.
    pub finished: u64,
    /// Those of them that panicked.
    pub panicked: u64,
}

/// A bounded pool of threads for calls that the kernel cannot report readiness for: files, name lookups.
///
/// Threads are started when needed and end after an idle time. Clones are the same pool; when the last one is dropped
/// the pool is closed. Defaults: see [`BlockingConfig`].
///
/// ```
/// use wippy::reactor::{BlockingConfig, BlockingPool};
///
/// let pool = BlockingPool::new(BlockingConfig::default());
/// let lookup = async {
///     // On a thread named `wippy-blocking`; the task waits without holding a worker.
///     pool.run(|| std::fs::read_to_string("/etc/hostname")).await
/// };
/// # drop(lookup);
/// ```
#[derive(Clone)]
pub struct BlockingPool {
    handle: Arc<Handle>,
}

/// Closes the pool when the last clone is dropped; the threads hold only what is inside.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct Shared {
    config: BlockingConfig,
    state: Mutex<State>,
    /// Told when a job is queued or the pool closed.
    work: Condvar,
}

/// Lock order: a call's stage, then this.
#[derive(Default)]
struct State {
    /// Jobs without a thread, in the order of their tickets. A map, so that a dropped call leaves at once.
    queue: BTreeMap<u64, Arc<dyn Job>>,
    /// Calls without room in the queue; each is a live future, so whoever bounds the futures bounds this.
    waiters: BTreeMap<u64, Waker>,
    /// Places in the queue kept for calls that were woken from `waiters` and have not come yet.
    granted: usize,
    /// Names queued jobs and waiting calls; never used twice.
    next_ticket: u64,
    threads: usize,
    idle: usize,
    running: usize,
    abandoned: usize,
    finished: u64,
    panicked: u64,
    closed: bool,
}

/// What a thread sees of a call.
trait Job: Send + Sync {
    /// Runs it, unless the caller is gone.
    fn run(&self, pool: &Shared);
    /// It will not be run.
    fn refuse(&self, error: BlockingError);
}

/// What a caller and a thread share.
struct Call<T> {
    stage: Mutex<Stage<T>>,
}

enum Stage<T> {
    /// Not begun.
    New { function: Function<T>, waker: Option<Waker> },
    /// On a thread.
    Running { waker: Option<Waker> },
    /// On a thread, and nobody wants the result.
    Abandoned,
    /// Over; the caller has not come yet.
    Done(Result<T, BlockingError>),
    /// Over, or given up before it began.
    Gone,
}

type Function<T> = Box<dyn FnOnce() -> T + Send>;

impl BlockingPool {
    /// A pool without threads; they start with the jobs.
    pub fn new(mut config: BlockingConfig) -> Self {
        config.threads_max = config.threads_max.max(1);
        config.queue_max = config.queue_max.max(1);
        let shared = Shared { config, state: Mutex::default(), work: Condvar::new() };
        Self { handle: Arc::new(Handle(Arc::new(shared))) }
    }

    /// A future of the result of `function`, which runs on a thread of the pool from the future's first poll on, or
    /// from when there is room in the queue. First come, first served.
    ///
    /// Dropping the future before the job began takes it back. Dropping it later abandons the job: it runs to its end, counts
    /// as [`BlockingStats::abandoned_jobs`] until then, and its result is dropped on the pool's thread.
    pub fn run<T, F>(&self, function: F) -> BlockingCall<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let stage = Stage::New { function: Box::new(function), waker: None };
        let call = Arc::new(Call { stage: Mutex::new(stage) });
        BlockingCall { call, pool: Arc::clone(&self.handle.0), place: Place::New }
    }

    /// What the pool is doing now.
    pub fn stats(&self) -> BlockingStats {
        let state = self.handle.0.state.lock();
        BlockingStats {
            threads: state.threads,
            idle: state.idle,
            queued: state.queue.len(),
            waiting: state.waiters.len(),
            running: state.running,
            abandoned_jobs: state.abandoned,
            finished: state.finished,
            panicked: state.panicked,
        }
    }

    /// Refuses new jobs and those not begun with [`BlockingError::Closed`]; running ones end in their own time, and their
    /// callers get the results. Idle threads end.
    pub fn close(&self) {
        self.handle.0.close();
    }
}

impl std::fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingPool")
            .field("config", &self.handle.0.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// What has to happen after the lock was let go.
#[must_use]
enum Next {
    Nothing,
    /// After the lock, not under it: a thread that is woken while the lock is taken may be handed it before it runs, and a
    /// worker that comes next would wait until it does.
    WakeThread,
    StartThread,
}

impl State {
    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn has_room(&self, config: &BlockingConfig) -> bool {
        self.queue.len() + self.granted < config.queue_max
    }

    /// Gives free places in the queue to those who wait longest.
    fn grant(&mut self, config: &BlockingConfig, woken: &mut Vec<Waker>) {
        while self.has_room(config)
            && let Some((_, waker)) = self.waiters.pop_first()
        {
            self.granted += 1;
            woken.push(waker);
        }
    }

    /// Sees to it that a thread takes what is queued.
    fn staff(&mut self, config: &BlockingConfig) -> Next {
        if self.queue.is_empty() {
            return Next::Nothing;
        }
        if self.idle >= self.queue.len() {
            return Next::WakeThread;
        }
        let replaced = self.abandoned.min(config.abandoned_jobs_max);
        if self.threads < config.threads_max + replaced {
            self.threads += 1;
            return Next::StartThread;
        }
        Next::WakeThread
    }
}

impl Shared {
    fn after(self: &Arc<Self>, next: Next) {
        match next {
            Next::Nothing => return,
            Next::WakeThread => {
                self.work.notify_one();
                return;
            }
            Next::StartThread => {}
        }
        let shared = Arc::clone(self);
        let started = std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || shared.work());
        let Err(error) = started else { return };
        let refused = {
            let mut state = self.state.lock();
            state.threads -= 1;
            // Another thread will get to them.
            if state.threads > 0 {
                return;
            }
            std::mem::take(&mut state.queue)
        };
        let kind = error.kind();
        let mut first = Some(error);
        for job in refused.into_values() {
            job.refuse(BlockingError::NoThread(first.take().unwrap_or_else(|| kind.into())));
        }
        self.grant();
    }

    /// Gives free places in the queue to those who wait.
    fn grant(&self) {
        let mut woken = Vec::new();
        self.state.lock().grant(&self.config, &mut woken);
        woken.into_iter().for_each(Waker::wake);
    }

    /// The life of a thread.
    fn work(self: Arc<Self>) {
        let mut woken = Vec::new();
        while let Some(job) = self.next_job(&mut woken) {
            woken.drain(..).for_each(Waker::wake);
            // A panic of the call itself is its result. What is left are drops of captures and of results that nobody
            // wants: a thread that such a panic took would be counted for ever.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run(&self)));
        }
    }

    /// The next job; `None` when the thread should end.
    fn next_job(&self, woken: &mut Vec<Waker>) -> Option<Arc<dyn Job>> {
        let mut state = self.state.lock();
        loop {
            let replaced = state.abandoned.min(self.config.abandoned_jobs_max);
            // Threads that stood in for those of abandoned jobs leave when these come back.
            if state.threads > self.config.threads_max + replaced {
                break;
            }
            if let Some((_, job)) = state.queue.pop_first() {
                state.grant(&self.config, woken);
                return Some(job);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let timed_out = self.work.wait_for(&mut state, self.config.idle).timed_out();
            state.idle -= 1;
            if timed_out && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }

    fn close(&self) {
        let mut woken = Vec::new();
        let refused = {
            let mut state = self.state.lock();
            state.closed = true;
            state.granted += state.waiters.len();
            woken.extend(std::mem::take(&mut state.waiters).into_values());
            std::mem::take(&mut state.queue)
        };
        self.work.notify_all();
        refused.into_values().for_each(|job| job.refuse(BlockingError::Closed));
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<T: Send> Job for Call<T> {
    fn run(&self, pool: &Shared) {
        let function = {
            let mut stage = self.stage.lock();
            let Stage::New { function, waker } = std::mem::replace(&mut *stage, Stage::Gone) else { return };
            *stage = Stage::Running { waker };
            pool.state.lock().running += 1;
            function
        };
        // The closure is consumed and its captures with it: nothing half-changed is seen again.
        let result = catch_unwind(AssertUnwindSafe(function));
        let result = result.map_err(|panic| BlockingError::Panicked { message: panic_message(&*panic) });
        let (unwanted, waker) = self.finish(result, pool);
        drop(unwanted);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn refuse(&self, error: BlockingError) {
        let (function, waker) = {
            let mut stage = self.stage.lock();
            let Stage::New { function, waker } = std::mem::replace(&mut *stage, Stage::Gone) else { return };
            *stage = Stage::Done(Err(error));
            (function, waker)
        };
        drop(function);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Call<T> {
    /// Stores the result for the caller. Gives back what must be dropped and called outside the locks: the result that
    /// nobody wants, the waker of who wants it.
    fn finish(
        &self,
        result: Result<T, BlockingError>,
        pool: &Shared,
    ) -> (Option<Result<T, BlockingError>>, Option<Waker>) {
        let mut stage = self.stage.lock();
        let mut state = pool.state.lock();
        state.running -= 1;
        state.finished += 1;
        state.panicked += u64::from(result.is_err());
        match std::mem::replace(&mut *stage, Stage::Gone) {
            Stage::Running { waker } => {
                *stage = Stage::Done(result);
                (None, waker)
            }
            Stage::Abandoned => {
                state.abandoned -= 1;
                (Some(result), None)
            }
            Stage::New { .. } | Stage::Done(_) | Stage::Gone => unreachable!("a blocking job ran twice"),
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text").to_owned()
}

/// The future of a job on a [`BlockingPool`]; made by [`BlockingPool::run`], which says what dropping it does.
#[must_use = "a blocking call does nothing unless polled"]
pub struct BlockingCall<T> {
    call: Arc<Call<T>>,
    pool: Arc<Shared>,
    place: Place,
}

/// Where a call stands, as far as its future knows.
enum Place {
    /// Never polled.
    New,
    /// No room in the queue yet.
    Waiting(u64),
    /// In the queue or on a thread.
    Queued(u64),
    /// The result was given out.
    Over,
}

impl<T: Send + 'static> BlockingCall<T> {
    /// Queues the job or waits for room. `false`: not queued yet, the waker is left.
    fn enter(&mut self, context: &mut Context<'_>) -> Result<bool, BlockingError> {
        let pool = Arc::clone(&self.pool);
        let mut state = pool.state.lock();
        match self.place {
            Place::Waiting(ticket) => {
                if let Some(waker) = state.waiters.get_mut(&ticket) {
                    let old = std::mem::replace(waker, context.waker().clone());
                    drop(state);
                    drop(old);
                    return Ok(false);
                }
                // A place in the queue was kept for us.
                state.granted -= 1;
                self.place = Place::New;
            }
            _ if state.closed => {}
            _ if !state.waiters.is_empty() || !state.has_room(&pool.config) => {
                let ticket = state.ticket();
                state.waiters.insert(ticket, context.waker().clone());
                self.place = Place::Waiting(ticket);
                return Ok(false);
            }
            _ => {}
        }
        if state.closed {
            self.place = Place::Over;
            return Err(BlockingError::Closed);
        }
        let ticket = state.ticket();
        state.queue.insert(ticket, Arc::clone(&self.call) as Arc<dyn Job>);
        self.place = Place::Queued(ticket);
        let next = state.staff(&pool.config);
        drop(state);
        pool.after(next);
        Ok(true)
    }
}

impl<T: Send + 'static> Future for BlockingCall<T> {
    type Output = Result<T, BlockingError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.place {
            Place::Over => panic!("a blocking call was polled after it was over"),
            Place::New | Place::Waiting(_) => match this.enter(context) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            },
            Place::Queued(_) => {}
        }
        let mut stage = this.call.stage.lock();
        match &mut *stage {
            Stage::New { waker, .. } | Stage::Running { waker } => {
                let old = match waker {
                    Some(waker) if waker.will_wake(context.waker()) => None,
                    _ => waker.replace(context.waker().clone()),
                };
                drop(stage);
                drop(old);
                Poll::Pending
            }
            Stage::Done(_) => {
                let Stage::Done(result) = std::mem::replace(&mut *stage, Stage::Gone) else { unreachable!() };
                this.place = Place::Over;
                Poll::Ready(result)
            }
            Stage::Abandoned | Stage::Gone => unreachable!("a blocking call lost its result"),
        }
    }
}

impl<T> BlockingCall<T> {
    /// Gives the place among the waiting or the queued back. Whether the job runs already.
    fn leave(&mut self) -> bool {
        let left: Option<Arc<dyn Job>> = match self.place {
            // The usual case, without the lock that every call on its way takes.
            Place::New | Place::Over => return false,
            Place::Waiting(ticket) => {
                let mut state = self.pool.state.lock();
                let waker = state.waiters.remove(&ticket);
                if waker.is_none() {
                    state.granted -= 1;
                }
                drop(state);
                drop(waker);
                None
            }
            Place::Queued(ticket) => {
                let job = self.pool.state.lock().queue.remove(&ticket);
                if job.is_none() {
                    return true;
                }
                job
            }
        };
        drop(left);
        self.pool.grant();
        false
    }

    /// The result is not wanted any more.
    fn abandon(&self) {
        let mut stage = self.call.stage.lock();
        let next = match &*stage {
            Stage::Running { .. } => Stage::Abandoned,
            _ => Stage::Gone,
        };
        let counts = matches!(next, Stage::Abandoned);
        let before = std::mem::replace(&mut *stage, next);
        let mut after = Next::Nothing;
        if counts {
            let mut state = self.pool.state.lock();
            state.abandoned += 1;
            // Its thread may be replaced.
            after = state.staff(&self.pool.config);
        }
        drop(stage);
        self.pool.after(after);
        // Outside the locks: closures, results and wakers are foreign.
        drop(before);
    }
}

impl<T> Drop for BlockingCall<T> {
    fn drop(&mut self) {
        if self.leave() {
            self.abandon();
        }
    }
}

impl<T> std::fmt::Debug for BlockingCall<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match self.place {
            Place::New => "new",
            Place::Waiting(_) => "waiting for room",
            Place::Queued(_) => "queued or running",
            Place::Over => "over",
        };
        f.debug_struct("BlockingCall").field("place", &place).finish_non_exhaustive()
    }
}
