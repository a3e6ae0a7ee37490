//! From the Lua entries of a registry to programs: every script is parsed once, and every problem is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::chunks::Chunks;
use super::modules;
use super::program::{Program, Script, Shared, Startable, Unit, World};
use super::script;
use crate::function::Function;
use crate::process;
use crate::registry::{Diagnostic, Diagnostics, Entry, EntryId, LuaSpec, Registry, Severity, Spec};
use crate::suggest::closest;

/// The most units of one script: itself and what it imports.
const UNITS_MAX: usize = 256;

/// Programs by entry.
pub(crate) type Programs = HashMap<EntryId, Arc<dyn process::Program>>;

/// What all Lua programs of a runtime share.
pub(crate) struct Engine(Arc<Shared>);

impl Engine {
    /// An engine for the scripts of an application that has this.
    pub(crate) fn new(world: World) -> Self {
        let (chunks, programs) = (Chunks::default(), OnceLock::new());
        Self(Arc::new(Shared { chunks, ticks: Arc::default(), world, programs }))
    }

    /// Has scripts look up; called by the ticker.
    pub(crate) fn on_tick(&self) -> Arc<dyn Fn() + Send + Sync> {
        let ticks: Arc<AtomicU64> = Arc::clone(&self.0.ticks);
        Arc::new(move || {
            ticks.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Loads every `process.lua` and `function.lua`, and checks every `library.lua`. An entry with a problem is left out, and
    /// the problem told.
    pub(crate) fn load(&self, registry: &Registry) -> Loaded {
        modules::prepare_time();
        let mut loading = Loading { registry, parsed: HashMap::new(), problems: Vec::new() };
        let mut loaded = Loaded::default();
        let mut programs = HashMap::new();
        for entry in registry {
            let (Spec::ProcessLua(spec) | Spec::FunctionLua(spec) | Spec::LibraryLua(spec)) = entry.spec() else {
                continue;
            };
            let Some(units) = loading.units_of(entry) else { continue };
            let program = || {
                let script = Script { units, method: spec.method.clone() };
                let (entry, limits, shared) = (entry.id().clone(), spec.limits.clone(), Arc::clone(&self.0));
                Arc::new(Program { entry, script, limits, shared })
            };
            match entry.spec() {
                Spec::ProcessLua(_) => {
                    let program = program();
                    programs.insert(entry.id().clone(), Arc::downgrade(&program));
                    loaded.programs.insert(entry.id().clone(), Arc::new(Startable(program)));
                }
                Spec::FunctionLua(_) => {
                    let program = Arc::new(Startable(program()));
                    let function = Function::new(program, spec.pool.clone().unwrap_or_default());
                    loaded.functions.push(function.isolation(spec.isolation));
                }
                _ => {}
            }
        }
        let _ = self.0.programs.set(programs);
        loaded.diagnostics.extend(loading.problems);
        loaded
    }
}

/// What the Lua entries of an application are.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) programs: Programs,
    pub(crate) functions: Vec<Function>,
    pub(crate) diagnostics: Diagnostics,
}

/// A script that was parsed: its code and its modules.
type Parsed = Option<(Arc<[u8]>, Arc<str>, Vec<&'static str>)>;

struct Loading<'r> {
    registry: &'r Registry,
    parsed: HashMap<EntryId, Parsed>,
    problems: Vec<Diagnostic>,
}

impl<'r> Loading<'r> {
    /// The libraries that an entry needs, directly or not, and itself last.
    fn units_of(&mut self, entry: &'r Entry) -> Option<Vec<Unit>> {
        let mut units = Vec::new();
        let mut places = HashMap::new();
        self.add(entry, &mut units, &mut places, &mut Vec::new())?;
        Some(units)
    }

    fn add(
        &mut self,
        entry: &'r Entry,
        units: &mut Vec<Unit>,
        places: &mut HashMap<EntryId, Option<usize>>,
        chain: &mut Vec<&'r EntryId>,
    ) -> Option<usize> {
        if let Some(place) = places.get(entry.id()) {
            return *place;
        }
        let (Spec::ProcessLua(spec) | Spec::FunctionLua(spec) | Spec::LibraryLua(spec)) = entry.spec() else {
            return None;
        };
        let parsed = self.parse(entry, spec);
        chain.push(entry.id());
        let mut imports = Vec::new();
        let mut is_whole = true;
        for (alias, id) in &spec.imports {
            // One that is not there or no library, and a circle of them, is told by the registry.
            let found = self.registry.get(id);
            let place = match found.map(Entry::spec) {
                Some(Spec::LibraryLua(_)) if chain.contains(&id) => None,
                Some(Spec::LibraryLua(_)) if chain.len() + units.len() >= UNITS_MAX => {
                    let message = format!("it imports more than {UNITS_MAX} libraries");
                    let place = ["imports", alias];
                    self.problems.push(entry.problem(Severity::Error, "too-many-imports", &place, message));
                    None
                }
                Some(Spec::LibraryLua(_)) => found.and_then(|library| self.add(library, units, places, chain)),
                _ => None,
            };
            match place {
                Some(place) => imports.push((alias.clone(), place)),
                None => is_whole = false,
            }
        }
        chain.pop();
        let place = parsed.filter(|_| is_whole).map(|(code, source, modules)| {
            units.push(Unit { name: entry.id().to_string(), code, source, modules, imports });
            units.len() - 1
        });
        places.insert(entry.id().clone(), place);
        place
    }

    /// Parses a script, once.
    fn parse(&mut self, entry: &'r Entry, spec: &LuaSpec) -> Parsed {
        if let Some(parsed) = self.parsed.get(entry.id()) {
            return parsed.clone();
        }
        let modules = self.modules(entry, spec);
        let parsed = match script::compile(entry, &spec.source) {
            Ok(code) => modules.map(|modules| (code, Arc::from(spec.source.as_str()), modules)),
            Err(problem) => {
                self.problems.push(*problem);
                None
            }
        };
        self.parsed.insert(entry.id().clone(), parsed.clone());
        parsed
    }

    fn modules(&mut self, entry: &Entry, spec: &LuaSpec) -> Option<Vec<&'static str>> {
        let mut found = Some(Vec::new());
        for (at, name) in spec.modules.iter().enumerate() {
            if let Some(module) = modules::find(name) {
                found.iter_mut().for_each(|found| found.push(module));
                continue;
            }
            found = None;
            self.problems.extend(without_module(entry, at, name));
        }
        found
    }
}

/// What to say of a name that no module here has; nothing where the registry did.
fn without_module(entry: &Entry, at: usize, name: &str) -> Option<Diagnostic> {
    if name.is_empty() || name.contains(':') {
        return None;
    }
    let at = at.to_string();
    let place = ["modules", at.as_str()];
    if modules::is_foreign(name) {
        let message = format!("the module `{name}` is not served here");
        let problem = entry.problem(Severity::Error, "not-served", &place, message);
        return Some(problem.help("leave it out, with what the script does with it"));
    }
    let problem = entry.problem(Severity::Error, "unknown-module", &place, format!("there is no module `{name}`"));
    let mut known: Vec<&str> = modules::names().collect();
    known.sort_unstable();
    Some(match closest(name, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.expected(format!("one of {}", known.join(", "))),
    })
}
