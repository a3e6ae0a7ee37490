//! From the engine's error to the exit of a process: the one place that decides which is which.

use wasmtime::{Trap as Code, WasmBacktrace};

use super::engine::GUEST_STACK_BYTES;
use crate::process::{Exit, Failure, FailureKind, LimitExceeded, Trap};
use crate::registry::EntryId;
use crate::wasi::{GuestExit, NotServed, UnlistedImport};

/// Raised inside a guest to end its process; becomes the exit that it carries.
#[derive(Debug, thiserror::Error)]
#[error("the process is over: {0}")]
pub(super) struct Ended(pub(super) Exit);

/// Where a failing guest was when it failed.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// Instantiation, start functions included.
    Instantiate,
    /// The call of the method.
    Call,
}

/// The exit that follows from an error of the engine.
pub(super) fn exit_of(error: wasmtime::Error, entry: &EntryId, phase: Phase) -> Exit {
    if let Some(exit) = error.downcast_ref::<GuestExit>() {
        return Exit::Exited(exit.code);
    }
    if error.is::<Ended>() {
        return match error.downcast::<Ended>() {
            Ok(ended) => ended.0,
            Err(other) => host_failure(&other, entry, phase),
        };
    }
    let import = error
        .downcast_ref::<UnlistedImport>()
        .map(ToString::to_string)
        .or_else(|| error.downcast_ref::<NotServed>().map(ToString::to_string));
    if let Some(message) = import {
        return Exit::Failed(Failure::new(FailureKind::Import, message));
    }
    match error.downcast_ref::<Code>() {
        Some(Code::StackOverflow) => Exit::LimitExceeded(LimitExceeded {
            limit: "max_stack",
            allowed: format!("{} KiB", GUEST_STACK_BYTES >> 10),
            used: "all of it".into(),
        }),
        Some(code) => Exit::Trapped(Trap { message: trap_message(*code), backtrace: frames(&error) }),
        None => host_failure(&error, entry, phase),
    }
}

/// The engine's words without their head: whoever shows a trap says already that it is one.
fn trap_message(code: Code) -> String {
    let text = code.to_string();
    text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
}

fn host_failure(error: &wasmtime::Error, entry: &EntryId, phase: Phase) -> Exit {
    // Outermost first; the backtrace is a context of the chain and no cause.
    let causes: Vec<_> =
        error.chain().map(ToString::to_string).filter(|text| !text.starts_with("error while executing")).collect();
    let (kind, doing) = match phase {
        Phase::Instantiate => (FailureKind::Instantiate, "the module could not be instantiated"),
        Phase::Call => (FailureKind::Host, "the host failed the guest"),
    };
    Exit::Failed(Failure::new(kind, format!("`{entry}`: {doing}: {}", causes.join(": "))))
}

/// The wasm frames of an error, innermost first: function, module offset, and file and line when the binary tells.
fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    backtrace
        .frames()
        .iter()
        .map(|frame| {
            let name = frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), readable);
            let place = frame.symbols().iter().find_map(|symbol| {
                let file = symbol.file()?;
                Some(symbol.line().map_or_else(|| file.to_owned(), |line| format!("{file}:{line}")))
            });
            match (place, frame.module_offset()) {
                (Some(place), _) => format!("{name} ({place})"),
                (None, Some(offset)) => format!("{name} (offset {offset:#x})"),
                (None, None) => name,
            }
        })
        .collect()
}

/// A symbol as its author wrote it.
fn readable(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> EntryId {
        "app:guest".parse().unwrap()
    }

    fn run(wat: &str) -> wasmtime::Error {
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, wat).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        run.call(&mut store, ()).unwrap_err()
    }

    #[test]
    fn a_trap_has_the_names_of_its_frames() {
        let error = run(r#"(module (func $inner unreachable) (func $outer (export "run") call $inner))"#);
        let Exit::Trapped(trap) = exit_of(error, &entry(), Phase::Call) else { panic!("expected a trap") };
        assert_eq!(trap.message, "wasm `unreachable` instruction executed");
        assert!(trap.backtrace[0].starts_with("inner (offset"), "{:?}", trap.backtrace);
        assert!(trap.backtrace[1].starts_with("outer (offset"), "{:?}", trap.backtrace);
    }

    #[test]
    fn a_used_up_stack_is_a_limit() {
        let error = run(r#"(module (func $deep (export "run") call $deep))"#);
        let Exit::LimitExceeded(limit) = exit_of(error, &entry(), Phase::Call) else { panic!("expected a limit") };
        assert_eq!((limit.limit, limit.allowed.as_str()), ("max_stack", "1024 KiB"));
    }

    #[test]
    fn what_ends_a_process_is_its_exit() {
        let error = wasmtime::Error::new(Ended(Exit::Terminated));
        assert_eq!(exit_of(error, &entry(), Phase::Call), Exit::Terminated);
        let error = wasmtime::Error::msg("no memory left").context("instance");
        let Exit::Failed(failure) = exit_of(error, &entry(), Phase::Instantiate) else { panic!("expected a failure") };
        assert_eq!(failure.kind, FailureKind::Instantiate);
        assert_eq!(failure.message, "`app:guest`: the module could not be instantiated: instance: no memory left");
    }
}
