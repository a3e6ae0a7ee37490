//! A start: what it needs, and why there was none.

use std::fmt;

use indexmap::IndexMap;

use super::cell::Watcher;
use super::message::{Message, SignalError};
use super::{ArgumentError, CallChain, Keep, Payload, Peers, Pid, Stdio};
use crate::registry::{EntryId, LimitsSpec};
use crate::security::{Actor, Denied, Scope};

/// What is needed to start a process.
///
/// ```
/// use wippy::process::Start;
///
/// let start = Start::new("app:worker".parse()?, "app:processes".parse()?).input([6.into(), 7.into()]);
/// # Ok::<(), wippy::registry::ParseIdError>(())
/// ```
#[non_exhaustive]
pub struct Start {
    /// The entry of the program.
    pub entry: EntryId,
    /// The entry of the host.
    pub host: EntryId,
    /// The arguments.
    pub input: Vec<Payload>,
    /// Limits of this process alone, before those of its entry; the ceilings of its host hold all the same.
    pub limits: LimitsSpec,
    /// The name of the process. When somebody has it, nothing is started: that process gets the messages, the monitor and the
    /// link, and its handle is returned.
    pub name: Option<String>,
    /// The process that monitors it.
    pub monitored_by: Option<Pid>,
    /// The process that is linked with it.
    pub linked_with: Option<Pid>,
    /// Whether it has the abnormal end of linked processes as an event, instead of ending with them.
    pub trap_links: bool,
    /// What is in its mailbox before its first step.
    pub messages: Vec<Message>,
    /// Where its standard streams lead, instead of where those of its host do.
    pub stdio: Option<Stdio>,
    /// Who it acts as; like its starter when none is given, or like its host when that acts as nobody.
    pub actor: Option<Actor>,
    /// The policies it acts by; found in the same way.
    pub scope: Option<Scope>,
    /// What it and everybody that it starts can look up, beside what its starter could.
    pub context: IndexMap<String, Payload>,
    /// Whether somebody waits for what it returns: policies know the start as `process.exec` then.
    pub for_result: bool,
    /// The process that starts it.
    pub(super) starter: Option<Peers>,
    /// The function calls that it is in.
    pub(super) calls: CallChain,
    /// Where it finds an instance, and leaves one.
    pub(super) keep: Option<Keep>,
    /// Who is told of the exit; in place before the first step, so that no exit can be missed.
    pub watchers: Vec<Box<dyn Watcher>>,
}

impl Start {
    /// A start of this entry on this host, without arguments.
    #[must_use]
    pub fn new(entry: EntryId, host: EntryId) -> Self {
        Self {
            entry,
            host,
            input: Vec::new(),
            limits: LimitsSpec::default(),
            name: None,
            monitored_by: None,
            linked_with: None,
            trap_links: false,
            messages: Vec::new(),
            stdio: None,
            actor: None,
            scope: None,
            context: IndexMap::new(),
            for_result: false,
            starter: None,
            calls: CallChain::default(),
            keep: None,
            watchers: Vec::new(),
        }
    }

    /// With these arguments.
    #[must_use]
    pub fn input(mut self, input: impl IntoIterator<Item = Payload>) -> Self {
        self.input = input.into_iter().collect();
        self
    }

    /// With limits of its own: what is silent in them is as the entry says.
    #[must_use]
    pub fn limits(mut self, limits: LimitsSpec) -> Self {
        self.limits = limits;
        self
    }

    /// With this name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Monitored by this process.
    #[must_use]
    pub fn monitored_by(mut self, pid: Pid) -> Self {
        self.monitored_by = Some(pid);
        self
    }

    /// Linked with this process.
    #[must_use]
    pub fn linked_with(mut self, pid: Pid) -> Self {
        self.linked_with = Some(pid);
        self
    }

    /// With a message that is there before its first step.
    #[must_use]
    pub fn message(mut self, message: Message) -> Self {
        self.messages.push(message);
        self
    }

    /// With standard streams that lead elsewhere than those of its host.
    #[must_use]
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.stdio = Some(stdio);
        self
    }

    /// With this to look up, for it and everybody that it starts. A process needs leave for `process.context` to say so.
    ///
    /// ```
    /// use wippy::process::Start;
    ///
    /// let start = Start::new("app:worker".parse()?, "app:processes".parse()?).context("request", "r-1".into());
    /// assert_eq!(start.context["request"], "r-1".into());
    /// # Ok::<(), wippy::registry::ParseIdError>(())
    /// ```
    #[must_use]
    pub fn context(mut self, key: impl Into<String>, value: Payload) -> Self {
        self.context.insert(key.into(), value);
        self
    }

    /// As this actor, and so everybody that it starts. A process needs leave for `process.security` to say so.
    ///
    /// ```
    /// use wippy::process::Start;
    /// use wippy::security::{Actor, Scope};
    ///
    /// let start = Start::new("app:worker".parse()?, "app:processes".parse()?).actor(Actor::new("user:ann"));
    /// assert_eq!(start.actor.as_ref().map(Actor::id), Some("user:ann"));
    /// // By no policy at all: nothing that policies are asked about is allowed.
    /// let start = start.scope(Scope::default());
    /// # Ok::<(), wippy::registry::ParseIdError>(())
    /// ```
    #[must_use]
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// By these policies, and so everybody that it starts. A process needs leave for `process.security` to say so.
    ///
    /// ```
    /// use wippy::Runtime;
    /// use wippy::process::Start;
    /// use wippy::security::Actor;
    ///
    /// let runtime = Runtime::builder().load("fixtures/apps/secured").build()?;
    /// let users = runtime.policies().group("users").ok_or("no such group")?;
    /// let start = Start::new("secured:listener".parse()?, "secured:processes".parse()?);
    /// let listener = runtime.manager().spawn(start.actor(Actor::new("user:ann")).scope(users))?;
    /// # drop(listener);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// By somebody who waits for what it returns: policies are asked about `process.exec` instead of `process.spawn`.
    #[must_use]
    pub fn for_result(mut self) -> Self {
        self.for_result = true;
        self
    }

    /// As the answer to a function call, the last one of these, by this process if one called; with the instance that is
    /// kept here, where instances are kept.
    #[must_use]
    pub(crate) fn answering(mut self, calls: CallChain, caller: Option<Peers>, keep: Option<Keep>) -> Self {
        self.calls = calls;
        self.starter = caller;
        self.keep = keep;
        self
    }

    /// With somebody who is told of the exit.
    #[must_use]
    pub fn watch(mut self, watcher: impl Watcher + 'static) -> Self {
        self.watchers.push(Box::new(watcher));
        self
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("entry", &self.entry)
            .field("host", &self.host)
            .field("input", &self.input)
            .field("limits", &self.limits)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why a process was not started. The caller's mistakes and the host's state; what goes wrong later is an
/// [`Exit`](super::Exit).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No process entry has this ID.
    #[error("no process entry `{entry}`{}", hint(.known))]
    UnknownEntry {
        /// What was asked for.
        entry: EntryId,
        /// The process entries there are.
        known: Vec<EntryId>,
    },
    /// The text names no entry.
    #[error("{cause}")]
    InvalidId {
        /// Why not.
        cause: String,
    },
    /// A start without a host needs exactly one of its kind.
    #[error("{}", only_host(.kind, .known))]
    NotOneHost {
        /// The kind of entry that is looked for: `process.host` or `terminal.host`.
        kind: &'static str,
        /// The hosts of this kind.
        known: Vec<EntryId>,
    },
    /// No host has this ID.
    #[error("no host `{host}`{}", host_hint(.known))]
    UnknownHost {
        /// What was asked for.
        host: EntryId,
        /// The hosts there are.
        known: Vec<EntryId>,
    },
    /// There is more to look up than a process may have.
    #[error("`{entry}`: the context of a process may take {allowed} bytes; this one takes {bytes}")]
    Context {
        /// The entry.
        entry: EntryId,
        /// What it takes.
        bytes: usize,
        /// What it may take.
        allowed: usize,
    },
    /// The arguments do not fit the entry's function.
    #[error("`{entry}`: {error}")]
    Arguments {
        /// The entry.
        entry: EntryId,
        /// What does not fit.
        error: ArgumentError,
    },
    /// The entry can't run with these limits.
    #[error("`{entry}`: {error}")]
    Limits {
        /// The entry.
        entry: EntryId,
        /// What does not fit.
        error: ArgumentError,
    },
    /// The processes of the entry can't be preempted, and the host takes no such.
    #[error(
        "`{entry}` has `preempt: none`, which host `{host}` does not allow: write `allow_preempt_none: true` under `host:` of a \
         `process.host` and start it there"
    )]
    PreemptNone {
        /// The entry.
        entry: EntryId,
        /// The host.
        host: EntryId,
    },
    /// A process wants to start what its entry does not list.
    #[error("`{from}` may not start `{target}`: {hint}")]
    NotAllowed {
        /// Who tried.
        from: Pid,
        /// The entry, or the host.
        target: EntryId,
        /// What would allow it.
        hint: &'static str,
    },
    /// No policy of the process that wants to start it allows it, or one denies it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The name, the monitor, the link or a message of the start can't be.
    #[error("`{entry}`: {error}")]
    Signal {
        /// The entry.
        entry: EntryId,
        /// Why not.
        error: Box<SignalError>,
    },
    /// There is no room for another process now: at its host, by what that declares, or in the whole runtime, by what
    /// bounds it on this machine.
    #[error("{}", busy(.host, .bound, *.allowed, *.live, .raise.as_deref()))]
    Busy {
        /// The host.
        host: EntryId,
        /// The bound that was reached: `max_processes` or `max_queued` of the host, or the name of a
        /// [`Resource`](super::Resource).
        bound: &'static str,
        /// How many that allows; of a resource, processes like this one in an otherwise empty runtime. When that is zero
        /// no waiting helps.
        allowed: usize,
        /// How many processes live: at the host, or in the runtime when a resource is the bound.
        live: usize,
        /// The setting that raises it, when a resource is the bound.
        raise: Option<String>,
    },
    /// The host could not get its threads or its reactor.
    #[error("host `{host}` could not start: {cause}")]
    Start {
        /// The host.
        host: EntryId,
        /// What the operating system said.
        cause: String,
    },
    /// The host is shutting down.
    #[error("host `{host}` is shutting down")]
    Closing {
        /// The host.
        host: EntryId,
    },
}

fn busy(host: &EntryId, bound: &str, allowed: usize, live: usize, raise: Option<&str>) -> String {
    match raise {
        None => {
            format!(
                "host `{host}` is full: {live} processes, and its `{bound}` is {allowed}; wait for one and try again"
            )
        }
        Some(raise) if allowed == 0 => {
            format!("no process like this fits here: the bound is {bound}, and what raises it is: {raise}")
        }
        Some(raise) => format!(
            "no room on `{host}`: {live} processes live, and the bound of all hosts, {bound}, has room for {allowed} like \
             this; wait for one and try again, or raise it: {raise}"
        ),
    }
}

fn names(known: &[EntryId]) -> String {
    known.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

fn hint(known: &[EntryId]) -> String {
    if known.is_empty() { "; the application has none".into() } else { format!("; there are {}", names(known)) }
}

fn only_host(kind: &str, known: &[EntryId]) -> String {
    if known.is_empty() {
        let name = kind.split('.').next().unwrap_or(kind);
        format!("the application has no `{kind}`; declare one:\n  - name: {name}\n    kind: {kind}")
    } else {
        format!("the application has several entries of kind `{kind}`: {}; name one of them", names(known))
    }
}

fn host_hint(known: &[EntryId]) -> String {
    if known.is_empty() {
        "; declare one:\n  - name: processes\n    kind: process.host".into()
    } else {
        format!("; there are {}", names(known))
    }
}
