//! What a run was asked for: turns or criterion, which of the cases, and how much of each.

/// The command line and `WIPPY_BENCH_ROUNDS`.
pub(crate) struct Asked {
    /// How often the sides take turns; without it criterion measures.
    pub(crate) rounds: Option<usize>,
    /// What the names of cases contain that take turns; criterion reads the command line itself.
    pub(crate) filter: String,
    pub(crate) size: Size,
}

/// How much a run does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// `--test` only asks whether it runs.
    Test,
    /// `--quick`
    Quick,
    Full,
}

impl Size {
    /// The one of these for this size.
    pub(crate) fn pick<T>(self, test: T, quick: T, full: T) -> T {
        match self {
            Size::Test => test,
            Size::Quick => quick,
            Size::Full => full,
        }
    }
}

impl Asked {
    pub(crate) fn read() -> Asked {
        let rounds = std::env::var("WIPPY_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let asks = |option: &str| arguments.iter().any(|argument| argument == option);
        let size = match (asks("--test"), asks("--quick")) {
            (true, _) => Size::Test,
            (_, true) => Size::Quick,
            _ => Size::Full,
        };
        let filter = arguments.into_iter().find(|argument| !argument.starts_with("--")).unwrap_or_default();
        Asked { rounds, filter, size }
    }
}
