//! What a guest may do below one of its mounts.

use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::volume::Volume;
use crate::wasi::config::Mount;

/// The rights of everything that was reached through one mount. Whoever opens passes them on.
#[derive(Clone, Debug)]
pub(in crate::wasi) struct Grant {
    /// Which mount of the process: two mounts of one volume are two devices to the guest.
    mount: usize,
    volume: Volume,
    read_only: bool,
}

impl Grant {
    pub(super) fn new(at: usize, mount: &Mount) -> Grant {
        Grant { mount: at, volume: mount.volume.clone(), read_only: mount.read_only }
    }

    pub(super) fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Whether anything can be changed at all.
    pub(super) fn writable(&self) -> bool {
        !self.read_only && self.volume.access().write
    }

    /// Files may be read, folders listed, attributes asked for.
    pub(super) fn check_read(&self) -> Result<(), ErrorCode> {
        if self.volume.access().read { Ok(()) } else { Err(ErrorCode::Access) }
    }

    /// Something will be changed.
    pub(super) fn check_write(&self) -> Result<(), ErrorCode> {
        if self.read_only {
            return Err(ErrorCode::ReadOnly);
        }
        if self.volume.access().write { Ok(()) } else { Err(ErrorCode::Access) }
    }

    /// A folder below the mount's root is entered.
    pub(super) fn check_search(&self) -> Result<(), ErrorCode> {
        if self.volume.access().search { Ok(()) } else { Err(ErrorCode::Access) }
    }

    /// A name moves, or a file gets a second one: within one mount only, whatever lies behind the mounts.
    pub(super) fn check_same_mount(&self, other: &Grant) -> Result<(), ErrorCode> {
        if self.mount == other.mount { Ok(()) } else { Err(ErrorCode::CrossDevice) }
    }
}
