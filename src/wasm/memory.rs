//! What a guest's memories and tables take, against what its process may hold.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::footprint::{ELEMENT_BYTES, table_mappings};
use crate::limits::{LimitExceeded, Usage};
use crate::process::{Ceiling, Share};

/// Asked by the engine before anything grows. Goes with the store, and gives back what the guest held.
pub(super) struct Memory {
    usage: Arc<Usage>,
    /// What the guest's memories and tables take together: they never shrink.
    held: u64,
    /// What the last growth took; the engine may still fail to carry it out.
    granted: u64,
    /// The refusal after which no growth was granted.
    refused: Option<Box<LimitExceeded>>,
    ceiling: Ceiling,
    /// Tables that may still begin large: their mappings are in the footprint of the process.
    large_tables: u64,
    /// Mappings of tables that grew large, beside the footprint.
    mappings: Vec<Share>,
    /// Other guests were in the store before, and the engine counts their instances and tables as well.
    is_one_of_many: bool,
}

impl Memory {
    /// For a process whose footprint has the mappings of this many large tables.
    pub(super) fn new(usage: Arc<Usage>, ceiling: Ceiling, large_tables: u64) -> Self {
        Self {
            usage,
            held: 0,
            granted: 0,
            refused: None,
            ceiling,
            large_tables,
            mappings: Vec::new(),
            is_one_of_many: false,
        }
    }

    pub(super) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    pub(super) fn ceiling(&self) -> &Ceiling {
        &self.ceiling
    }

    /// What the guest's memories and tables take together, in bytes.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Others were in the store before, which had as many instances and tables and were allowed as many.
    pub(super) fn is_one_of_many(&mut self) {
        self.is_one_of_many = true;
    }

    /// A limit as the engine takes it: a number of things in one store.
    fn count(&self, limit: Option<u64>) -> usize {
        let limit = limit.filter(|_| !self.is_one_of_many);
        limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
    }

    /// The guest goes on as another process.
    pub(super) fn pass_on(&mut self, usage: Arc<Usage>) {
        self.usage = usage;
        self.refused = None;
    }

    /// The last growth, when it was refused for the sake of a limit.
    pub(super) fn refused(&mut self) -> Option<LimitExceeded> {
        self.refused.take().map(|refused| *refused)
    }

    fn grow(&mut self, bytes: u64) -> bool {
        self.granted = 0;
        match self.usage.take_memory(bytes) {
            Ok(()) => {
                self.granted = bytes;
                self.held += bytes;
                self.refused = None;
                true
            }
            Err(limit) => {
                self.refused = Some(Box::new(limit));
                false
            }
        }
    }

    /// A mapping for a table that becomes large; false when the machine has none left.
    fn map_table(&mut self) -> bool {
        if self.large_tables > 0 {
            self.large_tables -= 1;
            return true;
        }
        self.ceiling.map().map(|mapping| self.mappings.push(mapping)).is_some()
    }

    /// The engine could not do what was granted, or refused it before it asked here.
    fn take_back(&mut self) {
        let granted = std::mem::take(&mut self.granted);
        self.held -= granted;
        self.usage.give_memory(granted);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.usage.give_memory(self.held);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Beyond what the module itself allows: the engine refuses, and no limit of ours is to blame.
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.granted = 0;
            return Ok(true);
        }
        Ok(self.grow((desired - current) as u64))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.granted = 0;
            return Ok(true);
        }
        if !self.grow((desired - current) as u64 * ELEMENT_BYTES) {
            return Ok(false);
        }
        let grows_large = table_mappings(desired as u64) > table_mappings(current as u64);
        if grows_large && !self.map_table() {
            // No limit of the process: the machine is full.
            self.take_back();
            return Ok(false);
        }
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.count(self.usage.limits().max_instances)
    }

    fn tables(&self) -> usize {
        self.count(self.usage.limits().max_tables)
    }

    fn memories(&self) -> usize {
        // Bounded by `max_memory` and by the number of instances.
        usize::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::process::{Bound, Resource};

    fn memory(max_memory: u64) -> Memory {
        let limits = Limits { max_memory: Some(max_memory), ..Limits::default() };
        let mappings = Bound::new(Resource::Mappings, 1, 0, 0, "");
        Memory::new(Arc::new(Usage::new(limits, 0)), Ceiling::new(vec![mappings]), 1)
    }

    #[test]
    fn a_table_that_grows_large_takes_a_mapping_of_the_machine() {
        let mut memory = memory(1 << 30);
        let mut large = |current| memory.table_growing(current, 20_000, None).unwrap();
        assert!(large(0), "in the footprint");
        assert!(large(10), "the last there is");
        assert!(large(16_384), "it is large already");
        assert!(!large(0));
        let used = memory.usage.memory();
        assert!(memory.table_growing(0, 10, None).unwrap(), "a small one needs none");
        assert_eq!((memory.usage.memory() - used, memory.refused()), (80, None), "a refusal takes nothing");
        let ceiling = memory.ceiling.clone();
        assert!(ceiling.map().is_none());
        drop(memory);
        assert!(ceiling.map().is_some());
    }

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut memory = memory(100);
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(memory.table_growing(0, 5, None).unwrap());
        assert_eq!(memory.usage.memory(), 100);
        assert!(!memory.memory_growing(60, 61, None).unwrap());
        assert!(!memory.table_growing(5, 6, None).unwrap());
        assert_eq!(memory.usage.memory(), 100);
    }

    #[test]
    fn a_growth_that_failed_took_nothing() {
        let mut memory = memory(100);
        assert!(memory.memory_growing(0, 60, None).unwrap());
        memory.memory_grow_failed(wasmtime::Error::msg("the system refused")).unwrap();
        // The engine also says so without having asked.
        memory.memory_grow_failed(wasmtime::Error::msg("too large for a memory")).unwrap();
        assert_eq!(memory.usage.memory(), 0);
        assert!(memory.table_growing(0, 12, None).unwrap());
        memory.table_grow_failed(wasmtime::Error::msg("the system refused")).unwrap();
        assert_eq!((memory.usage.memory(), memory.usage.memory_peak()), (0, 96));
    }

    #[test]
    fn what_a_guest_held_is_given_back_with_its_store() {
        let mut memory = memory(100);
        assert!(memory.memory_growing(0, 60, None).unwrap() && memory.memory_growing(60, 70, None).unwrap());
        memory.memory_grow_failed(wasmtime::Error::msg("the system refused")).unwrap();
        let usage = Arc::clone(&memory.usage);
        assert_eq!(usage.memory(), 60);
        drop(memory);
        assert_eq!((usage.memory(), usage.memory_peak()), (0, 70));
    }

    #[test]
    fn a_refusal_is_remembered_until_something_grows() {
        let mut memory = memory(100);
        assert!(!memory.memory_growing(0, 101, None).unwrap());
        assert_eq!(memory.refused().expect("a refusal").used, "101 bytes");
        assert!(!memory.memory_growing(0, 101, None).unwrap());
        assert!(memory.memory_growing(0, 100, None).unwrap());
        assert_eq!(memory.refused(), None);
    }

    #[test]
    fn the_modules_own_maximum_is_no_limit_of_the_process() {
        let mut memory = memory(100);
        assert!(memory.memory_growing(0, 200, Some(150)).unwrap(), "the engine refuses it");
        memory.memory_grow_failed(wasmtime::Error::msg("beyond the maximum")).unwrap();
        assert_eq!((memory.refused(), memory.usage.memory()), (None, 0));
    }
}
