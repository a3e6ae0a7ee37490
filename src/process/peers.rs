//! The other processes, as one of them sees them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::cell::ProcessCell;
use super::context::ContextValues;
use super::message::{Message, SignalError};
use super::sending::Sending;
use super::{Bus, CallChain, FormError, Manager, Payload, Pid, SpawnError, Start};
use crate::registry::{EntryId, IdPattern, PeerRules, Reach};
use crate::security::{Denied, Policies, SecurityContext};

/// What is done with another process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Send,
    Monitor,
    Unmonitor,
    Link,
    Unlink,
    Cancel,
    Terminate,
    Name,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Send => "send to",
            Self::Monitor => "monitor",
            Self::Unmonitor => "unmonitor",
            Self::Link => "link with",
            Self::Unlink => "unlink",
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
            Self::Name => "give a name to",
        }
    }

    /// What policies know it as, and what it is in words.
    fn permission(self) -> (&'static str, &'static str) {
        match self {
            Self::Send => ("process.send", "send to process"),
            Self::Monitor => ("process.monitor", "monitor process"),
            Self::Unmonitor => ("process.unmonitor", "unmonitor process"),
            Self::Link => ("process.link", "link process"),
            Self::Unlink => ("process.unlink", "unlink process"),
            Self::Cancel => ("process.cancel", "cancel process"),
            Self::Terminate => ("process.terminate", "terminate process"),
            Self::Name => ("process.registry.foreign", "name process"),
        }
    }

    /// Whether a process may do it with the one that started it.
    fn is_for_parents(self) -> bool {
        matches!(self, Self::Send | Self::Monitor | Self::Link)
    }
}

/// What one process may ask of the others; given to it with its [`Birth`](super::Birth).
///
/// Whatever it does is checked against the rules of its entry, and then against its policies, where it has an actor and a
/// scope.
#[derive(Clone)]
pub struct Peers {
    own: Arc<ProcessCell>,
    security: SecurityContext,
    context: ContextValues,
}

impl Peers {
    pub(super) fn new(own: Arc<ProcessCell>, security: SecurityContext, context: ContextValues) -> Self {
        Self { own, security, context }
    }

    /// The process itself.
    pub(super) fn own(&self) -> &Arc<ProcessCell> {
        &self.own
    }

    /// What its program says that it may do.
    fn rules(&self) -> &PeerRules {
        self.own.spot.program.peer_rules()
    }

    fn living_manager(&self) -> Option<Arc<Manager>> {
        self.own.ground.realm.manager.upgrade()
    }

    /// What the process can look up: what was given to it and to those who started it.
    #[must_use]
    pub fn context(&self) -> &ContextValues {
        &self.context
    }

    /// The name of the process itself.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        &self.own.pid
    }

    /// The entry of the process itself.
    #[must_use]
    pub fn entry(&self) -> &EntryId {
        self.own.entry()
    }

    /// The process that started it, if one did.
    #[must_use]
    pub fn parent(&self) -> Option<&Pid> {
        self.own.parent.as_ref()
    }

    /// Who the process acts as, and by which policies.
    #[must_use]
    pub fn security(&self) -> &SecurityContext {
        &self.security
    }

    /// The policies of the application; none once the runtime is gone.
    #[must_use]
    pub fn policies(&self) -> Policies {
        self.living_manager().map(|manager| manager.policies().clone()).unwrap_or_default()
    }

    /// The bus of the runtime; one that nobody else is on once the runtime is gone.
    #[must_use]
    pub fn bus(&self) -> Bus {
        self.living_manager().map(|manager| manager.bus().clone()).unwrap_or_default()
    }

    /// Whether the policies of the process allow an action on a resource. They know this process as `meta.pid`.
    ///
    /// # Errors
    /// They do not; the error says so in the words of `deed`.
    pub fn check_allowed(
        &self,
        action: &'static str,
        deed: &'static str,
        resource: &dyn fmt::Display,
    ) -> Result<(), Denied> {
        self.security.check(action, deed, resource, &[("pid", &self.own.pid)])
    }

    /// Whether the process may become one of this entry: it may, unless a policy denies it.
    ///
    /// # Errors
    /// One does.
    #[cfg(feature = "lua")]
    pub(crate) fn check_upgrade(&self, entry: &EntryId) -> Result<(), Denied> {
        match self.security.denies("process.upgrade", entry, &[("pid", &self.own.pid)]) {
            true => Err(Denied { action: "process.upgrade", deed: "upgrade to process", resource: entry.to_string() }),
            false => Ok(()),
        }
    }

    /// Whether there is a process entry of this ID.
    ///
    /// # Errors
    /// There is none; the error says which there are.
    #[cfg(feature = "lua")]
    pub(crate) fn knows(&self, entry: &EntryId) -> Result<(), SpawnError> {
        let closing = || SpawnError::Closing { host: self.own.pid.host().clone() };
        self.living_manager().ok_or_else(closing)?.program(entry).map(drop)
    }

    /// The process runs this entry from now on.
    #[cfg(feature = "lua")]
    pub(crate) fn becomes(&self, entry: &EntryId) {
        self.own.becomes(entry);
    }

    /// What a process of an entry has returned, in the form in which a script is to see it.
    ///
    /// # Errors
    /// See [`Program::for_scripts`](super::Program::for_scripts).
    pub fn for_scripts<'a>(&self, entry: &EntryId, value: &'a Payload) -> Result<Cow<'a, Payload>, FormError> {
        let manager = self.living_manager();
        match manager.as_ref().and_then(|manager| manager.program(entry).ok()) {
            Some(program) => program.for_scripts(value),
            None => Ok(Cow::Borrowed(value)),
        }
    }

    fn ask(&self, action: Action, pid: &Pid) -> Result<(), Denied> {
        let (permission, deed) = action.permission();
        self.check_allowed(permission, deed, pid)
    }

    /// The function calls that the process is in.
    #[must_use]
    pub fn calls(&self) -> &CallChain {
        &self.own.calls
    }

    fn manager(&self) -> Result<Arc<Manager>, SignalError> {
        self.living_manager().ok_or(SignalError::Closed)
    }

    /// The process of a pid or a name, and the right to do this with it.
    fn target(&self, pid: &Pid, action: Action) -> Result<Arc<ProcessCell>, SignalError> {
        // Before anybody looks: who may not do it learns nothing of who lives.
        self.ask(action, pid)?;
        let cell = self.manager()?.cell(pid)?;
        self.check(&cell, action)?;
        Ok(cell)
    }

    fn check(&self, cell: &ProcessCell, action: Action) -> Result<(), SignalError> {
        let is_child = || cell.parent.as_ref() == Some(&self.own.pid);
        let is_parent = || self.own.parent.as_ref() == Some(&cell.pid);
        if self.rules().signal == Reach::Any
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
        self.check(cell, Action::Send)?;
        Ok(self.ask(Action::Send, &cell.pid)?)
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
        self.living_manager()?.lookup(name)
    }

    /// Starts a process, as a child of this one. Monitor, link and name of the start are in place before its first step.
    ///
    /// # Errors
    /// See [`SpawnError`]; [`SpawnError::NotAllowed`] for an entry or a host that is not in the entry's list,
    /// [`SpawnError::Denied`] for what its policies do not allow.
    pub fn spawn(&self, mut start: Start) -> Result<Pid, SpawnError> {
        let manager = self.living_manager().ok_or_else(|| SpawnError::Closing { host: start.host.clone() })?;
        let allows = |patterns: &[IdPattern], id: &EntryId| patterns.iter().any(|pattern| pattern.matches(id));
        let not_allowed = |target: &EntryId, hint| SpawnError::NotAllowed {
            from: self.own.pid.clone(),
            target: target.clone(),
            hint,
        };
        if !allows(&self.rules().spawn, &start.entry) {
            return Err(not_allowed(&start.entry, "list it in `process: { spawn: [...] }` of its entry"));
        }
        let is_own_host = self.rules().hosts.is_empty() && start.host == *self.own.pid.host();
        if !is_own_host && !allows(&self.rules().hosts, &start.host) {
            return Err(not_allowed(&start.host, "list the host in `process: { hosts: [...] }` of its entry"));
        }
        self.may_start(&start)?;
        start.messages.iter_mut().for_each(|message| message.from = Some(self.own.pid.clone()));
        start.starter = Some(self.clone());
        manager.spawn(start).map(|handle| handle.pid().clone())
    }

    /// What policies say of a start and all that is in it.
    fn may_start(&self, start: &Start) -> Result<(), Denied> {
        match start.for_result {
            true => self.check_allowed("process.exec", "execute process", &start.entry)?,
            false => self.check_allowed("process.spawn", "spawn process", &start.entry)?,
        }
        if start.monitored_by.is_some() {
            self.check_allowed("process.spawn.monitored", "spawn monitored process", &start.entry)?;
        }
        if start.linked_with.is_some() {
            self.check_allowed("process.spawn.linked", "spawn linked process", &start.entry)?;
        }
        self.check_allowed("process.host", "spawn process on host", &start.host)?;
        if let Some(name) = &start.name {
            self.check_allowed("process.registry.register", "register name", name)?;
        }
        if !start.context.is_empty() {
            self.check_allowed("process.context", "give a process context", &"context")?;
        }
        if start.actor.is_some() || start.scope.is_some() {
            self.check_allowed("process.security", "change actor or scope", &"security")?;
        }
        Ok(())
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
        self.ask(Action::Monitor, pid)?;
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
    /// The pid is of another runtime, or its policies do not allow it.
    pub fn unmonitor(&self, pid: &Pid) -> Result<(), SignalError> {
        self.ask(Action::Unmonitor, pid)?;
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
    /// The pid is of another runtime, or its policies do not allow it.
    pub fn unlink(&self, pid: &Pid) -> Result<(), SignalError> {
        self.ask(Action::Unlink, pid)?;
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
        self.check_allowed("process.registry.register", "register name", &name)?;
        let cell = match *pid == self.own.pid {
            true => self.manager()?.cell(pid)?,
            false => self.target(pid, Action::Name)?,
        };
        self.manager()?.names().register(name, &cell)
    }

    /// Takes a name back from a process that has it and may be named by this one.
    ///
    /// # Errors
    /// Nobody has it, or somebody who may not be named by this one.
    pub fn unregister(&self, name: &str) -> Result<(), SignalError> {
        self.check_allowed("process.registry.unregister", "unregister name", &name)?;
        let manager = self.manager()?;
        let owner = manager.names().lookup(name).ok_or_else(|| SignalError::NoName { name: name.to_owned() })?;
        self.check(&owner, Action::Name)?;
        if owner.pid != self.own.pid {
            self.ask(Action::Name, &owner.pid)?;
        }
        manager.names().unregister(name, &owner)
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("own", &self.own.pid).field("rules", self.rules()).finish_non_exhaustive()
    }
}
