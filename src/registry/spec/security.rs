//! `security.policy` and `security.policy.expr`: what may be done with what, and when.

use super::super::Value;
use super::super::fields::{Fields, described};

/// A policy as an entry declares it.
///
/// ```
/// use wippy::registry::{Effect, PolicySpec, PolicyTest};
///
/// let policy = PolicySpec {
///     actions: vec!["process.*".into()],
///     resources: vec!["*".into()],
///     effect: Effect::Allow,
///     test: PolicyTest::Conditions(Vec::new()),
///     groups: vec!["workers".into()],
/// };
/// assert_eq!(policy.effect, Effect::Allow);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// What is done: exact, with a `*` at the end, or `*` alone. At least one.
    pub actions: Vec<String>,
    /// With what it is done, in the same forms. At least one.
    pub resources: Vec<String>,
    /// What it says where it applies.
    pub effect: Effect,
    /// When it applies.
    pub test: PolicyTest,
    /// The groups by which it is found.
    pub groups: Vec<String>,
}

/// What a policy says where it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may be done, unless another policy denies it.
    Allow,
    /// It must not be done, whatever other policies say.
    Deny,
}

/// When a policy applies, where its actions and resources fit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PolicyTest {
    /// `security.policy`: when all of them hold; without any, always.
    Conditions(Vec<Condition>),
    /// `security.policy.expr`: when it is true.
    Expression(String),
}

/// One condition of a `security.policy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub field: FieldPath,
    /// How it is compared.
    pub operator: ConditionOperator,
    /// With what; none for `exists` and `nexists`.
    pub operand: Option<Operand>,
}

/// A value that a request brings: of its actor, or of what is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldPath {
    /// `actor.id`
    ActorId,
    /// `actor.meta.…`: the keys on the way.
    ActorMeta(Vec<String>),
    /// `action`
    Action,
    /// `resource`
    Resource,
    /// `meta.…`, an attribute of what is done: the keys on the way.
    Meta(Vec<String>),
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionOperator {
    /// Equal; numbers by what they count, whether they are written with a fraction or not.
    Eq,
    /// Not equal.
    Ne,
    /// Less: two numbers, or two texts by their bytes.
    Lt,
    /// Greater.
    Gt,
    /// Less or equal.
    Lte,
    /// Greater or equal.
    Gte,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// There.
    Exists,
    /// Not there.
    NotExists,
    /// A text with a part, or a list with an item.
    Contains,
    /// The opposite.
    NotContains,
    /// A text that a regular expression finds something in.
    Matches,
    /// The opposite.
    NotMatches,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Operand {
    /// `value`: as written.
    Value(Value),
    /// `value_from`: another field.
    Field(FieldPath),
}

const OPERATORS: [(&str, ConditionOperator); 14] = [
    ("eq", ConditionOperator::Eq),
    ("ne", ConditionOperator::Ne),
    ("lt", ConditionOperator::Lt),
    ("gt", ConditionOperator::Gt),
    ("lte", ConditionOperator::Lte),
    ("gte", ConditionOperator::Gte),
    ("in", ConditionOperator::In),
    ("nin", ConditionOperator::NotIn),
    ("exists", ConditionOperator::Exists),
    ("nexists", ConditionOperator::NotExists),
    ("contains", ConditionOperator::Contains),
    ("ncontains", ConditionOperator::NotContains),
    ("matches", ConditionOperator::Matches),
    ("nmatches", ConditionOperator::NotMatches),
];

const FIELD_FORMS: &str = "`actor.id`, `actor.meta.…`, `action`, `resource` or `meta.…`";

impl PolicySpec {
    /// `security.policy`.
    pub(super) fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        Self::decode_with(f, |f| {
            misplaced(f, "expression", "security.policy.expr");
            // One that can't be read would make the policy apply more often than it was meant to.
            let written = f.raw().payload.pointer("/policy/conditions").and_then(Value::as_array).map_or(0, Vec::len);
            let conditions = f.list("conditions", Condition::decode);
            (conditions.len() == written).then_some(PolicyTest::Conditions(conditions))
        })
    }

    /// `security.policy.expr`.
    pub(super) fn decode_expr(f: &mut Fields<'_, '_>) -> Option<Self> {
        Self::decode_with(f, |f| {
            misplaced(f, "conditions", "security.policy");
            f.required_text("expression", "policy.expression is required").map(PolicyTest::Expression)
        })
    }

    fn decode_with(
        f: &mut Fields<'_, '_>,
        test: impl FnOnce(&mut Fields<'_, '_>) -> Option<PolicyTest>,
    ) -> Option<Self> {
        let groups = f.text_or_list("groups").unwrap_or_default();
        if f.raw().payload.get("policy").is_none_or(Value::is_null) {
            f.any("policy");
            let problem = f.problem("missing-field", "policy", "policy is required");
            f.error(problem.help("add `policy: { actions: …, resources: …, effect: allow }`"));
            return None;
        }
        f.nested("policy", |f| {
            let actions = patterns(f, "actions");
            let resources = patterns(f, "resources");
            let effect = f.word("effect", &[("allow", Effect::Allow), ("deny", Effect::Deny)], "invalid effect");
            if f.any("effect").is_none_or(|effect| effect == "") {
                f.missing::<()>("effect", "policy.effect is required");
            }
            let test = test(f);
            Some(Self { actions: actions?, resources: resources?, effect: effect?, test: test?, groups })
        })
    }
}

/// A field of the other kind: without a word about it the policy would apply more often than it was meant to.
fn misplaced(f: &mut Fields<'_, '_>, name: &'static str, kind: &str) {
    if f.any(name).is_some() {
        let message = format!("`policy.{name}` has no meaning in a `{}`", f.raw().kind);
        let problem = f.problem("invalid-value", name, message);
        f.error(problem.help(format!("make it a `kind: {kind}`, or leave it out")));
    }
}

/// Texts that name actions or resources.
fn patterns(f: &mut Fields<'_, '_>, name: &'static str) -> Option<Vec<String>> {
    let Some(patterns) = f.text_or_list(name) else {
        if f.any(name).is_none() {
            return f.missing(name, &format!("policy.{name} is required"));
        }
        return None;
    };
    if patterns.is_empty() || patterns.iter().any(String::is_empty) {
        let problem = f.problem("invalid-value", name, format!("policy.{name} must not be empty"));
        f.error(problem.expected("a text such as `process.send`, `process.*` or `*`, or a list of them"));
        return None;
    }
    for pattern in &patterns {
        let start = pattern.strip_suffix('*').unwrap_or(pattern);
        if start.contains('*') {
            let message = format!("`{pattern}` in `policy.{name}` matches only itself");
            let problem = f.warning_at("no-effect", &[name], message);
            f.error(problem.help("a `*` stands for anything only alone or at the end"));
        }
    }
    Some(patterns)
}

impl Condition {
    fn decode(f: &mut Fields<'_, '_>) -> Option<Self> {
        let field = f.required_text("field", "field is required").and_then(|text| path_of(f, "field", &text));
        let operator = match f.any("operator").is_none_or(|word| word == "") {
            true => f.required_text("operator", "operator is required").and(None),
            false => f.word("operator", &OPERATORS, "unknown operator"),
        };
        let value = f.any("value").cloned();
        let from = f.text("value_from").filter(|text| !text.is_empty());
        let from = from.map(|text| path_of(f, "value_from", &text));
        let (field, operator) = (field?, operator?);
        let operand = match (value, from) {
            (Some(_), Some(_)) => {
                let problem = f.problem_at("invalid-value", &[], "a condition has both `value` and `value_from`");
                f.error(problem.help("leave one of them out"));
                return None;
            }
            (Some(value), None) => Some(Operand::Value(value)),
            (None, Some(from)) => Some(Operand::Field(from?)),
            (None, None) => None,
        };
        let is_unary = matches!(operator, ConditionOperator::Exists | ConditionOperator::NotExists);
        if is_unary && operand.is_some() {
            let problem = f.problem_at("invalid-value", &[], "`exists` and `nexists` compare with nothing");
            f.error(problem.help("leave `value` and `value_from` out"));
            return None;
        }
        if !is_unary && operand.is_none() {
            let problem = f.problem_at("missing-field", &[], "a condition needs something to compare with");
            f.error(problem.help("add `value: …` or `value_from: …`"));
            return None;
        }
        if let Some(Operand::Value(value)) = &operand {
            operator.check(f, value)?;
        }
        Some(Self { field, operator, operand })
    }
}

impl ConditionOperator {
    /// Whether this may stand on the right.
    fn check(self, f: &mut Fields<'_, '_>, value: &Value) -> Option<()> {
        let (fits, expected) = match self {
            Self::Lt | Self::Gt | Self::Lte | Self::Gte => {
                (value.is_number() || value.is_string(), "a number or a text")
            }
            Self::In | Self::NotIn => (value.is_array(), "a list"),
            Self::Matches | Self::NotMatches => (value.is_string(), "a regular expression"),
            _ => (true, ""),
        };
        if fits {
            return Some(());
        }
        let message = format!("the operator can't compare with {}", described(value));
        let problem = f.problem("wrong-type", "value", message).expected(expected);
        f.error(problem);
        None
    }
}

impl FieldPath {
    /// The field that a text names.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let keys = |rest: &str| {
            let keys: Vec<String> = rest.split('.').map(str::to_owned).collect();
            keys.iter().all(|key| !key.is_empty()).then_some(keys)
        };
        match text {
            "actor.id" => Some(Self::ActorId),
            "action" => Some(Self::Action),
            "resource" => Some(Self::Resource),
            _ => match (text.strip_prefix("actor.meta."), text.strip_prefix("meta.")) {
                (Some(rest), _) => keys(rest).map(Self::ActorMeta),
                (None, Some(rest)) => keys(rest).map(Self::Meta),
                (None, None) => None,
            },
        }
    }
}

fn path_of(f: &mut Fields<'_, '_>, name: &'static str, text: &str) -> Option<FieldPath> {
    let path = FieldPath::parse(text);
    if path.is_none() {
        let problem = f.problem("invalid-value", name, format!("unknown field: `{text}`")).expected(FIELD_FORMS);
        f.error(problem);
    }
    path
}
