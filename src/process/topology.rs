//! Who is told of whose end, and who ends with whom.
//!
//! Both sides of a monitor or a link know of it, so that either end takes it back: what a process has to do with others
//! is bounded by the living, not by all there ever were. Two processes are locked in the order of their numbers.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use super::cell::ProcessCell;
use super::event::Event;
use super::message::SignalError;
use super::names::Names;
use super::{Exit, Failure, FailureKind, Pid};

/// How many monitors and links one process may have, with the events of theirs that it has not read.
pub const WATCHED_MAX: usize = 1 << 20;

/// What a process has to do with others.
#[derive(Default)]
pub(super) struct Ties {
    ended: bool,
    /// Most processes have none.
    bonds: Option<Box<Bonds>>,
}

#[derive(Default)]
pub(super) struct Bonds {
    /// Whose end this process is told of.
    monitors: HashMap<u64, Arc<ProcessCell>>,
    /// Who is told of the end of this process.
    monitored_by: HashMap<u64, Arc<ProcessCell>>,
    links: HashMap<u64, Arc<ProcessCell>>,
    pub(super) names: Vec<(Arc<Names>, Arc<str>)>,
}

impl Ties {
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Not to be called after the end: there is nobody to take back what is added.
    pub(super) fn bonds(&mut self) -> &mut Bonds {
        self.bonds.get_or_insert_default()
    }

    /// The names that the process has, in the order in which it got them.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.bonds.iter().flat_map(|bonds| &bonds.names);
        names.map(|(_, name)| name.to_string()).collect()
    }

    fn watched(&self) -> usize {
        self.bonds.as_ref().map_or(0, |bonds| bonds.monitors.len() + bonds.links.len())
    }
}

fn number(cell: &ProcessCell) -> u64 {
    cell.pid.unique()
}

/// Runs `change` on the ties of two processes.
fn with_both<T>(one: &ProcessCell, other: &ProcessCell, change: impl FnOnce(&mut Ties, &mut Ties) -> T) -> T {
    if number(one) < number(other) {
        let mut first = one.ties.lock();
        let mut second = other.ties.lock();
        change(&mut first, &mut second)
    } else {
        let mut second = other.ties.lock();
        let mut first = one.ties.lock();
        change(&mut first, &mut second)
    }
}

fn room_for_another(cell: &ProcessCell, ties: &Ties) -> Result<(), SignalError> {
    if ties.watched() + cell.mailbox.stats().events < WATCHED_MAX {
        return Ok(());
    }
    Err(SignalError::TooMany { pid: cell.pid.clone(), what: "monitors, links and events", allowed: WATCHED_MAX })
}

fn no_process(cell: &ProcessCell) -> SignalError {
    SignalError::NoProcess { pid: cell.pid.clone() }
}

/// The exit that stands for a process that is not there.
pub(super) fn noproc(pid: &Pid) -> Arc<Exit> {
    let message = format!("noproc: process `{pid}` has ended, or never was");
    Arc::new(Exit::Failed(Failure::new(FailureKind::NoProcess, message)))
}

/// Has `watcher` told of the end of the process with this pid; at once, as `noproc`, when it is gone.
pub(super) fn monitor(
    watcher: &Arc<ProcessCell>,
    pid: &Pid,
    target: Option<&Arc<ProcessCell>>,
) -> Result<(), SignalError> {
    let is_gone = match target {
        None => {
            let ties = watcher.ties.lock();
            if ties.has_ended() {
                return Err(no_process(watcher));
            }
            room_for_another(watcher, &ties)?;
            true
        }
        // Nobody hears of its own end.
        Some(target) if Arc::ptr_eq(watcher, target) => false,
        Some(target) => with_both(watcher, target, |own, other| {
            if own.has_ended() {
                return Err(no_process(watcher));
            }
            room_for_another(watcher, own)?;
            if other.has_ended() {
                return Ok(true);
            }
            let monitors = &mut own.bonds().monitors;
            if monitors.contains_key(&number(target)) {
                return Err(SignalError::AlreadyMonitored { from: watcher.pid.clone(), pid: pid.clone() });
            }
            monitors.insert(number(target), Arc::clone(target));
            other.bonds().monitored_by.insert(number(watcher), Arc::clone(watcher));
            Ok(false)
        })?,
    };
    if is_gone {
        let waker = watcher.mailbox.push_event(Event::Exit { from: pid.clone(), entry: None, exit: noproc(pid) });
        waker.into_iter().for_each(Waker::wake);
    }
    Ok(())
}

/// Undoes [`monitor`]: nothing is told afterwards; what was told before stays told.
pub(super) fn unmonitor(watcher: &Arc<ProcessCell>, target: &Arc<ProcessCell>) {
    if Arc::ptr_eq(watcher, target) {
        return;
    }
    let removed = with_both(watcher, target, |own, other| {
        let target = own.bonds.as_mut().and_then(|bonds| bonds.monitors.remove(&number(target)));
        (target, other.bonds.as_mut().and_then(|bonds| bonds.monitored_by.remove(&number(watcher))))
    });
    drop(removed);
}

/// Links two living processes; again is fine.
pub(super) fn link(one: &Arc<ProcessCell>, other: &Arc<ProcessCell>) -> Result<(), SignalError> {
    if Arc::ptr_eq(one, other) {
        return Ok(());
    }
    with_both(one, other, |first, second| {
        for (cell, ties) in [(one, &*first), (other, &*second)] {
            if ties.has_ended() {
                return Err(no_process(cell));
            }
            room_for_another(cell, ties)?;
        }
        first.bonds().links.insert(number(other), Arc::clone(other));
        second.bonds().links.insert(number(one), Arc::clone(one));
        Ok(())
    })
}

/// Undoes [`link`]: no end has a consequence afterwards.
pub(super) fn unlink(one: &Arc<ProcessCell>, other: &Arc<ProcessCell>) {
    if Arc::ptr_eq(one, other) {
        return;
    }
    let removed = with_both(one, other, |first, second| {
        let other = first.bonds.as_mut().and_then(|bonds| bonds.links.remove(&number(other)));
        (other, second.bonds.as_mut().and_then(|bonds| bonds.links.remove(&number(one))))
    });
    drop(removed);
}

/// The end of a process, once: takes back all it had to do with others, frees its names, then tells them.
pub(super) fn part(cell: &Arc<ProcessCell>, exit: &Exit) {
    let Some(Bonds { monitored_by, links, .. }) = undo(cell) else { return };
    if monitored_by.is_empty() && links.is_empty() {
        return;
    }
    let (own, exit) = (number(cell), Arc::new(exit.clone()));
    // Each is told under its lock: who has undone a monitor or a link hears nothing afterwards. Only the wake-up waits.
    for watcher in monitored_by.into_values() {
        let mut ties = watcher.ties.lock();
        let removed = ties.bonds.as_mut().and_then(|bonds| bonds.monitors.remove(&own));
        let event = || {
            let (from, entry) = (cell.pid.clone(), Some(cell.entry().clone()));
            Event::Exit { from, entry, exit: Arc::clone(&exit) }
        };
        let waker = removed.as_ref().and_then(|_| watcher.mailbox.push_event(event()));
        drop(ties);
        drop(removed);
        waker.into_iter().for_each(Waker::wake);
    }
    for linked in links.into_values() {
        let mut ties = linked.ties.lock();
        let removed = ties.bonds.as_mut().and_then(|bonds| bonds.links.remove(&own));
        let is_told = removed.is_some() && !exit.is_normal();
        let told = is_told.then(|| linked.link_down(cell, &exit));
        drop(ties);
        drop(removed);
        told.into_iter().for_each(|told| linked.look_up(told));
    }
}

/// [`part`] for a process that never began: nobody is told.
pub(super) fn dissolve(cell: &Arc<ProcessCell>) {
    let Some(Bonds { monitored_by, links, .. }) = undo(cell) else { return };
    let own = number(cell);
    for watcher in monitored_by.into_values() {
        let removed = watcher.ties.lock().bonds.as_mut().and_then(|bonds| bonds.monitors.remove(&own));
        drop(removed);
    }
    for linked in links.into_values() {
        let removed = linked.ties.lock().bonds.as_mut().and_then(|bonds| bonds.links.remove(&own));
        drop(removed);
    }
}

/// Ends what concerns a process alone, and gives back what concerns others; `None` when it was over before, or there is
/// nothing.
fn undo(cell: &Arc<ProcessCell>) -> Option<Bonds> {
    let bonds = {
        let mut ties = cell.ties.lock();
        if ties.has_ended() {
            return None;
        }
        ties.ended = true;
        ties.bonds.take()
    };
    cell.mailbox.close();
    let mut bonds = *bonds?;
    for (names, name) in std::mem::take(&mut bonds.names) {
        names.release(&name, cell);
    }
    let own = number(cell);
    for target in std::mem::take(&mut bonds.monitors).into_values() {
        let removed = target.ties.lock().bonds.as_mut().and_then(|bonds| bonds.monitored_by.remove(&own));
        drop(removed);
    }
    Some(bonds)
}

#[cfg(all(test, wippy_loom))]
mod models;
