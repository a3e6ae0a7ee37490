//! The one who acts, the policies it acts by, and what they say.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::policy::Policy;
use crate::registry::{Effect, EntryId, Value};

/// What is known of an actor or of an action, by key.
pub type Attributes = serde_json::Map<String, Value>;

/// Who acts. Cheap to clone.
///
/// ```
/// use wippy::security::Actor;
///
/// let actor = Actor::new("user:ann").with("role", "editor");
/// assert_eq!((actor.id(), &actor.meta()["role"]), ("user:ann", &"editor".into()));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Actor(Arc<ActorData>);

#[derive(Clone, Debug, PartialEq)]
struct ActorData {
    id: String,
    meta: Attributes,
}

impl Actor {
    /// An actor of whom nothing but the ID is known.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self::with_meta(id, Attributes::new())
    }

    /// An actor and what is known of it.
    #[must_use]
    pub fn with_meta(id: impl Into<String>, meta: Attributes) -> Self {
        Self(Arc::new(ActorData { id: id.into(), meta }))
    }

    /// The same with one more thing known of it.
    #[must_use]
    pub fn with(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let mut data = Arc::unwrap_or_clone(self.0);
        data.meta.insert(key.into(), value.into());
        Self(Arc::new(data))
    }

    /// Its ID.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What is known of it.
    #[must_use]
    pub fn meta(&self) -> &Attributes {
        &self.0.meta
    }
}

/// A set of policies; one that is empty allows nothing. Cheap to clone.
#[derive(Clone, Default)]
pub struct Scope(Arc<[Arc<Policy>]>);

/// What policies say about an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// One allows it, and none denies it.
    Allow,
    /// One denies it.
    Deny,
    /// None applies: it is not allowed.
    Undefined,
}

/// An action that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who wants to do it.
    pub actor: &'a Actor,
    /// What is to be done, for example `process.send`.
    pub action: &'a str,
    /// With what: an ID, a pid, a name, an address.
    pub resource: &'a str,
    /// What else is known of it: `meta.…` in policies.
    pub attributes: &'a Attributes,
}

impl Scope {
    /// These policies, each once.
    #[must_use]
    pub fn new(policies: impl IntoIterator<Item = Arc<Policy>>) -> Self {
        let mut seen = HashSet::new();
        Self(policies.into_iter().filter(|policy| seen.insert(policy.id().clone())).collect())
    }

    /// The policies, in the order in which they came.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.0
    }

    /// What the policies say.
    #[must_use]
    pub fn evaluate(&self, request: &Request<'_>) -> Decision {
        self.judge(request).0
    }

    /// What they say, and which one said it.
    fn judge(&self, request: &Request<'_>) -> (Decision, Option<&EntryId>) {
        let mut judged = (Decision::Undefined, None);
        for policy in self.0.iter().filter(|policy| policy.applies(request)) {
            match policy.effect() {
                Effect::Deny => return (Decision::Deny, Some(policy.id())),
                Effect::Allow if judged.1.is_none() => judged = (Decision::Allow, Some(policy.id())),
                Effect::Allow => {}
            }
        }
        judged
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|policy| policy.id())).finish()
    }
}

/// What somebody acts in: an actor, a scope, and whether both have to be there. Processes hand theirs on to those that they
/// start. Cheap to clone; two are equal when one was cloned from the other.
///
/// ```
/// use wippy::security::{Actor, Scope, SecurityContext};
///
/// let nobody = SecurityContext::default();
/// assert!(nobody.allows("process.spawn", &"app:worker", &[]), "nobody is not asked");
/// let strict = SecurityContext::new(None, None, true);
/// assert!(!strict.allows("process.spawn", &"app:worker", &[]));
/// let ann = SecurityContext::new(Some(Actor::new("user:ann")), Some(Scope::default()), false);
/// assert!(!ann.allows("process.spawn", &"app:worker", &[]), "no policy allows it");
/// ```
#[derive(Clone, Default)]
pub struct SecurityContext(Option<Arc<Inner>>);

struct Inner {
    actor: Option<Actor>,
    scope: Option<Scope>,
    strict: bool,
}

impl SecurityContext {
    /// An actor and its scope; with `strict` nothing is allowed while one of them is missing.
    #[must_use]
    pub fn new(actor: Option<Actor>, scope: Option<Scope>, strict: bool) -> Self {
        let says_something = strict || actor.is_some() || scope.is_some();
        Self(says_something.then(|| Arc::new(Inner { actor, scope, strict })))
    }

    /// The same with another actor or scope, where one is given.
    #[must_use]
    pub fn replaced(&self, actor: Option<Actor>, scope: Option<Scope>) -> Self {
        if actor.is_none() && scope.is_none() {
            return self.clone();
        }
        let actor = actor.or_else(|| self.actor().cloned());
        let scope = scope.or_else(|| self.scope().cloned());
        Self::new(actor, scope, self.is_strict())
    }

    /// Who acts.
    #[must_use]
    pub fn actor(&self) -> Option<&Actor> {
        self.0.as_ref()?.actor.as_ref()
    }

    /// The policies it acts by.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        self.0.as_ref()?.scope.as_ref()
    }

    /// Whether nothing is allowed without an actor and a scope.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.strict)
    }

    /// Whether an action on a resource is allowed. `attributes` is what policies know as `meta`; nothing is made of the
    /// arguments where there is nothing to ask.
    #[must_use]
    pub fn allows(&self, action: &str, resource: &dyn fmt::Display, attributes: &[(&str, &dyn fmt::Display)]) -> bool {
        let Some(inner) = &self.0 else { return true };
        inner.allows(action, resource, || attributes_of(attributes))
    }

    /// [`SecurityContext::allows`] as a result: what is not allowed is told in the words of `deed`.
    ///
    /// # Errors
    /// It is not allowed.
    pub fn check(
        &self,
        action: &'static str,
        deed: &'static str,
        resource: &dyn fmt::Display,
        attributes: &[(&str, &dyn fmt::Display)],
    ) -> Result<(), Denied> {
        match self.allows(action, resource, attributes) {
            true => Ok(()),
            false => Err(Denied { action, deed, resource: resource.to_string() }),
        }
    }

    /// Whether a policy denies an action that needs no leave: where none says anything it is allowed.
    ///
    /// ```
    /// use wippy::security::{Actor, Scope, SecurityContext};
    ///
    /// let ann = SecurityContext::new(Some(Actor::new("user:ann")), Some(Scope::default()), false);
    /// assert!(!ann.denies("process.upgrade", &"app:next", &[]), "no policy says anything");
    /// ```
    #[must_use]
    pub fn denies(&self, action: &str, resource: &dyn fmt::Display, attributes: &[(&str, &dyn fmt::Display)]) -> bool {
        let Some(inner) = &self.0 else { return false };
        let (Some(actor), Some(scope)) = (&inner.actor, &inner.scope) else { return false };
        let (resource, attributes) = (resource.to_string(), attributes_of(attributes));
        let request = Request { actor, action, resource: &resource, attributes: &attributes };
        scope.evaluate(&request) == Decision::Deny
    }

    /// [`SecurityContext::allows`], with attributes of any shape.
    #[must_use]
    pub fn allows_with(&self, action: &str, resource: &str, attributes: &Attributes) -> bool {
        let Some(inner) = &self.0 else { return true };
        inner.allows(action, &resource, || attributes.clone())
    }
}

fn attributes_of(attributes: &[(&str, &dyn fmt::Display)]) -> Attributes {
    attributes.iter().map(|(key, value)| ((*key).to_owned(), value.to_string().into())).collect()
}

/// Something that may not be done, in the words of Wippy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not allowed to {deed}: {resource}")]
#[non_exhaustive]
pub struct Denied {
    /// What policies know it as, for example `process.spawn`.
    pub action: &'static str,
    /// What it is in words, for example `spawn process`.
    pub deed: &'static str,
    /// With what it was to be done.
    pub resource: String,
}

impl Inner {
    fn allows(&self, action: &str, resource: &dyn fmt::Display, attributes: impl FnOnce() -> Attributes) -> bool {
        let (Some(actor), Some(scope)) = (&self.actor, &self.scope) else {
            if self.strict {
                let actor = self.actor.as_ref().map_or("nobody", Actor::id);
                tracing::debug!(%actor, %action, %resource, "without an actor and a scope nothing is allowed");
            }
            return !self.strict;
        };
        let (resource, attributes) = (resource.to_string(), attributes());
        let request = Request { actor, action, resource: &resource, attributes: &attributes };
        match scope.judge(&request) {
            (Decision::Allow, _) => return true,
            (_, Some(policy)) => tracing::debug!(actor = actor.id(), %action, %resource, %policy, "a policy denies it"),
            (_, None) => tracing::debug!(actor = actor.id(), %action, %resource, "no policy allows it"),
        }
        false
    }
}

impl PartialEq for SecurityContext {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for SecurityContext {}

impl std::hash::Hash for SecurityContext {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_ref().map(Arc::as_ptr).hash(state);
    }
}

impl fmt::Debug for SecurityContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityContext")
            .field("actor", &self.actor().map(Actor::id))
            .field("scope", &self.scope())
            .field("strict", &self.is_strict())
            .finish()
    }
}
