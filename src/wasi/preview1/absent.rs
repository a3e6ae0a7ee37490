//! The functions of preview 1 that have nothing to act on: present, so that modules load. Sockets of preview 1 are given
//! to a process by its host, and none is given here: components have `wasi:sockets`.

use wasmtime::{Caller, Linker, Result};

use super::MODULE;
use super::errno::{Errno, code};
use crate::wasi::state::WasiView;

/// Links functions by name and the types of what follows the descriptor, which never is a socket.
macro_rules! without_sockets {
    ($linker:ident, $($name:literal($($argument:ty),*);)*) => {
        $($linker.func_wrap(MODULE, $name, |mut caller: Caller<'_, T>, fd: u32, $(_: $argument),*| {
            let found = caller.data_mut().wasi().descriptors().get(fd).map(|_| ());
            code(found.and(Err(Errno::NOTSOCK)))
        })?;)*
    };
}

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    without_sockets! { linker,
        "sock_accept"(i32, i32);
        "sock_recv"(i32, i32, i32, i32, i32);
        "sock_send"(i32, i32, i32, i32);
        "sock_shutdown"(i32);
    }
    linker.func_wrap(MODULE, "proc_raise", |_: i32| i32::from(Errno::NOSYS.0))?;
    Ok(())
}
