//! The progress of loading: a bar on stderr, when that is a terminal and it takes long enough to be read.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::args::Global;
use crate::runtime::Progress;

/// A load that is over sooner shows no bar: a flash informs nobody.
const DELAY: Duration = Duration::from_millis(300);

/// A bar that appears after [`DELAY`].
pub(super) struct LoadBar {
    state: Mutex<Option<State>>,
}

struct State {
    bar: ProgressBar,
    started: Instant,
}

impl LoadBar {
    /// The bar for a load, unless nobody would see it.
    pub(super) fn for_terminal(global: &Global) -> Option<Arc<Self>> {
        (io::stderr().is_terminal() && !global.silent).then(|| Arc::new(Self { state: Mutex::new(None) }))
    }
}

impl Progress for LoadBar {
    fn start(&self, binaries: usize) {
        let bar = ProgressBar::with_draw_target(Some(binaries as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix("compiling");
        *self.state.lock() = Some(State { bar, started: Instant::now() });
    }

    fn compiled(&self) {
        let state = self.state.lock();
        let Some(state) = state.as_ref() else { return };
        if state.bar.is_hidden() && state.started.elapsed() >= DELAY {
            state.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        state.bar.inc(1);
    }

    fn finish(&self) {
        if let Some(state) = self.state.lock().take() {
            state.bar.finish_and_clear();
        }
    }
}
