//! The `wasi` room.
