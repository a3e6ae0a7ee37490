//! The pool of one function: its slots, the calls that have one, and those that wait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant as WallInstant};

use parking_lot::{Condvar, Mutex};

use super::adaptive::{self, Controller, Seen};
use super::call::{Answer, Asked, CallCell};
use super::error::CallError;
use super::plan::{PoolKind, PoolPlan};
use super::queue::Queue;
use super::site::Site;
use super::{Function, keeper};
use crate::process::{Exit, Keep, Payload, Pid, ProcessHandle, Program, SpawnError, Start, Watcher};
use crate::reactor::Instant;
use crate::registry::{EntryId, Isolation};

/// How long the idle slots of a lazy pool stay after the last call began or ended.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(30);

/// A function and its calls.
pub(super) struct Pool {
    entry: EntryId,
    program: Arc<dyn Program>,
    plan: PoolPlan,
    isolation: Isolation,
    site: Arc<Site>,
    state: Mutex<State>,
    /// Told when no call is left that was admitted.
    quiet: Condvar,
}

/// The right to do one call at a time, and the instance that does them, where one is kept.
#[derive(Clone)]
pub(super) struct Slot {
    keep: Option<Keep>,
}

struct State {
    /// Slots there are, busy or idle.
    slots: usize,
    /// Slots there are to be at most: more than that are given up when they become idle.
    slots_wanted: usize,
    idle: Vec<Slot>,
    /// The numbers of the calls that have a slot.
    running: BTreeSet<u64>,
    queue: Queue,
    is_closed: bool,
    completed: u64,
    /// When a call last began or ended.
    active: Instant,
    /// Somebody looks after the number of slots.
    is_tended: bool,
    controller: Controller,
    /// `completed` at the last tick of the controller.
    completed_before: u64,
}

/// How a pool stands: a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// How its slots come and go.
    pub kind: PoolKind,
    /// Slots there are.
    pub slots: usize,
    /// The most there may be.
    pub slots_max: usize,
    /// Slots in which a call is done.
    pub busy: usize,
    /// Idle slots that have kept the instance of their last call.
    pub kept: usize,
    /// Calls that wait for a slot.
    pub queued: usize,
    /// The most that may.
    pub queued_max: usize,
    /// Calls that wait outside, until the queue has room.
    pub outside: usize,
    /// Calls that had a slot and have ended.
    pub completed: u64,
}

/// A call whose turn it is, and the slot it has.
pub(super) type Turn = (Arc<CallCell>, Slot);

impl State {
    /// A slot for a call that comes now; none when others wait, or all slots are busy.
    fn take_slot(&mut self, pool: &Pool, call: &CallCell, now: Instant) -> Option<Slot> {
        if !self.queue.is_empty() {
            return None;
        }
        let slot = match self.idle.pop() {
            Some(slot) => slot,
            None if self.slots < self.slots_wanted => {
                self.slots += 1;
                pool.slot()
            }
            None => return None,
        };
        self.active = now;
        self.running.insert(call.number());
        Some(slot)
    }

    /// The call that has waited longest gets this slot.
    fn next_turn(&mut self, slot: Slot) -> Result<Turn, Slot> {
        match self.queue.pop() {
            Some(call) => {
                self.running.insert(call.number());
                Ok((call, slot))
            }
            None => Err(slot),
        }
    }

    fn is_quiet(&self) -> bool {
        self.running.is_empty() && self.queue.is_empty()
    }

    fn wants_keeper(&self, kind: PoolKind) -> bool {
        match kind {
            PoolKind::Inline | PoolKind::Static => false,
            PoolKind::Lazy => self.slots > 0,
            PoolKind::Adaptive => self.slots_wanted > 1 || !self.queue.is_empty() || !self.controller.is_at_rest(),
        }
    }
}

impl Pool {
    fn slot(&self) -> Slot {
        Slot { keep: (self.isolation == Isolation::Reuse).then(Keep::default) }
    }

    pub(super) fn new(function: Function, site: Arc<Site>) -> Arc<Self> {
        let plan = PoolPlan::of(&function.pool);
        let state = State {
            slots: 0,
            slots_wanted: plan.slots_allowed(),
            idle: Vec::new(),
            running: BTreeSet::new(),
            queue: Queue::default(),
            is_closed: false,
            completed: 0,
            active: site.clock.now(),
            is_tended: false,
            controller: Controller::default(),
            completed_before: 0,
        };
        let entry = function.program.entry().clone();
        let (program, isolation, state) = (function.program, function.isolation, Mutex::new(state));
        let pool = Arc::new(Self { entry, program, plan, isolation, site, state, quiet: Condvar::new() });
        {
            let mut state = pool.state.lock();
            state.slots = plan.slots_first();
            state.idle = (0..state.slots).map(|_| pool.slot()).collect();
        }
        pool
    }

    pub(super) fn program(&self) -> &dyn Program {
        &*self.program
    }

    pub(super) fn entry(&self) -> &EntryId {
        &self.entry
    }

    pub(super) fn stats(&self) -> PoolStats {
        let state = self.state.lock();
        PoolStats {
            kind: self.plan.kind,
            slots: state.slots,
            slots_max: self.plan.slots_max,
            busy: state.running.len(),
            kept: state.idle.iter().filter(|slot| slot.keep.as_ref().is_some_and(Keep::is_full)).count(),
            queued: state.queue.len(),
            queued_max: self.plan.queued_max,
            outside: state.queue.outside(),
            completed: state.completed,
        }
    }

    /// Has a call done: at once where a slot is free, in its turn otherwise. At the bound of the queue it waits outside if
    /// it `waits`.
    pub(super) fn enter(self: &Arc<Self>, call: &Arc<CallCell>, waits: bool) -> Result<(), CallError> {
        let slot = match call.made_in() {
            None => self.admit(call, waits)?,
            Some(made_in) => self.admit_nested(call, made_in, waits)?,
        };
        if let Some(slot) = slot {
            self.run((Arc::clone(call), slot));
        }
        self.tend();
        Ok(())
    }

    fn closed(&self) -> CallError {
        CallError::Closed { entry: self.entry.clone() }
    }

    /// A slot for a call; none when it waits for one from now on.
    fn admit(&self, call: &Arc<CallCell>, waits: bool) -> Result<Option<Slot>, CallError> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(self.closed());
        }
        if let Some(slot) = state.take_slot(self, call, self.site.clock.now()) {
            return Ok(Some(slot));
        }
        let pushed = state.queue.push(call, self.plan.queued_max, waits);
        pushed.map(|()| None).map_err(|full| CallError::Busy {
            entry: self.entry.clone(),
            bound: full.bound,
            allowed: full.allowed,
        })
    }

    /// [`Pool::admit`] of a call that is made in another one, unless they would wait for each other.
    fn admit_nested(
        self: &Arc<Self>,
        call: &Arc<CallCell>,
        made_in: u64,
        waits: bool,
    ) -> Result<Option<Slot>, CallError> {
        let mut nested = self.site.nested.lock();
        nested.add(made_in, call.number(), self);
        let admitted = match nested.can_go_on(self) {
            true => self.admit(call, waits),
            false => Err(CallError::Reentrant {
                entry: self.entry.clone(),
                calls: call.calls().entries().cloned().collect(),
                slots: self.plan.slots_max,
            }),
        };
        match &admitted {
            Ok(Some(_)) => nested.begin(made_in, call.number()),
            Ok(None) => {}
            Err(_) => nested.remove(made_in, call.number()),
        }
        admitted
    }

    /// The calls that have a slot; none when there is a slot for one more, or may be soon.
    pub(super) fn running_when_full(&self) -> Option<Vec<u64>> {
        let state = self.state.lock();
        (state.running.len() >= self.plan.slots_max).then(|| state.running.iter().copied().collect())
    }

    /// Takes a call out that nobody wants any more; one that has its turn already sees it there.
    pub(super) fn withdraw(self: &Arc<Self>, call: &CallCell) {
        let has_waited = {
            let mut state = self.state.lock();
            let has_waited = state.queue.remove(call.number());
            if state.is_quiet() {
                self.quiet.notify_all();
            }
            has_waited
        };
        if has_waited {
            self.is_over(call);
        }
    }

    /// A call that has waited has a slot.
    fn has_turn(&self, call: &CallCell) {
        if let Some(made_in) = call.made_in() {
            self.site.nested.lock().begin(made_in, call.number());
        }
    }

    fn is_over(&self, call: &CallCell) {
        if let Some(made_in) = call.made_in() {
            self.site.nested.lock().remove(made_in, call.number());
        }
    }

    /// Starts calls whose turn it is, until one of them runs: what can't be started gives its slot to the next.
    pub(super) fn run(self: &Arc<Self>, first: Turn) {
        let mut turn = Some(first);
        while let Some((call, slot)) = turn {
            let refused = match call.begin().map(|asked| self.start(&call, &slot, asked)) {
                Some(Ok(process)) => return call.runs_as(process),
                Some(Err(error)) => Some(Err(error)),
                None => None,
            };
            turn = self.release(&call, slot, refused);
        }
    }

    fn start(
        self: &Arc<Self>,
        call: &Arc<CallCell>,
        slot: &Slot,
        (input, options): Asked,
    ) -> Result<ProcessHandle, CallError> {
        let manager = self.site.manager.upgrade().ok_or_else(|| self.closed())?;
        let host = self
            .site
            .host
            .clone()
            .ok_or_else(|| self.not_started(SpawnError::NotOneHost { kind: "process.host", known: Vec::new() }))?;
        let ending = Ending { pool: Arc::clone(self), call: Arc::clone(call), slot: slot.clone() };
        let mut start = Start::new(self.entry.clone(), host)
            .input(input)
            .answering(call.calls().clone(), call.caller().cloned(), slot.keep.clone())
            .watch(ending);
        (start.context, start.actor, start.scope) = (options.context, options.actor, options.scope);
        manager.spawn_foreign(&self.program, start).map_err(|error| self.not_started(error))
    }

    fn not_started(&self, error: SpawnError) -> CallError {
        match error {
            SpawnError::Arguments { entry, error } => CallError::Arguments { entry, error },
            error => CallError::Spawn { entry: self.entry.clone(), error: Box::new(error) },
        }
    }

    /// A call is over: gives its answer, and its slot back. Returns the call that has the slot now.
    fn release(self: &Arc<Self>, call: &CallCell, slot: Slot, answer: Option<Answer>) -> Option<Turn> {
        let (turn, given_up) = {
            let mut state = self.state.lock();
            state.running.remove(&call.number());
            state.completed += 1;
            state.active = self.site.clock.now();
            let is_surplus = state.slots > state.slots_wanted;
            let next = if is_surplus { Err(slot) } else { state.next_turn(slot) };
            let turn_or_slot = match next {
                Ok(turn) => (Some(turn), None),
                Err(slot) if is_surplus || state.is_closed => {
                    state.slots -= 1;
                    (None, Some(slot))
                }
                Err(slot) => {
                    state.idle.push(slot);
                    (None, None)
                }
            };
            if state.is_quiet() {
                self.quiet.notify_all();
            }
            turn_or_slot
        };
        // Outside of the lock: what a slot holds is foreign.
        drop(given_up);
        self.is_over(call);
        if let Some((next, _)) = &turn {
            self.has_turn(next);
        }
        // Behind the slot: who has an answer finds a slot for the next call.
        if let Some(answer) = answer {
            call.answer(answer);
        }
        turn
    }

    fn ended(self: &Arc<Self>, call: &CallCell, slot: Slot, exit: &Exit) {
        let answer = match exit {
            Exit::Returned(value) => Ok(value.clone()),
            Exit::Exited(0) => Ok(Payload::Nil),
            exit => Err(CallError::Ended { entry: self.entry.clone(), exit: Box::new(exit.clone()) }),
        };
        if let Some(turn) = self.release(call, slot, Some(answer)) {
            self.run(turn);
        }
    }

    /// Sees to it that somebody looks after the number of slots, where that changes.
    fn tend(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.is_closed || state.is_tended || !state.wants_keeper(self.plan.kind) {
                return;
            }
            state.is_tended = true;
            state.controller.resume();
            state.completed_before = state.completed;
        }
        let workers = self.site.manager.upgrade().and_then(|manager| {
            // Without workers there is no call either.
            manager.workers_of(self.site.host.as_ref()?).ok()
        });
        let keeper = keeper::Keeper::new(self);
        if let Some((tasks, reactor)) = workers {
            tasks.spawn(keeper.tend(reactor));
        }
    }

    /// Nobody looks after the slots any more.
    pub(super) fn untended(&self) {
        self.state.lock().is_tended = false;
    }

    /// When the number of slots is looked at for the first time.
    pub(super) fn first_look(&self) -> Instant {
        match self.plan.kind {
            PoolKind::Adaptive => self.site.clock.now().saturating_add(adaptive::TICK),
            _ => self.state.lock().active.saturating_add(IDLE_TIME),
        }
    }

    /// Changes the number of slots as it should be now. Returns when to look again; `None` when there is no need to, and
    /// then nobody tends the pool.
    pub(super) fn look_after(self: &Arc<Self>) -> Option<Instant> {
        let now = self.site.clock.now();
        let mut turns = Vec::new();
        let mut given_up = Vec::new();
        let next = {
            let mut state = self.state.lock();
            let next = match self.plan.kind {
                PoolKind::Adaptive => {
                    self.adapt(&mut state, &mut turns);
                    now.saturating_add(adaptive::TICK)
                }
                _ if now >= state.active.saturating_add(IDLE_TIME) => {
                    given_up.append(&mut state.idle);
                    now.saturating_add(IDLE_TIME)
                }
                _ => state.active.saturating_add(IDLE_TIME),
            };
            while state.slots - given_up.len() > state.slots_wanted
                && let Some(slot) = state.idle.pop()
            {
                given_up.push(slot);
            }
            state.slots -= given_up.len();
            state.is_tended = !state.is_closed && state.wants_keeper(self.plan.kind);
            state.is_tended.then_some(next)
        };
        drop(given_up);
        for turn in turns {
            self.has_turn(&turn.0);
            self.run(turn);
        }
        next
    }

    fn adapt(&self, state: &mut State, turns: &mut Vec<Turn>) {
        let seen = Seen {
            slots: state.slots_wanted,
            slots_max: self.plan.slots_max,
            busy: state.running.len(),
            queued: state.queue.len(),
            completed: state.completed - state.completed_before,
        };
        state.completed_before = state.completed;
        state.slots_wanted = state.controller.tick(seen);
        while state.slots < state.slots_wanted {
            let Ok(turn) = state.next_turn(self.slot()) else { break };
            state.slots += 1;
            turns.push(turn);
        }
    }

    /// Takes no call from now on. Those that were admitted are done, those that wait outside are not.
    pub(super) fn close(self: &Arc<Self>) {
        let (outside, idle) = {
            let mut state = self.state.lock();
            state.is_closed = true;
            let idle = std::mem::take(&mut state.idle);
            state.slots -= idle.len();
            (state.queue.take_outside(), idle)
        };
        drop(idle);
        self.refuse(outside);
    }

    /// Waits until no call is left, or until the deadline; true when none is.
    pub(super) fn wait_quiet(&self, deadline: Option<WallInstant>) -> bool {
        let mut state = self.state.lock();
        while !state.is_quiet() {
            match deadline {
                None => self.quiet.wait(&mut state),
                Some(deadline) => {
                    if self.quiet.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.is_quiet()
    }

    /// Has no call begin any more, admitted or not.
    pub(super) fn abandon(self: &Arc<Self>) {
        let waiting = self.state.lock().queue.take_all();
        self.refuse(waiting);
    }

    fn refuse(self: &Arc<Self>, calls: Vec<Arc<CallCell>>) {
        for call in calls {
            self.is_over(&call);
            call.answer(Err(self.closed()));
        }
    }
}

/// Told of the end of the process that does a call.
struct Ending {
    pool: Arc<Pool>,
    call: Arc<CallCell>,
    slot: Slot,
}

impl Watcher for Ending {
    fn exited(&self, _: &Pid, exit: &Exit) {
        self.pool.ended(&self.call, self.slot.clone(), exit);
    }
}
