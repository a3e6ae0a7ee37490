//! One policy, ready to be asked.

use super::condition::Compiled;
use super::context::Request;
use super::expression::{Expression, ExpressionError};
use super::value::{EvalError, Steps};
use crate::registry::{Effect, EntryId, PolicySpec, PolicyTest};

/// A policy, ready to be asked.
#[derive(Debug)]
pub struct Policy {
    id: EntryId,
    actions: Vec<String>,
    resources: Vec<String>,
    effect: Effect,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// All of them hold.
    Conditions(Vec<Compiled>),
    /// It is true.
    Expression(Expression),
}

/// Why a policy can't be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPolicy {
    /// The text of a condition's `matches` is no regular expression.
    #[error("{why}")]
    Pattern {
        /// The condition's place in the list.
        condition: usize,
        /// What is wrong.
        why: String,
    },
    /// The expression is not understood.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
}

impl Policy {
    /// The policy that an entry declares.
    ///
    /// # Errors
    /// A regular expression or the expression is none.
    pub fn new(id: EntryId, spec: &PolicySpec) -> Result<Self, InvalidPolicy> {
        let test = match &spec.test {
            PolicyTest::Conditions(conditions) => {
                let compiled = conditions.iter().enumerate().map(|(at, condition)| {
                    Compiled::new(condition).map_err(|why| InvalidPolicy::Pattern { condition: at, why })
                });
                Test::Conditions(compiled.collect::<Result<_, _>>()?)
            }
            PolicyTest::Expression(text) => Test::Expression(Expression::parse(text)?),
        };
        let (actions, resources) = (spec.actions.clone(), spec.resources.clone());
        Ok(Self { id, actions, resources, effect: spec.effect, test })
    }

    /// The entry that declares it.
    #[must_use]
    pub fn id(&self) -> &EntryId {
        &self.id
    }

    /// What it says where it applies.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether it has something to say about this.
    #[must_use]
    pub fn applies(&self, request: &Request<'_>) -> bool {
        fits(&self.actions, request.action)
            && fits(&self.resources, request.resource)
            && self.test.holds(request).unwrap_or_else(|error| {
                tracing::debug!(policy = %self.id, action = request.action, %error, "a policy does not apply");
                false
            })
    }
}

impl Test {
    fn holds(&self, request: &Request<'_>) -> Result<bool, EvalError> {
        let mut steps = Steps::new();
        match self {
            Self::Conditions(conditions) => {
                for condition in conditions {
                    if !condition.holds(request, &mut steps)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Expression(expression) => expression.evaluate(request, &mut steps),
        }
    }
}

/// Whether one of the patterns is for this text.
fn fits(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_everything_a_beginning_or_itself() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("process.send", "process.send", true),
            ("process.send", "process.sen", false),
            ("process.send", "process.sends", false),
            ("process.*", "process.send", true),
            ("process.*", "process.", true),
            ("process.*", "process", false),
            ("process.*", "processes", false),
            ("app:work*", "app:worker", true),
            ("app:work*", "app:work", true),
            ("app:work*", "app:wor", false),
            ("*.read", "fs.read", false),
            ("*.read", "*.read", true),
            ("a*c", "abc", false),
            ("a*c*", "a*cd", true),
        ] {
            assert_eq!(fits(&[pattern.to_owned()], text), expected, "{pattern} {text}");
        }
        assert!(fits(&["a".into(), "b".into()], "b") && !fits(&[], "a"));
    }
}
