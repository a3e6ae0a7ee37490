//! The end of a scheduler: no job stays in an injector that nobody looks at.

use loom::sync::Arc;
use loom::thread;

use super::super::idle::Idle;
use super::super::park::Condition;
use super::super::phase::Phase;
use super::check;
use crate::sync::{Injector, Steal};

#[test]
fn loom_a_push_meets_the_last_worker_that_leaves() {
    check(3, || {
        let shared = Arc::new((Injector::new(), Idle::new(2, std::sync::Arc::new(Condition::new())), Phase::new(2)));
        let drain = |queue: &Injector<()>| while !queue.is_empty() && matches!(queue.steal(), Steal::Success(())) {};
        let workers = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (queue, _, phase) = &*shared;
                drain(queue);
                if phase.worker_leaves() {
                    drain(queue);
                }
            })
        });
        let (queue, idle, phase) = &*shared;
        phase.open_to_stopping();
        queue.push(());
        // It begins with the fence, as in `Shared::push_woken`.
        idle.notify_one();
        if phase.is_closed_after_fence() {
            drain(queue);
        }
        workers.into_iter().for_each(|worker| worker.join().expect("no assertion failed"));
        assert!(matches!(queue.steal(), Steal::Empty), "nobody will look at this job");
    });
}
