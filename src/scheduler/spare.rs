//! Cells of tasks that are complete, for those that are spawned next.

use parking_lot::Mutex;

use super::task::Job;

/// So many cells go to or from the common stock at once. A worker keeps at most twice as many for itself.
pub(super) const SPARE_CELLS_BATCH: usize = 64;

/// The common stock has at most so many, of less than two hundred bytes each; what is more is freed.
const SPARE_CELLS_MAX: usize = 8192;

/// The common stock: what workers that end more tasks than they spawn leave to the others and to threads that are no workers.
#[derive(Default)]
pub(super) struct SpareCells(Mutex<Vec<Job>>);

impl SpareCells {
    /// One, for a thread that keeps none.
    pub(super) fn one(&self) -> Option<Job> {
        self.0.lock().pop()
    }

    /// Moves a batch into `own`, or what there is.
    pub(super) fn some(&self, own: &mut Vec<Job>) {
        let mut cells = self.0.lock();
        let rest = cells.len().saturating_sub(SPARE_CELLS_BATCH);
        own.extend(cells.drain(rest..));
    }

    /// Takes a batch out of `own`, which has at least one.
    pub(super) fn keep(&self, own: &mut Vec<Job>) {
        let batch = own.drain(own.len() - SPARE_CELLS_BATCH..);
        let mut cells = self.0.lock();
        if cells.len() < SPARE_CELLS_MAX {
            cells.extend(batch);
        } else {
            drop(cells);
            drop(batch);
        }
    }

    /// Frees all.
    pub(super) fn clear(&self) {
        let cells = std::mem::take(&mut *self.0.lock());
        drop(cells);
    }
}
