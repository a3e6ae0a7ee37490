//! The ticker: the one clock of preemption, shared by the schedulers of a runtime.
//!
//! A tick counts up, calls the callbacks (the wasm room increments an epoch there) and looks after the schedulers whose
//! workers are all inside steps. It happens only while some worker is awake: when the last one parks, the thread goes to
//! sleep after [`LINGER_TICKS`] periods, and an idle program makes no wake-ups at all.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::park::Parker;
use super::unwind::AbortIfUnwinding;
use crate::sync::{AtomicUsize, CachePadded, Mutex, Ordering, fence};

/// The period when nothing else is said: short enough that eight spinners share a core within the blink of an eye, long
/// enough that switching costs well below one percent.
pub const DEFAULT_PERIOD: Duration = Duration::from_millis(1);

/// Shorter periods are raised to this: below, the thread itself becomes a load.
const PERIOD_MIN: Duration = Duration::from_micros(50);

/// The thread goes on for so many periods after the last worker parked. Waking it costs a system call, which a scheduler
/// that works in short bursts (an event every few milliseconds) would otherwise pay for each of them.
const LINGER_TICKS: u32 = 16;

/// At most this many callbacks: one an engine, and there is one engine for each combination of a few settings.
const CALLBACKS_MAX: usize = 256;

type Callback = Arc<dyn Fn() + Send + Sync>;

/// What the ticker looks after once a tick.
pub(super) trait Tended: Send + Sync {
    /// `last` is the tick that is over.
    fn tend(self: Arc<Self>, last: u64);
}

/// Ticks while some worker of some scheduler attached to it is awake. A cheap handle; clones tick together.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use wippy::scheduler::Ticker;
///
/// let ticker = Ticker::manual();
/// let ticks = Arc::new(AtomicU32::new(0));
/// let counter = Arc::clone(&ticks);
/// ticker.on_tick(Arc::new(move || {
///     counter.fetch_add(1, Ordering::Relaxed);
/// }));
/// ticker.tick();
/// assert_eq!(ticks.load(Ordering::Relaxed), 1);
/// ```
#[derive(Clone)]
pub struct Ticker(Arc<Handle>);

/// Stops the thread when the last clone is gone.
struct Handle(Arc<Shared>);

struct Shared {
    ticks: CachePadded<AtomicU64>,
    activity: Activity,
    wakeups: AtomicU64,
    has_thread: AtomicBool,
    stop: AtomicBool,
    /// A list that is replaced, not changed: a tick takes it and calls nobody under the lock.
    callbacks: Mutex<Arc<[Callback]>>,
    tended: Mutex<Arc<[Weak<dyn Tended>]>>,
}

impl Ticker {
    /// Starts the thread `wippy-ticker`, asleep. A period below 50 µs is raised to that.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(period: Duration) -> io::Result<Self> {
        let ticker = Self::manual();
        let shared = Arc::clone(&ticker.0.0);
        let period = period.max(PERIOD_MIN);
        shared.has_thread.store(true, Ordering::Relaxed);
        std::thread::Builder::new().name("wippy-ticker".to_owned()).spawn(move || run(&shared, period))?;
        Ok(ticker)
    }

    /// A ticker without a thread, for tests and simulations: only [`Ticker::tick`] makes it tick.
    pub fn manual() -> Self {
        Self(Arc::new(Handle(Arc::new(Shared {
            ticks: CachePadded::default(),
            activity: Activity::new(),
            wakeups: AtomicU64::new(0),
            has_thread: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            callbacks: Mutex::new(Arc::new([])),
            tended: Mutex::new(Arc::new([])),
        }))))
    }

    /// One tick, on the calling thread.
    pub fn tick(&self) {
        self.0.0.tick();
    }

    /// Calls `callback` at every tick from now on, on the thread of the ticker. It must not block and not unwind.
    ///
    /// # Panics
    /// When there are 256 callbacks already: they are one for each engine of a runtime.
    pub fn on_tick(&self, callback: Arc<dyn Fn() + Send + Sync>) {
        let mut callbacks = self.0.0.callbacks.lock();
        assert!(callbacks.len() < CALLBACKS_MAX, "at most {CALLBACKS_MAX} callbacks on one ticker");
        *callbacks = callbacks.iter().cloned().chain([callback]).collect();
    }

    /// The number of ticks so far.
    pub fn ticks(&self) -> u64 {
        // Relaxed: a tick carries no data.
        self.0.0.ticks.load(Ordering::Relaxed)
    }

    /// How often the thread has woken up, whether it ticked then or not. It stands still while every worker is parked.
    pub fn wakeups(&self) -> u64 {
        self.0.0.wakeups.load(Ordering::Relaxed)
    }

    /// True when it ticks by itself.
    pub(super) fn has_thread(&self) -> bool {
        self.0.0.has_thread.load(Ordering::Relaxed)
    }

    /// True when the thread sleeps until some worker is awake.
    #[cfg(all(test, not(wippy_loom)))]
    pub(super) fn is_asleep(&self) -> bool {
        self.0.0.activity.asleep.load(Ordering::Relaxed) == 1
    }

    /// How many schedulers are on the list.
    #[cfg(all(test, not(wippy_loom)))]
    pub(super) fn attached(&self) -> usize {
        self.0.0.tended.lock().len()
    }

    /// Looks after `tended` until it is dropped.
    pub(super) fn attach(&self, tended: Weak<dyn Tended>) {
        let mut list = self.0.0.tended.lock();
        *list = list.iter().filter(|other| other.strong_count() > 0).cloned().chain([tended]).collect();
    }

    /// A worker woke up.
    pub(super) fn enter(&self) {
        self.0.0.activity.enter();
    }

    /// A worker falls asleep or ends.
    pub(super) fn leave(&self) {
        self.0.0.activity.leave();
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker").field("ticks", &self.ticks()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
        // Counted as activity, so the thread wakes up and sees the word.
        self.0.activity.enter();
    }
}

impl Shared {
    fn tick(&self) {
        let last = self.ticks.fetch_add(1, Ordering::Relaxed);
        let callbacks = Arc::clone(&*self.callbacks.lock());
        for callback in callbacks.iter() {
            callback();
        }
        let tended = Arc::clone(&*self.tended.lock());
        for tended in tended.iter().filter_map(Weak::upgrade) {
            tended.tend(last);
        }
    }
}

fn run(shared: &Shared, period: Duration) {
    let _abort = AbortIfUnwinding("the thread `wippy-ticker`");
    let mut idle_ticks = LINGER_TICKS;
    while !shared.stop.load(Ordering::Relaxed) {
        if idle_ticks >= LINGER_TICKS {
            shared.activity.sleep();
            idle_ticks = 0;
            shared.wakeups.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        std::thread::sleep(period);
        shared.wakeups.fetch_add(1, Ordering::Relaxed);
        if shared.activity.is_any() {
            idle_ticks = 0;
            shared.tick();
        } else {
            idle_ticks += 1;
        }
    }
}

/// How many workers are awake, and whether the ticker sleeps because none is.
#[derive(Debug)]
pub(super) struct Activity {
    awake: CachePadded<AtomicUsize>,
    /// 1 while the ticker sleeps, or is about to look a last time.
    asleep: AtomicUsize,
    bed: Parker,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { awake: CachePadded(AtomicUsize::new(0)), asleep: AtomicUsize::new(0), bed: Parker::new() }
    }

    pub(super) fn enter(&self) {
        self.awake.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `sleep`: either this thread sees the sleeper, or the sleeper sees the count.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) == 1 && self.asleep.swap(0, Ordering::Relaxed) == 1 {
            self.bed.unpark_waiting();
        }
    }

    pub(super) fn leave(&self) {
        let before = self.awake.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "who leaves has entered");
    }

    pub(super) fn is_any(&self) -> bool {
        self.awake.load(Ordering::Relaxed) > 0
    }

    /// Sleeps until some worker is awake.
    pub(super) fn sleep(&self) {
        self.asleep.swap(1, Ordering::Relaxed);
        // Pairs with the fence in `enter`.
        fence(Ordering::SeqCst);
        // Whoever takes the 1 back first decides: a worker that did so has rung, or is about to.
        if !self.is_any() || self.asleep.swap(0, Ordering::Relaxed) == 0 {
            self.bed.wait();
        }
    }
}
