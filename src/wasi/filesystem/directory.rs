//! Open folders, and everything a guest does by a path below one.
//!
//! A path is resolved by the system below the folder's descriptor: what leads out of it (`..`, an absolute path, a symbolic
//! link) is refused while it is resolved, so that nothing can change between a check and its use. Operations on a name
//! itself open the folder of the name first and pass one component to the system, which never follows it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, Mode, OFlags, Timestamps};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, ErrorCode};

use super::error::{code_of, code_of_pool};
use super::grant::Grant;
use super::listing::Listing;
use super::stat::Stat;
use crate::limits::{Permit, WaitReason, wait_for};
use crate::reactor::{Reactor, assert_may_block};
use crate::wasi::config::Mount;

/// What a new folder allows, before the volume's `mode` and the program's own mask.
const FOLDER_MODE: u32 = 0o777;

/// An open folder: the root of a mount, or one below it.
pub(in crate::wasi) struct Directory {
    /// The folder itself; `None` for the root of the mount, which the volume keeps open.
    opened: Option<(Dir, Permit)>,
    grant: Grant,
    reactor: Arc<Reactor>,
}

/// Runs a call on the blocking pool and gives its code.
pub(super) async fn on_pool<T: Send + 'static>(
    reactor: &Reactor,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ErrorCode> {
    let call = move || {
        assert_may_block();
        call()
    };
    let mut call = reactor.blocking().run(call);
    match wait_for(WaitReason::File, |cx| Pin::new(&mut call).poll(cx)).await {
        Ok(result) => result.map_err(|error| code_of(&error)),
        Err(error) => Err(code_of_pool(&error)),
    }
}

impl Directory {
    /// The root of the mount at this place among the process's mounts.
    pub(in crate::wasi) fn root(at: usize, mount: &Mount, reactor: &Arc<Reactor>) -> Directory {
        Directory { opened: None, grant: Grant::new(at, mount), reactor: Arc::clone(reactor) }
    }

    /// A folder that was opened below another.
    pub(super) fn below(&self, opened: Dir, permit: Permit) -> Directory {
        Directory { opened: Some((opened, permit)), grant: self.grant.clone(), reactor: Arc::clone(&self.reactor) }
    }

    pub(super) fn dir(&self) -> &Dir {
        self.opened.as_ref().map_or_else(|| self.grant.volume().dir(), |(dir, _)| dir)
    }

    /// What can be done with it: its mount decides.
    pub(in crate::wasi) fn flags(&self) -> DescriptorFlags {
        let mut flags = DescriptorFlags::READ;
        if self.grant.writable() {
            flags |= DescriptorFlags::MUTATE_DIRECTORY;
        }
        flags
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(super) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    /// Runs `call` with the open folder on the blocking pool.
    pub(super) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Dir) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ErrorCode> {
        let folder = Arc::clone(self);
        on_pool(&self.reactor, move || call(folder.dir())).await
    }

    /// The mount's `mode` lets guests pass through folders, if the path does.
    pub(super) fn check_path(&self, path: &str) -> Result<(), ErrorCode> {
        let passes = path.split('/').filter(|part| !part.is_empty() && *part != ".").count() > 1;
        if passes { self.grant.check_search() } else { Ok(()) }
    }

    pub(in crate::wasi) async fn stat(self: &Arc<Self>) -> Result<Stat, ErrorCode> {
        self.grant.check_read()?;
        self.with(|dir| Ok(Stat::of(&dir.dir_metadata()?))).await
    }

    pub(in crate::wasi) async fn stat_at(self: &Arc<Self>, path: String, follow: bool) -> Result<Stat, ErrorCode> {
        self.grant.check_read()?;
        self.check_path(&path)?;
        self.with(move |dir| {
            let metadata = if follow { dir.metadata(&path) } else { dir.symlink_metadata(&path) };
            Ok(Stat::of(&metadata?))
        })
        .await
    }

    pub(in crate::wasi) async fn set_times(self: &Arc<Self>, times: Timestamps) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        // By its name for itself: the descriptor may be one that only resolves.
        self.with(move |dir| Ok(rustix::fs::utimensat(dir, ".", &times, AtFlags::empty())?)).await
    }

    pub(in crate::wasi) async fn set_times_at(
        self: &Arc<Self>,
        path: String,
        follow: bool,
        times: Timestamps,
    ) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        self.check_path(&path)?;
        self.with(move |dir| {
            if !follow {
                return in_parent(dir, &path, |parent, name| {
                    Ok(rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
                });
            }
            // A descriptor that only names the object: opening it for real would wait for the other end of a FIFO.
            let options = OpenOptions::new().read(true).custom_flags(OFlags::PATH.bits().cast_signed()).to_owned();
            let named = dir.open_with(&path, &options)?;
            Ok(rustix::fs::utimensat(&named, "", &times, AtFlags::EMPTY_PATH)?)
        })
        .await
    }

    pub(in crate::wasi) async fn sync(self: &Arc<Self>) -> Result<(), ErrorCode> {
        self.with(|dir| dir.open(".")?.sync_all()).await
    }

    pub(in crate::wasi) async fn create_directory(self: &Arc<Self>, path: String) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        self.check_path(&path)?;
        let mode = self.grant.volume().mask(FOLDER_MODE);
        self.with(move |dir| dir.create_dir_with(&path, DirBuilder::new().mode(mode))).await
    }

    pub(in crate::wasi) async fn remove_directory(self: &Arc<Self>, path: String) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        self.check_path(&path)?;
        self.with(move |dir| dir.remove_dir(&path)).await
    }

    pub(in crate::wasi) async fn unlink_file(self: &Arc<Self>, path: String) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        self.check_path(&path)?;
        self.with(move |dir| dir.remove_file(&path)).await
    }

    /// What a symbolic link says. One with an absolute path is not told: it names something of the host.
    pub(in crate::wasi) async fn read_link(self: &Arc<Self>, path: String) -> Result<String, ErrorCode> {
        self.grant.check_read()?;
        self.check_path(&path)?;
        let target = self.with(move |dir| dir.read_link(&path)).await?;
        target.into_os_string().into_string().map_err(|_| ErrorCode::IllegalByteSequence)
    }

    /// Makes a symbolic link at `path` that says `target`, which must be relative.
    pub(in crate::wasi) async fn symlink(self: &Arc<Self>, target: String, path: String) -> Result<(), ErrorCode> {
        self.grant.check_write()?;
        self.check_path(&path)?;
        self.with(move |dir| dir.symlink(&target, &path)).await
    }

    /// Gives a file a second name. A symbolic link is linked itself, it is not followed.
    pub(in crate::wasi) async fn link(
        self: &Arc<Self>,
        old_path: String,
        new: &Arc<Directory>,
        new_path: String,
    ) -> Result<(), ErrorCode> {
        self.check_two(&old_path, new, &new_path)?;
        let new = Arc::clone(new);
        self.with(move |dir| dir.hard_link(&old_path, new.dir(), &new_path)).await
    }

    pub(in crate::wasi) async fn rename(
        self: &Arc<Self>,
        old_path: String,
        new: &Arc<Directory>,
        new_path: String,
    ) -> Result<(), ErrorCode> {
        self.check_two(&old_path, new, &new_path)?;
        let new = Arc::clone(new);
        self.with(move |dir| dir.rename(&old_path, new.dir(), &new_path)).await
    }

    fn check_two(&self, old_path: &str, new: &Directory, new_path: &str) -> Result<(), ErrorCode> {
        self.grant.check_same_mount(&new.grant)?;
        self.grant.check_write()?;
        self.check_path(old_path)?;
        self.check_path(new_path)
    }

    /// Its names, from the first.
    pub(in crate::wasi) fn list(self: &Arc<Self>) -> Result<Listing, ErrorCode> {
        self.grant.check_read()?;
        Ok(Listing::new(Arc::clone(self)))
    }
}

/// Calls `operation` with the folder of a path's last component, and that component. The component is one name, or `.`;
/// the operation must not follow it when it is a symbolic link.
fn in_parent<T>(dir: &Dir, path: &str, operation: impl FnOnce(&Dir, &str) -> io::Result<T>) -> io::Result<T> {
    let (parent, name) = match path.rsplit_once('/') {
        // `folder/`, `folder/.`, `folder/..`: all of it is the folder.
        Some((_, "" | "." | "..")) => (path, "."),
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None => match path {
            "" => return Err(rustix::io::Errno::NOENT.into()),
            ".." => ("..", "."),
            name => return operation(dir, name),
        },
    };
    operation(&dir.open_dir(parent)?, name)
}

/// Opens the last component of a path without following it, if it is a symbolic link.
pub(super) fn open_nofollow(dir: &Dir, path: &str, flags: OFlags, mode: u32) -> io::Result<cap_std::fs::File> {
    in_parent(dir, path, |parent, name| {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode))?;
        Ok(cap_std::fs::File::from_std(opened.into()))
    })
}
