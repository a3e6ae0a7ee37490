//! How many processes there can be: what bounds them on this machine, and what those that live take of it.
//!
//! One ceiling is shared by all hosts of a runtime. What a process may ever take of a bound is taken before it is made and
//! given back after it is gone, so that nothing fails in between: not the guest, and not the host around it.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::bell::Bell;
use crate::sync::CachePadded;

/// What the number of processes is bounded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// Processes, by [`RuntimeBuilder::max_processes`](crate::RuntimeBuilder::max_processes).
    Processes,
    /// Memory mappings of this program.
    Mappings,
    /// Bytes of address space of this program.
    AddressSpace,
    /// Bytes of memory.
    Memory,
    /// Bytes that are promised, on a system that promises no more than it has.
    Commitment,
    /// Slots for memories and stacks: of the slabs, or of the pool.
    Slots,
}

impl Resource {
    const ALL: [Self; 6] =
        [Self::Processes, Self::Mappings, Self::AddressSpace, Self::Memory, Self::Commitment, Self::Slots];

    /// Its name, for example `memory mappings`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Processes => "max_processes of the runtime",
            Self::Mappings => "memory mappings",
            Self::AddressSpace => "address space",
            Self::Memory => "memory",
            Self::Commitment => "committed memory",
            Self::Slots => "slots for memories and stacks",
        }
    }

    /// Whether it is counted in bytes.
    #[must_use]
    pub fn is_bytes(self) -> bool {
        !matches!(self, Self::Processes | Self::Mappings | Self::Slots)
    }
}

/// The most that one process ever takes of each [`Resource`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Memory mappings.
    pub mappings: u64,
    /// Bytes of address space.
    pub address_space: u64,
    /// Bytes of memory that it uses before its guest has written anything.
    pub memory: u64,
    /// Bytes that are promised to it from the beginning.
    pub commitment: u64,
    /// Slots of the slabs or of the pool.
    pub slots: u64,
}

impl Footprint {
    fn of(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Processes => 1,
            Resource::Mappings => self.mappings,
            Resource::AddressSpace => self.address_space,
            Resource::Memory => self.memory,
            Resource::Commitment => self.commitment,
            Resource::Slots => self.slots,
        }
    }
}

/// One thing that bounds the number of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bound {
    /// What is bounded.
    pub resource: Resource,
    /// The bound as the system has it.
    pub limit: u64,
    /// What was in use before the first process.
    pub used: u64,
    /// What is left to the host itself.
    pub reserved: u64,
    /// The setting that raises it, as a command or a sentence.
    pub raise: String,
}

impl Bound {
    /// A bound that is raised as `raise` says.
    #[must_use]
    pub fn new(resource: Resource, limit: u64, used: u64, reserved: u64, raise: impl Into<String>) -> Self {
        Self { resource, limit, used, reserved, raise: raise.into() }
    }

    /// What there is for processes.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.used).saturating_sub(self.reserved)
    }

    /// How many processes of this footprint have room; `None` when they take nothing of it.
    #[must_use]
    pub fn processes(&self, footprint: &Footprint) -> Option<u64> {
        self.room().checked_div(footprint.of(self.resource))
    }
}

/// A bound is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) resource: Resource,
    /// Processes like the one that was refused that have room in an empty runtime.
    pub(crate) allowed: u64,
    /// Processes that live.
    pub(crate) live: u64,
    pub(crate) raise: String,
}

/// The shared budget of all processes of a runtime. Cheap to clone.
#[derive(Clone)]
pub struct Ceiling(Arc<Handle>);

/// What clones of a ceiling count on, and those that were made apart do not.
struct Handle(Arc<Inner>);

struct Inner {
    bounds: Vec<Bound>,
    /// What living processes hold, and stocks. Additions happen under this lock, all of a process at once; what makes room may
    /// come piece by piece, and the bell is rung behind it.
    taken: Mutex<Taken>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Taken {
    amounts: Amounts,
    /// Those whose room is in the amounts.
    stocks: Vec<Arc<Stock>>,
}

/// So many places go to a stock, or come back from it, at once.
const BATCH: u64 = 32;

/// Places that were taken of a ceiling and that nobody has: processes come and go there without a word that all workers write.
/// Whoever finds no room at the ceiling looks into the stocks first, so the bounds are exact.
#[derive(Default)]
pub(super) struct Stock(CachePadded<Mutex<Places>>);

/// Places, all alike.
#[derive(Default)]
struct Places {
    /// What one of them is of each resource.
    of: Amounts,
    free: u64,
}

impl Stock {
    /// A place like that, if there is one.
    fn take(&self, amounts: &Amounts) -> bool {
        let mut places = self.0.lock();
        let has_one = places.free > 0 && places.of == *amounts;
        places.free -= u64::from(has_one);
        has_one
    }

    /// More places from the ceiling; false when there are others in it.
    fn fill(&self, amounts: &Amounts, free: u64) -> bool {
        let mut places = self.0.lock();
        let is_empty = places.free == 0;
        if is_empty {
            *places = Places { of: *amounts, free };
        }
        is_empty
    }

    /// A place that somebody left. Returns how many such places are for the ceiling.
    fn put(&self, amounts: &Amounts) -> u64 {
        let mut places = self.0.lock();
        if places.free == 0 {
            places.of = *amounts;
        } else if places.of != *amounts {
            return 1;
        }
        places.free += 1;
        let surplus = if places.free < 2 * BATCH { 0 } else { BATCH };
        places.free -= surplus;
        surplus
    }

    fn empty(&self) -> Places {
        std::mem::take(&mut *self.0.lock())
    }
}

/// An amount of each resource, in the order of [`Resource::ALL`].
pub(super) type Amounts = [u64; Resource::ALL.len()];

/// What somebody holds of the ceiling; dropping it gives it back.
pub(crate) struct Share {
    ceiling: Ceiling,
    amounts: Amounts,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.ceiling.give_back(&self.amounts);
    }
}

impl Ceiling {
    /// A ceiling at the lowest of these bounds; without any there is none.
    #[must_use]
    pub fn new(bounds: Vec<Bound>) -> Self {
        Self(Arc::new(Handle(Arc::new(Inner { bounds, taken: Mutex::default(), bell: Arc::default() }))))
    }

    /// The same ceiling; whose clones do not count their references where those of this one do.
    pub(super) fn apart(&self) -> Self {
        Self(Arc::new(Handle(Arc::clone(&self.0.0))))
    }

    /// What bounds the number of processes.
    #[must_use]
    pub fn bounds(&self) -> &[Bound] {
        &self.0.0.bounds
    }

    /// How many processes of this footprint an empty runtime has room for, and the bound that says so; `None` without a
    /// bound.
    #[must_use]
    pub fn processes(&self, footprint: &Footprint) -> Option<(u64, &Bound)> {
        let counts = self.0.0.bounds.iter().filter_map(|bound| Some((bound.processes(footprint)?, bound)));
        counts.min_by_key(|(count, _)| *count)
    }

    /// Processes that live, on all hosts.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.0.0.taken.lock().live()
    }

    /// Another stock, for a worker.
    pub(super) fn stock(&self) -> Arc<Stock> {
        let stock = Arc::new(Stock::default());
        self.0.0.taken.lock().stocks.push(Arc::clone(&stock));
        stock
    }

    /// Room for one process from this stock, which is [put back](Self::put_back) when it is gone; `None` when it has none.
    pub(super) fn take_from(stock: &Stock, footprint: &Footprint) -> Option<Amounts> {
        let amounts = footprint.amounts();
        stock.take(&amounts).then_some(amounts)
    }

    /// Room that was taken is free, and goes to this stock if it has too little.
    pub(super) fn put_back(&self, stock: &Stock, amounts: &Amounts) {
        match stock.put(amounts) {
            0 => self.0.0.bell.ring(),
            surplus => self.give_back(&times(amounts, surplus)),
        }
    }

    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.0.0.bell
    }

    /// Room for one process, which is [given back](Self::give_back) when it is gone. Whatever else it needs is looked at by
    /// `check` and taken by `enter`, which is called only when there is room for all of it: nobody ever sees half of an
    /// admission, and a refusal changes nothing. A stock, if there is one, gets some more places when there are plenty.
    pub(super) fn admit<E: From<Reached>>(
        &self,
        footprint: &Footprint,
        stock: Option<&Stock>,
        check: impl FnOnce() -> Result<(), E>,
        enter: impl FnOnce(),
    ) -> Result<Amounts, E> {
        let amounts = footprint.amounts();
        let mut taken = self.0.0.taken.lock();
        check()?;
        if let Some(bound) = self.make_room(&mut taken, &amounts) {
            return Err(E::from(Reached {
                resource: bound.resource,
                allowed: self.processes(footprint).map_or(u64::MAX, |(allowed, _)| allowed),
                live: taken.live(),
                raise: bound.raise.clone(),
            }));
        }
        enter();
        take(&mut taken.amounts, &amounts);
        if let Some(stock) = stock {
            let more = times(&amounts, BATCH);
            if self.in_the_way(&taken.amounts, &more).is_none() && stock.fill(&amounts, BATCH) {
                take(&mut taken.amounts, &more);
            }
        }
        Ok(amounts)
    }

    /// Room that was taken is free, and everybody who waits for some hears of it.
    pub(super) fn give_back(&self, amounts: &Amounts) {
        let mut taken = self.0.0.taken.lock();
        give(&mut taken.amounts, amounts);
        drop(taken);
        self.0.0.bell.ring();
    }

    /// One more memory mapping for a process that lives; `None` when there is none left.
    pub(crate) fn map(&self) -> Option<Share> {
        self.share(Footprint { mappings: 1, ..Footprint::default() }.amounts())
    }

    /// Room for what is left of so many processes of this footprint that are over; `None` when there is not enough.
    pub(crate) fn reserve(&self, footprint: &Footprint, count: u64) -> Option<Share> {
        self.share(times(&footprint.amounts(), count))
    }

    /// So much for somebody who is no process.
    fn share(&self, mut amounts: Amounts) -> Option<Share> {
        amounts[Resource::Processes as usize] = 0;
        let mut taken = self.0.0.taken.lock();
        if self.make_room(&mut taken, &amounts).is_some() {
            return None;
        }
        take(&mut taken.amounts, &amounts);
        Some(Share { ceiling: self.clone(), amounts })
    }

    /// The first bound that has no room for so much more, with all that is in stocks.
    fn make_room(&self, taken: &mut Taken, amounts: &Amounts) -> Option<&Bound> {
        self.in_the_way(&taken.amounts, amounts)?;
        let Taken { amounts: all, stocks } = taken;
        for Places { of, free } in stocks.iter().map(|stock| stock.empty()) {
            give(all, &times(&of, free));
        }
        self.in_the_way(all, amounts)
    }

    /// The first bound that has no room for so much more.
    fn in_the_way(&self, taken: &Amounts, amounts: &Amounts) -> Option<&Bound> {
        self.0.0.bounds.iter().find(|bound| {
            let at = bound.resource as usize;
            amounts[at] > 0 && taken[at].saturating_add(amounts[at]) > bound.room()
        })
    }
}

impl Taken {
    fn live(&self) -> u64 {
        let in_stock: u64 = self.stocks.iter().map(|stock| stock.0.lock().free).sum();
        self.amounts[Resource::Processes as usize] - in_stock
    }
}

impl Footprint {
    fn amounts(&self) -> Amounts {
        Resource::ALL.map(|resource| self.of(resource))
    }
}

fn times(amounts: &Amounts, times: u64) -> Amounts {
    amounts.map(|amount| amount.saturating_mul(times))
}

fn give(taken: &mut Amounts, amounts: &Amounts) {
    taken.iter_mut().zip(amounts).for_each(|(taken, amount)| *taken -= amount);
}

fn take(taken: &mut Amounts, amounts: &Amounts) {
    taken.iter_mut().zip(amounts).for_each(|(taken, amount)| *taken += amount);
}

impl fmt::Debug for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ceiling").field("bounds", &self.0.0.bounds).field("live", &self.live()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Footprint = Footprint { mappings: 5, address_space: 100, memory: 1, commitment: 0, slots: 0 };
    const LARGE: Footprint = Footprint { mappings: 8, address_space: 100, memory: 1, commitment: 0, slots: 2 };

    fn ceiling(bounds: &[(Resource, u64)]) -> Ceiling {
        let bound = |(resource, room): &(Resource, u64)| Bound::new(*resource, room + 30, 20, 10, "raise it");
        Ceiling::new(bounds.iter().map(bound).collect())
    }

    fn admit(ceiling: &Ceiling, footprint: &Footprint) -> Result<Share, Reached> {
        let amounts = ceiling.admit(footprint, None, || Ok(()), || ())?;
        Ok(Share { ceiling: ceiling.clone(), amounts })
    }

    #[test]
    fn the_lowest_bound_is_the_ceiling() {
        let ceiling = ceiling(&[(Resource::Mappings, 1000), (Resource::AddressSpace, 15_000), (Resource::Memory, 500)]);
        let lowest = |footprint| ceiling.processes(footprint).map(|(count, bound)| (count, bound.resource));
        assert_eq!(lowest(&SMALL), Some((150, Resource::AddressSpace)));
        assert_eq!(lowest(&LARGE), Some((125, Resource::Mappings)));
        assert_eq!(Ceiling::new(Vec::new()).processes(&SMALL).map(|(count, _)| count), None);
        let tight = Bound::new(Resource::Mappings, 10, 20, 10, "");
        assert_eq!((tight.room(), tight.processes(&SMALL)), (0, Some(0)));
        assert_eq!(tight.processes(&Footprint::default()), None, "who takes nothing is not bounded");
    }

    #[test]
    fn processes_of_every_kind_share_one_budget() {
        let ceiling = ceiling(&[(Resource::Mappings, 18)]);
        let first = admit(&ceiling, &SMALL).map_err(|_| ()).expect("room");
        let second = admit(&ceiling, &LARGE).map_err(|_| ()).expect("room");
        let refused = admit(&ceiling, &LARGE).map(drop).expect_err("5 of 8 are left");
        assert_eq!(
            refused,
            Reached { resource: Resource::Mappings, allowed: 2, live: 2, raise: "raise it".to_owned() }
        );
        let third = admit(&ceiling, &SMALL).map_err(|_| ()).expect("a refusal takes nothing");
        assert!(ceiling.map().is_none());
        drop(second);
        let mapping = ceiling.map().expect("8 are free");
        assert_eq!(ceiling.live(), 2, "a mapping is no process");
        assert!(admit(&ceiling, &LARGE).is_err());
        drop((first, third, mapping));
        assert_eq!((ceiling.live(), ceiling.0.0.taken.lock().amounts), (0, [0; 6]));
    }

    #[test]
    fn what_is_in_stock_is_room_for_all() {
        let ceiling = ceiling(&[(Resource::Processes, 100), (Resource::Mappings, 1000)]);
        let [one, other] = [(); 2].map(|()| ceiling.stock());
        let enter = |stock: &Stock, footprint: &Footprint| -> Result<Amounts, Reached> {
            Ceiling::take_from(stock, footprint)
                .map_or_else(|| ceiling.admit(footprint, Some(stock), || Ok(()), || ()), Ok)
        };
        let first = enter(&one, &SMALL).expect("room");
        assert_eq!((ceiling.live(), one.0.lock().free), (1, BATCH), "some more are at hand");
        let second = enter(&one, &SMALL).expect("room");
        assert_eq!((ceiling.live(), one.0.lock().free), (2, BATCH - 1));
        let large = enter(&one, &LARGE).expect("room");
        assert_eq!((ceiling.live(), one.0.lock().free), (3, BATCH - 1), "what is in it is for processes of one kind");
        let rest: Vec<_> =
            (3..100).map(|_| enter(&other, &SMALL).expect("what the first one has is room as well")).collect();
        assert_eq!(ceiling.live(), 100);
        let refused = enter(&other, &SMALL).expect_err("100 are all");
        assert_eq!((refused.live, enter(&one, &SMALL)), (100, Err(refused.clone())));
        for amounts in rest.iter().chain([&first, &second]) {
            ceiling.put_back(&one, amounts);
            assert!(one.0.lock().free < 2 * BATCH, "it keeps some only");
        }
        ceiling.put_back(&other, &large);
        assert_eq!(ceiling.live(), 0);
        let all: Vec<_> = (0..100).map(|_| enter(&other, &SMALL).expect("what was put back")).collect();
        assert_eq!((all.len(), ceiling.live()), (100, 100));
    }

    #[test]
    fn threads_that_spawn_at_once_never_exceed_it() {
        let ceiling = ceiling(&[(Resource::Processes, 50), (Resource::Mappings, 1000)]);
        let round = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        round.wait();
                        let held: Vec<_> = std::iter::from_fn(|| admit(&ceiling, &SMALL).ok()).collect();
                        round.wait();
                        assert_eq!(ceiling.live(), 50);
                        round.wait();
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(ceiling.live(), 0);
    }
}
