//! A guest between two calls: its store and its instance, kept for the next process of the same program.

use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::{Store, component};

use super::host::Own;
use super::program::Target;
use super::state::State;
use crate::limits::Usage;
use crate::process::{Instance, Pid};

/// An instance that has answered and is as it was then.
pub(super) struct Warm {
    pub(super) store: Store<State>,
    pub(super) linked: Linked,
    /// What it was made from: an instance belongs to the engine of its code.
    target: Arc<Target>,
    pub(super) name: LogName,
}

/// An instance in its store.
#[derive(Clone, Copy)]
pub(super) enum Linked {
    Component(component::Instance),
    Core(wasmtime::Instance),
}

impl Warm {
    /// Makes of it what the next process is given.
    pub(super) fn keep(store: Store<State>, linked: Linked, target: Arc<Target>, name: LogName) -> Instance {
        Box::new(Self { store, linked, target, name })
    }

    /// What was kept, if it can go on with this code.
    pub(super) fn of(kept: Option<Instance>, target: &Arc<Target>) -> Option<Box<Self>> {
        kept?.downcast::<Self>().ok().filter(|warm| Arc::ptr_eq(&warm.target, target))
    }

    /// Goes on as another process, whose usage follows that of the last one.
    pub(super) fn pass_on(&mut self, pid: &Pid, own: Own, usage: &Arc<Usage>) {
        let state = self.store.data_mut();
        state.own = own;
        state.usage = Arc::clone(usage);
        state.memory.pass_on(Arc::clone(usage));
        state.wasi.pass_on(Arc::clone(usage));
        self.name.set(pid);
    }
}

/// The pid by which the log knows what a guest writes: that of the process it is at that time.
#[derive(Clone)]
pub(super) struct LogName(Arc<Mutex<Arc<str>>>);

impl LogName {
    pub(super) fn new(pid: &Pid) -> Self {
        Self(Arc::new(Mutex::new(pid.to_string().into())))
    }

    fn set(&self, pid: &Pid) {
        *self.0.lock() = pid.to_string().into();
    }

    pub(super) fn get(&self) -> Arc<str> {
        Arc::clone(&self.0.lock())
    }
}
