//! Slabs: the stacks of fibers and the memories of guests, out of address space that is reserved once.
//!
//! A process takes a slot for its stack and one for each memory, and leaves them to the next one: beginning and ending map
//! nothing, unmap nothing and protect nothing, and neither costs a call of the system where slots go round. There are two
//! [tiers](Tier) of memories, which differ in what compiled code counts on.
//!
//! # Invariants
//! - `raw` is the one file with `unsafe`, and sound by itself: it asks for each slot whether somebody has it. The files beside
//!   it decide which slot is taken and what is kept of it.
//! - What a guest gets reads zero. Only stacks are handed on as they are: no guest sees those.
//! - The number of slots of each size is bounded, and so is what free ones keep in memory: [`arena::KEEP_BYTES`] of a memory,
//!   [`arena::STACK_KEEP_BYTES`] of a stack, [`arena::WARM_BYTES`] of all of a size, beside [`arena::LEAVING_BYTES`] that are
//!   about to go. All other pages go back to the system.

mod arena;
mod class;
mod memory;
mod raw;
mod scan;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use arena::{Arena, LEAVING_SLOTS, MAPPED_SLOTS, NoSlot, StackLease};
use class::{Cut, DENSE};
pub(crate) use class::{ELIDED_SHARES, SHARES, Tier};
use memory::Linear;
pub(crate) use raw::Guards;
use raw::System;
use wasmtime::Config;

use super::engine::{HOST_STACK_BYTES, MEMORY_GUARD_BYTES, MEMORY_RESERVATION_BYTES, STACK_CLASSES};

/// Mappings that free slots keep, at most: two for each memory of the elided tier.
pub(crate) const KEPT_MAPPINGS: u64 = 2 * (MAPPED_SLOTS + LEAVING_SLOTS) as u64;

/// All slabs of a runtime.
#[derive(Debug)]
pub(crate) struct Slabs {
    guards: Guards,
    stacks: [Arena; STACK_CLASSES.len()],
    elided: [Arena; 1],
    dense: [Arena; DENSE.len()],
}

/// Why this system has no slabs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsupported {
    /// The address space is limited: slots that are reserved would be missing elsewhere.
    #[error("the address space is limited (`ulimit -v`)")]
    AddressSpace,
    /// What is reserved counts as used.
    #[error("this system promises no more memory than it has (`vm.overcommit_memory` is 2)")]
    NoOvercommit,
    /// A call that is needed is refused.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Slabs {
    /// Slabs without a slot; address space is taken with the first ones.
    ///
    /// # Errors
    /// This system does not have what they need.
    pub(crate) fn new() -> Result<Arc<Self>, Unsupported> {
        const NO_OVERCOMMIT: &str = "2";
        if rustix::process::getrlimit(rustix::process::Resource::As).current.is_some() {
            return Err(Unsupported::AddressSpace);
        }
        if std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == NO_OVERCOMMIT) {
            return Err(Unsupported::NoOvercommit);
        }
        Ok(Self::with(&System::probe()?))
    }

    fn with(system: &System) -> Arc<Self> {
        let [reservation, behind] = [MEMORY_RESERVATION_BYTES, MEMORY_GUARD_BYTES].map(|bytes| bytes as usize);
        Arc::new_cyclic(|slabs| {
            let arena = |cut| Arena::new(cut, system, slabs);
            Self {
                guards: system.guards,
                stacks: STACK_CLASSES.map(|bytes| arena(Cut::stack(bytes + HOST_STACK_BYTES))),
                elided: [arena(Cut::elided(reservation, behind))],
                dense: DENSE.map(|class| arena(Cut::dense(class))),
            }
        })
    }

    /// Has an engine take its stacks from here, and memories as well, which lie as the tier says.
    pub(crate) fn serve(self: &Arc<Self>, config: &mut Config, memories: Option<Tier>) {
        config.with_host_stack(Arc::new(Stacks(Arc::clone(self))));
        if let Some(tier) = memories {
            let (reservation, guard) = Memories::layout(tier);
            config
                .memory_init_cow(false)
                .memory_reservation(reservation)
                .memory_guard_size(guard)
                .with_host_memory(Arc::new(Memories(Arc::clone(self), tier)));
        }
    }

    /// How guard pages are made here.
    pub(crate) fn guards(&self) -> Guards {
        self.guards
    }

    fn memories(&self, tier: Tier) -> &[Arena] {
        match tier {
            Tier::Elided => &self.elided,
            Tier::Dense => &self.dense,
        }
    }

    /// Bytes of address space that a stack takes of the guest's size, with its guard and the host's part.
    pub(crate) fn stack_bytes(stack: usize) -> u64 {
        Cut::stack(stack + HOST_STACK_BYTES).stride as u64
    }

    /// Bytes of address space that a memory takes which begins with so many.
    pub(crate) fn memory_bytes(tier: Tier, initial: u64) -> u64 {
        match tier {
            Tier::Elided => (MEMORY_RESERVATION_BYTES + MEMORY_GUARD_BYTES).max(initial.saturating_mul(2)),
            Tier::Dense => {
                let class = DENSE.iter().map(|(bytes, _)| *bytes as u64).find(|bytes| initial <= *bytes);
                class.unwrap_or(initial.saturating_mul(2))
            }
        }
    }
}

/// The stacks, as the engine asks for them.
#[derive(Clone, Debug)]
struct Stacks(Arc<Slabs>);

impl Stacks {
    fn create(&self, size: usize) -> Result<StackLease, NoSlot> {
        let arena = self.0.stacks.iter().find(|arena| size <= arena.cut().bytes);
        arena.ok_or_else(|| NoSlot::System(io::ErrorKind::OutOfMemory.into()))?.stack()
    }
}

/// The memories of a tier, as the engine asks for them.
#[derive(Clone, Debug)]
struct Memories(Arc<Slabs>, Tier);

impl Memories {
    /// What compiled code of the tier counts on: bytes that are reserved for each memory, and a guard behind them.
    fn layout(tier: Tier) -> (u64, u64) {
        match tier {
            Tier::Elided => (MEMORY_RESERVATION_BYTES, MEMORY_GUARD_BYTES),
            // Nothing: it checks every address against the size.
            Tier::Dense => (0, 0),
        }
    }

    fn create(&self, size: usize, reservation: usize, guard: usize) -> Result<Linear, NoSlot> {
        let (reserved, guarded) = Self::layout(self.1);
        if reservation as u64 > reserved || guard as u64 > guarded {
            return Err(NoSlot::System(io::Error::other("the engine counts on more than slots have")));
        }
        Linear::new(&self.0, self.1, size, reservation, guard)
    }
}
