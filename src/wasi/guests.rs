//! Real guests from `fixtures/guests`, made by the toolchains that users have.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Module, Store};

use super::testing::{Data, Task, block_on, component_linker, engine, manual_reactor, store_on};
use super::*;

fn path(guest: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guests").join(guest)
}

struct Run {
    stdout: String,
    stderr: String,
    ended: wasmtime::Result<()>,
}

fn given(args: &[&str], stdin: impl Input, profiles: &[Profile]) -> (WasiConfig, Capture, Capture) {
    let (stdout, stderr) = (Capture::new(1 << 20), Capture::new(1 << 20));
    let config = WasiConfig {
        entry: "app:guest".into(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: [("NAME".to_owned(), "value".to_owned())].into(),
        stdin: Arc::new(stdin),
        stdout: Arc::new(stdout.clone()),
        stderr: Arc::new(stderr.clone()),
        profiles: profiles.iter().copied().collect(),
        ..WasiConfig::default()
    };
    (config, stdout, stderr)
}

fn text(capture: &Capture) -> String {
    String::from_utf8(capture.take()).unwrap()
}

async fn run_args_guest(store: &mut Store<Data>) -> wasmtime::Result<()> {
    let module = Module::from_file(engine(), path("args.wasm"))?;
    let mut linker = wasmtime::Linker::new(engine());
    add_preview1(&mut linker)?;
    stub_missing_core(&mut linker, &module)?;
    let instance = linker.instantiate_async(&mut *store, &module).await?;
    instance.get_typed_func::<(), ()>(&mut *store, "_start")?.call_async(store, ()).await
}

fn args_guest(args: &[&str], stdin: impl Input) -> Run {
    let (config, stdout, stderr) = given(args, stdin, &[]);
    let mut store = store_on(config, manual_reactor().1);
    let ended = block_on(run_args_guest(&mut store));
    Run { stdout: text(&stdout), stderr: text(&stderr), ended }
}

/// The command guest is a megabyte of Rust's library: compiled once.
fn command() -> &'static Component {
    static COMMAND: OnceLock<Component> = OnceLock::new();
    COMMAND.get_or_init(|| Component::from_file(engine(), path("command.wasm")).unwrap())
}

async fn run_command_guest(store: &mut Store<Data>) -> wasmtime::Result<()> {
    let listed = store.data_mut().wasi().config().profiles;
    let linker = component_linker(command(), listed);
    let command = wasmtime_wasi::p2::bindings::Command::instantiate_async(&mut *store, command(), &linker).await?;
    let result = command.wasi_cli_run().call_run(&mut *store).await?;
    result.map_err(|()| GuestExit { code: 1 }.into())
}

const COMMAND: [Profile; 3] = [Profile::Cli, Profile::Io, Profile::Clocks];

fn command_guest(args: &[&str], stdin: impl Input, profiles: &[Profile]) -> Run {
    let (config, stdout, stderr) = given(args, stdin, profiles);
    let mut store = store_on(config, manual_reactor().1);
    let ended = block_on(run_command_guest(&mut store));
    Run { stdout: text(&stdout), stderr: text(&stderr), ended }
}

fn exit_code(run: &Run) -> Option<u32> {
    run.ended.as_ref().err().and_then(|error| error.downcast_ref::<GuestExit>()).map(|exit| exit.code)
}

#[test]
fn a_c_program_sees_what_it_is_given() {
    let run = args_guest(&["args", "--env", "zwölf"], EmptyInput);
    assert_eq!(run.stdout, "argc=3\nargv[0]=args\nargv[1]=--env\nargv[2]=zwölf\nNAME=value\n");
    run.ended.unwrap();
    let run = args_guest(&["args", "--err", "trouble", "--exit", "7"], EmptyInput);
    assert_eq!((run.stderr.as_str(), exit_code(&run)), ("trouble\n", Some(7)));
    let long: Vec<u8> = (0..200_000u32).map(|n| b'a' + (n % 26) as u8).collect();
    let run = args_guest(&["args", "--cat"], BytesInput::new(long.clone()));
    assert_eq!(run.stdout.into_bytes(), long);
}

#[test]
fn a_rust_program_sees_what_it_is_given() {
    let run = command_guest(&["command", "--cat"], BytesInput::new(&b"one\ntwo\n"[..]), &COMMAND);
    run.ended.as_ref().unwrap();
    assert_eq!(run.stdout, "args: [\"command\", \"--cat\"]\nenv: NAME=value\n1: one\n2: two\n");
    assert_eq!(run.stderr, "");
    assert_eq!(exit_code(&command_guest(&["command", "--fail"], EmptyInput, &COMMAND)), Some(1));
    let run = command_guest(&["command", "--err"], EmptyInput, &COMMAND);
    assert_eq!((run.stderr.as_str(), exit_code(&run)), ("Error: \"asked to fail\"\n", Some(1)));
    let run = command_guest(&["command", "--panic"], EmptyInput, &COMMAND);
    assert!(run.ended.is_err() && exit_code(&run).is_none() && run.stderr.contains("asked to panic"));
    let run = command_guest(&["command", "--time"], EmptyInput, &COMMAND);
    assert!(run.stdout.ends_with("after 2020: true\n"));
}

/// The libraries under this room would start a runtime of their own if one of their timers or files were used.
#[test]
#[cfg(target_os = "linux")]
fn no_other_librarys_runtime_runs() {
    let run = command_guest(&["command", "--time"], EmptyInput, &COMMAND);
    run.ended.unwrap();
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        // A thread may end while we look.
        let name = std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default();
        assert!(!name.starts_with("tokio"), "a thread is named {name:?}");
    }
}

#[test]
fn a_program_that_uses_what_is_not_listed_names_it() {
    let run = command_guest(&["command", "--random"], EmptyInput, &COMMAND);
    let unlisted = run.ended.as_ref().unwrap_err().downcast_ref::<UnlistedImport>().unwrap();
    assert_eq!(unlisted.line_to_add.as_deref(), Some("- wasi:random"));
    let listed = [Profile::Cli, Profile::Random];
    let run = command_guest(&["command", "--random"], EmptyInput, &listed);
    run.ended.unwrap();
    assert!(run.stdout.lines().last().unwrap().starts_with("random: "));
}

#[test]
fn a_sleeping_program_follows_the_manual_clock() {
    let (config, stdout, _) = given(&["command", "--sleep", "60000"], EmptyInput, &COMMAND);
    let (clock, reactor) = manual_reactor();
    let mut store = store_on(config, reactor);
    let mut task = Task::new(run_command_guest(&mut store));
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_millis(59_999)).unwrap();
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_millis(1)).unwrap();
    assert!(matches!(task.run_until_stalled(), Poll::Ready(Ok(()))));
    drop(task);
    assert!(text(&stdout).ends_with("slept at least 60000 ms: true\n"));
}

#[test]
fn a_program_that_reads_a_silent_input_waits_for_it() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (_, reactor) = manual_reactor();
    let (config, stdout, _) =
        given(&["command", "--cat"], ProgramInput::over(&reactor, Box::new(reader), false), &COMMAND);
    let mut store = store_on(config, reactor);
    let mut task = Task::new(run_command_guest(&mut store));
    assert!(task.run_until_stalled().is_pending());
    writer.write_all(b"late\n").unwrap();
    drop(writer);
    task.finish().unwrap();
    assert!(text(&stdout).ends_with("1: late\n"));
}

#[test]
fn sleeper_polls_several_deadlines() {
    let (config, ..) = given(&[], EmptyInput, &[Profile::Clocks]);
    let (clock, reactor) = manual_reactor();
    let mut store = store_on(config, reactor);
    let component = Component::from_file(engine(), path("sleeper.wasm")).unwrap();
    let listed = [Profile::Clocks].into_iter().collect();
    let instance = block_on(component_linker(&component, listed).instantiate_async(&mut store, &component)).unwrap();
    let poll = instance.get_typed_func::<(&[u64],), (u32,)>(&mut store, "sleep-poll").unwrap();
    let mut task = Task::new(poll.call_async(&mut store, (&[500, 100, 900],)));
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_millis(99)).unwrap();
    assert!(task.run_until_stalled().is_pending());
    clock.advance(Duration::from_millis(1)).unwrap();
    assert!(matches!(task.run_until_stalled(), Poll::Ready(Ok((1,)))));
}

#[test]
fn every_fixture_component_loads_with_nothing_listed() {
    let mut loaded = 0;
    for file in std::fs::read_dir(path("")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "wasm")
            && let Ok(component) = Component::from_file(engine(), &file)
        {
            component_linker(&component, ProfileSet::EMPTY)
                .instantiate_pre(&component)
                .unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
            loaded += 1;
        }
    }
    assert!(loaded >= 5, "only {loaded} components among the fixtures");
}
