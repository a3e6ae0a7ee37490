//! One entry over many inputs, as a library and as a command.

mod command;
mod map;
