//! The one place where rooms are wired: load an application, start its hosts, spawn, shut down.

#[cfg(feature = "lua")]
mod console;
mod embed;
mod error;
mod functions;
#[cfg(test)]
mod hot;
mod machine;
mod native;
mod plan;
mod reach;
mod scripts;
mod services;
mod survey;
mod typed;
#[cfg(all(test, feature = "lua", not(wippy_loom)))]
mod values;

use std::hash::BuildHasher as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Feed, Inputs, Map};
use crate::control::{self, ControlError};

use crate::env::Environment;
use crate::function::{Function, Functions};
use crate::process::supervisor::{Supervisor, SupervisorConfig};
use crate::process::{
    Ceiling, HostKind, Manager, Payload, Pid, ProcessHandle, Program, SpawnError, Start, Subscription,
};
use crate::reactor::{BlockingConfig, BlockingPool, Clock, assert_may_block};
use crate::registry::{self, Declaration, Diagnostics, EntryId, LimitsSpec, LoadOptions, Registry};
use crate::scheduler::{StepObserver, Ticker};
use crate::security::Policies;
use crate::volume::Volumes;
use crate::wasi::{ProgramStreams, Resolver, SystemResolver};
use crate::wasm::{self, EngineOptions, Engines};

pub use crate::wasm::{Allocator, AllocatorError, EngineClass, Progress};
pub use error::{BuildError, Checked};
pub use machine::{Descriptors, Machine};
use plan::HostPlan;
use scripts::Scripts;
pub use services::ServicesError;
pub use survey::{LARGE_BINARY, SMALL_BINARY, Survey};
pub use typed::{TypedCall, TypedDone, TypedEntry, TypedEntryError, TypedError, TypedMap, TypedProcess};

/// The period of the ticker when [`RuntimeBuilder::tick`] says no other: the length of a slice.
pub const TICK: Duration = Duration::from_millis(1);

/// What a [`Runtime`] is made of; see [`Runtime::builder`].
///
/// Defaults: the application in the current folder, unless entries are made in code; compiled code cached on disk, the real clock, as many workers a host
/// as its entry says, a tick of [`TICK`], names of the network looked up by the system, a blocking pool of its own, steps
/// that nobody observes.
#[derive(Clone)]
pub struct RuntimeBuilder {
    application: Application,
    declared: Vec<Declaration>,
    limits: LimitsSpec,
    engine: EngineOptions,
    clock: Clock,
    workers: Option<usize>,
    tick: Duration,
    progress: Option<Arc<dyn Progress>>,
    resolver: Arc<dyn Resolver>,
    blocking: Option<BlockingPool>,
    observer: Option<Arc<dyn StepObserver>>,
    max_processes: u64,
    programs: Vec<Arc<dyn Program>>,
    functions: Vec<(Arc<dyn Program>, registry::Pool)>,
    natives: Vec<native::Native>,
    hosts: wasm::HostFunctions,
    seed: Option<u64>,
    command: Option<EntryId>,
}

/// Where the application comes from, beside what is made in code.
#[derive(Clone, Debug)]
enum Application {
    /// Nobody said: the current folder, unless something is made in code.
    Unsaid,
    Folder(LoadOptions),
    Read(registry::Loaded),
}

/// What reading an application is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To tell its problems: nothing is made on disk.
    Check,
    Run,
}

impl RuntimeBuilder {
    /// The application's folder.
    #[must_use]
    pub fn load(self, app: impl Into<PathBuf>) -> Self {
        self.load_options(LoadOptions::new(app))
    }

    /// How the application is read: folder, configuration file, overrides, settings.
    #[must_use]
    pub fn load_options(mut self, options: LoadOptions) -> Self {
        self.application = Application::Folder(options);
        self
    }

    /// An application whose files were read already. What is made in code is read with them, by
    /// [`load_with`](registry::load_with), and not with [`entry`](Self::entry).
    #[must_use]
    pub fn loaded(mut self, loaded: registry::Loaded) -> Self {
        self.application = Application::Read(loaded);
        self
    }

    /// Workers of every `process.host`, whatever its entry says. At least one.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers.max(1));
        self
    }

    /// The period of the ticker, which is the length of a slice: how long a guest computes on while others wait. Shorter ones
    /// make those who wait wait less and cost more switches. At least 50 µs: what is below counts as that. A manual clock
    /// ticks when it is moved, whatever is said here.
    ///
    /// ```
    /// use std::time::Duration;
    /// use wippy::Runtime;
    ///
    /// let builder = Runtime::builder().load("fixtures/apps/mission").tick(Duration::from_micros(200));
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tick(mut self, period: Duration) -> Self {
        self.tick = period;
        self
    }

    /// Whether compiled code is kept on disk and found again by the next run.
    #[must_use]
    pub fn cache(mut self, cache: bool) -> Self {
        self.engine.cache = cache;
        self
    }

    /// Where the memories, tables and stacks of processes come from: slabs, when nothing is said.
    #[must_use]
    pub fn allocator(mut self, allocator: Allocator) -> Self {
        self.engine.allocator = allocator;
        self
    }

    /// The clock of timers, deadlines and guests. A manual one moves only when it is told to, and ends slices then.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Who finds the addresses of names for guests; shared by all of them.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// The threads of calls that the kernel can't report readiness for: files, certificates, the standard streams. Shared by
    /// all hosts; several runtimes may share one, too. Its owner closes it: a runtime that ends does not.
    ///
    /// Without this the runtime has a pool with the bounds of [`BlockingConfig::default`].
    ///
    /// ```
    /// use wippy::Runtime;
    /// use wippy::reactor::{BlockingConfig, BlockingPool};
    ///
    /// let mut config = BlockingConfig::default();
    /// config.threads_max = 4;
    /// let pool = BlockingPool::new(config);
    /// let runtime = Runtime::builder().load("fixtures/apps/mission").blocking(pool.clone()).build()?;
    /// assert_eq!(pool.stats().queued, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn blocking(mut self, pool: BlockingPool) -> Self {
        self.blocking = Some(pool);
        self
    }

    /// A program of the embedder: processes are started from it by its entry ID, like from those of the application.
    ///
    /// ```
    /// use std::task::Context;
    /// use wippy::Runtime;
    /// use wippy::process::{ArgumentError, Birth, Exit, Payload, Process, Program, Progress, ResultStyle};
    /// use wippy::registry::EntryId;
    ///
    /// /// Adds up what it is given.
    /// struct Sum(EntryId);
    ///
    /// struct Adding(Vec<Payload>);
    ///
    /// impl Program for Sum {
    ///     fn entry(&self) -> &EntryId {
    ///         &self.0
    ///     }
    ///     fn check(&self, input: &[Payload]) -> Result<(), ArgumentError> {
    ///         match input.iter().all(|value| matches!(value, Payload::Int(_))) {
    ///             true => Ok(()),
    ///             false => Err(ArgumentError::new("expected whole numbers")),
    ///         }
    ///     }
    ///     fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
    ///         Err(ArgumentError::new("it is no command"))
    ///     }
    ///     fn create(&self, birth: Birth) -> Box<dyn Process> {
    ///         Box::new(Adding(birth.input))
    ///     }
    ///     fn result_style(&self) -> ResultStyle {
    ///         ResultStyle::Value
    ///     }
    /// }
    ///
    /// impl Process for Adding {
    ///     fn step(&mut self, _: &mut Context<'_>) -> Progress {
    ///         let sum = self.0.iter().map(|value| if let Payload::Int(value) = value { *value } else { 0 }).sum::<i64>();
    ///         Progress::Exit(Exit::Returned(sum.into()))
    ///     }
    /// }
    ///
    /// let sum = Sum("native:sum".parse()?);
    /// let runtime = Runtime::builder().load("fixtures/apps/mission").program(sum).build()?;
    /// assert_eq!(runtime.spawn("native:sum", [1, 2, 3])?.wait(), Exit::Returned(6.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn program(mut self, program: impl Program) -> Self {
        self.programs.push(Arc::new(program));
        self
    }

    /// Has `observer` told of every step of every process, on the worker that does it.
    #[must_use]
    pub fn observe_steps(mut self, observer: Arc<dyn StepObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The most processes that live at once, on all hosts together. Zero, the default, is as many as this machine can hold,
    /// which also bounds any other number: see [`Runtime::ceiling`].
    #[must_use]
    pub fn max_processes(mut self, processes: u64) -> Self {
        self.max_processes = processes;
        self
    }

    /// Fixes what is drawn at random: the part of a delay before a service is started again. With a seed and a manual clock a
    /// run of services is the same every time. Without one every runtime has its own.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Who is told how loading goes on.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Reads, hashes, compiles and checks the application, and starts nothing of it.
    ///
    /// # Errors
    /// Only what has nothing to do with the application; its problems are in the answer.
    ///
    /// # Panics
    /// On a worker: reading and compiling block.
    pub fn check(self) -> Result<Checked, BuildError> {
        let (loaded, _) = self.read(Purpose::Check)?;
        Ok(Checked { registry: loaded.registry, diagnostics: loaded.diagnostics })
    }

    /// Loads the application and makes its hosts. Their threads begin with their first process.
    ///
    /// # Errors
    /// [`BuildError::Configuration`] with every problem when the application has an error.
    ///
    /// # Panics
    /// On a worker: reading and compiling block.
    pub fn build(self) -> Result<Runtime, BuildError> {
        let seed = self.seed.unwrap_or_else(|| std::hash::RandomState::new().hash_one(()));
        let (loaded, plan) = self.read(Purpose::Run)?;
        if loaded.diagnostics.has_errors() {
            return Err(BuildError::Configuration(loaded.diagnostics));
        }
        let ticker = plan.ticker()?;
        ticker.on_tick(loaded.engines.on_tick());
        loaded.scripts.on_tick(&ticker);
        // After loading, whose code is mapped, too.
        let ceiling = plan.ceiling(machine::bounds());
        let hosts = plan.hosts(&loaded.registry, &ticker, &ceiling);
        let manager = Manager::new(loaded.programs, hosts, loaded.policies);
        loaded.functions.open(loaded.callable, &manager, plan.clock.clone());
        let ticking = ticker.clone();
        let config = SupervisorConfig {
            manager: Arc::clone(&manager),
            clock: plan.clock.clone(),
            tick: Box::new(move || ticking.tick()),
            seed,
        };
        Ok(Runtime {
            supervisor: Supervisor::new(&loaded.registry, config),
            ceiling,
            registry: loaded.registry,
            warnings: loaded.diagnostics,
            manager,
            functions: loaded.functions,
            signatures: loaded.signatures,
            clock: plan.clock,
            ticker,
            _engines: loaded.engines,
        })
    }

    fn read(self, purpose: Purpose) -> Result<(Loaded, HostPlan), BuildError> {
        assert_may_block();
        self.hosts.check()?;
        let registry::Loaded { mut registry, mut diagnostics, .. } = embed::load(self.application, &self.declared);
        registry.limit_hosts(&self.limits);
        let (volumes, problems) = match purpose {
            Purpose::Check => Volumes::open_existing(&registry),
            Purpose::Run => Volumes::open(&registry),
        };
        diagnostics.append(problems);
        let (policies, problems) = Policies::load(&registry);
        diagnostics.append(problems);
        let (environment, problems) = Environment::open(&registry);
        let environment = Arc::new(environment);
        diagnostics.append(problems);
        let (engines, uncached) = Engines::new(&self.engine)?;
        if let Some(error) = uncached {
            tracing::warn!(%error, "compiled code is not cached");
        }
        let streams = Arc::new(ProgramStreams::default());
        let functions = Functions::new();
        let needed = self.command.and_then(|command| reach::of(&command, &registry));
        let sources = wasm::Sources {
            registry: &registry,
            volumes: &volumes,
            environment: &environment,
            resolver: &self.resolver,
            streams: &streams,
            functions: &functions.downgrade(),
            hosts: &self.hosts,
            needed: needed.as_ref(),
            supply: engines.supply(),
        };
        let wasm::Loaded { mut programs, functions: mut callable, mut signatures, diagnostics: problems } =
            wasm::load(&sources, &engines, self.progress.as_deref())?;
        diagnostics.append(problems);
        let scripts = Scripts::new(&streams, &volumes, &environment, &functions);
        diagnostics.append(scripts.load(&registry, &mut programs, &mut callable));
        let mut own = self.programs;
        for native in self.natives {
            let (program, signature) = (native.make)(native.id.parse()?);
            signatures.insert(program.entry().clone(), signature);
            own.push(program);
        }
        for program in own {
            let entry = program.entry().clone();
            if registry.get(&entry).is_some() || programs.insert(entry.clone(), program).is_some() {
                return Err(BuildError::TwoPrograms { entry });
            }
        }
        let callable = functions::all(callable, self.functions, &registry, |entry| programs.contains_key(entry))?;
        diagnostics.append(services::arguments(&registry, &programs));
        let plan = HostPlan {
            clock: self.clock,
            workers: self.workers,
            tick: self.tick,
            blocking: self.blocking.unwrap_or_else(|| BlockingPool::new(BlockingConfig::default())),
            observer: self.observer,
            max_processes: self.max_processes,
            supply: engines.supply(),
        };
        let loaded =
            Loaded { registry, diagnostics, policies, engines, scripts, programs, functions, callable, signatures };
        Ok((loaded, plan))
    }
}

struct Loaded {
    registry: Registry,
    diagnostics: Diagnostics,
    policies: Policies,
    engines: Engines,
    scripts: Scripts,
    programs: wasm::Programs,
    functions: Functions,
    /// What becomes callable when there are hosts.
    callable: Vec<Function>,
    signatures: wasm::Signatures,
}

/// A loaded application with its hosts.
///
/// Dropping it is a [`shutdown`](Self::shutdown) without grace.
pub struct Runtime {
    registry: Registry,
    warnings: Diagnostics,
    manager: Arc<Manager>,
    functions: Functions,
    /// The types of wasm entries.
    signatures: wasm::Signatures,
    supervisor: Supervisor,
    ceiling: Ceiling,
    clock: Clock,
    ticker: Ticker,
    /// The ticker reaches them as long as they are here.
    _engines: Engines,
}

impl Runtime {
    /// A builder with the defaults.
    #[must_use]
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            application: Application::Unsaid,
            declared: Vec::new(),
            limits: LimitsSpec::default(),
            engine: EngineOptions::default(),
            clock: Clock::real(),
            workers: None,
            tick: TICK,
            progress: None,
            resolver: Arc::new(SystemResolver::default()),
            blocking: None,
            observer: None,
            max_processes: 0,
            programs: Vec::new(),
            functions: Vec::new(),
            natives: Vec::new(),
            hosts: wasm::HostFunctions::default(),
            seed: None,
            command: None,
        }
    }

    /// What the application declared.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What was noticed while loading and is no error.
    #[must_use]
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// Programs, hosts and processes.
    #[must_use]
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// The policies of the application.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        self.manager.policies()
    }

    /// What bounds the number of processes here, read from the system when the runtime was built. At the ceiling a spawn is
    /// refused with [`SpawnError::Busy`] or waits, see [`Manager::spawn_within`].
    ///
    /// Several runtimes in one program count what the others hold only when they are built.
    #[must_use]
    pub fn ceiling(&self) -> &Ceiling {
        &self.ceiling
    }

    /// The clock of timers and guests.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Starts a process of `entry` on the application's only `process.host`.
    ///
    /// # Errors
    /// See [`SpawnError`]; also when there is no `process.host`, or more than one: name it with [`Start`] then.
    pub fn spawn(
        &self,
        entry: &str,
        input: impl IntoIterator<Item = impl Into<Payload>>,
    ) -> Result<ProcessHandle, SpawnError> {
        let entry = EntryId::resolve(entry, "").map_err(|error| SpawnError::InvalidId { cause: error.to_string() })?;
        let host = self.manager.only_host(HostKind::Process)?.id().clone();
        self.manager.spawn(Start::new(entry, host).input(input.into_iter().map(Into::into)))
    }

    /// Runs `entry` over many inputs on the application's only `process.host`, a bounded number of them at once, each with its
    /// limits; what is not over within two ticks, or asks the host for something, becomes a process. Comes out as an iterator and a
    /// stream of what became of each, in the order of the inputs. [`Map`] has settings; each input is what [`Runtime::spawn`] takes.
    ///
    /// ```
    /// use wippy::Runtime;
    ///
    /// let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
    /// let products = runtime.map("myns:compute_worker", (1..=1000).map(|factor| [factor, 2]))?;
    /// let mut sum = 0;
    /// for done in products.window(64) {
    ///     sum += done.result?.as_i64().expect("a number");
    /// }
    /// assert_eq!(sum, 1_001_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no such entry, or not one `process.host`. What an input is refused for is the result of its item.
    pub fn map<I>(&self, entry: &str, inputs: I) -> Result<Map<Inputs<I::IntoIter>>, SpawnError>
    where
        I: IntoIterator<IntoIter: Send, Item: IntoIterator<Item: Into<Payload>>>,
    {
        let entry = EntryId::resolve(entry, "").map_err(|error| SpawnError::InvalidId { cause: error.to_string() })?;
        self.map_on(&entry, None, Inputs(inputs.into_iter()))
    }

    /// [`Runtime::map`] on this host, or on the only `process.host`, over inputs that may come later.
    ///
    /// # Errors
    /// There is no such entry or host.
    pub fn map_on<F: Feed>(&self, entry: &EntryId, host: Option<EntryId>, feed: F) -> Result<Map<F>, SpawnError> {
        Map::new(Arc::clone(&self.manager), entry.clone(), host, feed)
    }

    /// The comings and goings of all processes from now on; see [`Manager::subscribe`].
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.manager.subscribe()
    }

    /// Makes this runtime reachable for `wippy ps`, `kill` and `cancel` of the same user, by a socket in one of these folders,
    /// as long as the answer lives: a thread, `wippy-control`, and no worker waits for whoever asks.
    ///
    /// ```
    /// use wippy::Runtime;
    /// use wippy::control::{Folders, runtimes};
    ///
    /// # let parent = tempfile::tempdir()?;
    /// # let folder = parent.path().join("sockets");
    /// let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
    /// let folders = Folders::only(folder); // or `Folders::of_user()`, where `wippy ps` looks
    /// let server = runtime.serve_control(&folders)?;
    /// let (peers, _) = runtimes(&folders);
    /// assert_eq!(peers[0].id(), server.id());
    /// assert!(peers[0].processes()?.1.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No folder takes the socket, or there is no thread. Whoever can do without goes on without it.
    pub fn serve_control(&self, folders: &control::Folders) -> Result<control::Server, ControlError> {
        control::Server::start(Arc::downgrade(&self.manager), self.registry.app_root(), folders)
    }

    /// Stops everything: no new call from now on, and those that were admitted have half of `grace`, and no more than the
    /// `stop_timeout` of their host, to end; then no new process; services in the reverse order of their starts, then every host: each is
    /// asked to end, has its `stop_timeout`, and is ended by force after that or after `grace`, which is one for all of
    /// them. Returns what had to be terminated.
    ///
    /// The time of services is that of the clock: under a manual one somebody has to move it while they are waited for.
    pub fn shutdown(&self, grace: Duration) -> Vec<Pid> {
        let begin = std::time::Instant::now();
        self.stop_functions(grace);
        self.manager.close();
        let mut terminated = self.supervisor.stop(grace.saturating_sub(begin.elapsed()));
        let left = grace.saturating_sub(begin.elapsed());
        for pid in self.manager.shutdown(left, &|| self.ticker.tick()) {
            // Whom force did not end it met twice.
            if !terminated.contains(&pid) {
                terminated.push(pid);
            }
        }
        terminated
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shutdown(Duration::ZERO);
    }
}
