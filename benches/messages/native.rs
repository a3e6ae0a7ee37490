//! The same ring and the same flood by native processes: what is left when no guest is entered.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use wippy::process::{
    ArgumentError, Birth, Event, Exit, Inbox, Message, Payload, Peers, Pid, Process, Program, Progress, ResultStyle,
    Start,
};
use wippy::registry::EntryId;

/// What a process of these does, and the entry that stands for it.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Ring,
    RingNode,
    Flood,
    Sink,
}

impl Role {
    pub(crate) const ALL: [Role; 4] = [Role::Ring, Role::RingNode, Role::Flood, Role::Sink];

    fn entry(self) -> EntryId {
        let name = match self {
            Role::Ring => "ring",
            Role::RingNode => "ring-node",
            Role::Flood => "flood",
            Role::Sink => "sink",
        };
        EntryId::new("native", name).expect("an ID")
    }
}

/// A program of native processes.
pub(crate) struct Native(Role, EntryId);

impl Native {
    pub(crate) fn new(role: Role) -> Native {
        Native(role, role.entry())
    }
}

struct Running(Pin<Box<dyn Future<Output = Payload> + Send>>);

impl Program for Native {
    fn entry(&self) -> &EntryId {
        &self.1
    }

    fn check(&self, _: &[Payload]) -> Result<(), ArgumentError> {
        Ok(())
    }

    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(Vec::new())
    }

    fn receives(&self) -> bool {
        true
    }

    fn create(&self, birth: Birth) -> Box<dyn Process> {
        let inbox = birth.inbox();
        let Birth { input, peers, .. } = birth;
        let own = Own { inbox, peers };
        Box::new(match self.0 {
            Role::Ring => Running(Box::pin(ring(own, number(&input[0]), number(&input[1])))),
            Role::RingNode => Running(Box::pin(ring_node(own, pid(&input[0])))),
            Role::Flood => Running(Box::pin(flood(own, number(&input[0]), number(&input[1])))),
            Role::Sink => Running(Box::pin(sink(own, number(&input[0])))),
        })
    }

    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

impl Process for Running {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        match self.0.as_mut().poll(context) {
            Poll::Ready(result) => Progress::Exit(Exit::Returned(result)),
            Poll::Pending => Progress::Idle,
        }
    }
}

struct Own {
    inbox: Inbox,
    peers: Peers,
}

impl Own {
    async fn message(&self) -> Message {
        poll_fn(|context| self.inbox.poll_message(context)).await
    }

    async fn event(&self) -> Event {
        poll_fn(|context| self.inbox.poll_event(context)).await
    }

    fn start(&self, role: Role, input: Payload) -> Start {
        Start::new(role.entry(), self.peers.pid().host().clone()).input([input])
    }

    fn send(&self, to: &Pid, topic: &str, payloads: Vec<Payload>) {
        let message = Message::new(topic.parse().expect("a topic"), payloads);
        self.peers.send(to, message).expect("somebody who reads");
    }
}

fn number(value: &Payload) -> i64 {
    match value {
        Payload::Int(value) => *value,
        other => panic!("a number and not {other}"),
    }
}

fn pid(value: &Payload) -> Pid {
    value.as_str().expect("text").parse().expect("a pid")
}

async fn ring(own: Own, nodes: i64, rounds: i64) -> Payload {
    let mut next = own.peers.pid().clone();
    for _ in 1..nodes {
        next = own.peers.spawn(own.start(Role::RingNode, next.to_string().into())).expect("room");
    }
    let mut hops = 0;
    for _ in 0..rounds {
        own.send(&next, "token", vec![(hops + 1).into()]);
        hops = number(&own.message().await.payloads[0]);
    }
    own.send(&next, "stop", Vec::new());
    assert_eq!(own.message().await.topic.as_str(), "stop");
    hops.into()
}

async fn ring_node(own: Own, next: Pid) -> Payload {
    let mut passed = 0;
    loop {
        let message = own.message().await;
        if message.topic.as_str() == "stop" {
            own.send(&next, "stop", Vec::new());
            return passed.into();
        }
        own.send(&next, "token", vec![(number(&message.payloads[0]) + 1).into()]);
        passed += 1;
    }
}

async fn flood(own: Own, messages: i64, bytes: i64) -> Payload {
    let mut start = own.start(Role::Sink, messages.into());
    start.monitored_by = Some(own.peers.pid().clone());
    let sink = own.peers.spawn(start).expect("room");
    let word = Bytes::from(vec![7; usize::try_from(bytes).expect("a length")]);
    for _ in 0..messages {
        let message = Message::new("word".parse().expect("a topic"), [word.clone()]);
        own.peers.sending(&sink, message).expect("somebody who lives").await.expect("somebody who reads");
    }
    match own.event().await {
        Event::Exit { exit, .. } if exit.is_normal() => messages.into(),
        other => panic!("expected the end of the sink, not {other:?}"),
    }
}

async fn sink(own: Own, messages: i64) -> Payload {
    let mut bytes = 0;
    for _ in 0..messages {
        let message = own.message().await;
        let Payload::Bytes(word) = &message.payloads[0] else { panic!("bytes") };
        bytes += i64::try_from(word.len()).expect("a length");
    }
    bytes.into()
}
