//! Calls that are made in calls.

use super::super::*;
use super::world::{World, pool, until};
use super::{inline, value};
use crate::registry::PoolType;

#[track_caller]
fn refused(call: Call) -> String {
    call.wait().expect_err("it would wait for itself").to_string()
}

#[test]
fn a_function_that_calls_itself_is_refused_where_it_would_wait_for_itself() {
    let world = World::new(&[("f", inline())]);
    let expected = "`app:f`: failed: `app:f` was called by a call that it would have to wait for: all 1 of its slots wait for \
                    this one (`app:f` -> `app:f`); call it without waiting inside of it, or allow more slots: `pool: { type: \
                    lazy, max_size: 2 }`";
    assert_eq!(refused(world.call_along(&["f", "f"], 1)), expected);
    world.open(2);
    assert_eq!(value(world.call("f", 2)), 2, "the pool goes on");
}

#[test]
fn a_function_that_calls_itself_through_another_is_refused_too() {
    let world = World::new(&[("f", inline()), ("g", inline())]);
    let error = refused(world.call_along(&["f", "g", "f"], 1));
    assert!(error.contains("(`app:f` -> `app:g` -> `app:f`)"), "{error}");
    world.open(2);
    assert_eq!(value(world.call_along(&["f", "g"], 2)), 2);
}

#[test]
fn a_function_that_calls_itself_goes_on_while_there_are_slots() {
    let world = World::new(&[("f", pool(PoolType::Lazy, [0, 0, 0, 4]))]);
    world.open(1);
    assert_eq!(value(world.call_along(&["f", "f", "f", "f"], 1)), 1);
    assert!(refused(world.call_along(&["f"; 5], 1)).contains("all 4 of its slots"));
}

#[test]
fn a_nested_call_waits_for_who_goes_on_without_it() {
    let world = World::new(&[("f", pool(PoolType::Static, [2, 2, 0, 0]))]);
    let other = world.call("f", 1);
    world.until_begun(&[1]);
    let nested = world.call_along(&["f", "f"], 2);
    until("it waits", || world.stats("f").queued == 1);
    world.open(1);
    world.open(2);
    assert_eq!((value(other), value(nested)), (1, 2));
}

#[test]
fn two_functions_that_wait_for_each_other_are_parted() {
    let world = World::new(&[("f", inline()), ("g", inline()), ("h", inline())]);
    // Each holds its own until both wait in `h`, which somebody else has.
    let other = world.call("h", 1);
    world.until_begun(&[1]);
    let one = world.call_along(&["f", "h", "g"], 2);
    until("the first one waits", || world.stats("h").queued == 1);
    let two = world.call_along(&["g", "h", "f"], 3);
    until("both wait", || world.stats("h").queued == 2);
    world.open(1);
    assert_eq!(value(other), 1);
    // The first of them is in `h` now and wants `g`, whose call wants `h`.
    [2, 3].into_iter().for_each(|number| world.open(number));
    let error = refused(one);
    assert!(error.contains("(`app:f` -> `app:h` -> `app:g`)"), "{error}");
    assert_eq!(value(two), 3, "with the first one gone the second has what it wants");
    [4, 5].into_iter().for_each(|number| world.open(number));
    assert_eq!((value(world.call("f", 4)), value(world.call("g", 5))), (4, 5));
}

#[test]
fn calls_nest_no_deeper_than_they_may() {
    let world = World::new(&[("f", pool(PoolType::Lazy, [0, 0, 0, 1000]))]);
    world.open(1);
    assert_eq!(value(world.call_along(&["f"; 100], 1)), 1);
    let error = refused(world.call_along(&vec!["f"; CALL_DEPTH_MAX + 1], 1));
    assert!(error.contains("function calls nest 256 deep, and no deeper"), "{error}");
}
