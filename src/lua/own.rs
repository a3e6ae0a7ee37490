//! A process as its own script knows it: what the functions of the modules work with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use mlua::{Lua, Thread};
use parking_lot::Mutex;

use super::call::{Answer, Reply, Waiting};
use super::drive::Coroutines;
use super::meter::Meter;
use super::pool::Turns;
use super::ports::Ports;
use super::program::Shared;
use super::terminal::Streams;
use super::upgrade::Next;
use crate::limits::{Charge, LimitExceeded, Usage, WaitReason};
use crate::process::{Birth, Exit, Inbox, Peers, Pid, Stdio, Tasks};
use crate::reactor::Reactor;
use crate::registry::EntryId;

/// What a process has of the world. Shared by the functions of its VM and by its driver, which are never in it at once: a
/// step is on one thread, and no lock is held while Lua runs.
pub(super) struct Own {
    pub(super) entry: EntryId,
    pub(super) inbox: Inbox,
    pub(super) peers: Peers,
    pub(super) reactor: Arc<Reactor>,
    pub(super) tasks: Tasks,
    /// What all scripts of the application have.
    pub(super) shared: Arc<Shared>,
    /// Who of its coroutines may use the blocking pool.
    pub(super) turns: Arc<Turns>,
    pub(super) usage: Arc<Usage>,
    pub(super) meter: Meter,
    /// Who may take what comes in.
    pub(super) ports: Ports,
    /// The standard streams; none on a host that is no terminal.
    pub(super) streams: Mutex<Option<Streams>>,
    /// What the coroutine that is about to yield waits for.
    pub(super) pending: Mutex<Option<(WaitReason, Waiting)>>,
    /// What the process goes on as, once the coroutine that wants it has yielded.
    pub(super) next: Mutex<Option<Box<Next>>>,
    /// What functions want of the driver, done when the coroutine that called has yielded or ended.
    pub(super) orders: Mutex<Vec<Order>>,
    /// What wakes the process.
    waker: Mutex<Waker>,
    next_task: AtomicU64,
    /// Coroutines and tasks that the driver has, for the bound.
    pub(super) held: AtomicUsize,
    pub(super) coroutines: Mutex<Coroutines>,
    /// Bytes of the VM that the process is charged with.
    charged: Mutex<u64>,
    /// The stack of the last error that nobody caught.
    pub(super) trace: Mutex<Option<String>>,
}

/// A charge for what an object holds outside of its VM. Copies of the object are made to leave it, and hold none; two are
/// equal whatever they hold.
#[derive(Debug, Default)]
pub(super) struct Held {
    _charge: Option<Charge>,
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The process that this VM belongs to: a VM that is kept belongs to one after the other, so nothing in it may hold one.
pub(super) fn of(lua: &Lua) -> mlua::Result<Arc<Own>> {
    // Taken out of the cell: the collector may drop objects, and what they do is not known here.
    let own = lua.app_data_ref::<Arc<Own>>().map(|own| Arc::clone(&own));
    own.ok_or_else(|| mlua::Error::runtime("this VM belongs to no process"))
}

/// Charges the process of this VM with what an object of it holds outside of it, see [`Own::hold`].
pub(super) fn hold(lua: &Lua, bytes: usize) -> mlua::Result<Held> {
    let own = lua.app_data_ref::<Arc<Own>>().map(|own| Arc::clone(&own));
    Ok(Held { _charge: own.map(|own| own.hold(lua, bytes)).transpose()? })
}

/// Something that the driver does.
pub(super) enum Order {
    /// Goes on with a coroutine that was parked.
    Unpark(Thread),
    /// Starts a coroutine of its own.
    Start(Thread, mlua::MultiValue),
    /// Polls a future beside the coroutines; its result goes to `core.complete` with this number.
    Beside(u64, WaitReason, Waiting),
    /// Drops such a future.
    Drop(u64),
}

impl Drop for Own {
    fn drop(&mut self) {
        self.usage.give_memory(*self.charged.lock());
    }
}

impl Own {
    pub(super) fn new(birth: Birth, shared: Arc<Shared>, streams: Option<Streams>) -> Arc<Self> {
        debug_assert!(streams.is_none() || matches!(birth.stdio, Stdio::Terminal));
        let (entry, reactor, tasks) = (birth.entry().clone(), Arc::clone(birth.reactor()), birth.tasks().clone());
        let (inbox, usage) = (birth.inbox(), Arc::clone(birth.usage()));
        Self::made(entry, inbox, birth.peers, reactor, tasks, shared, usage, streams)
    }

    /// The same process in its next life: its mailbox, its peers and its counters are as they were, and its streams move. All
    /// that its VM holds stays behind.
    pub(super) fn successor(&self, entry: EntryId) -> Arc<Self> {
        let (reactor, shared, usage) = (Arc::clone(&self.reactor), Arc::clone(&self.shared), Arc::clone(&self.usage));
        let (inbox, peers, tasks) = (self.inbox.clone(), self.peers.clone(), self.tasks.clone());
        Self::made(entry, inbox, peers, reactor, tasks, shared, usage, self.streams.lock().take())
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of a process, and nobody else puts them together")]
    fn made(
        entry: EntryId,
        inbox: Inbox,
        peers: Peers,
        reactor: Arc<Reactor>,
        tasks: Tasks,
        shared: Arc<Shared>,
        usage: Arc<Usage>,
        streams: Option<Streams>,
    ) -> Arc<Self> {
        let meter = Meter::new(Arc::clone(&shared.ticks), Arc::clone(&usage), reactor.clock().clone());
        Arc::new(Self {
            entry,
            inbox,
            peers,
            reactor,
            tasks,
            shared,
            turns: Arc::default(),
            usage,
            meter,
            ports: Ports::default(),
            streams: Mutex::new(streams),
            pending: Mutex::new(None),
            next: Mutex::default(),
            orders: Mutex::default(),
            waker: Mutex::new(Waker::noop().clone()),
            next_task: AtomicU64::new(1),
            held: AtomicUsize::new(0),
            coroutines: Mutex::default(),
            charged: Mutex::default(),
            trace: Mutex::default(),
        })
    }

    pub(super) fn pid(&self) -> &Pid {
        self.peers.pid()
    }

    /// A step begins: what wakes the process from now on.
    pub(super) fn enter(&self, context: &Context<'_>) {
        let mut waker = self.waker.lock();
        if !waker.will_wake(context.waker()) {
            waker.clone_from(context.waker());
        }
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.lock().clone()
    }

    pub(super) fn order(&self, order: Order) {
        self.orders.lock().push(order);
    }

    /// Has `waiting` polled beside the coroutines, until it ends or [`Order::Drop`] says otherwise. Its number, for
    /// `core.when`; none at the bound of what a process may hold.
    pub(super) fn beside(&self, reason: WaitReason, waiting: Waiting) -> Option<u64> {
        if !self.has_room() {
            return None;
        }
        let id = self.next_task.fetch_add(1, Ordering::Relaxed);
        self.order(Order::Beside(id, reason, waiting));
        Some(id)
    }

    /// Ends the process like this, for example at a limit that the caller has reached; the caller waits for that.
    pub(super) fn end(&self, exit: Exit) -> Answer {
        self.meter.end(exit);
        Reply::wait(WaitReason::Output, std::future::pending::<()>(), |_, ()| Reply::none())
    }

    /// Charges the process with what its VM takes now.
    ///
    /// # Errors
    /// With what the host holds for it, that is more than it may have.
    pub(super) fn account(&self, bytes: usize) -> Result<(), LimitExceeded> {
        let bytes = bytes as u64;
        let mut charged = self.charged.lock();
        match bytes.checked_sub(*charged) {
            Some(more) => self.usage.take_memory(more)?,
            None => self.usage.give_memory(*charged - bytes),
        }
        *charged = bytes;
        Ok(())
    }

    /// Its VM was that of another process, whose usage this one's follows: what that was charged with, this one is.
    pub(super) fn take_charge_of(&self, before: &Self) {
        let charged = std::mem::take(&mut *before.charged.lock());
        *self.charged.lock() = charged;
    }

    /// Whether nothing of its script would go on: no coroutine that runs or waits, nothing that it was to be told of.
    pub(super) fn is_quiet(&self) -> bool {
        self.orders.lock().is_empty() && self.ports.is_quiet() && self.coroutines.lock().is_quiet()
    }

    /// Whether it may have another coroutine or task: `max_handles` bounds them.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.orders.lock().len();
        ((self.held.load(Ordering::Relaxed) + waiting) as u64) < self.allowed()
    }

    /// How many coroutines and tasks it may have.
    pub(super) fn allowed(&self) -> u64 {
        self.usage.limits().max_handles.unwrap_or(u64::MAX)
    }

    /// Charges the process with what an object of its VM holds outside of it: Lua's collector and its limit do not see that.
    /// At the limit what nobody holds any more is collected first.
    pub(super) fn hold(self: &Arc<Self>, lua: &Lua, bytes: usize) -> mlua::Result<Charge> {
        if let Ok(charge) = self.usage.charge(bytes) {
            return Ok(charge);
        }
        lua.gc_collect()?;
        // What the VM gave back is not charged any more.
        let _ = self.account(lua.used_memory());
        self.usage.charge(bytes).map_err(|_| mlua::Error::MemoryError("not enough memory".to_owned()))
    }
}
