//! Code of a program for one worker: the same binary, on an engine that no other worker uses.
//!
//! Whatever begins or ends on an engine counts references in it, in its code and in its types. Workers that share an engine
//! wait there for each other's caches, at each of some twenty places: a fifth of what a tiny guest costs, measured with two.
//! So a program that a worker starts often gets code of its own there, made beside the work and used from then on.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, ThreadId};

use wasmtime::Engine;

use super::engine::{EngineClass, Engines};
use super::program::{Program, Target};
use super::series::Series;
use crate::process::Tasks;
use crate::reactor::Reactor;

/// A worker that has started a program so often gets code of its own for it. Making that costs what some hundred tiny
/// processes do.
const HOT_STARTS: usize = 512;

/// Makes the code of a program again, on another engine. `None` when that fails, as it does not: it was made before.
pub(super) type Make = dyn Fn(&Engine) -> Option<Target> + Send + Sync;

/// The code of a program in one engine class.
pub(super) struct Linkage {
    pub(super) class: EngineClass,
    /// What all workers have; it also tells which code an instance was made from.
    pub(super) shared: Arc<Target>,
    /// What this worker has, once it has.
    own: OnceLock<Arc<Target>>,
    /// The same with nothing behind its imports; none where that can't be.
    alone: OnceLock<Option<Arc<Target>>>,
    /// Where attempts of this worker share a store.
    pub(super) series: Series,
    again: Option<Arc<Again>>,
}

/// How code is made again.
pub(super) struct Again {
    pub(super) make: Box<Make>,
    pub(super) engines: Engines,
    /// The size of the binary.
    pub(super) bytes: usize,
}

impl Linkage {
    /// `again` is none where the code is to be made once only.
    pub(super) fn new(class: EngineClass, target: Target, again: Option<Again>) -> Self {
        let again = again.map(Arc::new);
        Self::of(class, Arc::new(target), again)
    }

    fn of(class: EngineClass, shared: Arc<Target>, again: Option<Arc<Again>>) -> Self {
        let (own, alone) = (OnceLock::new(), OnceLock::new());
        Self { class, shared, own, alone, series: Series::default(), again }
    }

    /// The same for a worker, which may get code of its own.
    pub(super) fn replica(&self) -> Self {
        Self::of(self.class, Arc::clone(&self.shared), self.again.clone())
    }

    /// The code to run.
    pub(super) fn target(&self) -> &Arc<Target> {
        self.own.get().unwrap_or(&self.shared)
    }

    /// The code for an attempt; `None` when there can't be one, or not yet.
    fn alone(&self, is_hot: bool) -> Option<&Arc<Target>> {
        if self.shared.is_inert() {
            return Some(self.target());
        }
        // Made once, and so of what the worker will have for good.
        let is_settled = self.own.get().is_some() || self.again.is_none();
        if !is_hot || !is_settled {
            return None;
        }
        self.alone.get_or_init(|| self.target().alone().map(Arc::new)).as_ref()
    }
}

impl Program {
    /// A worker, whose program this is, starts it once more, with the code at this place.
    pub(super) fn count_start(self: &Arc<Self>, place: usize, reactor: &Reactor, tasks: &Tasks) {
        if let Some(starts) = &self.starts
            && starts.fetch_add(1, Ordering::Relaxed) + 1 == HOT_STARTS
        {
            self.make_own(place, reactor, tasks);
        }
    }

    /// The code at this place for an attempt, if there can be one now. Of a program whose guests have imports only once it is started
    /// often.
    pub(super) fn alone(&self, place: usize) -> Option<&Arc<Target>> {
        self.linkages[place].alone(self.is_hot())
    }

    /// A worker, whose program this is, starts it often.
    pub(super) fn is_hot(&self) -> bool {
        self.starts.as_ref().is_some_and(|starts| starts.load(Ordering::Relaxed) >= HOT_STARTS)
    }

    /// Has the code for this place made again for the worker that this thread is, whose program this is. On another thread:
    /// nobody waits for it, and one that can't be had changes nothing.
    fn make_own(self: &Arc<Self>, place: usize, reactor: &Reactor, tasks: &Tasks) {
        let Some(again) = self.linkages[place].again.clone() else { return };
        let (class, worker) = (self.linkages[place].class, thread::current().id());
        let program: Weak<Self> = Arc::downgrade(self);
        let made = reactor.blocking().run(move || again.on_engine_of(class, worker));
        tasks.spawn(async move {
            if let Ok(Some(target)) = made.await
                && let Some(program) = program.upgrade()
            {
                let _ = program.linkages[place].own.set(Arc::new(target));
            }
        });
    }
}

impl Again {
    fn on_engine_of(&self, class: EngineClass, worker: ThreadId) -> Option<Target> {
        let engine = self.engines.of_worker(class, worker, self.bytes)?;
        (self.make)(&engine)
    }
}

impl fmt::Debug for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_own = self.own.get().is_some();
        f.debug_struct("Linkage").field("class", &self.class).field("is_own", &is_own).finish_non_exhaustive()
    }
}
