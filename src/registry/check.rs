//! The application as a whole: what refers to what, commands, security.

use std::collections::HashMap;

use super::fields::places_of_items;
use super::{Diagnostic, Diagnostics, Entry, EntryId, RuntimeConfig, Severity, Spec};
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
    Anything,
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
pub(super) fn references(entry: &Entry, kinds: &Kinds, problems: &mut Diagnostics) {
    for reference in references_of(entry) {
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        let Some(kind) = kinds.get(reference.id) else {
            problems.add(dangling(entry, &reference, &path, kinds));
            continue;
        };
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
        problems.add(problem.expected(reference.wanted.expected()));
    }
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
            Self::Anything => true,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::FileSystem => "filesystem",
            Self::Variable => "environment variable",
            Self::Storage => "storage",
            Self::Process => "process",
            Self::Host => "host",
            Self::Anything => "entry",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::FileSystem => "the ID of an `fs.directory`",
            Self::Variable => "the ID of an `env.variable`",
            Self::Storage => "the ID of an `env.storage.*`",
            Self::Process => "the ID of a `process.wasm` or `process.lua`",
            Self::Host => "the ID of a `process.host`",
            Self::Anything => "the ID of an entry",
        }
    }
}

fn references_of(entry: &Entry) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    let mut add = |path: &[&str], id, wanted, severity| {
        found.push(Reference { path: path.iter().map(ToString::to_string).collect(), id, wanted, severity });
    };
    match entry.spec() {
        Spec::ProcessWasm(spec) => {
            add(&["fs"], &spec.fs, Wanted::FileSystem, Severity::Error);
            wasi_references(entry, &spec.wasi, Severity::Error, &mut add);
        }
        Spec::FunctionWasm(spec) => {
            add(&["fs"], &spec.fs, Wanted::FileSystem, Severity::Warning);
            wasi_references(entry, &spec.wasi, Severity::Warning, &mut add);
        }
        Spec::FunctionWat(spec) => wasi_references(entry, &spec.wasi, Severity::Warning, &mut add),
        // Wippy refuses a variable without its storage.
        Spec::EnvVariable(variable) => add(&["storage"], &variable.storage, Wanted::Storage, Severity::Error),
        Spec::EnvStorageRouter(router) => {
            for (at, storage) in router.storages.iter().enumerate() {
                add(&["storages", &at.to_string()], storage, Wanted::Storage, Severity::Warning);
            }
        }
        Spec::ProcessService(service) => {
            add(&["process"], &service.process, Wanted::Process, Severity::Warning);
            add(&["host"], &service.host, Wanted::Host, Severity::Warning);
        }
        Spec::ProcessLua(lua) | Spec::FunctionLua(lua) | Spec::LibraryLua(lua) => {
            for (alias, id) in &lua.imports {
                add(&["imports", alias], id, Wanted::Anything, Severity::Warning);
            }
        }
        _ => {}
    }
    for id in entry.spec().lifecycle().into_iter().flat_map(|lifecycle| &lifecycle.requires) {
        add(&["lifecycle", "requires"], id, Wanted::Anything, Severity::Warning);
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

/// An application that counts on policies is refused as long as nobody enforces them.
pub(super) fn security(policies: &[Diagnostic], config: &RuntimeConfig, insecure: bool, problems: &mut Diagnostics) {
    let strict = config.strict_mode().then(|| {
        let position = config.position("security", "strict_mode").cloned();
        Diagnostic::error("security-not-enforced", "`security.strict_mode` is on, and policies are not enforced yet")
            .at(position)
    });
    let mut found = strict.into_iter().chain(policies.iter().cloned());
    let Some(first) = found.next() else { return };
    let others = found.count();
    let mut problem = if others == 0 { first } else { first.note(format!("and {others} more like it")) };
    if insecure {
        problem.severity = Severity::Warning;
        problem = problem.note("it runs without them because of `--insecure`");
    } else {
        problem = problem.help("run with `--insecure` if everything may be allowed");
    }
    problems.add(problem);
}
