//! The state word: wake × run × complete × cancel.

use loom::sync::Arc;
use loom::thread;

use super::super::state::{State, Suspend, TaskState, Wait, Wake};
use super::check;
use crate::sync::{AtomicUsize, Injector, Ordering};

/// A task that waits for `wanted` signals or its cancellation. Being put into a queue is modelled by being run: who is
/// obliged to do the one does the other.
struct Cell {
    state: State,
    wanted: usize,
    signals: AtomicUsize,
    /// 1 while somebody is inside a step.
    inside: AtomicUsize,
    /// Written without any ordering: it is exact only when each step sees the one before.
    steps: AtomicUsize,
    /// The true number of steps.
    begun: AtomicUsize,
    ends: AtomicUsize,
}

impl Cell {
    fn new(wanted: usize) -> Arc<Self> {
        Arc::new(Self {
            state: State::ready(),
            wanted,
            signals: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            steps: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            ends: AtomicUsize::new(0),
        })
    }

    /// A worker that found the task in a queue: a step that is preempted, or whose task wakes itself.
    fn slice(&self) {
        self.begin();
        self.inside.store(0, Ordering::Relaxed);
        self.state.running_to_ready();
    }

    /// A worker that found the task in a queue, and runs it until it waits or ends.
    fn run(&self) {
        loop {
            let is_cancelled = self.begin();
            let is_over = self.signals.load(Ordering::Relaxed) == self.wanted || is_cancelled;
            if is_over {
                self.ends.fetch_add(1, Ordering::Relaxed);
                self.inside.store(0, Ordering::Relaxed);
                self.state.running_to_complete();
                return;
            }
            self.inside.store(0, Ordering::Relaxed);
            match self.state.running_to_suspended(Wait::Completion) {
                Suspend::Suspended => return,
                Suspend::Ready => {}
            }
        }
    }

    fn begin(&self) -> bool {
        let is_cancelled = self.state.ready_to_running();
        assert_eq!(self.inside.swap(1, Ordering::Relaxed), 0, "two steps at once");
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.steps.store(self.steps.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        is_cancelled
    }

    /// Writes a signal that only the waker publishes, then wakes.
    fn signal(&self) {
        self.signals.fetch_add(1, Ordering::Relaxed);
        self.obey(self.state.wake());
    }

    fn obey(&self, wake: Wake) {
        match wake {
            Wake::Enqueue => self.run(),
            Wake::Pending | Wake::Complete => {}
        }
    }

    fn assert_ended(&self) {
        assert_eq!(self.state.load(), TaskState::Complete, "a wake-up was lost");
        assert_eq!(self.ends.load(Ordering::Relaxed), 1, "one end");
        assert_eq!(self.steps.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed), "a step missed another");
        assert_eq!(self.state.wake(), Wake::Complete);
        assert_eq!(self.state.cancel(), Wake::Complete);
    }
}

fn spawn(cell: &Arc<Cell>, act: impl FnOnce(&Cell) + 'static) -> thread::JoinHandle<()> {
    let cell = cell.clone();
    thread::spawn(move || act(&cell))
}

#[test]
fn loom_a_wake_in_any_state_is_seen_by_a_step() {
    check(3, || {
        let cell = Cell::new(1);
        let waker = spawn(&cell, Cell::signal);
        cell.run();
        waker.join().expect("no assertion failed");
        cell.assert_ended();
    });
}

#[test]
fn loom_two_wakes_queue_the_task_once_each_time() {
    check(3, || {
        let cell = Cell::new(2);
        let wakers = [spawn(&cell, Cell::signal), spawn(&cell, Cell::signal)];
        cell.run();
        wakers.into_iter().for_each(|waker| waker.join().expect("no assertion failed"));
        cell.assert_ended();
    });
}

#[test]
fn loom_a_wake_meets_a_preemption_or_a_task_that_wakes_itself() {
    check(3, || {
        let cell = Cell::new(1);
        let waker = spawn(&cell, Cell::signal);
        cell.slice();
        cell.run();
        waker.join().expect("no assertion failed");
        cell.assert_ended();
    });
}

#[test]
fn loom_a_queue_brings_a_task_to_another_worker_between_a_preemption_and_a_wake() {
    check(3, || {
        let (cell, queue) = (Cell::new(1), Arc::new(Injector::new()));
        let waker = spawn(&cell, Cell::signal);
        let theirs = queue.clone();
        let other = spawn(&cell, move |cell| {
            if theirs.steal().success().is_some() {
                cell.run();
            }
        });
        cell.slice();
        queue.push(());
        if queue.steal().success().is_some() {
            cell.run();
        }
        [waker, other].into_iter().for_each(|thread| thread.join().expect("no assertion failed"));
        cell.assert_ended();
    });
}

#[test]
fn loom_cancel_and_wake_and_run_end_a_task_once() {
    check(3, || {
        // One signal never comes: only the cancellation ends the task.
        let cell = Cell::new(2);
        let others = [spawn(&cell, Cell::signal), spawn(&cell, |cell| cell.obey(cell.state.cancel()))];
        cell.slice();
        cell.run();
        others.into_iter().for_each(|other| other.join().expect("no assertion failed"));
        cell.assert_ended();
    });
}

#[test]
fn loom_a_wake_meets_the_shutdown_of_a_queued_task() {
    check(3, || {
        let cell = Cell::new(1);
        let waker = spawn(&cell, Cell::signal);
        cell.ends.fetch_add(1, Ordering::Relaxed);
        cell.state.ready_to_complete();
        waker.join().expect("no assertion failed");
        cell.assert_ended();
    });
}
