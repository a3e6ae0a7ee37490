//! What the processes of a host stand on, as one of its workers has it.
//!
//! It is the same for all of them. But if all processes counted their references in one place, each beginning and each end
//! would fetch the memory that another worker has just written: with two workers that alone took longer than the processes
//! did. So each worker has a ground of its own, and who is none of them has one as well.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::ceiling::{Ceiling, Footprint};
use super::manager::Realm;
use super::table::{Desk, Place, Table};
use super::{Program, Tasks};
use crate::limits::Limits;
use crate::reactor::{Clock, Reactor};
use crate::registry::EntryId;
use crate::scheduler::Scheduler;
use crate::sync::CachePadded;

/// What the processes that one worker begins have in common. Its counts of references lie apart from what it has in it,
/// which others read.
pub(super) struct Ground(CachePadded<Common>);

pub(super) struct Common {
    pub(super) realm: Realm,
    /// The clock of the host.
    pub(super) clock: Clock,
    /// None only where there are cells without a host: in the models of what they have to do with each other.
    host: Option<OnHost>,
}

/// A host, as one worker has it.
pub(super) struct OnHost {
    /// The entry of the host: a text of its own.
    pub(super) id: EntryId,
    pub(super) reactor: Arc<Reactor>,
    pub(super) tasks: Tasks,
    pub(super) ceiling: Ceiling,
    pub(super) table: Arc<Table>,
    pub(super) desk: Desk,
    scheduler: Scheduler,
    /// Its place among the grounds of the host.
    at: usize,
    /// All grounds of the host: those of the workers by their index, and one for everybody else.
    all: Arc<OnceLock<Box<[Weak<Ground>]>>>,
    /// The programs that were started here, as this worker has them, by the address of what all workers have.
    spots: Mutex<FxHashMap<usize, Arc<Spot>>>,
}

/// A program on a host, as one worker has it.
pub(super) struct Spot {
    /// What all workers have.
    pub(super) original: Arc<dyn Program>,
    /// What this worker makes processes of.
    pub(super) program: Arc<dyn Program>,
    /// What its processes may use, and what they take, where a start says nothing of it.
    pub(super) usual: OnceLock<(Arc<Limits>, Footprint)>,
}

impl Spot {
    pub(super) fn new(original: &Arc<dyn Program>) -> Arc<Self> {
        let program = original.replica().unwrap_or_else(|| Arc::clone(original));
        Arc::new(Self { original: Arc::clone(original), program, usual: OnceLock::new() })
    }
}

/// A place that is given back when this is dropped.
pub(super) struct Admission {
    ground: Arc<Ground>,
    place: Option<Place>,
}

impl Admission {
    pub(super) fn new(ground: Arc<Ground>, place: Place) -> Self {
        Self { ground, place: Some(place) }
    }

    /// The place, which the caller gives back.
    pub(super) fn into_place(mut self) -> Place {
        self.place.take().expect("only this and the drop take it")
    }

    /// A place in the line for its next process.
    pub(super) fn line_up(&mut self) {
        if let Some(place) = &mut self.place {
            self.ground.host().table.line_up(place);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let host = self.ground.host();
            host.table.give_back(&host.desk, place);
        }
    }
}

/// What the grounds of a host are made of.
pub(super) struct Plot<'a> {
    pub(super) id: &'a EntryId,
    pub(super) realm: &'a Realm,
    pub(super) reactor: &'a Arc<Reactor>,
    pub(super) scheduler: &'a Scheduler,
    pub(super) ceiling: &'a Ceiling,
    pub(super) table: &'a Arc<Table>,
}

impl Ground {
    /// The grounds of a host: one a worker, those that replace one included, and one for everybody else, which is the last.
    pub(super) fn of_host(plot: &Plot<'_>) -> Box<[Arc<Self>]> {
        let all = Arc::new(OnceLock::new());
        let ground = |at| {
            let host = OnHost {
                id: plot.id.apart(),
                reactor: Arc::clone(plot.reactor),
                tasks: Tasks::new(plot.scheduler.clone()),
                ceiling: plot.ceiling.apart(),
                table: Arc::clone(plot.table),
                desk: plot.table.desk(at),
                scheduler: plot.scheduler.clone(),
                at,
                all: Arc::clone(&all),
                spots: Mutex::default(),
            };
            let clock = plot.reactor.clock().clone();
            Arc::new(Self(CachePadded(Common { realm: plot.realm.clone(), clock, host: Some(host) })))
        };
        let grounds: Box<[_]> = (0..=plot.scheduler.places()).map(ground).collect();
        let _ = all.set(grounds.iter().map(Arc::downgrade).collect());
        grounds
    }

    /// A ground for a cell without a host.
    #[cfg(all(test, wippy_loom))]
    pub(super) fn bare(realm: Realm, clock: Clock) -> Arc<Self> {
        Arc::new(Self(CachePadded(Common { realm, clock, host: None })))
    }

    /// Where the ground of this thread is among those of the host that has these workers.
    pub(super) fn place_of(scheduler: &Scheduler) -> usize {
        scheduler.current_worker().unwrap_or(scheduler.places())
    }

    /// The host.
    pub(super) fn host(&self) -> &OnHost {
        self.0.host.as_ref().expect("a process has a host")
    }

    /// The ground of the worker that this thread is, on the same host.
    pub(super) fn here(self: &Arc<Self>) -> Arc<Self> {
        self.elsewhere().unwrap_or_else(|| Arc::clone(self))
    }

    /// The same, if it is another one.
    pub(super) fn elsewhere(&self) -> Option<Arc<Self>> {
        let host = self.host();
        let at = host.scheduler.current_worker().filter(|worker| *worker != host.at)?;
        host.all.get()?[at].upgrade()
    }

    /// A program, as this worker has it.
    pub(super) fn spot(&self, original: &Arc<dyn Program>) -> Arc<Spot> {
        // A spot keeps its program, so nobody else comes to this address.
        let address = Arc::as_ptr(original).addr();
        Arc::clone(self.host().spots.lock().entry(address).or_insert_with(|| Spot::new(original)))
    }
}

impl std::ops::Deref for Ground {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.0
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("at", &self.host.as_ref().map(|host| host.at)).finish_non_exhaustive()
    }
}
