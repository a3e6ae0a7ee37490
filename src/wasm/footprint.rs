//! What a wasm process takes of the machine, known before it is made: no guest can add a memory to those of its binary.

use wasmparser::Parser;
use wasmtime::ResourcesRequired;

use super::allocator::{Allocator, Supply, slots_for};
use super::engine::{EngineClass, HOST_STACK_BYTES, Image, MEMORY_GUARD_BYTES, MEMORY_RESERVATION_BYTES};
use super::program::Target;
use super::slab::{ELIDED_SHARES, Slabs, Tier};
use crate::limits::Limits;
use crate::process::Footprint;
use crate::registry::Preempt;

/// Mappings of a fiber's stack: its guard page and itself.
const STACK_MAPPINGS: u64 = 2;

/// Mappings of a memory: the guard before it, what is accessible, and what is reserved behind that. Growing moves the
/// border between the last two and adds none.
const MEMORY_MAPPINGS: u64 = 3;

/// Mappings of a memory in a pool: what is accessible, and what is reserved behind that up to the next one. Those of stacks are
/// made with the pool, and tables are one mapping together.
const POOLED_MEMORY_MAPPINGS: u64 = 2;

/// Mappings of an elided memory of the slabs: what is accessible, and what is reserved behind that up to the next one.
const ELIDED_MEMORY_MAPPINGS: u64 = 2;

/// A mapped image splits what is accessible in three.
const IMAGE_MAPPINGS: u64 = 2;

/// Mappings of the allocator for the instance of a large binary: its table of functions may be larger than what the
/// allocator takes out of what it has.
const LARGE_INSTANCE_MAPPINGS: u64 = 1;

/// From this size on the allocator of the C library maps what it is asked for by itself.
const LARGE_ALLOCATION_BYTES: u64 = 128 << 10;

/// Memory of a process that has done nothing yet, with its share of page tables, in bytes. Measured with 12,275 components that
/// sleep: 34 KiB each, and 12 KiB of page tables.
const RESIDENT_BYTES: u64 = 48 << 10;

/// The same where memories are dense. Measured with 300,000 modules of one page that sleep: 19.3 KiB each, a page of which is
/// what the guest wrote, and 2.7 KiB of page tables; components take 0.6 KiB more.
const DENSE_RESIDENT_BYTES: u64 = 24 << 10;

/// Bytes of a page of a memory; a smaller one is possible and counts as much.
const PAGE_BYTES: u64 = 64 << 10;

/// Memories and tables of a component that does not say how many it has. It would import modules, and nobody provides any.
const UNKNOWN_COUNT: u64 = 64;

/// Bytes of one element of a table: a reference.
pub(super) const ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// What a table of this many elements takes of mappings.
pub(super) fn table_mappings(elements: u64) -> u64 {
    u64::from(elements.saturating_mul(ELEMENT_BYTES) >= LARGE_ALLOCATION_BYTES)
}

/// What the processes of a binary need, whatever the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// Bytes that its memories begin with, where they are copied.
    data: u64,
    memories: u64,
    /// Bytes of all memories at their beginning.
    initial: u64,
    tables: u64,
    /// Tables that are mapped by themselves from the beginning.
    large_tables: u64,
    supply: Supply,
}

impl Needs {
    pub(super) fn of(binary: &[u8], target: &Target, supply: Supply) -> Self {
        let resources = match target {
            Target::ComponentCommand { pre, .. } | Target::Component { pre, .. } => {
                pre.component().resources_required()
            }
            Target::CoreCommand { pre } | Target::Core { pre, .. } => Some(pre.module().resources_required()),
        };
        let resources = resources.as_ref();
        let memories = resources.map_or(UNKNOWN_COUNT, |resources| u64::from(resources.num_memories));
        let pages = resources.and_then(|resources| resources.max_initial_memory_size).unwrap_or(0);
        let large = |resources: &ResourcesRequired| {
            u64::from(resources.num_tables) * table_mappings(resources.max_initial_table_size.unwrap_or(0))
        };
        Self {
            data: data(binary),
            memories,
            initial: pages.saturating_mul(PAGE_BYTES).saturating_mul(memories),
            tables: resources.map_or(UNKNOWN_COUNT, |resources| u64::from(resources.num_tables)),
            large_tables: resources.map_or(0, large),
            supply,
        }
    }

    /// Those of a usual binary of this size: one memory with a page, and data is what it has.
    fn usual(binary: usize, supply: Supply) -> Self {
        Self { data: binary as u64, memories: 1, initial: PAGE_BYTES, tables: 1, large_tables: 0, supply }
    }

    pub(super) fn allocator(&self) -> Allocator {
        self.supply.allocator
    }

    /// Tables that may be large without a mapping of their own beside the footprint: in a pool all of them.
    pub(super) fn large_tables(&self) -> u64 {
        match self.supply.allocator {
            Allocator::Slab | Allocator::OnDemand => self.large_tables,
            Allocator::Pool { .. } => u64::MAX,
        }
    }

    /// The footprint of a process on an engine of this class.
    pub(super) fn footprint(&self, class: EngineClass) -> Footprint {
        let stack = (class.stack() + HOST_STACK_BYTES) as u64;
        let (image, instance, copied) = match class.image() {
            Image::Copied => (0, 0, self.data),
            Image::Mapped => (IMAGE_MAPPINGS, LARGE_INSTANCE_MAPPINGS, 0),
        };
        let memory = MEMORY_RESERVATION_BYTES + 2 * MEMORY_GUARD_BYTES;
        if self.supply.allocator == Allocator::Slab {
            return self.in_slabs(class, (image, instance, copied));
        }
        if let Allocator::Pool { .. } = self.supply.allocator {
            // The rest was taken when the pool was made, before the system was asked what there is.
            return Footprint {
                mappings: self.memories * (POOLED_MEMORY_MAPPINGS + image) + instance,
                address_space: 0,
                memory: RESIDENT_BYTES + copied,
                commitment: self.initial,
                slots: slots_for(self.memories, self.tables),
            };
        }
        Footprint {
            mappings: STACK_MAPPINGS + self.memories * (MEMORY_MAPPINGS + image) + instance + self.large_tables,
            // What begins larger than the reservation gets one of its own, with as much again to grow.
            address_space: stack.saturating_add(self.memories * memory).saturating_add(self.initial.saturating_mul(2)),
            memory: RESIDENT_BYTES + copied,
            commitment: stack.saturating_add(self.initial),
            slots: 0,
        }
    }

    /// That of a process whose stack is in the slabs, and its memories are, too, unless they are mapped.
    fn in_slabs(&self, class: EngineClass, (image, instance, copied): (u64, u64, u64)) -> Footprint {
        let each = self.initial.checked_div(self.memories).unwrap_or(0);
        let resident = if class.tier() == Tier::Dense { DENSE_RESIDENT_BYTES } else { RESIDENT_BYTES };
        let (mappings, address_space, shares) = match (class.image(), class.tier()) {
            (Image::Mapped, _) => {
                let bytes = MEMORY_RESERVATION_BYTES + 2 * MEMORY_GUARD_BYTES;
                (MEMORY_MAPPINGS + image, bytes.max(each.saturating_mul(2)), 0)
            }
            (Image::Copied, tier @ Tier::Elided) => {
                (ELIDED_MEMORY_MAPPINGS, Slabs::memory_bytes(tier, each), ELIDED_SHARES)
            }
            (Image::Copied, tier @ Tier::Dense) => (0, Slabs::memory_bytes(tier, each), 1),
        };
        Footprint {
            mappings: self.supply.stack_mappings + self.memories * mappings + instance + self.large_tables,
            address_space: Slabs::stack_bytes(class.stack())
                .saturating_add(self.memories.saturating_mul(address_space)),
            memory: resident + copied,
            commitment: self.initial,
            // Its stack takes one, too.
            slots: (self.memories * shares).max(1),
        }
    }
}

/// Bytes that the modules in a binary have for their memories.
fn data(binary: &[u8]) -> u64 {
    let sections = Parser::new(0).parse_all(binary).map_while(Result::ok);
    let sizes = sections.filter_map(|payload| match payload {
        wasmparser::Payload::DataSection(section) => Some(section.range().len() as u64),
        _ => None,
    });
    sizes.sum()
}

/// What one process takes whose entry names no limits, of a usual binary of so many bytes.
pub(crate) fn usual(binary: usize, supply: Supply) -> Footprint {
    let class = EngineClass::of(binary, &Limits::default(), Preempt::Epoch, supply.allocator);
    Needs::usual(binary, supply).footprint(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(needs: Needs) -> Footprint {
        let binary = usize::try_from(needs.data).expect("a size");
        needs.footprint(EngineClass::of(binary, &Limits::default(), Preempt::Epoch, needs.supply.allocator))
    }

    fn supply(allocator: Allocator) -> Supply {
        Supply { allocator, stack_mappings: 0 }
    }

    #[test]
    fn a_process_takes_what_its_binary_has() {
        let on_demand = supply(Allocator::OnDemand);
        let small = usual(100 << 10, on_demand);
        assert_eq!((small.mappings, usual(1 << 20, on_demand).mappings), (5, 8));
        assert_eq!(small.memory, (48 << 10) + (100 << 10));
        assert_eq!(small.commitment, (1 << 20) + (256 << 10) + (64 << 10));
        assert!((4 << 30..5 << 30).contains(&small.address_space));
        let none = Needs { memories: 0, initial: 0, ..Needs::usual(100, on_demand) };
        assert_eq!((footprint(none).mappings, footprint(none).address_space), (2, (1 << 20) + (256 << 10)));
        let many = Needs { memories: 3, large_tables: 2, ..Needs::usual(100, on_demand) };
        assert_eq!(footprint(many).mappings, 2 + 9 + 2);
        let huge = Needs { initial: 6 << 30, ..Needs::usual(100, on_demand) };
        assert!(footprint(huge).address_space > 12 << 30);
    }

    #[test]
    fn in_a_pool_a_process_takes_slots_and_the_mappings_of_its_memories() {
        let pool = supply(Allocator::Pool { slots: 5 });
        let (small, large) = (usual(100 << 10, pool), usual(1 << 20, pool));
        assert_eq!((small.mappings, small.address_space, small.slots), (2, 0, 1));
        assert_eq!((large.mappings, large.slots, large.memory), (5, 1, 48 << 10));
        assert_eq!(small.commitment, 64 << 10, "its stack is a part of the pool");
        let many = Needs { memories: 3, tables: 17, large_tables: 2, ..Needs::usual(100, pool) };
        assert_eq!((footprint(many).mappings, footprint(many).slots, many.large_tables()), (6, 5, u64::MAX));
    }

    #[test]
    fn in_slabs_a_process_takes_shares_and_hardly_a_mapping() {
        let slabs = supply(Allocator::Slab);
        let (small, large) = (usual(100 << 10, slabs), usual(1 << 20, slabs));
        assert_eq!((small.mappings, small.slots), (2, 64));
        assert_eq!((large.mappings, large.slots), (6, 1), "its memory is mapped");
        assert!((4 << 30..5 << 30).contains(&small.address_space) && (4 << 30..5 << 30).contains(&large.address_space));
        let crowded = Limits { crowd: Some(100_000), ..Limits::default() };
        let dense = |needs: Needs| needs.footprint(EngineClass::of(100, &crowded, Preempt::Epoch, Allocator::Slab));
        let one = dense(Needs::usual(100, slabs));
        assert_eq!((one.mappings, one.slots, one.memory), (0, 1, (24 << 10) + 100));
        assert!(one.address_space < 2 << 20, "{one:?}");
        assert_eq!(dense(Needs { memories: 3, large_tables: 2, ..Needs::usual(100, slabs) }).slots, 3);
        assert_eq!(dense(Needs { memories: 0, initial: 0, ..Needs::usual(100, slabs) }).slots, 1);
        let guarded = Supply { stack_mappings: 2, ..slabs };
        assert_eq!((usual(100, guarded).mappings, dense(Needs::usual(100, guarded)).mappings), (4, 2));
    }

    #[test]
    fn data_is_what_modules_have_of_it_wherever_they_are() {
        let module = wat::parse_str(r#"(module (memory 1) (func) (data (i32.const 8) "0123456789"))"#).expect("sound");
        let within = wat::parse_str(
            r#"(component (core module (memory 1) (data (i32.const 8) "0123456789"))
                (component (core module (memory 1) (data (i32.const 8) "0123456789"))))"#,
        )
        .expect("sound");
        // Beside the text: how many there are, what kind of data, where, how long.
        let each = 10 + 6;
        assert_eq!([data(&module), data(&within), data(b"no binary")], [each, 2 * each, 0]);
    }

    #[test]
    fn a_table_is_mapped_by_itself_when_it_is_large() {
        assert_eq!([0, 16_383, 16_384, u64::MAX].map(table_mappings), [0, 0, 1, 1]);
    }
}
