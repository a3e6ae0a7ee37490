//! Sizes: of slots, of the guards between them, and how many there are.

use super::raw::Guards;
use crate::limits::Limits;

/// The page of the system that slots are made for, in bytes.
pub(super) const PAGE: usize = 4096;

/// How many pages so many bytes are on.
pub(super) fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE)
}

/// Bytes below a stack that end whoever touches them.
const STACK_GUARD_BYTES: usize = 16 << 10;

/// Shares that the slots of a runtime are counted in. A stack and a dense memory take one, so that this many are the most
/// there can be; an elided memory takes [`ELIDED_SHARES`].
pub(crate) const SHARES: u64 = 1 << 20;

/// Shares of an elided memory: there are at most 16,384 of them, in half of the address space that a program has.
pub(crate) const ELIDED_SHARES: u64 = 64;

/// A host of more processes than this has dense memories: where no more than that live the elided ones have room for them
/// and as many of another host.
const DENSE_ABOVE: u64 = 8192;

/// The largest dense slot, in bytes. Who may have more is large, and takes an elided one.
const DENSE_MAX: usize = 1 << 30;

/// Dense slots: their size in bytes and how many there are. A memory begins in the smallest that has it, and moves when it
/// grows out of it. The first has one page of a guest; the second what guests of Rust (17 pages) and C begin with, and some
/// growth.
pub(super) const DENSE: [(usize, u32); 5] = [
    (64 << 10, SHARES as u32),
    (2 << 20, SHARES as u32),
    (16 << 20, 1 << 18),
    (128 << 20, 1 << 16),
    (DENSE_MAX, 1 << 13),
];

/// How memories lie, and with that how code is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Tier {
    /// Each has all that 32 bits can reach, and is closed beyond its size: the processor checks bounds. Few or large.
    #[default]
    Elided,
    /// One beside the other, code checks bounds. Many and small: 35 % slower where a guest does nothing but read and write.
    Dense,
}

impl Tier {
    /// What suits a process with these limits.
    pub(crate) fn of(limits: &Limits) -> Self {
        let is_crowded = limits.crowd.is_some_and(|crowd| crowd > DENSE_ABOVE);
        match is_crowded && limits.max_memory.is_some_and(|memory| memory <= DENSE_MAX as u64) {
            true => Self::Dense,
            false => Self::Elided,
        }
    }
}

/// What slots are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All of it can be read and written, guard pages are below.
    Stack,
    /// All of it can be read and written.
    Open,
    /// Opened as far as the memory goes.
    Closed,
}

/// How address space is cut into slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) kind: Kind,
    /// Bytes of a slot that somebody may have.
    pub(super) bytes: usize,
    /// Bytes below them that nobody has.
    pub(super) guard: usize,
    /// Bytes from one slot to the next.
    pub(super) stride: usize,
    /// How many there are.
    pub(super) slots: u32,
}

/// Slots in the first chunk of address space that is reserved; each that follows has twice as many.
const FIRST_CHUNK: u32 = 64;

/// The most chunks there are: together they have more than [`SHARES`] slots.
pub(super) const CUTS: usize = 15;

impl Cut {
    /// Stacks of this many bytes. The largest are fewer, so that the address space suffices.
    pub(super) fn stack(bytes: usize) -> Self {
        const MANY: usize = 8 << 20;
        let slots = if bytes <= MANY { SHARES as u32 } else { 1 << 18 };
        Self { kind: Kind::Stack, bytes, guard: STACK_GUARD_BYTES, stride: bytes + STACK_GUARD_BYTES, slots }
    }

    /// Dense memories.
    pub(super) fn dense((bytes, slots): (usize, u32)) -> Self {
        Self { kind: Kind::Open, bytes, guard: 0, stride: bytes, slots }
    }

    /// Elided memories, with so much behind them that is never open.
    pub(super) fn elided(bytes: usize, behind: usize) -> Self {
        let slots = (SHARES / ELIDED_SHARES) as u32;
        Self { kind: Kind::Closed, bytes, guard: 0, stride: bytes + behind, slots }
    }

    /// Whether a slot that is free and in memory has mappings that a new one has not.
    pub(super) fn keeps_mappings(&self, guards: Guards) -> bool {
        match self.kind {
            Kind::Stack => guards == Guards::Mappings,
            Kind::Open => false,
            Kind::Closed => true,
        }
    }

    /// The chunk of a slot, and its place in there.
    pub(super) fn place(&self, index: u32) -> (usize, usize) {
        let chunk = (index / FIRST_CHUNK + 1).ilog2();
        (chunk as usize, (index - FIRST_CHUNK * ((1 << chunk) - 1)) as usize)
    }

    /// How many slots a chunk has.
    pub(super) fn slots_of(&self, chunk: usize) -> usize {
        let before = u64::from(FIRST_CHUNK) * ((1 << chunk) - 1);
        let here = (u64::from(FIRST_CHUNK) << chunk).min(u64::from(self.slots).saturating_sub(before));
        usize::try_from(here).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_one_place() {
        for cut in [Cut::dense(DENSE[0]), Cut::dense(DENSE[4]), Cut::stack(1 << 20), Cut::elided(4 << 30, 32 << 20)] {
            let mut index = 0;
            for chunk in 0..CUTS {
                for place in 0..cut.slots_of(chunk) {
                    assert_eq!(cut.place(index), (chunk, place));
                    index += 1;
                }
            }
            assert_eq!(index, cut.slots);
        }
    }

    #[test]
    fn all_slots_together_have_room_in_the_address_space() {
        let stacks = [256 << 10, 1 << 20, 4 << 20, 16 << 20].map(|bytes: usize| Cut::stack(bytes + (256 << 10)));
        let all = DENSE.map(Cut::dense).into_iter().chain(stacks).chain([Cut::elided(4 << 30, 32 << 20)]);
        let bytes: u64 = all.map(|cut| cut.stride as u64 * u64::from(cut.slots)).sum();
        assert!(bytes < (1 << 47) - (20 << 40), "{bytes}");
    }

    #[test]
    fn many_and_small_is_dense() {
        let tier = |crowd, max_memory| Tier::of(&Limits { crowd, max_memory, ..Limits::default() });
        assert_eq!(tier(None, Some(1 << 20)), Tier::Elided, "nobody asks for many");
        assert_eq!(tier(Some(DENSE_ABOVE), Some(1 << 20)), Tier::Elided);
        assert_eq!(tier(Some(DENSE_ABOVE + 1), Some(1 << 20)), Tier::Dense);
        assert_eq!(tier(Some(100_000), Limits::default().max_memory), Tier::Dense);
        assert_eq!((tier(Some(100_000), Some(2 << 30)), tier(Some(100_000), None)), (Tier::Elided, Tier::Elided));
    }
}
