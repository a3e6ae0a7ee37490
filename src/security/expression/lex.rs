//! The words of an expression.

use super::{ExpressionError, Value};

/// A word and where it begins, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// A name, or an operator that is a word.
    Name(String),
    /// A text or a number.
    Literal(Value),
    /// Anything else.
    Sign(&'static str),
    End,
}

impl Word {
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Literal(Value::String(text)) => format!("the text `{}`", text.escape_debug()),
            Self::Literal(value) => format!("`{value}`"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Every sign that is understood, and those of the language that are not, so that these are named as a whole; longer ones
/// before what they begin with.
const SIGNS: [&str; 34] = [
    "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "..", "**", "//", "/*", "<", ">", "!", "?", ":", ".", ",", "(",
    ")", "[", "]", "-", "+", "*", "/", "%", "^", "|", "{", "}", ";", "=",
];

/// An error, and the byte that it is about.
pub(super) type At = (ExpressionError, usize);

pub(super) fn lex(text: &str) -> Result<Vec<Token>, At> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (word, length) = match first {
            space if space.is_whitespace() => {
                at += space.len_utf8();
                continue;
            }
            '"' | '\'' => quoted(rest, first).map_err(|error| (error, at))?,
            '`' => raw(rest).map_err(|error| (error, at))?,
            digit if digit.is_ascii_digit() => number(rest).map_err(|error| (error, at))?,
            letter if letter.is_alphabetic() || letter == '_' => {
                let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                (Word::Name(rest[..length].to_owned()), length)
            }
            other => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => (Word::Sign(sign), sign.len()),
                None => return Err((ExpressionError::new(format!("unexpected `{}`", other.escape_debug())), at)),
            },
        };
        tokens.push(Token { word, at });
        at += length;
    }
    tokens.push(Token { word: Word::End, at });
    Ok(tokens)
}

fn quoted(rest: &str, quote: char) -> Result<(Word, usize), ExpressionError> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            end if end == quote => return Ok((Word::Literal(text.into()), at + 1)),
            '\\' => {
                let escaped = characters.next().map(|(_, character)| character);
                text.push(match escaped {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(same @ ('\\' | '"' | '\'' | '`')) => same,
                    Some('u') => {
                        let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                        let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| is_hex).and_then(char::from_u32);
                        code.ok_or_else(|| ExpressionError::new(format!("`\\u{digits}` is no character")))?
                    }
                    Some(other) => {
                        let error = ExpressionError::new(format!("unknown escape `\\{}`", other.escape_debug()));
                        return Err(error.suggest("a backslash is written `\\\\`, or put the text between backticks"));
                    }
                    None => break,
                });
            }
            character => text.push(character),
        }
    }
    Err(ExpressionError::new("a text that does not end").suggest(format!("close it with {quote}")))
}

fn raw(rest: &str) -> Result<(Word, usize), ExpressionError> {
    match rest[1..].find('`') {
        Some(length) => Ok((Word::Literal(rest[1..=length].into()), length + 2)),
        None => Err(ExpressionError::new("a text that does not end").suggest("close it with `")),
    }
}

fn number(rest: &str) -> Result<(Word, usize), ExpressionError> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    // A point belongs to it where a digit follows.
    if rest[length..].starts_with('.') && rest[length + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        let fraction = &rest[length + 1..];
        length += 1 + fraction.find(|c| !is_part(c)).unwrap_or(fraction.len());
    }
    let written = &rest[..length];
    let digits = written.replace('_', "");
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['+', '-'])).map(Value::from),
        None if digits.contains(|c: char| !c.is_ascii_digit()) => {
            digits.parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::from)
        }
        None => digits.parse::<i64>().ok().map(Value::from),
    };
    match value {
        Some(value) => Ok((Word::Literal(value), length)),
        None => Err(ExpressionError::new(format!("`{written}` is no number of 64 bits"))),
    }
}
