//! One store for several guests, one after the other.
//!
//! To make a store and to drop it is a fifth of what a tiny guest costs. A guest that is [attempted](super::attempt) leaves nothing in
//! its store that anybody needs, so a worker has a few of one program run in the same one. Each has an instance of its own, with
//! memories, tables and globals of its own, and no way to those of the others: an instance reaches what it imports, and there is
//! nothing behind the imports of these. What the store carries, the limits among it, is of the guest that runs.
//!
//! An instance is there until its store is dropped. So a store is for a few guests only, and for small ones; for those that are over
//! there is room at the ceiling of the runtime, taken before. After one that did not return the store is dropped.

use std::sync::Arc;
use std::time::Duration;

use atomic_refcell::AtomicRefCell;
use sync_wrapper::SyncWrapper;
use wasmtime::{Engine, Store};

use super::memory::Memory;
use super::state::State;
use crate::limits::{Limits, Usage};
use crate::process::{Footprint, Share};
use crate::reactor::Instant;

/// So many guests have one store. Of a tiny one four save 19 parts of 100, eight save 21.
const GUESTS_MAX: u32 = 4;

/// Guests that are over and have an instance in a store, at most.
const OVER_MAX: u64 = GUESTS_MAX as u64 - 1;

/// A guest that held more than this, in bytes, is the last one in its store.
const HELD_MAX: u64 = 2 << 20;

/// A store whose first guest took longer is for that one alone: of a guest that works for some time the rest is little, and it works
/// slower on pages that were not another one's just before. A guest that fills 200 KiB takes 335 µs alone and 350 with others.
const SHORT: Duration = Duration::from_micros(20);

/// Where the store of a program lies between two guests of a worker. Nobody else is there but, for a moment, a worker that took
/// over from this one; who finds it taken does without.
#[derive(Default)]
pub(super) struct Series(AtomicRefCell<SyncWrapper<Shelf>>);

#[derive(Default)]
struct Shelf {
    /// A store that has had guests and can have more.
    open: Option<Open>,
    /// What a store carries while nobody runs in it; in the open one, if there is one.
    idle: Option<State>,
    /// For the instances of guests that are over.
    room: Option<Share>,
}

struct Open {
    store: Store<State>,
    guests: u32,
    counted: Counted,
}

/// Limits of a store that the engine counts up to, over all of its instances. Each guest has as many instances and tables as the one
/// before, so what the first one was allowed the others are, too.
type Counted = (Option<u64>, Option<u64>);

fn counted(state: &State) -> Counted {
    let limits = state.usage().limits();
    (limits.max_instances, limits.max_tables)
}

/// A store for one guest.
pub(super) struct Turn {
    pub(super) store: Store<State>,
    /// Which guest of the store it is, from 1 on; none of one that has it for itself.
    number: Option<u32>,
    /// When the first one began.
    began: Option<Instant>,
}

impl Turn {
    /// A store for this guest and no other one.
    pub(super) fn alone(engine: &Engine, state: State) -> Self {
        Self { store: new_store(engine, state), number: None, began: None }
    }
}

impl Series {
    /// A store on this engine for a guest with this state. `footprint` says what its process takes of the machine.
    pub(super) fn take(&self, engine: &Engine, mut state: State, footprint: impl FnOnce() -> Footprint) -> Turn {
        let Ok(mut shelf) = self.0.try_borrow_mut() else { return Turn::alone(engine, state) };
        let shelf = shelf.get_mut();
        if let Some(Open { mut store, guests, counted: before }) = shelf.open.take() {
            if Engine::same(store.engine(), engine) && before == counted(&state) {
                state.memory.is_one_of_many();
                shelf.idle = Some(std::mem::replace(store.data_mut(), state));
                if guests == 1 {
                    // The engine asks when it is told of the limiter how many there may be.
                    store.limiter(|state| &mut state.memory);
                }
                return Turn { store, number: Some(guests + 1), began: None };
            }
            shelf.idle = Some(store.into_data());
        }
        if shelf.room.is_none() {
            shelf.room = state.memory.ceiling().reserve(&footprint(), OVER_MAX);
            shelf.idle = shelf.room.is_some().then(|| idle(&state));
        }
        let began = shelf.room.is_some().then(|| state.clock.near());
        Turn { store: new_store(engine, state), number: began.map(|_| 1), began }
    }

    /// The guest has returned: its store is there for the next one, if it can have one more.
    pub(super) fn put(&self, turn: Turn) {
        let Turn { mut store, number, began } = turn;
        let Some(guests) = number.filter(|number| *number < GUESTS_MAX) else { return };
        let State { memory, clock, .. } = store.data();
        let took_long = || began.is_some_and(|began| clock.near() > began.saturating_add(SHORT));
        if memory.held() > HELD_MAX || took_long() {
            return;
        }
        let Ok(mut shelf) = self.0.try_borrow_mut() else { return };
        let shelf = shelf.get_mut();
        // None when another store has come first, or nothing is wanted any more.
        let Some(idle) = shelf.idle.take() else { return };
        let state = std::mem::replace(store.data_mut(), idle);
        shelf.open = Some(Open { store, guests, counted: counted(&state) });
    }

    /// No guest is expected soon: gives back what is there for the next ones.
    pub(super) fn clear(&self) {
        if let Ok(mut shelf) = self.0.try_borrow_mut() {
            *shelf.get_mut() = Shelf::default();
        }
    }
}

/// The state of a store without a guest; of a guest's it has what is the same for all.
fn idle(state: &State) -> State {
    let usage = Arc::new(Usage::new(Limits::default(), 0));
    State::new(None, Memory::new(usage, state.memory.ceiling().clone(), 0), state.clock.clone())
}

/// A store for a new instance.
pub(super) fn new_store(engine: &Engine, state: State) -> Store<State> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store
}

#[cfg(test)]
mod tests {
    use wasmtime::{Instance, Module};

    use super::*;
    use crate::process::{Bound, Ceiling, Resource};
    use crate::reactor::Clock;

    const FOOTPRINT: Footprint = Footprint { mappings: 2, address_space: 0, memory: 0, commitment: 0, slots: 0 };

    /// For so many processes of the footprint.
    fn ceiling(processes: u64) -> Ceiling {
        Ceiling::new(vec![Bound::new(Resource::Mappings, processes * FOOTPRINT.mappings, 0, 0, "")])
    }

    fn state(ceiling: &Ceiling, limits: Limits) -> State {
        let memory = Memory::new(Arc::new(Usage::new(limits, 0)), ceiling.clone(), 0);
        State::new(None, memory, Clock::manual())
    }

    fn one() -> Limits {
        Limits { max_instances: Some(1), max_tables: Some(1), ..Limits::default() }
    }

    /// The numbers of so many guests, each of which does this.
    fn numbers(series: &Series, ceiling: &Ceiling, count: usize, guest: impl Fn(&mut Store<State>)) -> Vec<u32> {
        let engine = Engine::default();
        let number = |_| {
            let mut turn = series.take(&engine, state(ceiling, one()), || FOOTPRINT);
            guest(&mut turn.store);
            let number = turn.number.unwrap_or(0);
            series.put(turn);
            number
        };
        (0..count).map(number).collect()
    }

    #[test]
    fn a_few_guests_have_one_store() {
        let (series, ceiling) = (Series::default(), ceiling(10));
        assert_eq!(numbers(&series, &ceiling, 10, |_| ()), [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]);
        assert_eq!(ceiling.live(), 0, "what is kept for those that are over is no process");
    }

    #[test]
    fn what_is_there_for_the_next_ones_has_room() {
        let (series, ceiling) = (Series::default(), ceiling(OVER_MAX));
        let others = ceiling.reserve(&FOOTPRINT, 1);
        assert_eq!(numbers(&series, &ceiling, 3, |_| ()), [0, 0, 0], "without room each has a store for itself");
        drop(others);
        assert_eq!(numbers(&series, &ceiling, 3, |_| ()), [1, 2, 3]);
        assert!(ceiling.map().is_none());
        series.clear();
        assert!(ceiling.reserve(&FOOTPRINT, OVER_MAX).is_some());
    }

    #[test]
    fn a_guest_that_held_much_is_the_last_one() {
        let (series, ceiling) = (Series::default(), ceiling(10));
        let grow = |bytes: u64| {
            move |store: &mut Store<State>| {
                let bytes = usize::try_from(bytes).expect("a size");
                let memory = &mut store.data_mut().memory;
                assert!(wasmtime::ResourceLimiter::memory_growing(memory, 0, bytes, None).expect("an answer"));
            }
        };
        assert_eq!(numbers(&series, &ceiling, 3, grow(HELD_MAX)), [1, 2, 3]);
        series.clear();
        assert_eq!(numbers(&series, &ceiling, 3, grow(HELD_MAX + 1)), [1, 1, 1]);
    }

    #[test]
    fn a_guest_that_takes_long_has_a_store_for_itself() {
        let (series, ceiling) = (Series::default(), ceiling(10));
        let take = |time: Duration| {
            move |store: &mut Store<State>| {
                store.data().clock.advance(time).expect("a manual clock");
            }
        };
        assert_eq!(numbers(&series, &ceiling, 3, take(SHORT)), [1, 2, 3]);
        series.clear();
        assert_eq!(numbers(&series, &ceiling, 3, take(SHORT + Duration::from_nanos(1))), [1, 1, 1]);
    }

    #[test]
    fn other_engines_and_other_limits_have_other_stores() {
        let (series, ceiling, engine) = (Series::default(), ceiling(10), Engine::default());
        let number = |engine: &Engine, limits| {
            let turn = series.take(engine, state(&ceiling, limits), || FOOTPRINT);
            let number = turn.number;
            series.put(turn);
            number
        };
        assert_eq!([number(&engine, one()), number(&engine, one())], [Some(1), Some(2)]);
        assert_eq!([number(&Engine::default(), one()), number(&engine, one())], [Some(1); 2]);
        assert_eq!([number(&engine, Limits::default()), number(&engine, Limits::default())], [Some(1), Some(2)]);
    }

    #[test]
    fn two_at_once_have_two_stores_and_one_is_kept() {
        let (series, ceiling, engine) = (Series::default(), ceiling(10), Engine::default());
        let take = || series.take(&engine, state(&ceiling, one()), || FOOTPRINT);
        let [first, second] = [take(), take()];
        assert_eq!([first.number, second.number], [Some(1); 2]);
        series.put(first);
        series.put(second);
        assert_eq!(take().number, Some(2));
    }

    #[test]
    fn each_is_allowed_what_the_first_one_was_and_has_what_is_its_own() {
        let text = r#"(module (memory 1) (table 1 funcref) (global (mut i32) (i32.const 0))
            (func (export "run") (result i32)
                (global.set 0 (i32.add (global.get 0) (i32.const 1)))
                (i32.store8 (i32.const 7) (i32.add (i32.load8_u (i32.const 7)) (i32.const 1)))
                (i32.add (global.get 0) (i32.load8_u (i32.const 7)))))"#;
        let engine = Engine::default();
        let module = Module::new(&engine, text).expect("a sound module");
        let (series, ceiling) = (Series::default(), ceiling(10));
        for number in [1, 2, 3, 4, 1] {
            let mut turn = series.take(&engine, state(&ceiling, one()), || FOOTPRINT);
            assert_eq!(turn.number, Some(number));
            let instance = Instance::new(&mut turn.store, &module, &[]).expect("one instance, and one table");
            let run = instance.get_typed_func::<(), i32>(&mut turn.store, "run").expect("its type");
            assert_eq!(run.call(&mut turn.store, ()).expect("a number"), 2);
            let usage = Arc::clone(turn.store.data().memory.usage());
            assert!(usage.memory() >= 1 << 16);
            series.put(turn);
            assert_eq!(usage.memory(), 0, "what it held is given back");
        }
        let mut turn = Turn::alone(&engine, state(&ceiling, one()));
        let mut next = || Instance::new(&mut turn.store, &module, &[]);
        assert!(next().is_ok() && next().is_err(), "of who is alone all instances count");
    }
}
