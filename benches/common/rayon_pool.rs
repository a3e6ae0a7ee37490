//! The peer on rayon: synchronous calls from a parallel iterator. Nothing in there can wait or be preempted.

use std::time::{Duration, Instant};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use rayon::{ThreadPool, ThreadPoolBuilder};
use wippy::runtime::TICK;

use super::bare::{Bare, Runner};
use super::epochs::Epochs;
use super::guests::Guest;
use super::numbers::Numbers;
use super::settings::Settings;
use crate::WORKERS;

/// A pool with as many threads as we have workers, and an engine.
pub(crate) struct RayonPool {
    pool: ThreadPool,
    bare: Bare,
    epochs: Epochs,
}

impl RayonPool {
    pub(crate) fn new(settings: &Settings, guest: &Guest) -> RayonPool {
        let bare = Bare::new(settings, guest, Runner::Loop);
        let pool = ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("threads");
        let epochs = Epochs::new([bare.engine()], TICK);
        RayonPool { pool, bare, epochs }
    }

    /// Calls a guest for each of so many items.
    pub(crate) fn run(&self, numbers: Numbers, items: u64) -> Duration {
        let begin = Instant::now();
        self.epochs.awake(|| {
            self.pool.install(|| {
                (0..items)
                    .into_par_iter()
                    .for_each(|item| numbers.check(item, self.bare.call_sync(numbers.argument(item))));
            });
        });
        begin.elapsed()
    }
}
