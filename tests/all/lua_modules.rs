use crate::support::{assert_said, fixture, run_in};

/// Each command is a script that calls every function of its module.
#[track_caller]
fn is_fine(command: &str) {
    assert_said(&run_in(&fixture("apps/lua-modules"), ["run", command]), 0, "fine\n", "");
}

#[test]
fn errors_have_a_kind() {
    is_fine("errors");
}

#[test]
fn json_is_written_and_read() {
    is_fine("json");
}

#[test]
fn payloads_have_a_format() {
    is_fine("payload");
}

#[test]
fn times_are_calculated_written_and_read() {
    is_fine("calendar");
}

#[test]
fn timers_fire_are_stopped_and_set_again() {
    is_fine("timers");
}
