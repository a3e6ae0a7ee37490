//! What the groups share: how sides are measured, the guests, our side and the peers.

#![allow(dead_code, reason = "each group uses a part of it")]

/// What the program has, for all sides: blocks are taken by one thread and given back by another one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub(crate) mod asked;
pub(crate) mod bare;
pub(crate) mod case;
pub(crate) mod epochs;
pub(crate) mod floor;
pub(crate) mod group;
pub(crate) mod guests;
pub(crate) mod numbers;
pub(crate) mod ours;
pub(crate) mod processes;
pub(crate) mod rayon_pool;
pub(crate) mod record;
#[cfg(feature = "http")]
pub(crate) mod servers;
pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod tokio_tasks;
pub(crate) mod turns;
#[cfg(feature = "http")]
pub(crate) mod wasi_peer;
pub(crate) mod window;
