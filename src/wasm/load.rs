//! From the wasm entries of a registry to programs, in parallel and with every problem reported.
//!
//! Three passes, so that no job waits for another: read and hash all binaries, compile each distinct one, link each
//! entry.

mod binary;
mod classes;
mod guest;
mod mark;
mod target;

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::binary::{Binary, read_all};
use self::classes::{Classes, warn_of_preempt_none};
use self::guest::{FunctionSpec, GuestSpec};
use self::mark::Mark;
use self::target::{Linkers, again, refuse_component_profiles, target, warn_of_imports};
use super::allocator::Supply;
use super::engine::{EngineClass, Engines};
use super::footprint::Needs;
use super::host::{HostFunctions, Listed};
use super::module::{Code, CompileError, is_inert};
use super::pace::Pace;
use super::program::{self, Program, Startable, Surroundings};
use super::replica::Linkage;
use super::value::Signature;
use crate::env::Environment;
use crate::function::{Function, WeakFunctions};
use crate::process::{self, Luck};
use crate::registry::{Diagnostic, Diagnostics, Entry, EntryId, Hash, Registry, Severity, Spec};
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
    /// Whose programs are needed; `None` is everybody. Of the others only the problems are, and what was found sound once, by
    /// the same program, is not looked at again.
    pub(crate) needed: Option<&'a HashSet<EntryId>>,
}

impl Sources<'_> {
    fn needs(&self, entry: &EntryId) -> bool {
        self.needed.is_none_or(|needed| needed.contains(entry))
    }
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

/// The threads of a load: a pool, made when there is work for several and gone after loading. Compilation runs in it too, so
/// that the worker threads of hosts stay free of it.
#[derive(Default)]
struct Threads(OnceCell<ThreadPool>);

impl Threads {
    fn pool(&self) -> io::Result<&ThreadPool> {
        if let Some(pool) = self.0.get() {
            return Ok(pool);
        }
        let name = |at| format!("wippy-load{at}");
        let pool = ThreadPoolBuilder::new().thread_name(name).build().map_err(io::Error::other)?;
        Ok(self.0.get_or_init(|| pool))
    }
}

/// Does this for each of them: in a pool, or here, one after the other.
fn each<T: Sync, R: Send>(items: &[T], pool: Option<&ThreadPool>, work: impl Fn(&T) -> R + Send + Sync) -> Vec<R> {
    match pool {
        Some(pool) => pool.install(|| items.par_iter().map(work).collect()),
        None => items.iter().map(work).collect(),
    }
}

/// Loads every wasm entry: `process.wasm`, `function.wasm`, `function.wat`. An entry with a problem is left out, and the problem
/// told. One that nobody needs is left out, too, and its problems are told all the same.
///
/// # Errors
/// The threads for it could not be had.
pub(crate) fn load(sources: &Sources<'_>, engines: &Engines, progress: Option<&dyn Progress>) -> io::Result<Loaded> {
    let entries: Vec<_> = sources.registry.iter().filter_map(|entry| Some((entry, GuestSpec::of(entry)?))).collect();
    if entries.is_empty() {
        return Ok(Loaded::default());
    }
    let threads = Threads::default();
    let mut binaries = read_all(&entries, sources, |entry| sources.needs(entry), &threads)?;
    let classes = Classes::of(sources.registry, sources.supply.allocator);
    let mark = sources.needed.and_then(|_| Mark::of(&entries, &binaries, &classes, engines.cache_directory()?));
    let is_known = mark.as_ref().is_some_and(Mark::is_set);
    if !is_known && sources.needed.is_some() {
        binaries = read_all(&entries, sources, |_| true, &threads)?;
    }
    // What is left then was compiled before. Whoever removed it from the cache meanwhile waits for one thread; the compiler
    // has the rest of the cores.
    let pool = if is_known { None } else { Some(threads.pool()?) };
    let (loaded, is_sound) = run(&entries, &binaries, &classes, sources, engines, (pool, progress));
    if let Some(mark) = mark.filter(|_| is_sound && !is_known) {
        mark.set();
    }
    Ok(loaded)
}

/// Compiles and links. The second part says whether all code is as it should be.
fn run(
    entries: &[(&Entry, GuestSpec<'_>)],
    binaries: &[Binary],
    classes: &Classes<'_>,
    sources: &Sources<'_>,
    engines: &Engines,
    (pool, progress): (Option<&ThreadPool>, Option<&dyn Progress>),
) -> (Loaded, bool) {
    let work = Work {
        codes: compile_all(entries, binaries, classes, engines, (pool, progress)),
        classes,
        engines,
        linkers: Linkers::new(sources.hosts.clone()),
        sources,
        shared: Arc::new(program::Shared {
            streams: Arc::clone(sources.streams),
            #[cfg(feature = "http")]
            http: super::http::Clients::default(),
        }),
    };
    let guests: Vec<_> = entries.iter().zip(binaries).collect();
    let linked = each(&guests, pool, |((entry, spec), binary)| work.link(entry, spec, binary));
    let (mut loaded, mut is_sound) = (Loaded::default(), true);
    for ((entry, spec), Linked { program, problems, flaws }) in entries.iter().zip(linked) {
        is_sound &= flaws.is_empty();
        loaded.diagnostics.extend(problems.into_iter().chain(flaws));
        let Some(program) = program.filter(|_| sources.needs(entry.id())) else { continue };
        let signature = program.signature().cloned().map(Arc::new);
        loaded.signatures.extend(signature.map(|signature| (entry.id().clone(), signature)));
        let program: Arc<dyn process::Program> = Arc::new(Startable(Arc::new(program)));
        match spec.function {
            None => drop(loaded.programs.insert(entry.id().clone(), program)),
            Some(FunctionSpec { pool, isolation }) => {
                let function = Function::new(program, pool.cloned().unwrap_or_default());
                loaded.functions.push(function.isolation(isolation));
            }
        }
    }
    (loaded, is_sound)
}

/// An error at one field of an entry.
fn problem(entry: &Entry, code: &'static str, field: &str, message: String) -> Diagnostic {
    entry.problem(Severity::Error, code, &[field], message)
}

type Codes = HashMap<(Hash, EngineClass), Result<Code, CompileError>>;

fn compile_all(
    entries: &[(&Entry, GuestSpec<'_>)],
    binaries: &[Binary],
    classes: &Classes<'_>,
    engines: &Engines,
    (pool, progress): (Option<&ThreadPool>, Option<&dyn Progress>),
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
    let distinct: Vec<_> = distinct.into_iter().collect();
    let codes = each(&distinct, pool, |((hash, class), bytes)| {
        let code = engines.get(*class).map_err(CompileError::from).and_then(|engine| Code::compile(&engine, bytes));
        if let Some(progress) = progress {
            progress.compiled();
        }
        ((**hash, *class), code)
    });
    if let Some(progress) = progress {
        progress.finish();
    }
    codes.into_iter().collect()
}

/// What became of an entry.
struct Linked {
    /// None where something is wrong, or nothing was looked at.
    program: Option<Program>,
    /// What is wrong with anything but its code.
    problems: Vec<Diagnostic>,
    /// What is wrong with its code: this depends on the binary and what the entry says of it, and on nothing else.
    flaws: Vec<Diagnostic>,
}

/// What entries are linked with.
struct Work<'a> {
    codes: Codes,
    classes: &'a Classes<'a>,
    engines: &'a Engines,
    linkers: Linkers,
    sources: &'a Sources<'a>,
    shared: Arc<program::Shared>,
}

impl Work<'_> {
    /// One entry: its imports, its binary, its method.
    fn link(&self, entry: &Entry, spec: &GuestSpec<'_>, binary: &Binary) -> Linked {
        let sources = self.sources;
        let (mut problems, mut flaws) = (Vec::new(), Vec::new());
        let listed = read_imports(entry, spec, sources.hosts, &mut problems);
        let network = Arc::new(read_network(entry, spec, &mut problems));
        for (at, variable) in spec.wasi.env.iter().enumerate() {
            if variable.required && sources.environment.is_never_set(&variable.id) {
                let place = ["wasi", "env", &at.to_string(), "id"];
                let message = program::missing(variable, sources.environment);
                problems.push(entry.problem(Severity::Error, "missing-variable", &place, message));
            }
        }
        let mounts = read_mounts(entry, spec, sources, &mut problems);
        let linkages = self.linkages(entry, spec, binary, &listed, &mut flaws);
        let is_right = problems.is_empty() && flaws.iter().all(|flaw| flaw.severity == Severity::Warning);
        warn_of_preempt_none(entry, spec, self.classes, &mut problems);
        let program = linkages.filter(|_| is_right).map(|(bytes, linkages)| Program {
            entry: entry.id().clone(),
            needs: Needs::of(bytes, &linkages[0].shared, sources.supply),
            linkages,
            starts: None,
            luck: Luck::default(),
            pace: Pace::default(),
            binary: bytes.len(),
            limits: spec.limits.clone(),
            preempt: spec.preempt,
            profiles: listed.profiles,
            peers: Arc::new(spec.peers.clone()),
            values: spec.values,
            surroundings: Arc::new(Surroundings {
                entry: entry.id().to_string().into(),
                mounts,
                args: spec.wasi.args.clone().unwrap_or_default(),
                cwd: spec.wasi.cwd.as_deref().unwrap_or(DEFAULT_FOLDER).into(),
                env: spec.wasi.env.clone(),
                environment: Arc::clone(sources.environment),
                shared: Arc::clone(&self.shared),
                network,
                resolver: Arc::clone(sources.resolver),
                functions: sources.functions.clone(),
            }),
        });
        Linked { program, problems, flaws }
    }

    /// The code of an entry, for each engine that is needed, and its binary.
    fn linkages<'b>(
        &self,
        entry: &Entry,
        spec: &GuestSpec<'_>,
        binary: &'b Binary,
        listed: &Listed,
        flaws: &mut Vec<Diagnostic>,
    ) -> Option<(&'b [u8], Vec<Linkage>)> {
        let (hash, bytes) = match binary {
            Binary::Verified { hash, bytes } => (*hash, bytes),
            Binary::Refused(problem) => {
                flaws.push(problem.clone());
                return None;
            }
            // Nobody asks for the code of what is sound.
            Binary::Unwanted { .. } | Binary::NoVolume => return None,
        };
        let classes = self.classes.needed(bytes.len(), spec);
        // What it imports and exports is the same with every engine.
        let code = classes.first().and_then(|class| self.codes[&(hash, *class)].as_ref().ok());
        if let Some(Code::Core(_)) = code {
            refuse_component_profiles(entry, spec, flaws);
        }
        if let Some(code) = code {
            warn_of_imports(entry, spec, code, self.sources.hosts, listed, flaws);
        }
        let is_inert = is_inert(bytes);
        let linkage = |class| {
            let target = target(entry, spec, ((hash, class), is_inert), &self.codes, listed, &self.linkers)?;
            let again = again(spec, (hash, class), (bytes, is_inert), listed, (self.sources.hosts, self.engines));
            Ok(Linkage::new(class, target, again))
        };
        // What is wrong is wrong with every engine: it is told once.
        let linkages: Result<Vec<_>, Box<Diagnostic>> = classes.into_iter().map(linkage).collect();
        linkages.map(|linkages| (&**bytes, linkages)).map_err(|problem| flaws.push(*problem)).ok()
    }
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
