//! `fd_readdir`: names of a folder with cookies, over a walk that goes forward in batches.

use std::collections::VecDeque;
use std::sync::Arc;

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p2::bindings::filesystem::types::DescriptorType;

use super::errno::{Errno, Refusal};
use super::file::filetype;
use super::memory::{Guest, memory};
use super::waiting;
use crate::wasi::filesystem::{Directory, Listed, Listing};
use crate::wasi::state::WasiView;

const DIRENT_BYTES: usize = 24;

/// How many names behind the walk are kept: a guest comes back for the name that was cut off, not for much earlier ones.
const KEPT: usize = 64;

/// The most bytes of one answer, whatever the guest has room for.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How far a folder was listed. The cookie of a name is its place, `.` and `..` first.
pub(super) struct Walk {
    listing: Listing,
    /// The last names read, oldest first.
    recent: VecDeque<Listed>,
    /// The cookie of the first of them.
    first: u64,
}

impl Walk {
    async fn new(folder: &Arc<Directory>) -> Result<Walk, Errno> {
        let serial = folder.stat().await?.serial();
        // What is above the folder is not told: both are the folder itself.
        let dots = [".", ".."].map(|name| Listed { kind: DescriptorType::Directory, name: name.to_owned(), serial });
        Ok(Walk { listing: folder.list()?, recent: dots.into(), first: 0 })
    }

    /// The name with this cookie, if the walk has it still.
    async fn get(&mut self, cookie: u64) -> Result<Option<&Listed>, Errno> {
        while cookie >= self.first + self.recent.len() as u64 {
            let Some(listed) = self.listing.next().await? else { return Ok(None) };
            self.recent.push_back(listed);
            if self.recent.len() > KEPT {
                self.recent.pop_front();
                self.first += 1;
            }
        }
        Ok(self.recent.get((cookie - self.first) as usize))
    }
}

pub(super) fn add<T: WasiView>(linker: &mut Linker<T>) -> Result<()> {
    waiting!(linker, "fd_readdir", |caller, fd: u32, at: u32, room: u32, cookie: u64, out: u32| {
        readdir(caller, fd, (at, room), cookie, out)
    });
    Ok(())
}

async fn readdir<T: WasiView>(
    caller: &mut Caller<'_, T>,
    fd: u32,
    (at, room): (u32, u32),
    cookie: u64,
    out: u32,
) -> Result<(), Refusal> {
    let memory = memory(caller)?;
    Guest(memory.data_mut(&mut *caller)).slice(at, room)?;
    let open = caller.data_mut().wasi().descriptors().directory(fd)?;
    let folder = Arc::clone(&open.directory);
    // From the start the folder is looked at anew, and so it is for a place that was passed long ago.
    let mut walk = match open.walk.take() {
        Some(walk) if cookie > 0 && cookie >= walk.first => walk,
        _ => Walk::new(&folder).await?,
    };
    let answer = fill(&mut walk, cookie, (room as usize).min(ANSWER_BYTES_MAX)).await?;
    if let Ok(open) = caller.data_mut().wasi().descriptors().directory(fd)
        && Arc::ptr_eq(&open.directory, &folder)
    {
        open.walk = Some(walk);
    }
    let mut guest = Guest(memory.data_mut(caller));
    guest.write(at, &answer)?;
    Ok(guest.write_u32(out, answer.len() as u32)?)
}

/// The names from a cookie on, as many as there is room for, the last one cut.
async fn fill(walk: &mut Walk, mut cookie: u64, room: usize) -> Result<Vec<u8>, Errno> {
    let mut answer = Vec::with_capacity(room);
    while answer.len() < room {
        let Some(listed) = walk.get(cookie).await? else { break };
        cookie += 1;
        let mut dirent = [0; DIRENT_BYTES];
        dirent[0..8].copy_from_slice(&cookie.to_le_bytes());
        dirent[8..16].copy_from_slice(&listed.serial.to_le_bytes());
        dirent[16..20].copy_from_slice(&(listed.name.len() as u32).to_le_bytes());
        dirent[20] = filetype(listed.kind);
        answer.extend_from_slice(&dirent);
        answer.extend_from_slice(listed.name.as_bytes());
    }
    answer.truncate(room);
    Ok(answer)
}
