//! Host functions over the reactor: what a guest may ask of the world, and how the asking suspends its fiber.
//!
//! **Does not know** the registry, processes or schedulers: an entry's declaration arrives as a plain [`WasiConfig`],
//! the store's data type lends its [`WasiState`] through [`WasiView`], and whoever polls the guest's future runs it.
//!
//! **Entries**: [`add_to_linker`] and [`stub_missing`] for components, [`add_preview1`] and [`stub_missing_core`] for
//! core modules; [`WasiState::new`] once per process, [`WasiState::drain`] before its end is published.
//!
//! **Invariants**
//! - No host function blocks its thread: what has to wait returns a future that leaves its waker with the reactor, with
//!   a stream or with the blocking pool. No runtime of another library is ever entered.
//! - A guest sees what its configuration gives it: no arguments, no environment, no directory, no descriptor of the
//!   program comes from anywhere else.
//! - Only the profiles that an entry lists are linked. The rest of what a component imports links to functions that end
//!   the process with [`UnlistedImport`] or [`NotServed`]; it never prevents loading.
//! - Everything a guest can make grow has a named bound: resources, buffered output, single reads, vectors, polls.
//! - Creating a [`WasiState`] makes no system call; generators and timers are made when first asked for.

mod cli;
mod clocks;
mod config;
mod error;
mod filesystem;
#[cfg(feature = "http")]
mod http;
mod linker;
mod network;
mod poll;
mod preview1;
mod profile;
mod random;
mod resolver;
mod sockets;
mod state;
mod stdio;
mod stub;

#[cfg(test)]
mod guests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use config::{Mount, WasiConfig};
pub use error::{GuestExit, NoMemory, NotServed, UnlistedImport};
#[cfg(feature = "http")]
pub use http::{
    CONNECTIONS_MAX, HttpClient, HttpConfig, HttpStats, IDLE_MAX, IDLE_PER_ORIGIN_MAX, IDLE_TIME, REQUEST_TIMEOUT,
    Spawner, TlsRoots,
};
pub use linker::add_to_linker;
pub(crate) use network::RULE_FORMS;
pub use network::{NameCheck, NetworkPolicy, Rule, RuleError};
pub use preview1::add_preview1;
pub use profile::{Profile, ProfileSet, UnknownImport, profile_of_interface};
pub use resolver::{
    ABANDONED_LOOKUPS_MAX, LOOKUPS_MAX, LOOKUPS_QUEUED_MAX, Lookup, NoResolver, ResolveError, Resolver, SystemResolver,
};
pub use state::{WasiState, WasiView};
pub(crate) use stdio::ProgramStreams;
pub use stdio::{
    BytesInput, Calls, Capture, Discard, EmptyInput, Input, LINE_BYTES_MAX, Lines, Output, ProgramInput,
    QUEUE_BYTES_MAX, StreamFailure, TRANSFER_BYTES_MAX, Terminal,
};
pub use stub::{stub_missing, stub_missing_core};
