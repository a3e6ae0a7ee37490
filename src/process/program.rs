//! The two traits that a guest language implements: a program, and the processes made from it.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::task::Context;

use super::ground::{Ground, OnHost};
use super::{Attempt, Attempted, Ceiling, Exit, Footprint, Inbox, Instance, Payload, PeerRules, Peers, Pid, Tasks};
use crate::limits::{Limits, Usage};
use crate::reactor::Reactor;
use crate::registry::{EntryId, LimitsSpec};

/// Memory of a process that says nothing of itself, in bytes: its task, its cell, its place in the table.
const NATIVE_BYTES: u64 = 4096;

/// Something that processes are made from: a loaded wasm entry, a Lua script, a native state machine.
///
/// It is shared by everybody who spawns the entry and outlives none of its processes.
pub trait Program: Send + Sync + 'static {
    /// The entry it was loaded from.
    fn entry(&self) -> &EntryId;

    /// Whether these arguments fit, checked before a process is made: they are the caller's mistake, and the caller is
    /// told at once.
    ///
    /// # Errors
    /// The count or the type of an argument does not fit; the text names the signature.
    fn check(&self, input: &[Payload]) -> Result<(), ArgumentError>;

    /// Reads arguments typed on a command line, by the types the program expects.
    ///
    /// # Errors
    /// A text is no value of the expected type, or the count is wrong; the text names the signature.
    fn read_arguments(&self, text: &[String]) -> Result<Vec<Payload>, ArgumentError>;

    /// The limits that its entry names.
    fn limits(&self) -> LimitsSpec {
        LimitsSpec::default()
    }

    /// Makes of the limits of a coming process what the program can enforce, for example a stack of the next size there
    /// is. What comes out is what the process has and its report says.
    ///
    /// # Errors
    /// The program can't run within these limits; the text says why and what to do.
    fn settle(&self, limits: &mut Limits) -> Result<(), ArgumentError> {
        let _ = limits;
        Ok(())
    }

    /// The most that a process with these limits ever takes of what bounds their number on this machine. It is set aside
    /// before the process is made.
    fn footprint(&self, limits: &Limits) -> Footprint {
        let _ = limits;
        Footprint { memory: NATIVE_BYTES, ..Footprint::default() }
    }

    /// Whether its processes read their mailbox. Those of a program that says no discard what they are sent, and a cancel
    /// ends them where they wait; all others get it as an [`Event`](super::Event) and end when they want to.
    fn receives(&self) -> bool {
        false
    }

    /// What its processes may do with others. Native code may do everything.
    fn peer_rules(&self) -> &PeerRules {
        static EVERYTHING: LazyLock<PeerRules> = LazyLock::new(PeerRules::everything);
        &EVERYTHING
    }

    /// Whether its processes let others run when a slice is over. Only hosts that allow it start those that do not, and a
    /// step of theirs calls [`mark_unpreemptible`](crate::scheduler::current::mark_unpreemptible).
    fn is_preemptible(&self) -> bool {
        true
    }

    /// The same program for one worker, so that its processes do not count references where those of other workers do.
    /// `None` when that makes no difference: all share it then.
    fn replica(&self) -> Option<Arc<dyn Program>> {
        None
    }

    /// Runs a guest to its end, here and at once, or gives that up after a short while: then nothing of it has been seen or
    /// kept. Called on a worker, within a step.
    fn attempt(&self, attempt: &Attempt<'_>) -> Attempted {
        let _ = attempt;
        Attempted::Unfit
    }

    /// Whether an [attempt](Self::attempt) can ever be one.
    fn can_be_attempted(&self) -> bool {
        false
    }

    /// Makes a process, on the worker that takes its first step next. Nothing of the guest runs here.
    fn create(&self, birth: Birth) -> Box<dyn Process>;

    /// The same within the first step, for a program whose processes may be over by the end of it without ever having needed what
    /// a process is made of.
    fn begin(&self, birth: Birth) -> Begun {
        Begun::Process(self.create(birth))
    }

    /// How a returned value is read at the end of a command.
    fn result_style(&self) -> ResultStyle;

    /// A value that one of its processes has returned, in the form in which a script is to see it.
    ///
    /// # Errors
    /// The value is too large for that form.
    fn for_scripts<'a>(&self, value: &'a Payload) -> Result<Cow<'a, Payload>, FormError> {
        Ok(Cow::Borrowed(value))
    }
}

/// What a process has [begun](Program::begin) with.
pub enum Begun {
    /// It takes its first step next.
    Process(Box<dyn Process>),
    /// It has ended, holds nothing, and has left this to the next one, if its [`Birth`] asks for that.
    Ended(Exit, Option<Instance>),
}

/// A state machine that a worker runs: created, then [`step`](Process::step) after step, then
/// [`close`](Process::close).
///
/// Steps of one process never overlap, but may happen on different threads.
pub trait Process: Send + 'static {
    /// Runs until the process waits, is preempted or ends. The first step initialises: a failure there is an [`Exit`].
    ///
    /// The waker of `context` makes the process ready again.
    fn step(&mut self, context: &mut Context<'_>) -> Progress;

    /// What it leaves to the next process of the same program. Asked once, after it has ended with a value and before it is
    /// closed, and only where its [`Birth`] said so.
    fn leave(&mut self) -> Option<Instance> {
        None
    }

    /// Releases what the process holds. Called once, on a worker, before the exit is published; no step follows.
    fn close(&mut self) {}
}

/// What a step led to.
#[derive(Debug)]
#[must_use]
pub enum Progress {
    /// The slice is over; the process could go on.
    Preempted,
    /// The process waits for a completion.
    Blocked,
    /// The process waits for a message or an event.
    Idle,
    /// The process is over and its exit settled; it only waits until what it wrote has left. Neither a cancel nor a limit
    /// changes its exit any more, force does. The steps that follow answer the same, then with that exit.
    Leaving,
    /// The process has ended.
    Exit(Exit),
}

/// What a new process is given.
#[non_exhaustive]
pub struct Birth {
    /// Its arguments, already checked.
    pub input: Vec<Payload>,
    /// Where its standard streams lead.
    pub stdio: Stdio,
    /// The other processes, as far as it may have to do with them.
    pub peers: Peers,
    /// What a process of the same program has left to this one with [`Process::leave`].
    pub kept: Option<Instance>,
    /// Whether the process is asked to [leave](Process::leave) its instance when it ends with a value.
    pub keeps: bool,
    /// What it stands on at the worker that begins it, where somebody else has started it.
    pub(super) elsewhere: Option<Arc<Ground>>,
}

impl Birth {
    /// Its name.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        self.peers.pid()
    }

    /// The entry it is made from.
    #[must_use]
    pub fn entry(&self) -> &EntryId {
        self.peers.entry()
    }

    /// What comes in for it.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        Inbox::new(Arc::clone(self.peers.own()))
    }

    /// Its limits, and the counters of what it uses of them. Wall time, time in steps and preemptions are counted by the
    /// host; everything else by who hands it out.
    #[must_use]
    pub fn usage(&self) -> &Arc<Usage> {
        &self.peers.own().usage
    }

    fn host(&self) -> &OnHost {
        self.elsewhere.as_ref().unwrap_or(&self.peers.own().ground).host()
    }

    /// The reactor of its host: timers, readiness, blocking jobs.
    #[must_use]
    pub fn reactor(&self) -> &Arc<Reactor> {
        &self.host().reactor
    }

    /// The workers of its host, for what the host does on behalf of the process.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.host().tasks
    }

    /// What bounds the number of processes; a process takes of it what its footprint does not have yet.
    #[must_use]
    pub fn ceiling(&self) -> &Ceiling {
        &self.host().ceiling
    }
}

/// Where the standard streams of a process lead.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Stdio {
    /// To the streams of this program: a command on a terminal host.
    Terminal,
    /// Output to the log, line by line; input is at its end.
    #[default]
    Log,
    /// Output to somebody who takes everything; input is at its end.
    Sink(Arc<dyn Sink>),
}

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminal => "Terminal",
            Self::Log => "Log",
            Self::Sink(_) => "Sink(..)",
        })
    }
}

impl fmt::Debug for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Birth")
            .field("pid", self.pid())
            .field("entry", self.entry())
            .field("input", &self.input)
            .field("stdio", &self.stdio)
            .finish_non_exhaustive()
    }
}

/// A stream that processes write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardStream {
    /// Its standard output.
    Out,
    /// Its standard error.
    Err,
}

/// Takes what a process writes.
pub trait Sink: Send + Sync + 'static {
    /// These bytes were written. Called on a worker: it must not block. What a process may write is bounded by its limit
    /// `max_output`; what is kept here, by who implements this.
    fn write(&self, stream: StandardStream, bytes: &[u8]);
}

/// How a returned value is read at the end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResultStyle {
    /// The value is the output.
    Value,
    /// The value is a WIT `result`: `ok` is the output, `err` an error.
    Result,
    /// The value is a script's: a text or a table is the output, a number or a truth value the exit code.
    Script,
}

impl ResultStyle {
    /// The two sides of a returned value: of a WIT `result` in its JSON shape, `{"ok": v}` or `{"err": v}`, what it says;
    /// any other value is no result, and so fine as it is.
    ///
    /// # Errors
    /// The value of `err`.
    ///
    /// ```
    /// use wippy::process::{Payload, ResultStyle};
    ///
    /// let value = Payload::parse_json(r#"{"err": "no such file"}"#)?;
    /// assert_eq!(ResultStyle::Result.read(&value), Err(&"no such file".into()));
    /// assert_eq!(ResultStyle::Value.read(&value), Ok(&value));
    /// # Ok::<(), wippy::process::JsonError>(())
    /// ```
    pub fn read(self, value: &Payload) -> Result<&Payload, &Payload> {
        let (Self::Result, Payload::Map(fields)) = (self, value) else { return Ok(value) };
        match (fields.len(), fields.get("ok"), fields.get("err")) {
            (1, Some(value), None) => Ok(value),
            (1, None, Some(value)) => Err(value),
            _ => Ok(value),
        }
    }
}

/// A returned value can't be said in the form that scripts see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormError {
    /// Why, and what to do.
    pub message: String,
}

impl FormError {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// Arguments do not fit a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ArgumentError {
    /// What does not fit, with the place inside the argument, and the signature.
    pub message: String,
}

impl ArgumentError {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
