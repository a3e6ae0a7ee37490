//! The ticker of a peer's engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// Moves the epochs of engines on as long as one of them is there.
pub(crate) struct Epochs {
    ticking: Arc<AtomicBool>,
    ticker: Thread,
}

impl Epochs {
    pub(crate) fn new<'a>(engines: impl IntoIterator<Item = &'a Engine>, tick: Duration) -> Epochs {
        let ticking = Arc::new(AtomicBool::new(false));
        let engines: Vec<EngineWeak> = engines.into_iter().map(Engine::weak).collect();
        let ticker = std::thread::spawn({
            let ticking = ticking.clone();
            move || {
                loop {
                    let engines: Vec<Engine> = engines.iter().filter_map(EngineWeak::upgrade).collect();
                    if engines.is_empty() {
                        break;
                    } else if ticking.load(Ordering::Relaxed) {
                        engines.iter().for_each(Engine::increment_epoch);
                        std::thread::sleep(tick);
                    } else {
                        drop(engines);
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
