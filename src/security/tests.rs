//! Decisions, and policies as an application declares them.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::registry::{Effect, EntryId, LoadOptions, PolicySpec, PolicyTest};

fn id(text: &str) -> EntryId {
    text.parse().expect("an ID")
}

/// A scope of policies about `act` on `it`: each by its effect and by whether it applies.
fn scope(policies: &[(Effect, bool)]) -> Scope {
    let made = policies.iter().enumerate().map(|(at, (effect, applies))| {
        let spec = PolicySpec {
            actions: vec![if *applies { "act" } else { "something else" }.into()],
            resources: vec!["it".into()],
            effect: *effect,
            test: PolicyTest::Conditions(Vec::new()),
            groups: Vec::new(),
        };
        Arc::new(Policy::new(id(&format!("app:policy{at}")), &spec).expect("sound"))
    });
    Scope::new(made)
}

#[test]
fn one_that_denies_wins_and_without_one_that_allows_nothing_is() {
    use Effect::{Allow, Deny};
    let (actor, attributes) = (Actor::new("ann"), Attributes::new());
    for (policies, expected) in [
        (&[][..], Decision::Undefined),
        (&[(Allow, false)], Decision::Undefined),
        (&[(Deny, false)], Decision::Undefined),
        (&[(Allow, true)], Decision::Allow),
        (&[(Deny, true)], Decision::Deny),
        (&[(Allow, true), (Deny, true)], Decision::Deny),
        (&[(Deny, true), (Allow, true)], Decision::Deny),
        (&[(Allow, true), (Deny, false)], Decision::Allow),
        (&[(Allow, false), (Allow, true)], Decision::Allow),
    ] {
        let scope = scope(policies);
        let request = Request { actor: &actor, action: "act", resource: "it", attributes: &attributes };
        assert_eq!(scope.evaluate(&request), expected, "{policies:?}");
        let context = SecurityContext::new(Some(actor.clone()), Some(scope), false);
        assert_eq!(context.allows("act", &"it", &[]), expected == Decision::Allow, "{policies:?}");
        assert_eq!(context.allows_with("act", "it", &attributes), expected == Decision::Allow, "{policies:?}");
    }
}

#[test]
fn without_an_actor_or_a_scope_strict_mode_decides() {
    let ann = || Some(Actor::new("ann"));
    for (actor, scope) in [(None, None), (ann(), None), (None, Some(scope(&[(Effect::Allow, true)])))] {
        for strict in [false, true] {
            let context = SecurityContext::new(actor.clone(), scope.clone(), strict);
            assert_eq!(context.allows("act", &"it", &[]), !strict, "{context:?}");
            assert_eq!(context.allows_with("act", "it", &Attributes::new()), !strict, "{context:?}");
            let both = context.replaced(ann(), Some(super::tests::scope(&[(Effect::Allow, true)])));
            assert!(both.allows("act", &"it", &[]) && both.is_strict() == strict);
        }
    }
    let denied = SecurityContext::new(None, None, true).check("act", "do", &"it", &[]).unwrap_err();
    assert_eq!(denied.to_string(), "not allowed to do: it");
}

#[test]
fn attributes_reach_policies_as_meta() {
    let spec = PolicySpec {
        actions: vec!["act".into()],
        resources: vec!["*".into()],
        effect: Effect::Allow,
        test: PolicyTest::Expression("meta.size == 5 or meta.pid == 'p'".into()),
        groups: Vec::new(),
    };
    let policy = Arc::new(Policy::new(id("app:p"), &spec).expect("sound"));
    let context = SecurityContext::new(Some(Actor::new("ann")), Some(Scope::new([policy.clone(), policy])), false);
    assert_eq!(context.scope().map(|scope| scope.policies().len()), Some(1), "each counts once");
    assert!(context.allows("act", &"it", &[("pid", &"p")]));
    assert!(!context.allows("act", &"it", &[("pid", &"q")]));
}

/// An application of these entries, loaded, and every problem of its policies.
fn load(entries: &str) -> (Policies, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("version: '1.0'\nnamespace: app\nentries:\n{entries}");
    std::fs::write(folder.path().join("_index.yaml"), text).expect("a file");
    let loaded = crate::registry::load(&LoadOptions::new(folder.path()));
    assert!(!loaded.diagnostics.has_errors(), "{:?}", loaded.diagnostics);
    let (policies, problems) = Policies::load(&loaded.registry);
    (policies, problems.iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect())
}

const POLICIES: &str = "- { name: a, kind: security.policy, groups: [g, other:h], policy: { actions: act, resources: it, effect: allow } }
- { name: b, kind: security.policy.expr, groups: g, policy: { actions: act, resources: it, effect: deny, expression: 'true' } }\n";

#[test]
fn policies_are_found_by_id_and_by_group() {
    let (policies, problems) = load(POLICIES);
    assert!(problems.is_empty(), "{problems:?}");
    let of = |name: &str| -> Option<Vec<String>> {
        Some(policies.group(name)?.policies().iter().map(|policy| policy.id().to_string()).collect())
    };
    let both = Some(vec!["app:a".to_owned(), "app:b".to_owned()]);
    assert_eq!((of("g"), of("app:g"), of("other:h")), (both.clone(), both, Some(vec!["app:a".to_owned()])));
    assert_eq!((of("h"), of("other:g")), (None, None));
    assert_eq!(policies.get(&id("app:b")).map(|policy| policy.effect()), Some(Effect::Deny));
    assert!(policies.get(&id("app:c")).is_none() && !policies.is_strict());
}

#[test]
fn a_service_acts_as_its_lifecycle_says() {
    let host = "- { name: x, kind: process.host, lifecycle: { security: { actor: { id: ann, meta: { level: 5 } }, \
                policies: [b, a], groups: [app:g, 'other:h'] } } }
- { name: alone, kind: process.host, lifecycle: { security: { actor: { id: bob } } } }
- { name: none, kind: process.host }\n";
    let (policies, problems) = load(&format!("{POLICIES}{host}"));
    assert!(problems.is_empty(), "{problems:?}");
    let identity = policies.identity(&id("app:x")).expect("an identity");
    let (actor, scope) = (identity.actor.clone().expect("an actor"), identity.scope.clone().expect("a scope"));
    assert_eq!((actor.id(), &actor.meta()["level"]), ("ann", &json!(5)));
    let ids: Vec<_> = scope.policies().iter().map(|policy| policy.id().to_string()).collect();
    assert_eq!(ids, ["app:b", "app:a"]);
    let alone = policies.identity(&id("app:alone")).expect("an identity");
    assert!(alone.actor.is_some() && alone.scope.is_none(), "nobody lists a policy");
    // A process that brings nothing acts as its host; one that brings something keeps it.
    let context = |inherited, actor| policies.context(inherited, actor, None, &id("app:x"));
    assert_eq!(context(None, None).actor().map(Actor::id), Some("ann"));
    let nobody = SecurityContext::default();
    assert_eq!(context(Some(&nobody), None).actor().map(Actor::id), Some("ann"));
    let carol = context(None, Some(Actor::new("carol")));
    assert_eq!((carol.actor().map(Actor::id), carol.scope().is_some()), (Some("carol"), false));
    assert_eq!(context(Some(&carol), None), carol, "who hands on hands on the same");
    assert!(policies.context(None, None, None, &id("app:none")).actor().is_none());
}

#[test]
fn what_is_wrong_with_policies_is_told() {
    let host = |security: &str| {
        format!(
            "{POLICIES}- {{ name: x, kind: process.host, lifecycle: {{ security: {{ actor: {{ id: ann }}, {security} }} }} }}\n"
        )
    };
    for (entries, expected) in [
        (host("policies: [c]"), "dangling-reference: policy not found: `app:c`"),
        (host("policies: x"), "dangling-reference: policy not found: `app:x`"),
        (host("groups: [ g, gg ]"), "dangling-reference: group of policies not found: `gg`"),
        (
            "- { name: a, kind: security.policy, policy: { actions: act, resources: it, effect: deny, conditions: [\
             { field: action, operator: eq, value: act }, { field: action, operator: nmatches, value: '[' } ] } }\n"
                .into(),
            "invalid-value: no regular expression: unclosed character class",
        ),
        (
            "- { name: a, kind: security.policy.expr, policy: { actions: act, resources: it, effect: deny, expression: actor.idd == 'a' } }\n".into(),
            "invalid-expression: `policy.expression`: an `actor` has `id` and `meta`, and nothing else at character 1",
        ),
        // Told once, where it is.
        (
            "- { name: a, kind: security.policy.expr, groups: g, policy: { actions: act, resources: it, effect: deny, expression: '1' } }
- { name: x, kind: process.host, lifecycle: { security: { actor: { id: ann }, policies: [a], groups: [g] } } }\n".into(),
            "invalid-expression: `policy.expression`: it is a number, and neither true nor false",
        ),
    ] {
        assert_eq!(load(&entries).1, [expected], "{entries}");
    }
}
