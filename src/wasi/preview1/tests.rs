//! Core guests against preview 1.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wasmtime::Module;

use crate::wasi::testing::{Task, block_on, engine, manual_reactor, run_module, store, store_on};
use crate::wasi::{
    BytesInput, Capture, GuestExit, NoMemory, ProgramInput, UnlistedImport, WasiConfig, WasiView, add_preview1,
};

fn config() -> WasiConfig {
    WasiConfig {
        entry: "app:guest".into(),
        args: ["guest".to_owned(), "é".to_owned()].into(),
        env: [("A".to_owned(), "1".to_owned()), ("LONG".to_owned(), String::new())].into(),
        ..WasiConfig::default()
    }
}

/// A module with a memory and `run` over the functions imported by `imports`.
fn module(imports: &str, body: &str) -> String {
    format!(r#"(module {imports} (memory (export "memory") 1) {body})"#)
}

fn import(name: &str, signature: &str) -> String {
    format!(r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} {signature}))"#)
}

#[test]
fn arguments_and_environment_arrive_with_their_ends() {
    let out = Capture::new(256);
    let mut store = store(WasiConfig { stdout: Arc::new(out.clone()), ..config() });
    // Sizes at 0..16, pointers at 64, texts at 128: then writes the texts out as they are.
    let wat = module(
        &[
            import("args_sizes_get", "(param i32 i32) (result i32)"),
            import("args_get", "(param i32 i32) (result i32)"),
            import("environ_sizes_get", "(param i32 i32) (result i32)"),
            import("environ_get", "(param i32 i32) (result i32)"),
            import("fd_write", "(param i32 i32 i32 i32) (result i32)"),
        ]
        .concat(),
        r#"(func (export "run") (result i32)
            (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
            (drop (call $environ_sizes_get (i32.const 8) (i32.const 12)))
            (drop (call $args_get (i32.const 64) (i32.const 128)))
            (drop (call $environ_get (i32.const 80) (i32.const 192)))
            ;; args, then env through their pointers
            (i32.store (i32.const 32) (i32.load (i32.const 64)))
            (i32.store (i32.const 36) (i32.load (i32.const 4)))
            (i32.store (i32.const 40) (i32.load (i32.const 80)))
            (i32.store (i32.const 44) (i32.load (i32.const 12)))
            (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 2) (i32.const 48)))
            (i32.add (i32.mul (i32.load (i32.const 0)) (i32.const 1000))
                (i32.add (i32.mul (i32.load (i32.const 8)) (i32.const 100)) (i32.load (i32.const 48)))))"#,
    );
    let result: i32 = block_on(run_module(&mut store, &wat)).unwrap();
    let texts = "guest\0é\0A=1\0LONG=\0".as_bytes();
    assert_eq!(out.take(), texts);
    assert_eq!(result, 2 * 1000 + 2 * 100 + texts.len() as i32);
    assert_eq!(store.data_mut().wasi().usage().bytes_out(), texts.len() as u64);
}

#[test]
fn no_descriptor_is_a_socket() {
    let wat = module(
        &[
            import("sock_accept", "(param i32 i32 i32) (result i32)"),
            import("sock_recv", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
            import("sock_send", "(param i32 i32 i32 i32 i32) (result i32)"),
            import("sock_shutdown", "(param i32 i32) (result i32)"),
        ]
        .concat(),
        r#"(func $all (param $fd i32) (result i32)
            (i32.add (i32.add
                (call $sock_accept (local.get $fd) (i32.const 0) (i32.const 8))
                (call $sock_recv (local.get $fd) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 12)))
            (i32.add
                (call $sock_send (local.get $fd) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8))
                (call $sock_shutdown (local.get $fd) (i32.const 3)))))
        (func (export "run") (result i32 i32) (call $all (i32.const 1)) (call $all (i32.const 77)))"#,
    );
    let (open, unknown) = block_on(run_module::<(i32, i32)>(&mut store(config()), &wat)).unwrap();
    assert_eq!((open, unknown), (4 * 57, 4 * 8), "`notsock`, `badf`");
}

#[test]
fn every_function_of_preview_1_is_there_with_its_type() {
    let functions = [
        ("args_get", "ii", "i"),
        ("args_sizes_get", "ii", "i"),
        ("environ_get", "ii", "i"),
        ("environ_sizes_get", "ii", "i"),
        ("clock_res_get", "ii", "i"),
        ("clock_time_get", "iIi", "i"),
        ("fd_advise", "iIIi", "i"),
        ("fd_allocate", "iII", "i"),
        ("fd_close", "i", "i"),
        ("fd_datasync", "i", "i"),
        ("fd_fdstat_get", "ii", "i"),
        ("fd_fdstat_set_flags", "ii", "i"),
        ("fd_fdstat_set_rights", "iII", "i"),
        ("fd_filestat_get", "ii", "i"),
        ("fd_filestat_set_size", "iI", "i"),
        ("fd_filestat_set_times", "iIIi", "i"),
        ("fd_pread", "iiiIi", "i"),
        ("fd_prestat_get", "ii", "i"),
        ("fd_prestat_dir_name", "iii", "i"),
        ("fd_pwrite", "iiiIi", "i"),
        ("fd_read", "iiii", "i"),
        ("fd_readdir", "iiiIi", "i"),
        ("fd_renumber", "ii", "i"),
        ("fd_seek", "iIii", "i"),
        ("fd_sync", "i", "i"),
        ("fd_tell", "ii", "i"),
        ("fd_write", "iiii", "i"),
        ("path_create_directory", "iii", "i"),
        ("path_filestat_get", "iiiii", "i"),
        ("path_filestat_set_times", "iiiiIIi", "i"),
        ("path_link", "iiiiiii", "i"),
        ("path_open", "iiiiiIIii", "i"),
        ("path_readlink", "iiiiii", "i"),
        ("path_remove_directory", "iii", "i"),
        ("path_rename", "iiiiii", "i"),
        ("path_symlink", "iiiii", "i"),
        ("path_unlink_file", "iii", "i"),
        ("poll_oneoff", "iiii", "i"),
        ("proc_exit", "i", ""),
        ("proc_raise", "i", "i"),
        ("sched_yield", "", "i"),
        ("random_get", "ii", "i"),
        ("sock_accept", "iii", "i"),
        ("sock_recv", "iiiiii", "i"),
        ("sock_send", "iiiii", "i"),
        ("sock_shutdown", "ii", "i"),
    ];
    assert_eq!(functions.len(), 46);
    let types = |letters: &str| letters.chars().map(|c| if c == 'i' { " i32" } else { " i64" }).collect::<String>();
    let imports: String = functions
        .iter()
        .map(|(name, params, results)| import(name, &format!("(param{}) (result{})", types(params), types(results))))
        .collect();
    let module = Module::new(engine(), module(&imports, "")).unwrap();
    let mut linker = wasmtime::Linker::new(engine());
    add_preview1(&mut linker).unwrap();
    block_on(linker.instantiate_async(&mut store(config()), &module)).unwrap();
}

#[test]
fn exit_is_typed_and_keeps_its_code() {
    let wat = module(&import("proc_exit", "(param i32)"), r#"(func (export "run") (call $proc_exit (i32.const 300)))"#);
    let error = block_on(run_module::<()>(&mut store(config()), &wat)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&GuestExit { code: 300 }));
}

#[test]
fn an_unlisted_import_of_a_module_ends_the_process_when_called() {
    let imports = r#"(import "env" "emscripten_sleep" (func $f (param i32)))"#;
    let wat = module(imports, r#"(func (export "run") (call $f (i32.const 1)))"#);
    let error = block_on(run_module::<()>(&mut store(config()), &wat)).unwrap_err();
    assert_eq!(
        error.downcast_ref::<UnlistedImport>().unwrap().to_string(),
        "the guest of `app:guest` called `emscripten_sleep` of `env`, which nothing here serves: build the guest \
         without this import"
    );
}

#[test]
fn descriptors_behave_as_streams() {
    let imports = [
        import("fd_seek", "(param i32 i64 i32 i32) (result i32)"),
        import("fd_tell", "(param i32 i32) (result i32)"),
        import("fd_close", "(param i32) (result i32)"),
        import("fd_fdstat_get", "(param i32 i32) (result i32)"),
        import("fd_prestat_get", "(param i32 i32) (result i32)"),
        import("fd_write", "(param i32 i32 i32 i32) (result i32)"),
        import("fd_read", "(param i32 i32 i32 i32) (result i32)"),
        import("fd_filestat_get", "(param i32 i32) (result i32)"),
        import("random_get", "(param i32 i32) (result i32)"),
    ]
    .concat();
    let errno = |call: &str| {
        let wat = module(&imports, &format!(r#"(func (export "run") (result i32) {call})"#));
        block_on(run_module::<i32>(&mut store(config()), &wat)).unwrap()
    };
    let (badf, fault, spipe) = (8, 21, 70);
    assert_eq!(errno("(call $fd_seek (i32.const 1) (i64.const 0) (i32.const 0) (i32.const 0))"), spipe);
    assert_eq!(errno("(call $fd_seek (i32.const 3) (i64.const 0) (i32.const 0) (i32.const 0))"), badf);
    assert_eq!(errno("(call $fd_tell (i32.const 0) (i32.const 0))"), spipe);
    assert_eq!(errno("(drop (call $fd_close (i32.const 2))) (call $fd_close (i32.const 2))"), badf);
    assert_eq!(errno("(call $fd_prestat_get (i32.const 3) (i32.const 0))"), badf);
    assert_eq!(errno("(call $fd_filestat_get (i32.const 2) (i32.const 0))"), 0);
    // Wrong direction.
    assert_eq!(errno("(call $fd_write (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"), badf);
    assert_eq!(errno("(call $fd_read (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))"), badf);
    // No terminal: no character device, readable or writable only.
    assert_eq!(errno("(drop (call $fd_fdstat_get (i32.const 0) (i32.const 0))) (i32.load8_u (i32.const 0))"), 0);
    assert_eq!(
        errno(
            "(drop (call $fd_fdstat_get (i32.const 1) (i32.const 0))) (i32.and (i32.load (i32.const 8)) (i32.const 70))"
        ),
        1 << 6
    );
    // Pointers out of the memory, and sums that wrap.
    assert_eq!(errno("(call $fd_fdstat_get (i32.const 1) (i32.const 65530))"), fault);
    assert_eq!(errno("(call $random_get (i32.const -4) (i32.const 8))"), fault);
    assert_eq!(errno("(call $random_get (i32.const 8) (i32.const -4))"), fault);
    assert_eq!(errno("(call $fd_write (i32.const 1) (i32.const 65528) (i32.const 2) (i32.const 0))"), fault);
    assert_eq!(
        errno(
            "(i32.store (i32.const 4) (i32.const 65537)) (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))"
        ),
        fault
    );
}

#[test]
fn a_module_without_memory_is_told_so() {
    let wat = r#"(module (import "wasi_snapshot_preview1" "random_get" (func $f (param i32 i32) (result i32)))
        (func (export "run") (drop (call $f (i32.const 0) (i32.const 1)))))"#;
    let error = block_on(run_module::<()>(&mut store(config()), wat)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&NoMemory));
}

const READ_ALL: &str = r#"(func (export "run") (result i32) (local $sum i32)
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 3))
    (i32.store (i32.const 8) (i32.const 128))
    (i32.store (i32.const 12) (i32.const 100))
    (loop $more
        (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 32)) (then (return (i32.const -1))))
        (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 32))))
        (br_if $more (i32.load (i32.const 32))))
    (local.get $sum))"#;

#[test]
fn reads_fill_buffers_in_order_until_the_end() {
    let wat = module(&import("fd_read", "(param i32 i32 i32 i32) (result i32)"), READ_ALL);
    let stdin = Arc::new(BytesInput::new(vec![7; 250]));
    let mut store = store(WasiConfig { stdin, ..config() });
    assert_eq!(block_on(run_module::<i32>(&mut store, &wat)).unwrap(), 250);
    assert_eq!(store.data_mut().wasi().usage().bytes_in(), 250);
}

#[test]
fn a_read_of_a_silent_input_suspends_the_guest() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (_, reactor) = manual_reactor();
    let stdin = Arc::new(ProgramInput::over(&reactor, Box::new(reader), false));
    let mut store = store_on(WasiConfig { stdin, ..config() }, reactor);
    let wat = module(&import("fd_read", "(param i32 i32 i32 i32) (result i32)"), READ_ALL);
    let mut task = Task::new(run_module::<i32>(&mut store, &wat));
    assert!(task.run_until_stalled().is_pending());
    std::io::Write::write_all(&mut writer, b"some").unwrap();
    drop(writer);
    assert_eq!(task.finish().unwrap(), 4);
}

#[test]
fn poll_waits_for_the_first_clock_and_says_which() {
    // Two relative clocks, 5 s and 2 s, and the standard output of nobody: closed descriptor 9.
    let body = |third: &str| {
        format!(
            r#"(func (export "run") (result i64)
            (i64.store (i32.const 0) (i64.const 111))
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 5000000000))
            (i64.store (i32.const 48) (i64.const 222))
            (i32.store (i32.const 64) (i32.const 1))
            (i64.store (i32.const 72) (i64.const 2000000000))
            {third}
            (if (call $poll_oneoff (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 2048))
                (then (return (i64.const -1))))
            ;; count, userdata and error of the first event
            (i64.add (i64.mul (i64.extend_i32_u (i32.load (i32.const 2048))) (i64.const 1000000))
                (i64.add (i64.mul (i64.load16_u (i32.const 1032)) (i64.const 1000)) (i64.load (i32.const 1024)))))"#
        )
    };
    let imports = import("poll_oneoff", "(param i32 i32 i32 i32) (result i32)");
    let (clock, reactor) = manual_reactor();
    let mut store = store_on(config(), reactor);
    // The third: an absolute time on the monotonic clock, far away.
    let third = r#"(i64.store (i32.const 96) (i64.const 333)) (i32.store (i32.const 112) (i32.const 1))
        (i64.store (i32.const 120) (i64.const 9000000000)) (i32.store16 (i32.const 136) (i32.const 1))"#;
    let wat = module(&imports, &body(third));
    let mut task = Task::new(run_module::<i64>(&mut store, &wat));
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_millis(1999)).unwrap();
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_millis(1)).unwrap();
    assert!(matches!(task.run_until_stalled(), Poll::Ready(Ok(1_000_222))));
    drop(task);
    // A bad descriptor is an event, not the failure of the call.
    let third = r#"(i64.store (i32.const 96) (i64.const 333)) (i32.store8 (i32.const 104) (i32.const 2))
        (i32.store (i32.const 112) (i32.const 9))"#;
    let result = block_on(run_module::<i64>(&mut store, &module(&imports, &body(third)))).unwrap();
    assert_eq!(result, 1_008_333);
}

#[test]
fn yielding_gives_the_worker_back_once() {
    let wat =
        module(&import("sched_yield", "(result i32)"), r#"(func (export "run") (result i32) (call $sched_yield))"#);
    let mut store = store(config());
    let mut task = Task::new(run_module::<i32>(&mut store, &wat));
    assert!(matches!(task.run_until_stalled(), Poll::Ready(Ok(0))));
    assert_eq!(task.polls, 2);
}

#[test]
fn the_monotonic_clock_is_the_reactors() {
    let (clock, reactor) = manual_reactor();
    clock.advance(Duration::from_nanos(1234)).unwrap();
    let wat = module(
        &import("clock_time_get", "(param i32 i64 i32) (result i32)"),
        r#"(func (export "run") (result i64)
            (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 8)))
            (i64.load (i32.const 8)))"#,
    );
    assert_eq!(block_on(run_module::<i64>(&mut store_on(config(), reactor), &wat)).unwrap(), 1234);
}
