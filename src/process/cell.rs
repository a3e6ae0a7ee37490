//! What outlives a process: the requests for its end, its exit, and who waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::calls::CallChain;
use super::event::Event;
use super::ground::{Ground, Spot};
use super::lifecycle::LifecycleEvent;
use super::mailbox::{Mailbox, Refusal, Taken};
use super::message::{Message, SignalError};
use super::topology::{self, Ties};
use super::{Exit, Failure, FailureKind, Pid, Report, Snapshot};
use crate::limits::{Usage, Waits};
use crate::reactor::{Instant as ClockTime, assert_may_block};
use crate::registry::EntryId;
use crate::scheduler::{TaskRef, TaskState};
use crate::sync;

/// Somebody who is told of the exit of a process. Called once, on the worker that ended the process, after its resources
/// are released; must not block.
pub trait Watcher: Send + Sync {
    /// The process ended like this.
    fn exited(&self, pid: &Pid, exit: &Exit);
}

impl<F: Fn(&Pid, &Exit) + Send + Sync> Watcher for F {
    fn exited(&self, pid: &Pid, exit: &Exit) {
        self(pid, exit);
    }
}

const ALIVE: u8 = 0;
const CANCEL: u8 = 1;
const TERMINATE: u8 = 2;

/// The control block of one process, shared by its task, its host's table and its handles.
pub(super) struct ProcessCell {
    pub(super) pid: Pid,
    /// The program it was started from, as whoever started it has it.
    pub(super) spot: Arc<Spot>,
    /// What it stands on, in the same way.
    pub(super) ground: Arc<Ground>,
    /// The entry it runs now, when that is another one.
    upgraded_to: Mutex<Option<EntryId>>,
    pub(super) usage: Arc<Usage>,
    /// Who started it, when that is a process.
    pub(super) parent: Option<Pid>,
    /// The function calls that it is in.
    pub(super) calls: CallChain,
    pub(super) mailbox: Mailbox,
    pub(super) ties: sync::Mutex<Ties>,
    /// Whether the abnormal end of a linked process is an event, and not the end of this one.
    pub(super) traps_links: AtomicBool,
    /// The exit of a forced end that is not the usual one. In a box, since hardly anybody has one.
    forced: OnceLock<Box<Exit>>,
    /// The strongest end asked for so far; only ever grows.
    request: AtomicU8,
    /// Why a cancel was asked for; written before `request` says so.
    reason: OnceLock<String>,
    outcome: Mutex<Outcome>,
    ended: Condvar,
}

/// A cell's way to its task.
#[derive(Default)]
enum Link {
    /// The task is being handed over.
    #[default]
    None,
    Task(TaskRef),
    /// It has ended after so many steps. The scheduler uses what it was in for others.
    Ended {
        steps: u64,
    },
}

/// The way to the task of a process, and what became of it. Under one lock, which a short life takes twice.
#[derive(Default)]
struct Outcome {
    link: Link,
    exit: Option<Exit>,
    /// When it was published.
    ended: Option<ClockTime>,
    wakers: Vec<Waker>,
    watchers: Vec<Box<dyn Watcher>>,
}

/// What the abnormal end of a linked process means for another one.
pub(super) enum LinkDown {
    /// It has an event, and is to be woken for it.
    Told(Option<Waker>),
    /// It ends, too.
    Ended,
}

/// What a start says of the cell of its process.
#[derive(Default)]
pub(super) struct Beginning {
    pub(super) parent: Option<Pid>,
    pub(super) calls: CallChain,
    pub(super) traps_links: bool,
    pub(super) watchers: Vec<Box<dyn Watcher>>,
}

/// The end that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndRequest {
    None,
    Cancel,
    Terminate,
}

impl Link {
    /// The process has ended: its task is let go of, by who drops what this returns.
    #[must_use]
    fn detach(&mut self) -> Self {
        let steps = match self {
            Self::Task(task) => task.steps(),
            // It ended before it was joined, which tells.
            Self::None => 0,
            Self::Ended { steps } => *steps,
        };
        std::mem::replace(self, Self::Ended { steps })
    }
}

impl ProcessCell {
    pub(super) fn new(
        pid: Pid,
        spot: Arc<Spot>,
        ground: Arc<Ground>,
        usage: Arc<Usage>,
        mailbox: Mailbox,
        start: Beginning,
    ) -> Self {
        Self {
            pid,
            spot,
            ground,
            upgraded_to: Mutex::default(),
            usage,
            parent: start.parent,
            calls: start.calls,
            mailbox,
            ties: sync::Mutex::default(),
            traps_links: AtomicBool::new(start.traps_links),
            forced: OnceLock::new(),
            request: AtomicU8::new(ALIVE),
            reason: OnceLock::new(),
            outcome: Mutex::new(Outcome { watchers: start.watchers, ..Outcome::default() }),
            ended: Condvar::new(),
        }
    }

    /// The entry it was started from.
    pub(super) fn entry(&self) -> &EntryId {
        self.spot.program.entry()
    }

    /// The time on the clock of its host, for accounts.
    pub(super) fn now(&self) -> ClockTime {
        self.ground.clock.near()
    }

    /// Joins the cell with its task; a request that came before the join is passed on now.
    pub(super) fn attach(&self, task: TaskRef) {
        let mut outcome = self.outcome.lock();
        match &mut outcome.link {
            Link::Ended { steps } => *steps = task.steps(),
            link @ (Link::None | Link::Task(_)) => *link = Link::Task(task),
        }
        drop(outcome);
        // Either `request` saw the task, or this sees the request: both have had the lock.
        if self.requested() != EndRequest::None {
            self.pass_on();
        }
    }

    /// Asks for the end: an event for a process that can receive, a request for all others.
    pub(super) fn cancel(&self, from: Option<&Pid>, reason: &str) {
        if self.mailbox.receives() {
            let waker = self.mailbox.push_event(Event::Cancel { from: from.cloned(), reason: reason.to_owned() });
            waker.into_iter().for_each(Waker::wake);
            return;
        }
        let _ = self.reason.set(reason.to_owned());
        self.request(CANCEL);
    }

    /// A process that this one is linked with ended abnormally. It is settled what that means when this returns; the process
    /// learns of it by [`look_up`](Self::look_up).
    #[must_use]
    pub(super) fn link_down(&self, other: &ProcessCell, exit: &Arc<Exit>) -> LinkDown {
        let from = &other.pid;
        // Relaxed: a process that changes its mind while the other one ends gets either.
        if self.mailbox.receives() && self.traps_links.load(Ordering::Relaxed) {
            let event =
                Event::LinkDown { from: from.clone(), entry: Some(other.entry().clone()), exit: Arc::clone(exit) };
            return LinkDown::Told(self.mailbox.push_event(event));
        }
        let message = format!("linked process `{from}` failed: {exit}");
        let _ = self.forced.set(Box::new(Exit::Failed(Failure::new(FailureKind::LinkedProcess, message))));
        // Release, as in `request`.
        self.request.fetch_max(TERMINATE, Ordering::Release);
        LinkDown::Ended
    }

    /// Has the process see what the end of a linked one means for it.
    pub(super) fn look_up(&self, link_down: LinkDown) {
        match link_down {
            LinkDown::Told(waker) => waker.into_iter().for_each(Waker::wake),
            LinkDown::Ended => self.terminate(),
        }
    }

    /// The exit of an end by force.
    pub(super) fn forced_exit(&self) -> Exit {
        self.forced.get().map_or(Exit::Terminated, |exit| Exit::clone(exit))
    }

    /// Puts a message into the mailbox.
    pub(super) fn send(&self, message: Message) -> Result<(), SignalError> {
        if message.payloads.iter().any(super::Payload::is_too_deep) {
            return Err(SignalError::TooDeep { pid: self.pid.clone() });
        }
        match self.mailbox.push(message) {
            Ok(taken) => {
                self.note(taken);
                Ok(())
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Says once that a process does not read what it is sent.
    pub(super) fn note(&self, taken: Taken) {
        if taken == Taken::DiscardedFirst {
            tracing::warn!(pid = %self.pid, entry = %self.entry(), "a message to a process that can't receive is discarded, as the ones after it will be");
        }
    }

    pub(super) fn refused(&self, refusal: Refusal) -> SignalError {
        let pid = self.pid.clone();
        match refusal {
            Refusal::Closed => SignalError::NoProcess { pid },
            Refusal::Full { bound, allowed } => SignalError::Busy { pid, bound, allowed },
            Refusal::Oversized { bytes, allowed } => SignalError::Oversized { pid, bytes, allowed },
        }
    }

    pub(super) fn terminate(&self) {
        self.request(TERMINATE);
    }

    fn request(&self, strength: u8) {
        // Release, with the Acquire load in `requested`: who sees a cancel sees its reason.
        self.request.fetch_max(strength, Ordering::Release);
        self.pass_on();
    }

    fn pass_on(&self) {
        let task = match &self.outcome.lock().link {
            Link::Task(task) => task.clone(),
            Link::None | Link::Ended { .. } => return,
        };
        match self.requested() {
            EndRequest::None => {}
            EndRequest::Cancel => task.wake(),
            EndRequest::Terminate => task.cancel(),
        }
    }

    pub(super) fn requested(&self) -> EndRequest {
        // Acquire, with the Release in `request`.
        match self.request.load(Ordering::Acquire) {
            ALIVE => EndRequest::None,
            CANCEL => EndRequest::Cancel,
            _ => EndRequest::Terminate,
        }
    }

    /// What its task is doing; queued until the scheduler has it.
    pub(super) fn state(&self) -> TaskState {
        match &self.outcome.lock().link {
            Link::None => TaskState::Ready,
            Link::Task(task) => task.state(),
            Link::Ended { .. } => TaskState::Complete,
        }
    }

    pub(super) fn steps(&self) -> u64 {
        match &self.outcome.lock().link {
            Link::None => 0,
            Link::Task(task) => task.steps(),
            Link::Ended { steps } => *steps,
        }
    }

    pub(super) fn cancel_reason(&self) -> String {
        self.reason.get().cloned().unwrap_or_default()
    }

    /// The process never was one, because its host did not take it: there is no exit to tell of, and nobody has to do
    /// with it. Those who would have been told are returned.
    pub(super) fn forget(self: &Arc<Self>) -> Vec<Box<dyn Watcher>> {
        topology::dissolve(self);
        std::mem::take(&mut self.outcome.lock().watchers)
    }

    /// Publishes the exit, once: later calls are ignored. Names are free and other processes told before the watchers are,
    /// who run outside the lock, so they may look at the cell. True when nobody was there whose code was called.
    pub(super) fn publish(self: &Arc<Self>, exit: Exit, ended: ClockTime) -> bool {
        topology::part(self, &exit);
        let (watchers, wakers, link) = {
            let mut outcome = self.outcome.lock();
            if outcome.exit.is_some() {
                return true;
            }
            let link = outcome.link.detach();
            outcome.exit = Some(exit);
            outcome.ended = Some(ended);
            (std::mem::take(&mut outcome.watchers), std::mem::take(&mut outcome.wakers), link)
        };
        drop(link);
        self.ended.notify_all();
        let is_alone = watchers.is_empty() && wakers.is_empty();
        // Copied for those only who are there.
        let exit = || self.exit().expect("it has just been published");
        self.ground.realm.subscribers.tell(|| LifecycleEvent::Ended {
            pid: self.pid.clone(),
            entry: self.entry().clone(),
            exit: Arc::new(exit()),
        });
        if !watchers.is_empty() {
            let exit = exit();
            for watcher in watchers {
                // One that panics must keep the exit from nobody else.
                if catch_unwind(AssertUnwindSafe(|| watcher.exited(&self.pid, &exit))).is_err() {
                    tracing::error!(pid = %self.pid, entry = %self.entry(), "a watcher of this process panicked");
                }
            }
        }
        for waker in wakers {
            waker.wake();
        }
        is_alone
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.outcome.lock().exit.clone()
    }

    /// The time from spawn to the end, once it has ended.
    pub(super) fn wall(&self) -> Option<Duration> {
        let ended = self.outcome.lock().ended?;
        Some(Duration::from_nanos(ended.as_nanos().saturating_sub(self.usage.born_ns())))
    }

    /// What is known of the process, once it has ended.
    pub(super) fn report(&self) -> Option<Report> {
        let exit = self.exit()?;
        let usage = &self.usage;
        Some(Report {
            pid: self.pid.clone(),
            entry: self.entry().clone(),
            exit,
            limits: usage.limits().clone(),
            wall: self.wall()?,
            cpu: usage.cpu(),
            steps: self.steps(),
            preemptions: usage.preemptions(),
            memory_peak: usage.memory_peak(),
            bytes_in: usage.bytes_in(),
            bytes_out: usage.bytes_out(),
            mailbox: self.mailbox.stats(),
        })
    }

    /// It runs this entry from now on.
    #[cfg(feature = "lua")]
    pub(super) fn becomes(&self, entry: &EntryId) {
        *self.upgraded_to.lock() = (entry != self.entry()).then(|| entry.clone());
    }

    /// What can be seen of the process now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let usage = &self.usage;
        let now_ns = self.now().as_nanos();
        let state = self.state();
        Snapshot {
            pid: self.pid.clone(),
            entry: self.upgraded_to.lock().clone().unwrap_or_else(|| self.entry().clone()),
            names: self.ties.lock().names(),
            state,
            waits: match state {
                TaskState::Blocked | TaskState::Idle => usage.waits(),
                TaskState::Ready | TaskState::Running | TaskState::Complete => Waits::default(),
            },
            steps: self.steps(),
            preemptions: usage.preemptions(),
            cpu: usage.cpu_until(now_ns),
            memory: usage.memory(),
            memory_peak: usage.memory_peak(),
            mailbox: self.mailbox.receives().then(|| self.mailbox.stats().depth),
            uptime: Duration::from_nanos(now_ns.saturating_sub(usage.born_ns())),
        }
    }

    /// The exit, or `None` with the waker kept for it.
    pub(super) fn poll_exit(&self, waker: &Waker) -> Option<Exit> {
        let mut outcome = self.outcome.lock();
        if outcome.exit.is_none() && !outcome.wakers.iter().any(|known| known.will_wake(waker)) {
            outcome.wakers.push(waker.clone());
        }
        outcome.exit.clone()
    }

    /// Adds a watcher; one that comes after the exit is told at once.
    pub(super) fn watch(&self, watcher: Box<dyn Watcher>) {
        let mut outcome = self.outcome.lock();
        match outcome.exit.clone() {
            None => outcome.watchers.push(watcher),
            Some(exit) => {
                drop(outcome);
                watcher.exited(&self.pid, &exit);
            }
        }
    }

    /// Blocks the calling thread until the exit, or until `timeout` has passed.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Option<Exit> {
        assert_may_block();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(exit) = &outcome.exit {
                return Some(exit.clone());
            }
            match deadline {
                None => self.ended.wait(&mut outcome),
                Some(deadline) => {
                    if self.ended.wait_until(&mut outcome, deadline).timed_out() {
                        return outcome.exit.clone();
                    }
                }
            }
        }
    }
}
