//! A linear memory: in a slot, or in a mapping of its own where it is larger than any.

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use super::Slabs;
use super::arena::{Lease, NoSlot};
use super::class::{PAGE, Tier};
use super::raw::{Single, is_zero};

/// A linear memory.
#[derive(Debug)]
pub(super) struct Linear {
    place: Place,
    size: usize,
    tier: Tier,
    /// Bytes behind what it may grow to that stay closed.
    guard: usize,
    /// Bytes that it may reach at least, whatever its size.
    reservation: usize,
}

#[derive(Debug)]
enum Place {
    Slot(Lease),
    Own(Single, Arc<Slabs>),
}

impl Linear {
    pub(super) fn new(
        slabs: &Arc<Slabs>,
        tier: Tier,
        size: usize,
        reservation: usize,
        guard: usize,
    ) -> Result<Self, NoSlot> {
        let place = Place::of(slabs, tier, size, reservation, guard)?;
        Ok(Self { place, size, tier, guard, reservation })
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn capacity(&self) -> usize {
        match &self.place {
            Place::Slot(lease) => lease.capacity(),
            Place::Own(single, _) => single.capacity(),
        }
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        match &self.place {
            Place::Slot(lease) => lease.slot().base(),
            Place::Own(single, _) => single.base(),
        }
    }

    /// All that a guest may have written.
    #[cfg(test)]
    pub(super) fn written(&mut self) -> &mut [u8] {
        let size = self.size;
        &mut self.place.bytes()[..size]
    }

    /// Makes it larger; it moves when it is larger than its capacity then.
    pub(super) fn grow(&mut self, size: usize) -> Result<(), NoSlot> {
        if size <= self.capacity() {
            self.place.open(size)?;
        } else {
            // The engine that runs this guest keeps them.
            let slabs = self.place.slabs().ok_or(io::ErrorKind::OutOfMemory).map_err(io::Error::from)?;
            let mut place = Place::of(&slabs, self.tier, size, self.reservation, self.guard)?;
            let written = self.size;
            copy(&self.place.bytes()[..written], &mut place.bytes()[..written]);
            self.place = place;
        }
        self.size = size;
        Ok(())
    }
}

impl Place {
    /// The smallest slot for so many bytes, or a larger one when those are all in use.
    fn of(slabs: &Arc<Slabs>, tier: Tier, size: usize, reservation: usize, guard: usize) -> Result<Self, NoSlot> {
        let mut refusal = None;
        for arena in slabs.memories(tier).iter().filter(|arena| size <= arena.cut().bytes) {
            match arena.memory(size) {
                Ok(lease) => return Ok(Self::Slot(lease)),
                Err(error) => refusal = Some(error),
            }
        }
        if let Some(error) = refusal {
            return Err(error);
        }
        // As much again to grow, so that many small steps do not copy it each time.
        let mut single = Single::reserve(size.saturating_mul(2).max(reservation), guard)?;
        single.open(size)?;
        Ok(Self::Own(single, Arc::clone(slabs)))
    }

    /// Where it moves to when it grows out of this place.
    fn slabs(&self) -> Option<Arc<Slabs>> {
        match self {
            Self::Slot(lease) => lease.slot().home().local.slabs(),
            Self::Own(_, slabs) => Some(Arc::clone(slabs)),
        }
    }

    fn open(&mut self, size: usize) -> io::Result<()> {
        match self {
            Self::Slot(lease) => lease.slot_mut().open(size, false),
            Self::Own(single, _) => single.open(size),
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Slot(lease) => lease.slot_mut().bytes(),
            Self::Own(single, _) => single.bytes(),
        }
    }
}

/// Copies what is not zero to where all is zero: pages that were never written stay none.
fn copy(from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks(PAGE).zip(to.chunks_mut(PAGE)) {
        if !is_zero(from) {
            to.copy_from_slice(from);
        }
    }
}
