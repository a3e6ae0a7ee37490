//! What the words and signs of a script tell before it is parsed: its depth, what is never closed, what only Luau has,
//! and the places that both grammars read in their own way.

use full_moon::tokenizer::{Lexer, LexerResult, Symbol, Token, TokenType};

use super::annotations::version;
use super::{MAX_NESTING, MAX_OPERATORS, MAX_TOKENS, SyntaxError, place};

/// A word or a sign of the script, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a word is, as far as this pass tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    Text,
    /// A text in backticks, or a part of one.
    Interpolated,
    /// `(`, `[`, `{`.
    Open(char),
    /// `)`, `]`, `}`.
    Close(char),
    Sign(Symbol),
}

impl Kind {
    fn of(token: &TokenType) -> Option<Self> {
        Some(match token {
            TokenType::Identifier { .. } => Self::Name,
            TokenType::Number { .. } => Self::Number,
            TokenType::StringLiteral { .. } => Self::Text,
            TokenType::InterpolatedString { .. } => Self::Interpolated,
            TokenType::Symbol { symbol } => match symbol {
                Symbol::LeftParen => Self::Open('('),
                Symbol::LeftBracket => Self::Open('['),
                Symbol::LeftBrace => Self::Open('{'),
                Symbol::RightParen => Self::Close(')'),
                Symbol::RightBracket => Self::Close(']'),
                Symbol::RightBrace => Self::Close('}'),
                other => Self::Sign(*other),
            },
            _ => return None,
        })
    }

    /// Whether an expression can end with it.
    fn ends_expression(self) -> bool {
        match self {
            Self::Name | Self::Number | Self::Text | Self::Interpolated | Self::Close(_) => true,
            Self::Sign(symbol) => {
                matches!(symbol, Symbol::End | Symbol::Nil | Symbol::True | Symbol::False | Symbol::Ellipsis)
            }
            Self::Open(_) => false,
        }
    }

    /// Whether a statement begins behind it, so that a `;` there ends none.
    fn begins_statement(self) -> bool {
        use Symbol as S;
        matches!(self, Self::Sign(S::Semicolon | S::Do | S::Then | S::Else | S::Repeat | S::TwoColons))
    }

    /// Whether an expression must follow it.
    fn wants_expression(self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Sign(symbol) => {
                is_operator(symbol)
                    || matches!(
                        symbol,
                        Symbol::Equal
                            | Symbol::Comma
                            | Symbol::Return
                            | Symbol::In
                            | Symbol::Until
                            | Symbol::While
                            | Symbol::If
                            | Symbol::ElseIf
                    )
            }
            _ => false,
        }
    }
}

const TWO_COLONS: Kind = Kind::Sign(Symbol::TwoColons);

/// The signs that make the parser go a step deeper.
fn is_operator(symbol: Symbol) -> bool {
    use Symbol as S;
    matches!(
        symbol,
        S::And
            | S::Or
            | S::Not
            | S::Plus
            | S::Minus
            | S::Star
            | S::Slash
            | S::DoubleSlash
            | S::Percent
            | S::Caret
            | S::TwoDots
            | S::TwoEqual
            | S::TildeEqual
            | S::LessThan
            | S::LessThanEqual
            | S::GreaterThan
            | S::GreaterThanEqual
            | S::DoubleLessThan
            | S::DoubleGreaterThan
            | S::Ampersand
            | S::Pipe
            | S::Tilde
            | S::Hash
            | S::QuestionMark
            | S::ThinArrow
            | S::TwoColons
    )
}

/// The signs at which no operator before waits for one behind.
fn begins_anew(symbol: Symbol) -> bool {
    use Symbol as S;
    matches!(
        symbol,
        S::Equal
            | S::Comma
            | S::Semicolon
            | S::PlusEqual
            | S::MinusEqual
            | S::StarEqual
            | S::SlashEqual
            | S::DoubleSlashEqual
            | S::PercentEqual
            | S::CaretEqual
            | S::TwoDotsEqual
            | S::Local
            | S::Return
            | S::Then
            | S::Else
            | S::ElseIf
            | S::Do
            | S::If
            | S::While
            | S::For
            | S::In
            | S::Goto
            | S::Break
    )
}

/// The words of a script, without comments.
///
/// # Errors
/// A text or comment without an end, a character that no word has, or more words than [`MAX_TOKENS`].
pub(super) fn words(source: &str) -> Result<Vec<Word>, Box<SyntaxError>> {
    let mut lexer = Lexer::new_lazy(source, version());
    let mut words = Vec::new();
    while let Some(next) = lexer.process_next() {
        let token: Token = match next {
            LexerResult::Ok(token) => token,
            LexerResult::Fatal(errors) | LexerResult::Recovered(_, errors) => {
                let Some(error) = errors.first() else { continue };
                let (start, end) = error.range();
                return Err(place::error(source, start.bytes()..end.bytes(), error.error().to_string()));
            }
        };
        let Some(kind) = Kind::of(token.token_type()) else { continue };
        let (start, end) = (token.start_position().bytes(), token.end_position().bytes());
        if words.len() >= MAX_TOKENS {
            let message = format!("the script has more than {MAX_TOKENS} words and signs");
            return Err(help(place::error(source, start..end, message), "split it into libraries"));
        }
        words.push(Word { kind, start, end });
    }
    Ok(words)
}

/// What the parser must be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Offsets of labels that could be read as casts.
    pub(super) labels: Vec<usize>,
    /// The lines of those that may have been meant as the first of two casts.
    pub(super) second_casts: Vec<usize>,
    /// Offsets of the second half of each `>>` that may close two lists of types.
    pub(super) closers: Vec<usize>,
    /// The first bracket or block that is not closed by its own.
    pub(super) unpaired: Option<Unpaired>,
}

/// What does not pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unpaired {
    pub(super) error: Box<SyntaxError>,
    /// Whether it is an opener that nothing closes, which is seen at the end of the script.
    pub(super) at_end: bool,
}

impl Unpaired {
    /// Whether it is seen later than what the parser found. Of a block without its end the parser says no more than that it
    /// expected one.
    pub(super) fn comes_after(&self, found: &SyntaxError) -> bool {
        if found.message.starts_with("expected `end`") {
            return false;
        }
        self.at_end || (found.line, found.column) < (self.error.line, self.error.column)
    }
}

/// None for a script without a word.
///
/// # Errors
/// What nests too deep, or is of Luau alone and seen without parsing.
pub(super) fn scan(source: &str, words: &[Word]) -> Result<Option<Scanned>, Box<SyntaxError>> {
    if words.is_empty() {
        return Ok(None);
    }
    let unpaired = nesting(source, words)?;
    let labels = labels(words);
    Ok(Some(Scanned { second_casts: second_casts(source, words, &labels), labels, closers: closers(words), unpaired }))
}

fn help(mut error: Box<SyntaxError>, help: &str) -> Box<SyntaxError> {
    error.help = Some(help.to_owned());
    error
}

/// A bracket or block that is open, and the operators waiting in it.
struct Level {
    opener: Word,
    /// What closes it.
    closer: Kind,
    operators: usize,
}

/// No bracket or block nests too deep, and there is no `if`, number or text that only Luau has. The answer is the first that
/// is not closed by its own: from there on nothing counts as closed, so that the depth is never taken for less than it is.
fn nesting(source: &str, words: &[Word]) -> Result<Option<Unpaired>, Box<SyntaxError>> {
    let mut levels: Vec<Level> = Vec::new();
    let mut unpaired: Option<Unpaired> = None;
    // Those of the script's own level, and those of all levels.
    let (mut outermost, mut all) = (0_usize, 0_usize);
    let fail = |word: &Word, message: String| place::error(source, word.start..word.end, message);
    let mut before: Option<Kind> = None;
    for word in words {
        let text = &source[word.start..word.end];
        if let Some(message) = luau_only(word.kind, text, before) {
            return Err(help(fail(word, format!("{} is Luau and not of this dialect", message.0)), message.1));
        }
        let opens = match word.kind {
            Kind::Open('(') => Some(Kind::Close(')')),
            Kind::Open('[') => Some(Kind::Close(']')),
            Kind::Open(_) => Some(Kind::Close('}')),
            Kind::Sign(Symbol::Function | Symbol::If | Symbol::Do) => Some(Kind::Sign(Symbol::End)),
            Kind::Sign(Symbol::Repeat) => Some(Kind::Sign(Symbol::Until)),
            _ => None,
        };
        if let Some(closer) = opens {
            if levels.len() >= MAX_NESTING {
                if let Some(unpaired) = unpaired {
                    return Err(unpaired.error);
                }
                let message = format!("blocks and brackets nest deeper than {MAX_NESTING} levels");
                return Err(help(fail(word, message), "move inner parts into functions of their own"));
            }
            levels.push(Level { opener: *word, closer, operators: 0 });
        }
        if matches!(word.kind, Kind::Close(_) | Kind::Sign(Symbol::End | Symbol::Until)) {
            match levels.pop_if(|level| level.closer == word.kind && unpaired.is_none()) {
                Some(level) => all -= level.operators,
                None => {
                    unpaired.get_or_insert_with(|| {
                        let message = match levels.last() {
                            Some(level) => format!("`{text}` does not close {}", opened(source, level.opener)),
                            None => format!("`{text}` closes nothing"),
                        };
                        Unpaired { error: fail(word, message), at_end: false }
                    });
                }
            }
        }
        if let Kind::Sign(symbol) = word.kind {
            let waiting = levels.last_mut().map_or(&mut outermost, |level| &mut level.operators);
            if begins_anew(symbol) {
                all -= *waiting;
                *waiting = 0;
            } else if is_operator(symbol) {
                *waiting += 1;
                all += 1;
            }
            if all > MAX_OPERATORS {
                let message = format!("more than {MAX_OPERATORS} operators wait for each other");
                return Err(help(
                    fail(word, message),
                    "split the expression, or collect its parts with `table.concat`",
                ));
            }
        }
        before = Some(word.kind);
    }
    if let (Some(level), None) = (levels.last(), &unpaired) {
        let closer = match level.closer {
            Kind::Close(closer) => closer.to_string(),
            Kind::Sign(Symbol::Until) => "until".to_owned(),
            _ => "end".to_owned(),
        };
        let text = &source[level.opener.start..level.opener.end];
        let error = fail(&level.opener, format!("`{text}` is never closed: expected `{closer}`"));
        unpaired = Some(Unpaired { error, at_end: true });
    }
    Ok(unpaired)
}

fn opened(source: &str, opener: Word) -> String {
    let line = source[..opener.start].matches('\n').count() + 1;
    format!("the `{}` of line {line}", &source[opener.start..opener.end])
}

/// What is of Luau alone, and the way to write it.
fn luau_only(kind: Kind, text: &str, before: Option<Kind>) -> Option<(String, &'static str)> {
    match kind {
        Kind::Interpolated => {
            Some(("a text in backticks".to_owned(), "write `string.format(…)` or join texts with `..`"))
        }
        Kind::Number if text.contains('_') => Some((format!("`{text}`"), "leave the `_` out")),
        Kind::Number if text.starts_with("0b") || text.starts_with("0B") => {
            Some((format!("`{text}`"), "write it with `0x`"))
        }
        Kind::Sign(Symbol::If) => before
            .is_some_and(Kind::wants_expression)
            .then(|| ("`if` in an expression".to_owned(), "write `condition and a or b`, or a statement")),
        _ => None,
    }
}

/// `::name::` behind something that a cast could follow: a label, unless the next is a name with `::` behind it, which makes
/// this the cast in front of that label.
fn labels(words: &[Word]) -> Vec<usize> {
    let is_label = |at: usize| {
        let kind = |offset: usize| words.get(at + offset).map(|word| word.kind);
        kind(0) == Some(TWO_COLONS) && kind(1) == Some(Kind::Name) && kind(2) == Some(TWO_COLONS)
    };
    let mut labels = Vec::new();
    let mut at = 1;
    while at < words.len() {
        if !is_label(at) {
            at += 1;
        } else if is_label(at + 2) {
            at += 2;
        } else {
            if words[at - 1].kind.ends_expression() {
                labels.push(words[at].start);
            }
            at += 3;
        }
    }
    labels
}

/// The lines of labels with a word before and one behind: `x ::any:: T`.
fn second_casts(source: &str, words: &[Word], labels: &[usize]) -> Vec<usize> {
    let mut line = 1;
    let mut counted = 0;
    let mut lines = Vec::new();
    for start in labels {
        let at = words.partition_point(|word| word.start < *start);
        let (Some(before), Some(behind)) = (words.get(at.wrapping_sub(1)), words.get(at + 3)) else { continue };
        if !source[before.end..behind.start].contains('\n') {
            line += source[counted..*start].matches('\n').count();
            counted = *start;
            lines.push(line);
        }
    }
    lines
}

/// `>>` with two `<` open before it, `>=` with one, and nothing between that types do not have.
fn closers(words: &[Word]) -> Vec<usize> {
    let mut closers = Vec::new();
    // How many `<` are open.
    let mut open = 0_usize;
    let mut before = None;
    for word in words {
        match word.kind {
            Kind::Sign(Symbol::LessThan) if before == Some(Kind::Name) => open += 1,
            Kind::Sign(Symbol::GreaterThan) => open = open.saturating_sub(1),
            Kind::Sign(Symbol::DoubleGreaterThan) if open >= 2 => {
                closers.push(word.start + 1);
                closers.push(word.end);
                open -= 2;
            }
            Kind::Sign(Symbol::GreaterThanEqual) if open >= 1 => {
                closers.push(word.start + 1);
                open -= 1;
            }
            Kind::Name | Kind::Text | Kind::Open(_) | Kind::Close(_) => {}
            Kind::Sign(
                Symbol::Dot
                | Symbol::Comma
                | Symbol::Colon
                | Symbol::QuestionMark
                | Symbol::Pipe
                | Symbol::Ampersand
                | Symbol::ThinArrow
                | Symbol::Ellipsis
                | Symbol::Nil
                | Symbol::True
                | Symbol::False,
            ) => {}
            _ => open = 0,
        }
        before = Some(word.kind);
    }
    closers
}

/// The script with spaces for what Lua has and the parser has not: a `;` that stands alone, and an attribute in front of a
/// type, as in `local x <const>: number`.
pub(super) fn without_unknown(source: &str, words: &[Word]) -> String {
    let mut text = source.as_bytes().to_vec();
    // For each open bracket, whether it is that of parameters.
    let mut brackets = Vec::new();
    let mut in_head = false;
    let mut begins_statement = true;
    for (at, word) in words.iter().enumerate() {
        let before = |steps: usize| at.checked_sub(steps).map(|at| words[at]);
        let is_alone = begins_statement;
        begins_statement = word.kind.begins_statement();
        match word.kind {
            Kind::Sign(Symbol::Semicolon) if is_alone => text[word.start] = b' ',
            Kind::Sign(Symbol::Function) => in_head = true,
            Kind::Open(_) => brackets.push(std::mem::take(&mut in_head)),
            Kind::Close(_) => begins_statement = brackets.pop() == Some(true),
            Kind::Sign(Symbol::Colon) => {
                let [Some(open), Some(name), Some(close)] = [before(3), before(2), before(1)] else { continue };
                let is_attribute = open.kind == Kind::Sign(Symbol::LessThan)
                    && close.kind == Kind::Sign(Symbol::GreaterThan)
                    && matches!(&source[name.start..name.end], "const" | "close");
                if is_attribute {
                    text[open.start..close.end].fill(b' ');
                }
            }
            _ => {}
        }
    }
    // Whole words of ASCII became spaces.
    String::from_utf8(text).unwrap_or_else(|_| source.to_owned())
}
