use std::sync::Mutex;

use super::*;

#[test]
fn arithmetic_is_checked_at_both_ends() {
    let five = Instant::from_nanos(5);
    let seven = Duration::from_nanos(7);
    assert_eq!(five.checked_sub(seven), None);
    assert_eq!(five.checked_add(seven).unwrap().as_nanos(), 12);
    assert_eq!(five.checked_duration_since(Instant::MAX), None);
    assert_eq!(five.saturating_duration_since(Instant::MAX), Duration::ZERO);
    assert_eq!(Instant::MAX.checked_duration_since(five), Some(Duration::from_nanos(u64::MAX - 5)));
    assert_eq!(Instant::MAX.checked_add(Duration::from_nanos(1)), None);
    assert_eq!(Instant::MAX.checked_sub(Duration::MAX), None);
    assert_eq!(Instant::START.saturating_add(Duration::MAX), Instant::MAX);
}

#[test]
fn a_real_clock_goes_forward_and_cannot_be_moved() {
    let clock = Clock::real();
    let before = clock.now();
    wait_until(|| clock.now() > before);
    assert_eq!(clock.advance(Duration::ZERO), Err(ClockError::NotManual));
    assert_eq!(clock.on_advance(|_| {}), Err(ClockError::NotManual));
}

#[test]
fn a_manual_clock_stops_at_the_end_of_its_range() {
    let clock = Clock::manual();
    let last = Duration::from_nanos(u64::MAX);
    assert_eq!(clock.advance(last), Ok(Instant::MAX));
    let error = clock.advance(Duration::from_nanos(1)).unwrap_err();
    assert_eq!(error, ClockError::OutOfRange { now_ns: u64::MAX });
    assert_eq!(clock.now(), Instant::MAX, "a refused advance changes nothing");
}

#[test]
fn hooks_run_after_the_timers_with_the_new_time() {
    let (clock, reactor) = manual();
    let log = Arc::new(Mutex::new(Vec::new()));
    let hook_log = Arc::clone(&log);
    clock.on_advance(move |now| hook_log.lock().unwrap().push(format!("hook at {}", now.as_nanos()))).unwrap();
    let timer_log = Arc::clone(&log);
    let waker = Waker::from(Arc::new(Call(move || timer_log.lock().unwrap().push("timer".to_owned()))));
    let mut sleep = reactor.sleep(Duration::from_nanos(2));
    assert!(poll_once(&mut sleep, &waker).is_pending());
    clock.advance(Duration::from_nanos(1)).unwrap();
    clock.advance(Duration::from_nanos(1)).unwrap();
    assert_eq!(*log.lock().unwrap(), ["hook at 1", "timer", "hook at 2"]);
}

#[test]
fn hooks_are_bounded() {
    let clock = Clock::manual();
    for _ in 0..HOOKS_MAX {
        clock.on_advance(|_| {}).unwrap();
    }
    assert_eq!(clock.on_advance(|_| {}), Err(ClockError::TooManyHooks));
}

#[test]
fn clones_and_reactors_share_the_time() {
    let (clock, first) = manual();
    let second = Reactor::new(clock.clone(), ReactorConfig::default()).unwrap();
    let (counter, waker) = Counter::new();
    let mut sleeps = [first.sleep(Duration::from_secs(1)), second.sleep(Duration::from_secs(1))];
    assert!(sleeps.iter_mut().all(|sleep| poll_once(sleep, &waker).is_pending()));
    clock.clone().advance(Duration::from_secs(1)).unwrap();
    assert_eq!(counter.count(), 2);
    assert_eq!(first.clock().now(), Instant::from_nanos(1_000_000_000));
}
