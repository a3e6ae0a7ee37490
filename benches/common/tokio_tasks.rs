//! The peer on tokio: a task for each guest, on a multi-thread runtime.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};

use super::bare::{Bare, Runner};
use super::epochs::Epochs;
use super::guests::Guest;
use super::numbers::Numbers;
use super::settings::Settings;
use crate::WORKERS;

/// A runtime with as many workers as ours, and an engine.
pub(crate) struct TokioTasks {
    runtime: Runtime,
    bare: Arc<Bare>,
    epochs: Epochs,
}

impl TokioTasks {
    pub(crate) fn new(settings: &Settings, guest: &Guest) -> TokioTasks {
        let bare = Arc::new(Bare::new(settings, guest, Runner::Tokio));
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().expect("a runtime");
        let epochs = Epochs::new([bare.engine()], settings.tick);
        TokioTasks { runtime, bare, epochs }
    }

    /// Runs a guest for each of so many items, at most `window` of them at once. Whoever starts them are tasks, too, one for each
    /// worker, which is what tokio does best: what a worker starts goes to its own queue. At the bound they wait like
    /// [`super::window`].
    pub(crate) fn run(&self, numbers: Numbers, items: u64, window: usize) -> Duration {
        let begin = Instant::now();
        let (bare, window) = (&self.bare, window.div_ceil(WORKERS));
        let start_all = |first: u64| {
            let bare = Arc::clone(bare);
            self.runtime.spawn(start_all(bare, numbers, (first, items), window))
        };
        self.epochs.awake(|| {
            let starters: Vec<_> = (0..WORKERS as u64).map(start_all).collect();
            starters.into_iter().for_each(|starter| self.wait(starter).expect("a task that does not panic"));
        });
        begin.elapsed()
    }

    /// Starts a guest from a thread outside, and has it tell its answer when all of it is gone. Only while the epoch moves,
    /// see [`Self::awake`].
    pub(crate) fn begin(&self, number: i64, told: impl FnOnce(i64) + Send + 'static) -> JoinHandle<()> {
        let bare = Arc::clone(&self.bare);
        self.runtime.spawn(async move { told(bare.call(number).await) })
    }

    /// Waits for the end of a guest.
    pub(crate) fn wait(&self, guest: JoinHandle<()>) -> Result<(), JoinError> {
        self.runtime.block_on(guest)
    }

    /// Does something while the epoch moves; at other times it stands still, so that the other side has the machine.
    pub(crate) fn awake<R>(&self, work: impl FnOnce() -> R) -> R {
        self.epochs.awake(work)
    }
}

/// What one of those who start guests does.
async fn start_all(bare: Arc<Bare>, numbers: Numbers, (first, items): (u64, u64), window: usize) {
    let mut running: VecDeque<(u64, JoinHandle<i64>)> = VecDeque::new();
    for item in (first..items).step_by(WORKERS) {
        if running.len() == window {
            for (item, guest) in running.drain(..window.div_ceil(2)).rev() {
                numbers.check(item, guest.await.expect("a task that does not panic"));
            }
        }
        let bare = Arc::clone(&bare);
        running.push_back((item, tokio::spawn(async move { bare.call(numbers.argument(item)).await })));
    }
    for (item, guest) in running.into_iter().rev() {
        numbers.check(item, guest.await.expect("a task that does not panic"));
    }
}
