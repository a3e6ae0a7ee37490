use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wippy::function::PoolKind;
use wippy::process::{Exit, Payload, Sink, StandardStream, Start, Stdio};
use wippy::reactor::Clock;
use wippy::registry::{Declaration, Entry, Isolation, LimitsSpec, Pool, PoolType, Preempt, load_with};
use wippy::wasm::HostError;
use wippy::{BuildError, Runtime};

const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1))))"#;

const SEVEN: &str = r#"(component
    (core module $m (func (export "f") (result i32) (i32.const 7)))
    (core instance $i (instantiate $m))
    (func (export "seven") (result u32) (canon lift (core func $i "f"))))"#;

/// The problems of entries, as `code at place: message`.
fn problems(entries: Vec<Declaration>) -> Vec<String> {
    let build = Runtime::builder().cache(false).entries(entries).build();
    let Err(BuildError::Configuration(problems)) = build else { panic!("there are problems") };
    problems
        .iter()
        .map(|problem| {
            let place = problem.position.as_ref().expect("a place").to_string();
            let (entry, rest) = place.split_once(", ").expect("an entry and a place in the source");
            assert!(rest.contains("entries.rs:"), "{place}");
            format!("{} at {entry}>: {}", problem.code, problem.message)
        })
        .collect()
}

/// Keeps what is written to it.
#[derive(Default)]
struct Kept(Mutex<Vec<u8>>);

impl Sink for Kept {
    fn write(&self, _: StandardStream, bytes: &[u8]) {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
    }
}

#[test]
fn an_application_is_made_in_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = std::fs::read("fixtures/guests/args.wasm").expect("a guest");
    let pool = Pool { kind: PoolType::Lazy, max_size: 3, ..Pool::default() };
    let runtime = Runtime::builder()
        .cache(false)
        .entry(Entry::host("app:processes").workers(1).max_processes(100).stop_timeout(Duration::from_secs(1)))
        .entry(Entry::terminal("app:terminal"))
        .entry(Entry::wasm("app:add").wat(ADD).method("add").preempt(Preempt::Epoch))
        .entry(Entry::wasm("app:seven").wat(SEVEN).method("seven").command("seven"))
        .entry(Entry::wasm("app:binary").bytes(wat::parse_str(ADD).expect("a module")).method("add"))
        .entry(Entry::function("app:sum").wat(ADD).method("add").isolation(Isolation::Reuse).pool(&pool))
        .entry(Entry::directory("app:data", folder.path().join("new")).mode(0o700).auto_init())
        .entry(Entry::values("app:values", [("WHO", "Ann")]))
        .entry(Entry::variable("app:who", "app:values").name("WHO").readonly())
        .entry(
            Entry::wasm("app:args")
                .bytes(args)
                .method("_start")
                .env("NAME", "app:who")
                .arg("--env")
                .cwd("/data")
                .mount_read_only("/data", "app:data"),
        )
        .entry(Entry::service("app:web", "app:add", "app:processes").input(1).input(2))
        .build()
        .expect("a sound application");
    assert_eq!(runtime.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
    for entry in ["app:add", "app:binary"] {
        assert_eq!(runtime.spawn(entry, [40, 2]).expect("a process").wait(), Exit::Returned(42.into()));
    }
    assert_eq!(runtime.spawn("app:seven", [(); 0]).expect("a process").wait(), Exit::Returned(7.into()));
    assert_eq!(runtime.call("app:sum", [40, 2]).wait(), Ok(Payload::from(42)));
    let sum = "app:sum".parse().expect("an ID");
    assert_eq!(runtime.functions().stats(&sum).map(|pool| (pool.kind, pool.slots_max)), Some((PoolKind::Lazy, 3)));
    let (command, entry) = runtime.registry().command("seven").expect("a command");
    assert_eq!((command.name.as_str(), entry.id().name()), ("seven", "seven"));

    assert!(folder.path().join("new").is_dir(), "it is made");
    let kept = Arc::new(Kept::default());
    let start = Start::new("app:args".parse().expect("an ID"), "app:processes".parse().expect("an ID"));
    let start = start.stdio(Stdio::Sink(Arc::clone(&kept) as Arc<dyn Sink>));
    assert_eq!(runtime.manager().spawn(start).expect("a process").wait(), Exit::Exited(0));
    let said = String::from_utf8(kept.0.lock().expect("no panic").clone()).expect("text");
    assert!(said.contains("NAME=Ann"), "{said}");
    let args = runtime.registry().get(&"app:args".parse().expect("an ID")).and_then(|entry| entry.spec().wasm());
    let mounts = &args.expect("a wasm entry").wasi.mounts;
    assert_eq!((mounts[0].guest.as_str(), mounts[0].read_only), ("/data", true));
}

#[test]
fn what_is_wrong_in_code_is_told_with_its_place() {
    let host = || Entry::host("app:processes").into();
    let found = problems(vec![
        host(),
        Entry::wasm("app:silent").wat(ADD).into(),
        Entry::wasm("app:codeless").method("add").into(),
        Entry::wasm("app:slip").wat(ADD).method("ad").into(),
        Entry::wasm("app:text").wat("(module (fun))").method("add").into(),
        Entry::wasm("app:bytes").bytes(b"\x7fELF").method("add").into(),
        Entry::wasm("app:mount").wat(ADD).method("add").mount("/data", "app:nowhere").into(),
        Entry::wasm("app:import").wat(ADD).method("add").import("acme:nobody/here").into(),
        Entry::host("app:large").workers(5000).into(),
        Entry::wasm("app:field").wat(ADD).method("add").field("limts.max_memory", 1).into(),
        Declaration::new("app:kind", "proces.wasm"),
        Declaration::new("nameless", "process.host"),
    ]);
    let expected = [
        "missing-field at <app:silent>: method is required",
        "missing-field at <app:codeless>: fs is required",
        "unknown-method at <app:slip>: no function `ad` is exported",
        "invalid-binary at <app:text>: the text is no WebAssembly",
        "invalid-binary at <app:bytes>: `the binary`: this is no wasm binary",
        "dangling-reference at <app:mount>: filesystem not found: `app:nowhere`",
        "unknown-import at <app:import>: unknown import `acme:nobody/here`",
        "out-of-range at <app:large>",
        "unknown-field at <app:field>: unknown field `limts`",
        "unknown-kind at <app:kind>: unknown kind `proces.wasm`",
        "invalid-id at <nameless>",
    ];
    for expected in expected {
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected} is not in {found:#?}");
    }
}

#[test]
fn code_stands_beside_files_and_before_them() {
    let runtime = Runtime::builder()
        .load("fixtures/apps/mission")
        .cache(false)
        .entry(Entry::wasm("myns:add").wat(ADD).method("add"))
        .entry(Entry::wasm("myns:compute_worker").wat(ADD).method("add"))
        .build()
        .expect("a sound application");
    assert_eq!(runtime.spawn("myns:add", [6, 7]).expect("a process").wait(), Exit::Returned(13.into()));
    assert_eq!(runtime.spawn("myns:compute_worker", [6, 7]).expect("a process").wait(), Exit::Returned(13.into()));
    assert!(runtime.warnings().iter().any(|warning| warning.code == "duplicate-entry"));

    let loaded = load_with(None, &[Entry::host("app:processes").into()]);
    let built = Runtime::builder().loaded(loaded).entry(Entry::host("app:other")).build();
    let Err(BuildError::Configuration(problems)) = built else { panic!("it was read already") };
    assert_eq!(problems.iter().map(|problem| problem.code.as_ref()).collect::<Vec<_>>(), ["entry-beside-loaded"]);
}

#[test]
fn limits_of_the_builder_hold_where_nobody_says_more() {
    let memory = |bytes| LimitsSpec { max_memory: Some(bytes), ..LimitsSpec::default() };
    let runtime = Runtime::builder()
        .cache(false)
        .limits(memory(3 << 20))
        .entry(Entry::host("app:silent"))
        .entry(Entry::host("app:talking").default_limits(&memory(2 << 20)))
        .entry(Entry::wasm("app:add").wat(ADD).method("add"))
        .entry(Entry::wasm("app:own").wat(ADD).method("add").limits(&memory(1 << 20)))
        .build()
        .expect("a sound application");
    let of = |entry: &str, host: &str| {
        let start = Start::new(entry.parse().expect("an ID"), host.parse().expect("an ID"));
        let process = runtime.manager().spawn(start.input([1.into(), 2.into()])).expect("a process");
        process.usage().limits().max_memory
    };
    assert_eq!(of("app:add", "app:silent"), Some(3 << 20));
    assert_eq!(of("app:add", "app:talking"), Some(2 << 20));
    assert_eq!(of("app:own", "app:silent"), Some(1 << 20));
}

#[test]
fn the_engine_is_configured_and_the_runtime_keeps_what_is_its_own() {
    let asked = Arc::new(AtomicUsize::new(0));
    let spin = r#"(module (func (export "spin") (loop br 0)))"#;
    let runtime = Runtime::builder()
        .cache(false)
        .entry(Entry::host("app:processes").workers(1))
        .entry(Entry::wasm("app:spin").wat(spin).method("spin"))
        .configure({
            let asked = Arc::clone(&asked);
            move |config| {
                asked.fetch_add(1, Ordering::Relaxed);
                // Without epochs nothing would ever end this guest.
                config.epoch_interruption(false).max_wasm_stack(1 << 16);
            }
        })
        .build()
        .expect("a runtime");
    assert!(asked.load(Ordering::Relaxed) > 0);
    let process = runtime.spawn("app:spin", [(); 0]).expect("a process");
    process.terminate();
    assert_eq!(process.wait(), Exit::Terminated);

    let impossible = Runtime::builder()
        .cache(false)
        .entry(Entry::host("app:processes"))
        .configure(|config| {
            config.wasm_simd(false).wasm_relaxed_simd(true);
        })
        .build();
    assert!(matches!(impossible, Err(BuildError::Engine(_))), "{impossible:?}");
}

#[test]
fn two_runtimes_of_one_program_share_nothing() {
    let guest = r#"(module (import "acme:host/api" "who" (func $who (result i32)))
        (func (export "who") (result i32) (call $who)))"#;
    let runtime = |number: u32, clock: Clock| {
        Runtime::builder()
            .cache(false)
            .clock(clock)
            .host_func("acme:host/api", "who", move |_, ()| Ok::<_, HostError>(number))
            .entry(Entry::host("app:processes").workers(1))
            .entry(Entry::wasm("app:who").wat(guest).method("who").import("acme:host/api"))
            .build()
            .expect("a runtime")
    };
    let (one, two) = (runtime(1, Clock::real()), runtime(2, Clock::manual()));
    let ask = |runtime: &Runtime| runtime.spawn("app:who", [(); 0]).expect("a process");
    let (first, second) = (ask(&one), ask(&two));
    assert_eq!(first.pid().to_string(), second.pid().to_string(), "each counts its own");
    assert_eq!((first.wait(), second.wait()), (Exit::Returned(1.into()), Exit::Returned(2.into())));
    assert_eq!(one.shutdown(Duration::ZERO), []);
    assert_eq!(ask(&two).wait(), Exit::Returned(2.into()), "the end of one is not that of the other");
    drop(one);
    assert_eq!(ask(&two).wait(), Exit::Returned(2.into()));
}
