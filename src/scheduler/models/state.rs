//! The state word: wake × run × complete × cancel.

use loom::sync::Arc;
use loom::thread;

use super::super::state::{State, Suspend, TaskState, Wait, Wake};
use super::check;
use crate::sync::{AtomicUsize, Ordering};

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

    /// A worker that found the task in a queue. `slices` steps are preempted before one looks for signals.
    fn run(&self, mut slices: usize) {
        loop {
            self.state.ready_to_running();
            assert_eq!(self.inside.swap(1, Ordering::Relaxed), 0, "two steps at once");
            self.begun.fetch_add(1, Ordering::Relaxed);
            self.steps.store(self.steps.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            let is_over = self.signals.load(Ordering::Relaxed) == self.wanted || self.state.is_cancelled();
            if slices == 0 && is_over {
                self.ends.fetch_add(1, Ordering::Relaxed);
                self.inside.store(0, Ordering::Relaxed);
                self.state.running_to_complete();
                return;
            }
            self.inside.store(0, Ordering::Relaxed);
            if slices > 0 {
                slices -= 1;
                self.state.running_to_ready();
                continue;
            }
            match self.state.running_to_suspended(Wait::Completion) {
                Suspend::Suspended => return,
                Suspend::Ready => {}
            }
        }
    }

    /// Writes a signal that only the waker publishes, then wakes.
    fn signal(&self) {
        self.signals.fetch_add(1, Ordering::Relaxed);
        self.obey(self.state.wake());
    }

    fn obey(&self, wake: Wake) {
        match wake {
            Wake::Enqueue => self.run(0),
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
        cell.run(0);
        waker.join().expect("no assertion failed");
        cell.assert_ended();
    });
}

#[test]
fn loom_two_wakes_queue_the_task_once_each_time() {
    check(3, || {
        let cell = Cell::new(2);
        let wakers = [spawn(&cell, Cell::signal), spawn(&cell, Cell::signal)];
        cell.run(0);
        wakers.into_iter().for_each(|waker| waker.join().expect("no assertion failed"));
        cell.assert_ended();
    });
}

#[test]
fn loom_a_wake_meets_a_preemption() {
    check(3, || {
        let cell = Cell::new(1);
        let waker = spawn(&cell, Cell::signal);
        cell.run(1);
        waker.join().expect("no assertion failed");
        cell.assert_ended();
    });
}

#[test]
fn loom_cancel_and_wake_and_run_end_a_task_once() {
    check(3, || {
        // One signal never comes: only the cancellation ends the task.
        let cell = Cell::new(2);
        let others = [spawn(&cell, Cell::signal), spawn(&cell, |cell| cell.obey(cell.state.cancel()))];
        cell.run(1);
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
