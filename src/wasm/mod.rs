//! WebAssembly: bytes become a module, a module a program, a program processes.
//!
//! Knows no Lua and no command line. The way in is `load`: the wasm entries of a checked registry become programs that
//! the process manager can start; a process is one future that owns its store, and polling it once is one step. One that may be over
//! at once is first tried without a future (module `attempt`).
//!
//! A guest looks up at every tick that it computes through, except within one bulk operation; [`crate::limits`] says how long
//! that can take.
//!
//! # Invariants
//! - A binary is compiled once per engine, whatever the number of entries that name it, and once more for a worker that starts
//!   one of them very often; a linker is resolved once per
//!   binary and imports set.
//! - What is wrong with the code of an entry depends on the binary, on what the entry says of it and on this program. So code that
//!   nobody needs is looked at once, and a mark beside the compiled code of the cache says that all of an application is sound.
//! - Nothing of a guest runs at load: instantiation and start functions belong to the first step.
//! - What an attempt leaves is a value or nothing: a guest that could have been seen, or would be suspended, has a future.
//! - The store lives inside the future of its process, or on the stack of an attempt, and a few attempts may share one; counters
//!   that must outlive it live outside.
//! - Everything a guest can reach was listed by its entry; what it merely imports is a stub that names itself.

mod allocator;
mod attempt;
mod cache;
mod engine;
mod exports;
mod failure;
mod fiber;
mod footprint;
mod host;
#[cfg(feature = "http")]
mod http;
mod load;
mod memory;
mod module;
mod pace;
mod program;
mod replica;
mod series;
mod slab;
mod state;
pub mod value;
mod warm;
mod world;

pub use allocator::{Allocator, AllocatorError};
pub(crate) use allocator::{KEPT_MAPPINGS, Supply};
pub use engine::{Configure, EngineClass, EngineError, EngineOptions, Engines};
pub(crate) use footprint::usual;
pub(crate) use host::HostFunctions;
pub use host::{HostContext, HostError, HostFunctionError};
pub use load::Progress;
pub(crate) use load::{Loaded, Programs, Signatures, Sources, load};
