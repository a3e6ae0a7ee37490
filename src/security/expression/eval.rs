//! What an expression says about a request.

use std::borrow::Cow;

use super::{Function, Key, Node, Operator, Step, Value, Variable};
use crate::security::context::Request;
use crate::security::value::{EvalError, Steps, equal, has_item, order, pattern};

/// Whether a part is true.
pub(super) fn truth(node: &Node, request: &Request<'_>, steps: &mut Steps) -> Result<bool, EvalError> {
    steps.take()?;
    match node {
        Node::Not(node) => truth(node, request, steps).map(|is| !is),
        Node::And(parts) => {
            for part in parts {
                if !truth(part, request, steps)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Node::Or(parts) => {
            for part in parts {
                if truth(part, request, steps)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Node::Compare { operator, sides } => {
            let left = value(&sides[0], request, steps)?;
            let right = value(&sides[1], request, steps)?;
            compare(*operator, &left, &right, steps)
        }
        Node::Matches { text, pattern } => match &*value(text, request, steps)? {
            Value::String(text) => Ok(pattern.is_match(text)),
            _ => Err(EvalError::Type),
        },
        node => value(node, request, steps)?.as_bool().ok_or(EvalError::Type),
    }
}

fn value<'r>(node: &'r Node, request: &Request<'r>, steps: &mut Steps) -> Result<Cow<'r, Value>, EvalError> {
    steps.take()?;
    Ok(match node {
        Node::Literal(value) => Cow::Borrowed(value),
        Node::List(items) => {
            let items = items.iter().map(|item| value(item, request, steps).map(Cow::into_owned));
            Cow::Owned(Value::Array(items.collect::<Result<_, _>>()?))
        }
        Node::Variable(variable) => Cow::Owned(whole(*variable, request)),
        Node::Member { of, steps: path } => return member(of, path, request, steps),
        Node::Coalesce(parts) => {
            for part in parts {
                let value = value(part, request, steps)?;
                if !value.is_null() {
                    return Ok(value);
                }
            }
            Cow::Owned(Value::Null)
        }
        Node::Choice(parts) => {
            let [test, yes, no] = &**parts;
            let chosen = if truth(test, request, steps)? { yes } else { no };
            return value(chosen, request, steps);
        }
        Node::Call { function, argument } => {
            let argument = value(argument, request, steps)?;
            Cow::Owned(call(*function, &argument)?)
        }
        node => Cow::Owned(truth(node, request, steps)?.into()),
    })
}

fn whole(variable: Variable, request: &Request<'_>) -> Value {
    match variable {
        Variable::ActorId => request.actor.id().into(),
        Variable::Action => request.action.into(),
        Variable::Resource => request.resource.into(),
        Variable::ActorMeta => request.actor.meta().clone().into(),
        Variable::Meta => request.attributes.clone().into(),
    }
}

/// The member at the end of a path; the maps of the request are looked into where they are.
fn member<'r>(
    of: &'r Node,
    path: &'r [Step],
    request: &Request<'r>,
    steps: &mut Steps,
) -> Result<Cow<'r, Value>, EvalError> {
    let map = match of {
        Node::Variable(Variable::ActorMeta) => Some(request.actor.meta()),
        Node::Variable(Variable::Meta) => Some(request.attributes),
        _ => None,
    };
    let (mut found, rest) = match (map, path.split_first()) {
        (Some(map), Some((first, rest))) => {
            let key = key_of(&first.key, request, steps)?;
            let Some(key) = key.as_str() else { return Err(EvalError::NoMember) };
            (map.get(key).map_or(Cow::Owned(Value::Null), Cow::Borrowed), rest)
        }
        _ => (value(of, request, steps)?, path),
    };
    for Step { key, optional } in rest {
        steps.take()?;
        if *optional && found.is_null() {
            return Ok(Cow::Owned(Value::Null));
        }
        let key = key_of(key, request, steps)?;
        found = match found {
            Cow::Borrowed(of) => within(of, &key)?.map_or(Cow::Owned(Value::Null), Cow::Borrowed),
            Cow::Owned(of) => Cow::Owned(within(&of, &key)?.cloned().unwrap_or_default()),
        };
    }
    Ok(found)
}

fn key_of<'r>(key: &'r Key, request: &Request<'r>, steps: &mut Steps) -> Result<Cow<'r, Value>, EvalError> {
    match key {
        Key::Name(name) => Ok(Cow::Owned(name.as_str().into())),
        Key::Value(node) => value(node, request, steps),
    }
}

/// A member of a map, none when it has no such; an item of a list, from its end when the number is negative.
fn within<'v>(of: &'v Value, key: &Value) -> Result<Option<&'v Value>, EvalError> {
    match (of, key) {
        (Value::Object(map), Value::String(key)) => Ok(map.get(key)),
        (Value::Array(list), Value::Number(at)) => {
            let at = at.as_i64().ok_or(EvalError::NoMember)?;
            let from_end = || usize::try_from(at.unsigned_abs()).ok().and_then(|back| list.len().checked_sub(back));
            let at = if at < 0 { from_end() } else { usize::try_from(at).ok() };
            at.and_then(|at| list.get(at)).map(Some).ok_or(EvalError::NoMember)
        }
        _ => Err(EvalError::NoMember),
    }
}

fn call(function: Function, argument: &Value) -> Result<Value, EvalError> {
    Ok(match (function, argument) {
        (Function::Len, Value::String(text)) => text.chars().count().into(),
        (Function::Len, Value::Array(list)) => list.len().into(),
        (Function::Len, Value::Object(map)) => map.len().into(),
        (Function::Lower, Value::String(text)) => text.to_lowercase().into(),
        (Function::Upper, Value::String(text)) => text.to_uppercase().into(),
        _ => return Err(EvalError::Type),
    })
}

fn compare(operator: Operator, left: &Value, right: &Value, steps: &mut Steps) -> Result<bool, EvalError> {
    let texts = || match (left, right) {
        (Value::String(left), Value::String(right)) => Ok((left.as_str(), right.as_str())),
        _ => Err(EvalError::Type),
    };
    match operator {
        Operator::Equal => equal(left, right, steps),
        Operator::NotEqual => equal(left, right, steps).map(|same| !same),
        Operator::Less => order(left, right).map(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => order(left, right).map(std::cmp::Ordering::is_le),
        Operator::Greater => order(left, right).map(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => order(left, right).map(std::cmp::Ordering::is_ge),
        Operator::In => match (left, right) {
            (item, Value::Array(list)) => has_item(list, item, steps),
            (Value::String(key), Value::Object(map)) => Ok(map.contains_key(key)),
            (_, Value::Null) => Ok(false),
            _ => Err(EvalError::Type),
        },
        Operator::Contains => texts().map(|(text, part)| text.contains(part)),
        Operator::StartsWith => texts().map(|(text, start)| text.starts_with(start)),
        Operator::EndsWith => texts().map(|(text, end)| text.ends_with(end)),
        Operator::Matches => {
            let (text, written) = texts()?;
            Ok(pattern(written).map_err(|_| EvalError::Pattern)?.is_match(text))
        }
    }
}
