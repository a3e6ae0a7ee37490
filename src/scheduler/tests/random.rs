//! Any mix of spawns, wakes, cancellations and preemptions: each task runs to exactly one end, its steps never overlap.

use std::sync::atomic::AtomicU32;

use proptest::prelude::*;

use super::super::unwind::guarded;
use super::*;

/// What a step of a scripted task does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Preempted,
    Blocked,
    Idle,
    /// Wakes itself, then waits.
    WakeSelf,
    /// Wakes another task, then is preempted.
    WakeOther(usize),
    /// Has its waker called by another thread.
    WakeFromOutside,
    Panic,
}

/// What the test does meanwhile.
#[derive(Clone, Copy, Debug)]
enum Event {
    Wake(usize),
    Cancel(usize),
    Tick,
}

#[derive(Default)]
struct Record {
    inside: AtomicBool,
    ends: AtomicU32,
    drops: AtomicU32,
}

struct Scripted {
    script: std::vec::IntoIter<Act>,
    record: Arc<Record>,
    all: Arc<parking_lot::Mutex<Vec<TaskRef>>>,
    outside: std::sync::mpsc::Sender<std::task::Waker>,
}

impl Scripted {
    fn act(&mut self, context: &mut Context<'_>) -> Step {
        if current::cancelled() {
            return self.end();
        }
        match self.script.next() {
            None => self.end(),
            Some(Act::Preempted) => Step::Preempted,
            Some(Act::Blocked) => Step::Blocked,
            Some(Act::Idle) => Step::Idle,
            Some(Act::WakeSelf) => {
                context.waker().wake_by_ref();
                Step::Blocked
            }
            Some(Act::WakeOther(other)) => {
                let other = self.all.lock().get(other).cloned();
                if let Some(other) = other {
                    other.wake();
                }
                Step::Preempted
            }
            Some(Act::WakeFromOutside) => {
                let _ = self.outside.send(context.waker().clone());
                Step::Blocked
            }
            Some(Act::Panic) => {
                // Quietly: a panic hook would fill the output.
                std::panic::resume_unwind(Box::new("scripted"))
            }
        }
    }

    fn end(&self) -> Step {
        self.record.ends.fetch_add(1, Ordering::Relaxed);
        Step::Done
    }
}

impl Task for Scripted {
    fn step(&mut self, context: &mut Context<'_>) -> Step {
        let record = Arc::clone(&self.record);
        assert!(!record.inside.swap(true, Ordering::Relaxed), "two steps at once");
        let step = guarded(|| self.act(context));
        record.inside.store(false, Ordering::Relaxed);
        step.unwrap_or_else(|message| std::panic::resume_unwind(Box::new(message)))
    }

    fn panicked(&mut self, message: &str) {
        assert_eq!(message, "scripted");
        let _ = self.end();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.record.drops.fetch_add(1, Ordering::Relaxed);
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Preempted),
        2 => Just(Act::Blocked),
        1 => Just(Act::Idle),
        3 => Just(Act::WakeSelf),
        3 => (0..TASKS).prop_map(Act::WakeOther),
        2 => Just(Act::WakeFromOutside),
        1 => Just(Act::Panic),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..TASKS).prop_map(Event::Wake),
        1 => (0..TASKS).prop_map(Event::Cancel),
        1 => Just(Event::Tick),
    ]
}

const TASKS: usize = 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_task_ends_once(
        scripts in prop::collection::vec(prop::collection::vec(act(), 0..12), 1..TASKS),
        events in prop::collection::vec(event(), 0..40),
        workers in 1..5usize,
        seed: u64,
    ) {
        let ticker = Ticker::manual();
        let scheduler = Scheduler::builder("random").workers(workers).ticker(&ticker).seed(seed).build();
        let scheduler = scheduler.expect("threads are to be had");
        let (outside, wakers) = std::sync::mpsc::channel::<std::task::Waker>();
        let waking = std::thread::spawn(move || wakers.into_iter().for_each(std::task::Waker::wake));
        let all = Arc::default();
        let records: Vec<Arc<Record>> = scripts.iter().map(|_| Arc::default()).collect();
        for (script, record) in scripts.into_iter().zip(&records) {
            let task = Scripted {
                script: script.into_iter(),
                record: Arc::clone(record),
                all: Arc::clone(&all),
                outside: outside.clone(),
            };
            let task = scheduler.spawn(task).expect("within the bound");
            all.lock().push(task);
        }
        drop(outside);
        let tasks = all.lock().clone();
        for event in events {
            match event {
                Event::Wake(task) => tasks.get(task).into_iter().for_each(TaskRef::wake),
                Event::Cancel(task) => tasks.get(task).into_iter().for_each(TaskRef::cancel),
                Event::Tick => ticker.tick(),
            }
        }
        // Those that are suspended are woken until they end.
        wait_until(|| {
            tasks.iter().filter(|task| matches!(task.state(), TaskState::Blocked | TaskState::Idle)).for_each(TaskRef::wake);
            tasks.iter().all(TaskRef::is_complete)
        });
        for record in &records {
            prop_assert_eq!(record.ends.load(Ordering::Relaxed), 1);
            prop_assert_eq!(record.drops.load(Ordering::Relaxed), 1);
        }
        prop_assert_eq!(scheduler.stats().live_tasks, 0);
        scheduler.shutdown().expect("not on a worker");
        waking.join().expect("no waker panics");
    }
}

#[test]
fn no_wake_up_is_lost_in_rings_of_tasks() {
    const RINGS: usize = 8;
    const MEMBERS: usize = 5;
    const ROUNDS: usize = 2000;
    // Each ring passes a token on: a lost wake-up is a token that stands still. Every third hop goes through a thread
    // that is no worker, so all ways into the queues are taken.
    let scheduler = Scheduler::builder("rings").workers(4).ticker(&Ticker::manual()).build();
    let scheduler = scheduler.expect("threads are to be had");
    let (outside, wakers) = std::sync::mpsc::channel::<TaskRef>();
    let waking = std::thread::spawn(move || wakers.into_iter().for_each(|task| task.wake()));
    let rings: Vec<Arc<(AtomicUsize, parking_lot::Mutex<Vec<TaskRef>>)>> = (0..RINGS).map(|_| Arc::default()).collect();
    for ring in &rings {
        // A member waits for this lock until the ring is closed.
        let mut members = ring.1.lock();
        for member in 0..MEMBERS {
            let (ring_of_task, outside) = (Arc::clone(ring), outside.clone());
            let step = Steps(move |_: &mut Context<'_>| {
                let (token, members) = &*ring_of_task;
                let hop = token.load(Ordering::Relaxed);
                if hop >= ROUNDS * MEMBERS {
                    return Step::Done;
                }
                if hop % MEMBERS != member {
                    return Step::Idle;
                }
                token.store(hop + 1, Ordering::Relaxed);
                let next = members.lock()[(member + 1) % MEMBERS].clone();
                if hop % 3 == 0 {
                    let _ = outside.send(next);
                } else {
                    next.wake();
                }
                if hop % 7 == 0 { Step::Preempted } else { Step::Blocked }
            });
            members.push(scheduler.spawn(step).expect("within the bound"));
        }
    }
    drop(outside);
    wait_until(|| rings.iter().all(|ring| ring.0.load(Ordering::Relaxed) >= ROUNDS * MEMBERS));
    for ring in &rings {
        let members = std::mem::take(&mut *ring.1.lock());
        members.iter().for_each(TaskRef::wake);
        wait_until(|| members.iter().all(TaskRef::is_complete));
    }
    waking.join().expect("no waker panics");
}
