use std::sync::{Arc, OnceLock};

use wippy::process::{Exit, Payload};
use wippy::registry::{Entry, LimitsSpec};
use wippy::runtime::{TypedEntryError, TypedError};
use wippy::{Runtime, TypedEntry};

const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1))))"#;

const COMPONENT: &str = r#"(component
    (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add"))))"#;

/// Never ends.
const SPIN: &str = r#"(module (func (export "spin") (loop br 0)))"#;

fn runtime() -> Runtime {
    let guest = |name| std::fs::read(format!("fixtures/guests/{name}.wasm")).expect("a guest");
    let fuel = LimitsSpec { max_fuel: Some(1000), ..LimitsSpec::default() };
    Runtime::builder()
        .cache(false)
        .entry(Entry::host("app:processes").workers(1))
        .entry(Entry::wasm("app:core").wat(ADD).method("add"))
        .entry(Entry::wasm("app:component").wat(COMPONENT).method("add"))
        .entry(Entry::function("app:function").wat(COMPONENT).method("add"))
        .entry(Entry::wasm("app:greet").bytes(guest("greet")).method("greet"))
        .entry(Entry::wasm("app:command").bytes(guest("run-err")).method("run"))
        .entry(Entry::wasm("app:spin").wat(SPIN).method("spin"))
        .entry(Entry::wasm("app:fuel").wat(SPIN).method("spin").limits(&fuel))
        .build()
        .expect("a sound application")
}

#[test]
fn one_signature_does_for_components_and_core_modules_and_functions() {
    let runtime = runtime();
    for entry in ["app:core", "app:component", "app:function"] {
        let add = runtime.typed::<(u32, u32), u32>(entry).expect("it has these types");
        assert_eq!(add.call((6, 7)), Ok(13), "{entry}");
        // The numbers of a core module have no sign.
        assert_eq!(add.call((u32::MAX - 1, 1)), Ok(u32::MAX), "{entry}");
        assert_eq!(smol::block_on(add.call_async((6, 7))), Ok(13), "{entry}");
    }
    let greet = runtime.typed::<(String,), String>("app:greet").expect("it has these types");
    assert_eq!(greet.call(("Ann".into(),)), Ok("Hello, Ann!".into()));
    let greet = runtime.typed::<(Payload,), Payload>("app:greet").expect("a payload is of every type");
    assert_eq!(greet.call(("Ann".into(),)), Ok("Hello, Ann!".into()));
}

#[test]
fn other_types_are_refused_with_both_signatures() {
    let runtime = runtime();
    let text = |error: TypedEntryError| error.to_string();
    let found = runtime.typed::<(String, u32), u64>("app:component").map_err(text);
    let expected = "`app:component` is `func(a: u32, b: u32) -> u32`, not `func(p0: string, p1: u32) -> u64`";
    assert_eq!(found.unwrap_err(), expected);
    let found = runtime.typed::<(i32, i32), i32>("app:component").map_err(text);
    assert!(found.is_err(), "the sign counts where there is one");
    assert!(runtime.typed::<(i32, i32), i32>("app:core").is_ok());
    assert!(runtime.typed::<(u32, u32), ()>("app:core").is_err());
    assert!(runtime.typed::<(u32,), u32>("app:core").is_err());
    let command = runtime.typed::<(), ()>("app:command");
    assert!(matches!(command, Err(TypedEntryError::Command { .. })), "{command:?}");
    let nobody = runtime.typed::<(), ()>("app:nobody");
    assert!(matches!(nobody, Err(TypedEntryError::Entry(_))), "{nobody:?}");
}

#[test]
fn a_typed_process_is_a_process() {
    let runtime = runtime();
    let spin = runtime.typed::<(), ()>("app:spin").expect("it has these types");
    let process = spin.spawn(()).expect("a process");
    let handle = process.handle().clone();
    assert_eq!(handle.entry().to_string(), "app:spin");
    handle.terminate();
    let error = process.wait().unwrap_err();
    assert_eq!(error.exit(), Some(&Exit::Terminated));
    assert_eq!(error.to_string(), "`app:spin`: terminated");

    let error = runtime.typed::<(), ()>("app:fuel").expect("it has these types").call(()).unwrap_err();
    assert_eq!(error.limit().map(|limit| limit.limit), Some("max_fuel"));
}

#[test]
fn a_typed_call_ends_with_who_wants_its_value() {
    let runtime = runtime();
    let spin = runtime.typed::<(), ()>("app:spin").expect("it has these types");
    let call = spin.call_async(());
    let process = runtime.manager().processes().first().map(|process| process.pid.clone()).expect("it runs");
    let process = runtime.manager().find(&process).expect("it runs");
    drop(call);
    assert_eq!(process.wait(), Exit::Terminated);
}

#[test]
fn a_blocking_call_on_a_worker_is_refused() {
    let add: Arc<OnceLock<TypedEntry<(u32, u32), u32>>> = Arc::default();
    let known = Arc::clone(&add);
    let guest = r#"(module (import "acme:host/api" "ask" (func $ask (result i32)))
        (func (export "ask") (result i32) (call $ask)))"#;
    let runtime = Runtime::builder()
        .cache(false)
        .host_func("acme:host/api", "ask", move |_, ()| {
            let error = known.get().expect("it is known").call((1, 2)).unwrap_err();
            Ok(u32::from(matches!(error, TypedError::Deadlock { .. })))
        })
        .entry(Entry::host("app:processes").workers(1))
        .entry(Entry::wasm("app:add").wat(ADD).method("add"))
        .entry(Entry::wasm("app:ask").wat(guest).method("ask").import("acme:host/api"))
        .build()
        .expect("a runtime");
    add.set(runtime.typed("app:add").expect("it has these types")).expect("once");
    assert_eq!(runtime.typed::<(), u32>("app:ask").expect("it has these types").call(()), Ok(1));
}

#[test]
fn a_typed_map_hands_out_typed_values() {
    let runtime = runtime();
    let add = runtime.typed::<(u32, u32), u32>("app:component").expect("it has these types");
    let map = add.map((0..1000).map(|number| (number, 1))).expect("a process entry").window(16);
    let values: Vec<_> = map.map(|done| (done.index, done.result.expect("a sum"))).collect();
    assert_eq!(values, (0..1000).map(|number| (u64::from(number), number + 1)).collect::<Vec<_>>());

    let mut map = add.map([(1, 2), (3, 4)]).expect("a process entry").unordered();
    let mut sums: Vec<u32> = smol::block_on(async {
        let mut sums = Vec::new();
        while let Some(done) =
            std::future::poll_fn(|cx| futures_core::Stream::poll_next(std::pin::Pin::new(&mut map), cx)).await
        {
            sums.push(done.result.expect("a sum"));
        }
        sums
    });
    sums.sort_unstable();
    assert_eq!(sums, [3, 7]);
    let function = runtime.typed::<(u32, u32), u32>("app:function").expect("it has these types");
    assert!(function.map([(1, 2)]).is_err(), "it has no processes of its own");
    assert!(function.spawn((1, 2)).is_err());
}
