//! One service as the core sees it: where it stands, and what became of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::status::{ServiceState, ServiceStatus};
use crate::process::{Exit, Pid};
use crate::reactor::Instant;
use crate::registry::{EntryId, Lifecycle, PlannedService, Restart};

/// How the process of a service ended, as far as its restart is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It did its work.
    Normal,
    /// It failed.
    Abnormal,
    /// Somebody ended it: cancelled, terminated.
    Killed,
}

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is to come: it was never wanted, or its last end is final.
    Rest,
    /// It starts as soon as what it requires runs.
    Waiting,
    /// It is being started, at most until then.
    Starting { until: Instant },
    /// It runs.
    Running { since: Instant },
    /// It is started again then.
    BackOff { until: Instant, delay: Duration },
    /// It was asked to end; force follows then.
    Stopping { until: Instant },
    /// It was ended by force; it is given up then.
    Forced { until: Instant },
    /// Force did not end it.
    LeftBehind,
}

/// How what is at rest got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It never ran.
    New,
    /// It ended by itself, or was ended, and is not to run any more.
    Ended(End),
    /// It ended because it was asked to.
    Stopped,
}

/// What a unit is made of.
pub(super) struct Unit {
    pub(super) id: EntryId,
    /// Those that must run first.
    pub(super) requires: Vec<usize>,
    /// Those that must end first.
    pub(super) required_by: Vec<usize>,
    /// What it requires and nobody can start.
    pub(super) missing: Vec<EntryId>,
    pub(super) lifecycle: Lifecycle,
    pub(super) needed: bool,
    pub(super) chain: Vec<EntryId>,
    /// Its end is the end of the runtime.
    pub(super) has_terminal: bool,
    pub(super) phase: Phase,
    pub(super) rest: Rest,
    /// Starts in a row without one that was stable.
    attempt: u32,
    starts: u64,
    restarts: u64,
    /// When restarts were decided on, as far back as they count.
    recent: VecDeque<Instant>,
    pub(super) pid: Option<Pid>,
    pub(super) last_exit: Option<Exit>,
    pub(super) last_error: Option<String>,
}

/// What becomes of a service that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It rests.
    Over,
    /// It is started again; this is the attempt.
    Again(u32),
    /// It was started again too often.
    TooOften,
}

impl Unit {
    pub(super) fn new(planned: &PlannedService, lifecycle: Lifecycle, has_terminal: bool) -> Self {
        Self {
            id: planned.id.clone(),
            requires: Vec::new(),
            required_by: Vec::new(),
            missing: planned.missing.clone(),
            lifecycle,
            needed: planned.needed,
            chain: planned.chain.clone(),
            has_terminal,
            phase: Phase::Rest,
            rest: Rest::New,
            attempt: 0,
            starts: 0,
            restarts: 0,
            recent: VecDeque::new(),
            pid: None,
            last_exit: None,
            last_error: None,
        }
    }

    /// Whether those that require it may start.
    pub(super) fn holds(&self) -> bool {
        match self.phase {
            Phase::Running { .. } => true,
            // One that did its work is as good as one that is at it: else a start would depend on who is faster.
            Phase::Rest => self.rest == Rest::Ended(End::Normal),
            _ => false,
        }
    }

    /// Whether it will never run again, so that those that require it can't start.
    pub(super) fn is_lost(&self) -> bool {
        self.phase == Phase::Rest && !self.holds()
    }

    /// Whether a process of it may be alive.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Stopping { .. } | Phase::Forced { .. })
    }

    pub(super) fn has_started(&self) -> bool {
        self.starts > 0
    }

    /// It is tried to start it.
    pub(super) fn begin_start(&mut self, now: Instant) {
        self.phase = Phase::Starting { until: now.saturating_add(self.lifecycle.start_timeout) };
    }

    pub(super) fn run(&mut self, pid: Option<Pid>, now: Instant) {
        self.phase = Phase::Running { since: now };
        self.pid = pid;
        self.starts += 1;
        self.last_error = None;
    }

    /// Decides what becomes of a service that ended like this after it had run so long; one that could not start did not
    /// run at all.
    pub(super) fn judge(&mut self, end: End, ran: Option<Duration>, now: Instant) -> Verdict {
        let restart = &self.lifecycle.restart;
        let wanted = match restart.policy {
            Restart::Permanent => true,
            Restart::Transient => end == End::Abnormal,
            Restart::Temporary => false,
        };
        if !wanted {
            return Verdict::Over;
        }
        let stable = ran.is_some_and(|ran| ran >= self.lifecycle.stable_threshold);
        self.attempt = if stable { 1 } else { self.attempt.saturating_add(1) };
        if restart.max_attempts != 0 && self.attempt >= restart.max_attempts {
            return Verdict::Over;
        }
        if restart.max_restarts != 0 {
            while self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) > restart.window) {
                self.recent.pop_front();
            }
            if self.recent.len() as u64 >= u64::from(restart.max_restarts) {
                return Verdict::TooOften;
            }
            self.recent.push_back(now);
        }
        Verdict::Again(self.attempt)
    }

    /// A delay is over: it is started again.
    pub(super) fn restart(&mut self) {
        self.restarts += 1;
        self.phase = Phase::Waiting;
    }

    /// When something is due, if nothing else happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting { until }
            | Phase::BackOff { until, .. }
            | Phase::Stopping { until }
            | Phase::Forced { until } => Some(until),
            Phase::Rest | Phase::Waiting | Phase::Running { .. } | Phase::LeftBehind => None,
        }
    }

    pub(super) fn state(&self) -> ServiceState {
        match self.phase {
            Phase::Waiting | Phase::Starting { .. } => ServiceState::Starting,
            Phase::Running { .. } => ServiceState::Running,
            Phase::Stopping { .. } | Phase::Forced { .. } | Phase::LeftBehind => ServiceState::Stopping,
            Phase::Rest | Phase::BackOff { .. } => match self.rest {
                Rest::New => ServiceState::Unknown,
                Rest::Ended(End::Normal | End::Killed) => ServiceState::Exited,
                Rest::Ended(End::Abnormal) => ServiceState::Failed,
                Rest::Stopped => ServiceState::Stopped,
            },
        }
    }

    pub(super) fn status(&self) -> ServiceStatus {
        ServiceStatus {
            id: self.id.clone(),
            state: self.state(),
            pid: self.pid.clone(),
            starts: self.starts,
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
            last_error: self.last_error.clone(),
            next_delay: match self.phase {
                Phase::BackOff { delay, .. } => Some(delay),
                _ => None,
            },
        }
    }
}
