//! Tasks that do nothing: from outside and from a worker, all at once or with so many in flight.

use std::collections::VecDeque;
use std::task::Context;

use wippy::scheduler::{Scheduler, Step, Task};

use crate::common::asked::Size;
use crate::common::case::{Named, Side};
use crate::executors::{Executor, Ours, Smol, Tokio, rayon};
use crate::work::Latch;
use crate::{OURS, OURS_STEPS, RAYON, SMOL, TOKIO, load, side};

/// In flight, with back-pressure.
const WINDOW: usize = 256;

pub(crate) fn loads(size: Size) -> Vec<Named> {
    let tasks = size.pick(100, 2000, 10_000);
    let at_once = &[OURS, OURS_STEPS, TOKIO, SMOL, RAYON];
    let in_flight = &[OURS, TOKIO, SMOL];
    vec![
        load(format!("spawn {tasks} tasks from outside"), tasks as u64, at_once, move || {
            vec![
                outside::<Ours>(OURS, tasks),
                steps_outside(tasks),
                outside::<Tokio>(TOKIO, tasks),
                outside::<Smol>(SMOL, tasks),
                rayon_outside(tasks),
            ]
        }),
        load(format!("spawn {tasks} tasks from a worker"), tasks as u64, at_once, move || {
            vec![
                inside::<Ours>(OURS, tasks),
                steps_inside(tasks),
                inside::<Tokio>(TOKIO, tasks),
                inside::<Smol>(SMOL, tasks),
                rayon_inside(tasks),
            ]
        }),
        load(format!("spawn {tasks} tasks from outside, {WINDOW} in flight"), tasks as u64, in_flight, move || {
            vec![
                outside_in_flight::<Ours>(OURS, tasks),
                outside_in_flight::<Tokio>(TOKIO, tasks),
                outside_in_flight::<Smol>(SMOL, tasks),
            ]
        }),
        load(format!("spawn {tasks} tasks from a worker, {WINDOW} in flight"), tasks as u64, in_flight, move || {
            vec![
                inside_in_flight::<Ours>(OURS, tasks),
                inside_in_flight::<Tokio>(TOKIO, tasks),
                inside_in_flight::<Smol>(SMOL, tasks),
            ]
        }),
    ]
}

fn outside<E: Executor>(name: &'static str, tasks: usize) -> Side {
    let (executor, latch) = (E::start(), Latch::new(tasks));
    side(name, move || {
        latch.reset();
        spawn_all(&executor, tasks, latch);
        latch.wait();
    })
}

fn inside<E: Executor>(name: &'static str, tasks: usize) -> Side {
    let (executor, latch) = (E::start(), Latch::new(tasks));
    side(name, move || {
        latch.reset();
        let on_worker = executor.clone();
        executor.detach(async move { spawn_all(&on_worker, tasks, latch) });
        latch.wait();
    })
}

fn spawn_all<E: Executor>(executor: &E, tasks: usize, latch: &'static Latch) {
    for task in 0..tasks {
        executor.detach(async move { latch.count_down(task) });
    }
}

/// A task that needs no future.
struct CountDown(&'static Latch, usize);

impl Task for CountDown {
    fn step(&mut self, _: &mut Context<'_>) -> Step {
        self.0.count_down(self.1);
        Step::Done
    }
}

fn steps_outside(tasks: usize) -> Side {
    let (Ours(scheduler), latch) = (Ours::start(), Latch::new(tasks));
    side(OURS_STEPS, move || {
        latch.reset();
        spawn_steps(&scheduler, tasks, latch);
        latch.wait();
    })
}

fn steps_inside(tasks: usize) -> Side {
    let (executor, latch) = (Ours::start(), Latch::new(tasks));
    side(OURS_STEPS, move || {
        latch.reset();
        let Ours(on_worker) = executor.clone();
        executor.detach(async move { spawn_steps(&on_worker, tasks, latch) });
        latch.wait();
    })
}

fn spawn_steps(scheduler: &Scheduler, tasks: usize, latch: &'static Latch) {
    for task in 0..tasks {
        scheduler.spawn(CountDown(latch, task)).expect("within the bound");
    }
}

fn rayon_outside(tasks: usize) -> Side {
    let (pool, latch) = (rayon(), Latch::new(tasks));
    side(RAYON, move || {
        latch.reset();
        for task in 0..tasks {
            pool.spawn(move || latch.count_down(task));
        }
        latch.wait();
    })
}

fn rayon_inside(tasks: usize) -> Side {
    let (pool, latch) = (rayon(), Latch::new(tasks));
    side(RAYON, move || {
        latch.reset();
        pool.spawn(move || {
            for task in 0..tasks {
                rayon::spawn(move || latch.count_down(task));
            }
        });
        latch.wait();
    })
}

fn outside_in_flight<E: Executor>(name: &'static str, tasks: usize) -> Side {
    let executor = E::start();
    side(name, move || {
        let mut running = VecDeque::with_capacity(WINDOW);
        for _ in 0..tasks {
            if running.len() == WINDOW {
                executor.wait(running.pop_front().expect("the oldest one"));
            }
            running.push_back(executor.spawn(async {}));
        }
        running.into_iter().for_each(|task| executor.wait(task));
    })
}

fn inside_in_flight<E: Executor>(name: &'static str, tasks: usize) -> Side {
    let executor = E::start();
    side(name, move || {
        let on_worker = executor.clone();
        executor.run(async move {
            let mut running = VecDeque::with_capacity(WINDOW);
            for _ in 0..tasks {
                if running.len() == WINDOW {
                    running.pop_front().expect("the oldest one").await;
                }
                running.push_back(on_worker.spawn(async {}));
            }
            for task in running {
                task.await;
            }
        });
    })
}
