//! The integration tests: one binary, so that wasmtime is linked once. A test belongs to the module whose promise it
//! checks. Those that run the program need the feature `cli`; the others are the library's, and run without any feature.

/// Guests that need no stack and no process of their own.
mod attempts;
/// One entry over many inputs.
mod batch;
/// As many processes as there can be.
#[cfg(feature = "cli")]
mod ceiling;
/// Processes of a running program, seen and ended by another.
#[cfg(feature = "cli")]
mod control;
/// Every function of every interface, and the test in which a guest calls it.
mod coverage;
/// A crowd that sleeps.
#[cfg(feature = "cli")]
mod density;
/// Programs of an embedder.
mod embed;
/// Ends in every state, and what a guest may do to the stack below it.
#[cfg(feature = "cli")]
mod ends;
/// Every configuration field and the effect it has.
#[cfg(feature = "cli")]
mod fields;
/// Files of the mounts, what waits for them, and what is refused.
#[cfg(feature = "cli")]
mod files;
/// Functions: their pools, their calls, and who waits for whom.
mod functions;
/// Every guest of the fixtures, each function of it.
#[cfg(feature = "cli")]
mod guests;
/// Requests of guests.
#[cfg(all(feature = "cli", feature = "http"))]
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
#[cfg(all(feature = "cli", feature = "lua"))]
mod lua;
/// The modules of scripts, each called from a script.
#[cfg(all(feature = "cli", feature = "lua"))]
mod lua_modules;
/// The YAML of the mission as one application.
mod mission;
/// Code without checks.
#[cfg(feature = "cli")]
mod preempt;
/// The world around a guest and its streams.
#[cfg(feature = "cli")]
mod probe;
/// Who runs when: slices, sleepers, limits of time.
mod scheduling;
/// What policies let guests do.
#[cfg(feature = "cli")]
mod security;
/// Slots that go round, and what guests find in them.
mod slabs;
/// Guests among processes.
#[cfg(feature = "cli")]
mod society;
/// TCP, UDP, names and rules of the network.
mod sockets;
/// What a command starts with.
#[cfg(all(feature = "cache", feature = "cli"))]
mod start;
/// Which threads a running program has.
mod threads;
/// Who is stuck in a call, and others who are not.
mod yielding;

/// Services: their starts, restarts and ends.
#[cfg(feature = "cli")]
mod services;

/// The program's commands, streams and exit codes.
#[cfg(feature = "cli")]
mod cli;
/// Broken and odd applications, with the whole of what is said of them.
#[cfg(feature = "cli")]
mod goldens;

/// What the tests of the program share.
mod support;
