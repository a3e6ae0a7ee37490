//! Free slots: which one the next process gets, and what is kept of one that comes back.
//!
//! Each group of threads has a shelf of slots that were just used: their pages are in memory and in caches, and taking one
//! needs no call of the system. What a shelf has no place for waits until there are many such slots, which then give up their
//! pages together and go to a list that all threads share: each time a processor has to forget an address, it stops all others,
//! and that costs more than all else that a process takes to end.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Slabs;
use super::class::{Cut, Kind, PAGE};
use super::raw::{Cuts, Home, Slot, System, clear_all, is_zero, zero};
use crate::sync::CachePadded;

/// Bytes that free slots of one size keep in memory, on all shelves together.
pub(super) const WARM_BYTES: usize = 128 << 20;

/// Slots of one size that are kept, on all shelves together, where each keeps mappings of its own as well.
pub(super) const MAPPED_SLOTS: usize = 3840;

/// Slots that give up their pages together, at most.
pub(super) const LEAVING_SLOTS: usize = 256;

/// Bytes in memory of those that wait for that.
pub(super) const LEAVING_BYTES: usize = 8 << 20;

/// The most shelves: threads beyond share them.
const SHELVES_MAX: usize = 64;

/// Bytes of a memory that stay in memory while it is on a shelf.
pub(super) const KEEP_BYTES: usize = 256 << 10;

/// Bytes of a stack, below its top, that stay in memory while it is on a shelf. Nobody says how deep a fiber was: when the
/// page below these has been written, what is below goes back to the system.
pub(super) const STACK_KEEP_BYTES: usize = 64 << 10;

/// Bytes that a stack counts for when the page below these was not written.
const STACK_DEPTHS: [usize; 2] = [16 << 10, 32 << 10];

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
    /// Bytes that it has in memory, at most.
    resident: usize,
}

/// Free slots whose pages are in memory, the last one used last.
#[derive(Debug, Default)]
struct Pile {
    slots: Vec<Warm>,
    /// Bytes that these have in memory.
    resident: usize,
}

/// The free slots of a group of threads.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    warm: CachePadded<Mutex<Pile>>,
    /// How many these are, for those who only want to know whether there are any.
    filled: AtomicUsize,
    shared: Arc<Shared>,
    /// All slabs, for a memory that moves to a larger slot.
    slabs: Weak<Slabs>,
}

/// What all shelves share.
#[derive(Debug, Default)]
struct Shared {
    rest: Mutex<Rest>,
    /// Places on a shelf.
    places: usize,
    /// Bytes that what is on a shelf may have in memory.
    resident: usize,
}

/// Free slots that are on no shelf.
#[derive(Debug, Default)]
struct Rest {
    /// Those whose pages will go back to the system.
    leaving: Pile,
    /// Those whose pages the system has.
    cold: Vec<u32>,
    /// The first one that was never used.
    fresh: u32,
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
    pub(super) fn new(cut: Cut, system: &System, slabs: &Weak<Slabs>) -> Self {
        let shelves = crate::sync::cores().next_power_of_two().min(SHELVES_MAX);
        let places = if cut.keeps_mappings(system.guards) { MAPPED_SLOTS / shelves } else { usize::MAX };
        let shared = Arc::new(Shared { rest: Mutex::default(), places, resident: WARM_BYTES / shelves });
        let cuts = Arc::new(Cuts::new(cut, system.clone()));
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
        if let Some(index) = self.rest()? {
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
            put_away(vec![slot]);
            return Err(error.into());
        }
        Ok(slot)
    }

    /// A slot that is on no shelf: one that still has its pages, one that gave them back, or one that was never used.
    fn rest(&self) -> io::Result<Option<u32>> {
        let mut rest = self.shared.rest.lock();
        let rest = &mut *rest;
        if let Some(free) = rest.leaving.pop(0) {
            return Ok(Some(free.index));
        }
        if let Some(index) = rest.cold.pop() {
            return Ok(Some(index));
        }
        if rest.fresh == self.cut.slots {
            return Ok(None);
        }
        self.homes[0].cuts().prepare(rest.fresh)?;
        rest.fresh += 1;
        Ok(Some(rest.fresh - 1))
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

impl Pile {
    fn push(&mut self, free: Warm) {
        self.resident += free.resident;
        self.slots.push(free);
    }

    /// Takes so many from the end.
    fn pop(&mut self, back: usize) -> Option<Warm> {
        let last = self.slots.len().checked_sub(1 + back)?;
        let free = self.slots.swap_remove(last);
        self.resident -= free.resident;
        Some(free)
    }
}

impl Shelf {
    /// The slot that was used last, or one of the last that is open exactly as far.
    fn pick(&self, kind: Kind, pages: u32) -> Option<u32> {
        if self.filled.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut warm = self.warm.lock();
        let suits = |free: &Warm| kind != Kind::Closed || free.opened == pages;
        let back = warm.slots.iter().rev().take(LOOKS).position(suits).unwrap_or(0);
        let found = warm.pop(back)?;
        self.filled.store(warm.slots.len(), Ordering::Relaxed);
        Some(found.index)
    }

    /// Puts a slot here, if there is a place.
    fn put(&self, free: Warm) -> bool {
        let mut warm = self.warm.lock();
        if warm.slots.len() >= self.shared.places || warm.resident + free.resident > self.shared.resident {
            return false;
        }
        warm.push(free);
        self.filled.store(warm.slots.len(), Ordering::Relaxed);
        true
    }

    /// All slabs, as long as there are any.
    pub(super) fn slabs(&self) -> Option<Arc<Slabs>> {
        self.slabs.upgrade()
    }
}

impl Shared {
    /// Puts a slot to those that leave. Who makes them too many gets all of them, to send them away.
    fn leave(&self, free: Warm) -> Vec<Warm> {
        let leaving = &mut self.rest.lock().leaving;
        leaving.push(free);
        if leaving.slots.len() < LEAVING_SLOTS && leaving.resident < LEAVING_BYTES {
            return Vec::new();
        }
        std::mem::take(leaving).slots
    }
}

/// Puts a wiped slot on its shelf, or to those that leave.
fn put_back(slot: Slot<Shelf>, resident: usize) {
    let opened = u32::try_from(slot.opened() / PAGE).unwrap_or(u32::MAX);
    let free = Warm { index: slot.index(), opened, resident };
    let home = slot.release();
    if home.local.put(free) {
        return;
    }
    let leaving = home.local.shared.leave(free);
    if !leaving.is_empty() {
        put_away(leaving.iter().map(|free| home.take(free.index).expect("a slot on no list is nobody's")).collect());
    }
}

/// Gives the pages of slots back, and the slots to whoever asks next. One that can't be cleared is lost: nobody may see what
/// is in it.
fn put_away(mut slots: Vec<Slot<Shelf>>) {
    let cleared = clear_all(&mut slots);
    let mut cold = Vec::with_capacity(slots.len());
    let mut shared = None;
    for (slot, cleared) in slots.into_iter().zip(cleared) {
        match cleared {
            Ok(()) => {
                cold.push(slot.index());
                shared = Some(Arc::clone(&slot.release().local.shared));
            }
            Err(error) => {
                tracing::warn!(%error, "a slot is lost: the system does not take its pages back");
                std::mem::forget(slot);
            }
        }
    }
    if let Some(shared) = shared {
        shared.rest.lock().cold.append(&mut cold);
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
        match slot.wipe(KEEP_BYTES) {
            Ok(resident) => put_back(slot, resident),
            Err(_) => put_away(vec![slot]),
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
        let stack = slot.bytes();
        let is_untouched = |above: usize| {
            let end = stack.len().saturating_sub(above);
            is_zero(&stack[end.saturating_sub(PAGE)..end])
        };
        let resident = if is_untouched(STACK_KEEP_BYTES) {
            STACK_DEPTHS.into_iter().find(|depth| is_untouched(*depth)).unwrap_or(STACK_KEEP_BYTES)
        } else {
            let deep = stack.len().saturating_sub(STACK_KEEP_BYTES);
            // What is not given back is there next time.
            let _ = slot.discard(0..deep);
            STACK_KEEP_BYTES
        };
        put_back(slot, resident);
    }
}
