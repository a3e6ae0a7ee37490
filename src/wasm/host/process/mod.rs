//! `wippy:process`: guests take part among processes. One interface in two forms: for components what `wit/process.wit` says,
//! for core modules flat functions that do the same.
//!
//! What a guest may do with whom is decided where processes are ([`Peers`](crate::process::Peers)); here its words become
//! values and values words. A payload is copied once between a guest's memory and ours, by the engine; in mailboxes and on
//! the way there it moves.

mod bindings;
mod component;
mod flat;
mod own;
mod refusal;
mod tree;

pub(super) use component::{INTERFACES, add_to_linker};
pub(super) use flat::add_to_core_linker;
pub(in crate::wasm) use own::Own;
