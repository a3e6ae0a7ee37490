//! `security.policy`, `security.policy.expr` and `lifecycle.security`, field by field.

use super::super::testing::load_entries;
use super::*;

/// The one problem of a load, which must be an error: its code, where its caret begins, and its message.
#[track_caller]
fn refused(loaded: Loaded, code: &str, at: &str, message: &str) {
    let problem = loaded.only();
    assert!(problem.code == code && problem.message.contains(message), "{problem}");
    let position = problem.position.as_ref().unwrap();
    let shown: String = position.line_text.chars().skip(position.column - 1).take(position.len).collect();
    // Of a list or a mapping the beginning is enough.
    assert!(shown.starts_with(at) && loaded.diagnostics.has_errors(), "{problem}");
}

fn policy(fields: &str) -> Loaded {
    load_entries(&format!("- {{ name: x, kind: security.policy, {fields} }}\n"))
}

#[test]
fn a_policy_takes_every_field() {
    let loaded = policy(
        "groups: [readers, app:all], policy: { actions: fs.get, resources: ['app:*', other], effect: deny, conditions: [\
         { field: actor.meta.team.name, operator: nin, value: [core] }, { field: meta.pid, operator: exists },\
         { field: resource, operator: eq, value_from: actor.id } ] }",
    );
    let Spec::SecurityPolicy(spec) = loaded.clean("app:x").spec() else { panic!() };
    assert_eq!(spec.groups, ["readers", "app:all"]);
    assert_eq!((spec.actions.as_slice(), spec.resources.len(), spec.effect), (&["fs.get".into()][..], 2, Effect::Deny));
    let condition = |field, operator, operand| Condition { field, operator, operand };
    let meta = FieldPath::ActorMeta(vec!["team".into(), "name".into()]);
    let value = Operand::Value(serde_json::json!(["core"]));
    let expected = vec![
        condition(meta, ConditionOperator::NotIn, Some(value)),
        condition(FieldPath::Meta(vec!["pid".into()]), ConditionOperator::Exists, None),
        condition(FieldPath::Resource, ConditionOperator::Eq, Some(Operand::Field(FieldPath::ActorId))),
    ];
    assert_eq!(spec.test, PolicyTest::Conditions(expected));
    let expression = "- { name: x, kind: security.policy.expr, policy: { actions: a, resources: b, effect: allow, expression: 'true' } }\n";
    let loaded = load_entries(expression);
    let Spec::SecurityPolicyExpr(spec) = loaded.clean("app:x").spec() else { panic!() };
    assert_eq!((spec.effect, &spec.test), (Effect::Allow, &PolicyTest::Expression("true".into())));
    assert!(spec.groups.is_empty());
}

#[test]
fn a_policy_that_is_not_whole_is_none() {
    let rest = "resources: '*', effect: allow";
    let condition = |fields: &str| format!("policy: {{ actions: a, {rest}, conditions: [{{ {fields} }}] }}");
    for (fields, code, at, message) in [
        ("groups: g".to_owned(), "missing-field", "x", "policy is required"),
        (format!("policy: {{ {rest} }}"), "missing-field", "policy", "policy.actions is required"),
        (format!("policy: {{ actions: [], {rest} }}"), "invalid-value", "[", "policy.actions must not be empty"),
        (format!("policy: {{ actions: [a, ''], {rest} }}"), "invalid-value", "[", "policy.actions must not be empty"),
        (format!("policy: {{ actions: 1, {rest} }}"), "wrong-type", "1", "`policy.actions` has the wrong type"),
        ("policy: { actions: a, resources: b }".to_owned(), "missing-field", "policy", "policy.effect is required"),
        (
            "policy: { actions: a, resources: b, effect: alow }".to_owned(),
            "invalid-value",
            "alow",
            "invalid effect: `alow`",
        ),
        (
            format!("policy: {{ actions: a, {rest}, expression: 'true' }}"),
            "invalid-value",
            "'true'",
            "`policy.expression` has no meaning",
        ),
        (
            condition("field: actor.name, operator: eq, value: 1"),
            "invalid-value",
            "actor.name",
            "unknown field: `actor.name`",
        ),
        (
            condition("field: actor.id, operator: equals, value: 1"),
            "invalid-value",
            "equals",
            "unknown operator: `equals`",
        ),
        (condition("operator: eq, value: 1"), "missing-field", "{", "field is required"),
        (condition("field: actor.id, value: 1"), "missing-field", "{", "operator is required"),
        (condition("field: actor.id, operator: eq"), "missing-field", "{", "needs something to compare with"),
        (
            condition("field: actor.id, operator: eq, value: 1, value_from: action"),
            "invalid-value",
            "{",
            "both `value` and `value_from`",
        ),
        (condition("field: actor.id, operator: exists, value: 1"), "invalid-value", "{", "compare with nothing"),
        (
            condition("field: actor.id, operator: in, value: ann"),
            "wrong-type",
            "ann",
            "can't compare with the text `ann`",
        ),
        (condition("field: actor.id, operator: lt, value: [1]"), "wrong-type", "[", "can't compare with a list"),
        (
            condition("field: actor.id, operator: matches, value: 1"),
            "wrong-type",
            "1",
            "can't compare with the number 1",
        ),
        (
            condition("field: actor.id, operator: eq, value_from: actor"),
            "invalid-value",
            "actor",
            "unknown field: `actor`",
        ),
    ] {
        refused(policy(&fields), code, at, message);
    }
    let expression = |fields: &str| {
        load_entries(&format!(
            "- {{ name: x, kind: security.policy.expr, policy: {{ actions: a, {rest}{fields} }} }}\n"
        ))
    };
    refused(expression(""), "missing-field", "policy", "policy.expression is required");
    refused(
        expression(", conditions: [], expression: 'true'"),
        "invalid-value",
        "[]",
        "`policy.conditions` has no meaning",
    );
    // A star in the middle is one of the characters of a name.
    let odd = policy("policy: { actions: '*.read', resources: '*', effect: allow }");
    assert_eq!((odd.only().code.as_ref(), odd.diagnostics.has_errors()), ("no-effect", false));
    assert!(odd.only().message.contains("`*.read` in `policy.actions` matches only itself"));
}

#[test]
fn an_identity_without_an_actor_is_told() {
    let host = |security: &str| {
        load_entries(&format!("- {{ name: x, kind: process.host, lifecycle: {{ security: {security} }} }}\n"))
    };
    let loaded = host("{ actor: { id: ann, meta: { level: 5 } }, groups: g, policies: [p] }");
    let lifecycle = loaded.clean("app:x").spec().lifecycle().unwrap().clone();
    let security = lifecycle.security.expect("it is written");
    assert_eq!((security.actor_id.as_deref(), &security.actor_meta["level"]), (Some("ann"), &5.into()));
    assert_eq!((security.groups, security.policies[0].to_string()), (vec!["g".to_owned()], "app:p".to_owned()));
    assert_eq!(host("{ groups: [g] }").only().code, "no-effect");
    host("{}").clean("app:x");
    refused(
        host("{ actor: { id: ann, meta: 5 } }"),
        "wrong-type",
        "5",
        "`lifecycle.security.actor.meta` has the wrong type",
    );
}
