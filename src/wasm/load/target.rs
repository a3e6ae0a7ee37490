//! Code and what an entry says of it: its method, its imports, and what is wrong with either.

use std::collections::HashMap;

use wasmtime::Module;
use wasmtime::component::{self, Component};

use super::guest::GuestSpec;
use super::{Codes, problem};
use crate::registry::{Diagnostic, Entry, Hash, Severity};
use crate::wasi::{self, Profile};
use crate::wasm::engine::EngineClass;
use crate::wasm::exports::{self, MethodError, START};
use crate::wasm::host::{self, HostFunctions, Listed, Provided};
use crate::wasm::module::{Code, chain};
use crate::wasm::program::{Target, runs_before};
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
    code: (Hash, EngineClass),
    codes: &Codes,
    listed: &Listed,
    linkers: &Linkers,
) -> Result<Target, Box<Diagnostic>> {
    match &codes[&code] {
        Err(error) => Err(Box::new(problem(
            entry,
            "invalid-binary",
            spec.code.field(),
            format!("`{}`: {error}", spec.code.name()),
        ))),
        Ok(Code::Component(component)) => component_target(entry, spec, code, component, listed, linkers),
        Ok(Code::Core(module)) => core_target(entry, spec, code, module, listed, linkers),
    }
}

fn component_target(
    entry: &Entry,
    spec: &GuestSpec<'_>,
    code: (Hash, EngineClass),
    component: &Component,
    listed: &Listed,
    linkers: &Linkers,
) -> Result<Target, Box<Diagnostic>> {
    let method = exports::component_method(component, spec.method).map_err(|error| wrong_method(entry, &error))?;
    let plan = ComponentPlan::new(spec.method, &method.func)
        .map_err(|error| Box::new(problem(entry, "uncallable-method", "method", error.to_string())))?;
    let pre = linkers.component(code, component, listed).map_err(|error| unlinkable(entry, spec, &error))?;
    Ok(if method.command {
        Target::ComponentCommand { pre, index: method.index }
    } else {
        Target::Component { pre, index: method.index, plan }
    })
}

fn core_target(
    entry: &Entry,
    spec: &GuestSpec<'_>,
    code: (Hash, EngineClass),
    module: &Module,
    listed: &Listed,
    linkers: &Linkers,
) -> Result<Target, Box<Diagnostic>> {
    exports::core_method(module, spec.method).map_err(|error| wrong_method(entry, &error))?;
    let pre = linkers.core(code, module, listed).map_err(|error| unlinkable(entry, spec, &error))?;
    if spec.method == START {
        return Ok(Target::CoreCommand { pre });
    }
    let plan = CorePlan::new(spec.method, module, spec.wit).map_err(|error| {
        let field = if spec.wit.is_some() { "wit" } else { "method" };
        problem(entry, "uncallable-method", field, error.to_string())
    })?;
    let before = runs_before(module, spec.method);
    Ok(Target::Core { pre, before, plan })
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
