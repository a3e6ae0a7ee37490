//! Every decision about services, without a thread, a clock or a process: it is told what happened and when, and answers
//! with what is to be done.

use std::time::Duration;

use super::backoff;
use super::status::{Halt, ServiceChange, ServiceEvent, ServiceStatus, StartupError};
use super::unit::{End, Phase, Rest, Unit, Verdict};
use crate::process::{Exit, Pid};
use crate::reactor::Instant;
use crate::registry::{EntryId, Lifecycle, PlannedService};

/// How long a service that was ended by force may take until it is given up.
pub(super) const FORCED_END_WAIT: Duration = Duration::from_secs(5);

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Start it, and say what came of it.
    Start(usize),
    /// Ask it to end.
    Cancel(usize),
    /// End it by force.
    Terminate(usize),
    /// Tell whoever wants to know.
    Tell(ServiceEvent),
}

/// How far the start of the runtime is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Startup {
    Pending,
    Done,
    Failed(StartupError),
}

/// A service of the plan with what is needed of its entry.
pub(super) struct Member {
    pub(super) planned: PlannedService,
    pub(super) lifecycle: Lifecycle,
    /// It runs on a terminal host.
    pub(super) has_terminal: bool,
}

/// The state of all services.
pub(super) struct Core {
    /// In the order of their starts: each behind those it requires.
    units: Vec<Unit>,
    random: fastrand::Rng,
    startup: Startup,
    halt: Option<Halt>,
    /// Set once everything is to stop, with the time at which force begins for all.
    stopping: Option<Instant>,
    effects: Vec<Effect>,
}

impl Core {
    /// Services in the order of their starts; delays are drawn from `seed`.
    pub(super) fn new(members: Vec<Member>, seed: u64) -> Self {
        let position = |id: &EntryId| members.iter().position(|member| member.planned.id == *id);
        let requires: Vec<Vec<usize>> =
            members.iter().map(|member| member.planned.requires.iter().filter_map(position).collect()).collect();
        let mut units: Vec<Unit> = members
            .into_iter()
            .map(|Member { planned, lifecycle, has_terminal }| Unit::new(&planned, lifecycle, has_terminal))
            .collect();
        for (at, required) in requires.into_iter().enumerate() {
            for &other in &required {
                units[other].required_by.push(at);
            }
            units[at].requires = required;
        }
        Self {
            units,
            random: fastrand::Rng::with_seed(seed),
            startup: Startup::Pending,
            halt: None,
            stopping: None,
            effects: Vec::new(),
        }
    }

    /// All of them are to run.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Effect> {
        if self.stopping.is_none() {
            self.units.iter_mut().for_each(|unit| unit.phase = Phase::Waiting);
        }
        self.go_on(now)
    }

    /// Whether a start that was asked for is still wanted.
    pub(super) fn is_starting(&self, at: usize) -> bool {
        matches!(self.units[at].phase, Phase::Starting { .. })
    }

    /// It runs.
    pub(super) fn started(&mut self, at: usize, pid: Option<Pid>, now: Instant) -> Vec<Effect> {
        self.units[at].run(pid.clone(), now);
        self.tell(at, now, ServiceChange::Started(pid));
        self.go_on(now)
    }

    /// It could not start.
    pub(super) fn start_failed(&mut self, at: usize, reason: String, now: Instant) -> Vec<Effect> {
        self.fail_start(at, reason, now);
        self.go_on(now)
    }

    /// There is no room for it now; whoever makes some is followed by [`Core::room`].
    pub(super) fn full(&mut self, at: usize, reason: String, now: Instant) -> Vec<Effect> {
        let unit = &mut self.units[at];
        if unit.last_error.as_ref() != Some(&reason) {
            unit.last_error = Some(reason.clone());
            self.tell(at, now, ServiceChange::WaitsForRoom { reason });
        }
        self.go_on(now)
    }

    /// There may be room again for those that wait for it.
    pub(super) fn room(&mut self) -> Vec<Effect> {
        let starting = (0..self.units.len()).filter(|at| self.is_starting(*at));
        starting.map(Effect::Start).collect()
    }

    /// Its process ended; a host has no process left.
    pub(super) fn ended(&mut self, at: usize, exit: Option<(Exit, End)>, now: Instant) -> Vec<Effect> {
        let unit = &mut self.units[at];
        let (exit, end) = exit.unzip();
        if exit.is_some() {
            unit.last_exit.clone_from(&exit);
        }
        match (unit.phase, exit, end) {
            (Phase::Running { since }, Some(exit), Some(end)) => {
                let ran = now.saturating_duration_since(since);
                self.ended_by_itself(at, exit, end, ran, now);
            }
            (Phase::Stopping { .. } | Phase::Forced { .. } | Phase::LeftBehind, ..) => {
                unit.phase = Phase::Rest;
                unit.rest = Rest::Stopped;
                self.tell(at, now, ServiceChange::Stopped);
            }
            // The supervisor asked for nothing, and a host does not end by itself.
            _ => {}
        }
        self.go_on(now)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        for at in 0..self.units.len() {
            if self.units[at].deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            match self.units[at].phase {
                Phase::BackOff { .. } => self.units[at].restart(),
                Phase::Starting { .. } => {
                    let unit = &self.units[at];
                    let why = unit.last_error.clone().unwrap_or_else(|| "it took too long".to_owned());
                    let reason = format!("no start within {:?}: {why}", unit.lifecycle.start_timeout);
                    self.fail_start(at, reason, now);
                }
                Phase::Stopping { .. } => self.force(at, now),
                Phase::Forced { .. } => self.leave_behind(at, now),
                Phase::Rest | Phase::Waiting | Phase::Running { .. } | Phase::LeftBehind => {}
            }
        }
        self.go_on(now)
    }

    /// Nobody waits for those any longer whom force has not ended.
    pub(super) fn abandon(&mut self, now: Instant) -> Vec<Effect> {
        for at in 0..self.units.len() {
            if matches!(self.units[at].phase, Phase::Forced { .. }) {
                self.leave_behind(at, now);
            }
        }
        self.go_on(now)
    }

    /// Everything is to stop, by force at `deadline`; the earliest of several counts.
    pub(super) fn stop(&mut self, deadline: Instant, now: Instant) -> Vec<Effect> {
        self.begin_stop(deadline);
        self.go_on(now)
    }

    /// When [`Core::tick`] is to be called, if nothing else happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let stop = self.stopping.filter(|_| self.units.iter().any(|unit| matches!(unit.phase, Phase::Running { .. })));
        self.units.iter().filter_map(Unit::deadline).chain(stop).min().filter(|deadline| *deadline != Instant::MAX)
    }

    pub(super) fn startup(&self) -> &Startup {
        &self.startup
    }

    pub(super) fn halt(&self) -> Option<&Halt> {
        self.halt.as_ref()
    }

    /// Whether a stop is over: nothing runs any more but what force did not end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopping.is_some() && !self.units.iter().any(Unit::is_up)
    }

    /// Whether somebody was ended by force and has not ended yet.
    pub(super) fn waits_for_force(&self) -> bool {
        self.units.iter().any(|unit| matches!(unit.phase, Phase::Forced { .. }))
    }

    /// Whether a change of room matters: somebody waits for some, or a host for its last process.
    pub(super) fn waits_for_room(&self) -> bool {
        self.units
            .iter()
            .any(|unit| matches!(unit.phase, Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Forced { .. }))
    }

    pub(super) fn is_stopping(&self, at: usize) -> bool {
        matches!(self.units[at].phase, Phase::Stopping { .. } | Phase::Forced { .. } | Phase::LeftBehind)
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = ServiceStatus> {
        self.units.iter().map(Unit::status)
    }

    /// Brings everything as far as it can come now.
    fn go_on(&mut self, now: Instant) -> Vec<Effect> {
        if self.stopping.is_none() {
            self.start_what_can(now);
        }
        self.look_at_startup();
        if let Some(deadline) = self.stopping {
            self.stop_what_can(deadline, now);
        }
        std::mem::take(&mut self.effects)
    }

    fn start_what_can(&mut self, now: Instant) {
        // Units stand behind what they require, so one pass reaches everybody: who is lost loses those behind it.
        for at in 0..self.units.len() {
            let holds = self.units[at].requires.iter().all(|other| self.units[*other].holds());
            if self.is_starting(at) && !holds {
                // It waited for room, and what it requires has ended meanwhile.
                self.units[at].phase = Phase::Waiting;
            }
            if self.units[at].phase != Phase::Waiting {
                continue;
            }
            if let Some(reason) = self.blocked(at) {
                self.lose(at, reason, now);
            } else if holds {
                self.units[at].begin_start(now);
                self.effects.push(Effect::Start(at));
            }
            if self.stopping.is_some() {
                return;
            }
        }
    }

    /// Why it can never start, if it can't.
    fn blocked(&self, at: usize) -> Option<String> {
        let unit = &self.units[at];
        if let Some(missing) = unit.missing.first() {
            return Some(format!("it requires `{missing}`, which can't run"));
        }
        let lost = unit.requires.iter().map(|other| &self.units[*other]).find(|other| other.is_lost())?;
        let why = match (&lost.last_error, &lost.last_exit) {
            (Some(error), _) => format!("could not start: {error}"),
            (None, Some(exit)) => exit.to_string(),
            (None, None) => "never ran".to_owned(),
        };
        Some(format!("it requires `{}`, which {why}", lost.id))
    }

    /// It can't start, now or later.
    fn lose(&mut self, at: usize, reason: String, now: Instant) {
        let unit = &mut self.units[at];
        unit.phase = Phase::Rest;
        unit.rest = Rest::Ended(End::Abnormal);
        unit.last_error = Some(reason.clone());
        self.tell(at, now, ServiceChange::StartFailed { reason: reason.clone(), next: None });
        self.refuse_startup(at, reason);
    }

    fn fail_start(&mut self, at: usize, reason: String, now: Instant) {
        let unit = &mut self.units[at];
        unit.rest = Rest::Ended(End::Abnormal);
        unit.last_error = Some(reason.clone());
        if unit.needed && self.startup == Startup::Pending && !unit.has_started() {
            self.lose(at, reason, now);
            return;
        }
        let next = self.judged(at, End::Abnormal, None, now, format!("could not start: {reason}"));
        self.tell(at, now, ServiceChange::StartFailed { reason, next });
    }

    fn ended_by_itself(&mut self, at: usize, exit: Exit, end: End, ran: Duration, now: Instant) {
        self.units[at].rest = Rest::Ended(end);
        let next = if self.units[at].has_terminal {
            self.units[at].phase = Phase::Rest;
            self.give_up(Halt::Terminal { service: self.units[at].id.clone(), exit: exit.clone() });
            None
        } else {
            self.judged(at, end, Some(ran), now, exit.to_string())
        };
        self.tell(at, now, ServiceChange::Ended { exit, next });
    }

    /// Rest, another start or the end of the runtime; the delay when there is another start.
    fn judged(&mut self, at: usize, end: End, ran: Option<Duration>, now: Instant, last: String) -> Option<Duration> {
        let unit = &mut self.units[at];
        unit.phase = Phase::Rest;
        if self.stopping.is_some() {
            return None;
        }
        match unit.judge(end, ran, now) {
            Verdict::Over => None,
            Verdict::Again(attempt) => {
                let delay = backoff::delay(&unit.lifecycle.restart, attempt, self.random.f64());
                unit.phase = Phase::BackOff { until: now.saturating_add(delay), delay };
                Some(delay)
            }
            Verdict::TooOften => {
                let (max_restarts, window) = (unit.lifecycle.restart.max_restarts, unit.lifecycle.restart.window);
                let service = unit.id.clone();
                self.give_up(Halt::Intensity { service, max_restarts, window, last });
                None
            }
        }
    }

    fn give_up(&mut self, halt: Halt) {
        self.halt.get_or_insert(halt);
        self.begin_stop(Instant::MAX);
    }

    fn refuse_startup(&mut self, at: usize, reason: String) {
        let unit = &self.units[at];
        if unit.needed && self.startup == Startup::Pending {
            let (service, chain) = (unit.id.clone(), unit.chain.clone());
            self.startup = Startup::Failed(StartupError { service, reason, chain });
            self.begin_stop(Instant::MAX);
        }
    }

    fn look_at_startup(&mut self) {
        let late = self.units.iter().find(|unit| unit.needed && !unit.has_started());
        match (&self.startup, late, self.stopping) {
            (Startup::Pending, None, _) => self.startup = Startup::Done,
            (Startup::Pending, Some(unit), Some(_)) => {
                let (service, chain) = (unit.id.clone(), unit.chain.clone());
                let reason = "the runtime was stopped before".to_owned();
                self.startup = Startup::Failed(StartupError { service, reason, chain });
            }
            _ => {}
        }
    }

    fn begin_stop(&mut self, deadline: Instant) {
        let deadline = self.stopping.map_or(deadline, |before| before.min(deadline));
        self.stopping = Some(deadline);
        for unit in &mut self.units {
            match unit.phase {
                // What was to come does not come any more.
                Phase::Waiting | Phase::Starting { .. } | Phase::BackOff { .. } => unit.phase = Phase::Rest,
                Phase::Stopping { until } => unit.phase = Phase::Stopping { until: until.min(deadline) },
                Phase::Rest | Phase::Running { .. } | Phase::Forced { .. } | Phase::LeftBehind => {}
            }
        }
    }

    /// Asks everybody to end whom nobody that runs requires; everybody, once the time is over.
    fn stop_what_can(&mut self, deadline: Instant, now: Instant) {
        for at in (0..self.units.len()).rev() {
            let unit = &self.units[at];
            let is_required = unit.required_by.iter().any(|other| self.units[*other].is_up());
            let is_late = deadline <= now;
            if matches!(unit.phase, Phase::Running { .. }) && (is_late || !is_required) {
                // Force comes with the next look at the time, also when that is over already: who has nothing to end, such
                // as a host without processes, is not forced.
                let until = now.saturating_add(unit.lifecycle.stop_timeout).min(deadline);
                self.units[at].phase = Phase::Stopping { until };
                self.tell(at, now, ServiceChange::Stopping);
                self.effects.push(Effect::Cancel(at));
            }
        }
    }

    fn force(&mut self, at: usize, now: Instant) {
        self.units[at].phase = Phase::Forced { until: now.saturating_add(FORCED_END_WAIT) };
        self.tell(at, now, ServiceChange::Forced);
        self.effects.push(Effect::Terminate(at));
    }

    fn leave_behind(&mut self, at: usize, now: Instant) {
        self.units[at].phase = Phase::LeftBehind;
        self.tell(at, now, ServiceChange::LeftBehind);
    }

    fn tell(&mut self, at: usize, now: Instant, change: ServiceChange) {
        self.effects.push(Effect::Tell(ServiceEvent { at: now, service: self.units[at].id.clone(), change }));
    }
}
