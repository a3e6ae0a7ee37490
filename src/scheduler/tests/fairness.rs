//! Who runs before whom: one worker, so the order is exact.

use std::task::Waker;

use parking_lot::Mutex;

use super::*;

type Log = Arc<Mutex<Vec<u32>>>;

/// Writes its name into the log at each of `steps` steps, ending all but the last one with `step`.
fn chatter(log: &Log, name: u32, steps: usize, step: Step) -> impl Task + use<> {
    let (log, mut left) = (Arc::clone(log), steps);
    Steps(move |context: &mut Context<'_>| {
        log.lock().push(name);
        left -= 1;
        if step != Step::Preempted {
            context.waker().wake_by_ref();
        }
        if left == 0 { Step::Done } else { step }
    })
}

/// Queues `tasks` behind a step, lets them run, and waits for their end.
fn run_together<T: Task>(scheduler: &Scheduler, tasks: impl IntoIterator<Item = T>) {
    let gate = occupy(scheduler);
    let tasks: Vec<_> = tasks.into_iter().map(|task| scheduler.spawn(task).expect("within the bound")).collect();
    gate.open();
    wait_until(|| tasks.iter().all(TaskRef::is_complete));
}

#[test]
fn woken_tasks_run_in_their_order_and_before_preempted_ones() {
    let (scheduler, _) = scheduler(1);
    let log = Log::default();
    run_together(&scheduler, [1, 2, 3].map(|name| chatter(&log, name, 2, Step::Preempted)));
    assert_eq!(*log.lock(), [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_task_that_is_woken_runs_before_those_that_were_preempted_earlier() {
    let (scheduler, _) = scheduler(1);
    let log = Log::default();
    let spinner = scheduler.spawn(chatter(&log, 1, 300, Step::Preempted)).expect("within the bound");
    wait_until(|| spinner.steps() > 0);
    let gate = occupy(&scheduler);
    // By now the spinner is in the queue of the preempted, and these come after it.
    let woken = [2, 3].map(|name| scheduler.spawn(chatter(&log, name, 1, Step::Idle)).expect("within the bound"));
    let before = log.lock().len();
    let is_over = spinner.is_complete();
    gate.open();
    wait_until(|| spinner.is_complete() && woken.iter().all(TaskRef::is_complete));
    let after: Vec<_> = log.lock()[before..].iter().copied().filter(|&name| name != 1).collect();
    assert_eq!(after, [2, 3]);
    // One turn of the spinner may come first: the one that is due every 61 steps.
    assert!(is_over || log.lock()[before..].iter().position(|&name| name == 3) <= Some(2));
}

#[test]
fn spinners_take_turns() {
    let (scheduler, _) = scheduler(1);
    let log = Log::default();
    run_together(&scheduler, (0..4).map(|name| chatter(&log, name, 50, Step::Preempted)));
    let expected: Vec<_> = (0..50).flat_map(|_| 0..4).collect();
    assert_eq!(*log.lock(), expected);
}

#[test]
fn a_deque_that_never_empties_starves_neither_preempted_nor_injected_tasks() {
    let (scheduler, _) = scheduler(1);
    let log = Log::default();
    let stop = Gate::default();
    // Two tasks that are always ready in the own deque, a spinner beside them.
    let busy = [1, 2].map(|name| scheduler.spawn(restless(&log, name, &stop)).expect("within the bound"));
    let spinner = scheduler.spawn(chatter(&log, 3, 20, Step::Preempted)).expect("within the bound");
    wait_until(|| spinner.is_complete());
    let injected = scheduler.spawn(chatter(&log, 4, 1, Step::Blocked)).expect("within the bound");
    wait_until(|| injected.is_complete());
    stop.open();
    wait_until(|| busy.iter().all(TaskRef::is_complete));

    let log = log.lock();
    let turns: Vec<_> = (0..log.len()).filter(|&place| log[place] == 3).collect();
    assert_eq!(turns.len(), 20);
    // The first turn is the one of a woken task; from then on the spinner is looked at every 61 steps.
    assert!(turns.windows(2).skip(1).all(|pair| pair[1] - pair[0] == 61), "{turns:?}");
}

/// A task that is always ready, until `stop`: it writes its name and wakes itself.
fn restless(log: &Log, name: u32, stop: &Gate) -> impl Task + use<> {
    let (log, stop) = (Arc::clone(log), stop.clone());
    Steps(move |context: &mut Context<'_>| {
        log.lock().push(name);
        context.waker().wake_by_ref();
        if stop.is_open() { Step::Done } else { Step::Blocked }
    })
}

#[test]
fn tasks_woken_from_outside_wait_for_those_only_that_were_woken_before_them() {
    const INJECTED: u32 = 200;
    let (scheduler, _) = scheduler(1);
    let (log, stop) = (Log::default(), Gate::default());
    // Two tasks keep the deque from ever being empty.
    let busy = [1, 2].map(|name| scheduler.spawn(restless(&log, name, &stop)).expect("within the bound"));
    wait_until(|| busy.iter().all(|task| task.steps() > 0));
    let gate = occupy(&scheduler);
    let before = log.lock().len();
    let names = 1000..1000 + INJECTED;
    let injected: Vec<_> = names
        .clone()
        .map(|name| scheduler.spawn(chatter(&log, name, 1, Step::Idle)).expect("within the bound"))
        .collect();
    gate.open();
    wait_until(|| injected.iter().all(TaskRef::is_complete));
    stop.open();
    wait_until(|| busy.iter().all(TaskRef::is_complete));
    let log = &log.lock()[before..];
    // Both busy ones were ready already; when they wake themselves again, it is behind all the others.
    assert!(log[..2] == [1, 2] || log[..2] == [2, 1], "{:?}", &log[..4]);
    assert!(log[2..2 + INJECTED as usize].iter().copied().eq(names), "{log:?}");
}

#[test]
fn tasks_that_a_step_wakes_come_behind_those_that_were_woken_from_outside_before() {
    let (scheduler, _) = scheduler(1);
    let (log, entered, gate) = (Log::default(), Gate::default(), Gate::default());
    let waking = {
        let (scheduler, log, entered, gate) = (scheduler.clone(), Arc::clone(&log), entered.clone(), gate.clone());
        once(move || {
            for name in 0..3 {
                scheduler.spawn(chatter(&log, name, 1, Step::Idle)).expect("within the bound");
            }
            entered.open();
            gate.wait();
            for name in 20..50 {
                scheduler.spawn(chatter(&log, name, 1, Step::Idle)).expect("within the bound");
            }
        })
    };
    let waking = scheduler.spawn(waking).expect("within the bound");
    entered.wait();
    for name in 3..20 {
        scheduler.spawn(chatter(&log, name, 1, Step::Idle)).expect("within the bound");
    }
    gate.open();
    wait_until(|| waking.is_complete() && scheduler.stats().live_tasks == 0);
    assert!(log.lock().iter().copied().eq(0..50), "{:?}", log.lock());
}

#[test]
fn a_stream_of_short_tasks_passes_spinners_and_the_spinners_go_on() {
    let scheduler = Scheduler::builder("stream").workers(2).ticker(&Ticker::manual()).seed(3).build();
    let scheduler = scheduler.expect("threads are to be had");
    let spinners: Vec<_> = (0..8)
        .map(|_| {
            let step = |_: &mut Context<'_>| if current::cancelled() { Step::Done } else { Step::Preempted };
            scheduler.spawn(Steps(step)).expect("within the bound")
        })
        .collect();
    for _ in 0..200 {
        let short = scheduler.spawn(once(|| {})).expect("within the bound");
        wait_until(|| short.is_complete());
    }
    let before: Vec<_> = spinners.iter().map(TaskRef::steps).collect();
    wait_until(|| spinners.iter().zip(&before).all(|(spinner, &before)| spinner.steps() > before));
    spinners.iter().for_each(TaskRef::cancel);
    wait_until(|| spinners.iter().all(TaskRef::is_complete));
}

#[test]
fn a_lone_spinner_is_told_to_go_on_until_somebody_waits() {
    let (scheduler, _) = scheduler(1);
    let (alone, asked) = (Gate::default(), Gate::default());
    let spinner = {
        let (alone, asked) = (alone.clone(), asked.clone());
        scheduler.spawn(once(move || {
            assert!(!current::should_yield(), "nobody waits");
            alone.open();
            asked.wait();
            assert!(current::should_yield(), "a spawned task waits");
        }))
    };
    alone.wait();
    let other = scheduler.spawn(once(|| {})).expect("within the bound");
    asked.open();
    wait_until(|| other.is_complete() && spinner.as_ref().is_ok_and(TaskRef::is_complete));
    assert_eq!(scheduler.stats().total().panics, 0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let (scheduler, _) = scheduler(1);
        let log = Log::default();
        let tasks = (0..40).map(|name| {
            let step = if name % 3 == 0 { Step::Preempted } else { Step::Idle };
            chatter(&log, name, 1 + name as usize % 7, step)
        });
        run_together(&scheduler, tasks);
        Arc::try_unwrap(log).expect("all tasks are dropped").into_inner()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_task_learns_whether_anybody_waits_for_it_to_let_others_run() {
    let (scheduler, _ticker) = scheduler(1);
    let (alone, woken) = (Gate::default(), Gate::default());
    let step = {
        let (alone, woken, scheduler) = (alone.clone(), woken.clone(), scheduler.clone());
        Steps(move |context: &mut Context<'_>| {
            if woken.is_open() {
                assert!(!current::others_wait(), "this is the step that was owed");
                scheduler.spawn(once(|| ())).expect("within the bound");
                assert!(current::others_wait(), "another task is ready");
                return Step::Done;
            }
            context.waker().wake_by_ref();
            assert!(!current::others_wait(), "it has only woken itself");
            alone.open();
            wait_until(current::others_wait);
            woken.open();
            Step::Blocked
        })
    };
    let task = scheduler.spawn(step).expect("within the bound");
    alone.wait();
    task.wake();
    wait_until(|| task.is_complete());
    assert_eq!(task.steps(), 2);
}

/// A task that is stepped when somebody wakes it: it writes its name, wakes `others`, and is over after `steps` steps.
fn waking(log: &Log, name: u32, steps: usize, others: &Others) -> impl Task + use<> {
    let (log, others, mut left) = (Arc::clone(log), Arc::clone(others), steps);
    Steps(move |_: &mut Context<'_>| {
        log.lock().push(name);
        others.lock().iter().for_each(Waker::wake_by_ref);
        left -= 1;
        if left == 0 { Step::Done } else { Step::Idle }
    })
}

type Others = Arc<Mutex<Vec<Waker>>>;

#[test]
fn partners_follow_each_other_and_let_the_others_have_their_turn_after_three_steps() {
    let (scheduler, _ticker) = scheduler(1);
    let log = Log::default();
    let gate = occupy(&scheduler);
    let [of_one, of_two] = [Others::default(), Others::default()];
    let one = scheduler.spawn(waking(&log, 1, 9, &of_one)).expect("within the bound");
    let two = scheduler.spawn(waking(&log, 2, 9, &of_two)).expect("within the bound");
    of_one.lock().push(two.waker());
    of_two.lock().push(one.waker());
    let third = scheduler.spawn(chatter(&log, 3, 20, Step::Idle)).expect("within the bound");
    gate.open();
    wait_until(|| one.is_complete() && two.is_complete() && third.is_complete());
    let log = log.lock();
    // First all that were spawned. The first wake of each makes them partners, from the second on they follow each other.
    let turns: Vec<_> = log.split(|name| *name == 3).map(<[u32]>::to_vec).collect();
    assert_eq!(turns[0], [1, 2]);
    assert!(turns.iter().any(|turn| *turn == [1, 2, 1, 2] || *turn == [2, 1, 2, 1]), "{turns:?}");
    assert!(turns.iter().all(|turn| turn.len() <= 4), "{turns:?}");
    assert_eq!(log.iter().filter(|name| **name != 3).count(), 18);
}

#[test]
fn who_is_woken_by_many_waits_behind_them() {
    let (scheduler, _ticker) = scheduler(1);
    let log = Log::default();
    let to_collector = Others::default();
    let collector = scheduler.spawn(waking(&log, 0, 3, &Others::default())).expect("within the bound");
    wait_until(|| collector.steps() == 1 && collector.state() == TaskState::Idle);
    to_collector.lock().push(collector.waker());
    let senders = [1, 2, 3].map(|name| waking(&log, name, 2, &to_collector));
    let gate = occupy(&scheduler);
    let senders = senders.map(|sender| scheduler.spawn(sender).expect("within the bound"));
    gate.open();
    wait_until(|| collector.steps() == 2 && senders.iter().all(|sender| sender.state() == TaskState::Idle));
    let gate = occupy(&scheduler);
    // The one that woke it the last time comes second.
    [1, 0, 2].into_iter().for_each(|at| senders[at].wake());
    gate.open();
    wait_until(|| collector.is_complete());
    assert_eq!(*log.lock(), [0, 1, 2, 3, 0, 2, 1, 3, 0]);
    to_collector.lock().clear();
}

#[test]
fn a_partner_is_run_by_others_when_the_step_goes_on() {
    let (scheduler, ticker) = scheduler(2);
    let [woken, gate] = [Gate::default(), Gate::default()];
    let to_partner = Others::default();
    let partner = scheduler.spawn(waking(&Log::default(), 0, 3, &Others::default())).expect("within the bound");
    wait_until(|| partner.state() == TaskState::Idle);
    to_partner.lock().push(partner.waker());
    let waker = {
        let (woken, gate, mut steps) = (woken.clone(), gate.clone(), 0);
        scheduler.spawn(Steps(move |_: &mut Context<'_>| {
            to_partner.lock().iter().for_each(Waker::wake_by_ref);
            steps += 1;
            if steps == 1 {
                return Step::Idle;
            }
            woken.open();
            gate.wait();
            Step::Done
        }))
    };
    let waker = waker.expect("within the bound");
    wait_until(|| partner.steps() == 2 && partner.state() == TaskState::Idle && waker.state() == TaskState::Idle);
    waker.wake();
    woken.wait();
    assert_eq!(partner.steps(), 2, "it is left to the worker that is to run it next");
    wait_until(|| {
        ticker.tick();
        partner.is_complete()
    });
    assert!(!waker.is_complete());
    gate.open();
    wait_until(|| waker.is_complete());
}
