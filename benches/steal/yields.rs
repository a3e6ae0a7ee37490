//! Tasks that let the others run, again and again.

use crate::common::asked::Size;
use crate::common::case::{Named, Side};
use crate::executors::{Executor, Ours, Smol, Tokio};
use crate::work::{Latch, Yields};
use crate::{OURS, SMOL, TOKIO, load, side};

pub(crate) fn loads(size: Size) -> Vec<Named> {
    let (tasks, yields) = size.pick((10, 10), (1000, 100), (1000, 1000));
    vec![load(
        format!("{yields} yields of {tasks} tasks"),
        tasks as u64 * u64::from(yields),
        &[OURS, TOKIO, SMOL],
        move || {
            vec![
                yielding::<Ours>(OURS, tasks, yields),
                yielding::<Tokio>(TOKIO, tasks, yields),
                yielding::<Smol>(SMOL, tasks, yields),
            ]
        },
    )]
}

fn yielding<E: Executor>(name: &'static str, tasks: usize, yields: u32) -> Side {
    let (executor, latch) = (E::start(), Latch::new(tasks));
    side(name, move || {
        latch.reset();
        for task in 0..tasks {
            executor.detach(async move {
                Yields(yields).await;
                latch.count_down(task);
            });
        }
        latch.wait();
    })
}
