//! `wippy` runs WebAssembly modules as **processes**: cheap, isolated, preemptible, supervised.

pub mod limits;
pub mod registry;
pub mod suggest;

pub mod reactor;
pub mod scheduler;

pub mod env;
pub mod process;
pub mod volume;

pub mod wasi;
pub mod wasm;

pub mod runtime;

pub mod cli;

mod sync;

pub use runtime::{BuildError, Checked, Runtime, RuntimeBuilder};
