//! The conditions of a `security.policy`.

use std::borrow::Cow;

use regex::Regex;

use super::context::{Attributes, Request};
use super::value::{EvalError, Steps, equal, has_item, order, pattern};
use crate::registry::{Condition, ConditionOperator, FieldPath, Operand, Value};

/// A condition, ready to be asked.
#[derive(Debug)]
pub(super) struct Compiled {
    condition: Condition,
    /// The regular expression, where it is written.
    pattern: Option<Regex>,
}

impl Compiled {
    /// # Errors
    /// Why the text of `matches` is no regular expression.
    pub(super) fn new(condition: &Condition) -> Result<Self, String> {
        let pattern = match (condition.operator, &condition.operand) {
            (ConditionOperator::Matches | ConditionOperator::NotMatches, Some(Operand::Value(Value::String(text)))) => {
                Some(pattern(text)?)
            }
            _ => None,
        };
        Ok(Self { condition: condition.clone(), pattern })
    }

    /// Whether it holds. One about a field that is not there holds only if that is what it asks.
    pub(super) fn holds(&self, request: &Request<'_>, steps: &mut Steps) -> Result<bool, EvalError> {
        steps.take()?;
        let Condition { field, operator, operand } = &self.condition;
        let field = look_up(field, request);
        let operand = match operand {
            None => None,
            Some(Operand::Value(value)) => Some(Cow::Borrowed(value)),
            Some(Operand::Field(path)) => look_up(path, request),
        };
        match operator {
            ConditionOperator::Exists => return Ok(field.is_some()),
            ConditionOperator::NotExists => return Ok(field.is_none()),
            _ => {}
        }
        let (Some(field), Some(operand)) = (field, operand) else { return Ok(false) };
        let (field, operand) = (field.as_ref(), operand.as_ref());
        match operator {
            ConditionOperator::Eq => equal(field, operand, steps),
            ConditionOperator::Ne => equal(field, operand, steps).map(|same| !same),
            ConditionOperator::Lt => order(field, operand).map(std::cmp::Ordering::is_lt),
            ConditionOperator::Gt => order(field, operand).map(std::cmp::Ordering::is_gt),
            ConditionOperator::Lte => order(field, operand).map(std::cmp::Ordering::is_le),
            ConditionOperator::Gte => order(field, operand).map(std::cmp::Ordering::is_ge),
            ConditionOperator::In => is_in(field, operand, steps),
            ConditionOperator::NotIn => is_in(field, operand, steps).map(|found| !found),
            ConditionOperator::Contains => contains(field, operand, steps),
            ConditionOperator::NotContains => contains(field, operand, steps).map(|found| !found),
            ConditionOperator::Matches => self.matches(field, operand),
            ConditionOperator::NotMatches => self.matches(field, operand).map(|found| !found),
            ConditionOperator::Exists | ConditionOperator::NotExists => Ok(false),
        }
    }

    fn matches(&self, field: &Value, operand: &Value) -> Result<bool, EvalError> {
        let (Value::String(text), Value::String(written)) = (field, operand) else { return Err(EvalError::Type) };
        match &self.pattern {
            Some(pattern) => Ok(pattern.is_match(text)),
            None => Ok(pattern(written).map_err(|_| EvalError::Pattern)?.is_match(text)),
        }
    }
}

fn is_in(field: &Value, operand: &Value, steps: &mut Steps) -> Result<bool, EvalError> {
    match operand {
        Value::Array(list) => has_item(list, field, steps),
        _ => Err(EvalError::Type),
    }
}

fn contains(field: &Value, operand: &Value, steps: &mut Steps) -> Result<bool, EvalError> {
    match (field, operand) {
        (Value::String(text), Value::String(part)) => Ok(text.contains(part.as_str())),
        (Value::Array(list), item) => has_item(list, item, steps),
        _ => Err(EvalError::Type),
    }
}

/// The value of a field; one that is null is as good as none.
fn look_up<'r>(path: &FieldPath, request: &Request<'r>) -> Option<Cow<'r, Value>> {
    let text = |text: &str| Some(Cow::Owned(Value::from(text)));
    match path {
        FieldPath::ActorId => text(request.actor.id()),
        FieldPath::Action => text(request.action),
        FieldPath::Resource => text(request.resource),
        FieldPath::ActorMeta(keys) => within(request.actor.meta(), keys),
        FieldPath::Meta(keys) => within(request.attributes, keys),
    }
}

fn within<'r>(map: &'r Attributes, keys: &[String]) -> Option<Cow<'r, Value>> {
    let (first, rest) = keys.split_first()?;
    let found = rest.iter().try_fold(map.get(first)?, |value, key| value.as_object()?.get(key))?;
    (!found.is_null()).then_some(Cow::Borrowed(found))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Actor;
    use super::*;

    /// What `field operator operand` says of a request with these attributes.
    fn ask(field: &str, operator: ConditionOperator, operand: Option<Operand>) -> Result<bool, EvalError> {
        let actor = Actor::new("ann").with("level", 5).with("roles", json!(["editor", 7])).with("none", Value::Null);
        let Value::Object(attributes) = json!({"size": 10, "owner": "ann", "pattern": "^a", "bad": "(", "a": {"b": 1}})
        else {
            unreachable!()
        };
        let request =
            Request { actor: &actor, action: "process.send", resource: "{app:p|0x1}", attributes: &attributes };
        let condition = Condition { field: FieldPath::parse(field).expect("a field"), operator, operand };
        Compiled::new(&condition).expect("sound").holds(&request, &mut Steps::new())
    }

    fn value(value: Value) -> Option<Operand> {
        Some(Operand::Value(value))
    }

    fn from(field: &str) -> Option<Operand> {
        Some(Operand::Field(FieldPath::parse(field).expect("a field")))
    }

    #[test]
    fn each_operator_holds_below_at_or_above_its_bound() {
        use ConditionOperator::*;
        for (field, operator, operand, expected) in [
            ("actor.meta.level", Eq, value(json!(5.0)), true),
            ("actor.meta.level", Eq, value(json!(6)), false),
            ("actor.meta.level", Ne, value(json!(6)), true),
            ("actor.meta.level", Ne, value(json!(5)), false),
            ("actor.meta.level", Lt, value(json!(6)), true),
            ("actor.meta.level", Lt, value(json!(5)), false),
            ("actor.meta.level", Gt, value(json!(4)), true),
            ("actor.meta.level", Gt, value(json!(5)), false),
            ("actor.meta.level", Lte, value(json!(5)), true),
            ("actor.meta.level", Lte, value(json!(4.9)), false),
            ("actor.meta.level", Gte, value(json!(5)), true),
            ("actor.meta.level", Gte, value(json!(5.1)), false),
            ("actor.id", In, value(json!(["bob", "ann"])), true),
            ("actor.id", In, value(json!(["bob"])), false),
            ("actor.id", NotIn, value(json!(["bob"])), true),
            ("actor.id", NotIn, value(json!(["bob", "ann"])), false),
            ("meta.a.b", Exists, None, true),
            ("meta.a.c", Exists, None, false),
            ("actor.meta.none", Exists, None, false),
            ("meta.a.b.c", NotExists, None, true),
            ("meta.a.b", NotExists, None, false),
            ("resource", Contains, value(json!("app:")), true),
            ("resource", Contains, value(json!("sys:")), false),
            ("actor.meta.roles", Contains, value(json!("editor")), true),
            ("actor.meta.roles", Contains, value(json!("edit")), false),
            ("actor.meta.roles", NotContains, value(json!("owner")), true),
            ("actor.meta.roles", NotContains, value(json!(7)), false),
            ("action", Matches, value(json!("^process\\.(send|link)$")), true),
            ("action", Matches, value(json!("^send")), false),
            ("action", NotMatches, value(json!("^send")), true),
            ("action", NotMatches, value(json!("send")), false),
            ("actor.id", Eq, from("meta.owner"), true),
            ("actor.meta.level", Lt, from("meta.size"), true),
            ("actor.id", Matches, from("meta.pattern"), true),
            ("action", Matches, from("meta.pattern"), false),
        ] {
            assert_eq!(ask(field, operator, operand.clone()), Ok(expected), "{field} {operator:?} {operand:?}");
        }
    }

    #[test]
    fn what_is_not_there_holds_for_no_comparison() {
        use ConditionOperator::*;
        for operator in [Eq, Ne, Lt, Gt, Lte, Gte, In, NotIn, Contains, NotContains, Matches, NotMatches] {
            assert_eq!(ask("meta.nothing", operator, value(json!([1]))), Ok(false), "{operator:?}");
            assert_eq!(ask("actor.id", operator, from("meta.nothing")), Ok(false), "{operator:?}");
        }
    }

    #[test]
    fn what_can_not_be_compared_is_an_error() {
        use ConditionOperator::*;
        for (field, operator, operand, error) in [
            ("actor.id", Lt, from("meta.size"), EvalError::Type),
            ("actor.id", In, from("meta.owner"), EvalError::Type),
            ("actor.id", NotIn, from("meta.owner"), EvalError::Type),
            ("meta.size", Contains, value(json!(1)), EvalError::Type),
            ("meta.size", NotContains, value(json!(1)), EvalError::Type),
            ("meta.size", Matches, value(json!("1")), EvalError::Type),
            ("actor.id", NotMatches, from("meta.bad"), EvalError::Pattern),
        ] {
            assert_eq!(ask(field, operator, operand), Err(error), "{field} {operator:?}");
        }
    }
}
