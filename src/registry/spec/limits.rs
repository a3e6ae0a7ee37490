//! The `limits` block, and `preempt`.

use std::time::Duration;

use super::super::fields::Fields;
use crate::limits::Limits;

/// The limits that an entry or a host names. In every field `None` means silent (the host decides, then the default) and
/// zero means explicitly without limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsSpec {
    /// Wall time from spawn: `max_execution`, or Wippy's `max_execution_ms`.
    pub max_execution: Option<Duration>,
    /// Time spent in steps.
    pub max_cpu: Option<Duration>,
    /// The longest time without a yield point when others wait.
    pub max_step: Option<Duration>,
    /// Instructions.
    pub max_fuel: Option<u64>,
    /// Bytes of linear memories, tables and host-side buffers together.
    pub max_memory: Option<u64>,
    /// Bytes of the guest's stack.
    pub max_stack: Option<u64>,
    /// Core instances.
    pub max_instances: Option<u64>,
    /// Tables.
    pub max_tables: Option<u64>,
    /// WASI resources.
    pub max_handles: Option<u64>,
    /// Bytes written to stdout and stderr.
    pub max_output: Option<u64>,
    /// Sockets open at once.
    pub max_open_sockets: Option<u64>,
    /// Files open at once.
    pub max_open_files: Option<u64>,
}

impl LimitsSpec {
    /// Reads the field `name`.
    pub(super) fn decode(f: &mut Fields<'_, '_>, name: &'static str) -> Self {
        f.nested(name, Self::decode_fields)
    }

    fn decode_fields(f: &mut Fields<'_, '_>) -> Self {
        let in_ms = f.count("max_execution_ms", MAX_MILLIS, "limits.max_execution_ms cannot be negative");
        let in_ms = in_ms.map(Duration::from_millis);
        let execution = f.duration("max_execution");
        if let (Some(ms), Some(text)) = (in_ms, execution)
            && ms != text
        {
            let message = "`max_execution` and `max_execution_ms` are both given and differ";
            let problem = f.problem("conflict", "max_execution", message).help("keep one of them");
            f.error(problem);
        }
        let mut count = |name| f.long_count(name, &format!("limits.{name} cannot be negative"));
        let [max_fuel, max_instances, max_tables, max_handles, max_open_sockets, max_open_files] =
            ["max_fuel", "max_instances", "max_tables", "max_handles", "max_open_sockets", "max_open_files"]
                .map(&mut count);
        let mut bytes = |name| f.bytes(name, &format!("limits.{name} cannot be negative"));
        let [max_memory, max_stack, max_output] = ["max_memory", "max_stack", "max_output"].map(&mut bytes);
        Self {
            max_execution: execution.or(in_ms),
            max_cpu: f.duration("max_cpu"),
            max_step: f.duration("max_step"),
            max_fuel,
            max_memory,
            max_stack,
            max_instances,
            max_tables,
            max_handles,
            max_output,
            max_open_sockets,
            max_open_files,
        }
    }
}

impl LimitsSpec {
    /// These limits, and where they are silent the others.
    ///
    /// ```
    /// use wippy::registry::LimitsSpec;
    ///
    /// let memory = |bytes| LimitsSpec { max_memory: Some(bytes), ..LimitsSpec::default() };
    /// assert_eq!(memory(1).or(&memory(2)), memory(1));
    /// assert_eq!(LimitsSpec::default().or(&memory(2)), memory(2));
    /// ```
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        Self {
            max_execution: self.max_execution.or(others.max_execution),
            max_cpu: self.max_cpu.or(others.max_cpu),
            max_step: self.max_step.or(others.max_step),
            max_fuel: self.max_fuel.or(others.max_fuel),
            max_memory: self.max_memory.or(others.max_memory),
            max_stack: self.max_stack.or(others.max_stack),
            max_instances: self.max_instances.or(others.max_instances),
            max_tables: self.max_tables.or(others.max_tables),
            max_handles: self.max_handles.or(others.max_handles),
            max_output: self.max_output.or(others.max_output),
            max_open_sockets: self.max_open_sockets.or(others.max_open_sockets),
            max_open_files: self.max_open_files.or(others.max_open_files),
        }
    }

    /// The limits of a process: field by field the first of `layers` that is not silent, else what [`Limits::default`]
    /// says, and never beyond `ceilings`.
    ///
    /// ```
    /// use wippy::registry::LimitsSpec;
    ///
    /// let memory = |bytes| LimitsSpec { max_memory: Some(bytes), ..LimitsSpec::default() };
    /// let silent = LimitsSpec::default();
    /// assert_eq!(LimitsSpec::resolve(&[&silent, &memory(5)], &silent).max_memory, Some(5));
    /// assert_eq!(LimitsSpec::resolve(&[&memory(0)], &silent).max_memory, None);
    /// assert_eq!(LimitsSpec::resolve(&[&memory(0)], &memory(7)).max_memory, Some(7));
    /// ```
    #[must_use]
    pub fn resolve(layers: &[&Self], ceilings: &Self) -> Limits {
        fn settle<T: Copy + Default + Ord>(
            layers: &[&LimitsSpec],
            ceilings: &LimitsSpec,
            field: impl Fn(&LimitsSpec) -> Option<T>,
            fallback: Option<T>,
        ) -> Option<T> {
            let limit = |value: &T| *value != T::default();
            let value = match layers.iter().find_map(|layer| field(layer)) {
                Some(value) => Some(value).filter(limit),
                None => fallback,
            };
            match (value, field(ceilings).filter(limit)) {
                (Some(value), Some(ceiling)) => Some(value.min(ceiling)),
                (value, ceiling) => value.or(ceiling),
            }
        }
        let mut limits = Limits::default();
        macro_rules! settle {
            ($($field:ident),*) => {
                $(limits.$field = settle(layers, ceilings, |layer| layer.$field, limits.$field);)*
            };
        }
        settle!(
            max_execution,
            max_cpu,
            max_step,
            max_fuel,
            max_memory,
            max_stack,
            max_instances,
            max_tables,
            max_handles,
            max_output,
            max_open_sockets,
            max_open_files
        );
        limits
    }
}

/// The longest time in milliseconds that fits Go's durations, 292 years.
const MAX_MILLIS: u64 = i64::MAX as u64 / 1_000_000;

/// How a computing guest is kept from holding its worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preempt {
    /// It is interrupted at the end of its slice.
    #[default]
    Epoch,
    /// It is compiled without checks; only hosts that allow it run it.
    None,
}

impl Preempt {
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Self {
        f.word("preempt", &[("epoch", Self::Epoch), ("none", Self::None)], "invalid preempt mode").unwrap_or_default()
    }
}
