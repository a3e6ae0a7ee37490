//! Calls of scripts that have no readiness: on the blocking pool of the host, while only the coroutine that called waits.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use mlua::Lua;
use parking_lot::Mutex;

use super::call::{Answer, Refusal, Reply};
use super::error::{ErrorObject, Kind};
use super::own::Own;
use crate::limits::{WaitReason, wait_for};
use crate::reactor::assert_may_block;

/// Calls that one process has on the pool at once; further ones of its coroutines wait their turn. The pool serves who
/// comes first, so without this a process with many coroutines would keep all others waiting.
pub(super) const CALLS_MAX: usize = 8;

/// Whose turn it is among the coroutines of a process: first come, first served.
#[derive(Default)]
pub(super) struct Turns(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    taken: usize,
    waiting: BTreeMap<u64, Waker>,
    next_ticket: u64,
}

impl Turns {
    /// A turn, until it is dropped. The process wakes up together, so nobody who waits goes away alone.
    async fn take(self: Arc<Self>) -> Turn {
        let mut ticket = None;
        wait_for(WaitReason::File, |context| {
            let mut queue = self.0.lock();
            let number = *ticket.get_or_insert_with(|| {
                queue.next_ticket += 1;
                queue.next_ticket
            });
            let is_first = queue.waiting.keys().next().is_none_or(|first| *first >= number);
            if !is_first || queue.taken >= CALLS_MAX {
                queue.waiting.insert(number, context.waker().clone());
                return Poll::Pending;
            }
            queue.waiting.remove(&number);
            queue.taken += 1;
            let next = queue.next();
            drop(queue);
            next.into_iter().for_each(Waker::wake);
            Poll::Ready(())
        })
        .await;
        Turn(self)
    }
}

impl Queue {
    /// Who goes next, if there is room.
    fn next(&self) -> Option<Waker> {
        (self.taken < CALLS_MAX).then(|| self.waiting.values().next().cloned()).flatten()
    }
}

struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.0.0.lock();
        queue.taken -= 1;
        let next = queue.next();
        drop(queue);
        next.into_iter().for_each(Waker::wake);
    }
}

/// Runs `job` on the blocking pool; the coroutine that called waits for it, then answers what `finish` makes of the result.
pub(super) fn on_pool<T, E>(
    own: &Own,
    job: impl FnOnce() -> Result<T, E> + Send + 'static,
    finish: impl FnOnce(&Lua, T) -> Answer + Send + 'static,
) -> Answer
where
    T: Send + 'static,
    E: Into<Box<ErrorObject>> + Send + 'static,
{
    let (turns, pool) = (Arc::clone(&own.turns), own.reactor.blocking().clone());
    let result = async move {
        let _turn = turns.take().await;
        let mut call = pool.run(move || {
            assert_may_block();
            job()
        });
        wait_for(WaitReason::File, move |context| Pin::new(&mut call).poll(context)).await
    };
    Reply::wait(WaitReason::File, result, |lua, result| match result {
        Ok(Ok(value)) => finish(lua, value),
        Ok(Err(error)) => Err(Refusal::Error(error.into())),
        Err(error) => Err(ErrorObject::new(Kind::Unavailable, error.to_string()).into()),
    })
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn turns_are_taken_in_order_and_no_more_than_there_are() {
        let turns = Arc::<Turns>::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut taken: Vec<Turn> = (0..CALLS_MAX)
            .map(|_| match pin!(Arc::clone(&turns).take()).poll(&mut context) {
                Poll::Ready(turn) => turn,
                Poll::Pending => panic!("there is room"),
            })
            .collect();
        let mut first = pin!(Arc::clone(&turns).take());
        let mut second = pin!(Arc::clone(&turns).take());
        assert!(first.as_mut().poll(&mut context).is_pending() && second.as_mut().poll(&mut context).is_pending());
        taken.pop();
        assert!(second.as_mut().poll(&mut context).is_pending(), "it is not its turn");
        let Poll::Ready(turn) = first.as_mut().poll(&mut context) else { panic!("it is its turn") };
        assert!(second.as_mut().poll(&mut context).is_pending(), "there is no room");
        drop(turn);
        assert!(second.as_mut().poll(&mut context).is_ready());
    }
}
