//! A guest between two calls: its store and its instance, kept for the next process of the same program.

use std::sync::Arc;

use wasmtime::{Store, component};

use super::host::Own;
use super::program::Target;
use super::state::State;
use crate::limits::Usage;
use crate::process::Instance;

/// An instance that has answered and is as it was then.
pub(super) struct Warm {
    pub(super) store: Store<State>,
    pub(super) linked: Linked,
    /// What it was made from: an instance belongs to the engine of its code.
    pub(super) target: Arc<Target>,
    /// What all workers have of that code.
    shared: Arc<Target>,
}

/// An instance in its store.
#[derive(Clone, Copy)]
pub(super) enum Linked {
    Component(component::Instance),
    Core(wasmtime::Instance),
}

impl Warm {
    /// Makes of it what the next process is given.
    pub(super) fn keep(store: Store<State>, linked: Linked, target: Arc<Target>, shared: Arc<Target>) -> Instance {
        Box::new(Self { store, linked, target, shared })
    }

    /// What was kept, if it is of this code, whosever engine it is on.
    pub(super) fn of(kept: Option<Instance>, shared: &Arc<Target>) -> Option<Box<Self>> {
        kept?.downcast::<Self>().ok().filter(|warm| Arc::ptr_eq(&warm.shared, shared))
    }

    /// Goes on as another process, whose usage follows that of the last one.
    pub(super) fn pass_on(&mut self, own: Own, usage: &Arc<Usage>) {
        self.store.data_mut().pass_on(own, usage);
    }
}
