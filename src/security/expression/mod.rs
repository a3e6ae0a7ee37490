//! The expressions of `security.policy.expr`: a part of expr-lang, read once and evaluated without an allocation in the
//! common case.
//!
//! | What | Written |
//! |---|---|
//! | values of the request | `actor.id`, `actor.meta.…`, `action`, `resource`, `meta.…` |
//! | members | `.name`, `?.name`, `["name"]`, `[0]`, `[-1]`; one that is missing is `nil` |
//! | literals | `"text"`, `'text'`, `` `text` ``, `12`, `0x1f`, `-1.5`, `true`, `false`, `nil`, `[1, 2]` |
//! | comparisons | `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `contains`, `startsWith`, `endsWith`, `matches`; the last five with `not` before them, too |
//! | truth | `and` or `&&`, `or` or `||`, `not` or `!`, `a ? b : c` |
//! | defaults | `a ?? b` |
//! | functions | `len`, `lower`, `upper` |
//!
//! Everything else of that language – arithmetic, ranges, slices, maps, pipes, predicates, variables, its other functions,
//! comments – is an error when the application is checked, and so is a comparison that could never be one. `not` and `!`
//! bind to the value behind them, as there: a comparison behind one needs parentheses.
//!
//! It is our own because what there is has no bounds: nested brackets go as deep as the stack, ranges make lists of any
//! length, and a name that is unknown shows when somebody is refused.

mod eval;
mod lex;
mod parse;

use regex::Regex;

use super::context::Request;
use super::value::{EvalError, Steps};
use crate::registry::Value;
use crate::suggest::closest;

/// The longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;

/// How deep an expression may nest.
pub const EXPRESSION_DEPTH_MAX: usize = 32;

/// An expression, ready to be evaluated.
///
/// ```
/// use wippy::security::Expression;
///
/// assert!(Expression::parse("actor.meta.role in ['admin', 'auditor'] or meta.size < 100").is_ok());
/// let error = Expression::parse("actor.meta.level + 1 > 5").unwrap_err();
/// assert_eq!(error.to_string(), "unexpected `+` at character 18");
/// ```
#[derive(Debug)]
pub struct Expression(Node);

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}", .at.map_or_else(String::new, |at| format!(" at character {at}")))]
pub struct ExpressionError {
    /// What is wrong.
    pub problem: String,
    /// Where, in characters from 1; none when it is about the whole.
    pub at: Option<usize>,
    /// What was probably meant, or what to do.
    pub suggestion: Option<String>,
}

impl ExpressionError {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), at: None, suggestion: None }
    }

    fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// What to do about it, in one line.
    pub(super) fn help(&self) -> String {
        self.suggestion.clone().unwrap_or_else(|| {
            "understood are comparisons, `in`, `contains`, `startsWith`, `endsWith`, `matches`, `and`, `or`, `not`, `? :`, `??` \
             and the values `actor.id`, `actor.meta.…`, `action`, `resource`, `meta.…`"
                .to_owned()
        })
    }
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is not understood, longer than [`EXPRESSION_BYTES_MAX`], nests deeper than [`EXPRESSION_DEPTH_MAX`], or can be
    /// neither true nor false.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        parse::parse(text).map(Self)
    }

    /// Whether it is true.
    pub(super) fn evaluate(&self, request: &Request<'_>, steps: &mut Steps) -> Result<bool, EvalError> {
        eval::truth(&self.0, request, steps)
    }
}

/// A part of an expression. Chains are flat, so that only brackets make it deep.
#[derive(Debug)]
enum Node {
    Literal(Value),
    List(Vec<Node>),
    Variable(Variable),
    Member {
        of: Box<Node>,
        steps: Vec<Step>,
    },
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    /// The first that is not nil.
    Coalesce(Vec<Node>),
    Choice(Box<[Node; 3]>),
    Compare {
        operator: Operator,
        sides: Box<[Node; 2]>,
    },
    /// A regular expression that is written.
    Matches {
        text: Box<Node>,
        pattern: Regex,
    },
    Call {
        function: Function,
        argument: Box<Node>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    ActorId,
    ActorMeta,
    Action,
    Resource,
    Meta,
}

#[derive(Debug)]
struct Step {
    key: Key,
    /// Of nil it is nil, and so is the rest.
    optional: bool,
}

#[derive(Debug)]
enum Key {
    Name(String),
    Value(Node),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Len,
    Lower,
    Upper,
}

/// What is known of a value before it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Truth,
    Number,
    Text,
    List,
    Map,
    Nil,
    /// Anything.
    Unknown,
}

impl Node {
    fn kind(&self) -> Kind {
        match self {
            Self::Literal(Value::Bool(_)) => Kind::Truth,
            Self::Literal(Value::Number(_)) => Kind::Number,
            Self::Literal(Value::String(_)) => Kind::Text,
            Self::Literal(Value::Null) => Kind::Nil,
            Self::Literal(Value::Object(_)) => Kind::Map,
            Self::Literal(Value::Array(_)) | Self::List(_) => Kind::List,
            Self::Variable(Variable::ActorId | Variable::Action | Variable::Resource) => Kind::Text,
            Self::Variable(Variable::ActorMeta | Variable::Meta) => Kind::Map,
            Self::Not(_) | Self::And(_) | Self::Or(_) | Self::Compare { .. } | Self::Matches { .. } => Kind::Truth,
            Self::Call { function: Function::Len, .. } => Kind::Number,
            Self::Call { function: Function::Lower | Function::Upper, .. } => Kind::Text,
            Self::Member { .. } | Self::Coalesce(_) | Self::Choice(_) => Kind::Unknown,
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Truth => "a truth value",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Nil => "nil",
            Self::Unknown => "anything",
        }
    }

    /// Whether it may turn out to be one of these.
    fn may_be(self, kinds: &[Self]) -> bool {
        self == Self::Unknown || kinds.contains(&self)
    }
}

impl Operator {
    fn word(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Matches => "matches",
        }
    }

    /// Those that are words, which `not` may stand before.
    fn of_word(word: &str) -> Option<Self> {
        let words = [Self::In, Self::Contains, Self::StartsWith, Self::EndsWith, Self::Matches];
        words.into_iter().find(|operator| operator.word() == word)
    }

    /// Whether two kinds of values can be compared like this at all.
    fn fits(self, left: Kind, right: Kind) -> bool {
        match self {
            Self::Equal | Self::NotEqual => true,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => {
                [Kind::Number, Kind::Text].iter().any(|kind| left.may_be(&[*kind]) && right.may_be(&[*kind]))
            }
            Self::In => right.may_be(&[Kind::List, Kind::Map, Kind::Nil]),
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::Matches => {
                left.may_be(&[Kind::Text]) && right.may_be(&[Kind::Text])
            }
        }
    }
}

const FUNCTIONS: [(&str, Function); 3] =
    [("len", Function::Len), ("lower", Function::Lower), ("upper", Function::Upper)];

/// A name that means nothing.
fn unknown_name(name: &str) -> ExpressionError {
    let known = ["actor", "action", "resource", "meta", "true", "false", "nil", "not", "len", "lower", "upper"];
    let error = ExpressionError::new(format!("unknown name `{name}`"));
    match closest(name, known) {
        Some(meant) => error.suggest(format!("did you mean `{meant}`?")),
        None => error,
    }
}

#[cfg(test)]
mod tests;
