//! What a run was asked for: turns or criterion, and which of the cases.

/// The command line and `WIPPY_BENCH_ROUNDS`.
pub(crate) struct Asked {
    /// How often the sides take turns; without it criterion measures.
    pub(crate) rounds: Option<usize>,
    /// What the names of cases contain that take turns; criterion reads the command line itself.
    pub(crate) filter: String,
}

impl Asked {
    pub(crate) fn read() -> Asked {
        let rounds = std::env::var("WIPPY_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
        let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
        Asked { rounds, filter }
    }
}
