//! Calls that wait for a slot: as many as may wait, and outside of that those who can wait for that, too. First come, first
//! served, and whoever gives up leaves a place to the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::call::CallCell;

/// Calls that wait outside of a full queue, of one function: those who made them hold each of them, so this is a bound for
/// programs that make calls without end and wait for none.
pub const OUTSIDE_MAX: usize = 1 << 16;

/// The calls that wait for a slot of one function.
#[derive(Default)]
pub(super) struct Queue {
    /// Admitted: they are done, whatever comes. By number, which is their order.
    admitted: BTreeMap<u64, Arc<CallCell>>,
    outside: BTreeMap<u64, Arc<CallCell>>,
}

/// There is no room.
pub(super) struct Full {
    pub(super) bound: &'static str,
    pub(super) allowed: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.admitted.len()
    }

    pub(super) fn outside(&self) -> usize {
        self.outside.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.admitted.is_empty()
    }

    /// Takes a call in, or lets it wait outside if it can.
    pub(super) fn push(&mut self, call: &Arc<CallCell>, queued_max: usize, waits: bool) -> Result<(), Full> {
        let line = match self.admitted.len() < queued_max {
            true => &mut self.admitted,
            false if !waits => return Err(Full { bound: "pool.buffer", allowed: queued_max }),
            false if self.outside.len() >= OUTSIDE_MAX => {
                return Err(Full { bound: "calls outside of the queue", allowed: OUTSIDE_MAX });
            }
            false => &mut self.outside,
        };
        line.insert(call.number(), Arc::clone(call));
        Ok(())
    }

    /// The call whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Arc<CallCell>> {
        let (_, call) = self.admitted.pop_first()?;
        self.fill();
        Some(call)
    }

    /// Takes out a call that is not waited for any more; false when it is not in here.
    #[must_use]
    pub(super) fn remove(&mut self, number: u64) -> bool {
        if self.admitted.remove(&number).is_some() {
            self.fill();
            return true;
        }
        self.outside.remove(&number).is_some()
    }

    /// One place has become free.
    fn fill(&mut self) {
        if let Some((number, call)) = self.outside.pop_first() {
            self.admitted.insert(number, call);
        }
    }

    /// Takes out those who are not admitted.
    pub(super) fn take_outside(&mut self) -> Vec<Arc<CallCell>> {
        std::mem::take(&mut self.outside).into_values().collect()
    }

    /// Takes out everybody.
    pub(super) fn take_all(&mut self) -> Vec<Arc<CallCell>> {
        let mut all: Vec<_> = std::mem::take(&mut self.admitted).into_values().collect();
        all.extend(self.take_outside());
        all
    }
}
