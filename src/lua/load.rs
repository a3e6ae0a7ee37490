//! From the Lua entries of a registry to programs: every script is parsed once, and every problem is told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::{Lua, LuaOptions, StdLib};

use super::chunks::Chunks;
use super::modules;
use super::program::{Program, Script, Shared, Startable, Unit};
use super::terminal::Terminal;
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
    /// An engine whose commands have this terminal.
    pub(crate) fn new(terminal: Arc<dyn Terminal>) -> Self {
        Self(Arc::new(Shared { chunks: Chunks::default(), ticks: Arc::default(), terminal }))
    }

    /// Has scripts look up; called by the ticker.
    pub(crate) fn on_tick(&self) -> Arc<dyn Fn() + Send + Sync> {
        let ticks: Arc<AtomicU64> = Arc::clone(&self.0.ticks);
        Arc::new(move || {
            ticks.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Loads every `process.lua` and checks every `library.lua` and `function.lua`. An entry with a problem is left out, and
    /// the problem told.
    pub(crate) fn load(&self, registry: &Registry) -> (Programs, Diagnostics) {
        let mut loading = Loading { registry, parsed: HashMap::new(), circles: HashSet::new(), problems: Vec::new() };
        let mut programs = Programs::new();
        for entry in registry {
            let (Spec::ProcessLua(spec) | Spec::FunctionLua(spec) | Spec::LibraryLua(spec)) = entry.spec() else {
                continue;
            };
            let units = loading.units_of(entry);
            if let (Some(units), Spec::ProcessLua(_)) = (units, entry.spec()) {
                let program = Program {
                    entry: entry.id().clone(),
                    script: Script { units, method: spec.method.clone() },
                    limits: spec.limits.clone(),
                    shared: Arc::clone(&self.0),
                };
                programs.insert(entry.id().clone(), Arc::new(Startable(Arc::new(program))));
            }
        }
        let mut diagnostics = Diagnostics::default();
        diagnostics.extend(loading.problems);
        (programs, diagnostics)
    }
}

/// A script that was parsed: its code and its modules.
type Parsed = Option<(Arc<[u8]>, Arc<str>, Vec<&'static str>)>;

struct Loading<'r> {
    registry: &'r Registry,
    parsed: HashMap<EntryId, Parsed>,
    /// Those that were told.
    circles: HashSet<BTreeSet<EntryId>>,
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
        places: &mut HashMap<EntryId, usize>,
        chain: &mut Vec<&'r EntryId>,
    ) -> Option<usize> {
        if let Some(place) = places.get(entry.id()) {
            return Some(*place);
        }
        let (Spec::ProcessLua(spec) | Spec::FunctionLua(spec) | Spec::LibraryLua(spec)) = entry.spec() else {
            return None;
        };
        let parsed = self.parse(entry, spec);
        chain.push(entry.id());
        let mut imports = Vec::new();
        let mut is_whole = true;
        for (alias, id) in &spec.imports {
            // One that is not there is told by the registry.
            let found = self.registry.get(id);
            let place = match found.map(Entry::spec) {
                Some(Spec::LibraryLua(_)) if chain.contains(&id) => {
                    self.circle(entry, alias, chain, id);
                    None
                }
                Some(Spec::LibraryLua(_)) if chain.len() + units.len() >= UNITS_MAX => {
                    let message = format!("it imports more than {UNITS_MAX} libraries");
                    self.problem(entry, "too-many-imports", &["imports", alias], message, None);
                    None
                }
                Some(Spec::LibraryLua(_)) => found.and_then(|library| self.add(library, units, places, chain)),
                Some(_) => {
                    let message = format!("`{id}` is no library");
                    self.problem(entry, "wrong-kind", &["imports", alias], message, Some("a `library.lua`"));
                    None
                }
                None => None,
            };
            match place {
                Some(place) => imports.push((alias.clone(), place)),
                None => is_whole = false,
            }
        }
        chain.pop();
        let (code, source, modules) = parsed.filter(|_| is_whole)?;
        units.push(Unit { name: entry.id().to_string(), code, source, modules, imports });
        places.insert(entry.id().clone(), units.len() - 1);
        Some(units.len() - 1)
    }

    /// Parses a script, once.
    fn parse(&mut self, entry: &'r Entry, spec: &LuaSpec) -> Parsed {
        if let Some(parsed) = self.parsed.get(entry.id()) {
            return parsed.clone();
        }
        let modules = self.modules(entry, spec);
        let parsed = match compile(entry, &spec.source) {
            Ok(code) => modules.map(|modules| (code, Arc::from(spec.source.as_str()), modules)),
            Err(message) => {
                let (message, line) = placed(entry, &message, &spec.source);
                let problem = entry.problem(Severity::Error, "syntax-error", &["source"], message);
                self.problems.push(line.into_iter().fold(problem, Diagnostic::note));
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
            let at = at.to_string();
            let message = format!("there is no module `{name}`");
            let known: Vec<&str> = modules::names().collect();
            let mut problem = entry.problem(Severity::Error, "unknown-module", &["modules", &at], message);
            problem = problem.expected(format!("one of {}", known.join(", ")));
            if let Some(near) = closest(name, known) {
                problem = problem.help(format!("did you mean `{near}`?"));
            }
            self.problems.push(problem);
        }
        found
    }

    /// Libraries that import each other, told once: when the walk began in the circle.
    fn circle(&mut self, entry: &Entry, alias: &str, chain: &[&EntryId], id: &EntryId) {
        let members: BTreeSet<EntryId> = chain.iter().copied().cloned().collect();
        if chain.first() != Some(&id) || !self.circles.insert(members) {
            return;
        }
        let names: Vec<String> = chain.iter().copied().chain([id]).map(|id| format!("`{id}`")).collect();
        let message = format!("libraries import each other: {}", names.join(" -> "));
        self.problem(entry, "dependency-cycle", &["imports", alias], message, None);
    }

    fn problem(&mut self, entry: &Entry, code: &'static str, path: &[&str], message: String, expected: Option<&str>) {
        let problem = entry.problem(Severity::Error, code, path, message);
        self.problems.push(match expected {
            Some(expected) => problem.expected(expected),
            None => problem,
        });
    }
}

/// The bytecode of a script, with the lines of its source.
fn compile(entry: &Entry, source: &str) -> Result<Arc<[u8]>, String> {
    let lua = Lua::new_with(StdLib::NONE, LuaOptions::default()).map_err(|error| error.to_string())?;
    let function =
        lua.load(source).set_name(format!("={}", entry.id())).into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            error => error.to_string(),
        })?;
    Ok(function.dump(false).into())
}

/// A message of the parser with the line that it speaks of.
fn placed(entry: &Entry, message: &str, source: &str) -> (String, Option<String>) {
    let rest = message.strip_prefix(&entry.id().to_string()).and_then(|rest| rest.strip_prefix(':'));
    let Some((number, what)) = rest.and_then(|rest| rest.split_once(':')) else { return (message.to_owned(), None) };
    let line = number.parse::<usize>().ok().and_then(|number| source.lines().nth(number.checked_sub(1)?));
    (format!("line {number} of the script:{what}"), line.map(|line| format!("{number} | {}", line.trim_end())))
}
