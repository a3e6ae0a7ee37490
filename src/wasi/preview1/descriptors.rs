//! What a process has open by number.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::errno::Errno;
use super::readdir::Walk;
use crate::reactor::Reactor;
use crate::wasi::config::Mount;
use crate::wasi::filesystem::{Directory, File, Node};
use crate::wasi::state::{WasiState, handles_max};
use crate::wasi::stdio::{Input, Output};

/// Writes go to the end.
pub(super) const FLAG_APPEND: u16 = 1 << 0;
/// The descriptor does not wait: `again` instead.
pub(super) const FLAG_NONBLOCK: u16 = 1 << 2;

/// The open descriptors of a process: the standard streams, the mounts, what it opened.
pub(in crate::wasi) struct Descriptors {
    /// By number; vacant where something was closed.
    entries: Vec<Option<Entry>>,
    /// The vacant numbers: the lowest is taken first.
    vacant: BTreeSet<u32>,
    /// How many numbers there may be.
    max: usize,
}

/// What a number stands for.
pub(super) enum Entry {
    Standard(Standard),
    File(OpenFile),
    Directory(OpenDirectory),
}

/// One of the standard streams, with its flags.
pub(super) struct Standard {
    stream: u32,
    flags: u16,
}

/// A file with the guest's position in it.
pub(super) struct OpenFile {
    pub(super) file: Arc<File>,
    pub(super) position: u64,
    pub(super) flags: u16,
}

/// A folder, the path it is mounted at if it is a mount, and how far it was listed.
pub(super) struct OpenDirectory {
    pub(super) directory: Arc<Directory>,
    pub(super) mounted_at: Option<Arc<str>>,
    pub(super) walk: Option<Walk>,
}

impl Descriptors {
    /// The standard streams, then the mounts in their order.
    pub(in crate::wasi) fn new(mounts: &[Mount], reactor: &Arc<Reactor>, max: usize) -> Descriptors {
        let standard = (0..3).map(|stream| Entry::Standard(Standard { stream, flags: 0 }));
        let mounts = mounts.iter().enumerate().map(|(at, mount)| {
            let directory = Arc::new(Directory::root(at, mount, reactor));
            Entry::Directory(OpenDirectory { directory, mounted_at: Some(mount.guest.clone()), walk: None })
        });
        Descriptors { entries: standard.chain(mounts).map(Some).collect(), vacant: BTreeSet::new(), max }
    }

    pub(super) fn get(&mut self, fd: u32) -> Result<&mut Entry, Errno> {
        self.entries.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// The flags of a stream or file.
    pub(super) fn flags(&mut self, fd: u32) -> Result<&mut u16, Errno> {
        match self.get(fd)? {
            Entry::Standard(standard) => Ok(&mut standard.flags),
            Entry::File(open) => Ok(&mut open.flags),
            Entry::Directory(_) => Err(Errno::BADF),
        }
    }

    pub(super) fn file(&mut self, fd: u32) -> Result<&mut OpenFile, Errno> {
        match self.get(fd)? {
            Entry::File(open) => Ok(open),
            Entry::Standard(_) | Entry::Directory(_) => Err(Errno::BADF),
        }
    }

    pub(super) fn directory(&mut self, fd: u32) -> Result<&mut OpenDirectory, Errno> {
        match self.get(fd)? {
            Entry::Directory(open) => Ok(open),
            Entry::File(_) => Err(Errno::NOTDIR),
            Entry::Standard(_) => Err(Errno::BADF),
        }
    }

    /// Gives what was opened the lowest number that is free.
    pub(super) fn insert(&mut self, node: Node, flags: u16) -> Result<u32, Errno> {
        let entry = match node {
            Node::File(file) => Entry::File(OpenFile { file, position: 0, flags }),
            Node::Directory(directory) => Entry::Directory(OpenDirectory { directory, mounted_at: None, walk: None }),
        };
        if let Some(fd) = self.vacant.pop_first() {
            self.entries[fd as usize] = Some(entry);
            return Ok(fd);
        }
        if self.entries.len() >= self.max {
            return Err(Errno::MFILE);
        }
        self.entries.push(Some(entry));
        Ok(self.entries.len() as u32 - 1)
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<(), Errno> {
        self.take(fd).map(drop)
    }

    fn take(&mut self, fd: u32) -> Result<Entry, Errno> {
        let entry = self.entries.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)?;
        self.vacant.insert(fd);
        Ok(entry)
    }

    /// Moves what is open as `from` to `to`, which must be open too and is closed.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(to)?;
        self.get(from)?;
        if from != to {
            let moved = self.take(from)?;
            self.entries[to as usize] = Some(moved);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descriptors").field("open", &(self.entries.len() - self.vacant.len())).finish_non_exhaustive()
    }
}

/// What can be read or written by number.
pub(super) enum Stream {
    Input(Arc<dyn Input>),
    Output(Arc<dyn Output>),
    File { file: Arc<File>, position: u64, append: bool },
}

impl WasiState {
    /// The descriptors; made at the first request, since components have none.
    pub(super) fn descriptors(&mut self) -> &mut Descriptors {
        let config = &self.config;
        self.descriptors
            .get_or_insert_with(|| Descriptors::new(&config.mounts, &self.reactor, handles_max(&config.usage)))
    }

    /// The stream behind an open descriptor, and whether it waits.
    pub(super) fn stream(&mut self, fd: u32) -> Result<(Stream, bool), Errno> {
        let waits = |flags: u16| flags & FLAG_NONBLOCK == 0;
        let (standard, waits) = match self.descriptors().get(fd)? {
            Entry::Directory(_) => return Err(Errno::BADF),
            Entry::File(OpenFile { file, position, flags }) => {
                let append = *flags & FLAG_APPEND != 0;
                return Ok((Stream::File { file: file.clone(), position: *position, append }, waits(*flags)));
            }
            Entry::Standard(standard) => (standard.stream, waits(standard.flags)),
        };
        let stream = match standard {
            0 => Stream::Input(self.config.stdin.clone()),
            1 => Stream::Output(self.config.stdout.clone()),
            _ => Stream::Output(self.config.stderr.clone()),
        };
        Ok((stream, waits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Descriptors {
        Descriptors {
            entries: (0..3).map(|stream| Some(Entry::Standard(Standard { stream, flags: 0 }))).collect(),
            vacant: BTreeSet::new(),
            max: 3,
        }
    }

    #[test]
    fn a_number_that_was_closed_is_taken_again() {
        let mut descriptors = fresh();
        descriptors.close(1).unwrap();
        assert_eq!(descriptors.close(1), Err(Errno::BADF));
        assert_eq!(descriptors.close(3), Err(Errno::BADF));
        assert_eq!(descriptors.vacant.first(), Some(&1));
    }

    #[test]
    fn renumbering_closes_the_target_and_frees_the_source() {
        let mut descriptors = fresh();
        assert_eq!(descriptors.renumber(0, 7), Err(Errno::BADF));
        assert_eq!(descriptors.renumber(7, 0), Err(Errno::BADF));
        descriptors.renumber(1, 1).unwrap();
        descriptors.renumber(0, 2).unwrap();
        assert!(matches!(descriptors.get(2), Ok(Entry::Standard(Standard { stream: 0, .. }))));
        assert!(descriptors.get(0).is_err() && descriptors.vacant.contains(&0));
    }
}
