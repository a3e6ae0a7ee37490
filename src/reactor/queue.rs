//! The pending timers in the order of their deadlines: a heap of four children a node that knows where each entry is.
//!
//! Measured choice, nanoseconds an operation with a million entries (2 cores, release; "random": within 60 s, cancelled in
//! random order; "timeout": each deadline 1 µs after the one before, cancelled in order; "churn": insert and cancel of one
//! more):
//!
//! | structure | insert random / timeout | cancel | churn | fire |
//! |---|---|---|---|---|
//! | `BTreeMap` of deadline and number | 517 / 79 | 675 / 44 | 794 / 142 | 111 / 36 |
//! | binary heap, lazy deletion | 48 / 45 | 61 / 11 | 34 / 37 | 1349 / 256 |
//! | **heap of four, indexed** | 53 / 48 | 194 / 107 | 19 / 16 | 339 / 107 |
//! | hierarchical wheel, exact to the nanosecond | 39 / 36 | 68 / 6 | 19 / 13 | 328 / 48 |
//!
//! Most timers are time limits that are cancelled soon (churn), where the heap equals the wheel; it also knows the
//! earliest deadline exactly at any time, fires in exact order without moving entries between levels, keeps no dead
//! entries, and is half the code.

use std::task::Waker;

use super::clock::Instant;

/// Children of a node: four share a cache line or two, and the tree is half as deep as with two.
const CHILDREN: usize = 4;

/// An emptied queue gives its memory back when it had more entries than this.
const KEPT_CAPACITY: usize = 4096;

/// Names one entry; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Where the entry's waker is.
    slot: u32,
    /// Which entry was there: slots are taken again.
    sequence: u64,
}

/// One entry, as the heap orders it.
#[derive(Clone, Copy)]
struct Node {
    deadline: Instant,
    /// Counts registrations: equal deadlines fire in their order.
    sequence: u64,
    slot: u32,
}

impl Node {
    fn before(&self, other: &Self) -> bool {
        (self.deadline, self.sequence) < (other.deadline, other.sequence)
    }
}

/// What does not move when the heap changes.
struct Slot {
    /// The entry it belongs to.
    sequence: u64,
    /// Where its node is in the heap.
    position: u32,
    /// `None`: the slot is free.
    waker: Option<Waker>,
}

/// Pending timers. One entry for each live sleep that was polled, so whoever bounds the sleeps bounds the queue.
#[derive(Default)]
pub(super) struct Queue {
    /// No node is before its parent; the parent of `i` is `(i - 1) / CHILDREN`.
    heap: Vec<Node>,
    slots: Vec<Slot>,
    /// Free slots.
    free: Vec<u32>,
    /// Registrations so far.
    sequence: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, deadline: Instant, waker: Waker) -> Key {
        let sequence = self.sequence;
        self.sequence += 1;
        let entry = Slot { sequence, position: 0, waker: Some(waker) };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                let slot = u32::try_from(self.slots.len()).expect("fewer timers than memory for four thousand million");
                self.slots.push(entry);
                slot
            }
        };
        self.heap.push(Node { deadline, sequence, slot });
        self.sift_up(self.heap.len() - 1);
        Key { slot, sequence }
    }

    /// The waker of a pending entry; `None` when it has fired or was removed.
    pub(super) fn waker_mut(&mut self, key: Key) -> Option<&mut Waker> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.sequence == key.sequence { slot.waker.as_mut() } else { None }
    }

    /// Removes an entry and gives its waker back, to be dropped outside the lock. `None` when it has fired or was removed.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        self.waker_mut(key)?;
        let position = self.slots[key.slot as usize].position as usize;
        debug_assert_eq!(self.heap[position].sequence, key.sequence, "a slot knows where its node is");
        Some(self.remove_at(position))
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.heap.first().map(|node| node.deadline)
    }

    /// Removes the earliest entry if its deadline is not after `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        (self.next_deadline()? <= now).then(|| self.remove_at(0))
    }

    /// Removes everything, in no order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.heap = Vec::new();
        self.free = Vec::new();
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.waker)
    }

    fn remove_at(&mut self, position: usize) -> Waker {
        let slot = self.heap.swap_remove(position).slot;
        // The last node has taken its place, and may belong above or below it.
        if position < self.heap.len() && self.sift_up(position) == position {
            self.sift_down(position);
        }
        let waker = self.slots[slot as usize].waker.take().expect("a node in the heap has a waker");
        self.free.push(slot);
        if self.heap.is_empty() && self.slots.len() > KEPT_CAPACITY {
            // Keys stay unique by their sequence.
            self.heap = Vec::new();
            self.slots = Vec::new();
            self.free = Vec::new();
        }
        waker
    }

    /// Moves a node towards the root until its parent is before it; returns where it ended.
    fn sift_up(&mut self, mut position: usize) -> usize {
        let node = self.heap[position];
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            if !node.before(&self.heap[parent]) {
                break;
            }
            self.place(position, self.heap[parent]);
            position = parent;
        }
        self.place(position, node);
        position
    }

    /// Moves a node away from the root until it is before all its children.
    fn sift_down(&mut self, mut position: usize) {
        let node = self.heap[position];
        loop {
            let first = position * CHILDREN + 1;
            let last = self.heap.len().min(first + CHILDREN);
            let children = first..last;
            let Some(least) = children.reduce(|a, b| if self.heap[b].before(&self.heap[a]) { b } else { a }) else {
                break;
            };
            if !self.heap[least].before(&node) {
                break;
            }
            self.place(position, self.heap[least]);
            position = least;
        }
        self.place(position, node);
    }

    fn place(&mut self, position: usize, node: Node) {
        self.heap[position] = node;
        // As many nodes as slots, and slots have 32-bit numbers.
        self.slots[node.slot as usize].position = position as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    /// A waker that can be told from others.
    struct Named(#[expect(dead_code, reason = "a size, so that each waker has an address of its own")] u64);
    impl Wake for Named {
        fn wake(self: Arc<Self>) {}
    }

    fn named(number: u64) -> Waker {
        Arc::new(Named(number)).into()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Remove(usize),
        Replace(usize),
        Pop(u64),
        Drain,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            40 => (0..50_u64).prop_map(Step::Insert),
            15 => (0..64_usize).prop_map(Step::Remove),
            5 => (0..64_usize).prop_map(Step::Replace),
            12 => (0..60_u64).prop_map(Step::Pop),
            1 => Just(Step::Drain),
        ];
        // Drains are rare enough for the heap to get several levels deep.
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against a sorted map: every operation returns the same entry, pending or not, and the earliest agrees.
        #[test]
        fn queue_behaves_as_a_sorted_map(steps in steps()) {
            let mut queue = Queue::default();
            let mut model = BTreeMap::new();
            let mut keys = Vec::new();
            for (number, step) in (0_u64..).zip(steps) {
                match step {
                    Step::Insert(deadline) => {
                        let waker = named(number);
                        let key = queue.insert(Instant::from_nanos(deadline), waker.clone());
                        model.insert((deadline, keys.len()), waker);
                        keys.push((deadline, key));
                    }
                    Step::Remove(which) if !keys.is_empty() => {
                        let which = which % keys.len();
                        let (deadline, key) = keys[which];
                        let expected = model.remove(&(deadline, which));
                        prop_assert!(same(queue.remove(key).as_ref(), expected.as_ref()));
                    }
                    Step::Replace(which) if !keys.is_empty() => {
                        let which = which % keys.len();
                        let (deadline, key) = keys[which];
                        let expected = model.get_mut(&(deadline, which));
                        let found = queue.waker_mut(key);
                        prop_assert!(same(found.as_deref(), expected.as_deref()));
                        if let (Some(found), Some(expected)) = (found, expected) {
                            *expected = named(number);
                            *found = expected.clone();
                        }
                    }
                    Step::Pop(now) => {
                        let due = model.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove());
                        prop_assert!(same(queue.pop_due(Instant::from_nanos(now)).as_ref(), due.as_ref()));
                    }
                    Step::Drain => {
                        prop_assert_eq!(queue.drain().count(), model.len());
                        model.clear();
                    }
                    Step::Remove(_) | Step::Replace(_) => {}
                }
                prop_assert_eq!(queue.len(), model.len());
                let next = model.first_key_value().map(|((deadline, _), _)| Instant::from_nanos(*deadline));
                prop_assert_eq!(queue.next_deadline(), next);
            }
        }
    }

    fn same(a: Option<&Waker>, b: Option<&Waker>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a.will_wake(b),
            (None, None) => true,
            _ => false,
        }
    }

    #[test]
    fn an_emptied_queue_gives_its_memory_back_and_old_keys_find_nothing() {
        let mut queue = Queue::default();
        let keys: Vec<_> =
            (0..=KEPT_CAPACITY as u64).map(|nanos| queue.insert(Instant::from_nanos(nanos), named(nanos))).collect();
        while queue.pop_due(Instant::MAX).is_some() {}
        assert_eq!((queue.slots.capacity(), queue.heap.capacity(), queue.free.capacity()), (0, 0, 0));
        let fresh = queue.insert(Instant::START, named(0));
        assert!(keys.iter().all(|key| queue.remove(*key).is_none()));
        assert!(queue.remove(fresh).is_some());
    }

    /// Prints what the table at the top of this file says of the chosen structure:
    /// `cargo test --release --lib reactor::queue -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn measure_a_million_entries() {
        const ENTRIES: u64 = 1_000_000;
        let timed = |what: &str, run: &mut dyn FnMut()| {
            let start = std::time::Instant::now();
            run();
            println!("{what}: {} ns", start.elapsed().as_nanos() as u64 / ENTRIES);
        };
        // Multiplication by an odd number permutes: every deadline within the minute once, in no order.
        let random = |i: u64| Instant::from_nanos(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 60_000_000_000);
        let mut queue = Queue::default();
        let mut keys = Vec::with_capacity(ENTRIES as usize);
        timed("insert, random", &mut || {
            keys.extend((0..ENTRIES).map(|i| queue.insert(random(i), Waker::noop().clone())));
        });
        timed("insert and cancel one more", &mut || {
            for i in 0..ENTRIES {
                let key = queue.insert(random(ENTRIES + i), Waker::noop().clone());
                assert!(queue.remove(key).is_some());
            }
        });
        let (cancelled, _) = keys.split_at(keys.len() / 2);
        timed("cancel (half of them)", &mut || assert!(cancelled.iter().all(|key| queue.remove(*key).is_some())));
        timed("fire (half of them)", &mut || while queue.pop_due(Instant::MAX).is_some() {});
        assert_eq!(queue.len(), 0);
    }
}
