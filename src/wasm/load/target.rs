//! Code and what an entry says of it: its method, its imports, and what is wrong with either.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::{self, Component};
use wasmtime::{Engine, Module};

use super::guest::GuestSpec;
use super::{Codes, problem};
use crate::registry::{Diagnostic, Entry, Hash, Severity};
use crate::wasi::{self, Profile};
use crate::wasm::engine::{EngineClass, Engines};
use crate::wasm::exports::{self, MethodError, START};
use crate::wasm::host::{self, HostFunctions, Listed, Provided};
use crate::wasm::module::{Code, chain};
use crate::wasm::program::{Target, runs_before};
use crate::wasm::replica::Again;
use crate::wasm::state::State;
use crate::wasm::value::{ComponentPlan, CorePlan};

/// Resolved linkers: one a binary, engine and imports set.
pub(super) struct Linkers {
    hosts: HostFunctions,
    components: Shared<component::InstancePre<State>>,
    cores: Shared<wasmtime::InstancePre<State>>,
}

/// Results by binary, engine and imports set. Two entries that come at once may both resolve; the first result is kept.
type Shared<T> = parking_lot::Mutex<HashMap<((Hash, EngineClass), Listed), T>>;

impl Linkers {
    pub(super) fn new(hosts: HostFunctions) -> Self {
        Self { hosts, components: Shared::default(), cores: Shared::default() }
    }

    fn component(
        &self,
        code: (Hash, EngineClass),
        component: &Component,
        listed: &Listed,
    ) -> wasmtime::Result<component::InstancePre<State>> {
        let key = (code, listed.clone());
        if let Some(pre) = self.components.lock().get(&key) {
            return Ok(pre.clone());
        }
        let mut linker = component::Linker::new(component.engine());
        wasi::add_to_linker(&mut linker, listed.profiles)?;
        let linked = host::add_to_linker(&mut linker, component, &self.hosts, listed)?;
        wasi::stub_missing(&mut linker, component, listed.profiles, &linked)?;
        let pre = linker.instantiate_pre(component)?;
        Ok(self.components.lock().entry(key).or_insert(pre).clone())
    }

    fn core(
        &self,
        code: (Hash, EngineClass),
        module: &Module,
        listed: &Listed,
    ) -> wasmtime::Result<wasmtime::InstancePre<State>> {
        let key = (code, listed.clone());
        if let Some(pre) = self.cores.lock().get(&key) {
            return Ok(pre.clone());
        }
        let mut linker = wasmtime::Linker::new(module.engine());
        wasi::add_preview1(&mut linker)?;
        host::add_to_core_linker(&mut linker, module, &self.hosts, listed)?;
        wasi::stub_missing_core(&mut linker, module)?;
        let pre = linker.instantiate_pre(module)?;
        Ok(self.cores.lock().entry(key).or_insert(pre).clone())
    }
}

/// What a guest imports that nothing provides, or an embedder does for entries that list it: a call of it ends the process.
/// Interfaces of WASI are not told: most guests import more of them than they use.
pub(super) fn warn_of_imports(
    entry: &Entry,
    spec: &GuestSpec<'_>,
    code: &Code,
    hosts: &HostFunctions,
    listed: &Listed,
    problems: &mut Vec<Diagnostic>,
) {
    for (interface, functions) in exports::imported(code) {
        if wasi::profile_of_interface(&interface).is_some() {
            continue;
        }
        let (mut unlisted, mut missing) = (None, Vec::new());
        for function in functions {
            match hosts.provides(&interface, &function, &listed.hosts) {
                Provided::Yes => {}
                Provided::Unlisted(name) => unlisted = Some(name),
                Provided::No => missing.push(format!("`{function}`")),
            }
        }
        let name = spec.code.name();
        let mut warn = |code, message, help: String| {
            problems.push(entry.problem(Severity::Warning, code, &["imports"], message).help(help));
        };
        if let Some(listed) = unlisted {
            let message =
                format!("`{name}` imports `{interface}`, which the entry does not list: a call ends the process");
            warn("unlisted-import", message, format!("add `{listed}` under `imports`"));
        }
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let message =
                format!("`{name}` imports {missing} of `{interface}`, which nothing provides: a call ends the process");
            let help = "build it without this import, or embed the runtime and provide it: `RuntimeBuilder::host_func`";
            warn("unprovided-import", message, help.to_owned());
        }
    }
}

/// Wippy's rule: a core module can't list what only components can import.
pub(super) fn refuse_component_profiles(entry: &Entry, spec: &GuestSpec<'_>, problems: &mut Vec<Diagnostic>) {
    for (at, import) in spec.imports.iter().enumerate() {
        let Ok(profile) = Profile::parse(import) else { continue };
        if profile.component_only() {
            let message =
                format!("`{import}` can be imported by components only, `{}` is a core module", spec.code.name());
            problems.push(
                entry
                    .problem(Severity::Error, "component-import", &["imports", &at.to_string()], message)
                    .help("remove it: a core module has WASI preview 1 without listing anything"),
            );
        }
    }
}

/// The code of one engine, linked for an entry.
pub(super) fn target(
    entry: &Entry,
    spec: &GuestSpec<'_>,
    (code, is_inert): ((Hash, EngineClass), bool),
    codes: &Codes,
    listed: &Listed,
    linkers: &Linkers,
) -> Result<Target, Box<Diagnostic>> {
    let compiled = codes[&code].as_ref().map_err(|error| {
        let message = format!("`{}`: {error}", spec.code.name());
        Box::new(problem(entry, "invalid-binary", spec.code.field(), message))
    })?;
    let linked = linkers.link(code, (compiled, is_inert), (spec.method, spec.wit), listed);
    linked.map_err(|wrong| match wrong {
        Wrong::Method(error) => wrong_method(entry, &error),
        Wrong::Call(field, message) => Box::new(problem(entry, "uncallable-method", field, message)),
        Wrong::Imports(error) => unlinkable(entry, spec, &error),
    })
}

/// How that is done once more on another engine. None where no worker may have one, so that nobody keeps the binary for it, and for
/// code that was not compiled in a moment and lies in no cache.
pub(super) fn again(
    spec: &GuestSpec<'_>,
    (hash, class): (Hash, EngineClass),
    (bytes, is_inert): (&Arc<[u8]>, bool),
    listed: &Listed,
    (hosts, engines): (&HostFunctions, &Engines),
) -> Option<Again> {
    if !engines.may_be_own(class) || bytes.len() > RECOMPILED_MAX && engines.cache_directory().is_none() {
        return None;
    }
    let (binary, listed, hosts) = (Arc::clone(bytes), listed.clone(), hosts.clone());
    let (method, wit) = (spec.method.to_owned(), spec.wit.map(str::to_owned));
    let make = move |engine: &Engine| {
        let code = Code::compile(engine, &binary).ok()?;
        let linkers = Linkers::new(hosts.clone());
        linkers.link((hash, class), (&code, is_inert), (&method, wit.as_deref()), &listed).ok()
    };
    Some(Again { make: Box::new(make), engines: engines.clone(), bytes: bytes.len() })
}

/// A binary up to this size, in bytes, is compiled again where it can't be found in a cache: that takes some milliseconds.
const RECOMPILED_MAX: usize = 16 << 10;

/// What is wrong with code that was compiled.
enum Wrong {
    Method(MethodError),
    /// The method can't be called, for what is said in this field of the entry.
    Call(&'static str, String),
    Imports(wasmtime::Error),
}

impl Linkers {
    /// Links the method of an entry, with the types that the entry gives it if it has to.
    fn link(
        &self,
        code: (Hash, EngineClass),
        (compiled, is_inert): (&Code, bool),
        (method, wit): (&str, Option<&str>),
        listed: &Listed,
    ) -> Result<Target, Wrong> {
        match compiled {
            Code::Component(component) => {
                let found = exports::component_method(component, method).map_err(Wrong::Method)?;
                let plan = ComponentPlan::new(method, &found.func)
                    .map_err(|error| Wrong::Call("method", error.to_string()))?;
                let (pre, index) = (self.component(code, component, listed).map_err(Wrong::Imports)?, found.index);
                Ok(match found.command {
                    true => Target::ComponentCommand { pre, index },
                    false => Target::Component { pre, index, plan, is_inert },
                })
            }
            Code::Core(module) => {
                exports::core_method(module, method).map_err(Wrong::Method)?;
                let pre = self.core(code, module, listed).map_err(Wrong::Imports)?;
                if method == START {
                    return Ok(Target::CoreCommand { pre });
                }
                let field = if wit.is_some() { "wit" } else { "method" };
                let plan = CorePlan::new(method, module, wit).map_err(|error| Wrong::Call(field, error.to_string()))?;
                let before = runs_before(module, method);
                Ok(Target::Core { pre, before, plan, is_inert })
            }
        }
    }
}

fn wrong_method(entry: &Entry, error: &MethodError) -> Box<Diagnostic> {
    let mut problem = problem(entry, "unknown-method", "method", error.to_string());
    if error.exports.is_empty() {
        problem = problem.note("the binary exports no function");
    } else {
        problem = problem.note(format!("the binary exports:\n{}", error.exports.join("\n")));
    }
    if let Some(suggestion) = &error.suggestion {
        problem = problem.help(format!("did you mean `{suggestion}`?"));
    }
    Box::new(problem)
}

fn unlinkable(entry: &Entry, spec: &GuestSpec<'_>, error: &wasmtime::Error) -> Box<Diagnostic> {
    let message = format!("`{}` can't be linked: {}", spec.code.name(), chain(error));
    Box::new(problem(entry, "unlinkable-binary", spec.code.field(), message))
}
