//! `wasi:filesystem`: the declared mounts, and nothing of the host beside them.
//!
//! Open files and folders ([`Node`]) are the same for components and for preview 1; [`host`] is the component's side of
//! them. It must not know entries: which mounts a process has, and what each allows, is in its configuration.
//!
//! **Invariants**
//! - A path is resolved by the system below a folder's descriptor, in the call that uses it; no check precedes a use.
//! - A call that may wait runs on the blocking pool, or after an event of the reactor (FIFOs, terminals). A worker reads
//!   what the page cache has, and nothing else.
//! - Rights belong to mounts: what is opened below one keeps them, and names never move from one to another.
//! - Bounds: [`file::FILE_TRANSFER_MAX`] a read or write, one write of a stream on its way, a batch of names a listing;
//!   open files count as the process's resources.

mod directory;
mod error;
mod file;
mod grant;
mod host;
mod input;
mod listing;
mod open;
mod output;
mod stat;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::filesystem::types;
use wasmtime_wasi_io::streams::Error as StreamError;

pub(super) use directory::Directory;
pub(super) use file::{FILE_TRANSFER_MAX, File, Place};
pub(super) use input::poll_read;
pub(super) use listing::{Listed, Listing};
pub(super) use open::OpenRequest;
pub(super) use output::poll_write;
pub(super) use stat::{Stat, timestamps};

use super::state::WasiView;
use super::stdio::StreamFailure;

/// A descriptor as the bindings know it; the table holds a [`Node`] under its number.
type Descriptor = types::Descriptor;
/// A listing as the bindings know it; the table holds a [`Listing`] under its number.
type DirectoryEntryStream = types::DirectoryEntryStream;

/// What a descriptor stands for.
#[derive(Clone)]
pub(super) enum Node {
    File(Arc<File>),
    Directory(Arc<Directory>),
}

/// Links the resource types of `wasi:filesystem/types` and what of it is for any stream, for entries that do not list the
/// profile.
pub(super) fn add_types<T: WasiView>(linker: &mut Linker<T>, name: &str) -> Result<()> {
    let mut instance = linker.instance(name)?;
    // Nothing makes one: no directory is told, and no other function is linked.
    instance.resource("descriptor", ResourceType::host::<Descriptor>(), |_, _| Ok(()))?;
    instance.resource("directory-entry-stream", ResourceType::host::<DirectoryEntryStream>(), |_, _| Ok(()))?;
    // Toolchains ask this of any failed stream, also in guests that never touch a file.
    instance.func_wrap("filesystem-error-code", |mut store, (error,): (Resource<StreamError>,)| {
        Ok((error_code(store.data_mut().wasi().table.get(&error)?),))
    })
}

fn error_code(error: &StreamError) -> Option<types::ErrorCode> {
    let Some(StreamFailure::Failed(error)) = error.downcast_ref() else { return None };
    Some(error::code_of(error))
}
