use std::sync::Mutex;

use proptest::prelude::*;

use super::*;

#[test]
fn a_sleep_is_cheap_until_polled_and_leaves_when_dropped() {
    let (_clock, reactor) = manual();
    let (_, waker) = Counter::new();
    let mut sleep = reactor.sleep(Duration::from_secs(1));
    assert_eq!(reactor.stats().timers, 0);
    assert!(poll_once(&mut sleep, &waker).is_pending());
    assert!(poll_once(&mut sleep, &waker).is_pending());
    assert_eq!(reactor.stats().timers, 1);
    drop(sleep);
    assert_eq!(reactor.stats().timers, 0);
}

#[test]
fn a_sleep_never_fires_early_and_one_in_the_past_is_ready_at_once() {
    let (clock, reactor) = manual();
    let (counter, waker) = Counter::new();
    let mut sleep = reactor.sleep(Duration::from_nanos(10));
    assert!(poll_once(&mut sleep, &waker).is_pending());
    clock.advance(Duration::from_nanos(9)).unwrap();
    assert_eq!(counter.count(), 0);
    assert!(poll_once(&mut sleep, &waker).is_pending() && !sleep.is_elapsed());
    clock.advance(Duration::from_nanos(1)).unwrap();
    assert_eq!(counter.count(), 1);
    assert!(poll_once(&mut sleep, &waker).is_ready() && sleep.is_elapsed());
    assert!(poll_once(&mut reactor.sleep_until(Instant::START), &waker).is_ready());
    assert!(poll_once(&mut reactor.sleep(Duration::ZERO), &waker).is_ready());
    assert_eq!(counter.count(), 1);
}

#[test]
fn the_task_of_the_last_poll_is_woken_once() {
    let (clock, reactor) = manual();
    let (first, first_waker) = Counter::new();
    let (second, second_waker) = Counter::new();
    let mut sleep = reactor.sleep(Duration::from_secs(1));
    assert!(poll_once(&mut sleep, &first_waker).is_pending());
    assert!(poll_once(&mut sleep, &second_waker).is_pending());
    clock.advance(Duration::from_secs(2)).unwrap();
    assert_eq!((first.count(), second.count()), (0, 1));
}

#[test]
fn a_reset_sleep_waits_for_its_new_deadline() {
    let (clock, reactor) = manual();
    let (counter, waker) = Counter::new();
    let mut sleep = reactor.sleep(Duration::from_secs(1));
    assert!(poll_once(&mut sleep, &waker).is_pending());
    sleep.reset(Instant::from_nanos(3_000_000_000));
    assert!(poll_once(&mut sleep, &waker).is_pending());
    clock.advance(Duration::from_secs(2)).unwrap();
    assert_eq!(counter.count(), 0);
    clock.advance(Duration::from_secs(1)).unwrap();
    assert!(counter.count() == 1 && poll_once(&mut sleep, &waker).is_ready());
}

#[test]
fn one_advance_fires_more_than_a_turn_in_the_order_of_deadlines() {
    let (clock, reactor) = manual();
    let count = 2 * TIMERS_PER_TURN + 1;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut sleeps: Vec<_> = (0..count)
        .map(|index| {
            let order = Arc::clone(&order);
            // Deadlines go down, in pairs.
            let deadline = ((count - index) / 2) as u64 + 1;
            let waker = Waker::from(Arc::new(Call(move || order.lock().unwrap().push((deadline, index)))));
            let mut sleep = reactor.sleep_until(Instant::from_nanos(deadline));
            assert!(poll_once(&mut sleep, &waker).is_pending());
            sleep
        })
        .collect();
    clock.advance(Duration::from_secs(1)).unwrap();
    let order = order.lock().unwrap();
    assert_eq!(order.len(), count);
    assert!(order.is_sorted(), "by deadline, then by registration");
    assert!(sleeps.iter_mut().all(|sleep| poll_once(sleep, Waker::noop()).is_ready()));
}

#[test]
fn a_waker_may_use_the_reactor() {
    let (clock, reactor) = manual();
    let other = Mutex::new(Some(reactor.sleep(Duration::from_secs(9))));
    assert!(poll_once(other.lock().unwrap().as_mut().unwrap(), Waker::noop()).is_pending());
    let (user, user_clock) = (Arc::clone(&reactor), clock.clone());
    let waker = Waker::from(Arc::new(Call(move || {
        drop(other.lock().unwrap().take());
        user.poll();
        user.unpark();
        user_clock.advance(Duration::ZERO).unwrap();
    })));
    let mut sleep = reactor.sleep(Duration::from_secs(1));
    assert!(poll_once(&mut sleep, &waker).is_pending());
    within_limit(move || clock.advance(Duration::from_secs(1)).unwrap());
    assert_eq!(reactor.stats().timers, 0);
}

/// A task that holds a sleep whose waker holds the task: taking the waker out under the lock and dropping it there would
/// drop the sleep, which takes the lock.
#[test]
fn the_last_reference_to_a_task_may_go_with_its_waker() {
    struct Task(#[expect(dead_code, reason = "dropped with the task")] Mutex<Option<Sleep>>);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let (clock, reactor) = manual();
    let mut inner = reactor.sleep(Duration::from_secs(2));
    assert!(poll_once(&mut inner, Waker::noop()).is_pending());
    let waker = Waker::from(Arc::new(Task(Mutex::new(Some(inner)))));
    let mut sleep = reactor.sleep(Duration::from_secs(1));
    assert!(poll_once(&mut sleep, &waker).is_pending());
    drop(waker);
    within_limit(move || drop(sleep));
    assert_eq!(reactor.stats().timers, 0);
    drop(clock);
}

/// The advance and the first poll race: whichever is first, the sleep is ready or its task is woken.
#[test]
fn no_wake_up_is_lost_between_a_poll_and_an_advance() {
    const ROUNDS: usize = 30_000;
    within_limit(|| {
        let (clock, reactor) = manual();
        // Each side counts its rounds here, so that both begin the same round at the same moment.
        let begun = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let meet = |begun: &[AtomicUsize; 2], side: usize, round: usize| {
            begun[side].store(round, Ordering::SeqCst);
            while begun[1 - side].load(Ordering::SeqCst) < round {
                std::hint::spin_loop();
            }
        };
        let advancing = {
            let (clock, begun) = (clock.clone(), Arc::clone(&begun));
            std::thread::spawn(move || {
                for round in 1..=ROUNDS {
                    meet(&begun, 0, 2 * round);
                    (0..round % 16).for_each(|_| std::hint::spin_loop());
                    clock.advance(Duration::from_nanos(1)).unwrap();
                    meet(&begun, 0, 2 * round + 1);
                }
            })
        };
        for round in 1..=ROUNDS {
            let (counter, waker) = Counter::new();
            let mut sleep = reactor.sleep(Duration::from_nanos(1));
            meet(&begun, 1, 2 * round);
            let ready = poll_once(&mut sleep, &waker).is_ready();
            meet(&begun, 1, 2 * round + 1);
            assert!(ready || counter.count() == 1, "round {round}");
        }
        advancing.join().unwrap();
    });
}

#[derive(Clone, Debug)]
enum Step {
    /// A new sleep that many nanoseconds from now, polled.
    Sleep(u64),
    Drop(usize),
    /// Polls again, from another task.
    Poll(usize),
    Reset(usize, u64),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..40_u64).prop_map(Step::Sleep),
        1 => (0..64_usize).prop_map(Step::Drop),
        2 => (0..64_usize).prop_map(Step::Poll),
        1 => ((0..64_usize), (0..40_u64)).prop_map(|(which, nanos)| Step::Reset(which, nanos)),
        3 => (0..20_u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 0..120)
}

/// What a sleep should do: its wake-ups are counted on the waker of its last poll.
struct Model {
    sleep: Sleep,
    deadline: u64,
    counter: Arc<Counter>,
    /// Registered and not fired.
    waiting: bool,
    expected: usize,
}

proptest! {
    #[test]
    fn sleeps_behave_as_a_list_of_deadlines(steps in steps()) {
        let (clock, reactor) = manual();
        let mut now = 0;
        let mut sleeps: Vec<Model> = Vec::new();
        for step in steps {
            match step {
                Step::Sleep(nanos) => {
                    let sleep = reactor.sleep(Duration::from_nanos(nanos));
                    let (counter, _) = Counter::new();
                    sleeps.push(Model { sleep, deadline: now + nanos, counter, waiting: false, expected: 0 });
                    let last = sleeps.len() - 1;
                    poll(&mut sleeps[last], now)?;
                }
                Step::Drop(which) if !sleeps.is_empty() => {
                    let which = which % sleeps.len();
                    drop(sleeps.swap_remove(which));
                }
                Step::Poll(which) if !sleeps.is_empty() => {
                    let which = which % sleeps.len();
                    poll(&mut sleeps[which], now)?;
                }
                Step::Reset(which, nanos) if !sleeps.is_empty() => {
                    let which = which % sleeps.len();
                    let model = &mut sleeps[which];
                    model.deadline = now + nanos;
                    model.waiting = false;
                    model.sleep.reset(Instant::from_nanos(model.deadline));
                }
                Step::Advance(nanos) => {
                    now += nanos;
                    for model in sleeps.iter_mut().filter(|model| model.waiting && model.deadline <= now) {
                        model.waiting = false;
                        model.expected += 1;
                    }
                    clock.advance(Duration::from_nanos(nanos)).unwrap();
                }
                Step::Drop(_) | Step::Poll(_) | Step::Reset(..) => {}
            }
            prop_assert_eq!(reactor.stats().timers, sleeps.iter().filter(|model| model.waiting).count());
            prop_assert!(!reactor.is_due(), "an advance leaves nothing due");
            for model in &sleeps {
                prop_assert_eq!(model.counter.count(), model.expected);
            }
        }
    }
}

fn poll(model: &mut Model, now: u64) -> Result<(), TestCaseError> {
    let (counter, waker) = Counter::new();
    let ready = poll_once(&mut model.sleep, &waker).is_ready();
    prop_assert_eq!(ready, model.deadline <= now);
    model.waiting = !ready;
    (model.counter, model.expected) = (counter, 0);
    Ok(())
}
