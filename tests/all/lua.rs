/// What scripts may use.
mod core;
/// Scripts that are called.
mod functions;
/// That nothing of it is missing there.
mod gaps;
/// A supervisor in Lua.
mod supervisor;
/// Scripts that do not end by themselves.
mod unruly;
/// Processes that go on as other scripts.
mod upgrade;
/// Values between scripts and guests.
mod values;
/// What they have of the world: files, variables, events, the log.
mod world;

use std::path::PathBuf;

use crate::support::{Said, assert_said, fixture, run_in};

fn app() -> PathBuf {
    fixture("apps/lua")
}

fn command(words: &[&str]) -> Said {
    run_in(&app(), ["run"].into_iter().chain(words.iter().copied()))
}

#[test]
fn the_lines_of_the_mission_print_what_the_worker_returns() {
    assert_said(&command(&["mission"]), 0, "42\n", "");
}

#[test]
fn the_same_with_a_channel_of_events() {
    assert_said(&command(&["modern"]), 0, "42\n", "");
}

#[test]
fn arguments_are_texts_and_a_text_is_printed() {
    assert_said(&command(&["greet", "World"]), 0, "Hello, World!\n", "");
    assert_said(&command(&["greet"]), 0, "Hello, nobody!\n", "");
}

#[test]
fn an_error_has_its_line_and_the_way_to_it() {
    assert_said(&command(&["broken", "word"]), 0, "WORD!\n", "");
    let expected = "\
error: `myns:broken`: myns:broken:5: no name was given
  5 |     error(\"no name was given\")
stack traceback:
  [C]: in function 'error'
  myns:broken:5: in upvalue 'check'
  myns:broken:11: in function <myns:broken:10>
";
    assert_said(&command(&["broken"]), 1, "", expected);
}
