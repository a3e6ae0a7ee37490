//! Random monitors, links, messages, names and ends on four workers, against what must be true of any order of them.
//!
//! The processes run at once and in any order; what each of them was granted is written down with the answer. In the end
//! everybody who was told to end has ended, and for every grant there is exactly what it promises.

use proptest::prelude::*;

use super::*;

const MEMBERS: usize = 24;

/// What one member does with another.
#[derive(Clone, Copy, Debug)]
enum Act {
    Monitor,
    Unmonitor,
    Link,
    Send,
    /// Gives it a name of so many.
    Name(u8),
    /// Ends, normally or not.
    End(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => Just(Act::Monitor),
        1 => Just(Act::Unmonitor),
        4 => Just(Act::Link),
        8 => Just(Act::Send),
        2 => (0..10_u8).prop_map(Act::Name),
        1 => any::<bool>().prop_map(Act::End),
    ]
}

/// What processes were granted, by their numbers.
#[derive(Default)]
struct Grants {
    /// Watcher and watched: how often, and whether it was taken back once.
    monitors: HashMap<(u64, u64), usize>,
    unmonitored: HashSet<(u64, u64)>,
    links: Vec<(u64, u64)>,
    /// Sender and receiver: how many words.
    sent: HashMap<(u64, u64), usize>,
    names: Vec<String>,
}

struct Society {
    world: World,
    members: Vec<ProcessHandle>,
    traps: Vec<bool>,
    grants: Arc<Mutex<Grants>>,
}

impl Society {
    fn new(traps: Vec<bool>) -> Self {
        let world = World::new(4);
        let members = traps.iter().map(|traps| {
            let mut start = World::start("app:actor");
            start.trap_links = *traps;
            world.manager.spawn(start).unwrap()
        });
        let members = members.collect();
        Self { world, members, traps, grants: Arc::default() }
    }

    fn act(&self, one: usize, other: usize, act: Act, number: i64) {
        let (own, target) = (self.members[one].pid().clone(), self.members[other].pid().clone());
        let (grants, key) = (Arc::clone(&self.grants), (own.unique(), target.unique()));
        self.world.order(&own, move |peers, _| {
            match act {
                Act::Monitor if key.0 != key.1 => {
                    if peers.monitor(&target).is_ok() {
                        *grants.lock().monitors.entry(key).or_default() += 1;
                    }
                }
                Act::Unmonitor => {
                    grants.lock().unmonitored.insert(key);
                    peers.unmonitor(&target).unwrap();
                }
                Act::Link if key.0 != key.1 => {
                    if peers.link(&target).is_ok() {
                        grants.lock().links.push(key);
                    }
                }
                Act::Send => {
                    // Before: who reads it may be faster than this.
                    *grants.lock().sent.entry(key).or_default() += 1;
                    if peers.send(&target, word(number)).is_err() {
                        *grants.lock().sent.entry(key).or_default() -= 1;
                    }
                }
                Act::Name(number) => {
                    let name = format!("name-{number}");
                    if peers.register(&name, &target).is_ok() {
                        grants.lock().names.push(name);
                    }
                }
                Act::End(normal) => return Some(if normal { Exit::Returned(Payload::Nil) } else { failure() }),
                Act::Monitor | Act::Link => {}
            }
            None
        });
    }

    fn alive(&self) -> Vec<&ProcessHandle> {
        self.members.iter().filter(|member| member.exit().is_none()).collect()
    }

    /// Waits until everybody who lives has done what it was told and read what came of that.
    fn settle(&self) {
        let mut before = None;
        let mut quiet = 0;
        // An answer is given before the reading of its step, so one round of them is not enough.
        while quiet < 2 {
            let alive = self.alive();
            for member in &alive {
                let (sender, receiver) = std::sync::mpsc::channel();
                self.world.order(member.pid(), move |_, _| {
                    let _ = sender.send(());
                    None
                });
                // One that a link ends meanwhile does not answer.
                until(|| receiver.try_recv().is_ok() || member.exit().is_some());
            }
            quiet = if before == Some(alive.len()) { quiet + 1 } else { 0 };
            before = Some(alive.len());
        }
    }

    fn exit(&self, number: u64) -> Option<Exit> {
        self.member(number).1.exit()
    }

    fn member(&self, number: u64) -> (usize, &ProcessHandle) {
        self.members.iter().enumerate().find(|(_, member)| member.pid().unique() == number).expect("a member")
    }

    /// How often a process was told of another one in this way.
    fn told(&self, number: u64, wanted: impl Fn(&Event) -> bool) -> usize {
        let heard = self.world.heard(self.member(number).1.pid());
        heard.iter().filter(|signal| matches!(signal, Signal::Event(event) if wanted(event))).count()
    }

    fn check_monitors(&self) {
        let grants = self.grants.lock();
        for ((one, other), granted) in &grants.monitors {
            // Of those who ended it is not known how far they read.
            if self.exit(*one).is_some() {
                continue;
            }
            let exits = self.told(*one, |event| matches!(event, Event::Exit { from, .. } if from.unique() == *other));
            if grants.unmonitored.contains(&(*one, *other)) {
                assert!(exits <= *granted, "{one} monitors {other}: {exits} of {granted}");
            } else {
                let expected = if self.exit(*other).is_some() { *granted } else { 0 };
                assert_eq!(exits, expected, "{one} monitors {other}");
            }
        }
    }

    fn check_links(&self) {
        let links = self.grants.lock().links.clone();
        for (one, other) in links.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]) {
            let Some(exit) = self.exit(one) else { continue };
            let (at, linked) = self.member(other);
            let downs = self.told(other, |event| matches!(event, Event::LinkDown { from, .. } if from.unique() == one));
            if exit.is_normal() {
                assert_eq!(downs, 0, "{one} was linked with {other}");
            } else if linked.exit().is_none() {
                assert!(self.traps[at], "{one} was linked with {other}");
                assert_eq!(downs, 1, "{one} was linked with {other}");
            }
        }
    }

    fn check_messages(&self) {
        let sent = self.grants.lock().sent.clone();
        for member in &self.members {
            let (own, mut ended) = (member.pid().unique(), HashSet::new());
            let (mut last, mut read) = (HashMap::new(), HashMap::<u64, usize>::new());
            for signal in self.world.heard(member.pid()) {
                match signal {
                    Signal::Message(message) => {
                        let from = message.from.expect("a sender").unique();
                        let Payload::Int(number) = message.payloads[0] else { panic!("a number") };
                        assert!(!ended.contains(&from), "a word after the end");
                        assert!(last.insert(from, number).is_none_or(|last| last < number), "order of a pair");
                        *read.entry(from).or_default() += 1;
                    }
                    Signal::Event(Event::Exit { from, .. } | Event::LinkDown { from, .. }) => {
                        ended.insert(from.unique());
                    }
                    Signal::Event(Event::Cancel { .. }) => panic!("nobody was cancelled"),
                }
            }
            if member.exit().is_none() {
                for ((from, to), count) in sent.iter().filter(|((_, to), count)| *to == own && **count > 0) {
                    assert_eq!(read.get(from), Some(count), "{from} to {to}: what was accepted is read");
                }
            }
            let stats = member.mailbox();
            let read = read.values().sum::<usize>() as u64;
            assert_eq!(stats.accepted, read + stats.unread, "what was accepted is read, or counted as unread");
        }
    }

    fn check_names(&self) {
        for name in &self.grants.lock().names {
            if let Some(pid) = self.world.manager.lookup(name) {
                assert_eq!(self.exit(pid.unique()), None, "`{name}` does not dangle");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_of_a_random_society_is_kept(
        traps in prop::collection::vec(prop::bool::weighted(0.3), MEMBERS),
        acts in prop::collection::vec((0..MEMBERS, 0..MEMBERS, act()), 50..300),
    ) {
        let society = Society::new(traps);
        let mut ends = HashSet::new();
        for (number, (one, other, act)) in (0..).zip(acts) {
            society.act(one, other, act, number);
            if matches!(act, Act::End(_)) {
                ends.insert(one);
            }
        }
        for one in ends {
            prop_assert!(society.members[one].wait_timeout(Duration::from_secs(60)).is_some());
        }
        society.settle();
        society.check_monitors();
        society.check_links();
        society.check_messages();
        society.check_names();
    }
}
