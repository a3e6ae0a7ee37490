//! The integration tests: one binary, so that wasmtime is linked once. A test belongs to the module whose promise it
//! checks.

/// Which room may import which.
mod layering;
