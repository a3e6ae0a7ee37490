//! What the store of a process carries.

use std::sync::Arc;

use super::host::{HostContext, Own};
use super::memory::Memory;
use super::world::World;
use crate::limits::Usage;
use crate::process::step;
use crate::reactor::Clock;
use crate::wasi::{WasiState, WasiView};

/// The data of one process's store.
pub(super) struct State {
    world: World,
    /// Laid out when the guest first asks the host for something.
    wasi: Option<Box<WasiState>>,
    /// Counts what the guest's memories and tables take.
    pub(super) memory: Memory,
    pub(super) usage: Arc<Usage>,
    /// The clock its time is read on.
    pub(super) clock: Clock,
    /// The process among others.
    pub(super) own: Own,
    /// Whether it is on a stack that can be left when its slice is over.
    pub(super) may_yield: bool,
}

impl State {
    pub(super) fn new(world: World, memory: Memory, clock: Clock, own: Own) -> Self {
        let usage = Arc::clone(memory.usage());
        Self { world, wasi: None, memory, usage, clock, own, may_yield: true }
    }

    /// What the guest holds of the host, if it ever asked for anything.
    pub(super) fn known_wasi(&self) -> Option<&WasiState> {
        self.wasi.as_deref()
    }

    /// The guest goes on as another process, whose usage follows that of the last one.
    pub(super) fn pass_on(&mut self, own: Own, usage: &Arc<Usage>) {
        self.world.pass_on(own.pid());
        self.own = own;
        self.usage = Arc::clone(usage);
        self.memory.pass_on(Arc::clone(usage));
        if let Some(wasi) = &mut self.wasi {
            wasi.pass_on(Arc::clone(usage));
        }
    }

    /// The process as functions of an embedder know it.
    pub(super) fn host_context(&mut self) -> HostContext {
        self.own.host_context(&self.usage)
    }
}

impl WasiView for State {
    fn wasi(&mut self) -> &mut WasiState {
        let Self { wasi, world, own, usage, .. } = self;
        wasi.get_or_insert_with(|| Box::new(world.lay_out(own, usage)))
    }

    fn others_wait(&self) -> bool {
        step::others_wait()
    }
}
