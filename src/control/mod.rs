//! The way into a running runtime from another program: who lives in it, and the end of one of them.
//!
//! A runtime that [serves](Server::start) has a Unix socket in a folder of its user; [`runtimes`] finds those that there are.
//! A connection carries one request, a line of JSON, and its answer, lines of JSON.
//!
//! **Does not know** wasm, Lua, WASI, terminals or the command line: it asks the process manager.
//!
//! **Entries**: [`Server::start`], through [`Runtime::serve_control`](crate::Runtime::serve_control), and [`runtimes`].
//!
//! # Invariants
//! - Nobody but the user of the program gets in: the folder is that user's, with nobody else's rights and no symbolic link,
//!   the socket has mode 0600 from the moment it is there, and the kernel names the user at the other end of every connection,
//!   on both sides.
//! - No worker ever waits for a client: the server has one thread, and one client at a time.
//! - A client can't hold the server: [`SERVE_TIME`] is all it gets, [`REQUEST_BYTES_MAX`] all it may say,
//!   [`CLIENTS_WAITING_MAX`] wait in line, and the end of the server waits for none of them.
//! - A socket listens before it has the name by which it is found, so one that refuses is of a runtime that has ended: whoever
//!   finds it removes it.

mod client;
mod error;
mod folder;
mod line;
mod protocol;
mod server;
#[cfg(all(test, not(wippy_loom)))]
mod tests;

use std::time::Duration;

pub use client::{Peer, runtimes};
pub use error::ControlError;
pub use folder::Folders;
pub use protocol::{ProcessInfo, RuntimeInfo};
pub use server::Server;

/// How long the server has time for one client, from its connection to the end of the answer.
pub const SERVE_TIME: Duration = Duration::from_secs(3);

/// How long a client waits for its answer, others before it in line included.
pub const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The longest request, in bytes; a longer one is answered with an error.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// The longest reason of a cancel, in bytes; a longer one is an error of whoever asks.
pub const REASON_BYTES_MAX: usize = 1024;

/// The longest answer that a client reads, in bytes: some 200,000 processes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Connections that wait for the one that is served; more wait where they connect.
pub const CLIENTS_WAITING_MAX: i32 = 16;

/// Sockets that one program may have in a folder, and those of its predecessors with the same process number.
pub const SOCKETS_MAX: u32 = 256;
