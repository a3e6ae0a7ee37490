//! From the engine's error to the exit of a process: the one place that decides which is which.

use std::io;

use wasmtime::component::ResourceTableError;
use wasmtime::{Trap as Code, WasmBacktrace};

use super::value::AbiError;
use crate::limits::{Bytes, LimitExceeded, Usage};
use crate::process::{Exit, Failure, FailureKind, Trap};
use crate::registry::EntryId;
use crate::wasi::{GuestExit, NotServed, UnlistedImport};

/// What one call may copy between a guest and its host, in bytes as the engine counts them: the memory of this side that
/// a guest can make us take at once. The engine's own default; less for a process that may hold less.
const TRANSFER_BYTES_MAX: usize = 128 << 20;

/// The bound of one call's copies for a process.
pub(super) fn transfer_max(usage: &Usage) -> usize {
    let memory = usage.limits().max_memory.and_then(|limit| usize::try_from(limit).ok());
    memory.map_or(TRANSFER_BYTES_MAX, |memory| memory.min(TRANSFER_BYTES_MAX))
}

/// How the engine's error about [`TRANSFER_BYTES_MAX`] begins; its type is private.
const TRANSFER_EXHAUSTED: &str = "too much data is being copied between the host and the guest";

/// How the engine's errors about the number of core instances and tables begin; they have no type.
const TOO_MANY_INSTANCES: &str = "resource limit exceeded: instance count too high";
const TOO_MANY_TABLES: &str = "resource limit exceeded: table count too high";

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
pub(super) fn exit_of(error: wasmtime::Error, entry: &EntryId, phase: Phase, usage: &Usage) -> Exit {
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
    if let Some(limit) = limit_of(&error, usage) {
        return Exit::LimitExceeded(LimitExceeded { backtrace: frames(&error), ..limit });
    }
    match error.downcast_ref::<Code>() {
        Some(code) => Exit::Trapped(Trap { message: trap_message(*code), backtrace: frames(&error) }),
        None => host_failure(&error, entry, phase),
    }
}

/// The engine's words without their head: whoever shows a trap says already that it is one.
fn trap_message(code: Code) -> String {
    let text = code.to_string();
    text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
}

/// The limit that a guest ran into.
fn limit_of(error: &wasmtime::Error, usage: &Usage) -> Option<LimitExceeded> {
    if let Some(limit) = error.downcast_ref::<LimitExceeded>() {
        return Some(limit.clone());
    }
    let limits = usage.limits();
    let all = |limit, allowed: String| Some(LimitExceeded::new(limit, allowed, "all of it"));
    let more = |limit, allowed: String| Some(LimitExceeded::new(limit, allowed, "more"));
    let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX).to_string();
    match error.downcast_ref::<Code>() {
        Some(Code::StackOverflow) => return all("max_stack", Bytes(limits.max_stack.unwrap_or(u64::MAX)).to_string()),
        Some(Code::OutOfFuel) => return all("max_fuel", format!("{} instructions", number(limits.max_fuel))),
        _ => {}
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return all("max_handles", number(limits.max_handles));
    }
    let says = |text: &str| error.chain().any(|cause| cause.to_string().starts_with(text));
    if matches!(error.downcast_ref(), Some(AbiError::ResultTooLarge { .. })) || says(TRANSFER_EXHAUSTED) {
        let allowed = Bytes(transfer_max(usage) as u64);
        return more("max_transfer", format!("{allowed} between guest and host in one call"));
    }
    if says(TOO_MANY_INSTANCES) {
        return more("max_instances", number(limits.max_instances));
    }
    if says(TOO_MANY_TABLES) {
        return more("max_tables", number(limits.max_tables));
    }
    None
}

/// The exit of a guest that failed after a growth of its memory was refused and none was granted since: it is out of
/// memory, whatever it says of it.
pub(super) fn after_refusal(exit: Exit, limit: LimitExceeded) -> Exit {
    match exit {
        Exit::Trapped(Trap { message, backtrace }) => {
            Exit::LimitExceeded(LimitExceeded { after: Some(format!("trapped: {message}")), backtrace, ..limit })
        }
        Exit::Exited(code @ 1..) => {
            Exit::LimitExceeded(LimitExceeded { after: Some(format!("exited with code {code}")), ..limit })
        }
        Exit::Failed(Failure { kind: FailureKind::Instantiate, .. }) => Exit::LimitExceeded(limit),
        exit => exit,
    }
}

/// What to do about it, when the system has no memory left for a process.
fn hint(error: &wasmtime::Error) -> &'static str {
    let no_memory = rustix::io::Errno::NOMEM;
    let is_refused = error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) == Some(no_memory.raw_os_error())
            || cause.downcast_ref() == Some(&no_memory)
    });
    match is_refused {
        // By far the most common reason: the mappings end long before the memory.
        true => {
            "; a process takes 5 to 7 memory mappings, and Linux allows a program `vm.max_map_count` of them: raise that, \
             or have fewer processes at once"
        }
        false => "",
    }
}

fn host_failure(error: &wasmtime::Error, entry: &EntryId, phase: Phase) -> Exit {
    // Outermost first; the backtrace is a context of the chain and no cause.
    let causes: Vec<_> =
        error.chain().map(ToString::to_string).filter(|text| !text.starts_with("error while executing")).collect();
    let (kind, doing) = match phase {
        Phase::Instantiate => (FailureKind::Instantiate, "the module could not be instantiated"),
        Phase::Call => (FailureKind::Host, "the host failed the guest"),
    };
    Exit::Failed(Failure::new(kind, format!("`{entry}`: {doing}: {}{}", causes.join(": "), hint(error))))
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
    use crate::limits::Limits;

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
        let Exit::Trapped(trap) = exit_of(error, &entry(), Phase::Call, &Usage::default()) else {
            panic!("expected a trap")
        };
        assert_eq!(trap.message, "wasm `unreachable` instruction executed");
        assert!(trap.backtrace[0].starts_with("inner (offset"), "{:?}", trap.backtrace);
        assert!(trap.backtrace[1].starts_with("outer (offset"), "{:?}", trap.backtrace);
    }

    #[test]
    fn a_process_that_may_hold_less_transfers_less() {
        let max = |memory| transfer_max(&Usage::new(Limits { max_memory: memory, ..Limits::default() }, 0));
        let bound = TRANSFER_BYTES_MAX as u64;
        assert_eq!(
            [Some(5), Some(bound - 1), Some(bound + 1), None].map(max),
            [5, TRANSFER_BYTES_MAX - 1, TRANSFER_BYTES_MAX, TRANSFER_BYTES_MAX]
        );
    }

    #[test]
    fn a_used_up_stack_is_a_limit() {
        let error = run(r#"(module (func $deep (export "run") call $deep))"#);
        let Exit::LimitExceeded(limit) = exit_of(error, &entry(), Phase::Call, &Usage::default()) else {
            panic!("expected a limit")
        };
        assert_eq!((limit.limit, limit.allowed.as_str()), ("max_stack", "1 MiB"));
    }

    #[test]
    fn too_much_at_once_between_guest_and_host_is_a_limit() {
        let engine = wasmtime::Engine::default();
        let component = wasmtime::component::Component::new(
            &engine,
            r#"(component
                (core module $m (memory (export "memory") 1) (func (export "f") (result i32)
                    (i32.store (i32.const 4) (i32.const 1000)) (i32.const 0)))
                (core instance $i (instantiate $m))
                (alias core export $i "memory" (core memory $memory))
                (func (export "f") (result string) (canon lift (core func $i "f") (memory $memory))))"#,
        )
        .unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        assert_eq!(store.hostcall_fuel(), TRANSFER_BYTES_MAX, "the engine's default");
        store.set_hostcall_fuel(100);
        let linker = wasmtime::component::Linker::new(&engine);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let f = instance.get_typed_func::<(), (String,)>(&mut store, "f").unwrap();
        let error = f.call(&mut store, ()).unwrap_err();
        for error in [error, AbiError::ResultTooLarge { allowed: 100 }.into()] {
            let Exit::LimitExceeded(limit) = exit_of(error, &entry(), Phase::Call, &Usage::default()) else {
                panic!("expected a limit")
            };
            assert_eq!(limit.limit, "max_transfer");
        }
    }

    #[test]
    fn a_full_table_of_handles_is_a_limit() {
        let error = wasmtime::Error::new(ResourceTableError::Full).context("while a stream was made");
        let Exit::LimitExceeded(limit) = exit_of(error, &entry(), Phase::Call, &Usage::default()) else {
            panic!("expected a limit")
        };
        assert_eq!((limit.limit, limit.allowed.as_str()), ("max_handles", "65536"));
        let error = wasmtime::Error::new(ResourceTableError::NotPresent);
        assert!(matches!(exit_of(error, &entry(), Phase::Call, &Usage::default()), Exit::Failed(_)));
    }

    #[test]
    fn a_system_without_mappings_says_what_to_raise() {
        let system = rustix::io::Errno::NOMEM;
        let errors = [wasmtime::Error::new(io::Error::from(system)), wasmtime::Error::new(system).context("a stack")];
        for error in errors {
            let Exit::Failed(failure) = exit_of(error, &entry(), Phase::Instantiate, &Usage::default()) else {
                panic!("a failure")
            };
            assert!(failure.message.contains("`vm.max_map_count`"), "{failure:?}");
        }
    }

    #[test]
    fn what_ends_a_process_is_its_exit() {
        let error = wasmtime::Error::new(Ended(Exit::Terminated));
        assert_eq!(exit_of(error, &entry(), Phase::Call, &Usage::default()), Exit::Terminated);
        let error = wasmtime::Error::msg("no memory left").context("instance");
        let Exit::Failed(failure) = exit_of(error, &entry(), Phase::Instantiate, &Usage::default()) else {
            panic!("expected a failure")
        };
        assert_eq!(failure.kind, FailureKind::Instantiate);
        assert_eq!(failure.message, "`app:guest`: the module could not be instantiated: instance: no memory left");
    }
}
