//! The `wasm` room.

pub mod value;
