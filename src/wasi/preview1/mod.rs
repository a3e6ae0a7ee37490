//! `wasi_snapshot_preview1` for core modules: a thin layer over the same state as the interfaces of 0.2.
//!
//! Descriptors 0, 1 and 2 are the standard streams; there are no others until files are served. Every pointer a guest
//! passes is checked against its memory (`fault` otherwise), every count has a bound.

mod absent;
mod clocks;
mod errno;
mod fd;
mod memory;
mod poll;
mod process;

use wasmtime::{Linker, Result};

pub(in crate::wasi) use fd::Descriptors;

use super::state::WasiView;

/// The module name under which guests import these functions.
const MODULE: &str = "wasi_snapshot_preview1";

/// Links preview 1: `args_*`, `environ_*`, `clock_*`, `random_get`, the standard streams, `poll_oneoff` over clocks and
/// standard streams, `proc_exit`, `sched_yield`. Every other function of it is there and answers `badf` or `nosys`.
///
/// Functions that may wait suspend the guest's fiber: call the guest asynchronously.
///
/// # Errors
/// When something of it is in the linker already.
pub fn add_preview1<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    process::add(linker)?;
    clocks::add(linker)?;
    fd::add(linker)?;
    poll::add(linker)?;
    absent::add(linker)
}

#[cfg(test)]
mod tests;
