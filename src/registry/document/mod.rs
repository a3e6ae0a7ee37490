//! One file's text -> its value and, beside it, where each part of the value was written.
//!
//! Two parsers read the same bytes: serde_yaml (or serde_json) gives the values, an event parser with marks the
//! positions. They are joined by path. The marks come first because their pass is the one that bounds what the second
//! may expand: depth, aliases, size.
//!
//! Invariants: a path of the value leads to a mark, whatever the style (block, flow, quoted, alias, merge key); no text
//! panics, hangs, or expands beyond [`MAX_EXPANDED_BYTES`].

mod json;
mod marks;
mod yaml;

use super::position::Span;

pub(crate) use marks::Node;

/// The largest file that is read, in bytes. Inline sources are the largest honest content; this is far above them.
pub(crate) const MAX_FILE_BYTES: u64 = 16 << 20;

/// How deep values may nest. The deepest known field is at 7; serde_yaml itself gives up at 128.
pub(super) const MAX_DEPTH: usize = 100;

/// What a document may expand to through its aliases, in bytes of text plus [`NODE_BYTES`] a value: aliases of aliases
/// grow exponentially ("billion laughs").
pub(super) const MAX_EXPANDED_BYTES: usize = 128 << 20;

/// What a value costs at least when it is kept, whatever its text.
pub(super) const NODE_BYTES: usize = 32;

/// A file's content as it was written.
#[derive(Debug)]
pub(crate) struct Document {
    /// The values, merge keys applied, keys as text.
    pub(crate) value: super::Value,
    /// Where they were written.
    pub(crate) root: std::sync::Arc<Node>,
    /// Where a second document begins, which nobody reads.
    pub(crate) next_document: Option<Span>,
}

/// Why a text is no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxProblem {
    pub(crate) code: &'static str,
    pub(crate) span: Span,
    pub(crate) message: String,
    /// Another place that matters, with what is there.
    pub(crate) note: Option<(String, Span)>,
}

impl SyntaxProblem {
    fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into(), note: None }
    }

    fn duplicate(key: &str, first: Span, second: Span) -> Self {
        let mut problem = Self::new("duplicate-key", second, format!("the key `{key}` is given twice"));
        problem.note = Some(("it was first given".to_owned(), first));
        problem
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Yaml,
    Json,
}

/// Reads a document.
///
/// # Errors
/// All problems that could be found; at least one.
pub(crate) fn parse(text: &str, format: Format) -> Result<Document, Vec<SyntaxProblem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Yaml => yaml::parse(text),
        Format::Json => json::parse(text),
    }
}

#[cfg(test)]
mod tests;
