//! The time by the counter of the processor: a third of what the system's clock costs, for what is read around every step.
//!
//! Each thread compares the counter with the system's clock once in [`GOOD_FOR_NS`] and in between counts on from there, with
//! the rate that it has seen since at least [`WARM_UP_NS`]. So an answer is off by half of what reading both takes, some tens of
//! nanoseconds, and whatever a counter does it never runs ahead by more than that millisecond. Until a thread is warm, and where
//! the system itself does not take its time from this counter, the answer is the system's.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::Instant;

/// After so long the system is asked again.
const GOOD_FOR_NS: u64 = 1_000_000;

/// The rate is told by at least so much time: reading both clocks takes some 50 ns, of which this is a few millionths.
const WARM_UP_NS: u64 = 20_000_000;

/// The rate is told by at most so much time, so that it does not remember what was before a suspension.
const RENEWED_AFTER_NS: u64 = 1_000_000_000;

/// Reading both clocks takes less than so many ticks, which are a microsecond at most on what is fast enough to matter, unless the
/// thread is interrupted in between. The clock is taken to have been read in their middle.
const READ_TICKS_MAX: u64 = 2000;

/// The rate has so many fractional bits.
const RATE_BITS: u32 = 32;

/// A rate that differs by one part in so many from that of the second before is that of a counter that has jumped.
const STEADY: u64 = 1000;

/// Where all threads count from.
static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    static KNOWN: Cell<Known> = const { Cell::new(Known::NOTHING) };
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
struct Both {
    ticks: u64,
    ns: u64,
}

impl Both {
    const ZERO: Self = Self { ticks: 0, ns: 0 };
}

/// What a thread knows of the counter.
#[derive(Clone, Copy, Debug)]
struct Known {
    last: Both,
    /// Nanoseconds a tick; zero while it is not known.
    rate: u64,
    /// So many ticks after `last` the answer is the counter's.
    good_for: u64,
    /// The rate is measured since then.
    since: Both,
    /// The counter is of no use on this machine.
    is_useless: bool,
}

/// All threads count from now on, unless they do so already.
pub(super) fn begin() {
    LazyLock::force(&BASE);
}

/// Nanoseconds from the base of all threads to `moment`.
pub(super) fn of(moment: Instant) -> u64 {
    // 584 years fit.
    moment.saturating_duration_since(*BASE).as_nanos() as u64
}

/// The time now, by the same count. Never earlier than what this thread saw before.
///
/// Never inlined: a caller on a fiber must not keep the address of the thread-local across a switch.
#[inline(never)]
pub(super) fn now() -> u64 {
    let known = KNOWN.get();
    if known.good_for > 0 {
        let passed = counter::ticks().wrapping_sub(known.last.ticks);
        if passed < known.good_for {
            return known.last.ns + scaled(passed, known.rate);
        }
    }
    ask_the_system(known)
}

#[cold]
fn ask_the_system(known: Known) -> u64 {
    if known.is_useless {
        return of(Instant::now());
    }
    let read = (counter::ticks(), of(Instant::now()), counter::ticks());
    let (known, ns) = known.after(read, counter::is_trusted);
    KNOWN.set(known);
    ns
}

impl Known {
    const NOTHING: Self = Self { last: Both::ZERO, rate: 0, good_for: 0, since: Both::ZERO, is_useless: false };

    /// What is known after the counter, the clock and the counter again were read, and the time.
    fn after(self, (before, clock_ns, after): (u64, u64, u64), is_trusted: impl Fn() -> bool) -> (Self, u64) {
        // What was said last was less than this.
        let said = if self.good_for == 0 { self.last.ns } else { self.last.ns + scaled(self.good_for, self.rate) };
        let ns = clock_ns.max(said.min(clock_ns.saturating_add(GOOD_FOR_NS)));
        let took = after.wrapping_sub(before);
        let read = before.wrapping_add(took / 2);
        let now = Both { ticks: read, ns };
        let forgotten = Self { last: now, since: Both { ticks: read, ns: clock_ns }, ..Self::NOTHING };
        if took > READ_TICKS_MAX {
            // Interrupted, so the two belong to different moments: the next one to ask tries again.
            return (Self { last: now, good_for: 0, ..self }, ns);
        }
        if self.since.ticks == 0 || read <= self.since.ticks {
            return (forgotten, ns);
        }
        let (ticks, passed_ns) = (read - self.since.ticks, clock_ns.saturating_sub(self.since.ns));
        if passed_ns < WARM_UP_NS && self.rate == 0 {
            return (Self { last: now, ..self }, ns);
        }
        if passed_ns < WARM_UP_NS {
            return (Self { last: now, good_for: ticks_in(GOOD_FOR_NS, self.rate), ..self }, ns);
        }
        // Only now: what runs for less than this has no need to know.
        if self.rate == 0 && !is_trusted() {
            return (Self { is_useless: true, ..forgotten }, ns);
        }
        let rate = ((u128::from(passed_ns) << RATE_BITS) / u128::from(ticks)) as u64;
        let is_steady = self.rate == 0 || rate.abs_diff(self.rate) <= self.rate / STEADY;
        // Between 100 MHz and 10 GHz.
        if !is_steady || !((1 << RATE_BITS) / 10..=10 << RATE_BITS).contains(&rate) {
            return (forgotten, ns);
        }
        let since = if passed_ns > RENEWED_AFTER_NS { forgotten.since } else { self.since };
        (Self { last: now, rate, good_for: ticks_in(GOOD_FOR_NS, rate), since, ..self }, ns)
    }
}

/// Nanoseconds in so many ticks, which are no more than some millions.
fn scaled(ticks: u64, rate: u64) -> u64 {
    (ticks * rate) >> RATE_BITS
}

fn ticks_in(ns: u64, rate: u64) -> u64 {
    (ns << RATE_BITS) / rate
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod counter {
    use std::sync::LazyLock;

    /// What Linux takes its own time from. It looks whether the counters of all cores agree and go on steadily, and names
    /// something else here when they do not.
    static IS_TRUSTED: LazyLock<bool> = LazyLock::new(|| {
        let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        source.is_ok_and(|source| source.trim() == "tsc")
    });

    pub(super) fn is_trusted() -> bool {
        *IS_TRUSTED
    }

    #[inline]
    pub(super) fn ticks() -> u64 {
        tick_counter::x86_64_tick_counter()
    }
}

/// Elsewhere the system is asked.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod counter {
    pub(super) fn is_trusted() -> bool {
        false
    }

    pub(super) fn ticks() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of a counter with so many ticks a microsecond, one each time step.
    fn warm(ticks_per_us: u64, step_ns: u64, readings: u64) -> Known {
        let mut known = Known::NOTHING;
        for at in 1..=readings {
            let ns = at * step_ns;
            let ticks = 1_000_000 + ns * ticks_per_us / 1000;
            let said;
            (known, said) = known.after((ticks, ns, ticks + 100), || true);
            assert!(said >= ns && said <= ns + 20, "{said} at {ns}");
        }
        known
    }

    #[test]
    fn a_thread_that_is_warm_counts_on_for_a_millisecond() {
        assert_eq!(warm(2300, 1_000_000, 20).good_for, 0, "19 ms are not enough");
        for ticks_per_us in [100, 1000, 2300, 4999, 9900] {
            let known = warm(ticks_per_us, 1_000_000, 22);
            assert!(known.good_for.abs_diff(1000 * ticks_per_us) <= ticks_per_us, "{known:?}");
            let half = known.good_for / 2;
            assert!(scaled(half, known.rate).abs_diff(500_000) <= 500, "{known:?}");
        }
        for ticks_per_us in [10, 50_000] {
            assert_eq!(warm(ticks_per_us, 1_000_000, 100).good_for, 0, "no counter has such a rate");
        }
    }

    #[test]
    fn a_slow_read_of_the_clock_was_in_its_middle() {
        let known = warm(2300, 1_000_000, 30);
        let before = known.last.ticks + 2_300_000;
        let (known, _) = known.after((before, known.last.ns + 1_000_000, before + 1800), || true);
        assert_eq!(known.last.ticks, before + 900);
        assert!(known.good_for > 0);
    }

    #[test]
    fn a_counter_that_jumps_is_not_believed() {
        let known = warm(2300, 1_000_000, 100);
        let (ticks, ns) = (known.last.ticks, known.last.ns);
        let hour_ns = 3_600_000_000_000;
        // It went on while the clock stood still, as in a suspension; it stood still; it began again.
        for (then, clock_ns) in [(ticks + hour_ns * 2, ns + 1_500_000), (ticks + 10, ns + hour_ns), (5, ns + 1_500_000)]
        {
            let (known, said) = known.after((then, clock_ns, then + 100), || true);
            assert_eq!((known.good_for, said), (0, clock_ns), "{known:?}");
        }
    }

    #[test]
    fn who_is_interrupted_while_reading_reads_again() {
        let known = warm(2300, 1_000_000, 30);
        let (ticks, ns) = (known.last.ticks + 2_400_000, known.last.ns + 1_043_478);
        let (later, said) = known.after((ticks, ns + 3_000_000, ticks + 6_900_000), || true);
        assert_eq!((later.good_for, said), (0, ns + 3_000_000));
        let (again, _) = later.after((ticks + 7_000_000, ns + 3_043_478, ticks + 7_000_100), || true);
        assert_eq!(again.rate.abs_diff(known.rate) * 100_000 / known.rate, 0);
        assert!(again.good_for > 0);
    }

    #[test]
    fn what_was_said_is_not_taken_back() {
        let known = warm(2300, 1_000_000, 30);
        let last_said = known.last.ns + scaled(known.good_for - 1, known.rate);
        let ticks = known.last.ticks + known.good_for;
        let (_, said) = known.after((ticks, last_said - 15, ticks + 90), || true);
        assert!(said >= last_said);
    }

    #[test]
    fn a_counter_that_the_system_does_not_use_is_left_alone() {
        let mut known = Known::NOTHING;
        for at in 1..=40 {
            (known, _) = known.after((at * 2_300_000, at * 1_000_000, at * 2_300_000 + 100), || false);
            assert_eq!((known.is_useless, known.good_for), (at >= 21, 0), "after {at} ms");
            if known.is_useless {
                break;
            }
        }
    }

    #[test]
    fn it_is_what_the_system_says() {
        let begin = Instant::now();
        let mut last = now();
        while begin.elapsed().as_millis() < 60 {
            let (before, near, after) = (of(Instant::now()), now(), of(Instant::now()));
            assert!(near >= last, "{near} after {last}");
            assert!(near + 10_000 >= before && near <= after + 10_000, "{before} {near} {after}");
            last = near;
        }
    }
}
