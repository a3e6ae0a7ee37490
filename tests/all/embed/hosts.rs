use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use wippy::limits::WaitReason;
use wippy::process::{Exit, FailureKind, ProcessHandle, State};
use wippy::reactor::Clock;
use wippy::registry::{Entry, LimitsSpec};
use wippy::wasm::{HostError, HostFunctionError};
use wippy::{BuildError, Runtime, RuntimeBuilder};

use crate::yielding::stage::until;

/// Imports `join`, and hands out what that makes of its number and the text "b".
const COMPONENT: &str = r#"(component
  (import "acme:host/api@1.2.0" (instance $api
    (export "join" (func (param "a" u32) (param "b" string) (result string)))))
  (core module $libc (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (local $place i32)
      (local.set $place (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $place) (local.get 3)))
      (local.get $place)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "cabi_realloc" (core func $realloc))
  (core func $join (canon lower (func $api "join") (memory $memory) (realloc $realloc)))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "join" (func $join (param i32 i32 i32 i32)))
    (data (i32.const 0) "b")
    (func (export "run") (param i32) (result i32)
      (call $join (local.get 0) (i32.const 0) (i32.const 1) (i32.const 16))
      (i32.const 16)))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc)) (with "host" (instance (export "join" (func $join))))))
  (func (export "run") (param "n" u32) (result string)
    (canon lift (core func $i "run") (memory $memory) (realloc $realloc))))"#;

/// The same as a core module.
const CORE: &str = r#"(module
  (import "acme:host/api" "join" (func $join (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "b")
  (global $next (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $place i32)
    (local.set $place (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $place) (local.get 3)))
    (local.get $place))
  (func (export "run") (param i32) (result i32)
    (call $join (local.get 0) (i32.const 0) (i32.const 1) (i32.const 16))
    (i32.const 16)))"#;

/// Calls `wait`, which has no parameters and no result.
const WAIT: &str = r#"(module (import "acme:host/api" "wait" (func $wait))
    (func (export "run") (call $wait)))"#;

fn guests(builder: RuntimeBuilder, imports: &[&str]) -> RuntimeBuilder {
    let component = Entry::wasm("app:component").wat(COMPONENT).method("run");
    let core = Entry::wasm("app:core").wat(CORE).method("run").wit("run: func(n: u32) -> string");
    builder
        .cache(false)
        .entry(Entry::host("app:processes").workers(1))
        .entry(imports.iter().fold(component, |entry, import| entry.import(*import)))
        .entry(imports.iter().fold(core, |entry, import| entry.import(*import)))
}

/// A runtime around the guest that calls `wait`.
fn waiting<F>(clock: Clock, limits: &LimitsSpec, wait: impl Fn() -> F + Send + Sync + 'static) -> Runtime
where
    F: Future<Output = Result<(), HostError>> + Send + 'static,
{
    let entry = |name: &str| Entry::wasm(name).method("run");
    Runtime::builder()
        .cache(false)
        .clock(clock)
        .host_func_async("acme:host/api", "wait", move |_, ()| wait())
        .entry(Entry::host("app:processes").workers(1))
        .entry(entry("app:wait").wat(WAIT).import("acme:host/api").limits(limits))
        .entry(entry("app:other").wat(r#"(module (func (export "run")))"#))
        .build()
        .expect("a sound application")
}

fn spawn(runtime: &Runtime, entry: &str) -> ProcessHandle {
    runtime.spawn(entry, [(); 0]).expect("a process")
}

/// Never ready, and counted.
struct Never(Arc<AtomicUsize>);

impl Never {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Future for Never {
    type Output = Result<(), HostError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for Never {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn text_and_numbers_go_to_components_and_core_modules() {
    let join = |a: u32, b: &str| format!("{a}{b}");
    let at_once = Runtime::builder().host_func("acme:host/api", "join", move |context, (a, b): (u32, String)| {
        assert_eq!(context.entry().namespace(), "app");
        Ok(join(a, &b))
    });
    let later =
        Runtime::builder().host_func_async("acme:host/api", "join", move |context, (a, b): (u32, String)| async move {
            context.sleep(Duration::from_millis(1)).await;
            Ok(join(a, &b))
        });
    for builder in [at_once, later] {
        let runtime = guests(builder, &["acme:host/api"]).build().expect("a sound application");
        assert_eq!(runtime.warnings().iter().map(|warning| warning.code.as_ref()).collect::<Vec<_>>(), [""; 0]);
        for entry in ["app:component", "app:core"] {
            let run = runtime.typed::<(u32,), String>(entry).expect("it has these types");
            assert_eq!(run.call((7,)), Ok("7b".to_owned()), "{entry}");
        }
    }
}

#[test]
fn an_interface_is_listed_or_a_call_ends_the_process() {
    let function = |_: &_, (a, b): (u32, String)| Ok(format!("{a}{b}"));
    let builder = Runtime::builder().host_func("acme:host/api", "join", function);
    let runtime = guests(builder, &[]).build().expect("a sound application");
    let warnings: Vec<_> =
        runtime.warnings().iter().map(|warning| (warning.code.clone(), warning.message.clone())).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().all(|(code, _)| code == "unlisted-import"), "{warnings:?}");
    for entry in ["app:component", "app:core"] {
        let exit = runtime.spawn(entry, [7]).expect("a process").wait();
        let Exit::Failed(failure) = exit else { panic!("{entry}: {exit}") };
        assert_eq!(failure.kind, FailureKind::Import, "{failure:?}");
        let line = "which the entry does not list: add `- acme:host/api` under `imports:`";
        assert!(failure.message.ends_with(line), "{failure:?}");
    }
}

#[test]
fn what_nobody_provides_is_told() {
    // Listed: an error.
    let builder = Runtime::builder().host_func("acme:host/apis", "join", |_, ()| Ok(()));
    let Err(BuildError::Configuration(problems)) = guests(builder, &["acme:host/api"]).build() else {
        panic!("nobody provides it")
    };
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let expected = "unknown import `acme:host/api`, did you mean `acme:host/apis`?";
    assert!(messages.contains(&expected), "{messages:?}");
    // Imported, by name or by interface: a warning.
    let builder = Runtime::builder().host_func("acme:host/api", "split", |_, ()| Ok(()));
    let runtime = guests(builder, &["acme:host/api"]).build().expect("a sound application");
    let codes: Vec<_> = runtime.warnings().iter().map(|warning| warning.code.as_ref()).collect();
    assert_eq!(codes, ["unprovided-import"; 2]);
    assert!(matches!(runtime.spawn("app:core", [7]).expect("a process").wait(), Exit::Failed(_)));
}

#[test]
fn an_import_of_another_type_is_told_with_both() {
    let builder = Runtime::builder().host_func("acme:host/api", "join", |_, (a,): (u64,)| Ok(a));
    let Err(BuildError::Configuration(problems)) = guests(builder, &["acme:host/api"]).build() else {
        panic!("the types differ")
    };
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let here = "`acme:host/api#join` is `func(p0: u64) -> u64` here, and the guest imports it as";
    assert!(messages.iter().all(|message| message.contains(here)), "{messages:?}");
    assert!(messages.iter().any(|message| message.contains("`func(a: u32, b: string) -> string`")), "{messages:?}");
    assert!(messages.iter().any(|message| message.contains("(i64) -> (i64)")), "{messages:?}");
}

#[test]
fn names_belong_to_one() {
    let taken = Runtime::builder().host_func("wasi:random/random", "get", |_, ()| Ok(1_u32)).build();
    assert!(matches!(taken, Err(BuildError::HostFunction(HostFunctionError::Taken { .. }))), "{taken:?}");
    let builder = Runtime::builder().host_func("acme:host/api", "f", |_, ()| Ok(1_u32));
    let twice = builder.host_func("acme:host/api", "f", |_, ()| Ok(2_u32)).build();
    assert!(matches!(twice, Err(BuildError::HostFunction(HostFunctionError::Twice { .. }))), "{twice:?}");
}

#[test]
fn a_wait_leaves_its_worker_to_others_and_is_ended_by_force() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let runtime = waiting(Clock::real(), &LimitsSpec::default(), move || Never::new(&counted));
    let waits: Vec<_> = (0..10).map(|_| spawn(&runtime, "app:wait")).collect();
    until("all wait", || waits.iter().all(|process| process.state() == State::Blocked));
    let snapshots = runtime.manager().processes();
    assert!(snapshots.iter().all(|process| process.waits.iter().eq([WaitReason::Host])), "{snapshots:?}");
    assert_eq!(count.load(Ordering::SeqCst), 10);
    assert!(spawn(&runtime, "app:other").wait().is_normal());
    waits[0].terminate();
    assert_eq!(waits[0].wait(), Exit::Terminated);
    waits[1].cancel("enough");
    assert_eq!(waits[1].wait(), Exit::Cancelled { reason: "enough".into() });
    assert_eq!(count.load(Ordering::SeqCst), 8, "what waited is gone before the exit is known");
    // Each of the others is asked first, and may have ended by then.
    let terminated = runtime.shutdown(Duration::ZERO);
    assert!(terminated.iter().all(|pid| waits[2..].iter().any(|process| process.pid() == pid)), "{terminated:?}");
    for process in &waits[2..] {
        let exit = process.exit().expect("a shutdown ends all");
        let is_forced = terminated.contains(process.pid());
        assert!(matches!(exit, Exit::Cancelled { .. }) || exit == Exit::Terminated && is_forced, "{exit}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn wall_time_runs_while_a_function_waits() {
    let clock = Clock::manual();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let limits = LimitsSpec { max_execution: Some(Duration::from_secs(5)), ..LimitsSpec::default() };
    let runtime = waiting(clock.clone(), &limits, move || Never::new(&counted));
    let process = spawn(&runtime, "app:wait");
    until("it waits", || process.state() == State::Blocked);
    clock.advance(Duration::from_secs(6)).expect("a manual clock");
    let Exit::LimitExceeded(limit) = process.wait() else { panic!("it has a limit") };
    assert_eq!(limit.limit, "max_execution");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn futures_of_any_executor_wake_the_guest() {
    let executor = Arc::new(smol::Executor::new());
    let tasks = Arc::clone(&executor);
    let runtime = waiting(Clock::real(), &LimitsSpec::default(), move || {
        let task = tasks.spawn(async {
            smol::Timer::after(Duration::from_millis(1)).await;
        });
        async move {
            task.await;
            Ok(())
        }
    });
    let processes: Vec<_> = (0..100).map(|_| spawn(&runtime, "app:wait")).collect();
    let all_end = async {
        for process in processes {
            assert_eq!(process.await, Exit::Returned(wippy::process::Payload::Nil));
        }
    };
    smol::block_on(executor.run(all_end));
}

#[test]
fn errors_and_panics_end_the_process_that_called_and_no_other() {
    let guest = |name: &str| {
        format!(
            r#"(module (import "acme:host/api" "{name}" (func $f (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (call $f (local.get 0))))"#
        )
    };
    let entry = |name: &str| Entry::wasm(format!("app:{name}")).wat(guest(name)).method("run").import("acme:host/api");
    let judge = |number: u32| match number {
        0 => panic!("on purpose"),
        1 => Err("x".parse::<u32>().expect_err("no number").into()),
        number => Ok(number),
    };
    let runtime = Runtime::builder()
        .cache(false)
        .host_func("acme:host/api", "now", move |_, (number,): (u32,)| judge(number))
        .host_func_async("acme:host/api", "later", move |context, (number,): (u32,)| async move {
            context.sleep(Duration::from_millis(1)).await;
            judge(number)
        })
        .entry(Entry::host("app:processes").workers(1))
        .entries([entry("now"), entry("later")])
        .build()
        .expect("a sound application");
    for entry in ["app:now", "app:later"] {
        let end = |number: u32| runtime.spawn(entry, [number]).expect("a process").wait();
        let Exit::Failed(panic) = end(0) else { panic!("it panics") };
        assert_eq!(panic.kind, FailureKind::Panic);
        assert!(panic.message.contains("on purpose"), "{panic:?}");
        let Exit::Failed(error) = end(1) else { panic!("it fails") };
        assert_eq!(error.kind, FailureKind::Host);
        let name = entry.replace("app:", "acme:host/api#");
        assert_eq!(error.message, format!("`{entry}`: `{name}` failed: invalid digit found in string"));
        assert_eq!(end(2), Exit::Returned(2.into()));
    }
}

#[test]
fn functions_without_an_interface_are_those_of_the_root() {
    let component = r#"(component
        (import "log" (func $log (param "n" u32) (result u32)))
        (core func $log (canon lower (func $log)))
        (core module $m
            (import "" "log" (func $log (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (call $log (local.get 0))))
        (core instance $i (instantiate $m (with "" (instance (export "log" (func $log))))))
        (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#;
    let core = r#"(module (import "$root" "log" (func $log (param i32) (result i32)))
        (func (export "run") (param i32) (result i32) (call $log (local.get 0))))"#;
    let runtime = Runtime::builder()
        .cache(false)
        .host_func("$root", "log", |_, (number,): (u32,)| Ok(number + 1))
        .entry(Entry::host("app:processes").workers(1))
        .entry(Entry::wasm("app:component").wat(component).method("run").import("$root"))
        .entry(Entry::wasm("app:core").wat(core).method("run").import("$root"))
        .build()
        .expect("a sound application");
    for entry in ["app:component", "app:core"] {
        assert_eq!(runtime.typed::<(u32,), u32>(entry).expect("it has these types").call((41,)), Ok(42), "{entry}");
    }
}

wippy::wit_record! {
    /// A record of many parts: more than sixteen core values, which go through memory.
    #[derive(Clone, Debug, PartialEq)]
    struct Parcel {
        id: u64,
        lines: Vec<String>,
        weights: (f64, f64, f64, f64, f64, f64, f64, f64),
        more: (u32, u32, u32, u32, u32, u32),
        note: Option<String>,
    }
}

/// A parcel in the memory of a core module: it is given to the host as it is, and handed out as the host returned it.
const PARCEL: &str = r#"(module
    (import "acme:host/api" "send" (func $send (param i32 i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $place i32)
        (local.set $place (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $place) (local.get 3)))
        (local.get $place))
    (func (export "run") (param $parcel i32) (result i32)
        (call $send (local.get $parcel) (i32.const 1024))
        (i32.const 1024)))"#;

#[test]
fn large_values_go_through_the_memory_of_a_core_module() {
    let wit = "run: func(parcel: record { id: u64, lines: list<string>, weights: tuple<f64, f64, f64, f64, f64, f64, f64, f64>, \
               more: tuple<u32, u32, u32, u32, u32, u32>, note: option<string> }) -> record { id: u64, lines: list<string>, \
               weights: tuple<f64, f64, f64, f64, f64, f64, f64, f64>, more: tuple<u32, u32, u32, u32, u32, u32>, note: \
               option<string> }";
    let runtime = Runtime::builder()
        .cache(false)
        .host_func("acme:host/api", "send", |_, (parcel,): (Parcel,)| {
            Ok(Parcel { id: parcel.id + 1, note: Some(parcel.lines.join(", ")), ..parcel })
        })
        .entry(Entry::host("app:processes").workers(1))
        .entry(Entry::wasm("app:send").wat(PARCEL).method("run").wit(wit).import("acme:host/api"))
        .build()
        .expect("a sound application");
    let parcel = Parcel {
        id: 1 << 40,
        lines: vec!["tea".into(), String::new(), "cups".into()],
        weights: (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, -0.0),
        more: (1, 2, 3, 4, 5, u32::MAX),
        note: None,
    };
    let send = runtime.typed::<(Parcel,), Parcel>("app:send").expect("it has these types");
    let expected = Parcel { id: (1 << 40) + 1, note: Some("tea, , cups".into()), ..parcel.clone() };
    assert_eq!(send.call((parcel,)), Ok(expected));
}
