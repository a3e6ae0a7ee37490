//! How long the next start of a service waits.

use std::time::Duration;

use crate::registry::RestartPolicy;

/// The wait before start number `attempt + 1`: `initial_delay × backoff_factor^(attempt - 1)`, at most `max_delay`, then
/// more or less by a random part of it. `chance` is a number from 0 to 1: a half changes nothing.
pub(super) fn delay(policy: &RestartPolicy, attempt: u32, chance: f64) -> Duration {
    let nanos = |duration: Duration| duration.as_nanos() as f64;
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = nanos(policy.initial_delay) * policy.backoff_factor.powi(exponent);
    // A power beyond all numbers is capped, too.
    let base = grown.min(nanos(policy.max_delay));
    let jittered = base * (1.0 + policy.jitter * (2.0 * chance - 1.0));
    // The cast saturates: below zero it is none, and 584 years are as good as for ever.
    Duration::from_nanos(jittered as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RestartPolicy {
        RestartPolicy::default()
    }

    #[test]
    fn delays_double_up_to_their_bound() {
        let seconds: Vec<u64> = (1..=9).map(|attempt| delay(&policy(), attempt, 0.5).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 90, 90]);
        assert_eq!(delay(&policy(), u32::MAX, 0.5), Duration::from_secs(90));
    }

    #[test]
    fn a_part_of_the_delay_is_random() {
        for (chance, millis) in [(0.0, 3_600), (0.25, 3_800), (0.5, 4_000), (0.75, 4_200)] {
            assert_eq!(delay(&policy(), 3, chance), Duration::from_millis(millis));
        }
        // After the bound: as Wippy's table has it, 81 s to 99 s.
        assert_eq!(delay(&policy(), 9, 0.0), Duration::from_secs(81));
    }

    #[test]
    fn odd_policies_give_a_delay_all_the_same() {
        let wild = RestartPolicy { jitter: 3.0, ..policy() };
        assert_eq!(delay(&wild, 1, 0.0), Duration::ZERO, "never less than none");
        let shrinking = RestartPolicy { backoff_factor: 0.5, ..policy() };
        assert_eq!(delay(&shrinking, 2, 0.5), Duration::from_millis(500));
        let late = RestartPolicy { initial_delay: Duration::from_secs(600), ..policy() };
        assert_eq!(delay(&late, 1, 0.5), Duration::from_secs(90));
        let huge = RestartPolicy { backoff_factor: f64::MAX, max_delay: Duration::MAX, ..policy() };
        assert_eq!(delay(&huge, 9, 0.5), Duration::from_nanos(u64::MAX));
    }
}
