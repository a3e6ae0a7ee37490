//! The process table of a host, and the door to it: who lives, who waits for a first step, and who waits outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::ceiling::{Amounts, Ceiling, Footprint, Reached, Stock};
use super::cell::ProcessCell;
use crate::sync::CachePadded;

/// Shards of a process table: enough that workers on a few dozen cores rarely meet in one.
const TABLE_SHARDS: usize = 32;

/// So many processes in a row are in one shard: whoever starts many has it to itself for a while.
const IN_A_ROW: u64 = 16;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// One that the host declares.
    Host { bound: &'static str, allowed: usize },
    /// The ceiling of all hosts.
    Runtime(Reached),
}

impl From<Reached> for Full {
    fn from(reached: Reached) -> Self {
        Self::Runtime(reached)
    }
}

impl Full {
    /// Whether there can't be room, however long somebody waits.
    fn is_hopeless(&self) -> bool {
        matches!(self, Self::Runtime(Reached { allowed: 0, .. }))
    }
}

/// Processes by their number. Nobody but us gives the numbers, so any hash will do.
type Shard = Mutex<FxHashMap<u64, Arc<ProcessCell>>>;

/// The living processes of one host.
pub(super) struct Table {
    shards: Vec<Shard>,
    /// Nobody is taken any more; read under the lock of a shard.
    closed: AtomicBool,
    bounds: Bounds,
    /// Those who came and those who went, at each desk.
    counts: Box<[CachePadded<Counts>]>,
    queued: AtomicUsize,
    /// Shared with the other hosts; its bell is rung for changes here, too.
    ceiling: Ceiling,
}

#[derive(Default)]
struct Counts {
    entered: AtomicUsize,
    left: AtomicUsize,
}

/// Where processes come and go: each worker has one.
pub(super) struct Desk {
    counts: usize,
    stock: Arc<Stock>,
}

/// Room for one living process, and until it leaves the line a place in front of its first step. It is to be given back.
#[must_use]
#[derive(Debug)]
pub(super) struct Place {
    /// What it takes of the ceiling.
    amounts: Amounts,
    is_in_line: bool,
}

impl Table {
    pub(super) fn new(bounds: Bounds, ceiling: Ceiling) -> Self {
        Self {
            shards: (0..TABLE_SHARDS).map(|_| Mutex::default()).collect(),
            closed: AtomicBool::new(false),
            bounds,
            counts: (0..TABLE_SHARDS).map(|_| CachePadded::default()).collect(),
            queued: AtomicUsize::new(0),
            ceiling,
        }
    }

    fn shard(&self, unique: u64) -> &Shard {
        &self.shards[usize::try_from(unique / IN_A_ROW % TABLE_SHARDS as u64).unwrap_or(0)]
    }

    /// A desk, for the worker with this number.
    pub(super) fn desk(&self, worker: usize) -> Desk {
        Desk { counts: worker % self.counts.len(), stock: self.ceiling.stock() }
    }

    /// Room for one more process that takes this much.
    pub(super) fn admit(&self, desk: &Desk, footprint: &Footprint) -> Result<Place, Full> {
        let Bounds { processes, queued } = self.bounds;
        let counts = &self.counts[desk.counts];
        let enter = || {
            // Relaxed: who counts has a lock, or looks again.
            counts.entered.fetch_add(1, Ordering::Relaxed);
            self.enter_line();
        };
        if self.bounds == Bounds::NONE
            && let Some(amounts) = Ceiling::take_from(&desk.stock, footprint)
        {
            enter();
            return Ok(Place { amounts, is_in_line: true });
        }
        // Both counts of a host with bounds only grow in here, under the ceiling's lock.
        let check = || {
            if processes < usize::MAX && self.len() >= processes {
                return Err(Full::Host { bound: "max_processes", allowed: processes });
            }
            if self.queued.load(Ordering::SeqCst) >= queued {
                return Err(Full::Host { bound: "max_queued", allowed: queued });
            }
            Ok(())
        };
        let stock = (self.bounds == Bounds::NONE).then_some(&*desk.stock);
        let amounts = self.ceiling.admit(footprint, stock, check, enter)?;
        Ok(Place { amounts, is_in_line: true })
    }

    /// One more in the line; without a bound nobody asks how many there are.
    fn enter_line(&self) {
        if self.bounds.queued != usize::MAX {
            self.queued.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A place in the line for somebody who was admitted before. It is counted and not refused: room in the line is the
    /// smaller thing.
    pub(super) fn line_up(&self, place: &mut Place) {
        if !std::mem::replace(&mut place.is_in_line, true) {
            self.enter_line();
        }
    }

    /// The first step begins: lets the next one in. Again without effect.
    pub(super) fn leave_line(&self, place: &mut Place) {
        if !std::mem::replace(&mut place.is_in_line, false) || self.bounds.queued == usize::MAX {
            return;
        }
        // SeqCst, for the bell: who waits sees the change, or is seen.
        self.queued.fetch_sub(1, Ordering::SeqCst);
        self.ceiling.bell().ring();
    }

    /// The process is gone, perhaps at another desk than that at which it came.
    pub(super) fn give_back(&self, desk: &Desk, mut place: Place) {
        self.leave_line(&mut place);
        // SeqCst, for the bell that is rung next: who waits sees the change, or is seen.
        self.counts[desk.counts].left.fetch_add(1, Ordering::SeqCst);
        self.ceiling.put_back(&desk.stock, &place.amounts);
    }

    /// [`Table::admit`], waiting for room until the deadline or until the table is closed. Never on a worker: it would
    /// wait for itself.
    pub(super) fn admit_until(&self, desk: &Desk, footprint: &Footprint, deadline: Instant) -> Result<Place, Full> {
        let mut admitted = self.admit(desk, footprint);
        self.ceiling.bell().wait_until(Some(deadline), || {
            if admitted.is_err() {
                admitted = self.admit(desk, footprint);
            }
            let goes_on = admitted.as_ref().err().is_some_and(|full| !full.is_hopeless());
            !goes_on || self.closed.load(Ordering::Relaxed)
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
        self.ceiling.bell().ring();
    }

    /// Whether nobody is taken any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn remove(&self, unique: u64) {
        let removed = self.shard(unique).lock().remove(&unique);
        drop(removed);
    }

    pub(super) fn get(&self, unique: u64) -> Option<Arc<ProcessCell>> {
        self.shard(unique).lock().get(&unique).cloned()
    }

    /// How many live, and never fewer.
    pub(super) fn len(&self) -> usize {
        // Those who went first: who has come meanwhile is counted, and nobody is whose coming is not.
        let left: usize = self.counts.iter().map(|counts| counts.left.load(Ordering::SeqCst)).sum();
        let entered: usize = self.counts.iter().map(|counts| counts.entered.load(Ordering::SeqCst)).sum();
        entered.saturating_sub(left)
    }

    /// All of them, in the order in which they came: who waits for another one is before that one.
    pub(super) fn all(&self) -> Vec<Arc<ProcessCell>> {
        let living = |shard: &Shard| shard.lock().values().cloned().collect::<Vec<_>>();
        let mut all: Vec<_> = self.shards.iter().flat_map(living).collect();
        all.sort_unstable_by_key(|cell| cell.pid.unique());
        all
    }

    /// Waits until no process is left or the deadline, if there is one, has passed; true when none is left.
    pub(super) fn wait_empty(&self, deadline: Option<Instant>) -> bool {
        self.ceiling.bell().wait_until(deadline, || self.len() == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::ceiling::{Bound, Resource};
    use super::*;

    fn table(processes: usize, queued: usize) -> Arc<Table> {
        Arc::new(Table::new(Bounds { processes, queued }, Ceiling::new(Vec::new())))
    }

    /// Somebody who was admitted, until it is dropped.
    struct Inside(Arc<Table>, Desk, Option<Place>);

    impl Inside {
        fn leave_line(&mut self) {
            self.0.leave_line(self.2.as_mut().expect("it is inside"));
        }
    }

    impl Drop for Inside {
        fn drop(&mut self) {
            self.0.give_back(&self.1, self.2.take().expect("it is inside"));
        }
    }

    fn admit(table: &Arc<Table>) -> Result<Inside, Full> {
        let desk = table.desk(0);
        let place = table.admit(&desk, &Footprint::default())?;
        Ok(Inside(Arc::clone(table), desk, Some(place)))
    }

    fn admit_in_time(table: &Arc<Table>) -> Result<Inside, Full> {
        let desk = table.desk(1);
        let place = table.admit_until(&desk, &Footprint::default(), Instant::now() + Duration::from_secs(60))?;
        Ok(Inside(Arc::clone(table), desk, Some(place)))
    }

    fn await_waiting(table: &Table, threads: usize) {
        while table.ceiling.bell().waiting() < threads {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_bound_refuses_by_its_name_and_takes_nothing() {
        let table = table(3, 2);
        let mut first = admit(&table).unwrap_or_else(|_| panic!("room"));
        let second = admit(&table);
        assert!(matches!(admit(&table), Err(Full::Host { bound: "max_queued", allowed: 2 })));
        assert_eq!(table.len(), 2, "a refusal gives back what it took");
        first.leave_line();
        first.leave_line();
        let third = admit(&table);
        assert!(second.is_ok() && third.is_ok());
        assert!(matches!(admit(&table), Err(Full::Host { bound: "max_processes", allowed: 3 })));
        drop((first, second, third));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn who_waits_outside_comes_in_when_somebody_leaves() {
        let table = table(1, usize::MAX);
        let admission = admit(&table).unwrap_or_else(|_| panic!("room"));
        let waiting = std::thread::spawn({
            let table = Arc::clone(&table);
            move || admit_in_time(&table).is_ok()
        });
        await_waiting(&table, 1);
        drop(admission);
        assert!(waiting.join().expect("no panic"));
    }

    #[test]
    fn who_waits_for_one_bound_is_not_let_in_past_another() {
        let table = table(2, 1);
        let mut first = admit(&table).unwrap_or_else(|_| panic!("room"));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let table = Arc::clone(&table);
                std::thread::spawn(move || admit_in_time(&table).map(drop).is_ok())
            })
            .collect();
        await_waiting(&table, 3);
        assert_eq!((table.len(), table.queued.load(Ordering::SeqCst)), (1, 1), "who is refused takes nothing");
        first.leave_line();
        drop(first);
        assert!(waiting.into_iter().all(|waiting| waiting.join().expect("no panic")));
        assert!(table.wait_empty(Some(Instant::now())));
    }

    #[test]
    fn hosts_share_a_ceiling_and_its_room() {
        let bound = |room| Bound::new(Resource::Processes, room, 0, 0, "say more");
        let ceiling = Ceiling::new(vec![bound(1)]);
        let [one, other] = [(); 2].map(|()| Arc::new(Table::new(Bounds::NONE, ceiling.clone())));
        let first = admit(&one).unwrap_or_else(|_| panic!("room"));
        let Err(Full::Runtime(reached)) = admit(&other) else { panic!("the ceiling is one") };
        assert_eq!((reached.allowed, reached.live, reached.raise.as_str()), (1, 1, "say more"));
        let waiting = std::thread::spawn(move || admit_in_time(&other).is_ok());
        await_waiting(&one, 1);
        drop(first);
        assert!(waiting.join().expect("no panic"), "an end at one host makes room at the other");
        let nothing = Arc::new(Table::new(Bounds::NONE, Ceiling::new(vec![bound(0)])));
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let tomorrow = Instant::now() + Duration::from_secs(24 * 60 * 60);
            tell.send(nothing.admit_until(&nothing.desk(0), &Footprint::default(), tomorrow).is_err())
        });
        let refused = told.recv_timeout(Duration::from_secs(60));
        assert_eq!(refused, Ok(true), "nobody waits for what can't be");
    }

    #[test]
    fn who_waits_outside_is_told_that_nobody_is_taken_any_more() {
        let table = table(0, usize::MAX);
        let waiting = std::thread::spawn({
            let table = Arc::clone(&table);
            move || admit_in_time(&table).is_err()
        });
        await_waiting(&table, 1);
        table.close();
        assert!(waiting.join().expect("no panic"));
        assert!(
            table.admit_until(&table.desk(0), &Footprint::default(), Instant::now()).is_err(),
            "a deadline that has passed"
        );
    }
}
