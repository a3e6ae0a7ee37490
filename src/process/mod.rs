//! Processes, in any language: what they are made from, what they are named, where they run and how they end.
//!
//! Knows no wasm, Lua or WASI: a guest language implements [`Program`] and [`Process`]. The way in is
//! [`Manager::spawn`]; the way out is one [`Exit`]. What processes have to do with each other goes through [`Peers`] and
//! [`Inbox`]: messages, monitors, links, names.
//!
//! # Invariants
//! - A process exists in its host's table, and its watchers are in place, before its first step.
//! - Steps of one process never overlap; it is closed and dropped on a worker.
//! - Its exit is published exactly once, after [`Process::close`] and after it left the table.
//! - Nothing here is called with a lock held: watchers and wakers run outside.
//! - An exit is told once to everybody who monitors or is linked with the process, after its names are free; what it sent
//!   before arrives before.
//! - A message is refused, read, or counted as dropped, discarded or unread; a mailbox has bounds.
//! - What a process may take of the machine is set aside before it is made and given back after it is gone.
//! - A process is made by the worker of its first step, from what that worker has for itself (`ground`): two workers that each run
//!   what they started write to nothing that the other one reads.
//! - Arguments are the caller's fault and refuse the spawn; everything later is an exit.

mod attempt;
mod bell;
mod bus;
mod calls;
mod ceiling;
mod cell;
mod context;
mod event;
mod exit;
mod ground;
mod handle;
mod host;
mod inbox;
mod keep;
mod launcher;
mod lifecycle;
mod mailbox;
mod manager;
mod message;
mod names;
mod payload;
mod peers;
mod pid;
mod program;
mod report;
mod sending;
#[cfg(all(test, not(wippy_loom)))]
mod simulation;
mod snapshot;
#[cfg(all(test, not(wippy_loom)))]
mod society;
mod start;
pub(crate) mod step;
pub mod supervisor;
mod table;
mod task;
mod tasks;
#[cfg(all(test, not(wippy_loom)))]
pub(crate) mod testing;
#[cfg(all(test, not(wippy_loom)))]
mod tests;
mod topology;
mod wildcard;

pub use crate::limits::LimitExceeded;
/// What a process is doing: its task's state.
pub use crate::scheduler::TaskState as State;
pub(crate) use crate::scheduler::WORKER_STACK_BYTES;
pub use attempt::{Attempt, Attempted};
pub(crate) use attempt::{Luck, Prepared};
pub use bus::{BUS_BYTES, BUS_EVENTS, BUS_LISTENERS, BUS_NAME_BYTES, Bus, BusError, BusEvent, Heard, Listening};
pub use calls::CallChain;
pub(crate) use ceiling::Share;
pub use ceiling::{Bound, Ceiling, Footprint, Resource};
pub use cell::Watcher;
pub use context::{CONTEXT_BYTES_MAX, ContextValues};
pub use event::{Event, Signal};
pub use exit::{Exit, Failure, FailureKind, Trap};
pub use handle::ProcessHandle;
pub use host::{Host, HostKind};
pub(crate) use host::{HostRules, Machinery};
pub use inbox::Inbox;
pub use keep::Instance;
pub(crate) use keep::Keep;
pub use launcher::Launcher;
pub use lifecycle::{LifecycleEvent, SUBSCRIPTION_EVENTS, Subscription};
pub(crate) use mailbox::MailboxBounds;
pub use mailbox::{DROP_OLDEST_MAX, MAILBOX_BYTES, MAILBOX_MESSAGES, MailboxStats};
pub use manager::Manager;
pub use message::{Message, SignalError, TOPIC_BYTES_MAX, Topic, TopicError};
pub use names::{NAME_BYTES_MAX, NAMES_MAX};
pub use payload::{JsonError, Payload, YamlError};
pub use peers::Peers;
pub use pid::{Pid, PidError};
pub use program::{
    ArgumentError, Begun, Birth, FormError, Process, Program, Progress, ResultStyle, Sink, StandardStream, Stdio,
};
pub use report::Report;
pub use sending::Sending;
pub use snapshot::Snapshot;
pub use start::{SpawnError, Start};
pub(crate) use table::Bounds;
pub use tasks::Tasks;
pub use topology::WATCHED_MAX;
#[cfg(feature = "lua")]
pub(crate) use wildcard::fits_wildcard;

pub use crate::registry::{PeerRules, Reach};
