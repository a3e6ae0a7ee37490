//! A host for the tests of rooms that know no schedulers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{Bounds, Ceiling, Host, HostKind, HostRules, Machinery};
use crate::reactor::{Clock, Reactor, ReactorConfig};
use crate::registry::EntryId;
use crate::scheduler::{Scheduler, Ticker};

/// A `process.host` with two workers under this clock, on which so many processes may live. Nothing ticks.
pub(crate) fn host(id: EntryId, clock: Clock, max_processes: usize) -> Host {
    let rules = HostRules { bounds: Bounds { processes: max_processes, ..Bounds::NONE }, ..HostRules::default() };
    let (next, ceiling, ticker) = (Arc::new(AtomicU64::new(1)), Ceiling::new(Vec::new()), Ticker::manual());
    Host::new(id, HostKind::Process, rules, next, ceiling, move || {
        let reactor = Reactor::new(clock.clone(), ReactorConfig::default())?;
        let builder = Scheduler::builder("host").workers(2).driver(Arc::clone(&reactor) as _);
        Ok(Machinery { scheduler: builder.ticker(&ticker).build()?, reactor })
    })
}
