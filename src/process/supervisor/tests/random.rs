//! Any graph of services and any course of events: what must hold in all of them.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::super::core::{Core, Effect, Member};
use super::super::unit::End;
use super::super::*;
use super::world::id;
use crate::process::{Exit, Pid};
use crate::reactor::Instant;
use crate::registry::{Restart, RestartPolicy};

/// What happens next; numbers choose among whoever it may happen to.
#[derive(Clone, Debug)]
enum Happening {
    /// One of those that run ends.
    End(usize, u8),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// There may be room.
    Room,
    /// Everything is to stop, within milliseconds.
    Stop(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (any::<usize>(), 0..3u8).prop_map(|(at, how)| Happening::End(at, how)),
        4 => (0..4_000u64).prop_map(Happening::Pass),
        1 => Just(Happening::Room),
        1 => (0..20_000u64).prop_map(Happening::Stop),
    ]
}

/// Which others a service requires, its policy, its bounds, whether it is needed.
fn unit() -> impl Strategy<Value = (u8, u8, u32, u32, bool)> {
    (any::<u8>(), 0..3u8, 0..4u32, 0..3u32, any::<bool>())
}

fn member(at: usize, (mask, policy, max_attempts, max_restarts, needed): (u8, u8, u32, u32, bool)) -> Member {
    let mut planned = PlannedService::unplanned(id(&format!("s{at}")));
    // Only those before it: the plan has told circles before.
    planned.requires = (0..at).filter(|other| mask & (1 << other) != 0).map(|other| id(&format!("s{other}"))).collect();
    planned.needed = needed;
    let policy = [Restart::Permanent, Restart::Transient, Restart::Temporary][usize::from(policy)];
    let restart = RestartPolicy { policy, max_attempts, max_restarts, ..RestartPolicy::default() };
    Member { planned, lifecycle: Lifecycle { restart, ..Lifecycle::default() }, has_terminal: at == 7 }
}

/// Does what the core says, and holds it to its promises.
struct House {
    core: Core,
    requires: Vec<Vec<usize>>,
    now: Instant,
    /// Those with a process.
    alive: BTreeSet<usize>,
    /// Those that were asked to end.
    asked: BTreeSet<usize>,
    /// Those that force did not end in time: nobody waits for them.
    left: BTreeSet<usize>,
    /// Those that did their work, so that others may start.
    done: BTreeSet<usize>,
    stop: Option<Instant>,
    /// How starts go: one number a start.
    luck: VecDeque<u8>,
}

impl House {
    fn perform(&mut self, effects: Vec<Effect>) {
        let mut effects: VecDeque<Effect> = effects.into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Start(at) => effects.extend(self.start(at)),
                Effect::Cancel(at) => {
                    assert!(self.alive.contains(&at) && self.asked.insert(at), "asked once, while it runs");
                    let mut waited_for = self.alive.difference(&self.left);
                    let required = waited_for.any(|other| self.requires[*other].contains(&at));
                    let late = self.stop.is_some_and(|stop| stop <= self.now);
                    assert!(late || !required, "nobody that requires it runs");
                }
                Effect::Terminate(at) => assert!(self.alive.contains(&at) && self.asked.contains(&at), "asked before"),
                Effect::Tell(event) if event.change == ServiceChange::LeftBehind => {
                    let name = |at: &usize| event.service == id(&format!("s{at}"));
                    self.left.extend(self.alive.iter().copied().filter(name));
                }
                Effect::Tell(_) => {}
            }
        }
    }

    fn start(&mut self, at: usize) -> Vec<Effect> {
        if !self.core.is_starting(at) {
            return Vec::new();
        }
        assert!(!self.alive.contains(&at), "one process at a time");
        let holds = |other: &usize| self.alive.contains(other) || self.done.contains(other);
        assert!(self.requires[at].iter().all(holds), "only behind what it requires");
        assert!(self.stop.is_none() && self.core.halt().is_none(), "nothing starts once a stop has begun");
        let luck = self.luck.pop_front().unwrap_or(0);
        self.luck.push_back(luck);
        match luck {
            0 => self.core.start_failed(at, "bad luck".to_owned(), self.now),
            1 => self.core.full(at, "full".to_owned(), self.now),
            _ => {
                self.alive.insert(at);
                self.done.remove(&at);
                self.core.started(at, Some(Pid::new(id("host"), at as u64)), self.now)
            }
        }
    }

    fn end(&mut self, at: usize, end: End) {
        self.alive.remove(&at);
        if end == End::Normal && !self.asked.contains(&at) {
            self.done.insert(at);
        }
        let effects = self.core.ended(at, Some((Exit::Terminated, end)), self.now);
        self.perform(effects);
    }

    fn happen(&mut self, happening: &Happening) {
        let effects = match *happening {
            Happening::End(at, how) => {
                let alive: Vec<_> = self.alive.iter().copied().collect();
                if let Some(&at) = alive.get(at % alive.len().max(1)) {
                    self.end(at, [End::Normal, End::Abnormal, End::Killed][usize::from(how)]);
                }
                return;
            }
            Happening::Pass(millis) => {
                self.now = self.now.saturating_add(Duration::from_millis(millis));
                self.core.tick(self.now)
            }
            Happening::Room => self.core.room(),
            Happening::Stop(millis) => {
                let deadline = self.now.saturating_add(Duration::from_millis(millis));
                self.stop = Some(self.stop.map_or(deadline, |before| before.min(deadline)));
                self.core.stop(deadline, self.now)
            }
        };
        self.perform(effects);
    }
}

proptest! {
    #[test]
    fn promises_hold_in_every_course(
        units in proptest::collection::vec(unit(), 1..9),
        luck in proptest::collection::vec(0..6u8, 1..12),
        happenings in proptest::collection::vec(happening(), 0..60),
    ) {
        let members: Vec<Member> = units.iter().copied().enumerate().map(|(at, unit)| member(at, unit)).collect();
        let requires = members.iter().map(|member| {
            let position = |wanted: &crate::registry::EntryId| members.iter().position(|other| other.planned.id == *wanted);
            member.planned.requires.iter().filter_map(position).collect()
        }).collect();
        let mut house = House {
            core: Core::new(members, 7),
            requires,
            now: Instant::START,
            alive: BTreeSet::new(),
            asked: BTreeSet::new(),
            left: BTreeSet::new(),
            done: BTreeSet::new(),
            stop: None,
            luck: luck.into(),
        };
        let effects = house.core.begin(house.now);
        house.perform(effects);
        for happening in &happenings {
            house.happen(happening);
            for (at, status) in house.core.statuses().enumerate() {
                let runs = matches!(status.state, ServiceState::Running);
                prop_assert_eq!(runs, house.alive.contains(&at) && !house.asked.contains(&at));
                prop_assert!(status.restarts + 1 >= status.starts);
            }
        }
        // Whoever listens ends at once; it is over then, and nothing is left to come.
        house.happen(&Happening::Stop(0));
        for _ in 0..units.len() {
            let asked: Vec<usize> = house.alive.iter().copied().filter(|at| house.asked.contains(at)).collect();
            asked.into_iter().for_each(|at| house.end(at, End::Killed));
        }
        prop_assert!(house.core.is_stopped() && house.alive.is_empty());
        prop_assert_eq!(house.core.deadline(), None);
        prop_assert!(house.core.startup() != &Startup::Pending);
    }
}
