//! Settings of a scheduler, and its start.

use std::hash::BuildHasher;
use std::io;
use std::sync::{Arc, Weak};

use super::Scheduler;
use super::idle::{Idle, MAX_WORKERS};
use super::observe::StepObserver;
use super::park::{Condition, Driver};
use super::queue::{OwnQueue, Queues};
use super::replace::REPLACEMENTS_MAX;
use super::shared::{Parts, Shared};
use super::tick::{DEFAULT_PERIOD, Tended, Ticker};
use super::worker;

/// The bound on live tasks when nothing else is said: a million, ten times what a host of this size is meant for.
pub const DEFAULT_MAX_TASKS: usize = 1 << 20;

/// Settings of a scheduler.
///
/// Defaults: a worker for each core, no driver (idle workers wait for wake-ups only), a ticker of its own with a period
/// of 1 ms, at most [`DEFAULT_MAX_TASKS`] live tasks, no replacements, a random seed, nobody who observes steps.
///
/// ```
/// use wippy::scheduler::{Scheduler, Ticker};
///
/// let ticker = Ticker::manual();
/// let scheduler = Scheduler::builder("processes").workers(2).ticker(&ticker).max_tasks(1000).seed(7).build()?;
/// assert_eq!(scheduler.stats().workers.len(), 2);
/// scheduler.shutdown().expect("this is no worker");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub struct Builder {
    name: Box<str>,
    workers: Option<usize>,
    driver: Option<Arc<dyn Driver>>,
    ticker: Option<Ticker>,
    max_tasks: usize,
    replacements: usize,
    seed: Option<u64>,
    observer: Option<Arc<dyn StepObserver>>,
}

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            workers: None,
            driver: None,
            ticker: None,
            max_tasks: DEFAULT_MAX_TASKS,
            replacements: 0,
            seed: None,
            observer: None,
        }
    }

    /// The number of worker threads, 1 to 4096.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// What idle workers wait on.
    pub fn driver(mut self, driver: Arc<dyn Driver>) -> Self {
        self.driver = Some(driver);
        self
    }

    /// The ticker, shared with other schedulers.
    pub fn ticker(mut self, ticker: &Ticker) -> Self {
        self.ticker = Some(ticker.clone());
        self
    }

    /// At most this many live tasks: spawned and not yet dropped.
    pub fn max_tasks(mut self, max_tasks: usize) -> Self {
        self.max_tasks = max_tasks;
        self
    }

    /// At most this many replacements for workers inside steps that can't be preempted, see
    /// [`mark_unpreemptible`](super::current::mark_unpreemptible); what is above [`REPLACEMENTS_MAX`] counts as that. A
    /// replacement is a thread more for as long as such a step goes on while there is other work.
    pub fn replacements(mut self, replacements: usize) -> Self {
        self.replacements = replacements.min(REPLACEMENTS_MAX);
        self
    }

    /// Fixes the order in which workers choose their victims. One worker with a manual ticker and a fixed seed does the
    /// same every time.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Has `observer` told of every step.
    pub fn observe(mut self, observer: Arc<dyn StepObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Starts the workers. Their threads are called `wippy-w0:name` and so on, with the part of the name behind its last
    /// colon, cut to the 15 bytes that Linux keeps.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a number of workers out of bounds; what the system says when it refuses a
    /// thread. Threads that were started by then end again.
    pub fn build(self) -> io::Result<Scheduler> {
        let workers = match self.workers {
            Some(workers) => workers,
            None => std::thread::available_parallelism()?.get().min(MAX_WORKERS),
        };
        let workers_max = MAX_WORKERS - self.replacements;
        if !(1..=workers_max).contains(&workers) {
            let message = format!("a scheduler has 1 to {workers_max} workers, not {workers}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let ticker = match self.ticker {
            Some(ticker) => ticker,
            None => Ticker::start(DEFAULT_PERIOD)?,
        };
        let seed = self.seed.unwrap_or_else(|| std::hash::RandomState::new().hash_one(workers));
        let mut owns: Vec<_> = (0..workers + self.replacements).map(|_| OwnQueue::new()).collect();
        let queues = Queues::new(&owns, workers);
        let spare = owns.split_off(workers);
        let has_events = self.driver.is_some();
        let driver = self.driver.unwrap_or_else(|| Arc::new(Condition::new()));
        let parts = Parts {
            name: self.name,
            idle: Idle::new(workers + spare.len(), driver),
            ticker: ticker.clone(),
            max_tasks: self.max_tasks,
            observer: self.observer,
            has_events,
            seed,
        };
        let shared = Arc::new(Shared::new(parts, queues, workers, spare));
        let tended: Weak<dyn Tended> = Arc::downgrade(&(Arc::clone(&shared) as Arc<dyn Tended>));
        ticker.attach(tended);

        let scheduler = Scheduler::new(shared);
        for (index, own) in owns.into_iter().enumerate() {
            scheduler.start_worker(index, workers, own, seed)?;
        }
        Ok(scheduler)
    }
}

impl Scheduler {
    /// On failure the handle is dropped by the caller, which stops the workers that run already; those that never
    /// started leave here, so that the last one to leave is known.
    fn start_worker(&self, index: usize, workers: usize, own: OwnQueue, seed: u64) -> io::Result<()> {
        let shared = self.shared();
        match worker::start(Arc::clone(shared), index, seed, move || Some(own)) {
            Ok(thread) => {
                self.keep(thread);
                Ok(())
            }
            Err(error) => {
                (index..workers).for_each(|_| shared.worker_leaves());
                Err(error)
            }
        }
    }
}
