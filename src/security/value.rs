//! Values as policies compare them, with a bound on the work.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};

use crate::registry::Value;

/// The most work of one test: parts of it that are evaluated, and values that are compared with each other.
pub const STEPS_MAX: u32 = 10_000;

/// The longest regular expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// What a regular expression may take once it is compiled, in bytes: a few classes of Unicode fit, repetitions of
/// repetitions do not.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// How deep values are compared; deeper ones are an error.
const COMPARED_DEPTH_MAX: usize = 64;

/// Why a test could not be evaluated. Its policy does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EvalError {
    #[error("values of these types can't be compared like this")]
    Type,
    #[error("a member of something that has none")]
    NoMember,
    #[error("the test takes more than {STEPS_MAX} steps")]
    Steps,
    #[error("the pattern is no regular expression, or too large")]
    Pattern,
}

/// What is left of [`STEPS_MAX`].
pub(super) struct Steps(u32);

impl Steps {
    pub(super) fn new() -> Self {
        Self(STEPS_MAX)
    }

    pub(super) fn take(&mut self) -> Result<(), EvalError> {
        self.0 = self.0.checked_sub(1).ok_or(EvalError::Steps)?;
        Ok(())
    }
}

/// Whether two values are the same; numbers by what they count.
pub(super) fn equal(one: &Value, other: &Value, steps: &mut Steps) -> Result<bool, EvalError> {
    equal_within(one, other, COMPARED_DEPTH_MAX, steps)
}

fn equal_within(one: &Value, other: &Value, depth: usize, steps: &mut Steps) -> Result<bool, EvalError> {
    steps.take()?;
    let depth = depth.checked_sub(1).ok_or(EvalError::Steps)?;
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => Ok(order(one, other)? == Ordering::Equal),
        (Value::Array(one), Value::Array(other)) => {
            if one.len() != other.len() {
                return Ok(false);
            }
            for (one, other) in one.iter().zip(other) {
                if !equal_within(one, other, depth, steps)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Object(one), Value::Object(other)) => {
            if one.len() != other.len() {
                return Ok(false);
            }
            for (key, one) in one {
                match other.get(key) {
                    Some(other) if equal_within(one, other, depth, steps)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (one, other) => Ok(one == other),
    }
}

/// The order of two numbers or of two texts.
pub(super) fn order(one: &Value, other: &Value) -> Result<Ordering, EvalError> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let wide = |number: &serde_json::Number| {
                number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
            };
            match (wide(one), wide(other)) {
                (Some(one), Some(other)) => Ok(one.cmp(&other)),
                _ => {
                    let (one, other) = (one.as_f64(), other.as_f64());
                    one.zip(other).and_then(|(one, other)| one.partial_cmp(&other)).ok_or(EvalError::Type)
                }
            }
        }
        (Value::String(one), Value::String(other)) => Ok(one.cmp(other)),
        _ => Err(EvalError::Type),
    }
}

/// Whether a list has an item that is the same.
pub(super) fn has_item(list: &[Value], item: &Value, steps: &mut Steps) -> Result<bool, EvalError> {
    for one in list {
        if equal(one, item, steps)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A regular expression within its bounds. It is tried in time that grows with the text alone.
///
/// # Errors
/// Why it is none, in one line.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!("a regular expression of {} bytes; it may have {PATTERN_BYTES_MAX}", text.len()));
    }
    let built = RegexBuilder::new(text).size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "a regular expression that is too large once it is compiled".to_owned(),
        // Its text draws a picture over several lines; the last one says what is wrong.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("no regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn same(one: Value, other: Value) -> Result<bool, EvalError> {
        equal(&one, &other, &mut Steps::new())
    }

    #[test]
    fn values_are_the_same_by_what_they_say() {
        for (one, other, expected) in [
            (json!(1), json!(1.0), true),
            (json!(u64::MAX), json!(-1), false),
            (json!(u64::MAX), json!(u64::MAX), true),
            (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64), false),
            (json!("1"), json!(1), false),
            (json!([1, [2.0]]), json!([1.0, [2]]), true),
            (json!([1]), json!([1, 1]), false),
            (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1.0}), true),
            (json!({"a": 1}), json!({"b": 1}), false),
            (json!(null), json!(null), true),
            (json!(null), json!(false), false),
        ] {
            assert_eq!(same(one.clone(), other.clone()), Ok(expected), "{one} {other}");
        }
    }

    #[test]
    fn only_numbers_and_texts_have_an_order() {
        assert_eq!(order(&json!(1), &json!(1.5)), Ok(Ordering::Less));
        assert_eq!(order(&json!(-1), &json!(u64::MAX)), Ok(Ordering::Less));
        assert_eq!(order(&json!("b"), &json!("a")), Ok(Ordering::Greater));
        for (one, other) in [(json!(1), json!("1")), (json!(true), json!(false)), (json!([1]), json!([2]))] {
            assert_eq!(order(&one, &other), Err(EvalError::Type));
        }
    }

    #[test]
    fn comparing_has_an_end() {
        let long = json!(vec![0; STEPS_MAX as usize]);
        assert_eq!(same(long.clone(), long), Err(EvalError::Steps));
        let mut deep = json!(1);
        for _ in 0..=COMPARED_DEPTH_MAX {
            deep = json!([deep]);
        }
        assert_eq!(same(deep.clone(), deep), Err(EvalError::Steps));
    }

    #[test]
    fn patterns_are_small() {
        assert!(pattern("^a+$").unwrap().is_match("aaa"));
        assert_eq!(
            pattern(&"a".repeat(PATTERN_BYTES_MAX + 1)).unwrap_err(),
            "a regular expression of 1025 bytes; it may have 1024"
        );
        assert_eq!(pattern("(a").unwrap_err(), "no regular expression: unclosed group");
        assert!(
            pattern("((a{100}){100}){100}").unwrap_err().contains("too large"),
            "{:?}",
            pattern("((a{100}){100}){100}")
        );
    }
}
