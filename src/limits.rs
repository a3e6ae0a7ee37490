//! Limits of a process.
