//! Pools and calls, with functions that end when the test says so.

mod nesting;
mod world;

use std::time::Duration;

use super::pool::IDLE_TIME;
use super::*;
use crate::process::Exit;
use crate::registry::PoolType;
use world::{World, id, pool, until};

/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn inline() -> PoolSpec {
    pool(PoolType::Inline, [0; 4])
}

#[track_caller]
fn value(call: Call) -> i64 {
    call.wait().expect("a value").as_i64().expect("a number")
}

#[test]
fn an_inline_pool_does_one_call_after_the_other_in_their_order() {
    let world = World::new(&[("f", inline())]);
    let calls: Vec<_> = (0..5).map(|number| world.call("f", number)).collect();
    world.until_begun(&[0]);
    assert_eq!((world.stats("f").busy, world.stats("f").queued), (1, 4));
    for number in 0..5 {
        world.until_begun(&(0..=number).collect::<Vec<_>>());
        assert_eq!(world.stats("f").busy, 1);
        world.open(number);
    }
    assert_eq!(calls.into_iter().map(value).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let stats = world.stats("f");
    assert_eq!((stats.kind, stats.busy, stats.slots, stats.completed), (PoolKind::Inline, 0, 1, 5));
}

#[test]
fn a_static_pool_does_as_many_calls_at_once_as_it_has_workers() {
    let world = World::new(&[("f", pool(PoolType::Static, [9, 3, 0, 0]))]);
    assert_eq!(world.stats("f").slots, 3, "they are there before the first call");
    let calls: Vec<_> = (0..7).map(|number| world.call("f", number)).collect();
    until("three begin", || world.begun().len() == 3);
    assert_eq!((world.stats("f").busy, world.stats("f").queued), (3, 4));
    world.open(1);
    until("the next one", || world.begun().len() == 4);
    assert_eq!(world.begun()[3], 3, "whose turn it is");
    (0..7).for_each(|number| world.open(number));
    assert_eq!(calls.into_iter().map(value).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    world.advance(IDLE_TIME * 10);
    assert_eq!((world.stats("f").slots, world.timers()), (3, 0), "they stay, and nobody looks after them");
}

#[test]
fn a_full_queue_refuses_or_lets_wait_outside() {
    let world = World::new(&[("f", pool(PoolType::Inline, [0, 0, 2, 0]))]);
    let mut calls: Vec<_> = (0..3).map(|number| world.call("f", number)).collect();
    world.until_begun(&[0]);
    let refused = world.functions.try_call("app:f", vec![9.into()]).wait().expect_err("no room");
    assert_eq!(refused, CallError::Busy { entry: id("f"), bound: "pool.buffer", allowed: 2 });
    assert_eq!(refused.kind(), CallErrorKind::RateLimited);
    calls.extend((3..6).map(|number| world.call("f", number)));
    assert_eq!((world.stats("f").queued, world.stats("f").outside), (2, 3), "who can wait does");
    // Somebody in the queue leaves, somebody outside does, and the others move up in their order.
    drop(calls.remove(4));
    drop(calls.remove(1));
    assert_eq!((world.stats("f").queued, world.stats("f").outside), (2, 1));
    [0, 2, 3, 5].into_iter().for_each(|number| world.open(number));
    assert_eq!(calls.into_iter().map(value).collect::<Vec<_>>(), [0, 2, 3, 5]);
    assert_eq!(world.begun(), [0, 2, 3, 5]);
    assert_eq!(world.functions.try_call("app:f", vec![5.into()]).wait(), Ok(5.into()), "there is room again");
}

#[test]
fn a_lazy_pool_grows_with_its_calls_and_shrinks_when_nothing_happens() {
    let world = World::new(&[("f", pool(PoolType::Lazy, [0, 0, 0, 3]))]);
    assert_eq!(world.stats("f").slots, 0);
    let calls: Vec<_> = (0..4).map(|number| world.call("f", number)).collect();
    until("three begin", || world.begun().len() == 3);
    assert_eq!((world.stats("f").slots, world.stats("f").queued), (3, 1));
    until("somebody looks after them", || world.timers() == 1);
    world.advance(IDLE_TIME * 2);
    until("it goes on", || world.timers() == 1);
    assert_eq!(world.stats("f").slots, 3, "all of them are busy");
    (0..4).for_each(|number| world.open(number));
    assert_eq!(calls.into_iter().map(value).sum::<i64>(), 6);
    world.advance(IDLE_TIME - Duration::from_nanos(1));
    until("somebody has looked", || world.timers() == 1);
    assert_eq!((world.stats("f").slots, world.stats("f").busy), (3, 0), "not yet");
    world.advance(Duration::from_nanos(1));
    until("all are gone", || world.stats("f").slots == 0);
    until("nobody looks any more", || world.timers() == 0);
    world.open(9);
    assert_eq!(value(world.call("f", 9)), 9);
    assert_eq!(world.stats("f").slots, 1);
}

#[test]
fn one_call_after_the_other_needs_one_slot() {
    let world = World::new(&[("f", PoolSpec::default())]);
    for number in 0..10 {
        world.open(number);
        assert_eq!(value(world.call("f", number)), number);
    }
    assert_eq!((world.stats("f").slots, world.stats("f").slots_max), (1, 100));
}

#[test]
fn an_adaptive_pool_grows_while_calls_wait_and_shrinks_one_by_one() {
    let world = World::new(&[("f", pool(PoolType::Adaptive, [0, 0, 0, 3]))]);
    let calls: Vec<_> = (0..6).map(|number| world.call("f", number)).collect();
    world.until_begun(&[0]);
    // Ticks until `holds`, each of which somebody has seen.
    let tick_until = |what: &str, mut holds: Box<dyn FnMut() -> bool>| {
        for _ in 0..60 {
            if holds() {
                return;
            }
            until("a keeper waits", || world.timers() == 1);
            let next = world.clock.now().saturating_add(adaptive::TICK);
            world.advance(adaptive::TICK);
            until("it has looked", || world.timers() == 1 || world.stats("f").slots == 1);
            assert_eq!(world.clock.now(), next);
        }
        panic!("it never came: {what}");
    };
    tick_until("all that it may have", Box::new(|| world.stats("f").busy == 3));
    assert_eq!((world.stats("f").slots, world.stats("f").queued), (3, 3));
    until("they begin", || world.begun().len() == 3);
    (0..6).for_each(|number| world.open(number));
    assert_eq!(calls.into_iter().map(value).sum::<i64>(), 15);
    let mut seen = vec![3];
    tick_until(
        "one is left",
        Box::new(|| {
            let slots = world.stats("f").slots;
            if seen.last() != Some(&slots) {
                seen.push(slots);
            }
            slots == 1
        }),
    );
    until("nobody looks any more", || world.timers() == 0);
}

#[test]
fn a_dropped_call_is_terminated_and_its_slot_free() {
    let world = World::new(&[("f", inline())]);
    let (running, waiting, last) = (world.call("f", 1), world.call("f", 2), world.call("f", 3));
    world.until_begun(&[1]);
    drop(waiting);
    assert_eq!(world.stats("f").queued, 1);
    drop(running);
    world.until_begun(&[1, 3]);
    assert!(world.is_gone(1), "a slot is free when the process is gone");
    world.open(3);
    assert_eq!(value(last), 3);
}

#[test]
fn a_call_ends_with_the_process_that_made_it() {
    let world = World::new(&[("f", inline())]);
    let (caller, queued) = (world.caller("f", 1), world.caller("f", 2));
    world.until_begun(&[1]);
    until("the other one waits", || world.stats("f").queued == 1);
    let callee = world.manager.processes().into_iter().find(|process| process.entry == id("f")).expect("a process");
    let callee = world.manager.find(&callee.pid).expect("it lives");
    assert_eq!(callee.parent(), Some(caller.pid()));
    queued.terminate();
    until("it leaves its place", || world.stats("f").queued == 0);
    caller.terminate();
    assert_eq!(callee.wait(), Exit::Terminated);
    until("the slot is free", || world.stats("f").busy == 0);
    assert_eq!(world.begun(), [1]);
}

#[test]
fn an_answer_is_awaited_on_any_executor_or_for_a_while() {
    let world = World::new(&[("f", PoolSpec::default())]);
    let mut call = world.call("f", 1);
    assert_eq!(call.wait_timeout(Duration::from_millis(1)), None);
    assert!(!call.is_complete());
    world.open(1);
    assert_eq!(call.wait_timeout(PATIENCE), Some(Ok(1.into())));
    assert_eq!(call.wait_timeout(Duration::ZERO), None, "there is one answer");
    // An executor that parks its thread.
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut call = std::pin::pin!(world.call("f", 2));
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    assert!(call.as_mut().poll(&mut context).is_pending());
    world.open(2);
    let answer = loop {
        match call.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => break answer,
            std::task::Poll::Pending => std::thread::park(),
        }
    };
    assert_eq!(answer, Ok(2.into()));
}

#[test]
fn what_can_not_be_started_gives_its_slot_to_the_next() {
    let world = World::new(&[("f", inline())]);
    let first = world.call("f", 1);
    let wrong = world.functions.call("app:f", vec![true.into()]);
    let last = world.call("f", 2);
    [1, 2].into_iter().for_each(|number| world.open(number));
    assert_eq!((value(first), value(last)), (1, 2));
    let error = wrong.wait().expect_err("no number");
    assert_eq!(error.to_string(), "`app:f`: expected a number or a path");
    assert_eq!(error.kind(), CallErrorKind::Invalid);
}

#[test]
fn a_full_host_refuses_a_call() {
    let world = World::of(1, &[("f", PoolSpec::default())]);
    let first = world.call("f", 1);
    world.until_begun(&[1]);
    let error = world.call("f", 2).wait().expect_err("no room");
    assert_eq!(error.kind(), CallErrorKind::RateLimited);
    assert!(error.to_string().starts_with("`app:f` could not be called: host `app:host` is full"), "{error}");
    world.open(1);
    assert_eq!(value(first), 1);
    assert_eq!(world.stats("f").busy, 0);
}

#[test]
fn what_was_admitted_is_done_after_a_close_and_nothing_else() {
    let world = World::new(&[("f", pool(PoolType::Inline, [0, 0, 1, 0]))]);
    let (running, queued, outside) = (world.call("f", 1), world.call("f", 2), world.call("f", 3));
    world.until_begun(&[1]);
    world.functions.close();
    let closed = Err(CallError::Closed { entry: id("f") });
    assert_eq!(outside.wait(), closed);
    assert_eq!(world.call("f", 4).wait(), closed);
    assert!(!world.functions.wait_quiet(Some(Instant::now())));
    let functions = world.functions.clone();
    let quiet = std::thread::spawn(move || functions.wait_quiet(None));
    [1, 2].into_iter().for_each(|number| world.open(number));
    assert!(quiet.join().expect("no panic"));
    assert_eq!((value(running), value(queued)), (1, 2));
}

#[test]
fn what_still_waits_is_refused_when_nobody_waits_for_it() {
    let world = World::new(&[("f", inline())]);
    let (running, queued) = (world.call("f", 1), world.call("f", 2));
    world.until_begun(&[1]);
    world.functions.close();
    world.functions.abandon();
    let error = queued.wait().expect_err("it is refused");
    assert_eq!((error.to_string().as_str(), error.kind()), ("`app:f`: pool is closed", CallErrorKind::Unavailable));
    world.open(1);
    assert_eq!(value(running), 1);
}

#[test]
fn a_call_of_nothing_is_told_as_what_it_is() {
    let world = World::new(&[("sum", inline())]);
    let error = |target: &str| world.functions.call(target, Vec::new()).wait().expect_err("no function");
    assert_eq!(error("").to_string(), "invalid function target:  (empty target, expected `namespace:name`)");
    assert_eq!(error("sum").kind(), CallErrorKind::Invalid);
    assert_eq!(error("app:sun").to_string(), "pool not found: app:sun; did you mean `app:sum`?");
    assert_eq!(error("app:sun").kind(), CallErrorKind::NotFound);
    assert_eq!(error("app:caller").kind(), CallErrorKind::NotFound, "a process is no function");
}
