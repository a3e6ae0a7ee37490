//! A tree whose leaves compute: each inner node is forked and joined, by `join` of ours and of rayon, and by a task for each
//! right half on the executors that have no such thing, and on ours as well.

use std::pin::Pin;
use std::time::Duration;

use wippy::scheduler;

use crate::common::asked::Size;
use crate::common::case::{Named, Side};
use crate::executors::{Executor, Ours, Smol, Tokio, rayon};
use crate::work::compute;
use crate::{OURS, OURS_TASKS, RAYON, SMOL, TOKIO, load, side};

pub(crate) fn loads(size: Size) -> Vec<Named> {
    let depth = size.pick(3, 10, 12);
    let sides = &[OURS, RAYON, OURS_TASKS, TOKIO, SMOL];
    [1, 10]
        .map(|micros| {
            let leaf = Duration::from_micros(micros);
            load(format!("fork and join {} leaves of {leaf:?}", 1 << depth), 1 << depth, sides, move || {
                vec![
                    our_joins(depth, leaf),
                    rayon_joins(depth, leaf),
                    tasks::<Ours>(OURS_TASKS, depth, leaf),
                    tasks::<Tokio>(TOKIO, depth, leaf),
                    tasks::<Smol>(SMOL, depth, leaf),
                ]
            })
        })
        .into()
}

fn tasks<E: Executor>(name: &'static str, depth: u32, leaf: Duration) -> Side {
    let executor = E::start();
    side(name, move || {
        executor.run(tree(executor.clone(), depth, leaf));
    })
}

/// Forks the right half of each node on the way down to the leftmost leaf, and joins them on the way back.
fn tree<E: Executor>(executor: E, depth: u32, leaf: Duration) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        let rights: Vec<_> =
            (0..depth).rev().map(|depth| executor.spawn(tree(executor.clone(), depth, leaf))).collect();
        let mut sum = compute(leaf);
        for right in rights {
            sum ^= right.await;
        }
        sum
    })
}

fn our_joins(depth: u32, leaf: Duration) -> Side {
    let executor = Ours::start();
    side(OURS, move || {
        executor.run(our_join(depth, leaf));
    })
}

fn our_join(depth: u32, leaf: Duration) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        let (left, right) = match depth {
            0 => return compute(leaf),
            1 => scheduler::join(async move { compute(leaf) }, async move { compute(leaf) }).await,
            _ => scheduler::join(our_join(depth - 1, leaf), our_join(depth - 1, leaf)).await,
        };
        left ^ right
    })
}

fn rayon_joins(depth: u32, leaf: Duration) -> Side {
    let pool = rayon();
    side(RAYON, move || {
        pool.install(|| rayon_join(depth, leaf));
    })
}

fn rayon_join(depth: u32, leaf: Duration) -> u64 {
    if depth == 0 {
        return compute(leaf);
    }
    let (left, right) = rayon::join(|| rayon_join(depth - 1, leaf), || rayon_join(depth - 1, leaf));
    left ^ right
}
