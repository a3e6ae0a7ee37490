//! Functions: what is called by its entry ID and answers with a value.
//!
//! A function is a program and a pool. A call takes a slot of the pool and is a process of that program, with the limits of
//! its entry, from its first step to its exit; then the slot is the next one's. Knows no language: a function is made from any
//! [`Program`]. The way in is [`Functions::call`] for whoever embeds, [`WeakFunctions::call`] for guests; the way out is one
//! [`Answer`].
//!
//! Functions run on the first `process.host` of the application, in the order of declaration, or on its first
//! `terminal.host` when it has none.
//!
//! # Invariants
//! - A pool never does more calls at once than it has slots, and a slot is given back when the process of its call is gone.
//! - Who waits has its turn in the order of coming; a call that nobody wants any more leaves its place.
//! - A call ends with whoever holds its [`Call`]: a process that ends drops those that it has made.
//! - A call that could only wait for itself, through others perhaps, is refused.
//! - Nothing foreign is called with a lock held: programs, wakers, watchers.
//! - A pool in which nothing happens makes no wake-ups.

mod adaptive;
mod call;
mod error;
mod keeper;
mod options;
mod plan;
mod pool;
mod queue;
mod site;
#[cfg(all(test, not(wippy_loom)))]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

pub use call::{Answer, Call};
pub use error::{CallError, CallErrorKind};
pub use options::CallOptions;
pub use plan::PoolKind;
pub use pool::PoolStats;
pub use queue::OUTSIDE_MAX;

use call::{Asked, CallCell};
use error::parse_target;
use pool::Pool;
use site::Site;

use crate::process::{FormError, HostKind, Manager, Payload, Peers, Program};
use crate::reactor::Clock;
use crate::registry::{EntryId, Isolation, Pool as PoolSpec};

/// How deep function calls may nest: a bound for functions that call each other without end, where pools have slots enough.
pub const CALL_DEPTH_MAX: usize = 256;

/// A function: something that processes are made from, and how many of them at once.
#[non_exhaustive]
pub struct Function {
    /// What does the calls; its entry is the name of the function.
    pub program: Arc<dyn Program>,
    /// How many calls are done at once, and how many may wait.
    pub pool: PoolSpec,
    /// Whether each call has an instance of its own.
    pub isolation: Isolation,
}

impl Function {
    /// A function with this pool, and an instance for each call.
    #[must_use]
    pub fn new(program: Arc<dyn Program>, pool: PoolSpec) -> Self {
        Self { program, pool, isolation: Isolation::Fresh }
    }

    /// The function with this isolation. One whose processes do not [leave](crate::process::Process::leave) their instances
    /// has fresh ones all the same.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.program.entry();
        f.debug_struct("Function").field("entry", entry).field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// The functions of a runtime. Cheap to clone; programs that call functions hold a [`WeakFunctions`].
#[derive(Clone)]
pub struct Functions(Arc<Room>);

/// The functions of a runtime, for whoever does not keep them alive: programs are made before the functions are, and are a
/// part of them.
#[derive(Clone, Default)]
pub struct WeakFunctions(Weak<Room>);

#[derive(Default)]
struct Room {
    /// Once the runtime is there.
    open: OnceLock<Open>,
    next: AtomicU64,
}

/// What there is to call.
struct Open {
    pools: HashMap<EntryId, Arc<Pool>>,
    /// Where they run.
    host: Option<EntryId>,
}

impl Functions {
    /// No functions yet; until [`Functions::open`] every call is refused.
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Makes these functions callable; they run on a host of `manager`. Once.
    pub(crate) fn open(&self, functions: impl IntoIterator<Item = Function>, manager: &Arc<Manager>, clock: Clock) {
        let of_kind = |kind| manager.hosts().find(|host| host.kind() == kind);
        let host = of_kind(HostKind::Process).or_else(|| of_kind(HostKind::Terminal)).map(|host| host.id().clone());
        let running_on = host.clone();
        let site =
            Arc::new(Site { manager: Arc::downgrade(manager), host: running_on, clock, nested: Default::default() });
        let pools = functions.into_iter().map(|function| {
            let pool = Pool::new(function, Arc::clone(&site));
            (pool.entry().clone(), pool)
        });
        let _ = self.0.open.set(Open { pools: pools.collect(), host });
    }

    pub(crate) fn downgrade(&self) -> WeakFunctions {
        WeakFunctions(Arc::downgrade(&self.0))
    }

    /// Calls a function with these arguments. When as many calls wait for it as may, this one waits until there is room.
    pub fn call(&self, target: &str, input: Vec<Payload>) -> Call {
        self.0.call(None, target, (input, CallOptions::default()), true)
    }

    /// [`Functions::call`], which is refused with [`CallError::Busy`] when as many calls wait as may.
    pub fn try_call(&self, target: &str, input: Vec<Payload>) -> Call {
        self.0.call(None, target, (input, CallOptions::default()), false)
    }

    /// The IDs of the functions there are, sorted.
    #[must_use]
    pub fn entries(&self) -> Vec<EntryId> {
        let mut entries: Vec<_> = self.0.pools().map(|pool| pool.entry().clone()).collect();
        entries.sort();
        entries
    }

    /// How the pool of a function stands; `None` when there is no such function.
    #[must_use]
    pub fn stats(&self, entry: &EntryId) -> Option<PoolStats> {
        self.0.open.get()?.pools.get(entry).map(|pool| pool.stats())
    }

    /// The host on which they run; `None` when the application has none, so that no function can be called.
    #[must_use]
    pub fn host(&self) -> Option<&EntryId> {
        self.0.open.get()?.host.as_ref()
    }

    /// Takes no call from now on. Those that were admitted go on.
    pub(crate) fn close(&self) {
        self.0.pools().for_each(Pool::close);
    }

    /// Waits until no call is left that was admitted, or until the deadline; without one it has no end. Not for workers.
    pub(crate) fn wait_quiet(&self, deadline: Option<Instant>) -> bool {
        self.0.pools().all(|pool| pool.wait_quiet(deadline))
    }

    /// Refuses the calls that still wait for a slot.
    pub(crate) fn abandon(&self) {
        self.0.pools().for_each(Pool::abandon);
    }
}

impl WeakFunctions {
    /// [`Functions::call`] by a process. The call ends with the answer that is returned here, so it is kept where the process
    /// keeps what ends with it.
    pub fn call(&self, caller: &Peers, target: &str, input: Vec<Payload>) -> Call {
        self.call_with(caller, target, input, CallOptions::default())
    }

    /// [`WeakFunctions::call`] with what the process of the call has beside its arguments.
    pub fn call_with(&self, caller: &Peers, target: &str, input: Vec<Payload>, options: CallOptions) -> Call {
        match self.0.upgrade() {
            Some(room) => room.call(Some(caller), target, (input, options), true),
            None => Call::refused(parse_target(target).map_or_else(|error| error, |entry| CallError::Closed { entry })),
        }
    }

    /// What a function has answered, in the form in which a script is to see it.
    ///
    /// # Errors
    /// See [`Program::for_scripts`].
    pub fn for_scripts<'a>(&self, entry: &EntryId, value: &'a Payload) -> Result<Cow<'a, Payload>, FormError> {
        let room = self.0.upgrade();
        match room.as_ref().and_then(|room| room.open.get()?.pools.get(entry)) {
            Some(pool) => pool.program().for_scripts(value),
            None => Ok(Cow::Borrowed(value)),
        }
    }
}

impl Room {
    fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.open.get().into_iter().flat_map(|open| open.pools.values())
    }

    fn call(&self, caller: Option<&Peers>, target: &str, asked: Asked, waits: bool) -> Call {
        self.begin(caller, target, asked, waits).unwrap_or_else(Call::refused)
    }

    fn begin(&self, caller: Option<&Peers>, target: &str, asked: Asked, waits: bool) -> Result<Call, CallError> {
        let entry = parse_target(target)?;
        let pool = self.pool_for(caller, &entry, &asked.1)?;
        let calls = caller.map(Peers::calls).cloned().unwrap_or_default();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let cell = CallCell::new(number, calls.then(number, entry), caller.cloned(), asked);
        pool.enter(&cell, waits)?;
        Ok(Call::new(cell, Arc::clone(pool)))
    }

    /// The pool that does this call, for this caller; none is a program that embeds. The one place where a call is refused
    /// for the sake of who calls whom: nothing was taken yet.
    fn pool_for(
        &self,
        caller: Option<&Peers>,
        entry: &EntryId,
        options: &CallOptions,
    ) -> Result<&Arc<Pool>, CallError> {
        let Some(Open { pools, .. }) = self.open.get() else { return Err(CallError::Closed { entry: entry.clone() }) };
        if let Some(caller) = caller {
            // Before it is known whether it exists: that is nothing for who may not call it.
            let allowed = caller.check_allowed("funcs.call", "call function", entry);
            allowed.map_err(|_| CallError::Denied { entry: entry.clone() })?;
            let allowed = options.check(caller);
            allowed.map_err(|denied| CallError::DeniedOptions { entry: entry.clone(), denied })?;
        }
        let pool = pools.get(entry).ok_or_else(|| CallError::not_found(entry, pools.keys()))?;
        if caller.is_some_and(|caller| caller.calls().depth() >= CALL_DEPTH_MAX) {
            return Err(CallError::TooDeep { entry: entry.clone(), allowed: CALL_DEPTH_MAX });
        }
        Ok(pool)
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Functions").field(&self.entries()).finish()
    }
}
