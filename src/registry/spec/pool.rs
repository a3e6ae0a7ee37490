//! The `pool` block of functions.

use super::super::fields::Fields;

/// How many instances of a function there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// The sort of pool; [`PoolType::Auto`] when not written.
    pub kind: PoolType,
    /// Instances.
    pub size: u64,
    /// Workers.
    pub workers: u64,
    /// Calls that may wait.
    pub buffer: u64,
    /// The most instances of a pool that grows.
    pub max_size: u64,
    /// Accepted, without effect.
    pub warm_start: bool,
}

/// The sort of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolType {
    /// Chosen by the numbers.
    #[default]
    Auto,
    /// In the caller's own step.
    Inline,
    /// Made when needed.
    Lazy,
    /// Made at start.
    Static,
    /// Grows and shrinks with the load.
    Adaptive,
}

/// Whether the instances of a function serve one call or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// Each call has an instance of its own, which is gone with it.
    #[default]
    Fresh,
    /// A slot of the pool keeps its instance, or the VM of a script, for the next call, as long as each call ends with a value
    /// and leaves nothing going on: what a guest leaves in its memory is there again.
    Reuse,
}

impl Isolation {
    /// Only functions have it: in other kinds it is a field that nobody knows.
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        if !f.raw().kind.starts_with("function.") {
            return Self::default();
        }
        let words = [("fresh", Self::Fresh), ("reuse", Self::Reuse)];
        f.word("isolation", &words, "invalid isolation").unwrap_or_default()
    }
}

impl Pool {
    pub(super) fn decode_fields(f: &mut Fields<'_, '_>) -> Self {
        let kinds = [
            ("inline", PoolType::Inline),
            ("lazy", PoolType::Lazy),
            ("static", PoolType::Static),
            ("adaptive", PoolType::Adaptive),
        ];
        let kind = f.word("type", &kinds, "invalid pool type").unwrap_or_default();
        let mut count = |name| f.count(name, u32::MAX.into(), "pool values cannot be negative");
        let counts = ["size", "workers", "buffer", "max_size"].map(&mut count);
        let [size, workers, buffer, max_size] = counts.map(Option::unwrap_or_default);
        let warm_start = f.flag("warm_start");
        f.any("worker_class");
        let pool = Self { kind, size, workers, buffer, max_size, warm_start };
        let flexible = workers == 0 && (size == 0 || max_size > 0);
        let message = match () {
            () if workers > 0 && size == 0 => "pool.size must be greater than 0 for worker pools",
            () if !flexible && size == 0 => "pool.size must be greater than 0 for non-flex pools",
            () => return pool,
        };
        let problem = f.problem("out-of-range", "size", message).help("add `size: 8`");
        f.error(problem);
        pool
    }
}
