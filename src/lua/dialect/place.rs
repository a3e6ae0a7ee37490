//! Places: between the script and what the parser is given, errors at a line, spans that become spaces.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::{Kind, Word};
use super::{MAX_LINE_CHARS, SyntaxError};

/// The script as the parser is given it: with characters in it that make ambiguous places clear.
pub(super) struct Prepared {
    pub(super) text: String,
    /// The offsets in `text` of what the script does not have, in order; each is one byte.
    inserted: Vec<usize>,
}

impl Prepared {
    /// With a `;` before each of `labels` and a space before each of `closers`; both are offsets, in order.
    pub(super) fn new(source: &str, labels: &[usize], closers: &[usize]) -> Self {
        let mut insertions: Vec<(usize, char)> = labels.iter().map(|at| (*at, ';')).collect();
        insertions.extend(closers.iter().map(|at| (*at, ' ')));
        insertions.sort_unstable();
        let mut text = String::with_capacity(source.len() + insertions.len());
        let mut inserted = Vec::with_capacity(insertions.len());
        let mut done = 0;
        for (at, character) in insertions {
            text.push_str(&source[done..at]);
            inserted.push(text.len());
            text.push(character);
            done = at;
        }
        text.push_str(&source[done..]);
        Self { text, inserted }
    }

    /// The offset in the script.
    pub(super) fn original(&self, at: usize) -> usize {
        at - self.inserted.partition_point(|inserted| *inserted < at)
    }
}

/// What is taken out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Annotation {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) sort: Sort,
}

/// What is left where an annotation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// A statement of its own: a `;`.
    Declaration,
    /// The end of an expression: a `;` where the next statement would go on with it.
    Cast,
    /// Anything else: a space.
    Type,
}

/// The script with spaces for annotations.
pub(super) fn blank<'s>(source: &'s str, annotations: &[Annotation], words: &[Word]) -> Cow<'s, str> {
    if annotations.is_empty() {
        return Cow::Borrowed(source);
    }
    let mut text = String::with_capacity(source.len());
    let mut done = 0;
    for Annotation { start, end, sort } in annotations {
        text.push_str(&source[done..*start]);
        let mut characters = source[*start..*end].chars();
        let ends_statement = match sort {
            Sort::Declaration => true,
            Sort::Cast => {
                let next = words.partition_point(|word| word.start < *end);
                words.get(next).is_some_and(|word| word.kind == Kind::Open('('))
            }
            Sort::Type => false,
        };
        if ends_statement && characters.next().is_some() {
            text.push(';');
        }
        text.extend(characters.map(|character| if matches!(character, '\n' | '\r') { character } else { ' ' }));
        done = *end;
    }
    text.push_str(&source[done..]);
    Cow::Owned(text)
}

/// An error at a range of the script's bytes. A range that is not in the script gets the nearest place.
pub(super) fn error(source: &str, range: Range<usize>, message: String) -> Box<SyntaxError> {
    let mut at = range.start.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = source[..start].matches('\n').count() + 1;
    let end = source[start..].find('\n').map_or(source.len(), |length| start + length);
    let shown = source[start..end].trim_end_matches('\r');
    let meant = &source[at..range.end.clamp(at, end).max(at)];
    Box::new(SyntaxError {
        line,
        column: source[start..at].chars().count() + 1,
        len: meant.trim_end().chars().count().max(1),
        line_text: shown.chars().take(MAX_LINE_CHARS).collect(),
        message,
        help: None,
    })
}
