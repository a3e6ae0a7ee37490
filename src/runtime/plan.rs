//! The hosts of a runtime, as the application and the builder say: ticker, ceiling, and what each host is made of.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::process::{
    Bound, Bounds, Ceiling, Host, HostKind, HostRules, MAILBOX_BYTES, MAILBOX_MESSAGES, Machinery, MailboxBounds,
    Resource,
};
use crate::reactor::{BlockingPool, Clock, Reactor, ReactorConfig};
use crate::registry::{ProcessHost, Registry, Spec};
use crate::scheduler::{REPLACEMENTS_MAX, Scheduler, StepObserver, Ticker};
use crate::sync::cores;
use crate::wasm::{Allocator, KEPT_MAPPINGS, Supply};

/// The number of the first process of a runtime.
const FIRST_PROCESS: u64 = 1;

/// Free slots keep no more than this part of the mappings there are.
const KEPT_PART: u64 = 8;

/// What hosts are made with.
pub(super) struct HostPlan {
    pub(super) clock: Clock,
    pub(super) workers: Option<usize>,
    pub(super) tick: Duration,
    pub(super) blocking: BlockingPool,
    pub(super) observer: Option<Arc<dyn StepObserver>>,
    pub(super) max_processes: u64,
    /// Where the memories and stacks of processes come from.
    pub(super) supply: Supply,
}

impl HostPlan {
    /// What the system allows, and what the embedder does.
    pub(super) fn ceiling(&self, mut system: Vec<Bound>) -> Ceiling {
        let own = (self.max_processes > 0)
            .then(|| Bound::new(Resource::Processes, self.max_processes, 0, 0, "RuntimeBuilder::max_processes"));
        // Each engine has a pool of this size: whoever has its slots here finds as many in that of its engine. The slabs are
        // one for all.
        let slots = self.supply.slots().map(|slots| Bound::new(Resource::Slots, slots, 0, 0, self.supply.advice()));
        if self.supply.allocator == Allocator::Slab {
            for bound in system.iter_mut().filter(|bound| bound.resource == Resource::Mappings) {
                bound.reserved += KEPT_MAPPINGS.min(bound.limit / KEPT_PART);
            }
        }
        Ceiling::new(own.into_iter().chain(slots).chain(system).collect())
    }

    /// The ticker: a thread for the real clock, and advances of a manual one.
    pub(super) fn ticker(&self) -> io::Result<Ticker> {
        if !self.clock.is_manual() {
            return Ticker::start(self.tick);
        }
        let ticker = Ticker::manual();
        let ticking = ticker.clone();
        // An advance of any length is one tick: ticks say "look up", they do not measure.
        self.clock.on_advance(move |_| ticking.tick()).map_err(io::Error::other)?;
        Ok(ticker)
    }

    pub(super) fn hosts(&self, registry: &Registry, ticker: &Ticker, ceiling: &Ceiling) -> Vec<Host> {
        let next = Arc::new(AtomicU64::new(FIRST_PROCESS));
        let mut hosts = Vec::new();
        for entry in registry.iter() {
            let (kind, workers, rules) = match entry.spec() {
                Spec::ProcessHost(host) => {
                    (HostKind::Process, self.workers.or(host.workers).unwrap_or_else(cores), rules_of(host))
                }
                Spec::TerminalHost(host) => {
                    let stop_timeout = host.lifecycle.stop_timeout;
                    (HostKind::Terminal, 1, HostRules { stop_timeout, ..HostRules::default() })
                }
                _ => continue,
            };
            let (id, ticker, clock) = (entry.id().clone(), ticker.clone(), self.clock.clone());
            let (blocking, observer) = (self.blocking.clone(), self.observer.clone());
            let replacements = if rules.allow_preempt_none { REPLACEMENTS_MAX } else { 0 };
            hosts.push(Host::new(entry.id().clone(), kind, rules, Arc::clone(&next), ceiling.clone(), move || {
                let reactor = Reactor::new(clock.clone(), ReactorConfig::default().with_blocking(blocking.clone()))?;
                let mut scheduler = Scheduler::builder(id.name())
                    .workers(workers)
                    .replacements(replacements)
                    .driver(Arc::clone(&reactor) as _)
                    .ticker(&ticker);
                if let Some(observer) = &observer {
                    scheduler = scheduler.observe(Arc::clone(observer));
                }
                Ok(Machinery { scheduler: scheduler.build()?, reactor })
            }));
        }
        hosts
    }
}

/// What a `process.host` declares for its processes.
fn rules_of(host: &ProcessHost) -> HostRules {
    let size =
        |count: Option<u64>, default| count.map_or(default, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let bound = |count| size(count, usize::MAX);
    HostRules {
        bounds: Bounds { processes: bound(host.max_processes), queued: bound(host.max_queued) },
        default_limits: host.default_limits.clone(),
        ceilings: host.limits.clone(),
        mailbox: MailboxBounds {
            messages: size(host.mailbox.max_messages, MAILBOX_MESSAGES),
            bytes: size(host.mailbox.max_bytes, MAILBOX_BYTES),
        },
        drop_oldest: host.mailbox.drop_oldest.iter().filter_map(|topic| topic.parse().ok()).collect(),
        allow_preempt_none: host.allow_preempt_none,
        stop_timeout: host.lifecycle.stop_timeout,
    }
}
