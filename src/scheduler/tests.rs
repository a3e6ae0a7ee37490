//! The scheduler as a whole: what its README promises, seen from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use super::*;

/// A step written as a closure.
struct Steps<F>(F);

impl<F: FnMut(&mut Context<'_>) -> Step + Send + 'static> Task for Steps<F> {
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        (self.0)(context)
    }
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

fn scheduler(workers: usize) -> Scheduler {
    Scheduler::builder("test").workers(workers).seed(1).build().expect("threads are to be had")
}

#[test]
fn spawned_tasks_run_to_their_end_and_are_dropped() {
    let scheduler = scheduler(2);
    let runs = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let runs = Arc::clone(&runs);
            let step = Steps(move |_: &mut Context<'_>| {
                runs.fetch_add(1, Ordering::Relaxed);
                Step::Done
            });
            scheduler.spawn(step).expect("within the bound")
        })
        .collect();
    wait_until(|| tasks.iter().all(TaskRef::is_complete));
    assert_eq!(runs.load(Ordering::Relaxed), 100);
    assert_eq!(Arc::strong_count(&runs), 1, "complete tasks are dropped");
    assert_eq!(scheduler.stats().live_tasks, 0);
    assert_eq!(scheduler.stats().total().steps, 100);
    scheduler.shutdown().expect("not on a worker");
}

#[test]
fn a_suspended_task_is_run_again_when_it_is_woken() {
    let scheduler = scheduler(2);
    let task = scheduler.spawn(Steps({
        let mut left = 3;
        move |_: &mut Context<'_>| {
            left -= 1;
            if left == 0 { Step::Done } else { Step::Blocked }
        }
    }));
    let task = task.expect("within the bound");
    for steps in 1..3 {
        wait_until(|| task.steps() == steps && task.state() == TaskState::Blocked);
        task.wake();
    }
    wait_until(|| task.is_complete());
    assert_eq!(task.steps(), 3);
}
