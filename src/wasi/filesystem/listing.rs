//! The names of a folder, read in batches.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::sync::Arc;

use cap_std::fs::{DirEntry, MetadataExt, ReadDir};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, ErrorCode};

use super::directory::{Directory, on_pool};
use super::error::code_of;
use super::stat::{Identity, kind_of};

/// How many names one call of the pool reads: a folder of any size costs a guest's host this much memory.
const BATCH: usize = 256;

/// A name of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wasi) struct Listed {
    pub(in crate::wasi) kind: DescriptorType,
    pub(in crate::wasi) name: String,
    /// The number of the object, as [`Stat::serial`](super::stat::Stat::serial) gives it.
    pub(in crate::wasi) serial: u64,
}

/// A walk through the names of a folder, without `.` and `..`, in the order of the file system.
pub(in crate::wasi) struct Listing {
    folder: Arc<Directory>,
    walk: Walk,
    batch: VecDeque<Result<Listed, ErrorCode>>,
}

enum Walk {
    New,
    /// The device of the folder comes with it.
    Open(ReadDir, u64),
    Ended,
}

impl Listing {
    pub(super) fn new(folder: Arc<Directory>) -> Listing {
        Listing { folder, walk: Walk::New, batch: VecDeque::new() }
    }

    /// The next name; `None` at the end. A name that is no UTF-8 is an error in its place, and the walk goes on.
    pub(in crate::wasi) async fn next(&mut self) -> Result<Option<Listed>, ErrorCode> {
        if self.batch.is_empty() {
            self.fill().await?;
        }
        self.batch.pop_front().transpose()
    }

    async fn fill(&mut self) -> Result<(), ErrorCode> {
        let folder = Arc::clone(&self.folder);
        // A walk that is lost on the way (the guest is gone, or the pool) is at its end.
        let walk = std::mem::replace(&mut self.walk, Walk::Ended);
        (self.walk, self.batch) = on_pool(folder.reactor(), {
            let folder = Arc::clone(&folder);
            move || read_batch(walk, &folder)
        })
        .await?;
        Ok(())
    }
}

type Batch = VecDeque<Result<Listed, ErrorCode>>;

fn read_batch(walk: Walk, folder: &Directory) -> io::Result<(Walk, Batch)> {
    let (mut entries, device) = match walk {
        // Through `.`: a walk with a position of its own.
        Walk::New => (folder.dir().entries()?, folder.dir().dir_metadata()?.dev()),
        Walk::Open(entries, device) => (entries, device),
        Walk::Ended => return Ok((Walk::Ended, Batch::new())),
    };
    let mut batch = Batch::new();
    while batch.len() < BATCH {
        match entries.next() {
            None => return Ok((Walk::Ended, batch)),
            Some(Ok(entry)) => batch.push_back(listed(&entry, device)),
            Some(Err(error)) => {
                batch.push_back(Err(code_of(&error)));
                return Ok((Walk::Ended, batch));
            }
        }
    }
    Ok((Walk::Open(entries, device), batch))
}

fn listed(entry: &DirEntry, device: u64) -> Result<Listed, ErrorCode> {
    let name = entry.file_name().into_string().map_err(|_| ErrorCode::IllegalByteSequence)?;
    let kind = match entry.file_type().map(kind_of) {
        Ok(DescriptorType::Unknown) | Err(_) => {
            // Some file systems do not say it in the listing. A name that is gone meanwhile stays unknown.
            entry.metadata().map_or(DescriptorType::Unknown, |metadata| kind_of(metadata.file_type()))
        }
        Ok(kind) => kind,
    };
    Ok(Listed { kind, name, serial: Identity::new(device, entry.ino()).serial() })
}
