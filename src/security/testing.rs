//! What the tests of other rooms need of this one.

use super::{Actor, Policies, Scope, SecurityContext};
use crate::registry::{Effect, EntryId, PolicySpec, PolicyTest};

/// Somebody who may do one thing with these resources, and nothing else.
pub(crate) fn may_only(action: &str, resource: &str) -> SecurityContext {
    let spec = PolicySpec {
        actions: vec![action.to_owned()],
        resources: vec![resource.to_owned()],
        effect: Effect::Allow,
        test: PolicyTest::Conditions(Vec::new()),
        groups: Vec::new(),
    };
    let id: EntryId = "app:p".parse().unwrap();
    let (policies, _) = Policies::of([(id.clone(), &spec)]);
    SecurityContext::new(Some(Actor::new("ann")), Some(Scope::new(policies.get(&id).cloned())), false)
}
