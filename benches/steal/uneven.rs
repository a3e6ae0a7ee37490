//! One worker spawns all, and the tasks are of very different lengths: the others live off theft.

use std::sync::Arc;
use std::time::Duration;

use crate::common::asked::Size;
use crate::common::case::{Named, Side};
use crate::executors::{Executor, Ours, Smol, Tokio, rayon};
use crate::work::{Latch, compute};
use crate::{OURS, RAYON, SMOL, TOKIO, load, side};

pub(crate) fn loads(size: Size) -> Vec<Named> {
    let tasks = size.pick(20, 1000, 2000);
    let sides = &[OURS, TOKIO, SMOL, RAYON];
    vec![load(format!("steal {tasks} tasks of 0.1 to 50 us from one worker"), tasks as u64, sides, move || {
        let lengths: Arc<[Duration]> = (0..tasks).map(length).collect();
        vec![
            uneven::<Ours>(OURS, lengths.clone()),
            uneven::<Tokio>(TOKIO, lengths.clone()),
            uneven::<Smol>(SMOL, lengths.clone()),
            rayons(lengths),
        ]
    })]
}

/// Three in four take 0.1 µs, the rest up to 50 µs, in no order that means anything.
fn length(task: usize) -> Duration {
    let random = (task as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Duration::from_nanos(if random.is_multiple_of(4) { 100 + random / 4 % 49_900 } else { 100 })
}

fn uneven<E: Executor>(name: &'static str, lengths: Arc<[Duration]>) -> Side {
    let (executor, latch) = (E::start(), Latch::new(lengths.len()));
    side(name, move || {
        latch.reset();
        let (on_worker, lengths) = (executor.clone(), lengths.clone());
        executor.detach(async move {
            for (task, &length) in lengths.iter().enumerate() {
                on_worker.detach(async move {
                    compute(length);
                    latch.count_down(task);
                });
            }
        });
        latch.wait();
    })
}

fn rayons(lengths: Arc<[Duration]>) -> Side {
    let pool = rayon();
    side(RAYON, move || {
        pool.scope(|scope| {
            for &length in &*lengths {
                scope.spawn(move |_| {
                    compute(length);
                });
            }
        });
    })
}
