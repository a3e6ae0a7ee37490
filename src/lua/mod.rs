//! Lua scripts as processes: the second guest language, under the same contract as wasm.
//!
//! [`load`] parses the entries by [`dialect`] and [`script`], [`program`] is one of them ready to be started, [`vm`] a VM with the sandbox in it, [`drive`]
//! the scheduler of the coroutines within a process, [`meter`] what preempts them, [`modules`] what scripts may use,
//! [`upgrade`] how a process goes on as another script.
//!
//! # Invariants
//! - One VM a process, and only its own step is ever in it. A VM that is kept belongs to one process after the other, so its
//!   functions ask whose it is (`own::of`) and hold none. No lock of this room is held while Lua runs.
//! - Every coroutine is resumed by the driver, with nothing of the script below it on the stack. So a wait suspends only
//!   who waits, a hook can preempt anywhere, and an end that is settled is an end: the script is not resumed, and no `pcall`
//!   sees it.
//! - No function of this room and none of Lua's own that are left in the sandbox calls a function of a script from C, and
//!   none works longer than a tick without asking the meter.
//! - The Lua parts of this room run in globals of their own: they are made when a script first reads something of theirs, and what
//!   it has put into its globals by then is not seen there.
//! - No object of a script has a finalizer: dropping a VM runs nothing of it.
//! - Values leave and enter a VM as payloads: whole numbers exact, everything bounded, what does not fit an error with its
//!   place.

mod call;
mod calls;
mod chunks;
mod dialect;
mod drive;
mod error;
mod host;
mod load;
mod meter;
mod modules;
mod own;
mod pattern;
mod pool;
mod ports;
mod program;
mod script;
mod terminal;
mod text;
mod upgrade;
mod value;
mod vm;

pub(crate) use load::Engine;
pub(crate) use program::World;
pub(crate) use terminal::{Sink, Source, Streams, Terminal};
