//! Attempts: a guest that asks nobody for anything is run on the stack of its worker first.
//!
//! A stack of its own, and the way there and back, are a fifth of what a tiny guest costs. It needs one only where it is suspended:
//! when it waits, or when its slice is over. One that is still on the worker's stack by then is stopped and begins again on a
//! stack of its own. Nobody has seen anything of it, since there was nobody whom it could have told: what is lost is time, at most
//! the [`TICKS`] of an attempt and the one that it began in. Neither that time nor its instructions count for it.
//!
//! A guest that has imports hardly ever calls most of them. So what is started often is attempted with nothing behind its imports:
//! one that calls some is stopped there, and one that fails may have been, so that it begins again as well. It also has its store
//! after and before others of the same program, see [`Series`](super::series::Series).
//!
//! A program with which an attempt fails has its guests begin on stacks of their own for some time, and longer each time.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::{Linker, Store, component};

use super::engine::HOST_STACK_BYTES;
use super::fiber;
use super::program::{Program, Surroundings, Target};
use super::series::Turn;
use super::state::{AtTick, State};
use super::value::Stack;
use super::warm::{Linked, Warm};
use crate::process::{Attempt, Attempted, Begun, Birth, Exit, Instance, Payload, WORKER_STACK_BYTES};
use crate::registry::Preempt;

/// Whole ticks that an attempt may take. A guest that begins right before a tick has not been computing for long.
pub(super) const TICKS: u32 = 1;

/// The stack of a guest that is run on that of its worker, in bytes: what guests have whose entries say nothing. The engine
/// only counts what the guest takes, so there is to be as much.
pub(super) const STACK_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(STACK_BYTES_MAX + 2 * HOST_STACK_BYTES <= WORKER_STACK_BYTES);

impl Target {
    /// Whether a guest that is called this way may ever be attempted: it is there to return a value, and not to talk.
    fn is_quiet(&self) -> bool {
        matches!(self, Self::Component { .. } | Self::Core { .. })
    }

    /// The same code with nothing behind its imports: a guest that asks somebody for something fails. Most of those that were built
    /// from a large language import what they hardly ever call. `None` where something else than functions is imported.
    pub(super) fn alone(&self) -> Option<Self> {
        match self {
            Self::Component { pre, index, plan, .. } => {
                let mut linker = component::Linker::new(pre.engine());
                linker.define_unknown_imports_as_traps(pre.component()).ok()?;
                let pre = linker.instantiate_pre(pre.component()).ok()?;
                Some(Self::Component { pre, index: *index, plan: plan.clone(), is_inert: false })
            }
            Self::Core { pre, before, plan, .. } => {
                let mut linker = Linker::new(pre.module().engine());
                linker.define_unknown_imports_as_traps(pre.module()).ok()?;
                let pre = linker.instantiate_pre(pre.module()).ok()?;
                Some(Self::Core { pre, before: *before, plan: plan.clone(), is_inert: false })
            }
            Self::ComponentCommand { .. } | Self::CoreCommand { .. } => None,
        }
    }
}

impl Program {
    /// Whether its guests may be run on the stack of a worker.
    fn fits(&self, place: usize) -> bool {
        let linkage = &self.linkages[place];
        linkage.shared.is_quiet() && linkage.class.stack() <= STACK_BYTES_MAX
    }

    /// Whether guests may be run without a process: beside all else, what their entry mounts or names would have to be looked
    /// at for each.
    pub(super) fn can_be_attempted(&self) -> bool {
        let Surroundings { mounts, env, .. } = &*self.surroundings;
        let is_plain = mounts.is_empty() && env.is_empty() && self.preempt == Preempt::Epoch;
        is_plain && (0..self.linkages.len()).all(|place| self.fits(place))
    }

    /// Whether an attempt with a process can be, and is worth its time.
    fn is_worth_an_attempt(&self, place: usize, birth: &Birth) -> bool {
        // What was kept is as the last process left it: it can't begin again. What is to be kept must have its imports; and what
        // can't be stopped in time might ask for something at its very end.
        let is_inert = self.linkages[place].shared.is_inert();
        let may_fail = !birth.keeps && self.preempt == Preempt::Epoch;
        let is_fresh = birth.kept.is_none() && (is_inert || may_fail);
        is_fresh && self.fits(place) && self.luck.is_worth_one()
    }

    /// Runs a guest that is no process.
    pub(super) fn attempt(self: &Arc<Self>, attempt: &Attempt<'_>) -> Attempted {
        let Some(place) = self.place(attempt.usage.limits()) else { return Attempted::Unfit };
        let Some(target) = self.alone(place) else { return Attempted::Unfit };
        if !self.luck.is_worth_one() {
            return Attempted::Failed;
        }
        self.count_start(place, attempt.reactor(), attempt.tasks());
        let memory = self.memory(attempt.usage, attempt.ceiling());
        let clock = attempt.reactor().clock().clone();
        let mut turn = self.turn(place, target, State::new(None, memory, clock), false);
        if let Err(exit) = self.equip(&mut turn.store, Stack::Thread) {
            return Attempted::Ended(exit);
        }
        match self.run_on_thread((place, target), &mut turn.store, attempt.input) {
            Some((exit, _)) => {
                self.leave(place, turn, &exit);
                Attempted::Ended(exit)
            }
            None => Attempted::Failed,
        }
    }

    /// A store for an attempt of a guest with this state, which is kept afterwards when `keeps`. Attempts of what is started often
    /// share stores.
    fn turn(&self, place: usize, target: &Target, state: State, keeps: bool) -> Turn {
        if keeps || !self.is_hot() {
            return Turn::alone(target.engine(), state);
        }
        let linkage = &self.linkages[place];
        linkage.series.take(target.engine(), state, || self.needs.footprint(linkage.class))
    }

    /// An attempt is over. After a value the store is as good as before.
    fn leave(&self, place: usize, turn: Turn, exit: &Exit) {
        if matches!(exit, Exit::Returned(_)) {
            self.linkages[place].series.put(turn);
        }
    }

    /// The first step of a process: its whole life, on this stack, or a fiber that begins in it.
    pub(super) fn begin(self: &Arc<Self>, place: usize, mut birth: Birth) -> Begun {
        let target = self.alone(place).filter(|_| self.is_worth_an_attempt(place, &birth));
        let Some(target) = target else {
            return Begun::Process(fiber::fiber(self, place, birth));
        };
        fiber::mark((self.preempt == Preempt::None).then_some(&**birth.usage()));
        match self.execute_on_thread((place, target), &mut birth) {
            Some((exit, instance)) => Begun::Ended(exit, instance),
            None => Begun::Process(fiber::fiber_again(self, place, birth)),
        }
    }

    /// The life of a process on this stack; `None` when it was stopped, and is to begin again on a stack of its own.
    ///
    /// Its store knows nothing of the process: whom could the guest ask?
    fn execute_on_thread(
        &self,
        (place, target): (usize, &Arc<Target>),
        birth: &mut Birth,
    ) -> Option<(Exit, Option<Instance>)> {
        let (keeps, input) = (birth.keeps, std::mem::take(&mut birth.input));
        let mut turn = match self.state(birth, &input) {
            Ok(state) => self.turn(place, target, state, keeps),
            Err(failure) => return Some((Exit::Failed(failure), None)),
        };
        if let Err(exit) = self.equip(&mut turn.store, Stack::Thread) {
            return Some((exit, None));
        }
        match self.run_on_thread((place, target), &mut turn.store, &input) {
            Some((exit @ Exit::Returned(_), Some(linked))) if keeps => {
                let shared = Arc::clone(&self.linkages[place].shared);
                let instance = Warm::keep(turn.store, linked, Arc::clone(target), shared);
                Some((exit, Some(instance)))
            }
            Some((exit, _)) => {
                self.leave(place, turn, &exit);
                Some((exit, None))
            }
            None => {
                birth.input = input;
                None
            }
        }
    }

    /// Runs a guest to its end; `None` when it was stopped, or may have failed because it was.
    fn run_on_thread(
        &self,
        (place, target): (usize, &Target),
        store: &mut Store<State>,
        input: &[Payload],
    ) -> Option<(Exit, Option<Linked>)> {
        let mut linked = None;
        let exit = {
            let run = pin!(self.run_to_end((target, Stack::Thread), store, &mut linked, input));
            match run.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(exit) => exit,
                Poll::Pending => unreachable!("nothing suspends a guest on this stack"),
            }
        };
        // Without imports a failure is the guest's own. With imports it may be the answer that it did not get.
        let is_final = target.is_inert() || matches!(exit, Exit::Returned(_));
        if store.data().at_tick == AtTick::GaveUp || !is_final {
            self.luck.failed();
            self.linkages[place].series.clear();
            return None;
        }
        Some((exit, linked))
    }
}
