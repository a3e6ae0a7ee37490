//! The functions of preview 1 that need files, directories or sockets: present, so that modules load, and answered as if
//! no such descriptor were open.

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
        "fd_advise"(i32, i64, i64, i32);
        "fd_allocate"(i32, i64, i64);
        "fd_datasync"(i32);
        "fd_fdstat_set_rights"(i32, i64, i64);
        "fd_filestat_set_size"(i32, i64);
        "fd_filestat_set_times"(i32, i64, i64, i32);
        "fd_pread"(i32, i32, i32, i64, i32);
        "fd_prestat_dir_name"(i32, i32, i32);
        "fd_prestat_get"(i32, i32);
        "fd_pwrite"(i32, i32, i32, i64, i32);
        "fd_readdir"(i32, i32, i32, i64, i32);
        "fd_renumber"(i32, i32);
        "fd_sync"(i32);
        "path_create_directory"(i32, i32, i32);
        "path_filestat_get"(i32, i32, i32, i32, i32);
        "path_filestat_set_times"(i32, i32, i32, i32, i64, i64, i32);
        "path_link"(i32, i32, i32, i32, i32, i32, i32);
        "path_open"(i32, i32, i32, i32, i32, i64, i64, i32, i32);
        "path_readlink"(i32, i32, i32, i32, i32, i32);
        "path_remove_directory"(i32, i32, i32);
        "path_rename"(i32, i32, i32, i32, i32, i32);
        "path_symlink"(i32, i32, i32, i32, i32);
        "path_unlink_file"(i32, i32, i32);
        "sock_accept"(i32, i32, i32);
        "sock_recv"(i32, i32, i32, i32, i32, i32);
        "sock_send"(i32, i32, i32, i32, i32);
        "sock_shutdown"(i32, i32);
    }
    absent! { linker, Errno::NOSYS, "proc_raise"(i32); }
    Ok(())
}
