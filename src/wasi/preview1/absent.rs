//! The functions of preview 1 that need sockets: present, so that modules load, and answered as if no such descriptor were
//! open.

use wasmtime::{Linker, Result};

use super::MODULE;
use super::errno::Errno;
use crate::wasi::state::WasiView;

/// Links functions by name and argument types that answer one error whatever they are given.
macro_rules! absent {
    ($linker:ident, $errno:expr, $($name:literal($($argument:ty),*);)*) => {
        $($linker.func_wrap(MODULE, $name, |$(_: $argument),*| i32::from($errno.0))?;)*
    };
}

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    absent! { linker, Errno::BADF,
        "sock_accept"(i32, i32, i32);
        "sock_recv"(i32, i32, i32, i32, i32, i32);
        "sock_send"(i32, i32, i32, i32, i32);
        "sock_shutdown"(i32, i32);
    }
    absent! { linker, Errno::NOSYS, "proc_raise"(i32); }
    Ok(())
}
