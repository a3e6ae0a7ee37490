//! `wasi_snapshot_preview1` for core modules: a thin layer over the same state as the interfaces of 0.2.
//!
//! Descriptors 0, 1 and 2 are the standard streams, 3 and up the mounts and what is opened below them: the same open files
//! and folders as those of `wasi:filesystem`. Rights are what the mount and the way of opening allow; the rights that
//! preview 1 passes around only say whether a file is opened for reading or writing. Every pointer a guest passes is
//! checked against its memory (`fault` otherwise), every count has a bound.

mod absent;
mod clocks;
mod descriptors;
mod errno;
mod fd;
mod file;
mod memory;
mod path;
mod poll;
mod process;
mod readdir;

use wasmtime::{Linker, Result};

pub(in crate::wasi) use descriptors::Descriptors;

use super::state::WasiView;

/// Links a function that may wait: its body gives `Result<(), Refusal>`.
macro_rules! waiting {
    ($linker:ident, $name:literal, |$caller:ident $(, $argument:ident: $ty:ty)*| $body:expr) => {
        $linker.func_wrap_async(
            $crate::wasi::preview1::MODULE,
            $name,
            |mut $caller: wasmtime::Caller<'_, T>, ($($argument,)*): ($($ty,)*)| {
                Box::new(async move {
                    let $caller = &mut $caller;
                    let result: Result<(), $crate::wasi::preview1::errno::Refusal> = $body.await;
                    $crate::wasi::preview1::errno::answer(result)
                })
            },
        )?;
    };
}
use waiting;

/// The module name under which guests import these functions.
const MODULE: &str = "wasi_snapshot_preview1";

/// Links preview 1: `args_*`, `environ_*`, `clock_*`, `random_get`, the standard streams, files and directories of the
/// mounts, `poll_oneoff` over clocks, streams and files, `proc_exit`, `sched_yield`. The functions of sockets are there and
/// answer `notsock`, or `badf` for what is not open; `proc_raise` answers `nosys`.
///
/// Functions that may wait suspend the guest's fiber: call the guest asynchronously.
///
/// # Errors
/// When something of it is in the linker already.
pub fn add_preview1<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    process::add(linker)?;
    clocks::add(linker)?;
    fd::add(linker)?;
    file::add(linker)?;
    readdir::add(linker)?;
    path::add(linker)?;
    poll::add(linker)?;
    absent::add(linker)
}

#[cfg(test)]
mod tests;
