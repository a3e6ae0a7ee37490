//! Processes that have to do with each other: native ones that do what they are told and write down what they hear.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;

mod allowed;
mod random;

use super::*;
use crate::reactor::{Clock, Reactor, ReactorConfig};
use crate::registry::{EntryId, IdPattern};
use crate::scheduler::{Scheduler, Ticker};
use crate::security::Policies;

/// What a process is told to do when it reads the next word.
type Order = Box<dyn FnOnce(&Peers, &Inbox) -> Option<Exit> + Send>;

/// What a process has heard, by its number.
#[derive(Default)]
struct Records {
    heard: Mutex<HashMap<u64, Vec<Signal>>>,
    orders: Mutex<HashMap<u64, Vec<Order>>>,
    wakers: Mutex<HashMap<u64, Waker>>,
    /// Processes that leave their mailbox alone.
    deaf: Mutex<HashSet<u64>>,
}

struct Actor {
    id: EntryId,
    receives: bool,
    rules: PeerRules,
    records: Arc<Records>,
}

struct ActorProcess {
    peers: Peers,
    inbox: Inbox,
    records: Arc<Records>,
}

impl Program for Actor {
    fn entry(&self) -> &EntryId {
        &self.id
    }
    fn check(&self, _: &[Payload]) -> Result<(), ArgumentError> {
        Ok(())
    }
    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(Vec::new())
    }
    fn receives(&self) -> bool {
        self.receives
    }
    fn peer_rules(&self) -> &PeerRules {
        &self.rules
    }
    fn create(&self, birth: Birth) -> Box<dyn Process> {
        Box::new(ActorProcess { inbox: birth.inbox(), peers: birth.peers, records: Arc::clone(&self.records) })
    }
    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

impl Process for ActorProcess {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        let own = self.peers.pid().unique();
        self.records.wakers.lock().insert(own, context.waker().clone());
        let orders = self.records.orders.lock().remove(&own).unwrap_or_default();
        for order in orders {
            if let Some(exit) = order(&self.peers, &self.inbox) {
                return Progress::Exit(exit);
            }
        }
        while !self.records.deaf.lock().contains(&own)
            && let Poll::Ready(signal) = self.inbox.poll_signal(context)
        {
            self.records.heard.lock().entry(own).or_default().push(signal);
        }
        Progress::Idle
    }
}

struct World {
    manager: Arc<Manager>,
    records: Arc<Records>,
}

const HOST: &str = "app:host";

fn id(text: &str) -> EntryId {
    text.parse().unwrap()
}

fn topic(text: &str) -> Topic {
    text.parse().unwrap()
}

fn word(number: i64) -> Message {
    Message::new(topic("word"), [number])
}

fn failure() -> Exit {
    Exit::Failed(Failure::new(FailureKind::Host, "as told"))
}

#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited for what never came");
        std::thread::yield_now();
    }
}

/// Wakes a thread that waits.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

impl World {
    fn new(workers: usize) -> Self {
        Self::with_rules(workers, HostRules::default())
    }

    fn with_rules(workers: usize, rules: HostRules) -> Self {
        Self::of(workers, rules, Policies::default())
    }

    fn of(workers: usize, rules: HostRules, policies: Policies) -> Self {
        let records = Arc::new(Records::default());
        let ticker = Ticker::manual();
        let host = Host::new(
            id(HOST),
            HostKind::Process,
            rules,
            Arc::new(AtomicU64::new(1)),
            Ceiling::new(Vec::new()),
            move || {
                let reactor = Reactor::new(Clock::manual(), ReactorConfig::default())?;
                let builder = Scheduler::builder("host").workers(workers);
                let scheduler = builder.driver(Arc::clone(&reactor) as _).ticker(&ticker).build()?;
                Ok(Machinery { scheduler, reactor })
            },
        );
        let everything = PeerRules::everything();
        let few = PeerRules { spawn: vec![IdPattern::new("app:a*")], ..PeerRules::default() };
        let programs =
            [("app:actor", true, everything), ("app:deaf", false, PeerRules::everything()), ("app:child", true, few)]
                .map(|(name, receives, rules)| {
                    let actor = Actor { id: id(name), receives, rules, records: Arc::clone(&records) };
                    (id(name), Arc::new(actor) as Arc<dyn Program>)
                });
        Self { manager: Manager::new(programs.into_iter().collect(), vec![host], policies), records }
    }

    fn start(name: &str) -> Start {
        Start::new(id(name), id(HOST))
    }

    fn spawn(&self) -> ProcessHandle {
        self.manager.spawn(Self::start("app:actor")).unwrap()
    }

    /// Has the process do this at its next step.
    fn order(&self, pid: &Pid, order: impl FnOnce(&Peers, &Inbox) -> Option<Exit> + Send + 'static) {
        self.records.orders.lock().entry(pid.unique()).or_default().push(Box::new(order));
        let waker = self.records.wakers.lock().get(&pid.unique()).cloned();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Has the process do this, and waits for what comes of it.
    fn ask<T: Send + 'static>(&self, pid: &Pid, ask: impl FnOnce(&Peers, &Inbox) -> T + Send + 'static) -> T {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.order(pid, move |peers, inbox| {
            let _ = sender.send(ask(peers, inbox));
            None
        });
        receiver.recv_timeout(Duration::from_secs(60)).expect("the process is there and does it")
    }

    fn end(&self, process: &ProcessHandle, exit: Exit) {
        self.order(process.pid(), move |_, _| Some(exit));
        assert!(process.wait_timeout(Duration::from_secs(60)).is_some());
    }

    fn heard(&self, pid: &Pid) -> Vec<Signal> {
        self.records.heard.lock().get(&pid.unique()).cloned().unwrap_or_default()
    }

    fn await_heard(&self, pid: &Pid, count: usize) -> Vec<Signal> {
        until(|| self.records.heard.lock().get(&pid.unique()).map_or(0, Vec::len) >= count);
        self.heard(pid)
    }
}

fn exit_of(signal: &Signal) -> (&Pid, &Exit) {
    match signal {
        Signal::Event(Event::Exit { from, exit, .. } | Event::LinkDown { from, exit, .. }) => (from, exit),
        other => panic!("no exit: {other:?}"),
    }
}

#[test]
fn messages_of_a_process_arrive_in_order_and_before_its_exit() {
    let world = World::new(2);
    let (a, b) = (world.spawn(), world.spawn());
    let watched = a.pid().clone();
    world.ask(b.pid(), move |peers, _| peers.monitor(&watched)).unwrap();
    let to = b.pid().clone();
    world.order(a.pid(), move |peers, _| {
        (0..100).for_each(|number| peers.send(&to, word(number)).unwrap());
        Some(Exit::Returned(7.into()))
    });
    let heard = world.await_heard(b.pid(), 101);
    for (number, signal) in heard[..100].iter().enumerate() {
        let expected = word(i64::try_from(number).unwrap()).from(a.pid().clone());
        assert_eq!(*signal, Signal::Message(expected));
    }
    assert_eq!(exit_of(&heard[100]), (a.pid(), &Exit::Returned(7.into())));
    assert_eq!(world.manager.send(a.pid(), word(1)), Err(SignalError::NoProcess { pid: a.pid().clone() }));
}

#[test]
fn monitor_name_and_first_messages_are_there_before_the_first_step() {
    let world = World::new(1);
    let watcher = world.spawn();
    let start =
        World::start("app:actor").name("worker").monitored_by(watcher.pid().clone()).message(word(1)).message(word(2));
    let worker = world.manager.spawn(start).unwrap();
    assert_eq!(world.manager.lookup("worker"), Some(worker.pid().clone()));
    assert_eq!(world.await_heard(worker.pid(), 2), [Signal::Message(word(1)), Signal::Message(word(2))]);
    let again = world.manager.spawn(World::start("app:actor").name("worker").message(word(3))).unwrap();
    assert_eq!(again.pid(), worker.pid(), "who has the name gets the messages");
    assert_eq!(world.await_heard(worker.pid(), 3)[2], Signal::Message(word(3)));
    world.end(&worker, failure());
    let heard = world.await_heard(watcher.pid(), 1);
    assert_eq!(exit_of(&heard[0]), (worker.pid(), &failure()));
    assert_eq!(world.manager.lookup("worker"), None, "the name is free before anybody is told");
}

#[test]
fn a_start_with_somebody_who_is_gone_starts_nothing() {
    let world = World::new(1);
    let gone = world.spawn();
    world.end(&gone, failure());
    for start in [
        World::start("app:actor").monitored_by(gone.pid().clone()),
        World::start("app:actor").linked_with(gone.pid().clone()).name("x"),
    ] {
        let error = world.manager.spawn(start).unwrap_err();
        let expected = format!("`app:actor`: process `{}` not found: it has ended, or never was", gone.pid());
        assert_eq!(error.to_string(), expected);
    }
    let mut start = World::start("app:actor").name("x");
    start.messages.push(Message::new(topic("t"), [vec![0_u8; MAILBOX_BYTES]]));
    let error = world.manager.spawn(start).unwrap_err();
    assert!(error.to_string().contains("whose mailbox has room for 67108864"), "{error}");
    assert_eq!(world.manager.lookup("x"), None);
    until(|| world.manager.hosts().all(|host| host.live() == 0));
}

#[test]
fn a_dead_pid_is_told_of_at_once_and_a_foreign_one_is_an_error() {
    let world = World::new(1);
    let (watcher, gone) = (world.spawn(), world.spawn());
    world.end(&gone, Exit::Returned(Payload::Nil));
    world.manager.monitor(watcher.pid(), gone.pid()).unwrap();
    let heard = world.await_heard(watcher.pid(), 1);
    let (from, exit) = exit_of(&heard[0]);
    assert!(matches!(exit, Exit::Failed(Failure { kind: FailureKind::NoProcess, .. })), "{exit}");
    assert_eq!(from, gone.pid());
    for text in ["{other@app:host|0x00001}", "{app:elsewhere|0x00001}"] {
        let pid: Pid = text.parse().unwrap();
        assert_eq!(world.manager.monitor(watcher.pid(), &pid), Err(SignalError::Foreign { pid: pid.clone() }));
        assert_eq!(world.manager.send(&pid, word(1)), Err(SignalError::Foreign { pid }));
    }
    assert_eq!(world.manager.link(watcher.pid(), gone.pid()), Err(SignalError::NoProcess { pid: gone.pid().clone() }));
}

#[test]
fn a_monitor_is_one_way_once_and_can_be_undone() {
    let world = World::new(2);
    let (a, b) = (world.spawn(), world.spawn());
    world.manager.monitor(a.pid(), b.pid()).unwrap();
    let again = world.manager.monitor(a.pid(), b.pid());
    assert_eq!(again, Err(SignalError::AlreadyMonitored { from: a.pid().clone(), pid: b.pid().clone() }));
    let target = b.pid().clone();
    world.ask(a.pid(), move |peers, _| peers.unmonitor(&target)).unwrap();
    world.end(&b, failure());
    world.manager.send(a.pid(), word(1)).unwrap();
    assert_eq!(world.await_heard(a.pid(), 1), [Signal::Message(word(1))], "nothing of the end was told");
    let c = world.spawn();
    world.manager.monitor(a.pid(), c.pid()).unwrap();
    world.end(&a, failure());
    world.manager.send(c.pid(), word(2)).unwrap();
    assert_eq!(world.await_heard(c.pid(), 1), [Signal::Message(word(2))], "who is watched hears nothing");
}

#[test]
fn an_abnormal_end_takes_the_linked_ones_along_unless_they_trap_it() {
    let world = World::new(2);
    let chain: Vec<_> = (0..5).map(|_| world.spawn()).collect();
    for pair in chain.windows(2) {
        world.manager.link(pair[0].pid(), pair[1].pid()).unwrap();
        world.manager.link(pair[1].pid(), pair[0].pid()).expect("again is fine");
    }
    let deaf = world.manager.spawn(World::start("app:deaf").linked_with(chain[4].pid().clone())).unwrap();
    let mut trapping = World::start("app:actor").linked_with(chain[4].pid().clone());
    trapping.trap_links = true;
    let trapping = world.manager.spawn(trapping).unwrap();
    world.end(&chain[0], failure());
    for process in chain[1..].iter().chain([&deaf]) {
        let exit = process.wait_timeout(Duration::from_secs(60)).expect("an end");
        let Exit::Failed(Failure { kind: FailureKind::LinkedProcess, message, .. }) = exit else { panic!("{exit}") };
        assert!(message.starts_with("linked process `{app:host|0x0000"), "{message}");
    }
    let heard = world.await_heard(trapping.pid(), 1);
    assert!(matches!(&heard[0], Signal::Event(Event::LinkDown { from, .. }) if from == chain[4].pid()));
}

#[test]
fn a_normal_end_and_an_undone_link_take_nobody_along() {
    let world = World::new(2);
    let (a, b, c) = (world.spawn(), world.spawn(), world.spawn());
    world.manager.link(a.pid(), b.pid()).unwrap();
    world.manager.link(a.pid(), c.pid()).unwrap();
    let other = a.pid().clone();
    world.ask(b.pid(), move |peers, _| peers.unlink(&other)).unwrap();
    world.end(&c, Exit::Returned(Payload::Nil));
    world.end(&a, failure());
    world.manager.send(b.pid(), word(1)).unwrap();
    assert_eq!(world.await_heard(b.pid(), 1), [Signal::Message(word(1))]);
    assert_eq!(b.exit(), None);
}

#[test]
fn names_have_one_owner_and_bounds() {
    let world = World::new(1);
    let (a, b) = (world.spawn(), world.spawn());
    let register = |name: &str, process: &ProcessHandle| world.manager.register(name, process.pid());
    register("one", &a).unwrap();
    register("one", &a).expect("it has it already");
    let taken = SignalError::NameTaken { name: "one".into(), owner: a.pid().clone() };
    assert_eq!(register("one", &b), Err(taken));
    assert_eq!(world.manager.resolve("one").as_ref(), Ok(a.pid()));
    assert_eq!(world.manager.resolve(&a.pid().to_string()).as_ref(), Ok(a.pid()));
    assert_eq!(world.manager.resolve("two"), Err(SignalError::Unresolved { text: "two".into() }));
    for name in ["", "{x", "@x", &"x".repeat(NAME_BYTES_MAX + 1)] {
        assert!(matches!(register(name, &a), Err(SignalError::InvalidName { .. })), "{name}");
    }
    for number in 1..NAMES_MAX {
        register(&format!("name-{number}"), &a).unwrap();
    }
    assert!(matches!(register("one-more", &a), Err(SignalError::TooMany { allowed: NAMES_MAX, .. })));
    world.ask(a.pid(), |peers, _| peers.unregister("name-1")).unwrap();
    register("one-more", &a).expect("there is room again");
    world.end(&a, failure());
    assert_eq!(world.manager.lookup("one"), None);
    register("one", &b).expect("it is free");
    assert_eq!(world.manager.register("two", a.pid()), Err(SignalError::NoProcess { pid: a.pid().clone() }));
}

#[test]
fn a_cancel_is_an_event_for_who_receives_and_an_end_for_all_others() {
    let world = World::new(1);
    let actor = world.spawn();
    world.ask(actor.pid(), |_, _| ());
    until(|| world.manager.processes().iter().all(|process| process.waits.to_string() == "message"));
    actor.cancel("enough");
    let expected = Event::Cancel { from: None, reason: "enough".into() };
    assert_eq!(world.await_heard(actor.pid(), 1), [Signal::Event(expected)]);
    assert_eq!(actor.exit(), None, "nothing is forced");
    let deaf = world.manager.spawn(World::start("app:deaf")).unwrap();
    world.manager.send(deaf.pid(), word(1)).expect("accepted, and discarded");
    assert_eq!(deaf.mailbox().discarded, 1);
    deaf.cancel("enough");
    assert_eq!(deaf.wait_timeout(Duration::from_secs(60)), Some(Exit::Cancelled { reason: "enough".into() }));
}

#[test]
fn what_a_full_mailbox_refuses_or_accepts_is_counted_and_nothing_accepted_is_lost() {
    let rules = HostRules {
        mailbox: MailboxBounds { messages: 3, ..MailboxBounds::default() },
        drop_oldest: vec![topic("tick")],
        ..HostRules::default()
    };
    let world = World::with_rules(2, rules);
    let actor = world.spawn();
    let pid = actor.pid().clone();
    world.records.deaf.lock().insert(pid.unique());
    for number in 0..3 {
        actor.send(word(number)).unwrap();
    }
    let full = SignalError::Busy { pid: pid.clone(), bound: "max_messages", allowed: 3 };
    assert_eq!(actor.send(word(3)), Err(full.clone()));
    assert!(full.is_retryable());
    assert_eq!(full.to_string(), format!("the mailbox of `{pid}` is full: its `max_messages` is 3; try again"));
    let waiting = std::thread::spawn({
        let actor = actor.clone();
        move || block_on(actor.sending(word(4)).unwrap())
    });
    // One that comes later finds room and has nothing to wait for, which is fine, too.
    world.records.deaf.lock().clear();
    world.ask(&pid, |_, _| ());
    assert_eq!(waiting.join().expect("no panic"), Ok(()));
    let heard = world.await_heard(&pid, 4);
    assert_eq!(heard, [0, 1, 2, 4].map(|number| Signal::Message(word(number))));
    let stats = actor.mailbox();
    assert_eq!((stats.accepted, stats.refused, stats.depth), (4, 1, 0));
    world.records.deaf.lock().insert(pid.unique());
    for number in 0..5 {
        actor.send(Message::new(topic("tick"), [number])).unwrap();
    }
    assert_eq!((actor.mailbox().depth, actor.mailbox().dropped), (3, 2));
    let mut deep = Payload::Nil;
    for _ in 0..=Payload::MAX_DEPTH {
        deep = vec![deep].into();
    }
    assert_eq!(actor.send(Message::new(topic("t"), [deep])), Err(SignalError::TooDeep { pid }));
}

#[test]
fn a_process_may_do_what_its_entry_allows() {
    let world = World::new(2);
    let parent = world.spawn();
    let child = world.ask(parent.pid(), |peers, _| peers.spawn(World::start("app:child"))).unwrap();
    let stranger = world.spawn();
    let (up, other) = (parent.pid().clone(), stranger.pid().clone());
    world.ask(&child, move |peers, _| {
        assert_eq!(peers.parent(), Some(&up));
        let grandchild = peers.spawn(World::start("app:actor")).expect("its list has `app:a*`");
        let refused = peers.spawn(World::start("app:child")).unwrap_err();
        let expected = format!(
            "`{}` may not start `app:child`: list it in `process: {{ spawn: [...] }}` of its entry",
            peers.pid()
        );
        assert_eq!(refused.to_string(), expected);
        let elsewhere = peers.spawn(Start::new(id("app:actor"), id("app:other"))).unwrap_err();
        assert!(elsewhere.to_string().contains("may not start `app:other`: list the host"), "{elsewhere}");
        for allowed in
            [peers.send(&grandchild, word(1)), peers.send(&up, word(2)), peers.monitor(&up), peers.link(&grandchild)]
        {
            assert_eq!(allowed, Ok(()));
        }
        peers.register("me", &peers.pid().clone()).unwrap();
        let is_refused = |result: Result<(), SignalError>, verb| {
            assert!(matches!(result, Err(SignalError::NotAllowed { action, .. }) if action == verb), "{verb}");
        };
        is_refused(peers.send(&other, word(3)), "send to");
        is_refused(peers.monitor(&other), "monitor");
        is_refused(peers.link(&other), "link with");
        is_refused(peers.cancel(&up, "no"), "cancel");
        is_refused(peers.terminate(&other), "terminate");
        is_refused(peers.register("other", &other), "give a name to");
        peers.unlink(&grandchild).unwrap();
        peers.terminate(&grandchild).unwrap();
    });
    assert_eq!(stranger.exit(), None);
}

#[test]
fn subscribers_hear_of_starts_by_whom_and_of_ends() {
    let world = World::new(2);
    let events = world.manager.subscribe();
    let parent = world.spawn();
    let child = world.ask(parent.pid(), |peers, _| peers.spawn(World::start("app:child"))).unwrap();
    world.end(&parent, failure());
    let started = |pid: &Pid, entry: &str, parent: Option<&Pid>| LifecycleEvent::Started {
        pid: pid.clone(),
        entry: id(entry),
        parent: parent.cloned(),
    };
    let ended = LifecycleEvent::Ended { pid: parent.pid().clone(), entry: id("app:actor"), exit: failure().into() };
    let expected = [started(parent.pid(), "app:actor", None), started(&child, "app:child", Some(parent.pid())), ended];
    for event in expected {
        assert_eq!(events.next_within(Duration::from_secs(60)), Some(event));
    }
}
