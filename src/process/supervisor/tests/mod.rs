//! The supervisor: its decisions as a table, and with real hosts under a clock that the test moves.

mod decisions;
mod matrix;
mod random;
mod running;
mod world;
