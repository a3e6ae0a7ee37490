//! `wasi:io/poll`: the calls of wasmtime-wasi-io, after which nothing is waited for any more.

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_io::bindings::wasi::io::poll::{Host, HostPollable};
use wasmtime_wasi_io::poll::DynPollable;

use super::state::WasiState;
use crate::limits::forget_waits;

impl Host for WasiState {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        let ready = self.table.poll(pollables).await;
        // Those that were not ready noted a reason, and somebody else was.
        forget_waits();
        ready
    }
}

impl HostPollable for WasiState {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.table.block(pollable).await
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        let ready = self.table.ready(pollable).await;
        // It was only looked at.
        forget_waits();
        ready
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        HostPollable::drop(&mut self.table, pollable)
    }
}
