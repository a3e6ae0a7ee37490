//! The tasks that wait on one stream.

use std::task::{Context, Waker};

/// Wakers of the tasks that wait on one stream, each at most once. As many as there are processes that share it.
#[derive(Default)]
pub(in crate::wasi) struct Wakers(Vec<Waker>);

impl Wakers {
    /// Keeps the waker of a task that waits.
    pub(in crate::wasi) fn keep(&mut self, cx: &Context<'_>) {
        if !self.0.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.0.push(cx.waker().clone());
        }
    }

    /// Gives them all away, to be woken after the lock that guards them is released.
    #[must_use]
    pub(in crate::wasi) fn take(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.0)
    }
}
