//! Where the memories, tables and stacks of processes come from.

use std::fmt;
use std::str::FromStr;

use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::engine::MEMORY_RESERVATION_BYTES;
use super::slab;

/// Tables in one slot of a pool. A component of a usual toolchain has two or three.
const SLOT_TABLES: u32 = 4;

/// Elements that a table in a pool may grow to: a program with more functions has not been seen.
const TABLE_ELEMENTS: usize = 1 << 20;

/// Memories and tables of one module: what a binary can have at most. When a module goes, the pool looks for slots of as many
/// memories as are said here.
const PER_MODULE_MAX: u32 = 100;

/// What of a memory or a table in a pool is cleared and kept for the next process, instead of given back to the system: asking
/// for the pages again costs more than all else of a short process.
const POOL_KEPT_BYTES: usize = 64 << 10;

/// Bytes of the engine's own bookkeeping for an instance. It is taken from the heap when it is needed, so this only has to be
/// more than any binary asks for.
const INSTANCE_BYTES_MAX: usize = 64 << 20;

/// Mappings that free slots of the slabs keep, at most.
pub(crate) const KEPT_MAPPINGS: u64 = slab::KEPT_MAPPINGS;

/// What an engine takes memories and stacks from, as far as it is known to those who count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Supply {
    pub(crate) allocator: Allocator,
    /// Mappings of a stack in the slabs.
    pub(crate) stack_mappings: u64,
}

impl Supply {
    /// Slots there are; `None` on demand.
    pub(crate) fn slots(self) -> Option<u64> {
        match self.allocator {
            Allocator::Slab => Some(slab::SHARES),
            Allocator::OnDemand => None,
            Allocator::Pool { .. } => self.allocator.slots().map(u64::from),
        }
    }

    /// What is told to who has run out of them.
    pub(crate) fn advice(self) -> &'static str {
        match self.allocator {
            Allocator::Pool { .. } => "a larger pool: `--allocator pool=SLOTS`, or RuntimeBuilder::allocator",
            _ => {
                "`max_processes` of the `process.host`, above 8192: memories lie closer together then, and there is room for a \
                 million"
            }
        }
    }
}

/// Where the memories, tables and stacks of processes come from.
///
/// ```
/// use wippy::Runtime;
/// use wippy::runtime::Allocator;
///
/// let builder = Runtime::builder().load("fixtures/apps/mission").allocator(Allocator::Pool { slots: 100 });
/// # builder.build()?;
/// assert_eq!("pool=100".parse(), Ok(Allocator::Pool { slots: 100 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allocator {
    /// Memories and stacks from slabs: address space that is taken when it is first needed and cut into slots, which processes
    /// leave to those that come after them. Beginning and ending map nothing. A slot in use holds what its guest has touched;
    /// a free one is kept with at most 256 KiB of a memory and 64 KiB of a stack, all of a size with at most 128 MiB, and all
    /// other pages go back to the system, those of many slots together.
    ///
    /// How memories lie is chosen for each entry and host. Usually each has all that 32 bits can reach, so that code needs no
    /// check: 16,384 of them at once. For a host whose `max_processes` is above 8,192 they lie side by side and code checks
    /// bounds, as long as `max_memory` is 1 GiB or less: 1,048,576 of them. Guests that do nothing but read and write memory
    /// are up to a third slower then. Memories of binaries of more than 512 KiB come from the system as with `OnDemand`.
    ///
    /// On a system without what that takes (a limited address space, no overcommitment, pages that are not 4 KiB), it is the
    /// same as `OnDemand`; `wippy doctor` says so.
    #[default]
    Slab,
    /// From the system when a process begins, and back to it when it ends. What is not in use costs nothing.
    OnDemand,
    /// From slots that are set aside when the runtime is built, for each kind of engine that the application needs: address
    /// space of 4 GiB a slot, and two memory mappings. A process takes a slot, or more when it has several memories or more
    /// than four tables; while there is none a spawn is refused as busy or waits. Beginning and ending cost less, above
    /// all in a crowd: nothing is mapped and unmapped, and who ends waits for no other's mappings.
    ///
    /// Memory that processes have touched goes back to the system when they end, except for their stacks and 64 KiB of each
    /// memory and of each table. A table in a pool
    /// grows to at most 1,048,576 elements and a memory to 4 GiB; beyond that growing fails, and a binary that begins with
    /// more is refused when it is loaded.
    Pool {
        /// How many there are, 1 to [`SLOTS_MAX`](Self::SLOTS_MAX); others count as the nearest of these.
        slots: u32,
    },
}

impl Allocator {
    /// The slots of a pool where nobody says how many: some 4 TiB of address space an engine.
    pub const SLOTS: u32 = 1024;

    /// The most slots of a pool. Linux gives a program 128 TiB and, unless it is told otherwise, 65,530 mappings.
    pub const SLOTS_MAX: u32 = 16_384;

    /// The slots of a pool; `None` for what is none.
    pub(super) fn slots(self) -> Option<u32> {
        match self {
            Self::Slab | Self::OnDemand => None,
            Self::Pool { slots } => Some(slots.clamp(1, Self::SLOTS_MAX)),
        }
    }

    /// What the engine is told. It checks nothing that a process may reach: whoever spawns asks for the slots before.
    pub(super) fn strategy(self) -> InstanceAllocationStrategy {
        let Some(slots) = self.slots() else { return InstanceAllocationStrategy::OnDemand };
        let mut pool = PoolingAllocationConfig::default();
        pool.total_stacks(slots)
            .total_memories(slots)
            .total_tables(slots * SLOT_TABLES)
            .total_core_instances(u32::MAX)
            .total_component_instances(u32::MAX)
            .max_core_instance_size(INSTANCE_BYTES_MAX)
            .max_component_instance_size(INSTANCE_BYTES_MAX)
            .max_memories_per_module(PER_MODULE_MAX)
            .max_tables_per_module(PER_MODULE_MAX)
            .max_memory_size(usize::try_from(MEMORY_RESERVATION_BYTES).unwrap_or(usize::MAX))
            .table_elements(TABLE_ELEMENTS)
            .linear_memory_keep_resident(POOL_KEPT_BYTES)
            .table_keep_resident(POOL_KEPT_BYTES)
            .pagemap_scan(Enabled::Auto)
            // A slot that was used has mappings, which no process accounts for any more: they are used again first, and only
            // as many have ever been used as there were processes at once.
            .max_unused_warm_slots(0);
        InstanceAllocationStrategy::Pooling(pool)
    }
}

/// How many slots a process takes that has so many memories and tables; its stack takes one, too.
pub(super) fn slots_for(memories: u64, tables: u64) -> u64 {
    memories.max(tables.div_ceil(SLOT_TABLES.into())).max(1)
}

/// The text is no [`Allocator`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `slab`, `on-demand`, `pool`, or `pool=SLOTS` with 1 to {} slots, found `{found}`",
    Allocator::SLOTS_MAX
)]
pub struct AllocatorError {
    found: String,
}

impl FromStr for Allocator {
    type Err = AllocatorError;

    fn from_str(text: &str) -> Result<Self, AllocatorError> {
        match text.split_once('=') {
            None if text == "slab" => Ok(Self::Slab),
            None if text == "on-demand" => Ok(Self::OnDemand),
            None if text == "pool" => Ok(Self::Pool { slots: Self::SLOTS }),
            Some(("pool", slots)) => slots
                .parse()
                .ok()
                .filter(|slots| (1..=Self::SLOTS_MAX).contains(slots))
                .map(|slots| Self::Pool { slots })
                .ok_or_else(|| AllocatorError { found: text.to_owned() }),
            _ => Err(AllocatorError { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slab => f.write_str("slab"),
            Self::OnDemand => f.write_str("on-demand"),
            Self::Pool { slots } => write!(f, "pool={slots}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["slab", "on-demand", "pool=1", "pool=16384"] {
            assert_eq!(text.parse::<Allocator>().map(|allocator| allocator.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("pool".parse(), Ok(Allocator::Pool { slots: Allocator::SLOTS }));
        for text in ["", "pool=0", "pool=16385", "pool=", "pool=many", "on-demand=5", "slab=5", "heap"] {
            let error = text.parse::<Allocator>().unwrap_err().to_string();
            assert!(error.contains("pool=SLOTS") && error.ends_with(&format!("found `{text}`")), "{error}");
        }
    }

    #[test]
    fn a_slot_has_a_memory_and_four_tables() {
        assert_eq!(
            [slots_for(0, 0), slots_for(1, 4), slots_for(1, 5), slots_for(3, 5), slots_for(2, 60)],
            [1, 1, 2, 3, 15]
        );
        let slots = [0, 5, u32::MAX].map(|slots| Allocator::Pool { slots }.slots());
        assert_eq!(slots, [Some(1), Some(5), Some(Allocator::SLOTS_MAX)]);
    }
}
