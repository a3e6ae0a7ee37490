//! Runs tasks on a fixed set of worker threads: own deque first, then the injector, then stealing.
//!
//! Knows no pid, wasm, WASI, Lua or I/O: a task is something with a `step`, a driver is something to wait on.

mod park;
mod task;

pub use park::Driver;
pub use task::{Step, Task};
