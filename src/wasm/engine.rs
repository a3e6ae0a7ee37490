//! The engines of a runtime: how code is compiled, and the epoch that ends slices.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::ThreadId;

use parking_lot::RwLock;
use wasmtime::{Config, Engine};

use super::allocator::{Allocator, Supply};
use super::cache::Cache;
use super::slab::{Guards, Slabs, Tier};
use crate::limits::Limits;
use crate::registry::Preempt;

/// The stacks there are, in bytes, smallest first. The engine fixes a guest's stack when code is compiled, so `max_stack`
/// selects the smallest of these that has what is asked for; no limit, and anything beyond, selects the largest.
pub(super) const STACK_CLASSES: [usize; 4] = [256 << 10, 1 << 20, 4 << 20, 16 << 20];

/// The stack that a process gets which asked for this much, in bytes.
pub(super) fn stack_class(max_stack: Option<u64>) -> usize {
    let fits = |class: &usize| max_stack.is_some_and(|asked| asked <= *class as u64);
    STACK_CLASSES.into_iter().find(fits).unwrap_or(STACK_CLASSES[STACK_CLASSES.len() - 1])
}

/// Stack that is left to host functions when a guest has used all of its own, in bytes. An overflow there would abort the
/// whole program, so it is generous: 128 KiB is the least that the hosts are written for.
pub(super) const HOST_STACK_BYTES: usize = 256 << 10;

/// Address space of a linear memory, in bytes: all that 32 bits can reach, so that no access needs a check.
pub(super) const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// Address space before a linear memory and behind it where nothing ever is, in bytes: for constant offsets.
pub(super) const MEMORY_GUARD_BYTES: u64 = 32 << 20;

/// Frames of a backtrace that are kept.
const BACKTRACE_FRAMES: std::num::NonZeroUsize = std::num::NonZeroUsize::new(32).expect("a positive literal");

/// Whether this build can keep compiled code on disk.
const CAN_CACHE: bool = cfg!(feature = "cache");

/// How engines are made.
///
/// Defaults: compiled code is cached on disk, where the feature `cache` is built in, in wasmtime's own folder; memories and
/// stacks come from slabs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Whether compiled code is kept on disk and found again by the next run.
    pub cache: bool,
    /// Where it is kept; `None` is wasmtime's folder below the user's cache directory.
    pub cache_directory: Option<PathBuf>,
    /// Where the memories, tables and stacks of processes come from.
    pub allocator: Allocator,
    /// What changes the configuration before the runtime does.
    pub configure: Option<Configure>,
}

/// What an embedder changes of the configuration of each engine; see
/// [`RuntimeBuilder::configure`](crate::RuntimeBuilder::configure).
#[derive(Clone)]
pub struct Configure(Arc<dyn Fn(&mut Config) + Send + Sync>);

impl Configure {
    /// Calls this with the configuration of each engine.
    pub fn new(configure: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        Self(Arc::new(configure))
    }
}

impl fmt::Debug for Configure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configure(..)")
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { cache: CAN_CACHE, cache_directory: None, allocator: Allocator::default(), configure: None }
    }
}

impl EngineOptions {
    /// What the engine is told that guests of a binary of this size run on, with the limits they have when nobody says anything,
    /// but for the cache; what of it can't be shared is made anew. For whoever measures what all the rest costs beside a bare
    /// loop on such an engine.
    #[doc(hidden)]
    #[must_use]
    pub fn config(&self, binary: usize, preempt: Preempt) -> Config {
        let made = Made::new(None, self);
        made.config(EngineClass::of(binary, &Limits::default(), preempt, made.allocator))
    }
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The engine refused its configuration: this machine lacks something it needs.
    #[error("the wasm engine can't run here")]
    Engine(#[source] wasmtime::Error),
    /// The system does not give what a pool takes.
    #[error("no pool of {slots} slots for processes can be set aside here: make it smaller")]
    Pool {
        /// How many were asked for.
        slots: u32,
        /// What was refused.
        #[source]
        cause: wasmtime::Error,
    },
}

/// How the first content of a linear memory gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Image {
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
pub struct EngineClass {
    image: Image,
    /// Bytes of the guest's stack.
    stack: usize,
    /// Whether instructions are counted. The counts must be the same on every machine, so nothing that the standard leaves
    /// to it may differ either.
    fuel: bool,
    /// Whether loops and functions look at the epoch, so that a slice ends.
    epochs: bool,
    /// How memories lie.
    tier: Tier,
}

impl EngineClass {
    /// Bytes of the guest's stack.
    #[must_use]
    pub fn stack(self) -> usize {
        self.stack
    }

    /// Whether the first content of a memory is mapped from a file in memory instead of being copied: binaries of more
    /// than 512 KiB.
    #[must_use]
    pub fn maps_images(self) -> bool {
        self.image == Image::Mapped
    }

    /// Whether instructions are counted, for `max_fuel`.
    #[must_use]
    pub fn counts_fuel(self) -> bool {
        self.fuel
    }

    /// Whether memories lie side by side and code checks bounds: for hosts of very many processes.
    #[must_use]
    pub fn is_dense(self) -> bool {
        self.tier == Tier::Dense
    }

    pub(super) fn image(self) -> Image {
        self.image
    }

    pub(super) fn tier(self) -> Tier {
        self.tier
    }

    /// Whether code of one can run with the limits of the other: only their memories lie in different ways.
    pub(super) fn serves(self, other: Self) -> bool {
        Self { tier: other.tier, ..self } == other
    }

    /// The class of a process with these limits, of a binary of this many bytes.
    pub(crate) fn of(binary: usize, limits: &Limits, preempt: Preempt, allocator: Allocator) -> Self {
        let image = Image::of(binary);
        Self {
            image,
            tier: match (allocator, image) {
                (Allocator::Slab, Image::Copied) => Tier::of(limits),
                _ => Tier::Elided,
            },
            stack: stack_class(limits.max_stack),
            fuel: limits.max_fuel.is_some(),
            epochs: preempt != Preempt::None,
        }
    }
}

/// The engines of one runtime, one a class, made when first asked for. Cheap to clone.
#[derive(Clone)]
pub struct Engines(Arc<Made>);

struct Made {
    cache: Option<Cache>,
    allocator: Allocator,
    configure: Option<Configure>,
    slabs: Option<Arc<Slabs>>,
    /// Why there are no slabs, where somebody wanted them.
    without_slabs: Option<String>,
    by_class: RwLock<Vec<(EngineClass, Engine)>>,
    of_workers: RwLock<OfWorkers>,
}

/// Engines that one worker each has for itself.
#[derive(Default)]
struct OfWorkers {
    engines: Vec<(EngineClass, ThreadId, Engine)>,
    /// The size of all binaries that were compiled for them.
    bytes: usize,
}

/// Binaries that are compiled once more for a worker, in bytes, all together: the code of one is about three times as large.
const OWN_BYTES_MAX: usize = 16 << 20;

impl Engines {
    /// Prepares the engines. The second part says why code is not cached although that was asked for: caching is a
    /// convenience, its absence is no failure.
    ///
    /// # Errors
    /// [`EngineError`] when the engine can't run on this machine, or has no room for its pool.
    pub fn new(options: &EngineOptions) -> Result<(Self, Option<wasmtime::Error>), EngineError> {
        let (mut cache, mut uncached) = (None, None);
        if options.cache {
            match Cache::open(options.cache_directory.clone()) {
                Ok(opened) => cache = Some(opened),
                Err(error) => uncached = Some(error),
            }
        }
        let engines = Self(Arc::new(Made::new(cache, options)));
        // The most common one: a machine that lacks something is told before anything is loaded.
        engines.get(EngineClass::of(0, &Limits::default(), Preempt::Epoch, engines.0.allocator))?;
        Ok((engines, uncached))
    }

    /// The engine of a class.
    ///
    /// # Errors
    /// [`EngineError`] when the engine can't run on this machine, or has no room for its pool.
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
        let engine = Engine::new(&self.0.config(class)).map_err(|cause| match self.0.allocator.slots() {
            None => EngineError::Engine(cause),
            Some(slots) => EngineError::Pool { slots, cause },
        })?;
        by_class.push((class, engine.clone()));
        Ok(engine)
    }

    /// Whether a worker may have an engine of this class for itself: in a pool each engine would take all of its slots once more,
    /// and images that are mapped come from large binaries.
    pub(super) fn may_be_own(&self, class: EngineClass) -> bool {
        self.0.allocator.slots().is_none() && !class.maps_images()
    }

    /// The engine of this class that one worker has for itself, to compile a binary of this size. `None` when there is none: it
    /// [may not](Self::may_be_own) have one, or so much was compiled twice already as may be.
    pub(super) fn of_worker(&self, class: EngineClass, worker: ThreadId, binary: usize) -> Option<Engine> {
        if !self.may_be_own(class) {
            return None;
        }
        let mut of_workers = self.0.of_workers.write();
        let bytes = of_workers.bytes.checked_add(binary).filter(|bytes| *bytes <= OWN_BYTES_MAX)?;
        let found = of_workers.engines.iter().find(|(known, owner, _)| (*known, *owner) == (class, worker));
        let engine = match found {
            Some((_, _, engine)) => engine.clone(),
            None => {
                let mut config = self.0.config(class);
                // One at a time, beside the work: the compiler's own threads are for the load.
                config.parallel_compilation(false);
                let engine = Engine::new(&config).ok()?;
                of_workers.engines.push((class, worker, engine.clone()));
                engine
            }
        };
        of_workers.bytes = bytes;
        Some(engine)
    }

    /// How many engines one worker each has for itself.
    #[cfg(test)]
    pub(crate) fn own(&self) -> usize {
        self.0.of_workers.read().engines.len()
    }

    /// Why memories and stacks are allocated on demand although slabs were asked for.
    #[must_use]
    pub fn without_slabs(&self) -> Option<&str> {
        self.0.without_slabs.as_deref()
    }

    /// The classes of the engines that were made so far.
    #[must_use]
    pub fn classes(&self) -> Vec<EngineClass> {
        self.0.by_class.read().iter().map(|(class, _)| *class).collect()
    }

    /// Where the memories, tables and stacks of processes come from.
    pub(crate) fn supply(&self) -> Supply {
        const MAPPINGS_OF_A_GUARD: u64 = 2;
        let stack_mappings = match self.0.slabs.as_ref().map(|slabs| slabs.guards()) {
            Some(Guards::Mappings) => MAPPINGS_OF_A_GUARD,
            Some(Guards::Marks) | None => 0,
        };
        Supply { allocator: self.0.allocator, stack_mappings }
    }

    /// Where compiled code is kept; `None` when it is not.
    #[must_use]
    pub fn cache_directory(&self) -> Option<&Path> {
        self.0.cache.as_ref().map(Cache::directory)
    }

    /// What the ticker calls at every tick: the epochs move on, and every guest that computes asks whether it may go on. It
    /// does so as long as somebody keeps these engines.
    pub(crate) fn on_tick(&self) -> Arc<dyn Fn() + Send + Sync> {
        let made = Arc::downgrade(&self.0);
        Arc::new(move || {
            if let Some(made) = made.upgrade() {
                made.by_class.read().iter().for_each(|(_, engine)| engine.increment_epoch());
                made.of_workers.read().engines.iter().for_each(|(_, _, engine)| engine.increment_epoch());
            }
        })
    }
}

impl Made {
    /// No engine yet. Where there can be no slabs, all comes from the system.
    fn new(cache: Option<Cache>, options: &EngineOptions) -> Self {
        let (mut allocator, mut slabs, mut without_slabs) = (options.allocator, None, None);
        if allocator == Allocator::Slab {
            match Slabs::new() {
                Ok(made) => slabs = Some(made),
                Err(error) => {
                    tracing::info!(%error, "memories and stacks are allocated on demand");
                    (allocator, without_slabs) = (Allocator::OnDemand, Some(error.to_string()));
                }
            }
        }
        let configure = options.configure.clone();
        Self {
            cache,
            allocator,
            configure,
            slabs,
            without_slabs,
            by_class: RwLock::default(),
            of_workers: RwLock::default(),
        }
    }

    fn config(&self, class: EngineClass) -> Config {
        let mut config = Config::new();
        // For who walks stacks from outside; backtraces of guests do without. It is a tenth of all that is loaded.
        config.native_unwind_info(false);
        if let Some(Configure(configure)) = &self.configure {
            configure(&mut config);
        }
        config
            .epoch_interruption(class.epochs)
            // Doubles the cost of a component call and serves WASI 0.3 only.
            .concurrency_support(false)
            .memory_init_cow(class.image == Image::Mapped)
            .memory_reservation(MEMORY_RESERVATION_BYTES)
            .memory_guard_size(MEMORY_GUARD_BYTES)
            .max_wasm_stack(class.stack)
            .async_stack_size(class.stack + HOST_STACK_BYTES)
            .consume_fuel(class.fuel)
            .relaxed_simd_deterministic(class.fuel)
            .cranelift_nan_canonicalization(class.fuel)
            // Set on purpose: the default follows RUST_BACKTRACE and doubles the cost of dropping a fiber.
            .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
            .allocation_strategy(self.allocator.strategy());
        if let Some(cache) = &self.cache {
            cache.serve(&mut config);
        }
        if let Some(slabs) = &self.slabs {
            // An image is mapped into a memory of the engine's own.
            slabs.serve(&mut config, (class.image == Image::Copied).then_some(class.tier));
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_the_smallest_that_has_what_was_asked_for() {
        let classes =
            [0, 1, 256 << 10, (256 << 10) + 1, 1 << 20, 5 << 20, u64::MAX].map(|asked| stack_class(Some(asked)));
        assert_eq!(classes, [256 << 10, 256 << 10, 256 << 10, 1 << 20, 1 << 20, 16 << 20, 16 << 20]);
        assert_eq!(stack_class(None), 16 << 20);
    }

    #[test]
    fn what_is_compiled_for_workers_is_bounded() {
        let own = |allocator, binary, sizes: &[usize]| {
            let options = EngineOptions { cache: false, allocator, ..EngineOptions::default() };
            let (engines, _) = Engines::new(&options).expect("an engine");
            let class = EngineClass::of(binary, &Limits::default(), Preempt::Epoch, allocator);
            let worker = std::thread::current().id();
            let given = |bytes: &usize| engines.of_worker(class, worker, *bytes).is_some();
            (sizes.iter().map(given).collect::<Vec<_>>(), engines.own())
        };
        let sizes = [OWN_BYTES_MAX - 2, 1, 2, 1, 1];
        let (given, engines) = own(Allocator::OnDemand, 100, &sizes);
        assert_eq!((given, engines), (vec![true, true, false, true, false], 1), "a worker has one, up to the bound");
        assert_eq!(own(Allocator::OnDemand, COPIED_BINARY_MAX + 1, &[1]).1, 0, "a mapped image");
        assert_eq!(own(Allocator::Pool { slots: 4 }, 100, &[1]).1, 0, "a pool would be made twice");
    }

    #[test]
    fn a_class_has_one_engine() {
        let (engines, _) =
            Engines::new(&EngineOptions { cache: false, ..EngineOptions::default() }).expect("an engine");
        let mut limits = Limits::default();
        let same = |one: EngineClass, other: EngineClass| {
            Engine::same(&engines.get(one).expect("an engine"), &engines.get(other).expect("an engine"))
        };
        let class = |binary, limits: &Limits| EngineClass::of(binary, limits, Preempt::Epoch, Allocator::Slab);
        let usual = class(100, &limits);
        assert!(same(usual, class(COPIED_BINARY_MAX, &limits)));
        assert!(!same(usual, class(COPIED_BINARY_MAX + 1, &limits)));
        assert!(!same(usual, EngineClass::of(100, &limits, Preempt::None, Allocator::Slab)));
        limits.max_fuel = Some(1);
        assert!(!same(usual, class(100, &limits)));
        limits.max_fuel = None;
        limits.max_stack = Some(2 << 20);
        assert!(!same(usual, class(100, &limits)));
        let crowded = class(100, &Limits { crowd: Some(100_000), ..Limits::default() });
        assert!(crowded.is_dense() && crowded.serves(usual) && !same(usual, crowded));
        let large = class(COPIED_BINARY_MAX + 1, &Limits { crowd: Some(100_000), ..Limits::default() });
        assert!(!large.is_dense() && !large.serves(usual), "its memory is mapped");
    }
}
