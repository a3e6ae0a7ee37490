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
    /// Nothing of one that has nothing to see.
    world: Option<Box<World>>,
    /// Laid out when the guest first asks the host for something.
    wasi: Option<Box<WasiState>>,
    /// Counts what the guest's memories and tables take.
    pub(super) memory: Memory,
    /// The clock its time is read on.
    pub(super) clock: Clock,
    /// The process among others; none of a guest that never was one.
    own: Option<Box<Own>>,
    /// What a tick means that it computes through.
    pub(super) at_tick: AtTick,
    /// Ticks that it has computed through, on a stack of its own.
    pub(super) ticks: u32,
}

/// What becomes of a guest at a tick, when nobody has asked for its end and it has time left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtTick {
    /// It lets others run when its slice is over.
    Yields,
    /// It is on a stack that can't be left, and soon over.
    GoesOn,
    /// It is on a stack that can't be left, and stopped after so many more.
    Attempts(u32),
    /// It was stopped there.
    GaveUp,
}

const NO_PROCESS: &str = "a guest that calls the host is a process";

impl State {
    /// That of a guest that is no process, or is not to know of it.
    pub(super) fn new(world: Option<Box<World>>, memory: Memory, clock: Clock) -> Self {
        Self { world, wasi: None, memory, clock, own: None, at_tick: AtTick::Yields, ticks: 0 }
    }

    /// The same for a guest that is this process.
    pub(super) fn owned_by(mut self, own: Own) -> Self {
        self.own = Some(Box::new(own));
        self
    }

    /// What it has used of what it may.
    pub(super) fn usage(&self) -> &Usage {
        self.memory.usage()
    }

    /// What the guest holds of the host, if it ever asked for anything.
    pub(super) fn known_wasi(&self) -> Option<&WasiState> {
        self.wasi.as_deref()
    }

    /// The guest goes on as another process, whose usage follows that of the last one.
    pub(super) fn pass_on(&mut self, own: Own, usage: &Arc<Usage>) {
        if let Some(world) = &mut self.world {
            world.pass_on(own.pid());
        }
        self.own = Some(Box::new(own));
        self.memory.pass_on(Arc::clone(usage));
        if let Some(wasi) = &mut self.wasi {
            wasi.pass_on(Arc::clone(usage));
        }
    }

    /// The process among others. There is one: who is none asks the host for nothing.
    pub(super) fn own(&self) -> &Own {
        self.own.as_deref().expect(NO_PROCESS)
    }

    /// [`own`](Self::own).
    pub(super) fn own_mut(&mut self) -> &mut Own {
        self.own.as_deref_mut().expect(NO_PROCESS)
    }

    /// The process as functions of an embedder know it.
    pub(super) fn host_context(&mut self) -> HostContext {
        self.own.as_mut().expect(NO_PROCESS).host_context(self.memory.usage())
    }
}

impl WasiView for State {
    fn wasi(&mut self) -> &mut WasiState {
        let Self { wasi, world, own, memory, .. } = self;
        wasi.get_or_insert_with(|| {
            let own = own.as_ref().expect(NO_PROCESS);
            Box::new(world.get_or_insert_default().lay_out(own, memory.usage()))
        })
    }

    fn others_wait(&self) -> bool {
        step::others_wait()
    }
}
