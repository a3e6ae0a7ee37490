//! The `env` room.
