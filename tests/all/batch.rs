//! One entry over many inputs, as a library and as a command.

#[cfg(feature = "cli")]
mod command;
mod map;
