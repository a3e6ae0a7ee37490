//! Where a value was written.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Where something was written: file, line, column, and the text of that line for a message with a caret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The file, as it was found (below the application folder in most cases).
    #[serde(serialize_with = "path_text")]
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text of the line, without its end and cut at 512 characters.
    #[serde(serialize_with = "shared_text")]
    pub line_text: Arc<str>,
    /// How many characters of the line are meant; at least 1.
    pub len: usize,
}

/// Names that are no Unicode are shown with replacement characters: a report never fails.
fn path_text<S: Serializer>(path: &Arc<Path>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn shared_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// The longest line text a [`Position`] carries, in characters: a minified JSON file is one line of megabytes.
pub(crate) const MAX_LINE_CHARS: usize = 512;

/// The text of a file and where its lines begin. Shared by all positions of the file.
#[derive(Debug)]
pub(crate) struct SourceFile {
    path: Arc<Path>,
    text: String,
    /// The byte offset of each line.
    lines: Vec<usize>,
}

/// A place in a file: what a [`Position`] is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    /// In characters; 0 means up to the end of the line.
    pub(crate) len: usize,
}

impl SourceFile {
    pub(crate) fn new(path: &Path, text: String) -> Arc<Self> {
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
        Arc::new(Self { path: path.into(), text, lines })
    }

    /// The folder that is left out where this file, which is at `path`, is shown.
    pub(crate) fn shown_from<'p>(&self, path: &'p Path) -> &'p Path {
        let hidden = path.ancestors().nth(self.path.components().count());
        hidden.filter(|_| path.ends_with(&self.path)).unwrap_or(Path::new(""))
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line of the file that is line `line` of a text which begins at `start`, and the column at which it begins. None
    /// when that line of the text is not written there as it is.
    pub(crate) fn within(&self, start: Span, text: &str, line: usize) -> Option<(usize, usize)> {
        let wanted = text.lines().nth(line.checked_sub(1)?)?;
        let indent_of = |at: usize, wanted: &str| {
            let indent = self.line(at)?.strip_suffix(wanted)?;
            indent.chars().all(char::is_whitespace).then(|| indent.chars().count())
        };
        // In lines of its own, indented: the mark is at the first one, or at the first that is not blank.
        let indented = || {
            let (blank, first) = text.lines().enumerate().find(|(_, line)| !line.trim().is_empty())?;
            let at = [start.line, start.line + blank].into_iter().find(|at| indent_of(*at, first).is_some())?;
            let at = (at + line).checked_sub(blank + 1)?;
            Some((at, indent_of(at, wanted)? + 1))
        };
        // In the line of its key, maybe in quotes.
        let inline = || {
            let is_at = |column: &usize| {
                let rest = self.line(start.line)?.chars().skip(column.checked_sub(1)?);
                Some(rest.take(wanted.chars().count()).eq(wanted.chars()))
            };
            let column = [start.column, start.column + 1].into_iter().find(|column| is_at(column) == Some(true))?;
            Some((start.line, column))
        };
        if text.trim_end_matches('\n').contains('\n') { indented() } else { inline().or_else(indented) }
    }

    /// A line without its end.
    fn line(&self, line: usize) -> Option<&str> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        Some(self.text[start..end].trim_end_matches(['\n', '\r']))
    }

    /// The position of a span. Spans beyond the text (an error at the end of a file) get the nearest place.
    pub(crate) fn position(&self, span: Span) -> Position {
        let line = span.line.clamp(1, self.lines.len());
        let column = if span.line > self.lines.len() { usize::MAX } else { span.column.max(1) };
        let start = self.lines[line - 1];
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        let whole = self.text[start..end].trim_end_matches(['\n', '\r']);
        // A byte order mark is no column of its own: the parsers never see it.
        let whole = if line == 1 { whole.trim_start_matches('\u{feff}') } else { whole };
        let chars = whole.chars().count();
        let column = column.min(chars + 1);
        let rest = chars + 1 - column;
        let len = if span.len == 0 { rest - trailing_blanks(whole).min(rest) } else { span.len.min(rest) };
        Position {
            file: self.path.clone(),
            line,
            column,
            line_text: whole.chars().take(MAX_LINE_CHARS).collect::<String>().into(),
            len: len.max(1),
        }
    }
}

fn trailing_blanks(text: &str) -> usize {
    text.chars().rev().take_while(|char| char.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Arc<SourceFile> {
        SourceFile::new(Path::new("x.yaml"), text.to_owned())
    }

    #[test]
    fn a_span_becomes_a_position() {
        let position = file("a: 1\r\nkey: välue  \n").position(Span { line: 2, column: 6, len: 0 });
        assert_eq!((position.line, position.column, position.len), (2, 6, 5));
        assert_eq!(&*position.line_text, "key: välue  ");
        assert_eq!(position.to_string(), "x.yaml:2:6");
    }

    #[test]
    fn spans_beyond_the_text_get_the_nearest_place() {
        let position = file("ab").position(Span { line: 9, column: 9, len: 9 });
        assert_eq!((position.line, position.column, position.len), (1, 3, 1));
        let position = file("").position(Span::default());
        assert_eq!((position.line, position.column, position.len), (1, 1, 1));
    }

    #[test]
    fn a_long_line_is_cut() {
        let position = file(&"x".repeat(10_000)).position(Span { line: 1, column: 3, len: 2 });
        assert_eq!(position.line_text.len(), MAX_LINE_CHARS);
    }

    #[test]
    fn a_byte_order_mark_is_no_column() {
        let position = file("\u{feff}name: x").position(Span { line: 1, column: 1, len: 4 });
        assert_eq!(&*position.line_text, "name: x");
    }
}
