//! The way from files to the checked registry, one step a line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::check::{self, Kinds};
use super::files::{self, Budget, LoadRoot, load_file};
use super::kinds::KindStatus;
use super::normalize::{self, RawEntries};
use super::source::{Part, RawEntry};
use super::{
    Declaration, Diagnostic, Diagnostics, Entry, LoadOptions, Loaded, Registry, RuntimeConfig, Severity, StartPlan,
    discover, lock, order, settings,
};

/// Loads an application; see [`super::load()`].
pub(super) fn run(options: &LoadOptions, declared: &[Declaration]) -> Loaded {
    let mut problems = Diagnostics::default();
    let app = if options.app.as_os_str().is_empty() { Path::new(".") } else { options.app.as_path() };
    let options = &LoadOptions { app: app.to_path_buf(), ..options.clone() };
    // Relative folders must not change their meaning when the program changes its own.
    let app_root = std::path::absolute(app).unwrap_or_else(|_| app.to_path_buf());
    if !app.is_dir() {
        let message = format!("the application folder `{}` does not exist", app.display());
        problems.add(Diagnostic::error("missing-folder", message).help("name a folder with `-C DIR`"));
        return Loaded { registry: Registry::default(), diagnostics: problems };
    }
    let config = settings::read(options, &mut problems);
    let roots = lock::load_roots(app, &config, &mut problems);
    let mut raws = read_all(&roots, options, &Arc::new(app_root.clone()), &mut problems);
    add_declared(&mut raws, declared, &app_root, &mut problems);
    normalize::apply(&mut raws, options, &config, &mut problems);
    let registry = typed(raws, config, app_root, &mut problems);
    Loaded { registry, diagnostics: problems }
}

/// What is made in code, without an application around it; see [`super::load_with`].
pub(super) fn of_code(declared: &[Declaration]) -> Loaded {
    let mut problems = Diagnostics::default();
    let root = std::path::absolute(".").unwrap_or_else(|_| Path::new(".").to_path_buf());
    let (options, config) = (LoadOptions::default(), RuntimeConfig::default());
    let mut raws = RawEntries::new();
    add_declared(&mut raws, declared, &root, &mut problems);
    normalize::apply(&mut raws, &options, &config, &mut problems);
    let registry = typed(raws, config, root, &mut problems);
    Loaded { registry, diagnostics: problems }
}

/// Entries that are made in code, which come after those of files.
fn add_declared(raws: &mut RawEntries, declared: &[Declaration], root: &Path, problems: &mut Diagnostics) {
    let folder = Arc::new(root.to_path_buf());
    let root = LoadRoot { folder: Arc::clone(&folder), module: None };
    for declaration in declared {
        if let Some(raw) = files::declared(declaration, &root, &folder, problems) {
            add(raws, raw, problems);
        }
    }
}

/// The raw entries of all files; of two with one ID the last counts.
fn read_all(
    roots: &[LoadRoot],
    options: &LoadOptions,
    app_root: &Arc<PathBuf>,
    problems: &mut Diagnostics,
) -> RawEntries {
    let mut raws = RawEntries::new();
    let mut budget = Budget::default();
    for root in roots {
        let mut skip = options.skip_folders.clone();
        if root.module.is_none() {
            skip.extend(lock::module_folders());
        }
        for path in discover::definition_files(&root.folder, &skip, problems) {
            let shown = path.strip_prefix(&options.app).unwrap_or(&path).to_path_buf();
            for raw in load_file(&path, &shown, root, app_root, &mut budget, problems) {
                add(&mut raws, raw, problems);
            }
        }
    }
    raws
}

fn add(raws: &mut RawEntries, raw: RawEntry, problems: &mut Diagnostics) {
    if let Some(first) = raws.get(&raw.id) {
        let message = "the entry is declared twice, the last declaration counts";
        let first = first.marks.nearest(&["name"], Part::Value);
        let problem = raw.problem(Severity::Warning, "duplicate-entry", &["name"], Part::Value, message);
        problems.add(problem.note(format!("it was first declared in {first}")));
    }
    raws.insert(raw.id.clone(), raw);
}

/// Types and checks all entries.
fn typed(raws: RawEntries, config: RuntimeConfig, app_root: PathBuf, problems: &mut Diagnostics) -> Registry {
    let kinds: Kinds = raws.iter().map(|(id, raw)| (id.clone(), raw.kind.clone())).collect();
    let mut entries = Vec::with_capacity(raws.len());
    for (_, raw) in raws {
        check_kind(&raw, problems);
        entries.extend(Entry::decode(raw, problems));
    }
    check::resolve_public_names(&mut entries);
    let plan = StartPlan::of_entries(&entries);
    for entry in &entries {
        check::references(entry, &kinds, &plan, problems);
    }
    check::service_cycles(&entries, &plan, problems);
    check::import_cycles(&entries, problems);
    check::duplicates(&entries, problems);
    let entries: IndexMap<_, _> = entries.into_iter().map(|entry| (entry.id().clone(), entry)).collect();
    let registry = Registry::new(entries, config, app_root);
    // Told once, as what it is: a circle of services is an error already.
    if let (true, Err(cycle)) = (plan.cycles().is_empty(), registry.in_dependency_order()) {
        problems.add(order::cycle_problem(&registry, &cycle));
    }
    registry
}

fn check_kind(raw: &RawEntry, problems: &mut Diagnostics) {
    let report = |severity, code, message: String| raw.problem(severity, code, &["kind"], Part::Value, message);
    let kind = &raw.kind;
    problems.add(match KindStatus::of(kind) {
        KindStatus::Served => return,
        KindStatus::NotServedYet | KindStatus::Foreign => {
            report(Severity::Warning, "not-served", format!("entries of the kind `{kind}` are not served yet"))
                .note("the entry is kept as data")
        }
        KindStatus::NearMiss(meant) => report(Severity::Error, "unknown-kind", format!("unknown kind `{kind}`"))
            .help(format!("did you mean `{meant}`?")),
        KindStatus::Unknown => report(Severity::Warning, "unknown-kind", format!("unknown kind `{kind}`"))
            .note("the entry is kept as data"),
    });
}
