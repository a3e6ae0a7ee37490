//! One entry over many inputs: a bounded number of processes at once, results in order or as they come, and what a batch
//! needs around that: where inputs come from, records, a journal, a summary.
//!
//! **Must not know** the runtime, terminals or the command line: it starts processes by the manager it is given.
//!
//! # Invariants
//! - Memory is bounded by the window, whatever the number of inputs: nothing is read ahead of it, and in order nothing begins
//!   while too many results wait for their turn.
//! - Every input that began leads to exactly one [`Done`]; one that did not begin leads to none.
//! - An item is a process, unless it is over so soon that nobody can tell (module `chunk`). Limits are the same for both.
//! - No room is no failure: an item waits for it. It fails when it would not fit alone.
//! - A map that is dropped ends what it has begun.
//! - A journal confirms only records that the output has: whenever the program is ended, a resumed batch has each index once.

mod captured;
mod chunk;
mod done;
mod feed;
mod halt;
mod item;
mod journal;
mod map;
mod ready;
mod record;
mod source;
mod summary;
mod turns;

pub use captured::{Captured, Output};
pub use done::DoneSet;
pub use feed::{Fed, Feed, Inputs};
pub use halt::{Failures, Halt, ParseHaltError, Verdict};
pub use item::{Done, ItemError};
pub use journal::{Identity, Journal, JournalError, State, cut};
pub use map::{Map, Next, Poker, WINDOW_MAX};
pub use source::{FILE_BYTES_MAX, FileContent, LINE_BYTES_MAX, Source};
pub use summary::{Summary, Totals};
