//! The ticker of a peer's engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::Engine;

/// Moves the epoch of an engine on as long as the engine is there.
pub(crate) struct Epochs {
    ticking: Arc<AtomicBool>,
    ticker: Thread,
}

impl Epochs {
    pub(crate) fn new(engine: &Engine, tick: Duration) -> Epochs {
        let ticking = Arc::new(AtomicBool::new(false));
        let ticker = std::thread::spawn({
            let (engine, ticking) = (engine.weak(), ticking.clone());
            move || {
                while let Some(engine) = engine.upgrade() {
                    if ticking.load(Ordering::Relaxed) {
                        engine.increment_epoch();
                        std::thread::sleep(tick);
                    } else {
                        drop(engine);
                        std::thread::park_timeout(Duration::from_millis(100));
                    }
                }
            }
        });
        Epochs { ticking, ticker: ticker.thread().clone() }
    }

    /// Does something while the epoch moves; at other times it stands still, so that the other side has the machine.
    pub(crate) fn awake<R>(&self, work: impl FnOnce() -> R) -> R {
        self.ticking.store(true, Ordering::Relaxed);
        self.ticker.unpark();
        let result = work();
        self.ticking.store(false, Ordering::Relaxed);
        result
    }
}
