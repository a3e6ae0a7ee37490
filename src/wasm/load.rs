//! From the wasm entries of a registry to programs, in parallel and with every problem reported.
//!
//! Three passes, so that no job waits for another: read and hash all binaries, compile each distinct one, link each
//! entry.

mod binary;
mod guest;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rayon::prelude::*;
use wasmtime::Module;
use wasmtime::component::{self, Component};

use self::binary::{Binary, read_all};
use self::guest::{FunctionSpec, GuestSpec};
use super::allocator::{Allocator, Supply};
use super::engine::{EngineClass, Engines};
use super::exports::{self, MethodError, START};
use super::footprint::Needs;
use super::host::{self, HostFunctions, Listed, Provided};
use super::module::{Code, CompileError, chain};
use super::program::{self, Program, Startable, Surroundings, Target, runs_before};
use super::state::State;
use super::value::{ComponentPlan, CorePlan, Signature};
use crate::env::Environment;
use crate::function::{Function, WeakFunctions};
use crate::limits::Limits;
use crate::process;
use crate::registry::{
    Diagnostic, Diagnostics, Entry, EntryId, Hash, LimitsSpec, Preempt, ProcessHost, Registry, Severity, Spec,
};
use crate::volume::Volumes;
use crate::wasi::{self, NetworkPolicy, Profile, ProgramStreams, RULE_FORMS, Resolver, Rule};

/// Is told how loading goes on. Called from several threads.
pub trait Progress: Send + Sync {
    /// So many binaries will be compiled.
    fn start(&self, binaries: usize);
    /// One more is.
    fn compiled(&self);
    /// Loading is over.
    fn finish(&self);
}

/// What loading needs of the rooms below.
pub(crate) struct Sources<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) volumes: &'a Volumes,
    pub(crate) environment: &'a Arc<Environment>,
    pub(crate) resolver: &'a Arc<dyn Resolver>,
    pub(crate) streams: &'a Arc<ProgramStreams>,
    /// What guests may call, once there are functions.
    pub(crate) functions: &'a WeakFunctions,
    /// That of the engines.
    pub(crate) supply: Supply,
    /// What the embedder provides.
    pub(crate) hosts: &'a HostFunctions,
}

/// Where relative paths of a guest start when its entry does not say.
const DEFAULT_FOLDER: &str = "/";

/// Programs by entry.
pub(crate) type Programs = HashMap<EntryId, Arc<dyn process::Program>>;

/// Types of the methods of entries. A command has none: it takes words and ends with a code.
pub(crate) type Signatures = HashMap<EntryId, Arc<Signature>>;

/// What was made of the wasm entries.
#[derive(Default)]
pub(crate) struct Loaded {
    /// What processes are made from, by entry.
    pub(crate) programs: Programs,
    /// What is called.
    pub(crate) functions: Vec<Function>,
    /// The types of what is called.
    pub(crate) signatures: Signatures,
    pub(crate) diagnostics: Diagnostics,
}

/// Loads every wasm entry: `process.wasm`, `function.wasm`, `function.wat`. An entry with a problem is left out, and the problem told.
///
/// # Errors
/// The threads for it could not be had.
pub(crate) fn load(sources: &Sources<'_>, engines: &Engines, progress: Option<&dyn Progress>) -> io::Result<Loaded> {
    let entries: Vec<_> = sources.registry.iter().filter_map(|entry| Some((entry, GuestSpec::of(entry)?))).collect();
    if entries.is_empty() {
        return Ok(Loaded::default());
    }
    // A pool of its own, gone after loading: compilation runs in it too, and the worker threads of hosts stay free of it.
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|at| format!("wippy-load{at}"))
        .build()
        .map_err(io::Error::other)?;
    Ok(pool.install(|| run(&entries, sources, engines, progress)))
}

fn run(
    entries: &[(&Entry, GuestSpec<'_>)],
    sources: &Sources<'_>,
    engines: &Engines,
    progress: Option<&dyn Progress>,
) -> Loaded {
    let binaries = read_all(entries, sources);
    let classes = Classes::of(sources.registry, sources.supply.allocator);
    let codes = compile_all(entries, &binaries, &classes, engines, progress);
    let linkers = Linkers { hosts: sources.hosts.clone(), ..Linkers::default() };
    let shared = Arc::new(program::Shared {
        streams: Arc::clone(sources.streams),
        #[cfg(feature = "http")]
        http: super::http::Clients::default(),
    });
    let linked: Vec<_> = entries
        .par_iter()
        .zip(&binaries)
        .map(|((entry, spec), binary)| link(entry, spec, binary, (&codes, &classes), &linkers, sources, &shared))
        .collect();
    let mut loaded = Loaded::default();
    for ((entry, spec), (program, problems)) in entries.iter().zip(linked) {
        loaded.diagnostics.extend(problems);
        let Some((program, signature)) = program else { continue };
        loaded.signatures.extend(signature.map(|signature| (entry.id().clone(), signature)));
        match spec.function {
            None => drop(loaded.programs.insert(entry.id().clone(), program)),
            Some(FunctionSpec { pool, isolation }) => {
                let function = Function::new(program, pool.cloned().unwrap_or_default());
                loaded.functions.push(function.isolation(isolation));
            }
        }
    }
    loaded
}

/// An error at one field of an entry.
fn problem(entry: &Entry, code: &'static str, field: &str, message: String) -> Diagnostic {
    entry.problem(Severity::Error, code, &[field], message)
}

/// What the hosts of an application say of limits and preemption: which engines an entry needs.
struct Classes<'r> {
    hosts: Vec<&'r ProcessHost>,
    allocator: Allocator,
}

impl<'r> Classes<'r> {
    fn of(registry: &'r Registry, allocator: Allocator) -> Self {
        let hosts = registry.iter().filter_map(|entry| match entry.spec() {
            Spec::ProcessHost(host) => Some(host),
            _ => None,
        });
        Self { hosts: hosts.collect(), allocator }
    }

    /// The hosts that take an entry, as far as preemption goes.
    fn taking(&self, preempt: Preempt) -> impl Iterator<Item = &'r ProcessHost> {
        self.hosts.iter().copied().filter(move |host| preempt != Preempt::None || host.allow_preempt_none)
    }

    /// What a process of the entry may use, for each kind of host: one without limits first. A terminal is such a host,
    /// and most applications have no other kind.
    fn limits(&self, spec: &GuestSpec<'_>) -> Vec<Limits> {
        let silent = LimitsSpec::default();
        let resolve =
            |defaults: &LimitsSpec, ceilings: &LimitsSpec| LimitsSpec::resolve(&[spec.limits, defaults], ceilings);
        let on =
            |host: &ProcessHost| Limits { crowd: host.max_processes, ..resolve(&host.default_limits, &host.limits) };
        let declared: Vec<_> = self.taking(spec.preempt).map(on).collect();
        // An entry that nobody takes is compiled all the same, so that what is wrong with it is told.
        let is_taken_by_terminals = spec.preempt != Preempt::None || declared.is_empty();
        is_taken_by_terminals.then(|| resolve(&silent, &silent)).into_iter().chain(declared).collect()
    }

    /// The classes in which a binary of this size is needed.
    fn needed(&self, binary: usize, spec: &GuestSpec<'_>) -> Vec<EngineClass> {
        let mut classes = Vec::new();
        for limits in self.limits(spec) {
            let class = EngineClass::of(binary, &limits, spec.preempt, self.allocator);
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
    }
}

/// What `preempt: none` costs: hosts that do not take the entry, limits that can't be kept while it computes.
fn warn_of_preempt_none(entry: &Entry, spec: &GuestSpec<'_>, classes: &Classes<'_>, problems: &mut Vec<Diagnostic>) {
    if spec.preempt != Preempt::None {
        return;
    }
    let mut warn = |code, message: &str, help: &str| {
        problems.push(entry.problem(Severity::Warning, code, &["preempt"], message.to_owned()).help(help.to_owned()));
    };
    if classes.taking(spec.preempt).next().is_none() {
        warn(
            "preempt-not-allowed",
            "no host takes an entry with `preempt: none`",
            "write `allow_preempt_none: true` under `host:` of a `process.host`",
        );
    }
    let limits = classes.limits(spec);
    let late = [
        ("max_execution", limits.iter().any(|limits| limits.max_execution.is_some())),
        ("max_cpu", limits.iter().any(|limits| limits.max_cpu.is_some())),
    ];
    for (limit, _) in late.into_iter().filter(|(_, is_set)| *is_set) {
        warn(
            "limit-not-enforced",
            &format!("with `preempt: none`, `{limit}` ends no loop: it acts when the guest calls its host"),
            "`max_fuel` ends loops too",
        );
    }
}

type Codes = HashMap<(Hash, EngineClass), Result<Code, CompileError>>;

fn compile_all(
    entries: &[(&Entry, GuestSpec<'_>)],
    binaries: &[Binary],
    classes: &Classes<'_>,
    engines: &Engines,
    progress: Option<&dyn Progress>,
) -> Codes {
    let distinct: HashMap<(&Hash, EngineClass), &Arc<[u8]>> = entries
        .iter()
        .zip(binaries)
        .filter_map(|((_, spec), binary)| match binary {
            Binary::Verified { hash, bytes } => Some((spec, hash, bytes)),
            _ => None,
        })
        .flat_map(|(spec, hash, bytes)| {
            classes.needed(bytes.len(), spec).into_iter().map(move |class| ((hash, class), bytes))
        })
        .collect();
    if let Some(progress) = progress {
        progress.start(distinct.len());
    }
    let codes = distinct
        .into_par_iter()
        .map(|((hash, class), bytes)| {
            let code = engines.get(class).map_err(CompileError::from).and_then(|engine| Code::compile(&engine, bytes));
            if let Some(progress) = progress {
                progress.compiled();
            }
            ((*hash, class), code)
        })
        .collect();
    if let Some(progress) = progress {
        progress.finish();
    }
    codes
}

/// Resolved linkers: one a binary, engine and imports set.
#[derive(Default)]
struct Linkers {
    hosts: HostFunctions,
    components: Shared<component::InstancePre<State>>,
    cores: Shared<wasmtime::InstancePre<State>>,
}

/// Results by binary, engine and imports set. Two entries that come at once may both resolve; the first result is kept.
type Shared<T> = parking_lot::Mutex<HashMap<((Hash, EngineClass), Listed), T>>;

impl Linkers {
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

/// A program, and the types of its method.
type Linked = (Arc<dyn process::Program>, Option<Arc<Signature>>);

/// One entry: its imports, its binary, its method.
fn link(
    entry: &Entry,
    spec: &GuestSpec<'_>,
    binary: &Binary,
    (codes, classes): (&Codes, &Classes<'_>),
    linkers: &Linkers,
    sources: &Sources<'_>,
    shared: &Arc<program::Shared>,
) -> (Option<Linked>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let listed = read_imports(entry, spec, sources.hosts, &mut problems);
    let network = Arc::new(read_network(entry, spec, &mut problems));
    let (targets, size) = match binary {
        Binary::NoVolume => (Vec::new(), 0),
        Binary::Refused(problem) => {
            problems.push(problem.clone());
            (Vec::new(), 0)
        }
        Binary::Verified { hash, bytes } => {
            let classes = classes.needed(bytes.len(), spec);
            let target = |class| target(entry, spec, (*hash, class), codes, &listed, linkers);
            if classes.first().is_some_and(|class| matches!(codes[&(*hash, *class)], Ok(Code::Core(_)))) {
                refuse_component_profiles(entry, spec, &mut problems);
            }
            // What is wrong is wrong with every engine: it is told once.
            let targets: Result<Vec<_>, _> =
                classes.into_iter().map(|class| target(class).map(|target| (class, Arc::new(target)))).collect();
            let targets = targets.unwrap_or_else(|problem| {
                problems.push(*problem);
                Vec::new()
            });
            (targets, bytes.len())
        }
    };
    for (at, variable) in spec.wasi.env.iter().enumerate() {
        if variable.required && sources.environment.is_never_set(&variable.id) {
            let place = ["wasi", "env", &at.to_string(), "id"];
            let message = program::missing(variable, sources.environment);
            problems.push(entry.problem(Severity::Error, "missing-variable", &place, message));
        }
    }
    let mounts = read_mounts(entry, spec, sources, &mut problems);
    let is_sound = !targets.is_empty() && problems.is_empty();
    warn_of_preempt_none(entry, spec, classes, &mut problems);
    if let Binary::Verified { hash, bytes } = binary
        && let Some(class) = classes.needed(bytes.len(), spec).first()
        && let Ok(code) = &codes[&(*hash, *class)]
    {
        warn_of_imports(entry, spec, code, sources.hosts, &listed, &mut problems);
    }
    let program = is_sound.then(|| {
        let surroundings = Surroundings {
            entry: entry.id().to_string().into(),
            mounts,
            args: spec.wasi.args.clone().unwrap_or_default(),
            cwd: spec.wasi.cwd.as_deref().unwrap_or(DEFAULT_FOLDER).into(),
            env: spec.wasi.env.clone(),
            environment: Arc::clone(sources.environment),
            shared: Arc::clone(shared),
            network,
            resolver: Arc::clone(sources.resolver),
            functions: sources.functions.clone(),
        };
        let program = Program {
            entry: entry.id().clone(),
            needs: Needs::of(size, &targets[0].1, sources.supply),
            targets,
            binary: size,
            limits: spec.limits.clone(),
            preempt: spec.preempt,
            profiles: listed.profiles,
            peers: Arc::new(spec.peers.clone()),
            values: spec.values,
            surroundings,
        };
        let signature = program.signature().cloned().map(Arc::new);
        (Arc::new(Startable(Arc::new(program))) as Arc<dyn process::Program>, signature)
    });
    (program, problems)
}

fn read_imports(entry: &Entry, spec: &GuestSpec<'_>, hosts: &HostFunctions, problems: &mut Vec<Diagnostic>) -> Listed {
    let mut listed = Listed::default();
    for (at, import) in spec.imports.iter().enumerate() {
        match Profile::parse(import) {
            Ok(profile) => listed.profiles.insert(profile),
            Err(_) if hosts.list(import, &mut listed.hosts) => {}
            Err(error) => {
                let place = ["imports", &at.to_string()];
                let message = match hosts.near(import) {
                    Some(meant) => format!("unknown import `{import}`, did you mean `{meant}`?"),
                    None => error.to_string(),
                };
                problems.push(entry.problem(Severity::Error, "unknown-import", &place, message));
            }
        }
    }
    listed
}

/// What a guest imports that nothing provides, or an embedder does for entries that list it: a call of it ends the process.
/// Interfaces of WASI are not told: most guests import more of them than they use.
fn warn_of_imports(
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

/// The rules of `wasi.network`; those that can't be read are told and left out, and the entry with them.
fn read_network(entry: &Entry, spec: &GuestSpec<'_>, problems: &mut Vec<Diagnostic>) -> NetworkPolicy {
    let Some(rules) = &spec.wasi.network else { return NetworkPolicy::default() };
    let mut read = |list: &str, texts: &[String]| {
        let mut rules = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            match Rule::parse(text) {
                Ok(rule) => rules.push(rule),
                Err(error) => {
                    let place = ["wasi", "network", list, &at.to_string()];
                    let mut problem = entry.problem(Severity::Error, "bad-network-rule", &place, error.to_string());
                    problem = match &error.suggestion {
                        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                        None => problem.expected(RULE_FORMS),
                    };
                    problems.push(problem);
                }
            }
        }
        rules
    };
    let allow = rules.allow.as_ref().map(|allow| read("allow", allow));
    NetworkPolicy::new(allow, read("deny", &rules.deny))
}

/// The mounts in the order of their guest paths. A directory that can't be opened has been told of already, and so has
/// what is no file system; one of a kind that nobody here serves has not.
fn read_mounts(
    entry: &Entry,
    spec: &GuestSpec<'_>,
    sources: &Sources<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Arc<[wasi::Mount]> {
    let mut mounts = Vec::with_capacity(spec.wasi.mounts.len());
    for mount in &spec.wasi.mounts {
        if let Some(volume) = sources.volumes.get(&mount.fs) {
            let guest = mount.guest.as_str().into();
            mounts.push(wasi::Mount { volume: volume.clone(), guest, read_only: mount.read_only });
        } else if let Some(other) = sources.registry.get(&mount.fs)
            && matches!(other.spec(), Spec::Unserved(_))
        {
            let message = format!("`{}` can't be mounted: only an `fs.directory` can", mount.fs);
            problems.push(entry.problem(Severity::Error, "unserved-mount", &["wasi", "mounts"], message));
        }
    }
    mounts.sort_by(|one, other| one.guest.cmp(&other.guest));
    mounts.into()
}

/// Wippy's rule: a core module can't list what only components can import.
fn refuse_component_profiles(entry: &Entry, spec: &GuestSpec<'_>, problems: &mut Vec<Diagnostic>) {
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
fn target(
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
