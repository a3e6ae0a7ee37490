//! `wippy:process`: guests take part among processes. The interface is what `wit/process.wit` says.
//!
//! What a guest may do with whom is decided where processes are ([`Peers`](crate::process::Peers)); here its words become
//! values and values words. A payload is copied once between a guest's memory and ours, by the engine; in mailboxes and on
//! the way there it moves.

mod bindings;
mod component;
mod own;
mod refusal;
mod tree;

pub(super) use component::{INTERFACES, add_to_linker};
pub(in crate::wasm) use own::Own;
