//! How a process's end becomes the end of the program: one total match, so that a new cause can't be forgotten.

use std::fmt::Write as _;

use crate::process::{Exit, FailureKind, LimitExceeded, Payload, ResultStyle, Trap};
use crate::registry::EntryId;

use super::signal::Signal;

/// The table of exit codes as `--help` shows it.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0        the command ended well, or the services were stopped
  1        it returned an error, or the runtime failed it
  2        wrong arguments, bad configuration, bad hash, unknown command
  124      it exceeded a limit of time (wall time, CPU time, fuel)
  125      it exceeded another limit (memory, tables, stack, output)
  130      it was cancelled, or SIGINT came while it ran
  134      it trapped
  143      it was terminated, or SIGTERM came while it ran
  other    its own: the n of its exit(n); above 255 it is 255";

/// The table of `wippy batch --help`.
pub(super) const BATCH_CODES: &str = "\
Exit codes:
  0        all items ended well
  1        some failed, or the batch stopped before its end
  2        wrong arguments, bad configuration, a journal of another batch
  130      SIGINT came; what ran has ended, and its records are written
  143      SIGTERM came; the same";

/// All went well.
pub(super) const SUCCESS: u8 = 0;
/// It was tried and went wrong.
pub(super) const FAILURE: u8 = 1;
/// What was asked for can't be tried: wrong arguments, bad configuration.
pub(super) const USAGE: u8 = 2;
/// A limit of time was exceeded; the code of `timeout(1)`.
const TIME_LIMIT: u8 = 124;
/// Another limit was exceeded.
const SPACE_LIMIT: u8 = 125;
/// 128 + SIGINT, as shells say it.
const CANCELLED: u8 = 130;
/// 128 + SIGABRT: what a native program's abort looks like.
const TRAPPED: u8 = 134;
/// 128 + SIGTERM.
const TERMINATED: u8 = 143;

/// What the program does at its end: texts for its streams, each whole with its last newline, and its exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: u8,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// The end of the program after its command ended like this. `signal` is the one that came while it ran, if any: it
/// decides the code, whatever the process made of it, so that the caller knows of the interruption.
pub(super) fn outcome(entry: &EntryId, exit: &Exit, style: ResultStyle, signal: Option<Signal>) -> Outcome {
    let own = match exit {
        Exit::Returned(value) => match style.read(value) {
            Ok(value) if style == ResultStyle::Script => scripted(value),
            Ok(value) => printed(value),
            Err(value) => error_value(entry, value),
        },
        Exit::Exited(code) => exited(entry, *code),
        Exit::Trapped(trap) => complaint(TRAPPED, trap_text(entry, trap)),
        Exit::LimitExceeded(limit) => complaint(limit_code(limit), limit_text(entry, limit)),
        Exit::Cancelled { reason } => complaint(CANCELLED, format!("`{entry}` was cancelled: {reason}\n")),
        Exit::Terminated => complaint(TERMINATED, format!("`{entry}` was terminated\n")),
        Exit::Failed(failure) => {
            let code = match failure.kind {
                FailureKind::Arguments => USAGE,
                FailureKind::Instantiate
                | FailureKind::Import
                | FailureKind::Panic
                | FailureKind::Deadlock
                | FailureKind::LinkedProcess
                | FailureKind::NoProcess
                | FailureKind::Script
                | FailureKind::PermissionDenied
                | FailureKind::Host => FAILURE,
            };
            complaint(code, format!("error: {}\n", failure.message.trim_end()))
        }
    };
    match signal {
        Some(signal) => Outcome { code: signal_code(signal), ..own },
        None => own,
    }
}

/// The end of the program after its services were stopped by a signal; of so many force was needed.
pub(super) fn services(terminated: usize) -> Outcome {
    Outcome { code: if terminated == 0 { SUCCESS } else { FAILURE }, ..Outcome::default() }
}

/// The code of a program that a signal ended.
pub(super) fn signal_code(signal: Signal) -> u8 {
    match signal {
        Signal::Interrupt => CANCELLED,
        Signal::Terminate => TERMINATED,
    }
}

fn complaint(code: u8, stderr: String) -> Outcome {
    Outcome { code, stderr, ..Outcome::default() }
}

/// A string as it is, nothing for nothing, all else as JSON.
fn printed(value: &Payload) -> Outcome {
    let stdout = match value {
        Payload::Nil => String::new(),
        value => line_of(value),
    };
    Outcome { stdout, ..Outcome::default() }
}

/// The value of a script: numbers and truth values are the exit code, of which the system keeps eight bits.
fn scripted(value: &Payload) -> Outcome {
    let code = match value {
        Payload::Int(code) => code.to_le_bytes()[0],
        Payload::UInt(code) => code.to_le_bytes()[0],
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be in range; what is left is rounded towards zero"
        )]
        Payload::Float(code) if code.abs() < 9.0e18 => (*code as i64).to_le_bytes()[0],
        Payload::Float(_) => FAILURE,
        Payload::Bool(truth) => u8::from(!truth),
        Payload::Nil | Payload::String(_) | Payload::Bytes(_) | Payload::List(_) | Payload::Map(_) => {
            return printed(value);
        }
    };
    Outcome { code, ..Outcome::default() }
}

fn line_of(value: &Payload) -> String {
    match value {
        Payload::String(text) => format!("{text}\n"),
        value => format!("{value}\n"),
    }
}

/// The error of a top-level `result`, as it is: a script that reads stderr gets the JSON of a structured one.
fn error_value(entry: &EntryId, value: &Payload) -> Outcome {
    let text = match value {
        Payload::Nil => format!("`{entry}` returned an error without a value\n"),
        value => line_of(value),
    };
    complaint(FAILURE, text)
}

fn exited(entry: &EntryId, code: u32) -> Outcome {
    match u8::try_from(code) {
        Ok(code) => Outcome { code, ..Outcome::default() },
        Err(_) => complaint(
            u8::MAX,
            format!(
                "`{entry}` exited with code {code}; the largest exit code of a program is 255, so that is what this one has\n"
            ),
        ),
    }
}

fn trap_text(entry: &EntryId, trap: &Trap) -> String {
    format!("error: `{entry}` trapped: {}\n{}", trap.message.trim_end(), frames(&trap.backtrace))
}

fn limit_text(entry: &EntryId, limit: &LimitExceeded) -> String {
    let mut text = format!("error: `{entry}`: {limit}\n");
    if let Some(after) = &limit.after {
        let _ = writeln!(text, "after that it {after}");
    }
    text + &frames(&limit.backtrace)
}

fn frames(backtrace: &[String]) -> String {
    let mut text = String::new();
    if !backtrace.is_empty() {
        text.push_str("wasm backtrace, innermost first:\n");
    }
    // A recursion is one line.
    for same in backtrace.chunk_by(|one, next| one == next) {
        let _ = match same {
            [frame] => writeln!(text, "  {frame}"),
            _ => writeln!(text, "  {}, {} times in a row", same[0], same.len()),
        };
    }
    text
}

/// Limits of time share the code of `timeout(1)`; all others are of space.
fn limit_code(limit: &LimitExceeded) -> u8 {
    match limit.limit {
        "max_execution" | "max_execution_ms" | "max_cpu" | "max_step" | "max_fuel" => TIME_LIMIT,
        _ => SPACE_LIMIT,
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::process::Failure;

    fn entry() -> EntryId {
        "app:greet".parse().expect("an ID")
    }

    fn value(exit: Exit) -> Outcome {
        outcome(&entry(), &exit, ResultStyle::Value, None)
    }

    fn result(name: &str, value: Payload) -> Outcome {
        let exit = Exit::Returned(Payload::Map(IndexMap::from([(name.to_owned(), value)])));
        outcome(&entry(), &exit, ResultStyle::Result, None)
    }

    fn out(text: &str) -> Outcome {
        Outcome { stdout: text.into(), ..Outcome::default() }
    }

    fn err(code: u8, text: &str) -> Outcome {
        Outcome { code, stdout: String::new(), stderr: text.into() }
    }

    fn limit(name: &'static str) -> Exit {
        Exit::LimitExceeded(LimitExceeded::new(name, "5s", "5.001s"))
    }

    #[test]
    fn a_string_is_printed_as_it_is() {
        assert_eq!(value(Exit::Returned(Payload::String("Hello, \"World\"".into()))), out("Hello, \"World\"\n"));
        assert_eq!(value(Exit::Returned(Payload::String(String::new()))), out("\n"));
    }

    #[test]
    fn any_other_value_is_json_and_nothing_is_nothing() {
        assert_eq!(value(Exit::Returned(Payload::Int(13))), out("13\n"));
        assert_eq!(value(Exit::Returned(Payload::Bool(false))), out("false\n"));
        let list = Payload::List(vec![Payload::Int(1), Payload::String("a".into()), Payload::Nil]);
        assert_eq!(value(Exit::Returned(list)), out("[1,\"a\",null]\n"));
        assert_eq!(value(Exit::Returned(Payload::Nil)), out(""));
    }

    #[test]
    fn the_value_of_a_script_is_its_code_or_its_output() {
        let script = |value: Payload| outcome(&entry(), &Exit::Returned(value), ResultStyle::Script, None);
        for (value, code) in [
            (Payload::Int(3), 3),
            (Payload::Int(259), 3),
            (Payload::Int(-1), 255),
            (Payload::Float(2.9), 2),
            (Payload::Float(f64::NAN), 1),
            (Payload::Float(1e300), 1),
            (Payload::Bool(true), 0),
            (Payload::Bool(false), 1),
        ] {
            assert_eq!(script(value.clone()), err(code, ""), "{value}");
        }
        assert_eq!(script("hello".into()), out("hello\n"));
        assert_eq!(script(vec![Payload::Int(1)].into()), out("[1]\n"));
        assert_eq!(script(Payload::Nil), out(""));
    }

    #[test]
    fn a_result_is_its_payload_or_an_error() {
        assert_eq!(result("ok", Payload::String("fine".into())), out("fine\n"));
        assert_eq!(result("ok", Payload::Nil), out(""));
        assert_eq!(result("err", Payload::String("no such user".into())), err(1, "no such user\n"));
        assert_eq!(result("err", Payload::Int(7)), err(1, "7\n"));
        assert_eq!(result("err", Payload::Nil), err(1, "`app:greet` returned an error without a value\n"));
    }

    #[test]
    fn a_record_with_a_field_ok_is_no_result() {
        let record = Payload::Map(IndexMap::from([("err".to_owned(), Payload::Int(1))]));
        assert_eq!(value(Exit::Returned(record)), out("{\"err\":1}\n"));
    }

    #[test]
    fn the_guest_chooses_its_code() {
        for code in [0, 1, 3, 255] {
            assert_eq!(value(Exit::Exited(u32::from(code))), err(code, ""));
        }
        let outcome = value(Exit::Exited(256));
        assert_eq!(outcome.code, 255);
        assert!(outcome.stderr.contains("exited with code 256"), "{}", outcome.stderr);
    }

    #[test]
    fn a_trap_names_the_entry_and_the_frames() {
        let trap = Trap { message: "unreachable".into(), backtrace: vec!["app::divide".into(), "app::main".into()] };
        let text =
            "error: `app:greet` trapped: unreachable\nwasm backtrace, innermost first:\n  app::divide\n  app::main\n";
        assert_eq!(value(Exit::Trapped(trap)), err(134, text));
        let trap = Trap { message: "unreachable".into(), backtrace: vec![] };
        assert_eq!(value(Exit::Trapped(trap)), err(134, "error: `app:greet` trapped: unreachable\n"));
    }

    #[test]
    fn limits_of_time_and_of_space_differ() {
        for name in ["max_execution", "max_execution_ms", "max_cpu", "max_step", "max_fuel"] {
            assert_eq!(value(limit(name)).code, 124, "{name}");
        }
        for name in
            ["max_memory", "max_stack", "max_tables", "max_instances", "max_handles", "max_output", "max_open_files"]
        {
            assert_eq!(value(limit(name)).code, 125, "{name}");
        }
        let text = "error: `app:greet`: limit `max_memory` exceeded: allowed 5s, used 5.001s\n";
        assert_eq!(value(limit("max_memory")).stderr, text);
    }

    #[test]
    fn an_end_that_was_asked_for_has_the_code_of_its_signal() {
        let cancelled = Exit::Cancelled { reason: "no longer needed".into() };
        assert_eq!(value(cancelled), err(130, "`app:greet` was cancelled: no longer needed\n"));
        assert_eq!(value(Exit::Terminated), err(143, "`app:greet` was terminated\n"));
    }

    #[test]
    fn a_signal_decides_the_code_whatever_the_process_made_of_it() {
        let exits = [
            Exit::Returned(Payload::Nil),
            Exit::Exited(3),
            Exit::Cancelled { reason: "interrupt".into() },
            Exit::Terminated,
            Exit::Trapped(Trap { message: "unreachable".into(), backtrace: vec![] }),
            limit("max_memory"),
            Exit::Failed(Failure::new(FailureKind::Host, "x")),
        ];
        for exit in exits {
            for style in [ResultStyle::Value, ResultStyle::Result] {
                assert_eq!(outcome(&entry(), &exit, style, Some(Signal::Interrupt)).code, 130, "{exit:?}");
                assert_eq!(outcome(&entry(), &exit, style, Some(Signal::Terminate)).code, 143, "{exit:?}");
            }
        }
    }

    #[test]
    fn wrong_arguments_are_usage_and_host_failures_are_not() {
        let failed = |kind| value(Exit::Failed(Failure::new(kind, "the disk is gone")));
        assert_eq!(failed(FailureKind::Arguments), err(2, "error: the disk is gone\n"));
        let others = [FailureKind::Instantiate, FailureKind::Import, FailureKind::Panic, FailureKind::Deadlock];
        for kind in others.into_iter().chain([FailureKind::Host]) {
            assert_eq!(failed(kind), err(1, "error: the disk is gone\n"), "{kind:?}");
        }
    }

    #[test]
    fn services_end_well_unless_something_had_to_be_terminated() {
        assert_eq!(services(0), out(""));
        assert_eq!(services(1), err(1, ""));
    }
}
