//! What starts with the runtime, and in which order: the services that are wanted, what they require, and what is wrong
//! with that.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::{Entry, EntryId, Registry, Spec, Startup};

/// The services that start with the runtime, each after those it requires; independent ones by level, then in the order of
/// their declaration.
///
/// Roots are the entries with `lifecycle.auto_start`. They pull in what they require: a service needs those under
/// `lifecycle.requires`, and a `process.service` its host.
///
/// ```
/// use wippy::registry::{Entry, Lifecycle, ProcessHost, Registry, Spec, StartPlan};
///
/// let mut host = ProcessHost::default();
/// host.lifecycle.auto_start = true;
/// let registry = Registry::from_entries([Entry::new("app:processes".parse().unwrap(), Spec::ProcessHost(host))]);
/// let plan = StartPlan::of(&registry);
/// assert_eq!(plan.services().next().unwrap().id.to_string(), "app:processes");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartPlan {
    services: IndexMap<EntryId, PlannedService>,
    cycles: Vec<Vec<EntryId>>,
}

/// A service that starts with the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedService {
    /// Its entry.
    pub id: EntryId,
    /// The services that must run first, all of them planned.
    pub requires: Vec<EntryId>,
    /// What it requires and nobody can start: there is no such entry, or one that is no service.
    pub missing: Vec<EntryId>,
    /// How many services must start one after the other before it.
    pub level: usize,
    /// Whether the runtime does not start without it: it is a root with `startup: required`, or required by one.
    pub needed: bool,
    /// Who wants it, from a root to itself; only itself for a root.
    pub chain: Vec<EntryId>,
}

impl PlannedService {
    /// A service that nobody wants to start and that takes part all the same, for itself.
    pub(crate) fn unplanned(id: EntryId) -> Self {
        Self { chain: vec![id.clone()], id, requires: Vec::new(), missing: Vec::new(), level: 0, needed: false }
    }
}

impl StartPlan {
    /// The plan of an application.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        Self::of_entries(registry)
    }

    pub(super) fn of_entries<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Self {
        let entries: IndexMap<&EntryId, &Entry> = entries.into_iter().map(|entry| (entry.id(), entry)).collect();
        let mut search = Search { entries, services: IndexMap::new(), states: HashMap::new(), cycles: Vec::new() };
        // What is needed first, so that its chain begins at whoever makes it needed.
        for startup in [Startup::Required, Startup::Optional] {
            let roots: Vec<&Entry> = search.entries.values().copied().filter(|entry| is_root(entry, startup)).collect();
            for root in roots {
                if search.is_service(root.id()) {
                    search.visit(root.id(), &mut Vec::new(), startup == Startup::Required);
                }
            }
        }
        search.finish()
    }

    /// The services in the order in which they start.
    pub fn services(&self) -> impl Iterator<Item = &PlannedService> {
        self.services.values()
    }

    /// The planned service of this entry.
    #[must_use]
    pub fn get(&self, id: &EntryId) -> Option<&PlannedService> {
        self.services.get(id)
    }

    /// Services that require each other in a circle, and so could never start: each requires the next, the last one the
    /// first.
    #[must_use]
    pub fn cycles(&self) -> &[Vec<EntryId>] {
        &self.cycles
    }
}

fn is_root(entry: &Entry, startup: Startup) -> bool {
    entry.spec().lifecycle().is_some_and(|lifecycle| lifecycle.auto_start && lifecycle.startup == startup)
}

/// What an entry needs to run before it starts.
fn needs(entry: &Entry) -> Vec<EntryId> {
    let host = match entry.spec() {
        Spec::ProcessService(service) => Some(&service.host),
        _ => None,
    };
    let requires = entry.spec().lifecycle().into_iter().flat_map(|lifecycle| &lifecycle.requires);
    let mut needs: Vec<EntryId> = Vec::new();
    for id in host.into_iter().chain(requires) {
        if !needs.contains(id) {
            needs.push(id.clone());
        }
    }
    needs
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Open,
    Done,
}

struct Search<'e> {
    entries: IndexMap<&'e EntryId, &'e Entry>,
    services: IndexMap<EntryId, PlannedService>,
    states: HashMap<EntryId, Visit>,
    cycles: Vec<Vec<EntryId>>,
}

impl Search<'_> {
    /// Whether something of this runtime can start it.
    fn is_service(&self, id: &EntryId) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.spec().lifecycle().is_some())
    }

    /// Plans an entry after all that it needs; `way` leads from a root to whoever asks.
    fn visit(&mut self, id: &EntryId, way: &mut Vec<EntryId>, needed: bool) {
        match self.states.get(id) {
            Some(Visit::Done) => return,
            Some(Visit::Open) => {
                let start = way.iter().position(|on_way| on_way == id).unwrap_or(0);
                self.cycles.push(way[start..].to_vec());
                return;
            }
            None => {}
        }
        self.states.insert(id.clone(), Visit::Open);
        way.push(id.clone());
        let needs = self.entries.get(id).map(|entry| needs(entry)).unwrap_or_default();
        let (requires, missing): (Vec<_>, Vec<_>) = needs.into_iter().partition(|need| self.is_service(need));
        for need in &requires {
            self.visit(need, way, needed);
        }
        // One that waits for itself has no level; it is told as a cycle.
        let level = requires.iter().filter_map(|need| self.services.get(need)).map(|need| need.level + 1).max();
        let chain = way.clone();
        way.pop();
        self.states.insert(id.clone(), Visit::Done);
        let planned = PlannedService { id: id.clone(), requires, missing, level: level.unwrap_or(0), needed, chain };
        self.services.insert(id.clone(), planned);
    }

    fn finish(mut self) -> StartPlan {
        let entries = &self.entries;
        let declared = |id: &EntryId| entries.get_index_of(id).unwrap_or(usize::MAX);
        self.services
            .sort_by(|_, one, _, other| one.level.cmp(&other.level).then(declared(&one.id).cmp(&declared(&other.id))));
        StartPlan { services: self.services, cycles: self.cycles }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{ProcessHost, ProcessService, TerminalHost};

    fn id(name: &str) -> EntryId {
        EntryId::new("app", name).expect("an ID")
    }

    fn host(name: &str, requires: &[&str]) -> Entry {
        let mut host = ProcessHost::default();
        host.lifecycle.requires = requires.iter().map(|name| id(name)).collect();
        Entry::new(id(name), Spec::ProcessHost(host))
    }

    /// A root on the host `h` when `startup` says so.
    fn service(name: &str, startup: Option<Startup>, requires: &[&str]) -> Entry {
        let lifecycle = crate::registry::Lifecycle {
            auto_start: startup.is_some(),
            startup: startup.unwrap_or_default(),
            requires: requires.iter().map(|name| id(name)).collect(),
            ..Default::default()
        };
        let spec = ProcessService { process: id("p"), host: id("h"), input: Vec::new(), lifecycle };
        Entry::new(id(name), Spec::ProcessService(spec))
    }

    /// `name level needed` of each service, in order.
    fn order(plan: &StartPlan) -> Vec<String> {
        plan.services().map(|it| format!("{} {} {}", it.id.name(), it.level, it.needed)).collect()
    }

    const REQUIRED: Option<Startup> = Some(Startup::Required);
    const OPTIONAL: Option<Startup> = Some(Startup::Optional);

    #[test]
    fn roots_pull_in_what_they_require_and_nothing_else() {
        let entries = [
            service("idle", None, &[]),
            service("web", REQUIRED, &["cache", "db"]),
            service("cache", None, &["db"]),
            service("db", None, &[]),
            host("h", &[]),
            host("unused", &[]),
        ];
        let plan = StartPlan::of_entries(&entries);
        assert_eq!(order(&plan), ["h 0 true", "db 1 true", "cache 2 true", "web 3 true"]);
        assert_eq!(plan.get(&id("db")).expect("planned").chain, [id("web"), id("cache"), id("db")]);
        assert!(plan.cycles().is_empty());
    }

    #[test]
    fn what_only_optional_roots_want_is_not_needed() {
        let entries = [
            service("extra", OPTIONAL, &["both", "own"]),
            service("own", None, &[]),
            service("both", None, &[]),
            service("main", REQUIRED, &["both"]),
            host("h", &[]),
        ];
        let plan = StartPlan::of_entries(&entries);
        assert_eq!(order(&plan), ["h 0 true", "own 1 false", "both 1 true", "extra 2 false", "main 2 true"]);
    }

    #[test]
    fn a_cycle_is_told_with_its_chain() {
        let entries = [
            service("a", REQUIRED, &["b"]),
            service("b", None, &["c"]),
            service("c", None, &["b"]),
            service("self", REQUIRED, &["self"]),
            host("h", &[]),
        ];
        let plan = StartPlan::of_entries(&entries);
        assert_eq!(plan.cycles(), [vec![id("b"), id("c")], vec![id("self")]]);
    }

    #[test]
    fn a_host_may_require_a_service_of_another_host() {
        let mut workers = host("workers", &["db"]);
        if let Spec::ProcessHost(host) = workers.spec_mut() {
            host.lifecycle.auto_start = true;
        }
        let plan = StartPlan::of_entries(&[workers, service("db", None, &[]), host("h", &[])]);
        assert_eq!(order(&plan), ["h 0 true", "db 1 true", "workers 2 true"]);
    }

    #[test]
    fn what_nobody_can_start_is_missing() {
        let terminal = Entry::new(id("terminal"), Spec::TerminalHost(TerminalHost::default()));
        let a = service("a", REQUIRED, &["gone", "terminal", "db"]);
        let db = Entry::new(id("db"), Spec::Unserved(serde_json::Value::Null));
        let plan = StartPlan::of_entries(&[a.clone(), terminal, db, host("h", &[])]);
        let planned = plan.get(&id("a")).expect("planned");
        assert_eq!(planned.missing, [id("gone"), id("db")]);
        assert_eq!(planned.requires, [id("h"), id("terminal")]);
    }
}
