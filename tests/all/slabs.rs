//! Guests that look for what others have left, and end in every way, over slots that go round. Seeded; `WIPPY_TEST_SIZE=long`
//! has a hundred times as many.

use std::fs;
use std::time::Duration;

use wippy::process::{Exit, Payload, ProcessHandle, Start};
use wippy::runtime::Allocator;
use wippy::{Runtime, RuntimeBuilder};

use super::support::{app, guest_index, hash_of};

/// How long a test waits for what must come before it says that it did not: no measure of anything.
const PATIENCE: Duration = Duration::from_secs(300);

/// Hosts: one whose memories are bounded by the processor, one whose code checks bounds.
const HOSTS: [&str; 2] = ["processes", "crowded"];

/// Pages that guests begin with.
const SIZES: [u32; 4] = [1, 2, 17, 40];

/// Pages that a guest of any size may come to.
const PAGES_MAX: u32 = 300;

/// Threads that spawn, beside the workers.
const THREADS: usize = 3;

/// A module with so many pages. Each function looks for bytes that are not zero first, and returns how many words have some;
/// then it grows, looks again, writes all over its memory, and ends in its way.
fn guest(pages: u32) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") {pages} {PAGES_MAX})
        (data (i32.const 40) "\01\02\03\04\05\06\07\08")
        (func $dirty (param $from i32) (param $to i32) (result i32) (local $found i32)
            (loop $next
                (if (i32.lt_u (local.get $from) (local.get $to)) (then
                    (if (i64.ne (i64.load (local.get $from)) (i64.const 0))
                        (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
                    (local.set $from (i32.add (local.get $from) (i32.const 8)))
                    (br $next))))
            (local.get $found))
        (func $bytes (result i32) (i32.mul (memory.size) (i32.const 65536)))
        ;; How many words were not zero that should have been; one of data there must be.
        (func $look (param $grow i32) (param $stride i32) (result i32) (local $found i32) (local $before i32) (local $at i32)
            (local.set $before (call $bytes))
            (local.set $found (i32.sub (call $dirty (i32.const 0) (local.get $before)) (i32.const 1)))
            (drop (memory.grow (local.get $grow)))
            (local.set $found
                (i32.add (local.get $found) (call $dirty (local.get $before) (call $bytes))))
            (loop $next
                (i32.store (local.get $at) (i32.const -1))
                (local.set $at (i32.add (local.get $at) (local.get $stride)))
                (br_if $next (i32.lt_u (local.get $at) (i32.sub (call $bytes) (i32.const 4)))))
            (i64.store (i32.sub (call $bytes) (i32.const 8)) (i64.const -1))
            (local.get $found))
        (func (export "return") (param i32 i32) (result i32) (call $look (local.get 0) (local.get 1)))
        (func (export "trap") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1)))) unreachable)
        (func (export "spin") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1)))) (loop $on (br $on)) unreachable)
        (func (export "sleep") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1))))
            (memory.fill (i32.const 0) (i32.const 0) (i32.const 128))
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 3600000000000))
            (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
        (func $down (param i32) (result i32) (i32.add (call $down (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
        (func (export "deep") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1)))) (call $down (i32.const 0)))
        ;; Just past the end, across it, and wherever an address of 32 bits and an offset of 32 bits lead.
        (func (export "past") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1)))) (i32.load8_u (call $bytes)))
        (func (export "across") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1))))
            (i32.load (i32.sub (call $bytes) (i32.const 3))))
        (func (export "offset") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1))))
            (i32.load offset=65536 (i32.sub (call $bytes) (i32.const 4))))
        (func (export "top") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1)))) (i32.load (i32.const -4)))
        (func (export "beyond") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1))))
            (i32.load offset=4294967295 (i32.const -1)))
        (func (export "store") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1))))
            (i64.store offset=4294901760 (i32.const 0) (i64.const -1)) (i32.const 2))
        (func (export "fill") (param i32 i32) (result i32)
            (if (call $look (local.get 0) (local.get 1)) (then (return (i32.const 1))))
            (memory.fill (i32.const 0) (i32.const 1) (i32.add (call $bytes) (i32.const 1))) (i32.const 2)))"#
    );
    wat::parse_str(text).expect("a sound guest")
}

/// How a function of the guest ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Returns,
    Traps(&'static str),
    UsesAllItsStack,
    IsEnded,
}

const BOUNDS: End = End::Traps("out of bounds");

const METHODS: [(&str, End); 12] = [
    ("return", End::Returns),
    ("trap", End::Traps("unreachable")),
    ("spin", End::IsEnded),
    ("sleep", End::IsEnded),
    ("deep", End::UsesAllItsStack),
    ("past", BOUNDS),
    ("across", BOUNDS),
    ("offset", BOUNDS),
    ("top", BOUNDS),
    ("beyond", BOUNDS),
    ("store", BOUNDS),
    ("fill", BOUNDS),
];

struct World {
    runtime: Runtime,
    _app: tempfile::TempDir,
}

impl World {
    fn new(settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Self {
        let app = app(&[]);
        let mut index = String::from(
            "- { name: crowded, kind: process.host, host: { workers: 2, max_processes: 100000 } }\n\
             - { name: texts, kind: fs.directory, directory: . }\n",
        );
        for pages in SIZES {
            let binary = guest(pages);
            let hash = hash_of(&binary);
            for (method, _) in METHODS {
                index.push_str(&format!(
                    "- {{ name: {method}{pages}, kind: process.wasm, fs: app:texts, path: /{pages}.wasm, hash: '{hash}', \
                     method: {method} }}\n"
                ));
            }
            fs::write(app.path().join(format!("{pages}.wasm")), binary).expect("a file");
        }
        fs::write(app.path().join("_index.yaml"), guest_index(&index)).expect("a file");
        let builder = settings(Runtime::builder().load(app.path()).cache(false));
        Self { runtime: builder.build().unwrap_or_else(|error| panic!("{error:?}")), _app: app }
    }

    fn spawn(&self, (method, pages, host): (&str, u32, &str), grow: u32, stride: u32) -> ProcessHandle {
        let id = |name: &str| format!("app:{name}").parse().expect("an ID");
        let input = vec![Payload::Int(grow.into()), Payload::Int(stride.into())];
        let start = Start::new(id(&format!("{method}{pages}")), id(host)).input(input);
        self.runtime.manager().spawn(start).expect("room")
    }
}

/// Ends it, where it does not end by itself, and looks at how it did.
#[track_caller]
fn settle(process: &ProcessHandle, end: End, what: &str) {
    if end == End::IsEnded {
        process.terminate();
    }
    let exit = process.wait_timeout(PATIENCE).expect("it ends");
    let is_right = match (end, &exit) {
        (End::Returns, Exit::Returned(Payload::Int(0))) | (End::IsEnded, Exit::Terminated) => true,
        (End::Traps(text), Exit::Trapped(trap)) => trap.message.contains(text),
        (End::UsesAllItsStack, Exit::LimitExceeded(limit)) => limit.limit == "max_stack",
        _ => false,
    };
    assert!(is_right, "{what}: {exit:?}");
}

/// Lives of one thread, several at once, that end in random order.
fn live(world: &World, seed: u64, lives: usize) {
    const AT_ONCE: usize = 12;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut held: Vec<(ProcessHandle, End, String)> = Vec::new();
    for _ in 0..lives {
        let (method, end) = METHODS[random.usize(..METHODS.len())];
        let pages = SIZES[random.usize(..SIZES.len())];
        let host = HOSTS[random.usize(..HOSTS.len())];
        let grow = [0, 0, 1, 3, 40, 250][random.usize(..6)];
        let stride = [8, 4096, 60_000][random.usize(..3)];
        let what = format!("seed {seed}: {method} of {pages} pages and {grow} more on {host}");
        held.push((world.spawn((method, pages, host), grow, stride), end, what));
        if random.bool() || held.len() == AT_ONCE {
            let (process, end, what) = held.swap_remove(random.usize(..held.len()));
            if random.bool() {
                // Where it sleeps or spins, and not where it begins.
                std::thread::sleep(Duration::from_micros(random.u64(..300)));
            }
            settle(&process, end, &what);
        }
    }
    held.iter().for_each(|(process, end, what)| settle(process, *end, what));
}

fn seed() -> u64 {
    std::env::var("WIPPY_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_251)
}

fn lives() -> usize {
    if std::env::var("WIPPY_TEST_SIZE").is_ok_and(|size| size == "long") { 20_000 } else { 200 }
}

#[test]
fn nobody_finds_what_another_has_left() {
    let world = World::new(|builder| builder.allocator(Allocator::Slab).workers(2));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let world = &world;
            scope.spawn(move || live(world, seed() + thread as u64, lives()));
        }
    });
    assert_eq!(world.runtime.ceiling().live(), 0);
}

#[test]
fn every_end_is_right_in_both_layouts_and_in_a_slot_that_was_used_before() {
    let world = World::new(|builder| builder.allocator(Allocator::Slab).workers(1));
    for host in HOSTS {
        for pages in SIZES {
            for round in 0..2 {
                for (method, end) in METHODS {
                    let process = world.spawn((method, pages, host), round * 20, 4096);
                    settle(&process, end, &format!("{method} of {pages} pages on {host}"));
                }
            }
        }
    }
}

#[test]
fn an_embedder_chooses_and_a_host_of_many_has_room_for_many() {
    let shares = |allocator| {
        let world = World::new(|builder| builder.allocator(allocator));
        let bounds = world.runtime.ceiling().bounds();
        bounds.iter().find(|bound| bound.resource.name() == "slots for memories and stacks").map(|bound| bound.limit)
    };
    assert_eq!(shares(Allocator::Slab), Some(1 << 20));
    assert_eq!(shares(Allocator::OnDemand), None);
    assert_eq!(shares(Allocator::Pool { slots: 10 }), Some(10));
}
