//! A Lua entry, ready to be started, and the process that runs it.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use mlua::chunk::ChunkMode;
use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value};

use super::chunks::Chunks;
use super::drive::{Driver, Finished, Turn};
use super::modules::Known;
use super::own::Own;
use super::terminal::{Streams, Terminal};
use super::upgrade::{Next, Upgrade};
use super::value;
use super::vm::Vm;
use crate::env::Environment;
use crate::function::WeakFunctions;
use crate::limits::{Bytes, Charge, LimitExceeded, Limits};
use crate::process::{
    self, ArgumentError, Birth, Exit, Failure, FailureKind, Footprint, Instance, Payload, Process, Progress,
    ResultStyle, Stdio,
};
use crate::reactor::BlockingCall;
use crate::registry::{EntryId, LimitsSpec};
use crate::volume::Volumes;

/// Bytes that the stack of a coroutine may take: Lua itself ends a recursion at a million slots of 16 bytes.
const STACK_BYTES: u64 = 16_000_000;

/// What a process takes that has done nothing yet, in bytes.
const RESIDENT_BYTES: u64 = 128 << 10;

/// A VM of this size is dropped where its process ends: 2 ms at most. Larger ones are dropped on the blocking pool.
const DROPPED_INLINE_BYTES: usize = 4 << 20;

/// A script or one of the libraries that it imports.
pub(super) struct Unit {
    /// The entry, as errors name it.
    pub(super) name: String,
    pub(super) code: Arc<[u8]>,
    /// For the line of an error.
    pub(super) source: Arc<str>,
    pub(super) modules: Vec<&'static str>,
    /// By their places in the list of units.
    pub(super) imports: Vec<(String, usize)>,
}

/// All code of one entry: libraries before those that import them, the script itself last.
pub(super) struct Script {
    pub(super) units: Vec<Unit>,
    pub(super) method: String,
}

impl Script {
    /// The modules that any of it lists.
    pub(super) fn modules(&self) -> impl Iterator<Item = &'static str> {
        self.units.iter().flat_map(|unit| unit.modules.iter().copied())
    }

    /// Puts all of it into a VM, for `core.boot`.
    pub(super) fn load(&self, lua: &Lua, core: &Table, globals: &Table, known: &Known) -> mlua::Result<Table> {
        let sandbox: Function = core.raw_get("sandbox")?;
        let library_env: Function = core.raw_get("library_env")?;
        let units = lua.create_table()?;
        for (at, unit) in self.units.iter().enumerate() {
            let modules = known.table(lua, &unit.modules)?;
            let env: Table = if at + 1 == self.units.len() {
                known.add_globals(&modules)?;
                sandbox.call::<()>((globals, &modules))?;
                globals.clone()
            } else {
                library_env.call((globals, &modules))?
            };
            let chunk = lua
                .load(&unit.code[..])
                .set_name(format!("={}", unit.name))
                .set_mode(ChunkMode::Binary)
                .set_environment(env.clone())
                .into_function()?;
            let imports = lua.create_table()?;
            for (alias, of) in &unit.imports {
                imports.raw_set(alias.as_str(), of + 1)?;
            }
            let entry = lua.create_table()?;
            entry.raw_set("env", env)?;
            entry.raw_set("chunk", chunk)?;
            entry.raw_set("imports", imports)?;
            units.raw_push(entry)?;
        }
        Ok(units)
    }

    /// The line that a message begins with, as its author wrote it.
    fn quoted(&self, message: &str) -> Option<String> {
        self.units.iter().find_map(|unit| {
            let rest = message.strip_prefix(&unit.name)?.strip_prefix(':')?;
            let number: usize = rest.split_once(':')?.0.parse().ok()?;
            let line = unit.source.lines().nth(number.checked_sub(1)?)?;
            Some(format!("\n  {number} | {}", line.trim_end()))
        })
    }
}

/// What all processes of an application share.
pub(super) struct Shared {
    pub(super) chunks: Chunks,
    /// Counts on at every tick.
    pub(super) ticks: Arc<AtomicU64>,
    pub(super) world: World,
    /// The programs that a process may become, once they are loaded.
    pub(super) programs: OnceLock<HashMap<EntryId, Weak<Program>>>,
}

/// What an application gives its scripts.
pub(crate) struct World {
    /// The standard streams of commands.
    pub(crate) terminal: Arc<dyn Terminal>,
    /// Its file systems.
    pub(crate) volumes: Volumes,
    /// Its variables.
    pub(crate) environment: Environment,
    /// What scripts may call, once there are functions.
    pub(crate) functions: WeakFunctions,
}

/// A loaded Lua entry.
pub(super) struct Program {
    pub(super) entry: EntryId,
    pub(super) script: Script,
    pub(super) limits: LimitsSpec,
    pub(super) shared: Arc<Shared>,
}

/// A loaded Lua entry as the process manager sees it.
pub(super) struct Startable(pub(super) Arc<Program>);

impl process::Program for Startable {
    fn entry(&self) -> &EntryId {
        &self.0.entry
    }

    fn check(&self, input: &[Payload]) -> Result<(), ArgumentError> {
        for (at, payload) in input.iter().enumerate() {
            if payload.is_too_deep() {
                let message = format!("argument {}: lists and maps nest deeper than {}", at + 1, Payload::MAX_DEPTH);
                return Err(ArgumentError::new(message));
            }
            value::check(payload).map_err(|error| ArgumentError::new(format!("argument {}: {error}", at + 1)))?;
        }
        Ok(())
    }

    fn read_arguments(&self, text: &[String]) -> Result<Vec<Payload>, ArgumentError> {
        Ok(text.iter().cloned().map(Payload::String).collect())
    }

    fn limits(&self) -> LimitsSpec {
        self.0.limits.clone()
    }

    fn settle(&self, limits: &mut Limits) -> Result<(), ArgumentError> {
        if limits.max_fuel.is_some() {
            return Err(ArgumentError::new("`max_fuel` counts instructions of wasm; `max_cpu` bounds a script"));
        }
        limits.max_stack = Some(STACK_BYTES);
        Ok(())
    }

    fn footprint(&self, _: &Limits) -> Footprint {
        Footprint { memory: RESIDENT_BYTES, ..Footprint::default() }
    }

    fn receives(&self) -> bool {
        true
    }

    fn create(&self, birth: Birth) -> Box<dyn Process> {
        let keeps = birth.keeps;
        Box::new(LuaProcess { program: Arc::clone(&self.0), keeps, life: Life::Init(Box::new(birth)) })
    }

    fn result_style(&self) -> ResultStyle {
        ResultStyle::Script
    }
}

/// A Lua process.
struct LuaProcess {
    program: Arc<Program>,
    /// Whether its VM is for the next one, when it ends with a value.
    keeps: bool,
    life: Life,
}

/// Where it is between its birth and its end.
enum Life {
    /// Made, and nothing else: the first step initialises.
    Init(Box<Birth>),
    Running(Box<Driver>),
    /// One script is over, and the next one begins when nothing of it is left.
    Upgrading(Box<Upgrade>),
    /// The script is over; its output and its VM are on their way.
    Leaving(Box<Leaving>),
    /// All is over but what it leaves to the next process.
    Over(Box<Vm>),
    /// Nothing is held any more.
    Closed,
}

/// A VM between two processes of the same script.
struct Warm {
    vm: Vm,
    program: Arc<Program>,
}

/// What is left of a script that is over.
struct Leaving {
    exit: Exit,
    streams: Option<Streams>,
    dropping: Option<BlockingCall<()>>,
    /// For the next process.
    kept: Option<Box<Vm>>,
}

impl Process for LuaProcess {
    fn step(&mut self, context: &mut Context<'_>) -> Progress {
        match std::mem::replace(&mut self.life, Life::Closed) {
            Life::Init(mut birth) => {
                let input = std::mem::take(&mut birth.input);
                let kept = birth.kept.take().and_then(|kept| kept.downcast::<Warm>().ok());
                let kept = kept.filter(|warm| Arc::ptr_eq(&warm.program, &self.program)).map(|warm| warm.vm);
                let shared = &self.program.shared;
                let streams =
                    matches!(birth.stdio, Stdio::Terminal).then(|| shared.world.terminal.open(birth.reactor()));
                self.start(&Own::new(*birth, Arc::clone(shared), streams), kept, input, None, context)
            }
            Life::Upgrading(mut upgrade) => match upgrade.poll_room(context) {
                Poll::Pending => {
                    self.life = Life::Upgrading(upgrade);
                    Progress::Blocked
                }
                Poll::Ready(()) => {
                    let Upgrade { own, input, held, .. } = *upgrade;
                    self.start(&own, None, input, Some(held), context)
                }
            },
            Life::Running(driver) => self.run(driver, context),
            Life::Leaving(leaving) => self.depart(leaving, context),
            Life::Over(_) | Life::Closed => Progress::Exit(Exit::Terminated),
        }
    }

    fn leave(&mut self) -> Option<Instance> {
        match std::mem::replace(&mut self.life, Life::Closed) {
            Life::Over(vm) => Some(Box::new(Warm { vm: *vm, program: Arc::clone(&self.program) })),
            _ => None,
        }
    }

    fn close(&mut self) {
        if let Life::Running(driver) = std::mem::replace(&mut self.life, Life::Closed) {
            let tasks = driver.vm().own.tasks.clone();
            if let Some(dropping) = dispose(driver) {
                // A pool that is closed drops it all the same.
                tasks.spawn(async move { drop(dropping.await) });
            }
        }
    }
}

/// Drops a VM: at once, or on the blocking pool when it is large.
fn dispose(driver: Box<Driver>) -> Option<BlockingCall<()>> {
    (driver.vm().memory() > DROPPED_INLINE_BYTES).then(|| {
        let own = Arc::clone(&driver.vm().own);
        own.reactor.blocking().run(move || drop(driver))
    })
}

impl LuaProcess {
    /// Begins with the script, and runs it. The arguments are outside of a VM until it has begun, and charged if need be.
    fn start(
        &mut self,
        own: &Arc<Own>,
        kept: Option<Vm>,
        input: Vec<Payload>,
        held: Option<Charge>,
        context: &mut Context<'_>,
    ) -> Progress {
        let begun = self.begin(own, kept, &input, context);
        drop((input, held));
        match begun {
            Ok(driver) => self.run(driver, context),
            Err(exit) => Progress::Exit(exit),
        }
    }

    /// A VM with the script in it: a new one, or one that was kept.
    fn begin(
        &self,
        own: &Arc<Own>,
        kept: Option<Vm>,
        input: &[Payload],
        context: &Context<'_>,
    ) -> Result<Box<Driver>, Exit> {
        let Program { script, shared, .. } = &*self.program;
        own.enter(context);
        let failed = |error| self.exit_of(own, Finished::Failed(error), None);
        let (vm, body, units) = match kept {
            Some(vm) => {
                let vm = vm.pass_on(own).map_err(failed)?;
                let again = vm.again.clone();
                (vm, again, None)
            }
            None => {
                let (vm, boot, units) = Vm::new(Arc::clone(own), script, &shared.chunks).map_err(failed)?;
                (vm, boot, Some(units))
            }
        };
        let arguments = || -> mlua::Result<MultiValue> {
            let mut values = match units {
                Some(units) => (units, script.method.as_str()).into_lua_multi(&vm.lua)?,
                None => MultiValue::new(),
            };
            for payload in input {
                // The arguments were checked, so only memory can be wanting.
                values.push_back(value::to_lua(&vm.lua, payload).map_err(mlua::Error::external)?);
            }
            Ok(values)
        };
        let arguments = arguments().map_err(failed)?;
        Driver::new(vm, &body, arguments).map(Box::new).map_err(failed)
    }

    fn run(&mut self, mut driver: Box<Driver>, context: &mut Context<'_>) -> Progress {
        let turn = driver.turn(context);
        let own = Arc::clone(&driver.vm().own);
        if let Err(limit) = own.account(driver.vm().memory()) {
            own.meter.end(Exit::LimitExceeded(limit));
        }
        let exit = match (own.meter.take_end(), turn) {
            (Some(exit), _) => exit,
            (None, Turn::Waits(progress)) => {
                self.life = Life::Running(driver);
                return progress;
            }
            (None, Turn::Finished(finished)) => self.exit_of(&own, finished, Some(driver.vm())),
            (None, Turn::Ending) => Exit::Terminated,
            (None, Turn::Upgrade(next)) => return self.upgrade(&own, driver, *next),
        };
        let (kept, dropping) = match self.keeps && matches!(exit, Exit::Returned(_)) {
            true => match driver.into_quiet_vm() {
                Ok(vm) => (Some(Box::new(vm)), None),
                Err(driver) => (None, dispose(driver)),
            },
            false => (None, dispose(driver)),
        };
        let streams = own.streams.lock().take();
        if let Some(streams) = &streams {
            streams.output.finish();
            streams.errors.finish();
        }
        self.depart(Box::new(Leaving { exit, streams, dropping, kept }), context)
    }

    /// Goes on as another script, in the step that follows: one that upgrades itself again and again is preempted there.
    fn upgrade(&mut self, own: &Own, driver: Box<Driver>, next: Next) -> Progress {
        let Next { program, input, held } = next;
        own.peers.becomes(&program.entry);
        let successor = own.successor(program.entry.clone());
        self.program = program;
        self.life = Life::Upgrading(Box::new(Upgrade { own: successor, input, dropping: dispose(driver), held }));
        Progress::Preempted
    }

    fn depart(&mut self, mut leaving: Box<Leaving>, context: &mut Context<'_>) -> Progress {
        if let Some(dropping) = &mut leaving.dropping
            && Pin::new(dropping).poll(context).is_ready()
        {
            leaving.dropping = None;
        }
        let drained = leaving.streams.as_ref().is_none_or(|streams| {
            let output = streams.output.poll_drained(context);
            let errors = streams.errors.poll_drained(context);
            output.is_ready() && errors.is_ready()
        });
        if leaving.dropping.is_some() || !drained {
            self.life = Life::Leaving(leaving);
            return Progress::Leaving;
        }
        if let Some(vm) = leaving.kept {
            self.life = Life::Over(vm);
        }
        Progress::Exit(leaving.exit)
    }

    /// What the end of the script means.
    fn exit_of(&self, own: &Own, finished: Finished, vm: Option<&Vm>) -> Exit {
        let entry = &self.program.entry;
        let script = &self.program.script;
        let failure = |message: String| Failure::new(FailureKind::Script, format!("`{entry}`: {message}"));
        let failed = |message: String| Exit::Failed(failure(message));
        match finished {
            Finished::Returned(mut values) => {
                let (first, second) = (values.pop_front().unwrap_or_default(), values.pop_front().unwrap_or_default());
                if first.is_nil() && !second.is_nil() {
                    let failure = failure(super::error::text_of(&second));
                    return Exit::Failed(failure.of_error(super::error::payload_of(&second)));
                }
                match value::to_payload(&first) {
                    Ok(payload) => Exit::Returned(payload),
                    Err(problem) => failed(format!("the returned value: {problem}")),
                }
            }
            Finished::Raised(error) => {
                let (text, trace) = vm.map_or_else(|| (super::error::text_of(&error), None), |vm| vm.trace_of(&error));
                if is_memory(&error) {
                    return Exit::LimitExceeded(out_of_memory(own, trace));
                }
                if is_stack_overflow(&error) {
                    let mut limit = LimitExceeded::new("max_stack", Bytes(STACK_BYTES), "more");
                    limit.after = Some(format!("failed: {}", first_line(&text)));
                    return Exit::LimitExceeded(limit);
                }
                let quoted = script.quoted(&text).unwrap_or_default();
                let trace = trace.map(|trace| readable(&trace)).unwrap_or_default();
                let failure = failure(format!("{text}{quoted}{trace}"));
                Exit::Failed(failure.of_error(super::error::payload_of(&error)))
            }
            Finished::Failed(error) if is_memory_error(&error) => Exit::LimitExceeded(out_of_memory(own, None)),
            Finished::Failed(error) => failed(error.to_string()),
            Finished::Stuck => failed(
                "every coroutine waits for another one, for ever: a channel is received from to which nobody is left to send, \
                 or the other way round"
                    .to_owned(),
            ),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A trace without the frames of this room.
fn readable(trace: &str) -> String {
    let is_ours = |line: &str| line.contains("[wippy ") || line.ends_with("'xpcall'") || line == "\t[C]: in ?";
    let mut lines: Vec<&str> = trace.lines().filter(|line| !is_ours(line)).collect();
    // The method itself was called by a tail call of ours.
    if lines.last() == Some(&"\t(...tail calls...)") {
        lines.pop();
    }
    if lines.len() < 2 {
        return String::new();
    }
    format!("\n{}", lines.join("\n").replace('\t', "  "))
}

fn is_memory(error: &Value) -> bool {
    match error {
        Value::Error(error) => is_memory_error(error),
        Value::String(text) => text.as_bytes().as_ref() == b"not enough memory",
        _ => false,
    }
}

fn is_memory_error(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } => is_memory_error(cause),
        _ => false,
    }
}

fn is_stack_overflow(error: &Value) -> bool {
    matches!(error, Value::String(text) if {
        let text = text.to_string_lossy();
        let message = first_line(&text);
        message.contains("stack overflow") || message.contains("error in error handling")
    })
}

fn out_of_memory(own: &Own, trace: Option<String>) -> LimitExceeded {
    let allowed = own.usage.limits().max_memory.unwrap_or(u64::MAX);
    let mut limit = LimitExceeded::new("max_memory", Bytes(allowed), "more");
    limit.backtrace = trace
        .map(|trace| readable(&trace).lines().skip(2).map(|line| line.trim().to_owned()).collect())
        .unwrap_or_default();
    limit
}
