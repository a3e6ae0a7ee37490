//! The other processes, as one of them sees them.

use std::fmt;
use std::sync::{Arc, Weak};

use super::cell::ProcessCell;
use super::message::{Message, SignalError};
use super::sending::Sending;
use super::{Manager, Pid, SpawnError, Start};
use crate::registry::{EntryId, IdPattern, PeerRules, Reach};

/// What is done with another process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Send,
    Monitor,
    Link,
    Cancel,
    Terminate,
    Name,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Send => "send to",
            Self::Monitor => "monitor",
            Self::Link => "link with",
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
            Self::Name => "give a name to",
        }
    }

    /// Whether a process may do it with the one that started it.
    fn is_for_parents(self) -> bool {
        matches!(self, Self::Send | Self::Monitor | Self::Link)
    }
}

/// What one process may ask of the others; given to it with its [`Birth`](super::Birth).
///
/// Whatever it does is checked against the rules of its entry.
#[derive(Clone)]
pub struct Peers {
    own: Arc<ProcessCell>,
    /// Not what keeps a runtime alive: its processes are what it ends.
    manager: Weak<Manager>,
    rules: Arc<PeerRules>,
}

impl Peers {
    pub(super) fn new(own: Arc<ProcessCell>, manager: Weak<Manager>, rules: Arc<PeerRules>) -> Self {
        Self { own, manager, rules }
    }

    /// The name of the process itself.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        &self.own.pid
    }

    /// The process that started it, if one did.
    #[must_use]
    pub fn parent(&self) -> Option<&Pid> {
        self.own.parent.as_ref()
    }

    fn manager(&self) -> Result<Arc<Manager>, SignalError> {
        self.manager.upgrade().ok_or(SignalError::Closed)
    }

    /// The process of a pid or a name, and the right to do this with it.
    fn target(&self, pid: &Pid, action: Action) -> Result<Arc<ProcessCell>, SignalError> {
        let cell = self.manager()?.cell(pid)?;
        self.check(&cell, action)?;
        Ok(cell)
    }

    fn check(&self, cell: &ProcessCell, action: Action) -> Result<(), SignalError> {
        let is_child = || cell.parent.as_ref() == Some(&self.own.pid);
        let is_parent = || self.own.parent.as_ref() == Some(&cell.pid);
        if self.rules.signal == Reach::Any
            || cell.pid == self.own.pid
            || is_child()
            || action.is_for_parents() && is_parent()
        {
            return Ok(());
        }
        Err(self.forbidden(
            action.verb(),
            cell.pid.to_string(),
            "it is not its child; `process: { signal: any }` in its entry allows it",
        ))
    }

    /// Whether a start may become a word to this process, which has the name already.
    pub(super) fn may_signal(&self, cell: &ProcessCell) -> Result<(), SignalError> {
        self.check(cell, Action::Send)
    }

    fn forbidden(&self, action: &'static str, target: String, hint: &'static str) -> SignalError {
        SignalError::NotAllowed { from: self.own.pid.clone(), action, target, hint }
    }

    /// The pid that a text means: a pid, or the name of a process.
    ///
    /// # Errors
    /// It is neither.
    pub fn resolve(&self, text: &str) -> Result<Pid, SignalError> {
        self.manager()?.resolve(text)
    }

    /// The process that has this name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<Pid> {
        self.manager.upgrade()?.lookup(name)
    }

    /// Starts a process, as a child of this one. Monitor, link and name of the start are in place before its first step.
    ///
    /// # Errors
    /// See [`SpawnError`]; [`SpawnError::NotAllowed`] for an entry or a host that is not in the entry's list.
    pub fn spawn(&self, mut start: Start) -> Result<Pid, SpawnError> {
        let manager = self.manager.upgrade().ok_or_else(|| SpawnError::Closing { host: start.host.clone() })?;
        let allows = |patterns: &[IdPattern], id: &EntryId| patterns.iter().any(|pattern| pattern.matches(id));
        let not_allowed = |target: &EntryId, hint| SpawnError::NotAllowed {
            from: self.own.pid.clone(),
            target: target.clone(),
            hint,
        };
        if !allows(&self.rules.spawn, &start.entry) {
            return Err(not_allowed(&start.entry, "list it in `process: { spawn: [...] }` of its entry"));
        }
        let is_own_host = self.rules.hosts.is_empty() && start.host == *self.own.pid.host();
        if !is_own_host && !allows(&self.rules.hosts, &start.host) {
            return Err(not_allowed(&start.host, "list the host in `process: { hosts: [...] }` of its entry"));
        }
        start.messages.iter_mut().for_each(|message| message.from = Some(self.own.pid.clone()));
        start.starter = Some(self.clone());
        manager.spawn(start).map(|handle| handle.pid().clone())
    }

    /// Sends a message, at once or not at all.
    ///
    /// # Errors
    /// See [`SignalError`]; at the bound of the mailbox [`SignalError::Busy`].
    pub fn send(&self, to: &Pid, message: Message) -> Result<(), SignalError> {
        self.target(to, Action::Send)?.send(message.from(self.own.pid.clone()))
    }

    /// Sends a message and waits for room in a full mailbox.
    ///
    /// # Errors
    /// See [`SignalError`]: what can be known now.
    pub fn sending(&self, to: &Pid, message: Message) -> Result<Sending, SignalError> {
        Sending::new(self.target(to, Action::Send)?, message.from(self.own.pid.clone()))
    }

    /// Has this process told of the end of another one, once. One that is gone is told of at once.
    ///
    /// # Errors
    /// It is monitored already, or there are too many; see [`SignalError`].
    pub fn monitor(&self, pid: &Pid) -> Result<(), SignalError> {
        let target = match self.manager()?.cell(pid) {
            Ok(cell) => Some(cell),
            Err(SignalError::NoProcess { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(cell) = &target {
            self.check(cell, Action::Monitor)?;
        }
        super::topology::monitor(&self.own, pid, target.as_ref())
    }

    /// Undoes [`Peers::monitor`]: no event follows. One of a process that is not monitored is fine.
    ///
    /// # Errors
    /// The pid is of another runtime.
    pub fn unmonitor(&self, pid: &Pid) -> Result<(), SignalError> {
        match self.manager()?.cell(pid) {
            Ok(cell) => super::topology::unmonitor(&self.own, &cell),
            Err(SignalError::NoProcess { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Links this process with another one: when either ends abnormally the other one ends, too, or is told.
    ///
    /// # Errors
    /// The other one is gone; see [`SignalError`].
    pub fn link(&self, pid: &Pid) -> Result<(), SignalError> {
        super::topology::link(&self.own, &self.target(pid, Action::Link)?)
    }

    /// Undoes [`Peers::link`] of either side. One that is not linked is fine.
    ///
    /// # Errors
    /// The pid is of another runtime.
    pub fn unlink(&self, pid: &Pid) -> Result<(), SignalError> {
        match self.manager()?.cell(pid) {
            Ok(cell) => super::topology::unlink(&self.own, &cell),
            Err(SignalError::NoProcess { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Asks a process to end.
    ///
    /// # Errors
    /// It is gone, or may not be cancelled by this one.
    pub fn cancel(&self, pid: &Pid, reason: &str) -> Result<(), SignalError> {
        self.target(pid, Action::Cancel)?.cancel(Some(&self.own.pid), reason);
        Ok(())
    }

    /// Ends a process by force.
    ///
    /// # Errors
    /// It is gone, or may not be terminated by this one.
    pub fn terminate(&self, pid: &Pid) -> Result<(), SignalError> {
        self.target(pid, Action::Terminate)?.terminate();
        Ok(())
    }

    /// Gives a name to a process, which keeps it until its end.
    ///
    /// # Errors
    /// Somebody else has it, or it is none; see [`SignalError`].
    pub fn register(&self, name: &str, pid: &Pid) -> Result<(), SignalError> {
        let cell = self.target(pid, Action::Name)?;
        self.manager()?.names().register(name, &cell)
    }

    /// Takes a name back from a process that has it and may be named by this one.
    ///
    /// # Errors
    /// Nobody has it, or somebody who may not be named by this one.
    pub fn unregister(&self, name: &str) -> Result<(), SignalError> {
        let manager = self.manager()?;
        let owner = manager.names().lookup(name).ok_or_else(|| SignalError::NoName { name: name.to_owned() })?;
        self.check(&owner, Action::Name)?;
        manager.names().unregister(name, &owner)
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("own", &self.own.pid).field("rules", &self.rules).finish_non_exhaustive()
    }
}
