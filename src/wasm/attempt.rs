//! Attempts: a guest that asks nobody for anything is run on the stack of its worker first.
//!
//! A stack of its own, and the way there and back, are a fifth of what a tiny guest costs. It needs one only where it is suspended:
//! when it waits, which a guest without imports can't, or when its slice is over, which shows. One that is still on the worker's
//! stack by then is stopped and begins again on a stack of its own. Nobody has seen anything of it, since there was nobody whom it
//! could have told: what is lost is time, at most the [`TICKS`] of an attempt and the one that it began in. Neither that time nor
//! its instructions count for it. A program whose guests take that long has them begin on stacks of their own for some
//! time, and longer each time that an attempt with them fails.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wasmtime::Store;

use super::engine::HOST_STACK_BYTES;
use super::program::{Over, Program, Surroundings, Target, new_store};
use super::state::{AtTick, State};
use super::value::Stack;
use super::warm::{Linked, Warm};
use crate::process::WORKER_STACK_BYTES;
use crate::process::{Attempt, Birth, Exit, Payload};
use crate::registry::Preempt;
use crate::wasi::Profile;

/// Whole ticks that an attempt may take. A guest that begins right before a tick has not been computing for long.
pub(super) const TICKS: u32 = 1;

/// The stack of a guest that is run on that of its worker, in bytes: what guests have whose entries say nothing. The engine
/// only counts what the guest takes, so there is to be as much.
pub(super) const STACK_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(STACK_BYTES_MAX + 2 * HOST_STACK_BYTES <= WORKER_STACK_BYTES);

impl Program {
    /// Whether its guests may be run on the stack of a worker: they have nobody to ask, and begin anew when they are begun again.
    fn fits(&self, place: usize) -> bool {
        let linkage = &self.linkages[place];
        linkage.shared.is_inert() && linkage.class.stack() <= STACK_BYTES_MAX
    }

    /// The stack that a process begins on.
    pub(super) fn first_stack(&self, place: usize, birth: &Birth) -> Stack {
        // What was kept is as the last process left it: it can't begin again.
        let can_try = birth.kept.is_none() && self.fits(place);
        if can_try && self.luck.is_worth_one() { Stack::Thread } else { Stack::Own }
    }

    /// Whether guests may be run without a process: beside all else, what their entry mounts or names would have to be looked
    /// at for each.
    pub(super) fn can_be_attempted(&self) -> bool {
        let Surroundings { mounts, env, .. } = &*self.surroundings;
        let is_alone = mounts.is_empty() && env.is_empty() && !self.profiles.contains(Profile::Process);
        is_alone && self.preempt == Preempt::Epoch && (0..self.linkages.len()).all(|place| self.fits(place))
    }

    /// Runs a guest that is no process.
    pub(super) fn attempt(self: &Arc<Self>, attempt: &Attempt<'_>) -> Option<Exit> {
        let place = self.place(attempt.usage.limits())?;
        if !self.luck.is_worth_one() {
            return None;
        }
        self.count_start(place, attempt.reactor(), attempt.tasks());
        let target = self.linkages[place].target();
        let memory = self.memory(attempt.usage, attempt.ceiling());
        let clock = attempt.reactor().clock().clone();
        let mut store = new_store(target, State::new(None, memory, clock, None));
        if let Err(exit) = self.equip(&mut store, Stack::Thread) {
            return Some(exit);
        }
        self.run_on_thread(target, &mut store, attempt.input).map(|(exit, _)| exit)
    }

    /// The life of a process on this stack.
    ///
    /// # Errors
    /// What it was given: it was stopped, and is to begin again on a stack of its own.
    pub(super) fn execute_on_thread(self: &Arc<Self>, place: usize, mut birth: Birth) -> Result<Over, Box<Birth>> {
        let linkage = &self.linkages[place];
        let (target, keeps, input) = (linkage.target(), birth.keeps, std::mem::take(&mut birth.input));
        let mut store = match self.store(target, birth, &input) {
            Ok(store) => store,
            Err(failure) => return Ok(Over::at_once(Exit::Failed(failure))),
        };
        if let Err(exit) = self.equip(&mut store, Stack::Thread) {
            return Ok(Over::at_once(exit));
        }
        match self.run_on_thread(target, &mut store, &input) {
            Some((exit @ Exit::Returned(_), Some(linked))) if keeps => {
                let instance = Warm::keep(store, linked, Arc::clone(target), Arc::clone(&linkage.shared));
                Ok(Over { instance: Some(instance), ..Over::at_once(exit) })
            }
            Some((exit, _)) => Ok(Over::at_once(exit)),
            None => {
                let mut birth = Box::new(store.into_data().into_birth());
                birth.input = input;
                Err(birth)
            }
        }
    }

    /// Runs a guest to its end; `None` when it was stopped.
    fn run_on_thread(
        &self,
        target: &Target,
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
        if store.data().at_tick == AtTick::GaveUp {
            self.luck.failed();
            return None;
        }
        Some((exit, linked))
    }
}
