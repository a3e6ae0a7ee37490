//! The policies of an application, by ID and by group, and the identities of its services.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::context::{Actor, Scope, SecurityContext};
use super::policy::{InvalidPolicy, Policy};
use crate::registry::{Diagnostic, Diagnostics, Entry, EntryId, PolicySpec, Registry, ServiceSecurity, Severity};
use crate::suggest::closest;

/// The policies of an application. Fixed once it is loaded; cheap to clone.
///
/// ```
/// use wippy::registry::{Effect, Entry, PolicySpec, PolicyTest, Registry, RuntimeConfig, Spec};
/// use wippy::security::{Actor, Policies, SecurityContext};
///
/// let sending = PolicySpec {
///     actions: vec!["process.send".into()],
///     resources: vec!["*".into()],
///     effect: Effect::Allow,
///     test: PolicyTest::Conditions(Vec::new()),
///     groups: vec!["talkers".into()],
/// };
/// let id = "app:sending".parse()?;
/// let (policies, problems) = Policies::of([(id, &sending)]);
/// assert!(problems.is_empty());
/// let scope = policies.group("talkers");
/// let ann = SecurityContext::new(Some(Actor::new("ann")), scope, policies.is_strict());
/// assert!(ann.allows("process.send", &"{app:processes|0x00001}", &[]));
/// assert!(!ann.allows("process.terminate", &"{app:processes|0x00001}", &[]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Policies(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    policies: BTreeMap<EntryId, Arc<Policy>>,
    /// By the name as it is written, and with the namespace of the policy before it.
    groups: BTreeMap<String, Vec<Arc<Policy>>>,
    services: HashMap<EntryId, Identity>,
    strict: bool,
}

/// Who a service acts as: what its `lifecycle.security` says.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Who acts; none when the entry names nobody.
    pub actor: Option<Actor>,
    /// By which policies; none when the entry lists neither policies nor groups.
    pub scope: Option<Scope>,
}

impl Policies {
    /// The policies of a registry, and every problem that they or those who refer to them have.
    #[must_use]
    pub fn load(registry: &Registry) -> (Self, Diagnostics) {
        let declared = registry.iter().filter_map(|entry| Some((entry.id().clone(), entry.spec().policy()?)));
        let (mut known, invalid) = Known::of(declared);
        let mut problems = Diagnostics::default();
        for (id, why) in invalid {
            if let Some(entry) = registry.get(&id) {
                problems.add(problem(entry, &why));
            }
        }
        for entry in registry.iter() {
            let security = entry.spec().lifecycle().and_then(|lifecycle| lifecycle.security.as_ref());
            if let Some(security) = security {
                let identity = known.identity(entry, security, registry, &mut problems);
                known.services.insert(entry.id().clone(), identity);
            }
        }
        known.strict = registry.config().strict_mode();
        (Self(Arc::new(known)), problems)
    }

    /// Policies of an embedder, and those of them that can't be asked. Strict mode is off.
    #[must_use]
    pub fn of<'p>(
        declared: impl IntoIterator<Item = (EntryId, &'p PolicySpec)>,
    ) -> (Self, Vec<(EntryId, InvalidPolicy)>) {
        let (known, invalid) = Known::of(declared);
        (Self(Arc::new(known)), invalid)
    }

    /// `security.strict_mode`.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.0.strict
    }

    /// The policy of an entry.
    #[must_use]
    pub fn get(&self, id: &EntryId) -> Option<&Arc<Policy>> {
        self.0.policies.get(id)
    }

    /// The policies of a group, by its name as policies write it or, with the namespace of those before it,
    /// `namespace:name`.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Scope> {
        self.0.groups.get(name).map(|policies| Scope::new(policies.iter().cloned()))
    }

    /// Who a service acts as.
    #[must_use]
    pub fn identity(&self, service: &EntryId) -> Option<&Identity> {
        self.0.services.get(service)
    }

    /// What a process acts in whose starter acts in `inherited` and gave it this actor and this scope. One that has
    /// neither gets the identity of its host, if that has one.
    pub(crate) fn context(
        &self,
        inherited: Option<&SecurityContext>,
        actor: Option<Actor>,
        scope: Option<Scope>,
        host: &EntryId,
    ) -> SecurityContext {
        let context = match inherited {
            Some(inherited) => inherited.replaced(actor, scope),
            None => SecurityContext::new(actor, scope, self.0.strict),
        };
        if context.actor().is_some() || context.scope().is_some() {
            return context;
        }
        match self.0.services.get(host) {
            Some(Identity { actor, scope }) => context.replaced(actor.clone(), scope.clone()),
            None => context,
        }
    }
}

impl Known {
    fn of<'p>(declared: impl IntoIterator<Item = (EntryId, &'p PolicySpec)>) -> (Self, Vec<(EntryId, InvalidPolicy)>) {
        let (mut known, mut invalid) = (Self::default(), Vec::new());
        for (id, spec) in declared {
            let policy = match Policy::new(id.clone(), spec) {
                Ok(policy) => Arc::new(policy),
                Err(why) => {
                    invalid.push((id, why));
                    continue;
                }
            };
            for group in &spec.groups {
                let full = (!group.contains(':')).then(|| format!("{}:{group}", id.namespace()));
                for name in full.into_iter().chain([group.clone()]) {
                    known.groups.entry(name).or_default().push(Arc::clone(&policy));
                }
            }
            known.policies.insert(id, policy);
        }
        (known, invalid)
    }

    /// The identity of a service. What it refers to and nobody declares is told.
    fn identity(
        &self,
        entry: &Entry,
        security: &ServiceSecurity,
        registry: &Registry,
        problems: &mut Diagnostics,
    ) -> Identity {
        let mut found = Vec::new();
        let mut dangling = |list: &str, at: usize, what: &str, name: &str, known: &mut dyn Iterator<Item = String>| {
            let path = place(entry, list, at);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let message = format!("{what} not found: `{name}`");
            let problem = entry.problem(Severity::Error, "dangling-reference", &path, message);
            let known: Vec<String> = known.collect();
            problems.add(match closest(name, known.iter().map(String::as_str)) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem
                    .expected(format!("the {} of a `security.policy`", if what == "policy" { "ID" } else { "group" })),
            });
        };
        for (at, id) in security.policies.iter().enumerate() {
            match self.policies.get(id) {
                Some(policy) => found.push(Arc::clone(policy)),
                // One that is there and can't be asked was told already.
                None if registry.get(id).is_some_and(|entry| entry.spec().policy().is_some()) => {}
                None => {
                    let mut known = self.policies.keys().map(ToString::to_string);
                    dangling("policies", at, "policy", &id.to_string(), &mut known);
                }
            }
        }
        for (at, group) in security.groups.iter().enumerate() {
            match self.groups.get(group) {
                Some(policies) => found.extend(policies.iter().cloned()),
                None if registry
                    .iter()
                    .any(|entry| entry.spec().policy().is_some_and(|spec| spec.groups.contains(group))) => {}
                None => dangling("groups", at, "group of policies", group, &mut self.groups.keys().cloned()),
            }
        }
        let has_scope = !(security.policies.is_empty() && security.groups.is_empty());
        Identity {
            actor: security.actor_id.as_ref().map(|id| Actor::with_meta(id.clone(), security.actor_meta.clone())),
            scope: has_scope.then(|| Scope::new(found)),
        }
    }
}

/// Where an item of a list of `lifecycle.security` is written; a list of one may be written as the item.
fn place(entry: &Entry, list: &str, at: usize) -> Vec<String> {
    let mut path = vec!["lifecycle".to_owned(), "security".to_owned(), list.to_owned()];
    if entry.payload().pointer(&format!("/lifecycle/security/{list}")).is_some_and(serde_json::Value::is_array) {
        path.push(at.to_string());
    }
    path
}

/// A policy that can't be asked, at the place of what is wrong with it.
fn problem(entry: &Entry, why: &InvalidPolicy) -> Diagnostic {
    match why {
        InvalidPolicy::Pattern { condition, why } => {
            let path = ["policy", "conditions", &condition.to_string(), "value"];
            let problem = entry.problem(Severity::Error, "invalid-value", &path, why.clone());
            problem.expected("a regular expression without look-around and back-references")
        }
        InvalidPolicy::Expression(error) => {
            let message = format!("`policy.expression`: {error}");
            let problem = entry.problem(Severity::Error, "invalid-expression", &["policy", "expression"], message);
            problem.help(error.help())
        }
    }
}
