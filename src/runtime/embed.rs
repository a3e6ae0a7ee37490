//! What an embedder says instead of files: entries that are made in code, limits, the engine.

use std::fmt;
use std::path::PathBuf;

use super::{Application, Runtime, RuntimeBuilder};
use crate::process::Host;
use crate::registry::{self, Declaration, Diagnostic, LimitsSpec, LoadOptions, Loaded};
use crate::wasm::value::{WitParams, WitReturn};
use crate::wasm::{Configure, HostContext, HostError};

impl RuntimeBuilder {
    /// One more entry, made in code; see [`Entry::wasm`](crate::registry::Entry::wasm) and its neighbours. It passes the checks of
    /// an entry in a file, and what is wrong with it is told with the others, at the place in the source where it is made.
    ///
    /// With [`load`](Self::load) it stands beside those of the folder, in place of one with the same ID; without it there
    /// are only those that are made in code.
    ///
    /// ```
    /// use wippy::registry::Entry;
    /// use wippy::{BuildError, Runtime};
    ///
    /// let add = r#"(module (func (export "add") (param i32 i32) (result i32)
    ///     (i32.add (local.get 0) (local.get 1))))"#;
    /// let builder = |method| {
    ///     let entry = Entry::wasm("app:add").wat(add).method(method);
    ///     Runtime::builder().entry(Entry::host("app:processes")).entry(entry).build()
    /// };
    /// assert_eq!(builder("add")?.spawn("app:add", [40, 2])?.wait().to_string(), "returned 42");
    ///
    /// let Err(BuildError::Configuration(problems)) = builder("ad") else { panic!("there is no `ad`") };
    /// let problem = problems.iter().next().expect("a problem");
    /// assert_eq!(problem.message, "no function `ad` is exported");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn entry(mut self, entry: impl Into<Declaration>) -> Self {
        self.declared.push(entry.into());
        self
    }

    /// [`entry`](Self::entry) for each of these.
    #[must_use]
    pub fn entries(mut self, entries: impl IntoIterator<Item = impl Into<Declaration>>) -> Self {
        self.declared.extend(entries.into_iter().map(Into::into));
        self
    }

    /// The limits of processes on a `process.host` for which neither their entry nor their host says anything.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wippy::Runtime;
    /// use wippy::process::Exit;
    /// use wippy::registry::{Entry, LimitsSpec};
    ///
    /// let limits = LimitsSpec { max_execution: Some(Duration::from_millis(20)), ..LimitsSpec::default() };
    /// let runtime = Runtime::builder()
    ///     .entry(Entry::host("app:processes"))
    ///     .entry(Entry::wasm("app:spin").wat("(module (func (export \"spin\") (loop br 0)))").method("spin"))
    ///     .limits(limits)
    ///     .build()?;
    /// assert!(matches!(runtime.spawn("app:spin", [(); 0])?.wait(), Exit::LimitExceeded(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn limits(mut self, limits: LimitsSpec) -> Self {
        self.limits = limits;
        self
    }

    /// Where compiled code is kept between runs, instead of the engine's folder below the user's cache directory.
    #[must_use]
    pub fn cache_directory(mut self, folder: impl Into<PathBuf>) -> Self {
        self.engine.cache_directory = Some(folder.into());
        self
    }

    /// Has `configure` change how the engines compile and run code: target and optimisation, proposals of WebAssembly,
    /// profilers. It is called once for each [engine](crate::wasm::EngineClass) that the application needs, before the
    /// runtime sets what is its own. That wins, so there is nothing here to refuse:
    ///
    /// | The runtime's own | |
    /// |---|---|
    /// | `epoch_interruption`, `consume_fuel` | as the `preempt` and `limits` of entries say |
    /// | `max_wasm_stack`, `async_stack_size` | the classes of `max_stack`, and room for host functions |
    /// | `memory_reservation`, `memory_guard_size`, `memory_init_cow`, `allocation_strategy` | see [`allocator`](Self::allocator) |
    /// | `concurrency_support` | off |
    /// | `relaxed_simd_deterministic`, `cranelift_nan_canonicalization` | on where instructions are counted |
    /// | `wasm_backtrace_max_frames` | 32 |
    /// | `cache` | see [`cache`](Self::cache) |
    ///
    /// What it finds is the engine's default, but for `native_unwind_info`: it is off, since nothing unwinds through guests, and a
    /// profiler may have it on.
    ///
    /// A configuration that the engine does not take is [`BuildError::Engine`](super::BuildError::Engine), and a binary that
    /// needs a proposal that was switched off is a problem of its entry.
    ///
    /// ```
    /// use wippy::registry::Entry;
    /// use wippy::{BuildError, Runtime, wasmtime};
    ///
    /// let entry = Entry::wasm("app:add").wat("(module (func (export \"f\") (drop (v128.const i64x2 0 0))))").method("f");
    /// let builder = Runtime::builder().entry(Entry::host("app:processes")).entry(entry);
    /// assert!(builder.clone().build().is_ok());
    /// let without = builder.configure(|config: &mut wasmtime::Config| {
    ///     config.wasm_simd(false).wasm_relaxed_simd(false);
    /// });
    /// assert!(matches!(without.build(), Err(BuildError::Configuration(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn configure(mut self, configure: impl Fn(&mut wasmtime::Config) + Send + Sync + 'static) -> Self {
        self.engine.configure = Some(Configure::new(configure));
        self
    }

    /// A function that guests of this runtime may import: of an interface of components, `acme:shop/stock` with its version or
    /// without, or of a module name of core modules. Its types are those of the closure's parameters and result, see
    /// [`WitValue`](crate::wasm::value::WitValue); core modules call it by the canonical ABI, so that text is a pointer and a length there. Functions that
    /// components import without an interface are those of `$root`.
    ///
    /// An entry lists the interface under `imports`, as it does those of WASI: without that, a call ends the process with an
    /// error that says which line to add. An import of another type is a problem of the entry, and so is a listed interface
    /// that nobody provides; one that is merely imported is a warning.
    ///
    /// The function is called on the worker of the process, and must neither block nor compute for long: limits of time act
    /// when it returns. An error ends the process with [`Exit::Failed`](crate::process::Exit::Failed), and so does a panic;
    /// what the guest shall handle is a `Result` within the result.
    ///
    /// ```
    /// use wippy::Runtime;
    /// use wippy::registry::Entry;
    ///
    /// let guest = r#"(module
    ///     (import "acme:shop/stock" "count" (func $count (param i32) (result i64)))
    ///     (func (export "double") (param i32) (result i64)
    ///         (i64.mul (call $count (local.get 0)) (i64.const 2))))"#;
    /// let runtime = Runtime::builder()
    ///     .host_func("acme:shop/stock", "count", |context, (article,): (u32,)| {
    ///         println!("{} asks for {article}", context.pid());
    ///         Ok(u64::from(article) + 14)
    ///     })
    ///     .entry(Entry::host("app:processes"))
    ///     .entry(Entry::wasm("app:shop").wat(guest).method("double").import("acme:shop/stock"))
    ///     .build()?;
    /// assert_eq!(runtime.typed::<(u32,), u64>("app:shop")?.call((7,))?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn host_func<P: WitParams, R: WitReturn>(
        mut self,
        interface: &str,
        name: &str,
        function: impl Fn(&HostContext, P) -> Result<R, HostError> + Send + Sync + 'static,
    ) -> Self {
        self.hosts.add(interface, name, function);
        self
    }

    /// [`host_func`](Self::host_func) that may wait. The guest is suspended until the future is ready, and its worker runs others
    /// meanwhile. Limits of wall time and requests for an end act while it waits; the future is dropped then, on a worker.
    ///
    /// The future is polled on workers, so it must not block. It wakes its process through the waker that it is polled with: a
    /// future of any executor will do as long as it needs nothing but that. One that needs the executor around it, like a
    /// timer of tokio, is spawned there and its handle awaited.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wippy::Runtime;
    /// use wippy::registry::Entry;
    ///
    /// let guest = r#"(module
    ///     (import "acme:shop/clerk" "ask" (func $ask (param i32) (result i32)))
    ///     (func (export "ask") (param i32) (result i32) (call $ask (local.get 0))))"#;
    /// let runtime = Runtime::builder()
    ///     .host_func_async("acme:shop/clerk", "ask", |context, (question,): (u32,)| async move {
    ///         context.sleep(Duration::from_millis(5)).await;
    ///         Ok(question + 1)
    ///     })
    ///     .entry(Entry::host("app:processes").workers(1))
    ///     .entry(Entry::wasm("app:shop").wat(guest).method("ask").import("acme:shop/clerk"))
    ///     .build()?;
    /// // A hundred wait at once, on one worker.
    /// let asks = runtime.typed::<(u32,), u32>("app:shop")?;
    /// let answers: Result<Vec<_>, _> = asks.map((0..100).map(|n| (n,)))?.map(|done| done.result).collect();
    /// assert_eq!(answers?, (1..=100).collect::<Vec<_>>());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn host_func_async<P: WitParams, R: WitReturn, F>(
        mut self,
        interface: &str,
        name: &str,
        function: impl Fn(HostContext, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<R, HostError>> + Send + 'static,
    {
        self.hosts.add_async(interface, name, function);
        self
    }
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Runtime::builder()
    }
}

impl fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder")
            .field("application", &self.application)
            .field("declared", &self.declared)
            .field("engine", &self.engine)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("entries", &self.registry.len())
            .field("hosts", &self.manager.hosts().map(Host::id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What was declared, in files and in code.
pub(super) fn load(application: Application, declared: &[Declaration]) -> Loaded {
    match application {
        Application::Unsaid if declared.is_empty() => registry::load(&LoadOptions::new(".")),
        Application::Unsaid => registry::load_with(None, declared),
        Application::Folder(options) => registry::load_with(Some(&options), declared),
        Application::Read(mut loaded) => {
            if !declared.is_empty() {
                let message = "entries are made in code beside an application that was read already";
                let problem = Diagnostic::error("entry-beside-loaded", message);
                loaded.diagnostics.add(problem.help("give them to `registry::load_with`, with its files"));
            }
            loaded
        }
    }
}
