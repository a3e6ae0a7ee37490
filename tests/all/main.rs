//! The integration tests: one binary, so that wasmtime is linked once. A test belongs to the module whose promise it
//! checks.

/// As many processes as there can be.
mod batch;
mod ceiling;
/// Processes of a running program, seen and ended by another.
mod control;
/// Every function of every interface, and the test in which a guest calls it.
mod coverage;
/// Programs of an embedder.
mod embed;
/// Ends in every state, and what a guest may do to the stack below it.
mod ends;
/// Every configuration field and the effect it has.
mod fields;
/// Files of the mounts, what waits for them, and what is refused.
mod files;
/// Functions: their pools, their calls, and who waits for whom.
mod functions;
/// Every guest of the fixtures, each function of it.
mod guests;
/// Requests of guests.
#[cfg(feature = "http")]
mod http;
/// Each request for an end, wherever the process is.
mod kill;
/// Which room may import which.
mod layering;
/// Every limit: under, at and over.
mod limits;
/// Random lives, many of them.
mod lives;
/// Scripts as processes.
#[cfg(feature = "lua")]
mod lua;
/// The modules of scripts, each called from a script.
#[cfg(feature = "lua")]
mod lua_modules;
/// The YAML of the mission as one application.
mod mission;
/// Code without checks.
mod preempt;
/// The world around a guest and its streams.
mod probe;
/// Who runs when: slices, sleepers, limits of time.
mod scheduling;
/// What policies let guests do.
mod security;
/// Guests among processes.
mod society;
/// TCP, UDP, names and rules of the network.
mod sockets;
/// Which threads a running program has.
mod threads;
/// Who is stuck in a call, and others who are not.
mod yielding;

/// Services: their starts, restarts and ends.
mod services;

/// The program's commands, streams and exit codes.
mod cli;
/// Broken and odd applications, with the whole of what is said of them.
mod goldens;

/// What the tests of the program share.
mod support;
