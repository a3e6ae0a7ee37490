//! What a guest does with other processes, in the terms of both forms of the interface.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::super::embedder::HostContext;
use super::flat::Current;
use super::refusal::Refusal;
use crate::function::Call;
use crate::limits::{Usage, forget_waits};
use crate::process::{Birth, Inbox, Message, Payload, Peers, Pid, Start};
use crate::reactor::Sleep;
use crate::registry::{EntryId, LimitsSpec};
use crate::wasm::program::Program;

/// A process as its own guest knows it.
pub(in crate::wasm) struct Own {
    program: Arc<Program>,
    /// All that it was given, but the arguments.
    birth: Birth,
    inbox: Inbox,
    /// What functions of an embedder know of it, once one was called.
    context: Option<HostContext>,
    /// What a core module looks at; a component is given all of it at once.
    pub(super) current: Current,
}

/// A start in the words of a guest.
#[derive(Default)]
pub(super) struct Spawn {
    pub(super) entry: String,
    pub(super) arguments: Vec<Payload>,
    pub(super) host: Option<String>,
    pub(super) name: Option<String>,
    pub(super) monitor: bool,
    pub(super) link: bool,
    pub(super) trap_links: bool,
    pub(super) messages: Vec<Message>,
    pub(super) limits: LimitsSpec,
}

impl Own {
    pub(in crate::wasm) fn new(program: Arc<Program>, birth: Birth) -> Self {
        Self { program, inbox: birth.inbox(), birth, context: None, current: Current::default() }
    }

    pub(in crate::wasm) fn program(&self) -> &Program {
        &self.program
    }

    pub(in crate::wasm) fn birth(&self) -> &Birth {
        &self.birth
    }

    /// Calls a function on behalf of the process: the call ends with what is returned.
    pub(in crate::wasm::host) fn call(&self, target: &str, input: Payload) -> Call {
        self.program.surroundings.functions.call(self.peers(), target, vec![input])
    }

    /// The process as functions of an embedder know it.
    pub(in crate::wasm) fn host_context(&mut self, usage: &Arc<Usage>) -> HostContext {
        let Self { program, birth, context, .. } = self;
        let make = || {
            let (reactor, usage) = (Arc::clone(birth.reactor()), Arc::clone(usage));
            let functions = program.surroundings.functions.clone();
            HostContext::new(birth.entry().clone(), birth.peers.clone(), usage, reactor, functions)
        };
        context.get_or_insert_with(make).clone()
    }

    pub(in crate::wasm) fn pid(&self) -> &Pid {
        self.birth.pid()
    }

    pub(super) fn entry(&self) -> &EntryId {
        self.birth.entry()
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.birth.peers
    }

    /// The process that a text means: a pid, or a name.
    pub(super) fn target(&self, text: &str) -> Result<Pid, Refusal> {
        // No name begins like this, so what is wrong with it as a pid is worth more than that nobody is called so.
        if text.starts_with('{') {
            return Ok(text.parse()?);
        }
        Ok(self.peers().resolve(text)?)
    }

    pub(super) fn spawn(&self, spawn: Spawn) -> Result<Pid, Refusal> {
        let id = |text: &str| text.parse::<EntryId>().map_err(|error| Refusal::invalid(error.to_string()));
        let host = spawn.host.as_deref().map(id).transpose()?;
        let own = self.pid();
        let mut start = Start::new(id(&spawn.entry)?, host.unwrap_or_else(|| own.host().clone()));
        start.input = spawn.arguments;
        start.limits = spawn.limits;
        start.name = spawn.name;
        start.monitored_by = spawn.monitor.then(|| own.clone());
        start.linked_with = spawn.link.then(|| own.clone());
        start.trap_links = spawn.trap_links;
        start.messages = spawn.messages;
        Ok(self.peers().spawn(start)?)
    }

    /// A message, checked as far as that goes without its receiver.
    pub(super) fn message(topic: &str, payloads: Vec<Payload>) -> Result<Message, Refusal> {
        Ok(Message::new(topic.parse()?, payloads))
    }

    pub(super) fn send(&self, to: &str, message: Message) -> Result<(), Refusal> {
        Ok(self.peers().send(&self.target(to)?, message)?)
    }

    /// Sends when there is room. Nobody makes room in the mailbox of who waits here, so that one is only tried.
    pub(super) fn sending(
        &self,
        to: &str,
        message: Message,
    ) -> Result<impl Future<Output = Result<(), Refusal>> + Send + 'static, Refusal> {
        let to = self.target(to)?;
        let sending = match to == *self.pid() {
            true => {
                self.peers().send(&to, message)?;
                None
            }
            false => Some(self.peers().sending(&to, message)?),
        };
        Ok(async move {
            match sending {
                Some(sending) => Ok(sending.await?),
                None => Ok(()),
            }
        })
    }

    /// What `poll` takes out of the mailbox, as soon as it is there; `None` when `timeout`, in nanoseconds, is over before.
    pub(super) fn wait<T, F>(&self, timeout: Option<u64>, poll: F) -> Waiting<F>
    where
        F: FnMut(&Inbox, &mut Context<'_>) -> Poll<T>,
    {
        let deadline = match timeout {
            None => Deadline::Never,
            Some(0) => Deadline::Now,
            Some(nanos) => {
                let end = self.birth.reactor().clock().now().saturating_add(Duration::from_nanos(nanos));
                Deadline::At(self.birth.reactor().sleep_until(end))
            }
        };
        Waiting { inbox: self.inbox().clone(), poll, deadline }
    }
}

enum Deadline {
    Never,
    Now,
    At(Sleep),
}

/// A wait for something in the mailbox.
pub(super) struct Waiting<F> {
    inbox: Inbox,
    poll: F,
    deadline: Deadline,
}

impl<T, F: FnMut(&Inbox, &mut Context<'_>) -> Poll<T> + Unpin> Future for Waiting<F> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { inbox, poll, deadline } = self.get_mut();
        if let Poll::Ready(found) = poll(inbox, context) {
            return Poll::Ready(Some(found));
        }
        let is_over = match deadline {
            Deadline::Never => false,
            Deadline::Now => true,
            Deadline::At(sleep) => Pin::new(sleep).poll(context).is_ready(),
        };
        if is_over {
            forget_waits();
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl Own {
    /// Gives a name, to this process when nobody else is meant.
    pub(super) fn register(&self, name: &str, target: Option<&str>) -> Result<(), Refusal> {
        let target = target.map(|text| self.target(text)).transpose()?;
        Ok(self.peers().register(name, target.as_ref().unwrap_or_else(|| self.pid()))?)
    }

    pub(super) fn unregister(&self, name: &str) -> Result<(), Refusal> {
        Ok(self.peers().unregister(name)?)
    }

    pub(super) fn drop_oldest(&self, topic: &str) -> Result<(), Refusal> {
        Ok(self.inbox().drop_oldest(topic.parse()?)?)
    }

    /// What is done with one other process, by the text that names it.
    pub(super) fn to_peer(&self, target: &str, deed: &Deed<'_>) -> Result<(), Refusal> {
        let (peers, pid) = (self.peers(), self.target(target)?);
        Ok(match deed {
            Deed::Monitor => peers.monitor(&pid),
            Deed::Unmonitor => peers.unmonitor(&pid),
            Deed::Link => peers.link(&pid),
            Deed::Unlink => peers.unlink(&pid),
            Deed::Cancel(reason) => peers.cancel(&pid, reason),
            Deed::Terminate => peers.terminate(&pid),
        }?)
    }
}

/// What one process does with another.
pub(super) enum Deed<'a> {
    Monitor,
    Unmonitor,
    Link,
    Unlink,
    Cancel(&'a str),
    Terminate,
}
