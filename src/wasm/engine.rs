//! The engines of a runtime: how code is compiled, and the epoch that ends slices.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::{Cache, CacheConfig, Config, Engine};

/// Guest stack of a process, in bytes. The engine fixes it for every process of a class; this is the only class until an
/// entry may ask for another.
pub(crate) const GUEST_STACK_BYTES: usize = 1 << 20;

/// Stack that is left to host functions when a guest has used all of its own, in bytes. An overflow there would abort the
/// whole program, so it is generous: 128 KiB is the least that the hosts are written for.
const HOST_STACK_BYTES: usize = 256 << 10;

/// Frames of a backtrace that are kept.
const BACKTRACE_FRAMES: std::num::NonZeroUsize = std::num::NonZeroUsize::new(32).expect("a positive literal");

/// How engines are made.
///
/// Defaults: compiled code is cached on disk, in wasmtime's own folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Whether compiled code is kept on disk and found again by the next run.
    pub cache: bool,
    /// Where it is kept; `None` is wasmtime's folder below the user's cache directory.
    pub cache_directory: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { cache: true, cache_directory: None }
    }
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The engine refused its configuration: this machine lacks something it needs.
    #[error("the wasm engine can't run here")]
    Engine(#[source] wasmtime::Error),
}

/// The engines of one runtime. Cheap to clone.
///
/// There is one by now, for preemptible code; what entries may ask for beside it (fuel, no preemption, another stack
/// class) gets an engine of its own, because the engine fixes it when code is compiled.
#[derive(Clone)]
pub struct Engines {
    preemptible: Engine,
}

impl Engines {
    /// Makes the engines. The second part says why code is not cached although that was asked for: caching is a
    /// convenience, its absence is no failure.
    ///
    /// # Errors
    /// [`EngineError::Engine`] when the engine can't run on this machine.
    pub fn new(options: &EngineOptions) -> Result<(Self, Option<wasmtime::Error>), EngineError> {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            // Doubles the cost of a component call and serves WASI 0.3 only.
            .concurrency_support(false)
            .max_wasm_stack(GUEST_STACK_BYTES)
            .async_stack_size(GUEST_STACK_BYTES + HOST_STACK_BYTES)
            // Set on purpose: the default follows RUST_BACKTRACE and doubles the cost of dropping a fiber.
            .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES));
        let mut uncached = None;
        if options.cache {
            match open_cache(options.cache_directory.clone()) {
                Ok(cache) => {
                    config.cache(Some(cache));
                }
                Err(error) => uncached = Some(error),
            }
        }
        let preemptible = Engine::new(&config).map_err(EngineError::Engine)?;
        Ok((Self { preemptible }, uncached))
    }

    /// What the ticker calls at every tick: the epoch moves on, and every guest that computes asks whether it may go on.
    pub(crate) fn on_tick(&self) -> Arc<dyn Fn() + Send + Sync> {
        let engine = self.preemptible.weak();
        Arc::new(move || {
            if let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
            }
        })
    }

    /// The engine for code that is preempted at its slice's end.
    pub(crate) fn preemptible(&self) -> &Engine {
        &self.preemptible
    }
}

/// Opens the cache from a thread called `wippy-cache`: the engine's cache thread inherits that name, and so is one that
/// the documentation knows.
fn open_cache(directory: Option<PathBuf>) -> wasmtime::Result<Cache> {
    let opener = std::thread::Builder::new().name("wippy-cache".into()).spawn(move || {
        let mut config = CacheConfig::new();
        if let Some(directory) = directory {
            config.with_directory(directory);
        }
        Cache::new(config)
    })?;
    opener.join().unwrap_or_else(|_| Err(wasmtime::Error::msg("the cache could not be opened")))
}
