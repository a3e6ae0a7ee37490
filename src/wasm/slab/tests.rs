//! Slots over the raw API: what is handed on, what is given back, what ends whoever touches it.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::Arc;

use wasmtime::{LinearMemory as _, StackMemory as _};

use super::arena::{Arena, KEEP_BYTES, LEAVING_BYTES, LEAVING_SLOTS, MAPPED_SLOTS, STACK_KEEP_BYTES, WARM_BYTES};
use super::class::{Cut, DENSE, Kind, PAGE, Tier};
use super::memory::Linear;
use super::raw::{Guards, LOOKED_THROUGH, System, is_zero, resident, zero};
use super::{Slabs, Stacks};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Slabs of every sort: with and without what newer systems have.
fn every_sort() -> Vec<Arc<Slabs>> {
    let here = System::probe().expect("slabs can be had here");
    let mut sorts = vec![System::least()];
    if here.guards == Guards::Marks && here.pagemap.is_some() {
        if here.together {
            sorts.push(System { together: false, ..here.clone() });
        }
        sorts.push(here);
    }
    sorts.iter().map(Slabs::with).collect()
}

fn linear(slabs: &Arc<Slabs>, tier: Tier, size: usize) -> Linear {
    let (reservation, guard) = super::Memories::layout(tier);
    Linear::new(slabs, tier, size, reservation as usize, guard as usize).expect("a memory")
}

#[test]
fn zeroes_are_seen_wherever_they_end() {
    let mut bytes = vec![0; 3 * PAGE + 700];
    assert!(is_zero(&bytes) && is_zero(&[]));
    for at in [0, 1, 511, 512, PAGE - 1, PAGE, 3 * PAGE + 511, 3 * PAGE + 512, 3 * PAGE + 699] {
        bytes[at] = 1;
        assert!(!is_zero(&bytes), "{at}");
        zero(&mut bytes);
        assert!(is_zero(&bytes), "{at}");
    }
}

#[test]
fn a_memory_reads_zero_whatever_the_last_one_wrote() {
    let mut random = fastrand::Rng::with_seed(7);
    for slabs in every_sort() {
        for tier in [Tier::Elided, Tier::Dense] {
            for _ in 0..200 {
                let pages = [1, 1, 2, 17, 33][random.usize(..5)];
                let mut memory = linear(&slabs, tier, pages * 64 * KIB);
                assert!(is_zero(memory.written()), "{tier:?}");
                if random.bool() {
                    let grown = memory.size() + [1, 3, 40][random.usize(..3)] * 64 * KIB;
                    memory.grow(grown).expect("room");
                    assert!(is_zero(memory.written()), "{tier:?} grown");
                }
                let bytes = memory.written();
                let end = bytes.len();
                for _ in 0..[1, 30, 300][random.usize(..3)] {
                    bytes[random.usize(..end)] = 0xaa;
                }
                bytes[end - 1] = 1;
            }
        }
    }
}

#[test]
fn what_grew_keeps_what_was_written_and_reads_zero_beyond() {
    for slabs in every_sort() {
        for tier in [Tier::Elided, Tier::Dense] {
            let mut memory = linear(&slabs, tier, 64 * KIB);
            memory.written().fill(3);
            let mut size = 64 * KIB;
            // Through every dense slot up to 128 MiB.
            for next in [128 * KIB, 2 * MIB, 2 * MIB + 64 * KIB, 17 * MIB] {
                memory.grow(next).expect("room");
                assert_eq!(memory.size(), next);
                assert!(memory.capacity() >= next);
                assert!(memory.written()[..64 * KIB].iter().all(|byte| *byte == 3), "{tier:?} {next}");
                assert!(is_zero(&memory.written()[size..next]), "{tier:?} {next}");
                memory.written()[size..size + 8].fill(0);
                size = next;
            }
        }
    }
}

#[test]
fn what_is_larger_than_any_slot_has_a_mapping_of_its_own() {
    let slabs = every_sort().remove(0);
    for (tier, size) in [(Tier::Dense, DENSE[4].0 + 64 * KIB), (Tier::Elided, 5 << 30)] {
        let mut memory = linear(&slabs, tier, size);
        memory.written()[size - 1] = 1;
        assert!(memory.byte_capacity() >= 2 * size);
        memory.grow(size + 64 * KIB).expect("room");
        assert_eq!((memory.written()[size - 1], memory.written()[size + 64 * KIB - 1]), (1, 0));
    }
}

#[test]
fn a_slot_is_one_owners_at_a_time() {
    let slabs = every_sort().remove(0);
    let arena = &slabs.dense[0];
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let slabs = Arc::clone(&slabs);
            std::thread::spawn(move || {
                let mut held = Vec::new();
                let mut random = fastrand::Rng::new();
                for round in 0..2000_u32 {
                    if random.bool() || held.is_empty() {
                        let mut memory = linear(&slabs, Tier::Dense, 64 * KIB);
                        assert!(is_zero(memory.written()));
                        memory.written()[..4].copy_from_slice(&round.to_ne_bytes());
                        held.push((round, memory));
                    } else {
                        let (round, mut memory) = held.swap_remove(random.usize(..held.len()));
                        assert_eq!(memory.written()[..4], round.to_ne_bytes(), "nobody else has written here");
                    }
                }
                held
            })
        })
        .collect();
    let held: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
    let distinct: HashSet<_> = held.iter().map(|(_, memory)| memory.base()).collect();
    assert_eq!(distinct.len(), held.len());
    drop(held);
    assert!(arena.memory(64 * KIB).is_ok(), "they came back");
}

#[test]
fn slots_are_bounded_and_come_back() {
    let cut = Cut { slots: 3, ..Cut::dense(DENSE[0]) };
    let slabs = every_sort().remove(0);
    let arena = Arena::new(cut, &System::least(), &Arc::downgrade(&slabs));
    let held: Vec<_> = (0..3).map(|_| arena.memory(PAGE).expect("a slot")).collect();
    let error = arena.memory(PAGE).map(drop).expect_err("three slots").to_string();
    assert_eq!(error, "all 3 slots of 65536 bytes are in use");
    drop(held);
    // Wherever they are now: this thread takes those of others, too.
    let other = std::thread::scope(|scope| scope.spawn(|| arena.memory(PAGE)).join().expect("no panic"));
    assert!(other.is_ok() && arena.memory(PAGE).is_ok());
}

#[test]
fn pages_beyond_what_is_kept_go_back() {
    for slabs in every_sort() {
        let mut memory = linear(&slabs, Tier::Dense, 100 * MIB);
        memory.written().fill(1);
        let place = memory.base().as_ptr().addr();
        assert_eq!(resident(place..place + 100 * MIB), 100 * MIB);
        drop(memory);
        let kept = resident(place..place + 100 * MIB);
        assert!(kept <= KEEP_BYTES.max(LOOKED_THROUGH), "{kept}");
        // More at once than is kept.
        let count = WARM_BYTES / (64 * KIB) + 2 * LEAVING_SLOTS;
        let mut held: Vec<_> = (0..count).map(|_| linear(&slabs, Tier::Dense, 64 * KIB)).collect();
        held.iter_mut().for_each(|memory| memory.written().fill(1));
        let places: Vec<_> = held.iter().map(|memory| memory.base().as_ptr().addr()).collect();
        drop(held);
        let kept: usize = places.iter().map(|place| resident(*place..place + 64 * KIB)).sum();
        assert!((1..=WARM_BYTES + LEAVING_BYTES).contains(&kept), "{kept}");
        assert!(kept < count * 64 * KIB, "{kept}");
    }
}

#[test]
fn a_slot_counts_for_the_pages_that_it_has_whoever_touched_them() {
    for slabs in every_sort() {
        let mut memory = slabs.dense[0].memory(64 * KIB).expect("a slot");
        for (page, touched) in [(0, 1), (7, 2), (7, 2), (15, 3)] {
            memory.slot_mut().open(64 * KIB, false).expect("room");
            memory.slot_mut().bytes()[page * PAGE + 5] = 1;
            assert_eq!(memory.slot_mut().wipe(KEEP_BYTES).expect("it can be wiped"), touched * PAGE);
        }
        // Small guests after a large one.
        if slabs.guards() != Guards::Marks {
            continue;
        }
        let mut memory = slabs.dense[1].memory(2 * MIB).expect("a slot");
        for (page, touched) in [(40, 1), (3, 2), (17, 3)] {
            memory.slot_mut().open((page + 1) * PAGE, false).expect("room");
            memory.slot_mut().bytes()[page * PAGE] = 1;
            assert_eq!(memory.slot_mut().wipe(KEEP_BYTES).expect("it can be wiped"), touched * PAGE);
        }
        memory.slot_mut().open(2 * MIB, false).expect("room");
        memory.slot_mut().bytes().fill(1);
        assert_eq!(memory.slot_mut().wipe(KEEP_BYTES).expect("it can be wiped"), KEEP_BYTES);
        memory.slot_mut().open(2 * MIB, false).expect("room");
        assert!(is_zero(memory.slot_mut().bytes()));
    }
}

#[test]
fn what_a_crowd_leaves_goes_back_and_is_as_good_for_the_next() {
    for slabs in every_sort() {
        let stacks = Stacks(Arc::clone(&slabs));
        // More than anybody keeps; they end in no order.
        let crowd = |random: &mut fastrand::Rng| {
            let mut held: Vec<_> = (0..MAPPED_SLOTS + 4 * LEAVING_SLOTS)
                .map(|_| {
                    let mut memory = linear(&slabs, Tier::Elided, 128 * KIB);
                    let touched = random.usize(..32);
                    // All of them would take long.
                    for page in [touched, random.usize(..32)] {
                        assert!(is_zero(&memory.written()[page * PAGE..(page + 1) * PAGE]));
                    }
                    memory.written()[touched * PAGE..][..PAGE].fill(1);
                    let mut stack = stacks.create(512 * KIB).expect("a stack");
                    let top = stack.bytes().len();
                    stack.bytes()[top - 6 * PAGE..].fill(1);
                    (memory, stack)
                })
                .collect();
            random.shuffle(&mut held);
            let places: Vec<_> =
                held.iter().map(|(memory, stack)| (memory.base().as_ptr().addr(), stack.range())).collect();
            drop(held);
            places
        };
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2 {
            let places = crowd(&mut random);
            let kept = places.iter().filter(|(place, _)| resident(*place..place + 128 * KIB) > 0).count();
            assert!((1..=MAPPED_SLOTS + LEAVING_SLOTS).contains(&kept), "{kept}");
            let stacks: HashSet<_> = places.iter().map(|(_, stack)| stack.start).collect();
            assert_eq!(stacks.len(), places.len());
        }
    }
}

#[test]
fn a_stack_has_its_size_and_gives_back_what_a_deep_fiber_used() {
    for slabs in every_sort() {
        let stacks = Stacks(Arc::clone(&slabs));
        let mut size = 0;
        for asked in [512 * KIB, MIB, MIB + 256 * KIB, 16 * MIB] {
            let stack = stacks.create(asked).expect("a stack");
            assert!(stack.range().len() >= asked && stack.range().start.is_multiple_of(PAGE));
            assert_eq!((stack.top().addr(), stack.guard_range().end.addr()), (stack.range().end, stack.range().start));
            assert!(stack.guard_range().start < stack.guard_range().end);
            size = stack.range().len();
        }
        assert!(stacks.create(size + 1).is_err());
        let mut stack = stacks.create(16 * MIB).expect("a stack");
        stack.bytes().fill(1);
        let range = stack.range();
        drop(stack);
        assert_eq!(resident(range), STACK_KEEP_BYTES);
        let mut again = stacks.create(16 * MIB).expect("a stack");
        again.zero();
        assert!(is_zero(again.bytes()));
    }
}

#[test]
fn mappings_do_not_grow_with_slots() {
    let mappings = || std::fs::read_to_string("/proc/self/maps").expect("Linux").lines().count();
    let Some(slabs) = every_sort().into_iter().find(|slabs| slabs.guards() == Guards::Marks) else { return };
    let stacks = Stacks(Arc::clone(&slabs));
    let before = mappings();
    let held: Vec<_> =
        (0..3000).map(|_| (linear(&slabs, Tier::Dense, 17 * 64 * KIB), stacks.create(MIB).expect("a stack"))).collect();
    // Other tests run beside this one.
    assert!(mappings() < before + 1000, "{} after {before}", mappings());
    drop(held);
}

/// What the next test runs in a program of its own, by the name in this variable.
const TOUCH: &str = "WIPPY_SLAB_TOUCH";

#[test]
fn who_touches_a_guard_or_what_is_closed_dies() {
    if let Ok(place) = std::env::var(TOUCH) {
        touch(&place);
        return;
    }
    let sorts = every_sort().len();
    let own = std::env::current_exe().expect("this test");
    for sort in 0..sorts {
        for (place, dies) in [("stack", false), ("below", true), ("memory", false), ("behind", true), ("far", true)] {
            let name = "wasm::slab::tests::who_touches_a_guard_or_what_is_closed_dies";
            let mut command = Command::new(&own);
            let output =
                command.args([name, "--exact"]).env(TOUCH, format!("{sort} {place}")).output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout);
            // Under a sanitizer the signal is answered with a report and an exit.
            let died =
                output.status.signal() == Some(SIGSEGV) || String::from_utf8_lossy(&output.stderr).contains("SEGV");
            assert_eq!((died, output.status.success()), (dies, !dies), "{sort} {place}: {text}");
        }
    }
}

const SIGSEGV: i32 = 11;

fn touch(place: &str) {
    let (sort, place) = place.split_once(' ').expect("two words");
    let slabs = every_sort().swap_remove(sort.parse().expect("a number"));
    let stacks = Stacks(Arc::clone(&slabs));
    // The neighbours are in use, too, and so is everything that may have been there before. What is taken last in the second
    // round was given back among others.
    if let "stack" | "below" = place {
        let mut held = Vec::new();
        for _ in 0..2 {
            held.clear();
            for _ in 0..WARM_BYTES / STACK_KEEP_BYTES + 2 * LEAVING_SLOTS {
                let mut stack = stacks.create(MIB).expect("a stack");
                let is_cold = resident(stack.range().end - STACK_KEEP_BYTES..stack.range().end) == 0;
                let deep = stack.range().len() - STACK_KEEP_BYTES - 1;
                stack.bytes()[deep] = 1;
                held.push((stack, is_cold));
            }
        }
        let (stack, _) = held.iter().rfind(|(_, is_cold)| *is_cold).expect("more than are kept");
        return super::raw::touch(if place == "stack" { stack.range().start } else { stack.range().start - 1 });
    }
    let mut held = Vec::new();
    for pages in [3, 2] {
        held.clear();
        held.extend((0..MAPPED_SLOTS + 2 * LEAVING_SLOTS).map(|_| linear(&slabs, Tier::Elided, pages * 64 * KIB)));
    }
    let start = held[held.len() - 2].base().as_ptr().addr();
    super::raw::touch(match place {
        "memory" => start + 128 * KIB - 1,
        "behind" => start + 128 * KIB,
        "far" => start + (4 << 30) + 100,
        _ => panic!("{place}"),
    });
}

#[test]
fn a_memory_of_an_elided_slot_is_closed_again_for_a_smaller_one() {
    for slabs in every_sort() {
        drop(linear(&slabs, Tier::Elided, 10 * 64 * KIB));
        let mut small = slabs.elided[0].memory(64 * KIB).expect("a slot");
        assert_eq!(small.slot().opened(), 64 * KIB);
        small.slot_mut().open(128 * KIB, false).expect("room");
        assert!(is_zero(small.slot_mut().bytes()));
    }
}

#[test]
fn slabs_that_end_unmap_what_they_have() {
    let slabs = every_sort().remove(0);
    let reserved = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a size").trim().to_owned();
        line.split(' ').next().and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * KIB
    };
    let memory = linear(&slabs, Tier::Elided, 64 * KIB);
    drop(slabs);
    let with = reserved();
    assert_eq!(memory.size(), 64 * KIB, "a memory keeps its slot, whoever is gone");
    drop(memory);
    let chunk = 64 * (4 << 30);
    assert!(with >= reserved() + chunk / 2, "{with} {}", reserved());
    assert_eq!(Cut::elided(4 << 30, 0).kind, Kind::Closed);
}
