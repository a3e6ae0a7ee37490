//! The engines that the code of an entry is compiled for.

use super::guest::GuestSpec;
use crate::limits::Limits;
use crate::registry::{Diagnostic, Entry, LimitsSpec, Preempt, ProcessHost, Registry, Severity, Spec};
use crate::wasm::allocator::Allocator;
use crate::wasm::engine::EngineClass;

/// What the hosts of an application say of limits and preemption: which engines an entry needs.
pub(super) struct Classes<'r> {
    hosts: Vec<&'r ProcessHost>,
    allocator: Allocator,
}

impl<'r> Classes<'r> {
    pub(super) fn of(registry: &'r Registry, allocator: Allocator) -> Self {
        let hosts = registry.iter().filter_map(|entry| match entry.spec() {
            Spec::ProcessHost(host) => Some(host),
            _ => None,
        });
        Self { hosts: hosts.collect(), allocator }
    }

    /// The hosts that take an entry, as far as preemption goes.
    fn taking(&self, preempt: Preempt) -> impl Iterator<Item = &'r ProcessHost> {
        self.hosts.iter().copied().filter(move |host| preempt != Preempt::None || host.allow_preempt_none)
    }

    /// What a process of the entry may use, for each kind of host: one without limits first. A terminal is such a host,
    /// and most applications have no other kind.
    fn limits(&self, spec: &GuestSpec<'_>) -> Vec<Limits> {
        let silent = LimitsSpec::default();
        let resolve =
            |defaults: &LimitsSpec, ceilings: &LimitsSpec| LimitsSpec::resolve(&[spec.limits, defaults], ceilings);
        let on =
            |host: &ProcessHost| Limits { crowd: host.max_processes, ..resolve(&host.default_limits, &host.limits) };
        let declared: Vec<_> = self.taking(spec.preempt).map(on).collect();
        // An entry that nobody takes is compiled all the same, so that what is wrong with it is told.
        let is_taken_by_terminals = spec.preempt != Preempt::None || declared.is_empty();
        is_taken_by_terminals.then(|| resolve(&silent, &silent)).into_iter().chain(declared).collect()
    }

    /// The classes in which a binary of this size is needed.
    pub(super) fn needed(&self, binary: usize, spec: &GuestSpec<'_>) -> Vec<EngineClass> {
        let mut classes = Vec::new();
        for limits in self.limits(spec) {
            let class = EngineClass::of(binary, &limits, spec.preempt, self.allocator);
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
    }
}

/// What `preempt: none` costs: hosts that do not take the entry, limits that can't be kept while it computes.
pub(super) fn warn_of_preempt_none(
    entry: &Entry,
    spec: &GuestSpec<'_>,
    classes: &Classes<'_>,
    problems: &mut Vec<Diagnostic>,
) {
    if spec.preempt != Preempt::None {
        return;
    }
    let mut warn = |code, message: &str, help: &str| {
        problems.push(entry.problem(Severity::Warning, code, &["preempt"], message.to_owned()).help(help.to_owned()));
    };
    if classes.taking(spec.preempt).next().is_none() {
        warn(
            "preempt-not-allowed",
            "no host takes an entry with `preempt: none`",
            "write `allow_preempt_none: true` under `host:` of a `process.host`",
        );
    }
    let limits = classes.limits(spec);
    let late = [
        ("max_execution", limits.iter().any(|limits| limits.max_execution.is_some())),
        ("max_cpu", limits.iter().any(|limits| limits.max_cpu.is_some())),
    ];
    for (limit, _) in late.into_iter().filter(|(_, is_set)| *is_set) {
        warn(
            "limit-not-enforced",
            &format!("with `preempt: none`, `{limit}` ends no loop: it acts when the guest calls its host"),
            "`max_fuel` ends loops too",
        );
    }
}
