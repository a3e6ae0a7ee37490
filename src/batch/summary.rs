//! What a batch amounted to: how many, why some failed, how long they took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::item::Done;

/// Latencies are told apart by a thousandth of themselves.
const DIGITS: u8 = 3;

/// The numbers of a batch so far. Its size does not depend on theirs.
#[derive(Clone, Debug)]
pub struct Summary {
    items: u64,
    failures: BTreeMap<&'static str, u64>,
    retried: u64,
    /// Nanoseconds from beginning to end, of the last try of each item.
    latency: Option<Histogram<u64>>,
    cpu: Duration,
}

impl Default for Summary {
    fn default() -> Self {
        // The number of digits is one it has.
        let latency = Histogram::new(DIGITS).ok();
        Self { items: 0, failures: BTreeMap::new(), retried: 0, latency, cpu: Duration::ZERO }
    }
}

impl Summary {
    /// Counts an item.
    pub fn add(&mut self, done: &Done) {
        self.items += 1;
        self.retried += u64::from(done.attempts.saturating_sub(1));
        if let Err(error) = &done.result {
            *self.failures.entry(error.cause()).or_default() += 1;
        }
        self.cpu += done.cpu;
        if let (Some(latency), Some(wall)) = (&mut self.latency, done.wall) {
            // It grows to hold what it is given, up to half of all there is.
            let nanos = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
            let _ = latency.record(nanos.min(u64::MAX / 2));
        }
    }

    /// Items that are over.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Those of them that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// The summary of a batch that took `elapsed` on so many cores.
    #[must_use]
    pub fn over(&self, elapsed: Duration, cores: usize) -> Totals {
        let seconds = elapsed.as_secs_f64();
        let per = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        let quantile = |quantile: f64| {
            let latency = self.latency.as_ref().filter(|latency| !latency.is_empty());
            latency.map(|latency| Duration::from_nanos(latency.value_at_quantile(quantile)))
        };
        #[allow(clippy::cast_precision_loss, reason = "rates, rounded anyway")]
        let (items, cores) = (self.items as f64, cores.max(1) as f64);
        Totals {
            items: self.items,
            failures: self.failures.clone(),
            retried: self.retried,
            elapsed,
            rate: per(items),
            latency: [0.5, 0.95, 0.99].map(quantile),
            guest_share: per(self.cpu.as_secs_f64()) / cores,
        }
    }
}

/// A [`Summary`] with the time it took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Totals {
    /// Items that are over.
    pub items: u64,
    /// Those that failed, by [cause](super::ItemError::cause).
    pub failures: BTreeMap<&'static str, u64>,
    /// Tries beyond the first of each item.
    pub retried: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Items a second.
    pub rate: f64,
    /// Half of the items, 95 and 99 of a hundred took at most this, from spawn to end; none when no process ran.
    pub latency: [Option<Duration>; 3],
    /// The part of the time of each core that guests had, from 0 to 1.
    pub guest_share: f64,
}

impl Totals {
    /// As JSON, with keys that stay; times in nanoseconds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let [p50, p95, p99] = self.latency.map(|time| time.map(nanos));
        json!({
            "items": self.items,
            "failed": self.failures.values().sum::<u64>(),
            "failures": self.failures,
            "retried": self.retried,
            "elapsed_ns": nanos(self.elapsed),
            "items_per_second": self.rate,
            "latency_ns": { "p50": p50, "p95": p95, "p99": p99 },
            "guest_share": self.guest_share,
        })
    }
}

impl fmt::Display for Totals {
    /// Two lines, and a third when some failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = if self.items == 1 { "item" } else { "items" };
        writeln!(f, "{} {items} in {:.1?}, {:.0} a second", self.items, self.elapsed, self.rate)?;
        if let [Some(p50), Some(p95), Some(p99)] = self.latency {
            write!(f, "latency p50 {p50:.1?}, p95 {p95:.1?}, p99 {p99:.1?}; ")?;
        }
        writeln!(f, "guests had {:.0} % of each core", self.guest_share * 100.0)?;
        let failed: u64 = self.failures.values().sum();
        if failed > 0 {
            let causes: Vec<_> = self.failures.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
            writeln!(f, "{failed} failed: {}", causes.join(", "))?;
        }
        if self.retried > 0 {
            writeln!(f, "{} tried again", self.retried)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{ItemError, Output};
    use crate::process::Exit;

    fn done(attempts: u32, error: Option<ItemError>) -> Done {
        let result = error.map_or(Ok(1.into()), Err);
        Done { index: 0, attempts, result, output: Output::default(), process: None, wall: None, cpu: Duration::ZERO }
    }

    #[test]
    fn failures_are_counted_by_their_cause() {
        let mut summary = Summary::default();
        summary.add(&done(1, None));
        summary.add(&done(3, Some(ItemError::Ended(Exit::Terminated))));
        summary.add(&done(1, Some(ItemError::Input("x".into()))));
        summary.add(&done(2, Some(ItemError::Ended(Exit::Terminated))));
        assert_eq!((summary.items(), summary.failed()), (4, 3));
        let totals = summary.over(Duration::from_secs(2), 2);
        let expected = "4 items in 2.0s, 2 a second\nguests had 0 % of each core\n3 failed: input 1, terminated 2\n\
                        3 tried again\n";
        assert_eq!(totals.to_string(), expected);
        let json = json!({
            "items": 4, "failed": 3, "failures": { "input": 1, "terminated": 2 }, "retried": 3,
            "elapsed_ns": 2_000_000_000_u64, "items_per_second": 2.0,
            "latency_ns": { "p50": null, "p95": null, "p99": null }, "guest_share": 0.0,
        });
        assert_eq!(totals.to_json(), json);
    }

    #[test]
    fn nothing_in_no_time_is_no_division_by_zero() {
        let totals = Summary::default().over(Duration::ZERO, 0);
        assert_eq!(totals.to_string(), "0 items in 0.0ns, 0 a second\nguests had 0 % of each core\n");
    }
}
