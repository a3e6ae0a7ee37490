//! The ticker: it ticks while something runs, and sleeps while nothing does.

use std::sync::atomic::AtomicU64;

use super::*;

const PERIOD: Duration = Duration::from_micros(200);

fn ticking(ticker: &Ticker) -> Scheduler {
    Scheduler::builder("ticking").workers(2).ticker(ticker).build().expect("threads are to be had")
}

#[test]
fn it_ticks_while_a_step_runs_and_calls_back() {
    let ticker = Ticker::start(PERIOD).expect("a thread is to be had");
    let calls = Arc::new(AtomicU64::new(0));
    ticker.on_tick({
        let calls = Arc::clone(&calls);
        Arc::new(move || {
            calls.fetch_add(1, Ordering::Relaxed);
        })
    });
    let scheduler = ticking(&ticker);
    let task = {
        let (ticker, calls) = (ticker.clone(), Arc::clone(&calls));
        scheduler.spawn(once(move || {
            let before = ticker.ticks();
            wait_until(|| ticker.ticks() >= before + 3 && calls.load(Ordering::Relaxed) >= 3);
        }))
    };
    let task = task.expect("within the bound");
    wait_until(|| task.is_complete());
}

#[test]
fn an_idle_program_makes_no_wakeups() {
    let ticker = Ticker::start(PERIOD).expect("a thread is to be had");
    let schedulers = [ticking(&ticker), ticking(&ticker)];
    for round in 1..4 {
        let before = ticker.ticks();
        let wait = {
            let ticker = ticker.clone();
            once(move || wait_until(|| ticker.ticks() > before))
        };
        let task = schedulers[round % 2].spawn(wait).expect("within the bound");
        wait_until(|| task.is_complete());

        wait_until(|| schedulers.iter().all(|scheduler| scheduler.stats().parked_workers == 2));
        wait_until(|| ticker.is_asleep());
        let parked = || schedulers.iter().map(|scheduler| scheduler.stats().total().parked).collect::<Vec<_>>();
        let still = (ticker.wakeups(), ticker.ticks(), parked());
        // Long enough for a hundred periods, if there were any.
        std::thread::sleep(100 * PERIOD);
        assert_eq!((ticker.wakeups(), ticker.ticks(), parked()), still);
    }
}

#[test]
fn a_ticker_without_handles_ends_its_thread() {
    let ticker = Ticker::start(PERIOD).expect("a thread is to be had");
    let alive = Arc::new(());
    ticker.on_tick({
        let alive = Arc::clone(&alive);
        Arc::new(move || {
            let _ = &alive;
        })
    });
    let scheduler = ticking(&ticker);
    drop(ticker);
    assert_eq!(Arc::strong_count(&alive), 2, "the scheduler has a handle of its own");
    scheduler.shutdown().expect("not on a worker");
    drop(scheduler);
    wait_until(|| Arc::strong_count(&alive) == 1);
}

#[test]
fn a_dropped_scheduler_is_forgotten() {
    let ticker = Ticker::manual();
    for _ in 0..100 {
        let scheduler = ticking(&ticker);
        scheduler.shutdown().expect("not on a worker");
        ticker.tick();
    }
    assert!(ticker.attached() <= 2, "those that are gone make room for those that come");
}
