//! The limits of a process and what it has used of them: the one place where either is kept, for every room to use.
//!
//! Knows no other room: times are nanoseconds of whatever clock the caller reads, and what happens at a limit is the
//! caller's affair. Names and meanings are those of an entry's `limits:` block.
//!
//! # How late an end can be
//! A process that waits ends at once, and one that computes at its next tick: a guest looks up in each loop, at each call, and
//! before each bulk operation (`memory.fill`, `memory.copy`, `memory.init`, `table.fill`, `table.copy`, `table.init`). Within one
//! the engine can't be interrupted. So the end comes after the operation that is under way, and that writes no more than
//! `max_memory` bytes: its bound is `max_memory` times what this machine takes for a byte. Measured on a busy virtual core: 0.15 ms
//! for a MiB of memory that was touched before, up to 1.5 ms for one that was not, up to 6 ms for a MiB of a table (an element
//! is 8 bytes) that is copied for the first time; so 1.5 s for a `memory.fill` of all of the 1 GiB that is the default. Meanwhile
//! its worker serves nobody else: a host whose others must not wait that long says so with a ceiling of `max_memory`.
//!
//! # Invariants
//! - A counter of what is held (memory, files, sockets) goes back to where it was when the holder lets go; one of what was
//!   done (time, output) only grows.
//! - A refused request changes no counter.

mod wait;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

pub use wait::{WaitReason, Waits};
pub(crate) use wait::{forget_waits, wait_for, waits_for_message};

/// What one process may use. `None` is no limit.
///
/// ```
/// use std::time::Duration;
/// use wippy::limits::Limits;
///
/// let mut limits = Limits::default();
/// assert_eq!(limits.max_memory, Some(1 << 30));
/// limits.max_execution = Some(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Wall time from spawn, wherever the guest is.
    pub max_execution: Option<Duration>,
    /// Time spent in steps.
    pub max_cpu: Option<Duration>,
    /// The slice: how long a process may go on without a yield point while others wait. Anything below a tick is one
    /// tick; so is `None`, except that a guest of a program whose guests are mostly over soon after their first tick goes on for
    /// up to two more, once. A process that can't be preempted (`preempt: none`) keeps its worker, and a replacement of the worker
    /// comes for the others then.
    pub max_step: Option<Duration>,
    /// The budget of instructions, the same on every machine.
    pub max_fuel: Option<u64>,
    /// Bytes of linear memories, tables and buffers of the host together.
    pub max_memory: Option<u64>,
    /// Bytes of the guest's stack; the engine rounds it up to a class.
    pub max_stack: Option<u64>,
    /// Core instances.
    pub max_instances: Option<u64>,
    /// Tables.
    pub max_tables: Option<u64>,
    /// WASI resources, or descriptors of preview 1, held at once.
    pub max_handles: Option<u64>,
    /// Bytes written to stdout and stderr together.
    pub max_output: Option<u64>,
    /// Sockets open at once; `None` is what the operating system allows.
    pub max_open_sockets: Option<u64>,
    /// Files open at once; `None` is what the operating system allows.
    pub max_open_files: Option<u64>,
    /// The most processes that the host of this one has at once; `None` is as many as the machine has room for. Not a limit of
    /// the process: how close its memory lies to that of others is chosen by it.
    pub(crate) crowd: Option<u64>,
}

impl Default for Limits {
    /// What holds where nobody says anything: 1 GiB of memory, 1 MiB of stack, 64 instances and tables, 65,536 handles.
    fn default() -> Self {
        Self {
            max_execution: None,
            max_cpu: None,
            max_step: None,
            max_fuel: None,
            max_memory: Some(1 << 30),
            max_stack: Some(1 << 20),
            max_instances: Some(64),
            max_tables: Some(64),
            max_handles: Some(65_536),
            max_output: None,
            max_open_sockets: None,
            max_open_files: None,
            crowd: None,
        }
    }
}

/// Which limit was exceeded and by what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit `{limit}` exceeded: allowed {allowed}, used {used}")]
pub struct LimitExceeded {
    /// The name of the limit as it is written in an entry, for example `max_execution`.
    pub limit: &'static str,
    /// What was allowed, with its unit.
    pub allowed: String,
    /// What was used, or would have been, with its unit.
    pub used: String,
    /// What the guest itself made of it, when it ended after a refusal: its trap or its exit code.
    pub after: Option<String>,
    /// Where the guest was, innermost frame first, one a line; empty when that is not known.
    pub backtrace: Vec<String>,
}

impl LimitExceeded {
    /// A limit by its name, what it allows and what was used.
    pub fn new(limit: &'static str, allowed: impl fmt::Display, used: impl fmt::Display) -> Self {
        Self { limit, allowed: allowed.to_string(), used: used.to_string(), after: None, backtrace: Vec::new() }
    }
}

/// A number of bytes in the largest unit that divides it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// No step is going on.
const NOT_STEPPING: u64 = u64::MAX;

/// What one process has used, beside what it may. Read from any thread, and after the end of the process.
#[derive(Debug)]
pub struct Usage {
    /// Those of many processes.
    limits: Arc<Limits>,
    /// When the process was spawned, in nanoseconds of its host's clock.
    born_ns: u64,
    /// When the present step began, or [`NOT_STEPPING`].
    step_began_ns: AtomicU64,
    cpu_ns: AtomicU64,
    preemptions: AtomicU64,
    memory: AtomicU64,
    memory_peak: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// What the last step that ended left the process waiting for.
    waits: AtomicU16,
    files: AtomicU64,
    sockets: AtomicU64,
    /// Whose counters of memory, files, sockets and bytes count for this process, too: the first of those that have passed
    /// an instance on to each other.
    first: Option<Arc<Self>>,
}

impl Default for Usage {
    fn default() -> Self {
        Self::new(Limits::default(), 0)
    }
}

impl Usage {
    /// The bookkeeping of a process that is born now.
    #[must_use]
    pub fn new(limits: impl Into<Arc<Limits>>, born_ns: u64) -> Self {
        Self {
            limits: limits.into(),
            born_ns,
            step_began_ns: AtomicU64::new(NOT_STEPPING),
            cpu_ns: AtomicU64::new(0),
            preemptions: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            waits: AtomicU16::new(0),
            files: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
            first: None,
        }
    }

    /// The bookkeeping of a process that is born now with what another one has left: what that held is held by this one, and
    /// all that is used up begins at zero. Not before the end of the other one, whose own counters say nothing from then on.
    pub(crate) fn following(other: &Arc<Self>, limits: Arc<Limits>, born_ns: u64) -> Self {
        let first = other.first.as_ref().unwrap_or(other);
        // Who holds something from before counts with the first one: what it reads and writes, too.
        first.bytes_in.store(0, Ordering::Relaxed);
        first.bytes_out.store(0, Ordering::Relaxed);
        let memory_peak = AtomicU64::new(first.memory());
        Self { memory_peak, first: Some(Arc::clone(first)), ..Self::new(limits, born_ns) }
    }

    /// Whoever counts what is held.
    fn first(&self) -> &Self {
        self.first.as_deref().unwrap_or(self)
    }

    /// What the process may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// When it was spawned, in nanoseconds of its host's clock.
    #[must_use]
    pub fn born_ns(&self) -> u64 {
        self.born_ns
    }

    /// Time spent in steps that are over.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }

    /// Steps that ended because the slice was over.
    #[must_use]
    pub fn preemptions(&self) -> u64 {
        self.preemptions.load(Ordering::Relaxed)
    }

    /// Bytes it holds now: memories, tables, buffers of the host.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.first().memory.load(Ordering::Relaxed)
    }

    /// The most it held at any time.
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Ordering::Relaxed)
    }

    /// Bytes it has read from its standard input.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.first().bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes it has written to its standard output and error, including those still on their way.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.first().bytes_out.load(Ordering::Relaxed)
    }

    /// What its last step left it waiting for; nothing that means anything while it does not wait.
    #[must_use]
    pub fn waits(&self) -> Waits {
        Waits::from_bits(self.waits.load(Ordering::Relaxed))
    }

    /// Time spent in steps, the present one included.
    pub(crate) fn cpu_until(&self, now_ns: u64) -> Duration {
        self.cpu() + self.in_step(now_ns)
    }

    /// A step begins. Steps of one process never overlap.
    pub(crate) fn begin_step(&self, now_ns: u64) {
        // What somebody noted on this thread outside a step.
        forget_waits();
        self.step_began_ns.store(now_ns, Ordering::Relaxed);
    }

    /// The step is over.
    pub(crate) fn end_step(&self, now_ns: u64) {
        // Steps of one process never overlap, so nobody else writes these: a load and a store do.
        let began = self.step_began_ns.load(Ordering::Relaxed);
        debug_assert_ne!(began, NOT_STEPPING, "a step that ends has begun");
        self.step_began_ns.store(NOT_STEPPING, Ordering::Relaxed);
        let before = self.cpu_ns.load(Ordering::Relaxed);
        self.cpu_ns.store(before + now_ns.saturating_sub(began), Ordering::Relaxed);
        self.waits.store(wait::take().to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn add_preemption(&self) {
        // As in `end_step`.
        self.preemptions.store(self.preemptions.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// How long the present step has been going on; nothing between steps.
    fn in_step(&self, now_ns: u64) -> Duration {
        match self.step_began_ns.load(Ordering::Relaxed) {
            NOT_STEPPING => Duration::ZERO,
            began => Duration::from_nanos(now_ns.saturating_sub(began)),
        }
    }

    /// When the wall time is over, in nanoseconds of the host's clock.
    pub(crate) fn wall_end_ns(&self) -> Option<u64> {
        let nanos = u64::try_from(self.limits.max_execution?.as_nanos()).unwrap_or(u64::MAX);
        Some(self.born_ns.saturating_add(nanos))
    }

    /// Whether the process still has time, by the wall and by the time spent in steps, the present one included.
    ///
    /// # Errors
    /// The limit of time that it has reached.
    pub(crate) fn check_time(&self, now_ns: u64) -> Result<(), LimitExceeded> {
        if let Some(allowed) = self.limits.max_execution {
            let used = Duration::from_nanos(now_ns.saturating_sub(self.born_ns));
            if used >= allowed {
                return Err(LimitExceeded::new("max_execution", format_args!("{allowed:?}"), format_args!("{used:?}")));
            }
        }
        if let Some(allowed) = self.limits.max_cpu {
            let used = self.cpu_until(now_ns);
            if used >= allowed {
                return Err(LimitExceeded::new("max_cpu", format_args!("{allowed:?}"), format_args!("{used:?}")));
            }
        }
        Ok(())
    }

    /// When the slice of the present step is over, so that it ends at the next tick when others wait.
    pub(crate) fn slice_end_ns(&self) -> u64 {
        let slice = self.limits.max_step.unwrap_or_default();
        let nanos = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
        self.step_began_ns.load(Ordering::Relaxed).saturating_add(nanos)
    }

    /// Whether the slice of the present step is over.
    pub(crate) fn is_slice_over(&self, now_ns: u64) -> bool {
        now_ns >= self.slice_end_ns()
    }

    /// Takes memory.
    ///
    /// # Errors
    /// When it would be more than the process may hold; nothing is taken then.
    pub(crate) fn take_memory(&self, bytes: u64) -> Result<(), LimitExceeded> {
        let allowed = self.limits.max_memory.unwrap_or(u64::MAX);
        let taken = self.first().memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(bytes).filter(|total| *total <= allowed)
        });
        match taken {
            Ok(before) => {
                self.memory_peak.fetch_max(before + bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(held) => {
                let wanted = Bytes(held.saturating_add(bytes));
                Err(LimitExceeded::new("max_memory", Bytes(allowed), wanted))
            }
        }
    }

    /// Gives memory back that was taken.
    pub(crate) fn give_memory(&self, bytes: u64) {
        let before = self.first().memory.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "memory that is given back was taken");
    }

    /// Takes memory of the host for the process, until the charge is dropped.
    ///
    /// # Errors
    /// As [`Usage::take_memory`].
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Result<Charge, LimitExceeded> {
        let bytes = bytes as u64;
        self.take_memory(bytes)?;
        Ok(Charge { usage: Arc::clone(self), bytes })
    }

    pub(crate) fn add_in(&self, bytes: usize) {
        self.first().bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts output that is about to be written.
    ///
    /// # Errors
    /// When the process may not write that much; the output is to be dropped, and the process ended.
    pub(crate) fn add_out(&self, bytes: usize) -> Result<(), LimitExceeded> {
        let used = self.first().bytes_out.load(Ordering::Relaxed).saturating_add(bytes as u64);
        if let Some(allowed) = self.limits.max_output.filter(|allowed| used > *allowed) {
            return Err(LimitExceeded::new("max_output", Bytes(allowed), Bytes(used)));
        }
        // One guest writes from one thread at a time.
        self.first().bytes_out.store(used, Ordering::Relaxed);
        Ok(())
    }

    /// One more open file; `None` at the limit. It counts until the permit is dropped.
    pub(crate) fn open_file(self: &Arc<Self>) -> Option<Permit> {
        Permit::take(self, Held::File)
    }

    /// One more open socket; `None` at the limit. It counts until the permit is dropped.
    pub(crate) fn open_socket(self: &Arc<Self>) -> Option<Permit> {
        Permit::take(self, Held::Socket)
    }

    fn held(&self, held: Held) -> (&AtomicU64, Option<u64>) {
        match held {
            Held::File => (&self.first().files, self.limits.max_open_files),
            Held::Socket => (&self.first().sockets, self.limits.max_open_sockets),
        }
    }
}

/// Memory of the host that a process is charged with; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Charge {
    usage: Arc<Usage>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.usage.give_memory(self.bytes);
    }
}

/// What a permit is for.
#[derive(Clone, Copy, Debug)]
enum Held {
    File,
    Socket,
}

/// The right to hold one file or socket; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    usage: Arc<Usage>,
    held: Held,
}

impl Permit {
    /// The bookkeeping of who holds it.
    pub(crate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    fn take(usage: &Arc<Usage>, held: Held) -> Option<Self> {
        let (count, allowed) = usage.held(held);
        let allowed = allowed.unwrap_or(u64::MAX);
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < allowed).then_some(count + 1))
            .ok()
            .map(|_| Self { usage: Arc::clone(usage), held })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.usage.held(self.held).0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(set: impl FnOnce(&mut Limits)) -> Arc<Usage> {
        let mut limits = Limits::default();
        set(&mut limits);
        Arc::new(Usage::new(limits, 1_000))
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn wall_time_counts_from_birth() {
        let usage = usage(|limits| limits.max_execution = Some(Duration::from_millis(5)));
        assert_eq!(usage.wall_end_ns(), Some(1_000 + 5 * MS));
        assert_eq!(usage.check_time(999 + 5 * MS), Ok(()));
        let error = usage.check_time(1_000 + 5 * MS).unwrap_err();
        assert_eq!(error.to_string(), "limit `max_execution` exceeded: allowed 5ms, used 5ms");
        assert_eq!(usage.check_time(0), Ok(()), "a clock that was read before the birth");
        let forever = self::usage(|limits| limits.max_execution = Some(Duration::MAX));
        assert_eq!((forever.wall_end_ns(), forever.check_time(u64::MAX)), (Some(u64::MAX), Ok(())));
        assert_eq!(self::usage(|_| ()).wall_end_ns(), None);
    }

    #[test]
    fn time_in_steps_adds_up_and_the_present_one_counts() {
        let usage = usage(|limits| limits.max_cpu = Some(Duration::from_millis(3)));
        for begin in [0, 100 * MS] {
            usage.begin_step(begin);
            usage.end_step(begin + MS);
        }
        assert_eq!(usage.cpu(), Duration::from_millis(2));
        assert_eq!(usage.check_time(u64::MAX), Ok(()), "between steps no time is spent");
        usage.begin_step(200 * MS);
        assert_eq!(usage.check_time(201 * MS - 1), Ok(()));
        let error = usage.check_time(201 * MS).unwrap_err();
        assert_eq!((error.limit, error.allowed.as_str(), error.used.as_str()), ("max_cpu", "3ms", "3ms"));
    }

    #[test]
    fn a_slice_is_a_tick_or_what_was_asked_for() {
        let silent = usage(|_| ());
        silent.begin_step(0);
        assert!(silent.is_slice_over(0));
        let long = usage(|limits| limits.max_step = Some(Duration::from_millis(5)));
        long.begin_step(7 * MS);
        assert!(!long.is_slice_over(12 * MS - 1));
        assert!(long.is_slice_over(12 * MS));
    }

    #[test]
    fn memory_is_taken_up_to_the_limit_and_given_back() {
        let usage = usage(|limits| limits.max_memory = Some(100));
        assert_eq!(usage.take_memory(60), Ok(()));
        assert_eq!(usage.take_memory(40), Ok(()));
        let error = usage.take_memory(1).unwrap_err();
        assert_eq!(
            (error.limit, error.allowed.as_str(), error.used.as_str()),
            ("max_memory", "100 bytes", "101 bytes")
        );
        assert_eq!(usage.memory(), 100, "a refusal takes nothing");
        usage.give_memory(70);
        assert_eq!(usage.take_memory(u64::MAX).unwrap_err().used, format!("{} bytes", u64::MAX));
        assert_eq!((usage.memory(), usage.memory_peak()), (30, 100));
        let charge = usage.charge(50).unwrap();
        assert!(usage.memory() == 80 && usage.charge(21).is_err());
        drop(charge);
        assert_eq!(usage.memory(), 30);
        let endless = self::usage(|limits| limits.max_memory = None);
        assert_eq!(endless.take_memory(u64::MAX), Ok(()));
    }

    #[test]
    fn output_up_to_the_limit_is_written() {
        let usage = usage(|limits| limits.max_output = Some(10));
        assert_eq!((usage.add_out(4), usage.add_out(6), usage.add_out(0)), (Ok(()), Ok(()), Ok(())));
        let error = usage.add_out(1).unwrap_err();
        assert_eq!((error.limit, error.allowed.as_str(), error.used.as_str()), ("max_output", "10 bytes", "11 bytes"));
        assert_eq!(usage.bytes_out(), 10);
        usage.add_in(3);
        assert_eq!(usage.bytes_in(), 3);
    }

    #[test]
    fn files_and_sockets_count_while_they_are_open() {
        let usage = usage(|limits| (limits.max_open_files, limits.max_open_sockets) = (Some(2), Some(1)));
        let files = [usage.open_file(), usage.open_file()];
        assert!(files.iter().all(Option::is_some) && usage.open_file().is_none());
        let socket = usage.open_socket();
        assert!(socket.is_some() && usage.open_socket().is_none());
        drop(files);
        assert!(usage.open_file().is_some() && usage.open_socket().is_none());
        drop(socket);
        assert!(usage.open_socket().is_some());
    }

    #[test]
    fn bytes_are_told_in_the_largest_unit_that_fits() {
        let told = [0, 1, 1023, 1024, 1536, 64 << 20, 3 << 30].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(told, ["0 bytes", "1 bytes", "1023 bytes", "1 KiB", "1536 bytes", "64 MiB", "3 GiB"]);
    }
}
