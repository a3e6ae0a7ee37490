//! From words to an expression, by descent: one function a strength of binding, the weakest first.

use super::lex::{At, Token, Word, lex};
use super::{
    EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX, ExpressionError, FUNCTIONS, Function, Key, Kind, Node, Operator, Step,
    Value, Variable, unknown_name,
};
use crate::security::value::pattern;

pub(super) fn parse(text: &str) -> Result<Node, ExpressionError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let problem = format!("it has {} bytes, and may have {EXPRESSION_BYTES_MAX}", text.len());
        return Err(ExpressionError::new(problem).suggest("make several policies of it"));
    }
    let read = || {
        let mut parser = Parser { tokens: lex(text)?, next: 0, depth: 0 };
        let node = parser.choice()?;
        if parser.peek().word != Word::End {
            return Err(parser.unexpected());
        }
        if !node.kind().may_be(&[Kind::Truth]) {
            let problem = format!("it is {}, and neither true nor false", node.kind().word());
            return Err((ExpressionError::new(problem).suggest("compare it with something"), usize::MAX));
        }
        Ok(node)
    };
    read().map_err(|(error, at): At| {
        let at = (at != usize::MAX).then(|| text[..at].chars().count() + 1);
        ExpressionError { at, ..error }
    })
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        // The last one is the end, which nobody takes.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    /// Takes the next word if it is this sign or this name.
    fn takes(&mut self, wanted: &str) -> bool {
        let is_it = match &self.peek().word {
            Word::Sign(sign) => *sign == wanted,
            Word::Name(name) => name == wanted,
            _ => false,
        };
        if is_it {
            self.next += 1;
        }
        is_it
    }

    fn expect(&mut self, sign: &str) -> Result<(), At> {
        if self.takes(sign) {
            return Ok(());
        }
        let (error, at) = self.unexpected();
        Err((ExpressionError { problem: format!("{}, expected `{sign}`", error.problem), ..error }, at))
    }

    fn unexpected(&self) -> At {
        let Token { word, at } = self.peek();
        let error = ExpressionError::new(format!("unexpected {}", word.shown()));
        let error = match word {
            Word::Sign("/*" | "//") => error.suggest("comments are written in YAML, after a `#`"),
            _ => error,
        };
        (error, *at)
    }

    /// One level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, At>) -> Result<T, At> {
        if self.depth == EXPRESSION_DEPTH_MAX {
            let problem = format!("it nests deeper than {EXPRESSION_DEPTH_MAX}");
            return Err((ExpressionError::new(problem).suggest("make several policies of it"), self.peek().at));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// `a ? b : c`
    fn choice(&mut self) -> Result<Node, At> {
        self.nested(|parser| {
            let at = parser.peek().at;
            let test = parser.any_of()?;
            if !parser.takes("?") {
                return Ok(test);
            }
            truth(&test, "?", at)?;
            let yes = parser.choice()?;
            parser.expect(":")?;
            let no = parser.choice()?;
            Ok(Node::Choice(Box::new([test, yes, no])))
        })
    }

    /// `a or b or c`
    fn any_of(&mut self) -> Result<Node, At> {
        self.chain(["or", "||"], Self::all_of, Node::Or)
    }

    /// `a and b and c`
    fn all_of(&mut self) -> Result<Node, At> {
        self.chain(["and", "&&"], Self::comparison, Node::And)
    }

    fn chain(
        &mut self,
        words: [&str; 2],
        read: fn(&mut Self) -> Result<Node, At>,
        make: fn(Vec<Node>) -> Node,
    ) -> Result<Node, At> {
        let at = self.peek().at;
        let first = read(self)?;
        if !words.into_iter().any(|word| self.takes(word)) {
            return Ok(first);
        }
        truth(&first, words[0], at)?;
        let mut parts = vec![first];
        loop {
            let at = self.peek().at;
            let part = read(self)?;
            truth(&part, words[0], at)?;
            parts.push(part);
            if !words.into_iter().any(|word| self.takes(word)) {
                return Ok(make(parts));
            }
        }
    }

    fn comparison(&mut self) -> Result<Node, At> {
        let left = self.unary()?;
        let at = self.peek().at;
        let Some((operator, negated)) = self.operator() else { return Ok(left) };
        let right = self.unary()?;
        if !operator.fits(left.kind(), right.kind()) {
            let (left, right) = (left.kind().word(), right.kind().word());
            let problem = format!("`{}` can't compare {left} with {right}", operator.word());
            let error = ExpressionError::new(problem).suggest("such values have no order, and neither is in the other");
            return Err((error, at));
        }
        let node = match (operator, right) {
            (Operator::Matches, Node::Literal(Value::String(text))) => {
                let pattern = pattern(&text).map_err(|why| {
                    (ExpressionError::new(why).suggest("there are no look-around and no back-references"), at)
                })?;
                Node::Matches { text: Box::new(left), pattern }
            }
            (operator, right) => Node::Compare { operator, sides: Box::new([left, right]) },
        };
        let again = self.peek().at;
        if self.operator().is_some() {
            let error = ExpressionError::new("a comparison of a comparison");
            return Err((error.suggest("join two comparisons with `and`"), again));
        }
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    /// The operator of a comparison, and whether `not` stands before it.
    fn operator(&mut self) -> Option<(Operator, bool)> {
        let found = match &self.peek().word {
            Word::Sign("==") => Operator::Equal,
            Word::Sign("!=") => Operator::NotEqual,
            Word::Sign("<") => Operator::Less,
            Word::Sign("<=") => Operator::LessOrEqual,
            Word::Sign(">") => Operator::Greater,
            Word::Sign(">=") => Operator::GreaterOrEqual,
            Word::Name(name) if name == "not" => {
                let Some(Token { word: Word::Name(name), .. }) = self.tokens.get(self.next + 1) else { return None };
                let operator = Operator::of_word(name)?;
                self.next += 2;
                return Some((operator, true));
            }
            Word::Name(name) => Operator::of_word(name)?,
            _ => return None,
        };
        self.next += 1;
        Some((found, false))
    }

    fn unary(&mut self) -> Result<Node, At> {
        if self.takes("not") || self.takes("!") {
            return self.nested(|parser| {
                let at = parser.peek().at;
                let node = parser.unary()?;
                truth(&node, "not", at)
                    .map_err(|(error, at)| (error.suggest("put the comparison behind `not` into parentheses"), at))?;
                Ok(Node::Not(Box::new(node)))
            });
        }
        let first = self.postfix()?;
        let mut parts = vec![first];
        while self.takes("??") {
            parts.push(self.postfix()?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Node::Coalesce(parts),
        })
    }

    /// A value and the members after it.
    fn postfix(&mut self) -> Result<Node, At> {
        let at = self.peek().at;
        let of = self.primary()?;
        let mut steps = Vec::new();
        loop {
            let optional = self.takes("?.");
            if self.takes("[") {
                let key = self.choice()?;
                self.expect("]")?;
                steps.push(Step { key: Key::Value(key), optional });
            } else if optional || self.takes(".") {
                let Word::Name(name) = self.peek().word.clone() else { return Err(self.unexpected()) };
                self.next += 1;
                steps.push(Step { key: Key::Name(name), optional });
            } else {
                break;
            }
        }
        if steps.is_empty() {
            return Ok(of);
        }
        if !of.kind().may_be(&[Kind::Map, Kind::List]) {
            return Err((ExpressionError::new(format!("{} has no members", of.kind().word())), at));
        }
        Ok(Node::Member { of: Box::new(of), steps })
    }

    fn primary(&mut self) -> Result<Node, At> {
        let token = self.peek().clone();
        match token.word {
            Word::Literal(value) => {
                self.next += 1;
                Ok(Node::Literal(value))
            }
            Word::Sign("-") => {
                self.next += 1;
                match self.peek().word.clone() {
                    Word::Literal(Value::Number(number)) => {
                        self.next += 1;
                        let whole = number.as_i64().map(|number| Value::from(-number));
                        Ok(Node::Literal(whole.or_else(|| Some((-number.as_f64()?).into())).unwrap_or_default()))
                    }
                    _ => Err(self.unexpected()),
                }
            }
            Word::Sign("(") => {
                self.next += 1;
                let node = self.choice()?;
                self.expect(")")?;
                Ok(node)
            }
            Word::Sign("[") => {
                self.next += 1;
                let mut items = Vec::new();
                while !self.takes("]") {
                    items.push(self.choice()?);
                    if !self.takes(",") {
                        self.expect("]")?;
                        break;
                    }
                }
                Ok(Node::List(items))
            }
            Word::Name(name) => {
                self.next += 1;
                self.name(&name, token.at)
            }
            Word::Sign(_) | Word::End => Err(self.unexpected()),
        }
    }

    fn name(&mut self, name: &str, at: usize) -> Result<Node, At> {
        if let Some((_, function)) = FUNCTIONS.into_iter().find(|(known, _)| *known == name) {
            return self.call(name, function, at);
        }
        Ok(match name {
            "true" => Node::Literal(true.into()),
            "false" => Node::Literal(false.into()),
            "nil" => Node::Literal(Value::Null),
            "action" => Node::Variable(Variable::Action),
            "resource" => Node::Variable(Variable::Resource),
            "meta" => Node::Variable(Variable::Meta),
            "actor" => Node::Variable(self.of_actor(at)?),
            name => return Err((unknown_name(name), at)),
        })
    }

    /// `.id` or `.meta`: there is nothing else of an actor, and it is never as a whole.
    fn of_actor(&mut self, at: usize) -> Result<Variable, At> {
        let name = match self.takes(".") || self.takes("?.") {
            true => match self.peek().word.clone() {
                Word::Name(name) => Some(name),
                _ => None,
            },
            false => None,
        };
        let variable = match name.as_deref() {
            Some("id") => Variable::ActorId,
            Some("meta") => Variable::ActorMeta,
            _ => {
                let error = ExpressionError::new("an `actor` has `id` and `meta`, and nothing else");
                return Err((error.suggest("write `actor.id` or `actor.meta.…`"), at));
            }
        };
        self.next += 1;
        Ok(variable)
    }

    fn call(&mut self, name: &str, function: Function, at: usize) -> Result<Node, At> {
        self.expect("(")?;
        let argument = self.choice()?;
        self.expect(")")?;
        let kinds: &[Kind] = match function {
            Function::Len => &[Kind::Text, Kind::List, Kind::Map],
            Function::Lower | Function::Upper => &[Kind::Text],
        };
        if !argument.kind().may_be(kinds) {
            return Err((ExpressionError::new(format!("`{name}` of {}", argument.kind().word())), at));
        }
        Ok(Node::Call { function, argument: Box::new(argument) })
    }
}

/// Refuses what can never be true or false.
fn truth(node: &Node, operator: &str, at: usize) -> Result<(), At> {
    if node.kind().may_be(&[Kind::Truth]) {
        return Ok(());
    }
    Err((ExpressionError::new(format!("`{operator}` needs a truth value, not {}", node.kind().word())), at))
}
