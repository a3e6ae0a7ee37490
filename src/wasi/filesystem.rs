//! `wasi:filesystem` as far as it is served: the preopened directories and the error codes of streams. The resource types
//! are the real ones already, so that the functions can follow without touching what is linked.

use wasmtime::Result;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi_io::streams::Error as StreamError;

use super::profile::Profile;
use super::state::{WasiState, WasiView};
use super::stdio::StreamFailure;

/// A descriptor as the bindings know it.
type Descriptor = types::Descriptor;
/// A listing as the bindings know it.
type DirectoryEntryStream = types::DirectoryEntryStream;

impl preopens::Host for WasiState {
    /// Always empty until files are served. A guest that is told of no directory runs as long as it needs none; that
    /// its entry declares mounts is said in the log, because the guest's own message would mislead.
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        if self.config.profiles.contains(Profile::Filesystem) && !self.config.mounts.is_empty() {
            tracing::warn!(entry = %self.config.entry, "mounts are not served by this version, the guest sees none");
        }
        Ok(Vec::new())
    }
}

/// Links the resource types of `wasi:filesystem/types` and what of it works without files.
pub(super) fn add_types<T: WasiView>(linker: &mut Linker<T>, name: &str) -> Result<()> {
    let mut instance = linker.instance(name)?;
    instance.resource("descriptor", ResourceType::host::<Descriptor>(), |mut store, rep| {
        store.data_mut().wasi().table.delete(Resource::<Descriptor>::new_own(rep))?;
        Ok(())
    })?;
    let stream = ResourceType::host::<DirectoryEntryStream>();
    instance.resource("directory-entry-stream", stream, |mut store, rep| {
        store.data_mut().wasi().table.delete(Resource::<DirectoryEntryStream>::new_own(rep))?;
        Ok(())
    })?;
    // Toolchains ask this of any failed stream, also in guests that never touch a file.
    instance.func_wrap("filesystem-error-code", |mut store, (error,): (Resource<StreamError>,)| {
        Ok((error_code(store.data_mut().wasi().table.get(&error)?),))
    })
}

fn error_code(error: &StreamError) -> Option<types::ErrorCode> {
    let Some(StreamFailure::Failed(error)) = error.downcast_ref() else { return None };
    Some(match error.kind() {
        std::io::ErrorKind::StorageFull => types::ErrorCode::InsufficientSpace,
        std::io::ErrorKind::PermissionDenied => types::ErrorCode::Access,
        std::io::ErrorKind::IsADirectory => types::ErrorCode::IsDirectory,
        _ => types::ErrorCode::Io,
    })
}
