//! An entry before it is typed, and where its parts were written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Node;
use super::position::{Position, SourceFile, Span};
use super::{Diagnostic, EntryId, ModuleRef, Severity, Value, WasmCode};

/// An entry as its file declares it: values, not yet typed.
#[derive(Clone, Debug)]
pub(crate) struct RawEntry {
    pub(crate) id: EntryId,
    pub(crate) kind: String,
    pub(crate) meta: serde_json::Map<String, Value>,
    pub(crate) payload: Value,
    pub(crate) marks: Marks,
    /// The folder that the entry's file was found below.
    pub(crate) load_root: Arc<PathBuf>,
    pub(crate) module: Option<Arc<ModuleRef>>,
    /// The folder of the application.
    pub(crate) app_root: Arc<PathBuf>,
    /// The code of an entry that is made in code.
    pub(crate) code: Option<WasmCode>,
}

/// Where an entry was written.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) file: Arc<SourceFile>,
    /// The mapping of the entry.
    pub(crate) entry: Arc<Node>,
    /// The `meta` of the whole file, which counts where the entry has none.
    pub(crate) file_meta: Option<Arc<Node>>,
    /// Whether the payload is below `data`.
    pub(crate) has_data: bool,
    /// Fields whose text stands in a file of its own.
    pub(crate) included: Vec<Included>,
    /// Values that come from somewhere else: an override, a parameter.
    pub(crate) origins: Vec<Origin>,
}

/// A text that `file://` brought in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Included {
    /// Where the text is, in the document or in the payload of an entry.
    pub(crate) path: Vec<String>,
    /// The file that has it, as it is shown.
    pub(crate) file: Arc<Path>,
}

impl Included {
    /// As it is seen from the entry at `path`; none when it belongs to another one.
    pub(super) fn below(&self, path: &[&str], has_data: bool) -> Option<Self> {
        let (head, rest) = self.path.split_at_checked(path.len())?;
        let rest = match rest.split_first() {
            Some((first, rest)) if has_data && first == "data" => rest,
            _ => rest,
        };
        head.iter().eq(path).then(|| Self { path: rest.to_vec(), file: Arc::clone(&self.file) })
    }
}

/// Where a value that is not in the entry's own file comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) path: Vec<String>,
    pub(crate) position: Option<Position>,
    /// For example "set by `-o app:x:method=run`".
    pub(crate) note: String,
}

/// Which part of a field is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
}

impl Marks {
    /// The exact place of a field of the entry: `["kind"]`, `["meta", "command"]`, or a path in the payload.
    pub(crate) fn position<S: AsRef<str>>(&self, path: &[S], part: Part) -> Option<Position> {
        if let Some(origin) = self.origin(path) {
            return origin.position.clone();
        }
        self.span(path, part).map(|span| self.file.position(span))
    }

    /// The place of a field or, when it was not written, of the closest thing around it; at last the entry's name.
    pub(crate) fn nearest<S: AsRef<str>>(&self, path: &[S], part: Part) -> Position {
        if let Some(position) = self.position(path, part) {
            return position;
        }
        let around = (1..path.len()).rev().find_map(|len| self.span(&path[..len], Part::Key));
        let span = around.or_else(|| self.span(&["name"], Part::Value)).unwrap_or_else(|| self.entry.span());
        self.file.position(span)
    }

    /// The place of a part of the text at `path`: in the file that `file://` names, or in the entry's own where the text is
    /// written line by line. None for a text that is escaped, folded or set from elsewhere.
    pub(crate) fn position_in<S: AsRef<str>>(&self, path: &[S], text: &str, part: Span) -> Option<Position> {
        if self.origin(path).is_some() {
            return None;
        }
        let included = self.included.iter().find(|included| included.path.iter().eq(path.iter().map(AsRef::as_ref)));
        if let Some(included) = included {
            return Some(SourceFile::new(&included.file, text.to_owned()).position(part));
        }
        let start = self.span(path, Part::Value)?;
        let (at, column) = self.file.within(start, text, part.line)?;
        Some(self.file.position(Span { line: at, column: column + part.column - 1, len: part.len }))
    }

    /// Where the value at `path` comes from when it is not the entry's own file.
    pub(crate) fn origin<S: AsRef<str>>(&self, path: &[S]) -> Option<&Origin> {
        // The last one wins, as the values themselves do.
        self.origins.iter().rev().find(|origin| {
            origin.path.len() <= path.len() && origin.path.iter().zip(path).all(|(left, right)| left == right.as_ref())
        })
    }

    fn span<S: AsRef<str>>(&self, path: &[S], part: Part) -> Option<Span> {
        let first = path.first()?.as_ref();
        let of_entry = matches!(first, "name" | "kind" | "meta" | "data");
        let root = if of_entry || !self.has_data { &self.entry } else { self.entry.child("data")? };
        find(root, path, part).or_else(|| {
            let file_meta = self.file_meta.as_ref().filter(|_| first == "meta")?;
            find(file_meta, &path[1..], part)
        })
    }
}

fn find<S: AsRef<str>>(root: &Arc<Node>, path: &[S], part: Part) -> Option<Span> {
    let (last, parents) = path.split_last()?;
    let mut node = root;
    for step in parents {
        node = node.child(step.as_ref())?;
    }
    match part {
        Part::Key => node.key_span(last.as_ref()).or_else(|| Some(node.child(last.as_ref())?.span())),
        Part::Value => Some(node.child(last.as_ref())?.span()),
    }
}

impl RawEntry {
    /// A problem of a field of this entry, with its place.
    pub(crate) fn problem<S: AsRef<str>>(
        &self,
        severity: Severity,
        code: &'static str,
        path: &[S],
        part: Part,
        message: impl Into<String>,
    ) -> Diagnostic {
        let problem = match severity {
            Severity::Error => Diagnostic::error(code, message),
            Severity::Warning => Diagnostic::warning(code, message),
        };
        let problem = problem.entry(self.id.clone()).at(Some(self.marks.nearest(path, part)));
        match self.marks.origin(path) {
            Some(origin) => problem.note(origin.note.clone()),
            None => problem,
        }
    }
}
