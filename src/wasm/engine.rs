//! The engines of a runtime: how code is compiled, and the epoch that ends slices.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
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

/// How the first content of a linear memory gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Image {
    /// Copied from the binary at instantiation: no more memory mappings than the memory itself takes.
    Copied,
    /// Mapped from a file in memory, page by page when touched: two more mappings a process.
    Mapped,
}

/// Binaries up to this size have their data copied, in bytes. Copying is the quicker one for small images (10 % less CPU a
/// process for guests of 10 to 160 KiB, measured in one run) and lets 13,000 processes live where Linux allows 65,530
/// mappings, instead of 9,300; what a larger binary does not touch costs nothing when it is mapped.
const COPIED_BINARY_MAX: usize = 512 << 10;

impl Image {
    /// What suits a binary of this size; its data is a part of it.
    fn of(binary: usize) -> Self {
        if binary <= COPIED_BINARY_MAX { Self::Copied } else { Self::Mapped }
    }
}

/// What the engine fixes when code is compiled: processes that differ in it need engines of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EngineClass {
    pub(crate) image: Image,
}

impl EngineClass {
    /// The class of a binary of this many bytes.
    pub(crate) fn of(binary: usize) -> Self {
        Self { image: Image::of(binary) }
    }
}

/// The engines of one runtime, one a class, made when first asked for. Cheap to clone.
#[derive(Clone)]
pub struct Engines(Arc<Made>);

struct Made {
    cache: Option<Cache>,
    by_class: RwLock<Vec<(EngineClass, Engine)>>,
}

impl Engines {
    /// Prepares the engines. The second part says why code is not cached although that was asked for: caching is a
    /// convenience, its absence is no failure.
    ///
    /// # Errors
    /// [`EngineError::Engine`] when the engine can't run on this machine.
    pub fn new(options: &EngineOptions) -> Result<(Self, Option<wasmtime::Error>), EngineError> {
        let (mut cache, mut uncached) = (None, None);
        if options.cache {
            match open_cache(options.cache_directory.clone()) {
                Ok(opened) => cache = Some(opened),
                Err(error) => uncached = Some(error),
            }
        }
        let engines = Self(Arc::new(Made { cache, by_class: RwLock::default() }));
        // The most common one: a machine that lacks something is told before anything is loaded.
        engines.get(EngineClass { image: Image::Copied })?;
        Ok((engines, uncached))
    }

    /// The engine of a class.
    ///
    /// # Errors
    /// [`EngineError::Engine`] when the engine can't run on this machine.
    pub(crate) fn get(&self, class: EngineClass) -> Result<Engine, EngineError> {
        let find = |made: &[(EngineClass, Engine)]| {
            made.iter().find(|(known, _)| *known == class).map(|(_, engine)| engine.clone())
        };
        if let Some(engine) = find(&self.0.by_class.read()) {
            return Ok(engine);
        }
        let mut by_class = self.0.by_class.write();
        if let Some(engine) = find(&by_class) {
            return Ok(engine);
        }
        let engine = Engine::new(&self.0.config(class)).map_err(EngineError::Engine)?;
        by_class.push((class, engine.clone()));
        Ok(engine)
    }

    /// What the ticker calls at every tick: the epochs move on, and every guest that computes asks whether it may go on. It
    /// does so as long as somebody keeps these engines.
    pub(crate) fn on_tick(&self) -> Arc<dyn Fn() + Send + Sync> {
        let made = Arc::downgrade(&self.0);
        Arc::new(move || {
            if let Some(made) = made.upgrade() {
                made.by_class.read().iter().for_each(|(_, engine)| engine.increment_epoch());
            }
        })
    }
}

impl Made {
    fn config(&self, class: EngineClass) -> Config {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            // Doubles the cost of a component call and serves WASI 0.3 only.
            .concurrency_support(false)
            .memory_init_cow(class.image == Image::Mapped)
            .max_wasm_stack(GUEST_STACK_BYTES)
            .async_stack_size(GUEST_STACK_BYTES + HOST_STACK_BYTES)
            // Set on purpose: the default follows RUST_BACKTRACE and doubles the cost of dropping a fiber.
            .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
            .cache(self.cache.clone());
        config
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
