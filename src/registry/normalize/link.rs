//! Linking: values from `ns.dependency` parameters go where `ns.requirement` says.

use super::super::fields::places_of_items;
use super::super::source::{Origin, Part, RawEntry};
use super::super::{Dependency, Diagnostics, EntryId, Position, Requirement, Severity, Spec, Value};
use super::{RawEntries, field_path, set_value};

/// A value that is given for a requirement.
struct Given {
    value: Value,
    by: EntryId,
    position: Option<Position>,
    /// Given by the application itself: counts more than what modules give each other.
    from_root: bool,
}

/// Resolves every requirement and sets its targets.
pub(super) fn apply(entries: &mut RawEntries, problems: &mut Diagnostics) {
    // What is wrong with the fields themselves is reported when the entries are typed.
    let mut ignored = Diagnostics::default();
    let dependencies: Vec<(RawEntry, Dependency)> = entries
        .values()
        .filter(|raw| raw.kind == "ns.dependency")
        .filter_map(|raw| match Spec::decode(raw, &mut ignored) {
            Some(Spec::Dependency(dependency)) => Some((raw.clone(), dependency)),
            _ => None,
        })
        .collect();
    let requirements: Vec<(RawEntry, Requirement)> = entries
        .values()
        .filter(|raw| raw.kind == "ns.requirement")
        .filter_map(|raw| match Spec::decode(raw, &mut ignored) {
            Some(Spec::Requirement(requirement)) => Some((raw.clone(), requirement)),
            _ => None,
        })
        .collect();
    for (raw, requirement) in requirements {
        let given = given(&raw, &dependencies);
        if let Some((value, origin)) = resolve(&raw, &requirement, given, problems) {
            set_targets(entries, &raw, &requirement, &value, &origin, problems);
        }
    }
}

/// What the dependencies give for a requirement.
fn given(raw: &RawEntry, dependencies: &[(RawEntry, Dependency)]) -> Vec<Given> {
    let mut found = Vec::new();
    let name = raw.id.name();
    let module = raw.module.as_ref().map(|module| module.name.as_str());
    for (by, dependency) in dependencies {
        let same_module = module.is_none_or(|module| module == dependency.component);
        let component = &dependency.component;
        for (at, parameter) in dependency.parameters.iter().enumerate() {
            let text = parameter.name.as_str();
            let qualified = text
                .strip_prefix(component.as_str())
                .and_then(|rest| rest.strip_prefix([':', '.', '/']))
                .is_some_and(|rest| rest == name);
            if text == raw.id.to_string() || (same_module && (text == name || qualified)) {
                let path = ["parameters", &at.to_string(), "value"];
                found.push(Given {
                    value: parameter.value.clone(),
                    by: by.id.clone(),
                    position: by.marks.position(&path, Part::Value),
                    from_root: by.module.is_none(),
                });
            }
        }
    }
    found
}

/// The one value of a requirement with where it comes from.
fn resolve(
    raw: &RawEntry,
    requirement: &Requirement,
    mut given: Vec<Given>,
    problems: &mut Diagnostics,
) -> Option<(Value, Origin)> {
    if given.iter().any(|given| given.from_root) {
        given.retain(|given| given.from_root);
    }
    if let Some(other) = given.iter().find(|other| other.value != given[0].value) {
        let message = format!("the requirement `{}` is given different values", raw.id);
        let mut problem = raw.problem(Severity::Error, "conflict", &["name"], Part::Value, message);
        for given in [&given[0], other] {
            problem = problem.note(match &given.position {
                Some(position) => format!("`{}` gives {} ({position})", given.by, given.value),
                None => format!("`{}` gives {}", given.by, given.value),
            });
        }
        problems.add(problem.help("keep one of them"));
        return None;
    }
    if let Some(given) = given.into_iter().next() {
        let note = format!("given for the requirement `{}` by `{}`", raw.id, given.by);
        return Some((given.value, Origin { path: Vec::new(), position: given.position, note }));
    }
    if let Some(default) = &requirement.default {
        let position = raw.marks.position(&["default"], Part::Value);
        let note = format!("the default of the requirement `{}`", raw.id);
        return Some((default.clone(), Origin { path: Vec::new(), position, note }));
    }
    let message = "nobody gives this requirement a value, and it has no default";
    let problem = raw.problem(Severity::Warning, "no-value", &["name"], Part::Value, message);
    problems.add(problem.help(format!("add a parameter `{}` to an `ns.dependency`", raw.id.name())));
    None
}

fn set_targets(
    entries: &mut RawEntries,
    raw: &RawEntry,
    requirement: &Requirement,
    value: &Value,
    origin: &Origin,
    problems: &mut Diagnostics,
) {
    let ids = requirement.targets.iter().map(|target| &target.entry);
    let places = places_of_items(raw.payload.get("targets"), "entry", raw.id.namespace(), ids);
    for (at, target) in places.iter().zip(&requirement.targets) {
        let report = |severity, code, field: &str, message: String| {
            raw.problem(severity, code, &["targets", at, field], Part::Value, message)
        };
        let (text, append) = match target.path.trim().strip_suffix("+=") {
            Some(text) => (text.trim(), true),
            None => (target.path.as_str(), false),
        };
        let Some(path) = field_path(text) else {
            let problem = report(Severity::Error, "invalid-value", "path", format!("`{}` is no field", target.path));
            problems.add(problem.expected("a dotted field, for example `meta.router` or `wasi.args +=`"));
            continue;
        };
        match entries.get_mut(&target.entry) {
            Some(entry) => {
                if let Err(reason) = set_value(entry, &path, value.clone(), append, origin.clone()) {
                    problems.add(report(Severity::Error, "invalid-value", "path", reason));
                }
            }
            None => {
                let message = format!("the target entry `{}` does not exist", target.entry);
                problems.add(report(Severity::Warning, "dangling-reference", "entry", message));
            }
        }
    }
}
