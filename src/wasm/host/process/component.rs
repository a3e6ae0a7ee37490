//! The form for components: the functions of `wit/process.wit`.

use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::bindings::wippy::process::{mailbox, processes, types};
use super::own::{Deed, Own, Spawn};
use super::refusal::{Code, Refusal};
use super::tree::{TreeError, nodes_of, payload_of};
use crate::process::{self, Exit, FailureKind, Inbox, Payload, Pid};
use crate::registry::LimitsSpec;
use crate::wasi::WasiView;
use crate::wasm::state::State;

/// The interfaces with their version.
pub(in crate::wasm::host) const INTERFACES: [&str; 3] =
    ["wippy:process/types@0.1.0", "wippy:process/processes@0.1.0", "wippy:process/mailbox@0.1.0"];

pub(in crate::wasm::host) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    types::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    processes::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    mailbox::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// What a call answers that can be refused; the outer error ends the guest.
type Answer<T> = Result<Result<T, types::Error>>;

fn answer<T>(result: Result<T, Refusal>) -> Answer<T> {
    Ok(result.map_err(types::Error::from))
}

impl types::Host for State {}

impl processes::Host for State {
    fn self_(&mut self) -> Result<processes::Identity> {
        let own = self.own();
        Ok(processes::Identity {
            pid: own.pid().to_string(),
            entry: own.entry().to_string(),
            parent: own.peers().parent().map(Pid::to_string),
        })
    }

    fn spawn(
        &mut self,
        entry: String,
        arguments: Vec<types::Payload>,
        options: Option<processes::SpawnOptions>,
    ) -> Answer<String> {
        answer(spawn(self.own(), entry, arguments, options, |_| {}))
    }

    fn spawn_monitored(
        &mut self,
        entry: String,
        arguments: Vec<types::Payload>,
        options: Option<processes::SpawnOptions>,
    ) -> Answer<String> {
        answer(spawn(self.own(), entry, arguments, options, |spawn| spawn.monitor = true))
    }

    fn spawn_linked(
        &mut self,
        entry: String,
        arguments: Vec<types::Payload>,
        options: Option<processes::SpawnOptions>,
    ) -> Answer<String> {
        answer(spawn(self.own(), entry, arguments, options, |spawn| spawn.link = true))
    }

    fn send(&mut self, to: String, topic: String, payloads: Vec<types::Payload>) -> Answer<()> {
        answer(message(topic, payloads).and_then(|message| self.own().send(&to, message)))
    }

    async fn send_wait(&mut self, to: String, topic: String, payloads: Vec<types::Payload>) -> Answer<()> {
        match message(topic, payloads).and_then(|message| self.own().sending(&to, message)) {
            Ok(sending) => answer(sending.await),
            Err(refusal) => answer(Err(refusal)),
        }
    }

    fn monitor(&mut self, target: String) -> Answer<()> {
        answer(self.own().to_peer(&target, &Deed::Monitor))
    }

    fn unmonitor(&mut self, target: String) -> Answer<()> {
        answer(self.own().to_peer(&target, &Deed::Unmonitor))
    }

    fn link(&mut self, target: String) -> Answer<()> {
        answer(self.own().to_peer(&target, &Deed::Link))
    }

    fn unlink(&mut self, target: String) -> Answer<()> {
        answer(self.own().to_peer(&target, &Deed::Unlink))
    }

    fn cancel(&mut self, target: String, reason: String) -> Answer<()> {
        answer(self.own().to_peer(&target, &Deed::Cancel(&reason)))
    }

    fn terminate(&mut self, target: String) -> Answer<()> {
        answer(self.own().to_peer(&target, &Deed::Terminate))
    }

    fn register(&mut self, name: String, target: Option<String>) -> Answer<()> {
        answer(self.own().register(&name, target.as_deref()))
    }

    fn unregister(&mut self, name: String) -> Answer<()> {
        answer(self.own().unregister(&name))
    }

    fn lookup(&mut self, name: String) -> Result<Option<String>> {
        Ok(self.own().peers().lookup(&name).map(|pid| pid.to_string()))
    }
}

impl mailbox::Host for State {
    async fn receive(&mut self, timeout: Option<u64>) -> Result<Option<types::Message>> {
        let message = self.own().wait(timeout, Inbox::poll_message).await;
        Ok(message.map(Into::into))
    }

    async fn next_event(&mut self, timeout: Option<u64>) -> Result<Option<types::Event>> {
        let event = self.own().wait(timeout, Inbox::poll_event).await;
        Ok(event.map(Into::into))
    }

    async fn next(&mut self, timeout: Option<u64>) -> Result<Option<types::Signal>> {
        let signal = self.own().wait(timeout, Inbox::poll_signal).await;
        Ok(signal.map(|signal| match signal {
            process::Signal::Message(message) => types::Signal::Message(message.into()),
            process::Signal::Event(event) => types::Signal::Event(event.into()),
        }))
    }

    fn subscribe_messages(&mut self) -> Result<Resource<DynPollable>> {
        self.subscribe(Content::Messages)
    }

    fn subscribe_events(&mut self) -> Result<Resource<DynPollable>> {
        self.subscribe(Content::Events)
    }

    fn subscribe_signals(&mut self) -> Result<Resource<DynPollable>> {
        self.subscribe(Content::Either)
    }

    fn drop_oldest(&mut self, topic: String) -> Answer<()> {
        answer(self.own().drop_oldest(&topic))
    }

    fn trap_links(&mut self, trap: bool) -> Result<()> {
        self.own().inbox().trap_links(trap);
        Ok(())
    }
}

impl State {
    fn subscribe(&mut self, content: Content) -> Result<Resource<DynPollable>> {
        let ready = Ready { inbox: self.own().inbox().clone(), content };
        let table = self.wasi().table();
        let ready = table.push(ready)?;
        subscribe(table, ready)
    }
}

/// What a pollable looks for.
#[derive(Clone, Copy)]
enum Content {
    Messages,
    Events,
    Either,
}

/// A mailbox among the other things that a guest polls.
struct Ready {
    inbox: Inbox,
    content: Content,
}

#[async_trait]
impl Pollable for Ready {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| match self.content {
            Content::Messages => self.inbox.poll_has_message(context),
            Content::Events => self.inbox.poll_has_event(context),
            Content::Either => self.inbox.poll_has_signal(context),
        })
        .await;
    }
}

fn payloads_of(trees: Vec<types::Payload>) -> Result<Vec<Payload>, TreeError> {
    trees.into_iter().map(payload_of).collect()
}

fn message(topic: String, payloads: Vec<types::Payload>) -> Result<process::Message, Refusal> {
    Own::message(&topic, payloads_of(payloads)?)
}

fn spawn(
    own: &Own,
    entry: String,
    arguments: Vec<types::Payload>,
    options: Option<processes::SpawnOptions>,
    change: impl FnOnce(&mut Spawn),
) -> Result<String, Refusal> {
    let mut spawn = Spawn { entry, arguments: payloads_of(arguments)?, ..Spawn::default() };
    if let Some(options) = options {
        let draft = |draft: types::Draft| message(draft.topic, draft.payloads);
        spawn = Spawn {
            host: options.host,
            name: options.name,
            monitor: options.monitor,
            link: options.link,
            trap_links: options.trap_links,
            messages: options.messages.into_iter().map(draft).collect::<Result<_, _>>()?,
            limits: options.limits.map(limits_of).unwrap_or_default(),
            ..spawn
        };
    }
    change(&mut spawn);
    Ok(own.spawn(spawn)?.to_string())
}

fn limits_of(limits: processes::Limits) -> LimitsSpec {
    LimitsSpec {
        max_execution: limits.max_execution.map(Duration::from_nanos),
        max_cpu: limits.max_cpu.map(Duration::from_nanos),
        max_memory: limits.max_memory,
        max_fuel: limits.max_fuel,
        ..LimitsSpec::default()
    }
}

impl From<Refusal> for types::Error {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.into(), message: refusal.message }
    }
}

impl From<Code> for types::ErrorCode {
    fn from(code: Code) -> Self {
        match code {
            Code::NoProcess => Self::NoProcess,
            Code::NoName => Self::NoName,
            Code::NoEntry => Self::NoEntry,
            Code::NoHost => Self::NoHost,
            Code::Foreign => Self::Foreign,
            Code::NotAllowed => Self::NotAllowed,
            Code::Invalid => Self::Invalid,
            Code::TooLarge => Self::TooLarge,
            Code::TooMany => Self::TooMany,
            Code::Busy => Self::Busy,
            Code::Taken => Self::Taken,
            Code::Already => Self::Already,
            Code::Closed => Self::Closed,
            Code::Failed => Self::Failed,
        }
    }
}

impl From<process::Message> for types::Message {
    fn from(message: process::Message) -> Self {
        Self {
            from: message.from.as_ref().map(Pid::to_string),
            topic: message.topic.to_string(),
            payloads: message.payloads.into_iter().map(nodes_of).collect(),
        }
    }
}

impl From<process::Event> for types::Event {
    fn from(event: process::Event) -> Self {
        let ended = |from: Pid, exit: &Exit| types::Ended { pid: from.to_string(), exit: exit.into() };
        match event {
            process::Event::Exit { from, exit, .. } => Self::Exit(ended(from, &exit)),
            process::Event::LinkDown { from, exit, .. } => Self::LinkDown(ended(from, &exit)),
            process::Event::Cancel { from, reason } => {
                Self::Cancel(types::Request { from: from.as_ref().map(Pid::to_string), reason })
            }
        }
    }
}

impl From<&Exit> for types::ExitKind {
    fn from(exit: &Exit) -> Self {
        match exit {
            Exit::Returned(_) => Self::Returned,
            Exit::Exited(_) => Self::Exited,
            Exit::Trapped(_) => Self::Trapped,
            Exit::LimitExceeded(_) => Self::LimitExceeded,
            Exit::Cancelled { .. } => Self::Cancelled,
            Exit::Terminated => Self::Terminated,
            Exit::Failed(failure) if failure.kind == FailureKind::LinkedProcess => Self::LinkedProcess,
            Exit::Failed(failure) if failure.kind == FailureKind::NoProcess => Self::NoProcess,
            Exit::Failed(_) => Self::Failed,
        }
    }
}

impl From<&Exit> for types::Exit {
    fn from(exit: &Exit) -> Self {
        let value = match exit {
            // Everybody who is told holds the same value, so here it is copied.
            Exit::Returned(value) => Some(nodes_of(value.clone())),
            _ => None,
        };
        let code = match exit {
            Exit::Exited(code) => Some(*code),
            _ => None,
        };
        Self { kind: exit.into(), value, code, message: exit.to_string() }
    }
}
