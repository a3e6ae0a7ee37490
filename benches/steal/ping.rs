//! Pairs of tasks that wake each other in turn.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::common::asked::Size;
use crate::common::case::{Named, Side};
use crate::executors::{Executor, Ours, Smol, Tokio};
use crate::work::Latch;
use crate::{OURS, SMOL, TOKIO, load, side};

pub(crate) fn loads(size: Size) -> Vec<Named> {
    let rounds = size.pick(10, 100, 1000);
    let pairs = size.pick(4, 100, 100);
    let sides = &[OURS, TOKIO, SMOL];
    let with = move |pairs: usize| {
        vec![
            tasks::<Ours>(OURS, pairs, rounds),
            tasks::<Tokio>(TOKIO, pairs, rounds),
            tasks::<Smol>(SMOL, pairs, rounds),
        ]
    };
    let across =
        move || vec![across::<Ours>(OURS, rounds), across::<Tokio>(TOKIO, rounds), across::<Smol>(SMOL, rounds)];
    vec![
        load("ping-pong of one pair".to_owned(), u64::from(rounds), sides, move || with(1)),
        load(format!("ping-pong of {pairs} pairs"), pairs as u64 * u64::from(rounds), sides, move || with(pairs)),
        load("ping-pong of a task and a thread".to_owned(), u64::from(rounds), sides, across),
    ]
}

/// Whose turn it is, and the one that waits for its turn.
#[derive(Default)]
struct Ball(Mutex<(bool, Option<Waker>)>);

impl Ball {
    /// Waits until it is the turn of `me` and passes it on.
    async fn pass(&self, me: bool) {
        let woken = poll_fn(|context| {
            let mut ball = self.0.lock().expect("nobody panics");
            if ball.0 != me {
                ball.1 = Some(context.waker().clone());
                return Poll::Pending;
            }
            ball.0 = !me;
            Poll::Ready(ball.1.take())
        });
        if let Some(other) = woken.await {
            other.wake();
        }
    }
}

fn tasks<E: Executor>(name: &'static str, pairs: usize, rounds: u32) -> Side {
    let (executor, latch) = (E::start(), Latch::new(2 * pairs));
    side(name, move || {
        latch.reset();
        for pair in 0..pairs {
            let ball = Arc::new(Ball::default());
            for me in [true, false] {
                let ball = ball.clone();
                executor.detach(async move {
                    for _ in 0..rounds {
                        ball.pass(me).await;
                    }
                    latch.count_down(2 * pair + usize::from(me));
                });
            }
        }
        latch.wait();
    })
}

/// One of the pair is a thread that is no worker, so each turn goes from one thread to the other.
fn across<E: Executor>(name: &'static str, rounds: u32) -> Side {
    let executor = E::start();
    side(name, move || {
        let ball = Arc::new(Ball::default());
        let theirs = ball.clone();
        let task = executor.spawn(async move {
            for _ in 0..rounds {
                theirs.pass(true).await;
            }
        });
        // Not the executor's own: the same for all.
        smol::block_on(async {
            for _ in 0..rounds {
                ball.pass(false).await;
            }
        });
        executor.wait(task);
    })
}
