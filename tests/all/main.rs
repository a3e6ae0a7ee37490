//! The integration tests: one binary, so that wasmtime is linked once. A test belongs to the module whose promise it
//! checks.

/// Which room may import which.
mod layering;
/// Who runs when: slices, sleepers, limits of time.
mod scheduling;
