//! Functions whose calls end when the test says so, on a host under a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::super::*;
use crate::process::{
    ArgumentError, Birth, Exit, Failure, FailureKind, Peers, Process, ProcessHandle, Progress, ResultStyle, Start,
    testing,
};
use crate::registry::PoolType;
use crate::security::Policies;

/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn id(name: &str) -> EntryId {
    EntryId::new("app", name).expect("an ID")
}

#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::yield_now();
    }
}

/// What the calls and the test share.
#[derive(Default)]
struct Shared {
    /// The numbers of those that have begun, in their order.
    begun: Mutex<Vec<i64>>,
    /// Those that are gone.
    gone: Mutex<BTreeSet<i64>>,
    /// Those that may end.
    open: Mutex<BTreeSet<i64>>,
    waiting: Mutex<BTreeMap<i64, Waker>>,
}

struct Script {
    entry: EntryId,
    shared: Arc<Shared>,
    functions: WeakFunctions,
}

/// One call. A number waits until the test lets it go, and is the answer. A list of texts and numbers is a path: its first
/// function is called with the rest of it, and answers.
struct Scripted {
    input: Payload,
    has_begun: bool,
    call: Option<Call>,
    peers: Peers,
    shared: Arc<Shared>,
    functions: WeakFunctions,
}

impl Program for Script {
    fn entry(&self) -> &EntryId {
        &self.entry
    }
    fn check(&self, input: &[Payload]) -> Result<(), ArgumentError> {
        match input {
            [Payload::Int(_) | Payload::List(_)] => Ok(()),
            _ => Err(ArgumentError::new("expected a number or a path")),
        }
    }
    fn read_arguments(&self, _: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Err(ArgumentError::new("it is no command"))
    }
    fn create(&self, mut birth: Birth) -> Box<dyn Process> {
        let input = birth.input.pop().unwrap_or_default();
        let (shared, functions) = (Arc::clone(&self.shared), self.functions.clone());
        Box::new(Scripted { input, has_begun: false, call: None, peers: birth.peers, shared, functions })
    }
    fn result_style(&self) -> ResultStyle {
        ResultStyle::Value
    }
}

impl Process for Scripted {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        let number = match &self.input {
            Payload::Int(number) => *number,
            Payload::List(path) => {
                let (functions, peers) = (&self.functions, &self.peers);
                let call = self.call.get_or_insert_with(|| match path.as_slice() {
                    [Payload::String(target), last @ Payload::Int(_)] => {
                        functions.call(peers, target, vec![last.clone()])
                    }
                    [Payload::String(target), rest @ ..] => functions.call(peers, target, vec![rest.to_vec().into()]),
                    path => panic!("no path: {path:?}"),
                });
                return match Pin::new(call).poll(context) {
                    Poll::Pending => Progress::Blocked,
                    Poll::Ready(Ok(value)) => Progress::Exit(Exit::Returned(value)),
                    Poll::Ready(Err(error)) => {
                        Progress::Exit(Exit::Failed(Failure::new(FailureKind::Host, error.to_string())))
                    }
                };
            }
            other => panic!("no input: {other:?}"),
        };
        if !std::mem::replace(&mut self.has_begun, true) {
            self.shared.begun.lock().push(number);
        }
        let mut waiting = self.shared.waiting.lock();
        if self.shared.open.lock().contains(&number) {
            return Progress::Exit(Exit::Returned(number.into()));
        }
        waiting.insert(number, context.waker().clone());
        Progress::Blocked
    }

    fn close(&mut self) {
        if let Payload::Int(number) = self.input {
            self.shared.gone.lock().insert(number);
        }
    }
}

pub(super) struct World {
    pub(super) functions: Functions,
    pub(super) manager: Arc<Manager>,
    pub(super) clock: Clock,
    shared: Arc<Shared>,
}

/// A pool of this type with `[size, workers, buffer, max_size]`.
pub(super) fn pool(kind: PoolType, [size, workers, buffer, max_size]: [u64; 4]) -> PoolSpec {
    PoolSpec { kind, size, workers, buffer, max_size, warm_start: false }
}

impl World {
    /// Functions with these pools; as many processes as may live.
    pub(super) fn of(max_processes: usize, pools: &[(&str, PoolSpec)]) -> Self {
        let (clock, shared) = (Clock::manual(), Arc::<Shared>::default());
        let host = testing::host(id("host"), clock.clone(), max_processes);
        let functions = Functions::new();
        let script = |entry| {
            Arc::new(Script { entry, shared: Arc::clone(&shared), functions: functions.downgrade() })
                as Arc<dyn Program>
        };
        let callers = [(id("caller"), script(id("caller")))].into_iter().collect();
        let manager = Manager::new(callers, vec![host], Policies::default());
        let callable = pools.iter().map(|(name, pool)| Function::new(script(id(name)), pool.clone()));
        functions.open(callable, &manager, clock.clone());
        Self { functions, manager, clock, shared }
    }

    pub(super) fn new(pools: &[(&str, PoolSpec)]) -> Self {
        Self::of(usize::MAX, pools)
    }

    pub(super) fn call(&self, function: &str, number: i64) -> Call {
        self.functions.call(&format!("app:{function}"), vec![number.into()])
    }

    /// A call of the first function on this path, which calls the next one, and so on to the number.
    pub(super) fn call_along(&self, path: &[&str], number: i64) -> Call {
        let mut steps: Vec<Payload> = path[1..].iter().map(|name| format!("app:{name}").into()).collect();
        steps.push(number.into());
        self.functions.call(&format!("app:{}", path[0]), vec![steps.into()])
    }

    /// A process that calls this function with this number.
    pub(super) fn caller(&self, function: &str, number: i64) -> ProcessHandle {
        let path = vec![format!("app:{function}").into(), number.into()];
        let start = Start::new(id("caller"), id("host")).input([Payload::List(path)]);
        self.manager.spawn(start).expect("room")
    }

    pub(super) fn stats(&self, function: &str) -> PoolStats {
        self.functions.stats(&id(function)).expect("a function")
    }

    pub(super) fn begun(&self) -> Vec<i64> {
        self.shared.begun.lock().clone()
    }

    pub(super) fn is_gone(&self, number: i64) -> bool {
        self.shared.gone.lock().contains(&number)
    }

    /// Waits until exactly these have begun, in this order.
    #[track_caller]
    pub(super) fn until_begun(&self, numbers: &[i64]) {
        until(&format!("{numbers:?} begin"), || self.begun().len() >= numbers.len());
        assert_eq!(self.begun(), numbers);
    }

    /// Lets a call end, now or when it begins.
    pub(super) fn open(&self, number: i64) {
        let waker = {
            let mut waiting = self.shared.waiting.lock();
            self.shared.open.lock().insert(number);
            waiting.remove(&number)
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by).expect("a manual clock");
    }

    /// The timers that somebody waits for.
    pub(super) fn timers(&self) -> usize {
        self.manager.hosts().next().and_then(|host| host.reactor_stats()).map_or(0, |stats| stats.timers)
    }
}
