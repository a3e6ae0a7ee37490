//! Free slots: which one the next process gets, and what is kept of one that comes back.
//!
//! Each group of threads has a shelf of slots that were just used: their pages are in memory and in caches, and taking one
//! needs no call of the system. What a shelf has no place for gives up its pages and goes to a list that all threads share.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Slabs;
use super::class::{Cut, Kind, PAGE};
use super::raw::{Cuts, Guards, Home, Pagemap, Slot, is_zero, zero};
use crate::sync::CachePadded;

/// Slots of one kind that are kept in use, on all shelves together.
pub(super) const WARM_SLOTS: usize = 1024;

/// The most shelves: threads beyond share them.
const SHELVES_MAX: usize = 64;

/// Bytes of a memory that stay in memory while it is on a shelf.
pub(super) const KEEP_BYTES: usize = 256 << 10;

/// Bytes of a stack, below its top, that stay in memory while it is on a shelf. Nobody says how deep a fiber was: when the
/// page below these has been written, what is below goes back to the system.
pub(super) const STACK_KEEP_BYTES: usize = 64 << 10;

/// How many slots of a shelf are looked at for one that is open as far as is asked for.
const LOOKS: usize = 8;

/// Why there is no slot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSlot {
    /// All are in use.
    #[error("all {slots} slots of {bytes} bytes are in use")]
    Exhausted {
        /// How many there are.
        slots: u32,
        /// Their size.
        bytes: usize,
    },
    /// The system gives no memory.
    #[error("the system gives no memory")]
    System(#[from] io::Error),
}

/// A free slot whose pages are in memory.
#[derive(Clone, Copy, Debug)]
struct Warm {
    index: u32,
    /// Pages of a memory that are open.
    opened: u32,
}

/// The free slots of a group of threads.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    warm: CachePadded<Mutex<Vec<Warm>>>,
    /// How many these are, for those who only want to know whether there is a place.
    filled: AtomicUsize,
    shared: Arc<Shared>,
    /// All slabs, for a memory that moves to a larger slot.
    slabs: Weak<Slabs>,
}

/// What all shelves share.
#[derive(Debug, Default)]
struct Shared {
    /// Slots whose pages the system has, and the first one that was never used.
    cold: Mutex<(Vec<u32>, u32)>,
    /// Places on a shelf.
    places: usize,
}

/// All slots of one size.
#[derive(Debug)]
pub(super) struct Arena {
    homes: Box<[Arc<Home<Shelf>>]>,
    shared: Arc<Shared>,
    cut: Cut,
}

/// The place of this thread among the shelves.
fn own_shelf(shelves: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let own = OWN.get();
    if own != usize::MAX {
        return own % shelves;
    }
    let own = NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1);
    OWN.set(own);
    own % shelves
}

impl Arena {
    pub(super) fn new(cut: Cut, guards: Guards, pagemap: Option<Arc<Pagemap>>, slabs: &Weak<Slabs>) -> Self {
        let shelves = crate::sync::cores().next_power_of_two().min(SHELVES_MAX);
        let shared = Arc::new(Shared { cold: Mutex::default(), places: WARM_SLOTS / shelves });
        let cuts = Arc::new(Cuts::new(cut, guards, pagemap));
        let shelf = || Shelf { shared: Arc::clone(&shared), slabs: Weak::clone(slabs), ..Shelf::default() };
        let homes = (0..shelves).map(|_| Home::new(Arc::clone(&cuts), shelf())).collect();
        Self { homes, shared, cut }
    }

    pub(super) fn cut(&self) -> &Cut {
        &self.cut
    }

    /// A slot whose first `bytes` are open; of a memory the rest is closed, where it can be.
    fn take(&self, bytes: usize) -> Result<Slot<Shelf>, NoSlot> {
        let own = own_shelf(self.homes.len());
        let pages = u32::try_from(bytes.div_ceil(PAGE)).unwrap_or(u32::MAX);
        if let Some(found) = self.homes[own].local.pick(self.cut.kind, pages) {
            return Self::slot(&self.homes[own], found, bytes);
        }
        if let Some(index) = self.cold()? {
            return Self::slot(&self.homes[own], index, bytes);
        }
        for home in &self.homes {
            if let Some(found) = home.local.pick(self.cut.kind, pages) {
                return Self::slot(home, found, bytes);
            }
        }
        Err(NoSlot::Exhausted { slots: self.cut.slots, bytes: self.cut.bytes })
    }

    fn slot(home: &Arc<Home<Shelf>>, index: u32, bytes: usize) -> Result<Slot<Shelf>, NoSlot> {
        let mut slot = home.take(index).expect("a free slot is nobody's");
        let made = match home.cuts().cut().kind {
            Kind::Stack => slot.guard(),
            Kind::Open | Kind::Closed => slot.open(bytes, true),
        };
        if let Err(error) = made {
            put_away(slot);
            return Err(error.into());
        }
        Ok(slot)
    }

    /// A slot without pages: one that was given back, or one that was never used.
    fn cold(&self) -> io::Result<Option<u32>> {
        let mut cold = self.shared.cold.lock();
        if let Some(index) = cold.0.pop() {
            return Ok(Some(index));
        }
        if cold.1 == self.cut.slots {
            return Ok(None);
        }
        let index = cold.1;
        self.homes[0].cuts().prepare(index)?;
        cold.1 += 1;
        Ok(Some(index))
    }

    /// A memory of so many bytes, all zero.
    pub(super) fn memory(&self, bytes: usize) -> Result<Lease, NoSlot> {
        Ok(Lease(Some(self.take(bytes)?)))
    }

    /// A stack; what it has in it is undefined.
    pub(super) fn stack(&self) -> Result<StackLease, NoSlot> {
        Ok(StackLease(Some(self.take(0)?)))
    }
}

impl Shelf {
    /// The slot that was used last, or one of the last that is open exactly as far.
    fn pick(&self, kind: Kind, pages: u32) -> Option<u32> {
        if self.filled.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut warm = self.warm.lock();
        let last = warm.len().checked_sub(1)?;
        let suits = |free: &Warm| kind != Kind::Closed || free.opened == pages;
        let back = warm.iter().rev().take(LOOKS).position(suits).unwrap_or(0);
        let found = warm.swap_remove(last - back);
        self.filled.store(warm.len(), Ordering::Relaxed);
        Some(found.index)
    }

    fn has_place(&self) -> bool {
        self.filled.load(Ordering::Relaxed) < self.shared.places
    }

    /// All slabs, as long as there are any.
    pub(super) fn slabs(&self) -> Option<Arc<Slabs>> {
        self.slabs.upgrade()
    }
}

/// Puts a wiped slot on its shelf. It goes to the others when somebody was quicker to the last place.
fn put_back(slot: Slot<Shelf>, opened: u32) {
    let index = slot.index();
    let home = slot.release();
    let shelf = &home.local;
    let mut warm = shelf.warm.lock();
    if warm.len() < shelf.shared.places {
        warm.push(Warm { index, opened });
        shelf.filled.store(warm.len(), Ordering::Relaxed);
        return;
    }
    drop(warm);
    put_away(home.take(index).expect("a slot that is on no list is nobody's"));
}

/// Gives the pages of a slot back, and the slot to whoever asks next. One that can't be cleared is lost: nobody may see what
/// is in it.
fn put_away(mut slot: Slot<Shelf>) {
    let index = slot.index();
    match slot.clear() {
        Ok(()) => {
            let home = slot.release();
            home.local.shared.cold.lock().0.push(index);
        }
        Err(error) => {
            tracing::warn!(%error, "a slot is lost: the system does not take its pages back");
            std::mem::forget(slot);
        }
    }
}

/// The slot of a memory, until it is dropped.
#[derive(Debug)]
pub(super) struct Lease(Option<Slot<Shelf>>);

impl Lease {
    pub(super) fn slot(&self) -> &Slot<Shelf> {
        self.0.as_ref().expect("only dropping takes it")
    }

    pub(super) fn slot_mut(&mut self) -> &mut Slot<Shelf> {
        self.0.as_mut().expect("only dropping takes it")
    }

    pub(super) fn capacity(&self) -> usize {
        self.slot().home().cuts().cut().bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut slot) = self.0.take() else { return };
        if !slot.home().local.has_place() {
            return put_away(slot);
        }
        match slot.wipe(KEEP_BYTES) {
            Ok(()) => {
                let opened = u32::try_from(slot.opened() / PAGE).unwrap_or(u32::MAX);
                put_back(slot, opened);
            }
            Err(_) => put_away(slot),
        }
    }
}

/// The slot of a stack, until it is dropped.
#[derive(Debug)]
pub(super) struct StackLease(Option<Slot<Shelf>>);

impl StackLease {
    pub(super) fn slot(&self) -> &Slot<Shelf> {
        self.0.as_ref().expect("only dropping takes it")
    }

    /// All of it.
    #[cfg(test)]
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut().expect("only dropping takes it").bytes()
    }

    /// Makes it read zero.
    pub(super) fn zero(&mut self) {
        zero(self.0.as_mut().expect("only dropping takes it").bytes());
    }
}

impl Drop for StackLease {
    fn drop(&mut self) {
        let Some(mut slot) = self.0.take() else { return };
        if !slot.home().local.has_place() {
            return put_away(slot);
        }
        let deep = slot.home().cuts().cut().bytes.saturating_sub(STACK_KEEP_BYTES);
        if !is_zero(&slot.bytes()[deep.saturating_sub(PAGE)..deep]) {
            // What is not given back is there next time.
            let _ = slot.discard(0..deep);
        }
        put_back(slot, 0);
    }
}
