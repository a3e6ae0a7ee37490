//! Components against what is linked for them.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::{Component, Linker};

use super::testing::{
    Data, Task, block_on, component, component_linker, engine, manual_reactor, run_component, store, store_on,
};
use super::*;
use crate::limits::{LimitExceeded, Limits, Usage};

fn config(profiles: &[Profile]) -> WasiConfig {
    WasiConfig {
        entry: "app:guest".into(),
        profiles: profiles.iter().copied().collect(),
        args: ["guest".to_owned(), "ä".to_owned()].into(),
        env: [("KEY".to_owned(), "value".to_owned())].into(),
        cwd: Some("/work".into()),
        ..WasiConfig::default()
    }
}

/// A component that imports one function of one interface, without memory, and whose `run` calls it.
fn caller(interface: &str, function: &str, ty: &str, core: &str, args: &str) -> String {
    component(
        &format!(r#"(import "{interface}" (instance $i (export "{function}" (func {ty}))))"#),
        &format!(r#"(core func $f (canon lower (func $i "{function}")))"#),
        r#"(with "host" (instance (export "f" (func $f))))"#,
        &format!(r#"(import "host" "f" (func $f {core})) (func (export "run") {args} call $f)"#),
        r#"(func (export "run") (canon lift (core func $main "run")))"#,
    )
}

/// As [`caller`], for a function that gives a u64, which `run` gives on.
fn u64_getter(interface: &str, function: &str) -> String {
    component(
        &format!(r#"(import "{interface}" (instance $i (export "{function}" (func (result u64)))))"#),
        &format!(r#"(core func $f (canon lower (func $i "{function}")))"#),
        r#"(with "host" (instance (export "f" (func $f))))"#,
        r#"(import "host" "f" (func $f (result i64))) (func (export "run") (result i64) call $f)"#,
        r#"(func (export "run") (result u64) (canon lift (core func $main "run")))"#,
    )
}

fn exit_of(wat: &str, config: WasiConfig) -> wasmtime::Error {
    block_on(run_component::<()>(&mut store(config), wat)).unwrap_err()
}

#[test]
fn exit_is_found_across_versions_and_typed() {
    for version in ["0.2.0", "0.2.3", "0.2.9", "0.2.12", "0.2.99"] {
        let name = format!("wasi:cli/exit@{version}");
        for (arg, code) in [(0, 0), (1, 1)] {
            let wat =
                caller(&name, "exit", r#"(param "status" (result))"#, "(param i32)", &format!("(i32.const {arg})"));
            let error = exit_of(&wat, config(&[Profile::Cli]));
            assert_eq!(error.downcast_ref(), Some(&GuestExit { code }), "{version}");
        }
        let wat = caller(&name, "exit-with-code", r#"(param "status-code" u8)"#, "(param i32)", "(i32.const 42)");
        assert_eq!(exit_of(&wat, config(&[Profile::Cli])).downcast_ref(), Some(&GuestExit { code: 42 }));
    }
}

#[test]
fn an_unlisted_import_loads_and_names_the_line_when_called() {
    for version in ["0.2.0", "0.2.3", "0.2.12", "0.2.99"] {
        let wat = u64_getter(&format!("wasi:random/random@{version}"), "get-random-u64");
        let error = block_on(run_component::<(u64,)>(&mut store(config(&[Profile::Cli])), &wat)).unwrap_err();
        let unlisted = error.downcast_ref::<UnlistedImport>().unwrap();
        assert_eq!(
            unlisted.to_string(),
            format!(
                "the guest of `app:guest` called `get-random-u64` of `wasi:random/random@{version}`, which the entry \
                 does not list: add `- wasi:random` under `imports:`"
            )
        );
        assert_eq!(unlisted.line_to_add.as_deref(), Some("- wasi:random"));
        block_on(run_component::<(u64,)>(&mut store(config(&[Profile::Random])), &wat)).unwrap();
    }
}

#[test]
fn an_interface_nobody_serves_loads_and_says_so_when_called() {
    let wat = u64_getter("acme:shop/cart@1.2.3", "total");
    let error = block_on(run_component::<(u64,)>(&mut store(config(&[])), &wat)).unwrap_err();
    assert_eq!(
        error.downcast_ref::<UnlistedImport>().unwrap().to_string(),
        "the guest of `app:guest` called `total` of `acme:shop/cart@1.2.3`, which nothing here serves: build the \
         guest without this import"
    );
}

#[test]
fn another_major_version_is_not_served_even_when_listed() {
    for version in ["0.3.0", "0.2.0-rc-2023-11-10"] {
        let wat = u64_getter(&format!("wasi:random/random@{version}"), "get-random-u64");
        let error = block_on(run_component::<(u64,)>(&mut store(config(&[Profile::Random])), &wat)).unwrap_err();
        assert_eq!(
            error.downcast_ref::<NotServed>().unwrap().to_string(),
            format!(
                "the guest of `app:guest` called `get-random-u64` of `wasi:random/random@{version}`, which this \
                 version does not serve; versions 0.2.x are, build the guest for one of them"
            )
        );
    }
}

#[test]
fn a_listed_function_that_is_not_served_yet_is_named() {
    // A function that a later version of the interface may have.
    let wat = u64_getter("wasi:random/random@0.2.99", "get-random-prime");
    let error = block_on(run_component::<(u64,)>(&mut store(config(&[Profile::Random])), &wat)).unwrap_err();
    assert_eq!(
        error.downcast_ref::<NotServed>().unwrap().to_string(),
        "the guest of `app:guest` called `get-random-prime` of `wasi:random/random@0.2.99`, which this version does \
         not serve"
    );
}

/// Whatever a component may import at once: functions at the root, records, resources with methods, constructors and
/// uses of each other's types, instances in instances, two versions of one interface, served interfaces beside others.
const IMPORTS_OF_EVERYTHING: &str = r#"
    (import "log" (func $log (param "text" string)))
    (type $pair (record (field "left" u32) (field "right" string)))
    (import "pair" (type $named (eq $pair)))
    (import "thing" (type $thing (sub resource)))
    (import "[constructor]thing" (func (result (own $thing))))
    (import "wasi:io/error@0.2.3" (instance $error
        (export "error" (type (sub resource)))
        (export "[method]error.to-debug-string" (func (param "self" (borrow 0)) (result string)))))
    (alias export $error "error" (type $io-error))
    (import "wasi:io/poll@0.2.9" (instance $poll
        (export "pollable" (type (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow 0))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:io/streams@0.2.3" (instance $streams
        (export "input-stream" (type $in (sub resource)))
        (export "output-stream" (type $out (sub resource)))
        (alias outer 1 $io-error (type $e))
        (export "error" (type $error (eq $e)))
        (type $se (variant (case "last-operation-failed" (own $error)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $se)))
        (alias outer 1 $pollable (type $p))
        (export "pollable" (type $pollable (eq $p)))
        (export "[method]output-stream.check-write"
            (func (param "self" (borrow $out)) (result (result u64 (error $stream-error)))))
        (export "[method]output-stream.subscribe" (func (param "self" (borrow $out)) (result (own $pollable))))
        (export "[method]input-stream.read"
            (func (param "self" (borrow $in)) (param "len" u64) (result (result (list u8) (error $stream-error)))))))
    (alias export $streams "output-stream" (type $output-stream))
    (import "wasi:filesystem/types@0.2.3" (instance $types
        (export "descriptor" (type $d (sub resource)))
        (export "directory-entry-stream" (type $s (sub resource)))
        (alias outer 1 $output-stream (type $o))
        (export "output-stream" (type $out (eq $o)))
        (type $ec (enum "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist"
            "file-too-large" "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory"
            "loop" "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock"
            "insufficient-memory" "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported"
            "no-tty" "no-such-device" "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy"
            "cross-device"))
        (export "error-code" (type $error-code (eq $ec)))
        (export "[method]descriptor.write-via-stream"
            (func (param "self" (borrow $d)) (param "offset" u64) (result (result (own $out) (error $error-code)))))
        (export "[method]descriptor.sync" (func (param "self" (borrow $d)) (result (result (error $error-code)))))))
    (alias export $types "descriptor" (type $descriptor))
    (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
        (alias outer 1 $descriptor (type $d))
        (export "descriptor" (type $descriptor (eq $d)))
        (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
    (import "wasi:http/types@0.2.8" (instance $http
        (export "fields" (type $f (sub resource)))
        (alias outer 1 $output-stream (type $o))
        (export "output-stream" (type $out (eq $o)))
        (export "outgoing-body" (type $b (sub resource)))
        (export "[constructor]fields" (func (result (own $f))))
        (export "[static]fields.of" (func (param "x" (list (tuple string (list u8)))) (result (own $f))))
        (export "[method]outgoing-body.write" (func (param "self" (borrow $b)) (result (result (own $out)))))))
    (alias export $http "fields" (type $fields))
    (import "wasi:http/outgoing-handler@0.2.0" (instance
        (alias outer 1 $fields (type $f))
        (export "fields" (type $fields (eq $f)))
        (export "handle-fields" (func (param "f" (own $fields)) (result (result (error string)))))))
    (import "wasi:cli/terminal-input@0.2.3" (instance $ti (export "terminal-input" (type (sub resource)))))
    (alias export $ti "terminal-input" (type $terminal-input))
    (import "wasi:cli/terminal-stdin@0.2.3" (instance
        (alias outer 1 $terminal-input (type $t))
        (export "terminal-input" (type $t2 (eq $t)))
        (export "get-terminal-stdin" (func (result (option (own $t2)))))))
    (import "wasi:cli/environment@0.2.1" (instance (export "initial-cwd" (func (result (option string))))))
    (import "wasi:cli/environment@0.2.7" (instance (export "initial-cwd" (func (result (option string))))))
    (import "acme:deep/nest@0.1.0" (instance
        (export "inner" (instance
            (export "r" (type $r (sub resource)))
            (export "[method]r.go" (func (param "self" (borrow $r))))
            (export "innermost" (instance (export "f" (func (param "x" f32))))))
        )
        (type $point (record (field "x" u32) (field "y" (option string))))
        (export "point" (type $p (eq $point)))
        (type $fl (flags "a" "b"))
        (export "bits" (type $bits (eq $fl)))
        (export "move" (func (param "p" $p) (param "b" $bits) (result $p)))))
"#;

#[test]
fn no_import_prevents_loading() {
    let wat = format!("(component {IMPORTS_OF_EVERYTHING})");
    let component = Component::new(engine(), wat).unwrap();
    let every: ProfileSet = Profile::ALL.into_iter().collect();
    for listed in [ProfileSet::EMPTY, every, [Profile::Cli].into_iter().collect()] {
        let linker = component_linker(&component, listed);
        let pre = linker.instantiate_pre(&component).unwrap();
        block_on(pre.instantiate_async(&mut store(config(&[])))).unwrap();
    }
}

#[test]
fn a_stub_completes_another_rooms_interface_and_does_not_hide_it() {
    let wat = component(
        r#"(import "wippy:runtime/funcs@0.1.7" (instance $i
            (export "served" (func (result u64)))
            (export "later" (func (result u64)))))"#,
        r#"(core func $f (canon lower (func $i "served")))"#,
        r#"(with "host" (instance (export "f" (func $f))))"#,
        r#"(import "host" "f" (func $f (result i64))) (func (export "run") (result i64) call $f)"#,
        r#"(func (export "run") (result u64) (canon lift (core func $main "run")))"#,
    );
    let component = Component::new(engine(), wat).unwrap();
    let mut linker: Linker<Data> = Linker::new(engine());
    add_to_linker(&mut linker, ProfileSet::EMPTY).unwrap();
    let name = "wippy:runtime/funcs@0.1.0";
    linker.instance(name).unwrap().func_wrap("served", |_, ()| Ok((5u64,))).unwrap();
    stub_missing(&mut linker, &component, ProfileSet::EMPTY, &[name]).unwrap();
    let mut store = store(config(&[]));
    let result = block_on(async {
        let instance = linker.instantiate_async(&mut store, &component).await?;
        instance.get_typed_func::<(), (u64,)>(&mut store, "run")?.call_async(&mut store, ()).await
    });
    assert_eq!(result.unwrap(), (5,));
}

#[test]
fn the_error_names_the_entry_of_the_calling_process() {
    let wat = u64_getter("wasi:random/random@0.2.0", "get-random-u64");
    let component = Component::new(engine(), wat).unwrap();
    let pre = component_linker(&component, ProfileSet::EMPTY).instantiate_pre(&component).unwrap();
    for entry in ["app:one", "app:two"] {
        let mut store = store(WasiConfig { entry: entry.into(), ..WasiConfig::default() });
        let error = block_on(async {
            let instance = pre.instantiate_async(&mut store).await?;
            instance.get_typed_func::<(), (u64,)>(&mut store, "run")?.call_async(&mut store, ()).await
        });
        assert_eq!(error.unwrap_err().downcast_ref::<UnlistedImport>().unwrap().entry, entry);
    }
}

#[test]
fn arguments_environment_and_directory_arrive() {
    // Each function writes pointer and length (or tag first) at 0; `run` sums what identifies the answer.
    let wat = component(
        r#"(import "wasi:cli/environment@0.2.3" (instance $env
            (export "get-arguments" (func (result (list string))))
            (export "get-environment" (func (result (list (tuple string string)))))
            (export "initial-cwd" (func (result (option string))))))
           (import "wasi:filesystem/types@0.2.3" (instance $types (export "descriptor" (type (sub resource)))))
           (alias export $types "descriptor" (type $descriptor))
           (import "wasi:filesystem/preopens@0.2.3" (instance $pre
            (alias outer 1 $descriptor (type $d))
            (export "descriptor" (type $descriptor (eq $d)))
            (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))"#,
        r#"(core func $args (canon lower (func $env "get-arguments") (memory $memory) (realloc $realloc)))
           (core func $vars (canon lower (func $env "get-environment") (memory $memory) (realloc $realloc)))
           (core func $cwd (canon lower (func $env "initial-cwd") (memory $memory) (realloc $realloc)))
           (core func $dirs (canon lower (func $pre "get-directories") (memory $memory) (realloc $realloc)))"#,
        r#"(with "host" (instance (export "args" (func $args)) (export "vars" (func $vars))
            (export "cwd" (func $cwd)) (export "dirs" (func $dirs))))"#,
        r#"(import "host" "args" (func $args (param i32))) (import "host" "vars" (func $vars (param i32)))
           (import "host" "cwd" (func $cwd (param i32))) (import "host" "dirs" (func $dirs (param i32)))
           (func (export "run") (result i32)
            (call $args (i32.const 0)) (call $vars (i32.const 16)) (call $cwd (i32.const 32)) (call $dirs (i32.const 48))
            ;; second argument's length, first variable's value length, length of the directory, number of preopens
            (i32.add (i32.mul (i32.load offset=12 (i32.load (i32.const 0))) (i32.const 1000))
            (i32.add (i32.mul (i32.load offset=12 (i32.load (i32.const 16))) (i32.const 100))
            (i32.add (i32.mul (i32.load (i32.const 40)) (i32.const 10)) (i32.load (i32.const 52))))))"#,
        r#"(func (export "run") (result u32) (canon lift (core func $main "run")))"#,
    );
    let result = block_on(run_component::<(u32,)>(&mut store(config(&[Profile::Cli])), &wat)).unwrap();
    assert_eq!(result, (2 * 1000 + 5 * 100 + 5 * 10,));
}

const POLL_IMPORTS: &str = r#"
    (import "wasi:io/poll@0.2.3" (instance $poll
        (export "pollable" (type $p (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $p))))
        (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.9" (instance $clock
        (alias outer 1 $pollable (type $p))
        (export "pollable" (type $pollable (eq $p)))
        (export "now" (func (result u64)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))
        (export "subscribe-instant" (func (param "when" u64) (result (own $pollable))))))"#;

const POLL_LOWERED: &str = r#"
    (core func $block (canon lower (func $poll "[method]pollable.block")))
    (core func $poll-list (canon lower (func $poll "poll") (memory $memory) (realloc $realloc)))
    (core func $drop (canon resource.drop $pollable))
    (core func $now (canon lower (func $clock "now")))
    (core func $duration (canon lower (func $clock "subscribe-duration")))
    (core func $instant (canon lower (func $clock "subscribe-instant")))"#;

const POLL_WITH: &str = r#"(with "host" (instance (export "block" (func $block)) (export "poll" (func $poll-list))
    (export "drop" (func $drop)) (export "now" (func $now)) (export "duration" (func $duration))
    (export "instant" (func $instant))))"#;

fn clock_guest(body: &str) -> String {
    component(
        POLL_IMPORTS,
        POLL_LOWERED,
        POLL_WITH,
        &format!(
            r#"(import "host" "block" (func $block (param i32)))
            (import "host" "poll" (func $poll (param i32 i32 i32)))
            (import "host" "drop" (func $drop (param i32)))
            (import "host" "now" (func $now (result i64)))
            (import "host" "duration" (func $duration (param i64) (result i32)))
            (import "host" "instant" (func $instant (param i64) (result i32)))
            (func (export "run") (result i64) (local $a i32) (local $b i32) {body})"#
        ),
        r#"(func (export "run") (result u64) (canon lift (core func $main "run")))"#,
    )
}

#[test]
fn a_sleep_suspends_until_the_reactors_clock_says_so() {
    let wat = clock_guest(
        r#"(local.set $a (call $duration (i64.const 3000000000)))
        (call $block (local.get $a)) (call $drop (local.get $a)) (call $now)"#,
    );
    let (clock, reactor) = manual_reactor();
    let mut store = store_on(config(&[Profile::Clocks]), reactor);
    let mut task = Task::new(run_component::<(u64,)>(&mut store, &wat));
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_nanos(2_999_999_999)).unwrap();
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_nanos(1)).unwrap();
    assert!(matches!(task.run_until_stalled(), Poll::Ready(Ok((3_000_000_000,)))));
}

#[test]
fn polling_several_says_which_is_ready() {
    let wat = clock_guest(
        r#"(local.set $a (call $duration (i64.const 9000)))
        (local.set $b (call $instant (i64.const 2000)))
        (i32.store (i32.const 0) (local.get $a)) (i32.store (i32.const 4) (local.get $b))
        (call $poll (i32.const 0) (i32.const 2) (i32.const 16))
        ;; number of ready ones and the first of them
        (i64.add (i64.mul (i64.load32_u (i32.const 20)) (i64.const 10)) (i64.load32_u (i32.load (i32.const 16))))"#,
    );
    let (clock, reactor) = manual_reactor();
    let mut store = store_on(config(&[Profile::Clocks]), reactor);
    let mut task = Task::new(run_component::<(u64,)>(&mut store, &wat));
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_nanos(2000)).unwrap();
    assert!(matches!(task.run_until_stalled(), Poll::Ready(Ok((11,)))));
}

#[test]
fn a_deadline_in_the_past_gives_the_worker_back_once() {
    let wat = clock_guest(
        r#"(local.set $a (call $duration (i64.const 0))) (call $block (local.get $a)) (call $block (local.get $a))
        (call $now)"#,
    );
    let mut store = store(config(&[Profile::Clocks]));
    let mut task = Task::new(run_component::<(u64,)>(&mut store, &wat));
    assert!(matches!(task.run_until_stalled(), Poll::Ready(Ok((0,)))));
    assert_eq!(task.polls, 2);
}

/// A guest that writes `text` to its standard output by `write` after `check-write`, or by the blocking form, and gives
/// the tag of the last result: 0 for ok, 1 for an error, 256 more when that is `closed`.
fn writer(text: &str, blocking: bool) -> String {
    let call = if blocking {
        format!("(call $blocking (local.get $s) (i32.const 64) (i32.const {}) (i32.const 16))", text.len())
    } else {
        format!(
            r#"(call $check (local.get $s) (i32.const 0))
            (call $write (local.get $s) (i32.const 64) (i32.const {}) (i32.const 16))"#,
            text.len()
        )
    };
    component(
        r#"(import "wasi:io/error@0.2.3" (instance $error (export "error" (type (sub resource)))))
        (alias export $error "error" (type $io-error))
        (import "wasi:io/streams@0.2.3" (instance $streams
            (export "output-stream" (type $out (sub resource)))
            (alias outer 1 $io-error (type $e))
            (export "error" (type $error (eq $e)))
            (type $se (variant (case "last-operation-failed" (own $error)) (case "closed")))
            (export "stream-error" (type $stream-error (eq $se)))
            (export "[method]output-stream.check-write"
                (func (param "self" (borrow $out)) (result (result u64 (error $stream-error)))))
            (export "[method]output-stream.write" (func (param "self" (borrow $out)) (param "contents" (list u8))
                (result (result (error $stream-error)))))
            (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $out))
                (param "contents" (list u8)) (result (result (error $stream-error)))))))
        (alias export $streams "output-stream" (type $output-stream))
        (import "wasi:cli/stdout@0.2.3" (instance $stdout
            (alias outer 1 $output-stream (type $o))
            (export "output-stream" (type $out (eq $o)))
            (export "get-stdout" (func (result (own $out))))))"#,
        r#"(core func $check (canon lower (func $streams "[method]output-stream.check-write") (memory $memory)))
        (core func $write (canon lower (func $streams "[method]output-stream.write") (memory $memory)))
        (core func $blocking
            (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory)))
        (core func $get (canon lower (func $stdout "get-stdout")))"#,
        r#"(with "host" (instance (export "check" (func $check)) (export "write" (func $write))
            (export "blocking" (func $blocking)) (export "get" (func $get))))"#,
        &format!(
            r#"(import "host" "check" (func $check (param i32 i32)))
            (import "host" "write" (func $write (param i32 i32 i32 i32)))
            (import "host" "blocking" (func $blocking (param i32 i32 i32 i32)))
            (import "host" "get" (func $get (result i32)))
            (data (i32.const 64) "{text}")
            (func (export "run") (result i32) (local $s i32)
                (local.set $s (call $get)) {call}
                (i32.add (i32.load8_u (i32.const 16)) (i32.mul (i32.const 256) (i32.load8_u (i32.const 20)))))"#
        ),
        r#"(func (export "run") (result u32) (canon lift (core func $main "run")))"#,
    )
}

#[test]
fn output_arrives_and_is_counted() {
    for blocking in [false, true] {
        let out = Capture::new(64);
        let mut store = store(WasiConfig { stdout: Arc::new(out.clone()), ..config(&[Profile::Cli]) });
        assert_eq!(block_on(run_component::<(u32,)>(&mut store, &writer("hello", blocking))).unwrap(), (0,));
        assert_eq!(out.take(), b"hello");
        assert_eq!(store.data_mut().wasi().usage().bytes_out(), 5);
    }
}

#[test]
fn a_reader_that_has_gone_is_a_closed_stream_for_the_guest() {
    let (reader, gone) = std::io::pipe().unwrap();
    drop(reader);
    let (_, reactor) = manual_reactor();
    let terminal = Terminal::over(&reactor, Box::new(gone), Box::new(std::io::sink()), [false; 2]);
    let stdout = terminal.stdout();
    let mut store = store_on(WasiConfig { stdout: stdout.clone(), ..config(&[Profile::Cli]) }, reactor);
    assert_eq!(block_on(run_component::<(u32,)>(&mut store, &writer("lost", true))).unwrap(), (0,));
    let drained = block_on(store.data_mut().wasi().drain());
    assert!(matches!(drained, Err(StreamFailure::Closed)));
    assert_eq!(block_on(run_component::<(u32,)>(&mut store, &writer("refused", true))).unwrap(), (0x101,));
}

#[test]
fn writing_more_than_allowed_ends_the_process() {
    let wat = writer("x", false).replace("(call $check (local.get $s) (i32.const 0))", "");
    let error = block_on(run_component::<(u32,)>(&mut store(config(&[Profile::Cli])), &wat)).unwrap_err();
    assert!(format!("{error:?}").contains("`check-write`"), "{error:?}");
}

#[test]
fn too_many_random_bytes_at_once_end_the_process() {
    let getter = |count: &str| {
        component(
            r#"(import "wasi:random/random@0.2.3" (instance $i
                (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))"#,
            r#"(core func $f (canon lower (func $i "get-random-bytes") (memory $memory) (realloc $realloc)))"#,
            r#"(with "host" (instance (export "f" (func $f))))"#,
            &format!(
                r#"(import "host" "f" (func $f (param i64 i32)))
                (func (export "run") (result i32) (call $f (i64.const {count}) (i32.const 0)) (i32.load (i32.const 4)))"#
            ),
            r#"(func (export "run") (result u32) (canon lift (core func $main "run")))"#,
        )
    };
    let mut store = store(config(&[Profile::Random]));
    assert_eq!(block_on(run_component::<(u32,)>(&mut store, &getter("32"))).unwrap(), (32,));
    let error = block_on(run_component::<(u32,)>(&mut store, &getter("0x10000000000"))).unwrap_err();
    assert_eq!(
        error.root_cause().to_string(),
        "the guest asked for 1099511627776 random bytes at once, at most 67108864 are given"
    );
    // Within the bound, and more than this process may hold.
    let limits = Limits { max_memory: Some(100_000), ..Limits::default() };
    let small = WasiConfig { usage: Arc::new(Usage::new(limits, 0)), ..config(&[Profile::Random]) };
    let mut store = self::store(small);
    assert_eq!(block_on(run_component::<(u32,)>(&mut store, &getter("65536"))).unwrap(), (65_536,));
    let error = block_on(run_component::<(u32,)>(&mut store, &getter("100001"))).unwrap_err();
    assert_eq!(error.downcast_ref::<LimitExceeded>().expect("a limit").limit, "max_memory");
    assert_eq!(store.data_mut().wasi().usage().memory(), 0, "given back");
}

#[test]
fn a_full_resource_table_is_an_error_that_can_be_told() {
    let wat = clock_guest("(loop $more (drop (call $duration (i64.const 5))) (br $more)) unreachable");
    let error = block_on(run_component::<(u64,)>(&mut store(config(&[Profile::Clocks])), &wat)).unwrap_err();
    assert!(matches!(
        error.downcast_ref::<wasmtime::component::ResourceTableError>(),
        Some(wasmtime::component::ResourceTableError::Full)
    ));
}
