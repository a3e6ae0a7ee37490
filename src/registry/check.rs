//! The application as a whole: what refers to what, commands.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::fields::places_of_items;
use super::kinds::KindStatus;
use super::{Diagnostic, Diagnostics, Entry, EntryId, Severity, Spec, StartPlan, WasmCode};
use crate::suggest::closest;

/// The kinds of all declared entries, also of those that could not be typed: a reference to them is not dangling.
pub(super) type Kinds = HashMap<EntryId, String>;

/// What a reference must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    FileSystem,
    Variable,
    Storage,
    Process,
    Host,
    Service,
    Library,
}

/// A reference of an entry to another.
struct Reference<'e> {
    path: Vec<String>,
    id: &'e EntryId,
    wanted: Wanted,
    /// What it means when the reference leads nowhere.
    severity: Severity,
}

/// Checks the references of one entry.
pub(super) fn references(entry: &Entry, kinds: &Kinds, plan: &StartPlan, problems: &mut Diagnostics) {
    for reference in references_of(entry, plan) {
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        let Some(kind) = kinds.get(reference.id) else {
            problems.add(wanted_by(dangling(entry, &reference, &path, kinds), entry, plan));
            continue;
        };
        if reference.wanted == Wanted::Service && is_unserved(kind) {
            let message = format!("`{}` is a `{kind}`, which is not served yet, so it never runs", reference.id);
            let problem = entry.problem(reference.severity, "not-served", &path, message);
            problems.add(wanted_by(problem, entry, plan));
            continue;
        }
        if reference.wanted.accepts(kind) {
            let embedded = kind == "fs.embed" && reference.severity == Severity::Error;
            if embedded {
                let message = format!("`{}` is an `fs.embed`, which is not served yet", reference.id);
                let problem = entry.problem(Severity::Error, "not-served", &path, message);
                problems.add(problem.help("put the files into a folder and name it with an `fs.directory`"));
            }
            continue;
        }
        let message = format!("`{}` is no {} but a `{kind}`", reference.id, reference.wanted.word());
        let problem = entry.problem(reference.severity, "wrong-kind", &path, message);
        problems.add(wanted_by(problem.expected(reference.wanted.expected()), entry, plan));
    }
}

/// A kind that Wippy may run as a service and this runtime can't.
fn is_unserved(kind: &str) -> bool {
    matches!(KindStatus::of(kind), KindStatus::Foreign | KindStatus::NotServedYet)
}

/// A problem of a service that others pull in, with who does.
fn wanted_by(problem: Diagnostic, entry: &Entry, plan: &StartPlan) -> Diagnostic {
    match plan.get(entry.id()) {
        Some(planned) if planned.chain.len() > 1 && problem.severity == Severity::Error => {
            problem.note(format!("it starts with the runtime: {}", chain(&planned.chain)))
        }
        _ => problem,
    }
}

fn chain(ids: &[EntryId]) -> String {
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" -> ")
}

/// Services that start with the runtime and require each other in a circle, so that none of them could.
pub(super) fn service_cycles(entries: &[Entry], plan: &StartPlan, problems: &mut Diagnostics) {
    for cycle in plan.cycles() {
        let Some(first) = cycle.first() else { continue };
        let Some(entry) = entries.iter().find(|entry| entry.id() == first) else { continue };
        let next = cycle.get(1).unwrap_or(first);
        let circle: Vec<EntryId> = cycle.iter().chain([first]).cloned().collect();
        let message = format!("services require each other: {}", chain(&circle));
        let path = place_of_need(entry, next);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let problem = entry.problem(Severity::Error, "dependency-cycle", &path, message);
        problems.add(problem.help("a service starts after those it requires: leave one of these out"));
    }
}

/// Libraries that import each other in a circle, so that none of them could be run first.
pub(super) fn import_cycles(entries: &[Entry], problems: &mut Diagnostics) {
    let libraries: HashMap<&EntryId, (&Entry, &IndexMap<String, EntryId>)> = entries
        .iter()
        .filter_map(|entry| match entry.spec() {
            Spec::LibraryLua(library) => Some((entry.id(), (entry, &library.imports))),
            _ => None,
        })
        .collect();
    let mut done: HashSet<&EntryId> = HashSet::new();
    for entry in entries {
        // The way from here, each with the imports that were not followed yet. No recursion: it may be long.
        let Some((_, imports)) = libraries.get(entry.id()).filter(|_| !done.contains(entry.id())) else { continue };
        let mut way = vec![(entry, imports.iter())];
        while let Some((entry, imports)) = way.last_mut() {
            let Some((alias, id)) = imports.next() else {
                done.insert(entry.id());
                way.pop();
                continue;
            };
            let Some((library, next)) = libraries.get(id).filter(|_| !done.contains(id)) else { continue };
            let entry = *entry;
            let Some(start) = way.iter().position(|(before, _)| before.id() == id) else {
                way.push((*library, next.iter()));
                continue;
            };
            let circle: Vec<EntryId> = way[start..].iter().map(|(entry, _)| entry.id()).chain([id]).cloned().collect();
            let message = format!("libraries import each other: {}", chain(&circle));
            let problem = entry.problem(Severity::Error, "dependency-cycle", &["imports", alias], message);
            problems.add(problem.help("put what both need into a third library"));
        }
    }
}

/// Where an entry says that it needs another to run.
fn place_of_need(entry: &Entry, need: &EntryId) -> Vec<String> {
    for list in ["requires", "depends_on"] {
        let written = entry.payload().pointer(&format!("/lifecycle/{list}"));
        let path = vec!["lifecycle".to_owned(), list.to_owned()];
        let is_it = |value: &super::Value| {
            let own = entry.id().namespace();
            let name = value.get("name").and_then(super::Value::as_str);
            let namespace = value.get("ns").and_then(super::Value::as_str).unwrap_or(own);
            match (value.as_str(), name) {
                (Some(text), _) => EntryId::resolve(text, own).is_ok_and(|id| id == *need),
                (None, Some(name)) => EntryId::new(namespace, name).is_ok_and(|id| id == *need),
                (None, None) => false,
            }
        };
        match written {
            Some(super::Value::Array(items)) => {
                if let Some(at) = items.iter().position(is_it) {
                    return path.into_iter().chain([at.to_string()]).collect();
                }
            }
            Some(value) if is_it(value) => return path,
            _ => {}
        }
    }
    vec!["host".to_owned()]
}

fn dangling(entry: &Entry, reference: &Reference<'_>, path: &[&str], kinds: &Kinds) -> Diagnostic {
    let Reference { id, wanted, severity, .. } = reference;
    let message = format!("{} not found: `{id}`", wanted.word());
    let problem = entry.problem(*severity, "dangling-reference", path, message);
    let mut known: Vec<String> =
        kinds.iter().filter(|(_, kind)| wanted.accepts(kind)).map(|(id, _)| id.to_string()).collect();
    known.sort_unstable();
    // The same name in another namespace is the most common slip.
    let same_name = known.iter().find(|known| known.split_once(':').is_some_and(|(_, name)| name == id.name()));
    let meant = same_name.map(String::as_str).or_else(|| closest(&id.to_string(), known.iter().map(String::as_str)));
    match meant {
        Some(meant) => problem.help(format!("did you mean `{meant}`?")),
        None => problem.expected(wanted.expected()),
    }
}

impl Wanted {
    fn accepts(self, kind: &str) -> bool {
        match self {
            // Kinds of others stay possible: they are kept as data.
            Self::FileSystem => kind.starts_with("fs."),
            Self::Variable => kind == "env.variable",
            Self::Storage => kind.starts_with("env.storage."),
            Self::Process => kind.starts_with("process.") && !matches!(kind, "process.host" | "process.service"),
            Self::Host => kind == "process.host" || kind == "terminal.host",
            Self::Service => matches!(kind, "process.service" | "process.host" | "terminal.host"),
            Self::Library => kind == "library.lua",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::FileSystem => "filesystem",
            Self::Variable => "environment variable",
            Self::Storage => "storage",
            Self::Process => "process",
            Self::Host => "host",
            Self::Service => "service",
            Self::Library => "library",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::FileSystem => "the ID of an `fs.directory`",
            Self::Variable => "the ID of an `env.variable`",
            Self::Storage => "the ID of an `env.storage.*`",
            Self::Process => "the ID of a `process.wasm` or `process.lua`",
            Self::Host => "the ID of a `process.host`",
            Self::Service => "the ID of a `process.service`, a `process.host` or a `terminal.host`",
            Self::Library => "the ID of a `library.lua`",
        }
    }
}

fn references_of<'e>(entry: &'e Entry, plan: &StartPlan) -> Vec<Reference<'e>> {
    let mut found = Vec::new();
    // What the runtime does not start without is an error where it can't start.
    let starts = plan.get(entry.id()).is_some_and(|planned| planned.needed);
    let starting = if starts { Severity::Error } else { Severity::Warning };
    let mut add = |path: &[&str], id, wanted, severity| {
        found.push(Reference { path: path.iter().map(ToString::to_string).collect(), id, wanted, severity });
    };
    match entry.spec() {
        Spec::ProcessWasm(spec) | Spec::FunctionWasm(spec) => {
            if let WasmCode::File(file) = &spec.code {
                add(&["fs"], &file.fs, Wanted::FileSystem, Severity::Error);
            }
            wasi_references(entry, &spec.wasi, Severity::Error, &mut add);
        }
        Spec::FunctionWat(spec) => wasi_references(entry, &spec.wasi, Severity::Error, &mut add),
        // Wippy refuses a variable without its storage.
        Spec::EnvVariable(variable) => add(&["storage"], &variable.storage, Wanted::Storage, Severity::Error),
        Spec::EnvStorageRouter(router) => {
            for (at, storage) in router.storages.iter().enumerate() {
                add(&["storages", &at.to_string()], storage, Wanted::Storage, Severity::Warning);
            }
        }
        Spec::ProcessService(service) => {
            add(&["process"], &service.process, Wanted::Process, starting);
            add(&["host"], &service.host, Wanted::Host, starting);
        }
        Spec::ProcessLua(lua) | Spec::FunctionLua(lua) | Spec::LibraryLua(lua) => {
            for (alias, id) in &lua.imports {
                add(&["imports", alias], id, Wanted::Library, Severity::Error);
            }
        }
        _ => {}
    }
    for id in entry.spec().lifecycle().into_iter().flat_map(|lifecycle| &lifecycle.requires) {
        let place = place_of_need(entry, id);
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        add(&place, id, Wanted::Service, starting);
    }
    found
}

/// A mount is needed as soon as the process starts; a variable only when it is required.
fn wasi_references<'e>(
    entry: &Entry,
    wasi: &'e super::WasiSpec,
    needed: Severity,
    add: &mut impl FnMut(&[&str], &'e EntryId, Wanted, Severity),
) {
    let places = |list: &str, field: &str, ids: Vec<&EntryId>| {
        let list = entry.payload().pointer(&format!("/wasi/{list}"));
        places_of_items(list, field, entry.id().namespace(), ids.into_iter())
    };
    let mounts = places("mounts", "fs", wasi.mounts.iter().map(|mount| &mount.fs).collect());
    for (at, mount) in mounts.iter().zip(&wasi.mounts) {
        add(&["wasi", "mounts", at, "fs"], &mount.fs, Wanted::FileSystem, needed);
    }
    let env = places("env", "id", wasi.env.iter().map(|env| &env.id).collect());
    for (at, env) in env.iter().zip(&wasi.env) {
        let severity = if env.required { needed } else { Severity::Warning };
        add(&["wasi", "env", at, "id"], &env.id, Wanted::Variable, severity);
    }
}

/// `wasi.env[].id` may also be the public name of a variable, which comes before the ID.
pub(super) fn resolve_public_names(entries: &mut [Entry]) {
    let names: HashMap<String, EntryId> = entries
        .iter()
        .filter_map(|entry| match entry.spec() {
            Spec::EnvVariable(variable) => Some((variable.variable.clone()?, entry.id().clone())),
            _ => None,
        })
        .collect();
    for entry in entries {
        let Some(written) = entry.payload().pointer("/wasi/env").and_then(|env| env.as_array()).cloned() else {
            continue;
        };
        let written = |at: usize| written.get(at)?.get("id")?.as_str();
        let wasi = match entry.spec_mut() {
            Spec::ProcessWasm(spec) | Spec::FunctionWasm(spec) => &mut spec.wasi,
            Spec::FunctionWat(spec) => &mut spec.wasi,
            _ => continue,
        };
        for (at, env) in wasi.env.iter_mut().enumerate() {
            if let Some(id) = written(at).and_then(|text| names.get(text)) {
                env.id = id.clone();
            }
        }
    }
}

/// Names that two entries claim: commands, public variables.
pub(super) fn duplicates(entries: &[Entry], problems: &mut Diagnostics) {
    let mut commands: HashMap<&str, &Entry> = HashMap::new();
    let mut variables: HashMap<&str, &Entry> = HashMap::new();
    for entry in entries {
        if let Some(command) = entry.command()
            && let Some(first) = commands.insert(&command.name, entry)
        {
            let message = format!("the command `{}` exists twice", command.name);
            let problem = entry.problem(Severity::Warning, "duplicate-command", &["meta", "command", "name"], message);
            problems.add(problem.note(format!("the one of `{}` is run", first.id())).help("give it another name"));
            commands.insert(&command.name, first);
        }
        if let Spec::EnvVariable(variable) = entry.spec() {
            let Some(name) = &variable.variable else { continue };
            if let Some(first) = variables.insert(name, entry) {
                let message = format!("the variable name `{name}` is taken");
                let problem = entry.problem(Severity::Error, "duplicate-variable", &["variable"], message);
                problems.add(problem.note(format!("`{}` has it", first.id())).help("give it another name"));
                variables.insert(name, first);
            }
        }
    }
}
