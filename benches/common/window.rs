//! Bounded work in flight, for sides that bound it from a thread outside.

use std::collections::VecDeque;

/// Starts so many pieces of work, at most `window` of them at once. At this bound it waits until half of them are over, the
/// youngest of these first, so that it rarely sleeps and wakes for one alone.
pub(crate) fn windowed<G>(count: u64, window: usize, start: impl Fn(u64) -> G, wait: impl Fn(u64, G)) {
    let mut running: VecDeque<(u64, G)> = VecDeque::with_capacity(window);
    for item in 0..count {
        if running.len() == window {
            running.drain(..window.div_ceil(2)).rev().for_each(|(item, guest)| wait(item, guest));
        }
        running.push_back((item, start(item)));
    }
    running.into_iter().rev().for_each(|(item, guest)| wait(item, guest));
}
