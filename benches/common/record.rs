//! What the turns of a case took, as the benches write it and the program of the results reads it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stats::Estimate;

/// All turns of one case.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) group: String,
    /// The place of the case within its group.
    pub(crate) at: usize,
    pub(crate) case: String,
    /// Of our side, and of the floor's.
    pub(crate) allocator: String,
    /// Pieces of work of an iteration.
    pub(crate) elements: u64,
    /// The first sides are what the others are compared with.
    pub(crate) references: usize,
    pub(crate) sides: Vec<Turns>,
}

/// The turns of one side; those with the same number belong to the same round.
#[derive(Serialize, Deserialize)]
pub(crate) struct Turns {
    pub(crate) side: String,
    /// Iterations of each turn.
    pub(crate) iterations: u64,
    /// Seconds of an iteration by the wall, and of all threads and children that were waited for.
    pub(crate) wall: Vec<f64>,
    pub(crate) cpu: Vec<f64>,
    /// What else there is to tell: a name with its unit, and the figure of each turn.
    pub(crate) also: Vec<(String, Vec<f64>)>,
}

/// A time of a side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// By the wall.
    Wall,
    /// Of all threads.
    Cpu,
}

impl Time {
    pub(crate) fn of(self, turns: &Turns) -> &[f64] {
        match self {
            Time::Wall => &turns.wall,
            Time::Cpu => &turns.cpu,
        }
    }

    /// The ratio of two sides, round by round.
    pub(crate) fn ratio(self, side: &Turns, to: &Turns) -> Estimate {
        Estimate::of(self.of(side).iter().zip(self.of(to)).map(|(side, to)| side / to))
    }
}

/// The folder of the records, beside what cargo has built.
pub(crate) fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target")).join("wippy-bench")
}
