//! One task spawns many, waits for all of their results, and begins again.

use std::time::Duration;

use crate::common::asked::Size;
use crate::common::case::{Named, Side};
use crate::executors::{Executor, Ours, Smol, Tokio, rayon};
use crate::work::compute;
use crate::{OURS, RAYON, SMOL, TOKIO, load, side};

/// What each of the many computes for.
const WORK: Duration = Duration::from_nanos(500);

pub(crate) fn loads(size: Size) -> Vec<Named> {
    let (width, rounds) = size.pick((4, 3), (100, 10), (100, 100));
    let sides = &[OURS, TOKIO, SMOL, RAYON];
    vec![load(
        format!("fan-out/fan-in, {rounds} times {width} tasks of {WORK:?}"),
        width as u64 * rounds,
        sides,
        move || {
            vec![
                tasks::<Ours>(OURS, width, rounds),
                tasks::<Tokio>(TOKIO, width, rounds),
                tasks::<Smol>(SMOL, width, rounds),
                scopes(width, rounds),
            ]
        },
    )]
}

fn tasks<E: Executor>(name: &'static str, width: usize, rounds: u64) -> Side {
    let executor = E::start();
    side(name, move || {
        let on_worker = executor.clone();
        executor.run(async move {
            for _ in 0..rounds {
                let running: Vec<_> = (0..width).map(|_| on_worker.spawn(async { compute(WORK) })).collect();
                for task in running {
                    task.await;
                }
            }
        });
    })
}

fn scopes(width: usize, rounds: u64) -> Side {
    let pool = rayon();
    side(RAYON, move || {
        pool.install(|| {
            for _ in 0..rounds {
                rayon::scope(|scope| {
                    for _ in 0..width {
                        scope.spawn(|_| {
                            compute(WORK);
                        });
                    }
                });
            }
        });
    })
}
