//! Engines: as ours are, as someone would tune theirs for many short guests, and as they come.

use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};
use wippy::registry::Preempt;
use wippy::runtime::{Allocator, TICK};
use wippy::wasm::EngineOptions;

/// Guests in flight for each worker of a side that bounds them: what `Runtime::map` takes by itself.
pub(crate) const WINDOW: usize = 64;

/// Slots of a pool: all guests in flight, and some to spare.
const SLOTS: u32 = 4 * WINDOW as u32;

/// What there is instead of slabs.
pub(crate) const POOL: Allocator = Allocator::Pool { slots: SLOTS };

/// What of a memory or table is cleared and kept when a slot is used again, instead of given back to the system.
const KEPT_BYTES: usize = 64 << 10;

/// The allocator of our side: what `WIPPY_BENCH_ALLOCATOR` asks for, or what a runtime has by itself.
pub(crate) fn allocator() -> Allocator {
    let Ok(text) = std::env::var("WIPPY_BENCH_ALLOCATOR") else { return Allocator::default() };
    text.parse().unwrap_or_else(|error| panic!("WIPPY_BENCH_ALLOCATOR: {error}"))
}

/// How an engine is made.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// Whether guests look at the epoch.
    pub(crate) has_epochs: bool,
    /// The period of the epochs.
    pub(crate) tick: Duration,
}

impl Settings {
    /// Those of our engine for a binary of this size, with an allocator of its own.
    pub(crate) fn ours(allocator: Allocator, binary: usize, preempt: Preempt) -> Settings {
        let mut options = EngineOptions::default();
        options.allocator = allocator;
        Settings { config: options.config(binary, preempt), has_epochs: preempt == Preempt::Epoch, tick: TICK }
    }

    /// Code as ours, over wasmtime's pool with what makes it cheap: slots stay as they are for the next guest, and of a
    /// memory little is given back.
    pub(crate) fn tuned(binary: usize, preempt: Preempt) -> Settings {
        let mut settings = Settings::ours(Allocator::OnDemand, binary, preempt);
        let mut pool = PoolingAllocationConfig::default();
        pool.total_stacks(SLOTS)
            .total_memories(SLOTS)
            .total_tables(4 * SLOTS)
            .total_core_instances(4 * SLOTS)
            .total_component_instances(SLOTS)
            .max_unused_warm_slots(SLOTS)
            .linear_memory_keep_resident(KEPT_BYTES)
            .table_keep_resident(KEPT_BYTES)
            .pagemap_scan(Enabled::Auto);
        settings.config.memory_init_cow(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        settings
    }

    /// As they come.
    pub(crate) fn defaults() -> Settings {
        Settings { config: Config::new(), has_epochs: false, tick: TICK }
    }
}
