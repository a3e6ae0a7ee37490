//! When a read that may wait asks the system at once.

/// After a read that had something at once, so many more ask the system at once although nothing says that there is
/// something: what that saves when it succeeds, a wait for an event, costs about eight times what it costs when it fails.
const HASTY_READS: u8 = 8;

/// One in so many others does, to learn of better times.
const PROBE_EVERY: u8 = 16;

/// Whether a read that may wait asks the system before it waits for an event. An answer that comes from this machine is often
/// there by then, and one from another practically never.
#[derive(Default)]
pub(super) struct Haste {
    hasty: u8,
    others: u8,
}

impl Haste {
    /// A read begins: whether it should ask.
    pub(super) fn asks(&mut self) -> bool {
        if self.hasty > 0 {
            return true;
        }
        self.others = (self.others + 1) % PROBE_EVERY;
        self.others == 0
    }

    /// It has asked, and there was something or not.
    pub(super) fn asked(&mut self, had_something: bool) {
        self.hasty = if had_something { HASTY_READS } else { self.hasty.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a thousand reads ask, where every `nth` read that asks finds something.
    fn asks(nth: u32) -> u32 {
        let (mut haste, mut asked) = (Haste::default(), 0);
        for _ in 0..1000 {
            if haste.asks() {
                asked += 1;
                haste.asked(asked % nth == 0);
            }
        }
        asked
    }

    #[test]
    fn reads_ask_at_once_where_that_pays() {
        assert_eq!(asks(u32::MAX), 1000 / u32::from(PROBE_EVERY), "nothing is ever there");
        for nth in [1, 2, 5] {
            assert!(asks(nth) > 1000 - 5 * u32::from(PROBE_EVERY), "one in {nth}");
        }
        assert!(asks(50) < 300, "seldom");
    }
}
