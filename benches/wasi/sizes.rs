//! How much a run does, and who does it.

/// Our side.
pub(crate) const OURS: &str = "wippy";
/// Our side with a pool.
pub(crate) const OURS_POOLED: &str = "wippy, pooled";
pub(crate) const PEER: &str = "wasmtime-wasi + tokio";

/// How much a run does.
pub(crate) struct Sizes {
    pub(crate) sleepers: [usize; 3],
    pub(crate) timers: usize,
    pub(crate) echo_guests: [u64; 2],
    pub(crate) file_bytes: u64,
}

impl Sizes {
    /// Tiny for `--test`, which only asks whether it runs, and smaller than usual for `--quick`.
    pub(crate) fn of(arguments: &[String]) -> Sizes {
        let asks = |option: &str| arguments.iter().any(|argument| argument == option);
        if asks("--test") {
            Sizes { sleepers: [1, 5, 20], timers: 1000, echo_guests: [1, 4], file_bytes: 1 << 20 }
        } else if asks("--quick") {
            Sizes { sleepers: [1, 100, 1000], timers: 10_000, echo_guests: [1, 64], file_bytes: 64 << 20 }
        } else {
            Sizes { sleepers: [1, 1000, 10_000], timers: 100_000, echo_guests: [1, 64], file_bytes: 64 << 20 }
        }
    }
}
