//! The functions of `wasi:filesystem/types` and `preopens`, over the open files and folders of this room.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, Error as StreamError};

use super::directory::Directory;
use super::file::{File, Place};
use super::input::{FileInput, PolledInput};
use super::listing::Listing;
use super::open::OpenRequest;
use super::output::{FileOutput, PolledOutput};
use super::stat::{Stat, timestamps};
use super::{Descriptor, DirectoryEntryStream, Node, error_code};
use crate::wasi::profile::Profile;
use crate::wasi::state::WasiState;
use types::{ErrorCode, PathFlags};

/// Our own resource behind a handle of the bindings.
fn own<R: 'static, T: 'static>(handle: &Resource<R>) -> Resource<T> {
    Resource::new_own(handle.rep())
}

/// A full table is the guest's fault, but a call that can say so need not end it.
fn push<T: Send + 'static>(table: &mut ResourceTable, resource: T) -> FsResult<u32> {
    match table.push(resource) {
        Ok(resource) => Ok(resource.rep()),
        Err(ResourceTableError::Full) => Err(ErrorCode::InsufficientMemory.into()),
        Err(error) => Err(error.into()),
    }
}

impl preopens::Host for WasiState {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        if !self.config.profiles.contains(Profile::Filesystem) {
            return Ok(Vec::new());
        }
        let mounts = Arc::clone(&self.config.mounts);
        let mut directories = Vec::with_capacity(mounts.len());
        for (at, mount) in mounts.iter().enumerate() {
            let root = Directory::root(at, mount, &self.reactor);
            let node = self.table.push(Node::Directory(Arc::new(root)))?;
            directories.push((Resource::new_own(node.rep()), mount.guest.to_string()));
        }
        Ok(directories)
    }
}

impl types::Host for WasiState {
    fn convert_error_code(&mut self, error: FsError) -> Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(&mut self, error: Resource<StreamError>) -> Result<Option<ErrorCode>> {
        Ok(error_code(self.table.get(&error)?))
    }
}

impl WasiState {
    fn node(&self, descriptor: &Resource<Descriptor>) -> FsResult<Node> {
        Ok(self.table.get(&own::<_, Node>(descriptor))?.clone())
    }

    fn file(&self, descriptor: &Resource<Descriptor>) -> FsResult<Arc<File>> {
        match self.node(descriptor)? {
            Node::File(file) => Ok(file),
            Node::Directory(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    fn directory(&self, descriptor: &Resource<Descriptor>) -> FsResult<Arc<Directory>> {
        match self.node(descriptor)? {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    fn push_file_output(&mut self, file: Arc<File>, place: Place) -> FsResult<Resource<DynOutputStream>> {
        file.check_write()?;
        let stream: DynOutputStream = match file.polled() {
            Some(_) => Box::new(PolledOutput::new(file)),
            None => Box::new(FileOutput::new(file, place)),
        };
        Ok(Resource::new_own(push(&mut self.table, stream)?))
    }
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

async fn stat(node: &Node) -> FsResult<Stat> {
    Ok(match node {
        Node::File(file) => file.stat().await?,
        Node::Directory(directory) => directory.stat().await?,
    })
}

impl types::HostDescriptor for WasiState {
    fn read_via_stream(&mut self, fd: Resource<Descriptor>, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let Node::File(file) = self.node(&fd)? else { return Err(ErrorCode::IsDirectory.into()) };
        file.check_read()?;
        let stream: DynInputStream = match file.polled() {
            Some(_) => Box::new(PolledInput::new(file)),
            None => Box::new(FileInput::new(file, offset)),
        };
        Ok(Resource::new_own(push(&mut self.table, stream)?))
    }

    fn write_via_stream(&mut self, fd: Resource<Descriptor>, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file(&fd)?;
        self.push_file_output(file, Place::At(offset))
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file(&fd)?;
        self.push_file_output(file, Place::End)
    }

    async fn advise(&mut self, fd: Resource<Descriptor>, offset: u64, len: u64, advice: types::Advice) -> FsResult<()> {
        let advice = match advice {
            types::Advice::Normal => rustix::fs::Advice::Normal,
            types::Advice::Sequential => rustix::fs::Advice::Sequential,
            types::Advice::Random => rustix::fs::Advice::Random,
            types::Advice::WillNeed => rustix::fs::Advice::WillNeed,
            types::Advice::DontNeed => rustix::fs::Advice::DontNeed,
            types::Advice::NoReuse => rustix::fs::Advice::NoReuse,
        };
        Ok(self.file(&fd)?.advise(offset, len, advice).await?)
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        match self.node(&fd)? {
            Node::File(file) => file.sync_data().await?,
            Node::Directory(directory) => directory.sync().await?,
        }
        Ok(())
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorFlags> {
        Ok(match self.node(&fd)? {
            Node::File(file) => file.flags(),
            Node::Directory(directory) => directory.flags(),
        })
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorType> {
        Ok(match self.node(&fd)? {
            Node::File(file) => file.kind(),
            Node::Directory(_) => types::DescriptorType::Directory,
        })
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: u64) -> FsResult<()> {
        Ok(self.file(&fd)?.set_size(size).await?)
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let times = timestamps(accessed, modified)?;
        match self.node(&fd)? {
            Node::File(file) => file.set_times(times).await?,
            Node::Directory(directory) => directory.set_times(times).await?,
        }
        Ok(())
    }

    async fn read(&mut self, fd: Resource<Descriptor>, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        let Node::File(file) = self.node(&fd)? else { return Err(ErrorCode::IsDirectory.into()) };
        let bytes = file.read_at(wanted, offset).await?;
        let at_end = bytes.is_empty() && wanted > 0;
        Ok((bytes.into(), at_end))
    }

    async fn write(&mut self, fd: Resource<Descriptor>, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        Ok(self.file(&fd)?.write(bytes, Place::At(offset)).await? as u64)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let listing = self.directory(&fd)?.list()?;
        Ok(Resource::new_own(push(&mut self.table, listing)?))
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        match self.node(&fd)? {
            Node::File(file) => file.sync().await?,
            Node::Directory(directory) => directory.sync().await?,
        }
        Ok(())
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        Ok(self.directory(&fd)?.create_directory(path).await?)
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorStat> {
        Ok(stat(&self.node(&fd)?).await?.descriptor_stat())
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        Ok(self.directory(&fd)?.stat_at(path, follows(flags)).await?.descriptor_stat())
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let times = timestamps(accessed, modified)?;
        Ok(self.directory(&fd)?.set_times_at(path, follows(flags), times).await?)
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        old_path: String,
        new: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        if follows(flags) {
            return Err(ErrorCode::Invalid.into());
        }
        let new = self.directory(&new)?;
        Ok(self.directory(&fd)?.link(old_path, &new, new_path).await?)
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        how: types::OpenFlags,
        wanted: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let request = OpenRequest { path, follow: follows(flags), how, wanted, waits: true };
        // As for descriptors of the system: no code says that there are too many.
        let permit = self.usage().open_file().ok_or(ErrorCode::InsufficientMemory)?;
        let node = self.directory(&fd)?.open(request, permit).await?;
        Ok(Resource::new_own(push(&mut self.table, node)?))
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        Ok(self.directory(&fd)?.read_link(path).await?)
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        Ok(self.directory(&fd)?.remove_directory(path).await?)
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        old_path: String,
        new: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let new = self.directory(&new)?;
        Ok(self.directory(&fd)?.rename(old_path, &new, new_path).await?)
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        Ok(self.directory(&fd)?.symlink(target, path).await?)
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        Ok(self.directory(&fd)?.unlink_file(path).await?)
    }

    /// Asking what it is takes no right: a `mode` that forbids it makes two objects different.
    async fn is_same_object(&mut self, a: Resource<Descriptor>, b: Resource<Descriptor>) -> Result<bool> {
        let trapped = |error: FsError| match error.downcast() {
            Ok(code) => wasmtime::Error::msg(format!("a descriptor was refused: {code:?}")),
            Err(error) => error,
        };
        let (a, b) = (self.node(&a).map_err(trapped)?, self.node(&b).map_err(trapped)?);
        Ok(match (stat(&a).await, stat(&b).await) {
            (Ok(a), Ok(b)) => a.identity() == b.identity(),
            _ => false,
        })
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<types::MetadataHashValue> {
        Ok(stat(&self.node(&fd)?).await?.hash())
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        Ok(self.directory(&fd)?.stat_at(path, follows(flags)).await?.hash())
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> Result<()> {
        self.table.delete(own::<_, Node>(&fd))?;
        Ok(())
    }
}

impl types::HostDirectoryEntryStream for WasiState {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let listed = self.table.get_mut(&own::<_, Listing>(&stream))?.next().await?;
        Ok(listed.map(|listed| types::DirectoryEntry { type_: listed.kind, name: listed.name }))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> Result<()> {
        self.table.delete(own::<_, Listing>(&stream))?;
        Ok(())
    }
}
