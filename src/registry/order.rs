//! The order in which entries depend on each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Diagnostic, Entry, EntryId, Registry, Severity, Value};

/// Entries that depend on each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entries depend on each other: {}", path(.entries))]
#[non_exhaustive]
pub struct DependencyCycle {
    /// The entries of the circle, each depending on the next and the last on the first.
    pub entries: Vec<EntryId>,
}

fn path(entries: &[EntryId]) -> String {
    let names: Vec<String> = entries.iter().chain(entries.first()).map(|id| format!("`{id}`")).collect();
    names.join(" -> ")
}

/// Payload fields that name other entries.
const DATA_FIELDS: [&str; 16] = [
    "fs",
    "func",
    "host",
    "process",
    "storage",
    "storages",
    "config",
    "server",
    "middleware",
    "store",
    "set",
    "queue",
    "driver",
    "env",
    "token_store",
    "router",
];

/// `meta` fields that name other entries.
const META_FIELDS: [&str; 5] = ["depends_on", "parent", "groups", "server", "router"];

/// Payload fields below others that name other entries.
const NESTED_FIELDS: [&str; 6] = [
    "/security/policies",
    "/security/groups",
    "/lifecycle/requires",
    "/lifecycle/depends_on",
    "/lifecycle/security/policies",
    "/lifecycle/security/groups",
];

impl Registry {
    /// All entries, each after those it depends on; independent ones level by level, sorted by ID within a level.
    ///
    /// # Errors
    /// When entries depend on each other in a circle.
    pub fn in_dependency_order(&self) -> Result<Vec<&Entry>, DependencyCycle> {
        let mut waiting_for: BTreeMap<&EntryId, BTreeSet<&EntryId>> = BTreeMap::new();
        let mut wanted_by: HashMap<&EntryId, Vec<&EntryId>> = HashMap::new();
        let groups = self.groups();
        for entry in self.iter() {
            let needs = self.dependencies(entry, &groups);
            for need in &needs {
                wanted_by.entry(need).or_default().push(entry.id());
            }
            waiting_for.insert(entry.id(), needs);
        }
        let mut ordered = Vec::with_capacity(self.len());
        let mut level: BTreeSet<&EntryId> =
            waiting_for.iter().filter(|(_, needs)| needs.is_empty()).map(|(id, _)| *id).collect();
        while !level.is_empty() {
            let mut next = BTreeSet::new();
            for id in level {
                waiting_for.remove(id);
                ordered.extend(self.get(id));
                for wanting in wanted_by.get(id).into_iter().flatten() {
                    if let Some(needs) = waiting_for.get_mut(wanting) {
                        needs.remove(id);
                        if needs.is_empty() {
                            next.insert(*wanting);
                        }
                    }
                }
            }
            level = next;
        }
        if waiting_for.is_empty() { Ok(ordered) } else { Err(cycle(&waiting_for)) }
    }

    /// The entries of each group.
    fn groups(&self) -> HashMap<&str, Vec<&EntryId>> {
        let mut groups: HashMap<&str, Vec<&EntryId>> = HashMap::new();
        for entry in self.iter() {
            for group in texts(entry.meta().get("groups")) {
                groups.entry(group).or_default().push(entry.id());
            }
        }
        groups
    }

    /// The existing entries that an entry names in one of the fields that count.
    fn dependencies<'a>(&'a self, entry: &'a Entry, groups: &HashMap<&str, Vec<&'a EntryId>>) -> BTreeSet<&'a EntryId> {
        let meta = entry.meta().iter().filter(|(key, _)| META_FIELDS.contains(&key.as_str()) || key.ends_with("_env"));
        let data = entry.payload().as_object().into_iter().flatten();
        let data = data.filter(|(key, _)| DATA_FIELDS.contains(&key.as_str()) || key.ends_with("_env"));
        let nested = NESTED_FIELDS.iter().filter_map(|pointer| entry.payload().pointer(pointer));
        let values = meta.map(|(_, value)| value).chain(data.map(|(_, value)| value)).chain(nested);
        let mut needs = BTreeSet::new();
        for text in values.flat_map(|value| texts(Some(value))) {
            if let Some(group) = text.strip_prefix("group:") {
                needs.extend(groups.get(group).into_iter().flatten());
            } else if let Some(namespace) = text.strip_prefix("ns:") {
                needs.extend(self.iter().map(Entry::id).filter(|id| id.namespace() == namespace));
            } else if let Ok(id) = EntryId::resolve(text, entry.id().namespace()) {
                needs.extend(self.get(&id).map(Entry::id));
            }
        }
        // A group of one's own is no dependency on oneself.
        needs.remove(entry.id());
        needs
    }
}

/// The texts of a text, a list of texts, or a mapping of texts.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::Object(fields)) => fields.values().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Follows what is still waited for until an entry comes up again. Everything left over waits for something left over.
fn cycle(waiting_for: &BTreeMap<&EntryId, BTreeSet<&EntryId>>) -> DependencyCycle {
    let mut way: Vec<&EntryId> = Vec::new();
    let mut seen: HashMap<&EntryId, usize> = HashMap::new();
    let mut at = waiting_for.keys().next().copied();
    while let Some(id) = at {
        if let Some(start) = seen.insert(id, way.len()) {
            return DependencyCycle { entries: way[start..].iter().map(|id| (*id).clone()).collect() };
        }
        way.push(id);
        at = waiting_for.get(id).and_then(|needs| needs.first().copied());
    }
    DependencyCycle { entries: way.into_iter().cloned().collect() }
}

/// A circle as a problem: Wippy loads such entries sorted by ID and says so; so do we.
pub(super) fn cycle_problem(registry: &Registry, cycle: &DependencyCycle) -> Diagnostic {
    let message = cycle.to_string();
    match cycle.entries.first().and_then(|id| registry.get(id)) {
        Some(entry) => entry.problem(Severity::Warning, "dependency-cycle", &["name"], message),
        None => Diagnostic::warning("dependency-cycle", message),
    }
}
