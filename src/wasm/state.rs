//! What the store of a process carries.

use wasmtime::{StoreLimits, StoreLimitsBuilder};

use crate::reactor::Clock;
use crate::wasi::{WasiState, WasiView};

/// The data of one process's store.
pub(super) struct State {
    pub(super) wasi: WasiState,
    pub(super) limits: StoreLimits,
    /// The clock its wall time is read on.
    pub(super) clock: Clock,
}

impl State {
    pub(super) fn new(wasi: WasiState, clock: Clock) -> Self {
        Self { wasi, limits: StoreLimitsBuilder::new().build(), clock }
    }
}

impl WasiView for State {
    fn wasi(&mut self) -> &mut WasiState {
        &mut self.wasi
    }
}
