//! The process table of a host, and the door to it: who lives, who waits for a first step, and who waits outside.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::cell::ProcessCell;
use crate::reactor::assert_may_block;

/// Shards of a process table: enough that workers on a few dozen cores rarely meet in one.
const TABLE_SHARDS: usize = 32;

/// How many processes a host takes. Wake-ups are never refused, only spawns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Processes that live at once.
    pub(crate) processes: usize,
    /// Processes that wait for their first step.
    pub(crate) queued: usize,
}

impl Bounds {
    pub(crate) const NONE: Self = Self { processes: usize::MAX, queued: usize::MAX };
}

/// The bound at which a spawn was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) bound: &'static str,
    pub(super) allowed: usize,
}

/// The living processes of one host.
pub(super) struct Table {
    shards: Vec<Mutex<HashMap<u64, Arc<ProcessCell>>>>,
    /// Nobody is taken any more; read under the lock of a shard.
    closed: AtomicBool,
    bounds: Bounds,
    live: AtomicUsize,
    queued: AtomicUsize,
    /// How many threads wait for room or for an empty table; changes are told only while somebody does.
    waiting: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

/// Room for one living process; dropping it makes room for another.
pub(super) struct Admission(Arc<Table>);

/// A place in the line before the first step; dropping it lets the next one in.
pub(super) struct Place(Arc<Table>);

impl Drop for Admission {
    fn drop(&mut self) {
        // SeqCst, as in `tell`: who waits sees the change, or is seen.
        self.0.live.fetch_sub(1, Ordering::SeqCst);
        self.0.tell();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::SeqCst);
        // Whoever waits for the end of a full line only.
        if self.0.bounds.queued != usize::MAX {
            self.0.tell();
        }
    }
}

/// Adds one unless that would be more than `allowed`.
fn add_within(count: &AtomicUsize, allowed: usize) -> bool {
    let add = |count: usize| (count < allowed).then_some(count + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::Relaxed, add).is_ok()
}

impl Table {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            shards: (0..TABLE_SHARDS).map(|_| Mutex::default()).collect(),
            closed: AtomicBool::new(false),
            bounds,
            live: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            lock: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    fn shard(&self, unique: u64) -> &Mutex<HashMap<u64, Arc<ProcessCell>>> {
        &self.shards[usize::try_from(unique % TABLE_SHARDS as u64).unwrap_or(0)]
    }

    /// Room for one more process.
    pub(super) fn admit(self: &Arc<Self>) -> Result<(Admission, Place), Full> {
        if !add_within(&self.live, self.bounds.processes) {
            return Err(Full { bound: "max_processes", allowed: self.bounds.processes });
        }
        let admission = Admission(Arc::clone(self));
        if !add_within(&self.queued, self.bounds.queued) {
            return Err(Full { bound: "max_queued", allowed: self.bounds.queued });
        }
        Ok((admission, Place(Arc::clone(self))))
    }

    /// [`Table::admit`], waiting for room until the deadline or until the table is closed. Never on a worker: it would
    /// wait for itself.
    pub(super) fn admit_until(self: &Arc<Self>, deadline: Instant) -> Result<(Admission, Place), Full> {
        let mut admitted = self.admit();
        self.wait_until(Some(deadline), || {
            if admitted.is_err() {
                admitted = self.admit();
            }
            admitted.is_ok() || self.closed.load(Ordering::Relaxed)
        });
        admitted
    }

    /// False when the table is closed.
    #[must_use]
    pub(super) fn insert(&self, cell: Arc<ProcessCell>) -> bool {
        let mut shard = self.shard(cell.pid.unique()).lock();
        // Relaxed: the lock orders it with `close`.
        if self.closed.load(Ordering::Relaxed) {
            return false;
        }
        shard.insert(cell.pid.unique(), cell);
        true
    }

    /// Takes nobody from now on: when this returns, [`Table::all`] knows everybody there will ever be. Else a process
    /// that is spawned during a shutdown would be told by nobody to end.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            // An insertion under way is over after this, and a later one sees the flag.
            drop(shard.lock());
        }
        self.tell();
    }

    pub(super) fn remove(&self, unique: u64) {
        let removed = self.shard(unique).lock().remove(&unique);
        drop(removed);
    }

    pub(super) fn get(&self, unique: u64) -> Option<Arc<ProcessCell>> {
        self.shard(unique).lock().get(&unique).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> Vec<Arc<ProcessCell>> {
        self.shards.iter().flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Waits until no process is left or the deadline, if there is one, has passed; true when none is left.
    pub(super) fn wait_empty(&self, deadline: Option<Instant>) -> bool {
        self.wait_until(deadline, || self.live.load(Ordering::SeqCst) == 0)
    }

    /// Something that somebody may wait for has changed.
    fn tell(&self) {
        // SeqCst, with the addition in `wait_until`: either this sees who waits, or who waits sees the change.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let _guard = self.lock.lock();
            self.changed.notify_all();
        }
    }

    /// Waits until `holds`; false when the deadline passed before.
    fn wait_until(&self, deadline: Option<Instant>, mut holds: impl FnMut() -> bool) -> bool {
        if holds() {
            return true;
        }
        assert_may_block();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let held = {
            let mut guard = self.lock.lock();
            loop {
                if holds() {
                    break true;
                }
                match deadline {
                    None => self.changed.wait(&mut guard),
                    Some(deadline) => {
                        if self.changed.wait_until(&mut guard, deadline).timed_out() {
                            break holds();
                        }
                    }
                }
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        held
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn table(processes: usize, queued: usize) -> Arc<Table> {
        Arc::new(Table::new(Bounds { processes, queued }))
    }

    #[test]
    fn a_bound_refuses_by_its_name_and_takes_nothing() {
        let table = table(3, 2);
        let (first, place) = table.admit().unwrap_or_else(|_| panic!("room"));
        let second = table.admit();
        assert!(matches!(table.admit(), Err(Full { bound: "max_queued", allowed: 2 })));
        assert_eq!(table.len(), 2, "a refusal gives back what it took");
        drop(place);
        let third = table.admit();
        assert!(second.is_ok() && third.is_ok());
        assert!(matches!(table.admit(), Err(Full { bound: "max_processes", allowed: 3 })));
        drop((first, second, third));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn who_waits_outside_comes_in_when_somebody_leaves() {
        let table = table(1, usize::MAX);
        let (admission, place) = table.admit().unwrap_or_else(|_| panic!("room"));
        let waiting = std::thread::spawn({
            let table = Arc::clone(&table);
            move || table.admit_until(Instant::now() + Duration::from_secs(60)).is_ok()
        });
        while table.waiting.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        drop((admission, place));
        assert!(waiting.join().expect("no panic"));
    }

    #[test]
    fn who_waits_outside_is_told_that_nobody_is_taken_any_more() {
        let table = table(0, usize::MAX);
        let waiting = std::thread::spawn({
            let table = Arc::clone(&table);
            move || table.admit_until(Instant::now() + Duration::from_secs(60)).is_err()
        });
        while table.waiting.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        table.close();
        assert!(waiting.join().expect("no panic"));
        assert!(matches!(table.admit_until(Instant::now()), Err(Full { .. })), "a deadline that has passed");
    }
}
