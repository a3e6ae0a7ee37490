//! Services that are native state machines, on real hosts, under a manual clock.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::task::Context;

use super::super::*;
use crate::process::{
    ArgumentError, Birth, Bounds, Ceiling, Exit, Failure, FailureKind, Host, HostRules, Machinery, Payload, Process,
    Program, Progress, ResultStyle,
};
use crate::reactor::{Reactor, ReactorConfig};
use crate::registry::{Entry, EntryId, ProcessHost, ProcessService};
use crate::scheduler::{Scheduler, Ticker, current};
use crate::security::Policies;

/// What a process does, from its start on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Waits for ever.
    Wait,
    /// Computes for ever, whatever it is asked.
    Spin,
    /// Does its work.
    Return,
    /// Fails.
    Fail,
    /// Is no start at all.
    Refuse,
}

/// What the processes of one service do, one after the other; the last for ever.
type Script = Arc<Mutex<VecDeque<Act>>>;

struct Actor {
    id: EntryId,
    script: Script,
}

impl Program for Actor {
    fn entry(&self) -> &EntryId {
        &self.id
    }
    fn check(&self, _: &[Payload]) -> Result<(), ArgumentError> {
        let mut script = self.script.lock();
        if script.front() != Some(&Act::Refuse) {
            return Ok(());
        }
        script.pop_front();
        Err(ArgumentError::new("no such argument"))
    }
    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(Vec::new())
    }
    fn create(&self, _: Birth) -> Box<dyn Process> {
        let mut script = self.script.lock();
        let act = if script.len() > 1 { script.pop_front() } else { script.front().copied() };
        Box::new(Play(act.unwrap_or(Act::Wait)))
    }
    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

struct Play(Act);

impl Process for Play {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        match self.0 {
            Act::Return => Progress::Exit(Exit::Returned(Payload::Nil)),
            Act::Fail => Progress::Exit(Exit::Failed(Failure::new(FailureKind::Host, "on purpose"))),
            Act::Spin => {
                // A slice at a time, as a guest that computes.
                while !current::should_yield() && !current::cancelled() {
                    std::thread::yield_now();
                }
                context.waker().wake_by_ref();
                Progress::Preempted
            }
            Act::Wait | Act::Refuse => Progress::Blocked,
        }
    }
}

pub(super) fn id(name: &str) -> EntryId {
    EntryId::new("app", name).expect("an ID")
}

/// A service of the process with the same name and a `p`, on the host `app:host`.
pub(super) fn service(name: &str, lifecycle: Lifecycle) -> Entry {
    let process = id(&format!("{name}-p"));
    let spec = ProcessService { process, host: id("host"), input: Vec::new(), lifecycle };
    Entry::new(id(name), Spec::ProcessService(spec))
}

/// An application with one host and these services.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) manager: Arc<Manager>,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) journal: Arc<Mutex<Vec<ServiceEvent>>>,
}

impl World {
    /// `max_processes` of the host; what each service does.
    pub(super) fn new(max_processes: usize, services: Vec<Entry>, scripts: &[(&str, &[Act])]) -> Self {
        let clock = Clock::manual();
        let ticker = Ticker::manual();
        let (ticking, ours) = (ticker.clone(), clock.clone());
        let rules =
            HostRules { bounds: Bounds { processes: max_processes, queued: usize::MAX }, ..HostRules::default() };
        let next = Arc::new(AtomicU64::new(1));
        let host = Host::new(id("host"), HostKind::Process, rules, next, Ceiling::new(Vec::new()), move || {
            let reactor = Reactor::new(ours.clone(), ReactorConfig::default())?;
            let scheduler = Scheduler::builder("host").workers(2).driver(Arc::clone(&reactor) as _).ticker(&ticking);
            Ok(Machinery { scheduler: scheduler.build()?, reactor })
        });
        let programs: HashMap<EntryId, Arc<dyn Program>> = scripts
            .iter()
            .map(|(name, acts)| {
                let script = Arc::new(Mutex::new(acts.iter().copied().collect()));
                let actor = Actor { id: id(&format!("{name}-p")), script };
                (actor.id.clone(), Arc::new(actor) as Arc<dyn Program>)
            })
            .collect();
        let manager = Manager::new(programs, vec![host], Policies::default());
        let host = Entry::new(id("host"), Spec::ProcessHost(ProcessHost::default()));
        let registry = Registry::from_entries([host].into_iter().chain(services));
        let config = SupervisorConfig {
            manager: Arc::clone(&manager),
            clock: clock.clone(),
            tick: Box::new(move || ticker.tick()),
            seed: 7,
        };
        let supervisor = Arc::new(Supervisor::new(&registry, config));
        let journal = Arc::<Mutex<Vec<ServiceEvent>>>::default();
        let told = Arc::clone(&journal);
        supervisor.observe(Arc::new(move |event: &ServiceEvent| told.lock().push(event.clone())));
        Self { clock, manager, supervisor, journal }
    }

    pub(super) fn status(&self, name: &str) -> ServiceStatus {
        self.supervisor.statuses().into_iter().find(|status| status.id == id(name)).expect("a service")
    }

    /// Waits until a service is as wanted.
    pub(super) fn until(&self, name: &str, wanted: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
        let id = id(name);
        self.supervisor.shared.wait_until(|core| core.statuses().find(|status| status.id == id && wanted(status)))
    }

    pub(super) fn advance(&self, duration: Duration) {
        self.clock.advance(duration).expect("a manual clock");
    }

    /// What happened, a line each, with the seconds of the clock.
    pub(super) fn lines(&self) -> Vec<String> {
        let seconds = |event: &ServiceEvent| Duration::from_nanos(event.at.as_nanos()).as_secs_f64();
        self.journal.lock().iter().map(|event| format!("{} {event}", seconds(event))).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.supervisor.stop(Duration::ZERO);
        self.manager.shutdown(Duration::ZERO, &|| ());
    }
}
