//! `wippy` runs WebAssembly modules as **processes**: cheap, isolated, preemptible, supervised.
//!
//! Everything that runs is a process: a state machine that is initialised, stepped and closed. A scheduler runs processes
//! on a fixed set of worker threads, which steal work from each other and park on the reactor when there is none. A wasm
//! process is one future that owns its store; polling it once is one step, and a step ends when the guest waits for
//! something, when its slice is over and somebody else waits, or when it is done. It ends exactly once, with an
//! [`Exit`](process::Exit), after its resources are gone.
//!
//! ```
//! use wippy::Runtime;
//! use wippy::process::Exit;
//!
//! let runtime = Runtime::builder().load("fixtures/apps/mission").build()?;
//! let worker = runtime.spawn("myns:compute_worker", [6, 7])?;
//! assert_eq!(worker.wait(), Exit::Returned(42.into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The two journeys
//! **A command**, `wippy run greet World`: [`cli`] reads the command line, [`registry`] the files, all problems at once →
//! [`runtime`] opens [`volume`]s and [`mod@env`], has [`wasm`] verify, compile and link every entry, and makes the hosts →
//! [`process`] checks the arguments, gives a pid, and hands the process to the [`scheduler`] → a worker polls the fiber →
//! the guest calls a host function of [`wasi`], which leaves a waker with the [`reactor`] → a parked worker sees the event →
//! the same fiber goes on, perhaps on another thread → its exit is published → the exit code.
//!
//! **Embedding**: [`Runtime::builder`] → [`Runtime::spawn`] → [`ProcessHandle::wait`](process::ProcessHandle::wait), or
//! `.await` on any executor. Entries may be [made in code](RuntimeBuilder::entry); guests may import
//! [functions of yours](RuntimeBuilder::host_func), and what they export has [Rust types](Runtime::typed).
//!
//! The way back is wakers and one exit, never an import upward.
//!
//! # Rooms
//! | Room | Is for | May import, beside the leaves |
//! |---|---|---|
//! | [`limits`], `suggest`, `sync` | what every room uses: the leaves | nothing |
//! | [`registry`] | what the files declared: values, positions, problems | – |
//! | [`security`] | actors, policies, and the decision about an action | `registry` |
//! | [`scheduler`] | tasks on workers; knows no I/O and no wasm | – |
//! | [`reactor`] | readiness, timers and blocking calls, turned into wake-ups | `scheduler` (the driver trait) |
//! | [`volume`], [`mod@env`] | directories and variables of an application | `registry`, `reactor` |
//! | [`process`] | pids, exits, hosts, handles, [supervision](process::supervisor); knows no language | `scheduler`, `reactor`, `registry`, `security` |
//! | [`function`] | functions, their pools and calls; knows no language | `process`, `registry`, `reactor`, `security` |
//! | [`wasi`] | host functions over the reactor | `reactor`, `volume`, `env`, `security` |
//! | [`wasm`] | modules, linking, fibers, values | `wasi`, `process`, `function`, `registry`, `reactor`, `volume`, `env`, `security` |
//! | `lua` | scripts, coroutines, modules, values | `process`, `registry`, `reactor`, `volume`, `env`, `security` |
//! | [`batch`] | one entry over many inputs: windows, journals, records | `process`, `registry` |
//! | [`control`] | `ps`, `kill`, `cancel`: the socket of a running runtime, both ends | `process`, `reactor` |
//! | [`runtime`] | wires all of them, once | all above |
//! | [`cli`] | arguments in, exit code out | `runtime`, `batch`, `control`, `registry`, `process` |
//!
//! A test reads every path of the source and fails on an import that is not in this table.
//!
//! # Features
//! All of them are on by default; without any there are the scheduler, and wasm processes with everything that is WASI but
//! `wasi:http`.
//!
//! | Feature | Is for |
//! |---|---|
//! | `cli` | the program `wippy`, and [`cli`] |
//! | `lua` | `process.lua`, `function.lua` and `library.lua`; entries of these kinds are errors without it |
//! | `http` | `wasi:http`; guests that call it end with an error without it |
//! | `cache` | compiled code on disk, for the next run |
//!
//! # Invariants
//! - A worker never blocks and never unwinds; a panic in a step ends that process only.
//! - The reactor is looked at at least once a tick while anything runs; after two at the latest where a worker that has just
//!   left it is in a step that never looks up.
//! - A process is dropped on a worker, and its exit is published once, after its resources are gone.
//! - No thread, timer or reactor of another executor runs in this program.
//! - Bad input never panics, never hangs, and is answered with the place, the expectation and the next step.

pub mod limits;
pub mod registry;
pub mod security;
mod suggest;

pub mod reactor;
pub mod scheduler;

pub mod env;
pub mod function;
pub mod process;
pub mod volume;

#[cfg(feature = "lua")]
mod lua;
pub mod wasi;
pub mod wasm;

pub mod batch;
pub mod control;
pub mod runtime;

#[cfg(feature = "cli")]
pub mod cli;

mod sync;

/// The programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use runtime::{BuildError, Checked, Runtime, RuntimeBuilder, ServicesError, TypedEntry};

/// The engine, of the version that this crate is built with: what [`RuntimeBuilder::configure`] configures.
pub use wasmtime;
