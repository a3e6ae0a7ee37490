//! What the store of a process carries.

use std::sync::Arc;

use super::host::{HostContext, Own};
use super::memory::Memory;
use crate::limits::Usage;
use crate::reactor::Clock;
use crate::wasi::{WasiState, WasiView};

/// The data of one process's store.
pub(super) struct State {
    pub(super) wasi: WasiState,
    /// Counts what the guest's memories and tables take.
    pub(super) memory: Memory,
    pub(super) usage: Arc<Usage>,
    /// The clock its time is read on.
    pub(super) clock: Clock,
    /// The process among others.
    pub(super) own: Own,
}

impl State {
    pub(super) fn new(wasi: WasiState, memory: Memory, clock: Clock, own: Own) -> Self {
        let usage = Arc::clone(memory.usage());
        Self { wasi, memory, usage, clock, own }
    }

    /// The process as functions of an embedder know it.
    pub(super) fn host_context(&mut self) -> HostContext {
        self.own.host_context(&self.usage)
    }
}

impl WasiView for State {
    fn wasi(&mut self) -> &mut WasiState {
        &mut self.wasi
    }
}
