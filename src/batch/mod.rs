//! One entry over many inputs: a bounded number of processes at once, results in order or as they come, and what a batch
//! needs around that: where inputs come from, records, a journal, a summary.
//!
//! **Must not know** the runtime, terminals or the command line: it starts processes by the manager it is given.
//!
//! # Invariants
//! - Memory is bounded by the window, whatever the number of inputs: nothing is read ahead of it, and in order nothing begins
//!   while too many results wait for their turn.
//! - Every input that began leads to exactly one [`Done`]; one that did not begin leads to none.
//! - No room is no failure: an item waits for it. It fails when it would not fit alone.
//! - A map that is dropped ends what it has begun.

mod captured;
mod feed;
mod map;
mod ready;

pub use captured::{Captured, Output};
pub use feed::{Fed, Feed, Inputs};
pub use map::{Done, ItemError, Map, Next, Poker, WINDOW_MAX};
