//! The VM of one process: what is in it before its script runs.
//!
//! It has the libraries that a sandbox may have, with the functions of those replaced that could hold a worker, the prelude
//! that puts coroutines into the hands of the driver, a hook that preempts, and a bound of memory.

use std::sync::Arc;

use mlua::debug::DebugEvent;
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState};

use super::call::{Answer, Args, encode};
use super::calls;
use super::chunks::{self, Chunks};
use super::host;
use super::meter::INSTRUCTIONS;
use super::modules;
use super::own::{self, Own};
use super::program::Script;
use super::text;

/// A VM with what the driver calls in it.
pub(super) struct Vm {
    pub(super) lua: Lua,
    pub(super) own: Arc<Own>,
    /// Runs a function and keeps the stack of what it raises.
    pub(super) guarded: Function,
    /// Runs the method of a script that was run before.
    pub(super) again: Function,
    pub(super) pump: Function,
    pub(super) complete: Function,
}

/// A VM in the making, for the functions that put something into it.
pub(super) struct Builder<'a> {
    pub(super) lua: &'a Lua,
    pub(super) own: &'a Arc<Own>,
    pub(super) core: &'a Table,
    /// `core.wrap`.
    wrap: Function,
}

impl Builder<'_> {
    /// A function for scripts: it gets its arguments and answers, fails or waits.
    pub(super) fn function<F>(&self, name: &'static str, body: F) -> mlua::Result<Function>
    where
        F: Fn(&Lua, &Arc<Own>, &mut Args) -> Answer + Send + 'static,
    {
        let raw = self.raw(name, body)?;
        self.wrap.call(raw)
    }

    /// The same for the Lua part of a module, which passes its answer to `core.settle`.
    pub(super) fn raw<F>(&self, name: &'static str, body: F) -> mlua::Result<Function>
    where
        F: Fn(&Lua, &Arc<Own>, &mut Args) -> Answer + Send + 'static,
    {
        self.lua.create_function(move |lua, values: MultiValue| {
            let own = own::of(lua)?;
            let answer = body(lua, &own, &mut Args::new(name, values));
            encode(lua, &own, answer)
        })
    }

    /// Runs the Lua part of a module with these arguments. What a script has made of the globals is not seen there.
    pub(super) fn run<R: mlua::FromLuaMulti>(
        &self,
        name: &'static str,
        source: &'static str,
        arguments: impl mlua::IntoLuaMulti,
    ) -> mlua::Result<R> {
        let function = self.own.shared.chunks.load(self.lua, name, source)?;
        function.set_environment(self.core.raw_get("clean")?)?;
        function.call(arguments)
    }
}

/// Where the VM keeps `core`.
const CORE: &str = "core";

/// Makes the table of a module or a library in a VM whose script asks for it now.
pub(super) fn build(lua: &Lua, own: &Arc<Own>, name: &str) -> mlua::Result<Table> {
    let core: Table = lua.named_registry_value(CORE)?;
    let builder = Builder { lua, own, core: &core, wrap: core.raw_get("wrap")? };
    // Some hundred instructions, in C frames that can't be suspended.
    own.meter.hold(|| modules::build(&builder, name))
}

/// Has the VM end at the limit of the process.
fn bound(lua: &Lua, own: &Own) -> mlua::Result<()> {
    let bytes = own.usage.limits().max_memory.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX).max(1));
    lua.set_memory_limit(bytes).map(drop)
}

impl Vm {
    /// A VM for this script, the function that runs it, and its first argument.
    pub(super) fn new(own: Arc<Own>, script: &Script, known: &Chunks) -> mlua::Result<(Self, Function, Table)> {
        let libraries = StdLib::COROUTINE | StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        bound(&lua, &own)?;
        lua.set_app_data(Arc::clone(&own));
        // Nothing of what is made here is garbage.
        lua.gc_stop();
        let globals = lua.globals();
        let host = lua.create_table()?;
        let are_calls_told = calls::are_told();
        if are_calls_told {
            calls::install(&lua, &host)?;
        }
        host::install(&lua, &host)?;
        text::install(&lua, &host)?;
        let core: Table = known.load(&lua, chunks::CORE.0, chunks::CORE.1)?.call(&host)?;
        lua.set_named_registry_value(CORE, &core)?;
        let modules = modules::install(&core, script.modules())?;
        let units = script.load(&lua, &core, &globals, &modules)?;
        let boot = core.raw_get("boot")?;
        let vm = Self {
            guarded: core.raw_get("guarded")?,
            again: core.raw_get("again")?,
            pump: core.raw_get("pump_ports")?,
            complete: core.raw_get("complete")?,
            lua,
            own,
        };
        vm.set_hook(are_calls_told)?;
        vm.lua.gc_restart();
        Ok((vm, boot, units))
    }

    /// Belongs to another process from now on, whose usage follows that of the one before.
    pub(super) fn pass_on(mut self, own: &Arc<Own>) -> mlua::Result<Self> {
        own.take_charge_of(&self.own);
        bound(&self.lua, own)?;
        self.lua.set_app_data(Arc::clone(own));
        self.own = Arc::clone(own);
        Ok(self)
    }

    fn set_hook(&self, are_calls_told: bool) -> mlua::Result<()> {
        let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS);
        let triggers = if are_calls_told { triggers.on_calls() } else { triggers };
        self.lua.set_global_hook(triggers, move |lua, debug| {
            let own = own::of(lua)?;
            if debug.event() != DebugEvent::Count {
                calls::tell(lua, &own, debug)?;
                return Ok(VmState::Continue);
            }
            // It was stopped before and goes on: something that this room knows nothing of called it from C, where it can't be
            // suspended. An error is the next best thing.
            if own.meter.is_ending() {
                return Err(mlua::Error::runtime("the process has ended"));
            }
            let stops = own.meter.hook(|| debug.source().source.is_some_and(|name| Chunks::is_critical(&name)));
            Ok(if stops { VmState::Yield } else { VmState::Continue })
        })
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// The value of an uncaught error, and where it came from.
    pub(super) fn trace_of(&self, error: &Value) -> (String, Option<String>) {
        (super::error::text_of(error), self.own.trace.lock().take())
    }
}
