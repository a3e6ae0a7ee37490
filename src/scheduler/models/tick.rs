//! The sleep of the ticker: it never sleeps while a worker is awake.

use loom::sync::Arc;
use loom::thread;

use super::super::tick::Activity;
use super::check;

#[test]
fn loom_the_ticker_does_not_sleep_beside_an_awake_worker() {
    check(3, || {
        let activity = Arc::new(Activity::new());
        let worker = {
            let activity = activity.clone();
            thread::spawn(move || {
                activity.enter();
                activity.leave();
                activity.enter();
            })
        };
        // The last `enter` has no `leave`: a sleep without end is a deadlock, which loom reports.
        activity.sleep();
        activity.sleep();
        worker.join().expect("no assertion failed");
        assert!(activity.is_any());
    });
}

#[test]
fn loom_two_workers_wake_the_ticker_together() {
    check(3, || {
        let activity = Arc::new(Activity::new());
        let workers = [(); 2].map(|()| {
            let activity = activity.clone();
            thread::spawn(move || activity.enter())
        });
        activity.sleep();
        activity.sleep();
        workers.into_iter().for_each(|worker| worker.join().expect("no assertion failed"));
        // A notification that came too late ends one more sleep, not two.
        activity.sleep();
    });
}
