use super::*;

#[test]
fn a_parked_driver_wakes_for_its_timer_with_either_alarm() {
    for reactor in [real(), real_without_descriptor()] {
        within_limit(move || {
            for micros in [0, 1, 300, 2_500] {
                let deadline = reactor.clock().now().saturating_add(Duration::from_micros(micros));
                block_on(&reactor, reactor.sleep_until(deadline));
                assert!(reactor.clock().now() >= deadline);
                assert_eq!(reactor.stats().timers, 0);
            }
        });
    }
}

/// Only timers end the driver's waits, and a far one is always pending: near ones from other threads must shorten the
/// wait that they find.
#[test]
fn an_earlier_timer_of_another_thread_shortens_the_wait() {
    for reactor in [real(), real_without_descriptor()] {
        within_limit(move || {
            let mut far = reactor.sleep(Duration::from_secs(3600));
            assert!(poll_once(&mut far, Waker::noop()).is_pending());
            let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let driver = {
                let (reactor, stop) = (Arc::clone(&reactor), Arc::clone(&stop));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        reactor.park(None);
                    }
                })
            };
            let sleepers: Vec<_> = (0..3)
                .map(|thread| {
                    let reactor = Arc::clone(&reactor);
                    std::thread::spawn(move || {
                        for round in 0..200 {
                            let this = std::thread::current();
                            let waker = Waker::from(Arc::new(Call(move || this.unpark())));
                            let mut sleep = reactor.sleep(Duration::from_micros((round * 7 + thread * 13) % 200));
                            while poll_once(&mut sleep, &waker).is_pending() {
                                std::thread::park();
                            }
                        }
                    })
                })
                .collect();
            sleepers.into_iter().for_each(|thread| thread.join().unwrap());
            stop.store(true, Ordering::SeqCst);
            reactor.unpark();
            driver.join().unwrap();
        });
    }
}

#[test]
fn unpark_ends_the_next_park_also_after_a_look() {
    within_limit(|| {
        let reactor = real();
        let (here, _there) = std::os::unix::net::UnixStream::pair().unwrap();
        // With a source, a look asks the kernel and could swallow the event of an unpark.
        let _socket = reactor.register(FdSource(here), Interest::Read).unwrap();
        for _ in 0..3 {
            reactor.unpark();
            reactor.poll();
            reactor.poll();
            reactor.park(None);
        }
        reactor.unpark();
        reactor.unpark();
        reactor.park(None);
    });
}

#[test]
fn unpark_ends_a_running_park_and_a_look_meanwhile_returns_at_once() {
    within_limit(|| {
        let reactor = real();
        for _ in 0..200 {
            let driver = {
                let reactor = Arc::clone(&reactor);
                std::thread::spawn(move || reactor.park(None))
            };
            reactor.poll();
            reactor.unpark();
            driver.join().unwrap();
            // An unpark during a park is used up by it; one after it would end the next.
        }
    });
}

#[test]
fn a_park_without_events_ends_with_its_timeout() {
    within_limit(|| {
        let (_clock, reactor) = manual();
        let mut sleep = reactor.sleep(Duration::from_nanos(1));
        assert!(poll_once(&mut sleep, Waker::noop()).is_pending());
        reactor.park(Some(Duration::from_millis(1)));
        real().park(Some(Duration::ZERO));
        real_without_descriptor().park(Some(Duration::from_micros(1)));
    });
}

/// Everything parked under a manual clock: an advance calls the wakers itself, and they unpark.
#[test]
fn an_advance_reaches_a_parked_driver() {
    within_limit(|| {
        let (clock, reactor) = manual();
        let sleeper = {
            let reactor = Arc::clone(&reactor);
            std::thread::spawn(move || block_on(&reactor, reactor.sleep(Duration::from_secs(5))))
        };
        wait_until(|| reactor.stats().timers == 1);
        clock.advance(Duration::from_secs(4)).unwrap();
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1)).unwrap();
        sleeper.join().unwrap();
    });
}

#[test]
fn a_due_timer_is_seen_and_fired_by_a_look() {
    let reactor = real();
    assert!(!reactor.is_due());
    let (counter, waker) = Counter::new();
    let mut sleep = reactor.sleep(Duration::from_millis(1));
    assert!(poll_once(&mut sleep, &waker).is_pending());
    let mut far = reactor.sleep(Duration::from_secs(3600));
    assert!(poll_once(&mut far, &waker).is_pending());
    wait_until(|| reactor.is_due());
    reactor.poll();
    assert_eq!(counter.count(), 1);
    assert!(!reactor.is_due());
    let mut cancelled = reactor.sleep(Duration::from_nanos(1));
    let _ = poll_once(&mut cancelled, &waker);
    drop(cancelled);
    assert!(!reactor.is_due(), "a cancelled timer is not due");
}

/// Prints how late a lone sleep of 200 µs is with either alarm.
#[test]
#[ignore = "a measurement"]
fn measure_how_late_a_sleep_is() {
    for (alarm, reactor) in [("descriptor", real()), ("timeout of the poll", real_without_descriptor())] {
        let mut late: Vec<_> = (0..501)
            .map(|_| {
                let sleep = reactor.sleep(Duration::from_micros(200));
                let deadline = sleep.deadline();
                block_on(&reactor, sleep);
                reactor.clock().now().saturating_duration_since(deadline)
            })
            .collect();
        late.sort();
        println!("{alarm}: half of the sleeps are less than {:?} late, 99 % less than {:?}", late[250], late[495]);
    }
}
