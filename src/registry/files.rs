//! One definition file -> its entries, not yet typed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{self, Document, Format, MAX_FILE_BYTES};
use super::fields::described;
use super::position::{Position, SourceFile};
use super::source::{Included, Marks, Part, RawEntry};
use super::{Declaration, Diagnostic, Diagnostics, EntryId, ModuleRef, Value, includes};
use crate::suggest::near_miss;

/// A folder whose definition files are loaded.
#[derive(Clone, Debug)]
pub(super) struct LoadRoot {
    pub(super) folder: Arc<PathBuf>,
    pub(super) module: Option<Arc<ModuleRef>>,
}

/// A file that was read and parsed, with the marks of its parts.
#[derive(Debug)]
pub(super) struct ParsedFile {
    pub(super) source: Arc<SourceFile>,
    pub(super) document: Document,
    /// The texts that `file://` brought in.
    pub(super) included: Vec<Included>,
}

/// What loading a file may use up, over all files of an application.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes that `file://` may still bring in.
    pub(super) included_bytes: u64,
    /// Entries that may still be declared.
    pub(super) entries: usize,
}

impl Default for Budget {
    /// 256 MiB of included text, 200,000 entries: ten times the largest application known, a fraction of a machine.
    fn default() -> Self {
        Self { included_bytes: 256 << 20, entries: 200_000 }
    }
}

/// Why a file's text could not be had.
#[derive(Debug)]
pub(super) enum ReadProblem {
    Io(std::io::Error),
    NoFile,
    TooLarge(u64),
    NoText { line: usize },
}

/// Reads a regular file of bounded size as text. Never opens a device or a FIFO, which could block for ever.
pub(super) fn read_text(path: &Path) -> Result<String, ReadProblem> {
    let metadata = std::fs::metadata(path).map_err(ReadProblem::Io)?;
    if !metadata.is_file() {
        return Err(ReadProblem::NoFile);
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(ReadProblem::TooLarge(metadata.len()));
    }
    let bytes = std::fs::read(path).map_err(ReadProblem::Io)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        ReadProblem::NoText { line: good.iter().filter(|byte| **byte == b'\n').count() + 1 }
    })
}

impl ReadProblem {
    /// The sentence of a message.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Io(error) => format!("the file cannot be read: {error}"),
            Self::NoFile => "this is no regular file".to_owned(),
            Self::TooLarge(bytes) => {
                format!("the file has {bytes} bytes, more than the {} MiB that are read", MAX_FILE_BYTES >> 20)
            }
            Self::NoText { line } => format!("the file is no UTF-8 text (line {line})"),
        }
    }
}

impl ParsedFile {
    /// Parses a text; every problem of syntax is reported as an error.
    pub(super) fn parse(shown: &Path, text: String, format: Format, problems: &mut Diagnostics) -> Option<Self> {
        let source = SourceFile::new(shown, text);
        match document::parse(source.text(), format) {
            Ok(document) => Some(Self { source, document, included: Vec::new() }),
            Err(found) => {
                for problem in found {
                    let mut diagnostic =
                        Diagnostic::error(problem.code, problem.message).at(Some(source.position(problem.span)));
                    if let Some((what, span)) = problem.note {
                        diagnostic = diagnostic.note(format!("{what} in line {}", source.position(span).line));
                    }
                    problems.add(diagnostic);
                }
                None
            }
        }
    }

    /// Where a part of the file was written; the beginning of the file for the empty path or an absent part.
    pub(super) fn position<S: AsRef<str>>(&self, path: &[S], part: Part) -> Position {
        let mut node = &self.document.root;
        let mut span = node.span();
        for (at, step) in path.iter().enumerate() {
            if part == Part::Key && at + 1 == path.len() {
                span = node.key_span(step.as_ref()).unwrap_or(span);
                break;
            }
            let Some(child) = node.child(step.as_ref()) else { break };
            node = child;
            span = node.span();
        }
        self.source.position(span)
    }

    pub(super) fn error(
        &self,
        code: &'static str,
        path: &[&str],
        part: Part,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, message).at(Some(self.position(path, part)))
    }

    fn warning(&self, code: &'static str, path: &[&str], part: Part, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(code, message).at(Some(self.position(path, part)))
    }
}

/// Fields of a definition file besides those of its entries.
const FILE_FIELDS: [&str; 5] = ["version", "namespace", "meta", "entries", "requirements"];

/// Loads the entries of one file. A file that is none of ours gives none and no problem.
pub(super) fn load_file(
    path: &Path,
    shown: &Path,
    root: &LoadRoot,
    app_root: &Arc<PathBuf>,
    budget: &mut Budget,
    problems: &mut Diagnostics,
) -> Vec<RawEntry> {
    let is_index = path.file_stem().is_some_and(|stem| stem == "_index");
    let text = match read_text(path) {
        Ok(text) => text,
        Err(problem) => {
            let sentence = problem.sentence();
            let position = SourceFile::new(shown, String::new()).position(Default::default());
            // Only a file that must be ours is worth stopping for: others may be anything.
            let diagnostic = match is_index {
                true => Diagnostic::error("unreadable-file", sentence),
                false => Diagnostic::warning("unreadable-file", sentence).note("the file is skipped"),
            };
            problems.add(diagnostic.at(Some(position)));
            return Vec::new();
        }
    };
    // Other tools' files need not even be valid here; ours have one of these words.
    if !is_index && !text.contains("namespace") && !text.contains("entries") {
        return Vec::new();
    }
    let format = match path.extension() {
        Some(extension) if extension == "json" => Format::Json,
        _ => Format::Yaml,
    };
    let declares = is_index || declares_namespace(&text);
    let mut found = Diagnostics::default();
    let parsed = ParsedFile::parse(shown, text, format, &mut found);
    for mut diagnostic in found {
        if !declares {
            diagnostic.severity = super::Severity::Warning;
            diagnostic = diagnostic.note("the file is skipped: it does not look like a definition file");
        }
        problems.add(diagnostic);
    }
    let Some(mut file) = parsed else { return Vec::new() };
    let Some(namespace) = namespace_of(&file, problems) else { return Vec::new() };
    if let Some(span) = file.document.next_document {
        let message = "only the first document of a file is read";
        problems.add(Diagnostic::warning("extra-document", message).at(Some(file.source.position(span))));
    }
    includes::apply(&mut file, path, root, budget, problems);
    let entries = entries_of(&file, &namespace, root, app_root, problems);
    if entries.len() > budget.entries {
        let message = "the application declares more entries than are loaded";
        problems.add(file.error("too-many-entries", &["entries"], Part::Key, message).expected("at most 200000"));
        budget.entries = 0;
        return Vec::new();
    }
    budget.entries -= entries.len();
    entries
}

/// An entry that is made in code, by the same way as one of a file. None when it can't be typed at all, which is told.
pub(super) fn declared(
    declaration: &Declaration,
    root: &LoadRoot,
    app_root: &Arc<PathBuf>,
    problems: &mut Diagnostics,
) -> Option<RawEntry> {
    let shown = declaration.shown();
    let id = match declaration.id() {
        Ok(id) => id,
        Err(error) => {
            let place = SourceFile::new(&shown, String::new()).position(Default::default());
            let problem = Diagnostic::error("invalid-id", error.to_string()).at(Some(place));
            problems.add(problem.expected("an ID with its namespace, for example `app:worker`"));
            return None;
        }
    };
    let file = ParsedFile::parse(&shown, declaration.text(&id), Format::Json, problems)?;
    let raw = entries_of(&file, id.namespace(), root, app_root, problems).pop()?;
    Some(RawEntry { code: declaration.code.clone(), ..raw })
}

/// Whether a text that cannot be parsed was meant as a definition file: a line begins with `namespace:`, whatever the
/// quotes and braces before it.
fn declares_namespace(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start_matches(['\u{feff}', '{', ' ', '\t', '"', '\'']);
        line.strip_prefix("namespace").is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
    })
}

/// The namespace of a file; none for files that are none of ours, or whose namespace is wrong.
fn namespace_of(file: &ParsedFile, problems: &mut Diagnostics) -> Option<String> {
    let map = file.document.value.as_object()?;
    let has_entries = map.get("entries").and_then(Value::as_array).is_some_and(|items| {
        items
            .iter()
            .any(|item| item.as_object().is_some_and(|item| item.contains_key("name") && item.contains_key("kind")))
    });
    let is_entry = map.contains_key("name") && map.contains_key("kind");
    match map.get("namespace") {
        Some(Value::String(text)) if !text.trim().is_empty() => {
            if !text.contains(':') {
                return Some(text.clone());
            }
            let message = format!("a namespace has no colon: `{text}`");
            problems.add(
                file.error("invalid-id", &["namespace"], Part::Value, message).expected("a name like `app.workers`"),
            );
        }
        Some(Value::String(_) | Value::Null) | None => {
            let meant = map.keys().find(|key| near_miss(key, ["namespace"]).is_some());
            match meant {
                Some(key) if has_entries || is_entry => {
                    let problem = file.error("unknown-field", &[key], Part::Key, format!("unknown field `{key}`"));
                    problems.add(problem.help("did you mean `namespace`?"));
                }
                _ if has_entries => {
                    let message = "the file has entries but no namespace, so it is ignored";
                    let problem = file.warning("no-namespace", &["entries"], Part::Key, message);
                    problems.add(problem.help("add `namespace: …` at the top of the file"));
                }
                _ => {}
            }
        }
        Some(other) if has_entries || is_entry => {
            let message = format!("`namespace` has the wrong type: {}", described(other));
            problems.add(file.error("wrong-type", &["namespace"], Part::Value, message).expected("a text"));
        }
        Some(_) => {}
    }
    None
}

fn entries_of(
    file: &ParsedFile,
    namespace: &str,
    root: &LoadRoot,
    app_root: &Arc<PathBuf>,
    problems: &mut Diagnostics,
) -> Vec<RawEntry> {
    let Some(map) = file.document.value.as_object() else { return Vec::new() };
    let file_meta = match map.get("meta") {
        Some(Value::Object(meta)) => meta.clone(),
        Some(Value::Null) | None => serde_json::Map::new(),
        Some(other) => {
            let message = format!("`meta` has the wrong type: {}", described(other));
            problems.add(file.error("wrong-type", &["meta"], Part::Value, message).expected("a mapping"));
            serde_json::Map::new()
        }
    };
    let reader = EntryReader { file, namespace, root, app_root, file_meta };
    match map.get("entries") {
        Some(Value::Array(items)) => {
            unknown_file_fields(file, map, problems);
            items.iter().enumerate().filter_map(|(at, item)| reader.listed(at, item, problems)).collect()
        }
        Some(Value::Null) => Vec::new(),
        Some(other) => {
            let message = format!("`entries` has the wrong type: {}", described(other));
            problems.add(file.error("wrong-type", &["entries"], Part::Value, message).expected("a list of entries"));
            Vec::new()
        }
        None if map.contains_key("name") && map.contains_key("kind") => {
            reader.single(map, problems).into_iter().collect()
        }
        None => {
            let message = "the file has a namespace but neither `entries` nor `name` and `kind`";
            let mut problem = file.error("missing-field", &["namespace"], Part::Value, message);
            problem = match map
                .keys()
                .find_map(|key| near_miss(key, ["entries", "name", "kind"]).map(|meant| (key, meant)))
            {
                Some((key, meant)) => problem.help(format!("did you mean `{meant}` where it says `{key}`?")),
                None => problem.help("add `entries:` with a list of entries"),
            };
            problems.add(problem);
            Vec::new()
        }
    }
}

fn unknown_file_fields(file: &ParsedFile, map: &serde_json::Map<String, Value>, problems: &mut Diagnostics) {
    for key in map.keys().filter(|key| !FILE_FIELDS.contains(&key.as_str())) {
        let message = format!("unknown field `{key}`");
        problems.add(match near_miss(key, FILE_FIELDS) {
            Some(meant) => {
                file.error("unknown-field", &[key], Part::Key, message).help(format!("did you mean `{meant}`?"))
            }
            None => file.warning("unknown-field", &[key], Part::Key, message).note("it is ignored"),
        });
    }
}

/// What the entries of a file share.
struct EntryReader<'f> {
    file: &'f ParsedFile,
    namespace: &'f str,
    root: &'f LoadRoot,
    app_root: &'f Arc<PathBuf>,
    file_meta: serde_json::Map<String, Value>,
}

impl EntryReader<'_> {
    /// An item of `entries`.
    fn listed(&self, at: usize, item: &Value, problems: &mut Diagnostics) -> Option<RawEntry> {
        let at = at.to_string();
        let path = ["entries", at.as_str()];
        let Some(map) = item.as_object() else {
            let message = format!("an entry must be a mapping, not {}", described(item));
            let problem = self.file.error("wrong-type", &path, Part::Value, message);
            problems.add(problem.expected("`name`, `kind` and the fields of the kind"));
            return None;
        };
        let (name, kind) = (self.word(map, &path, "name", problems), self.word(map, &path, "kind", problems));
        let node = self.file.document.root.child("entries")?.child(&at)?.clone();
        let (name, kind) = (name?, kind?);
        let meta = self.meta(map.get("meta"), &path, problems);
        let has_data = map.get("data").is_some_and(|data| !data.is_null());
        let payload = match map.get("data") {
            Some(data) if has_data => {
                self.beside_data(map, &path, problems);
                data.clone()
            }
            _ => flattened(map, &["name", "kind", "meta", "data"]),
        };
        let file_meta = self.file.document.root.child("meta").cloned();
        self.entry(name, kind, meta, payload, Shape { entry: node, file_meta, has_data }, &path, problems)
    }

    /// A file that is one entry.
    fn single(&self, map: &serde_json::Map<String, Value>, problems: &mut Diagnostics) -> Option<RawEntry> {
        let (name, kind) = (self.word(map, &[], "name", problems), self.word(map, &[], "kind", problems));
        let (name, kind) = (name?, kind?);
        let meta = self.file_meta.clone();
        let payload = flattened(map, &["namespace", "name", "kind", "meta", "version", "requirements", "entries"]);
        let shape = Shape { entry: self.file.document.root.clone(), file_meta: None, has_data: false };
        self.entry(name, kind, meta, payload, shape, &[], problems)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of an entry, joined in this one place")]
    fn entry(
        &self,
        name: String,
        kind: String,
        mut meta: serde_json::Map<String, Value>,
        payload: Value,
        shape: Shape,
        path: &[&str],
        problems: &mut Diagnostics,
    ) -> Option<RawEntry> {
        let id = match EntryId::new(self.namespace, &name) {
            Ok(id) => id,
            Err(error) => {
                let path: Vec<&str> = path.iter().copied().chain(["name"]).collect();
                problems.add(self.file.error("invalid-id", &path, Part::Value, error.to_string()));
                return None;
            }
        };
        if let Some(module) = &self.root.module {
            meta.insert("module".to_owned(), module.name.clone().into());
            meta.insert("module_version".to_owned(), module.version.clone().into());
        }
        let Shape { entry, file_meta, has_data } = shape;
        Some(RawEntry {
            id,
            kind,
            meta,
            payload,
            marks: Marks {
                file: self.file.source.clone(),
                entry,
                file_meta,
                has_data,
                included: self.file.included.iter().filter_map(|text| text.below(path, has_data)).collect(),
                origins: Vec::new(),
            },
            load_root: self.root.folder.clone(),
            module: self.root.module.clone(),
            app_root: self.app_root.clone(),
            code: None,
        })
    }

    /// `name` or `kind`: a text that is not blank.
    fn word(
        &self,
        map: &serde_json::Map<String, Value>,
        path: &[&str],
        field: &'static str,
        problems: &mut Diagnostics,
    ) -> Option<String> {
        let at: Vec<&str> = path.iter().copied().chain([field]).collect();
        let problem = match map.get(field) {
            Some(Value::String(text)) if !text.trim().is_empty() => return Some(text.clone()),
            Some(Value::String(_) | Value::Null) | None => {
                let problem = self.file.error("missing-field", &at, Part::Value, format!("the entry has no `{field}`"));
                match map.keys().find(|key| near_miss(key, [field]).is_some()) {
                    Some(key) => problem.help(format!("did you mean `{field}` where it says `{key}`?")),
                    None => problem.help(format!("add `{field}: …`")),
                }
            }
            Some(other) => {
                let message = format!("`{field}` has the wrong type: {}", described(other));
                self.file.error("wrong-type", &at, Part::Value, message).expected("a text")
            }
        };
        let name = map.get("name").and_then(Value::as_str).and_then(|name| EntryId::new(self.namespace, name).ok());
        problems.add(match name {
            Some(id) => problem.entry(id),
            None => problem,
        });
        None
    }

    /// The entry's `meta` over the file's.
    fn meta(&self, own: Option<&Value>, path: &[&str], problems: &mut Diagnostics) -> serde_json::Map<String, Value> {
        let mut meta = self.file_meta.clone();
        match own {
            Some(Value::Object(own)) => meta.extend(own.clone()),
            Some(Value::Null) | None => {}
            Some(other) => {
                let at: Vec<&str> = path.iter().copied().chain(["meta"]).collect();
                let message = format!("`meta` has the wrong type: {}", described(other));
                problems.add(self.file.error("wrong-type", &at, Part::Value, message).expected("a mapping"));
            }
        }
        meta
    }

    /// Fields beside `data`, which nobody reads.
    fn beside_data(&self, map: &serde_json::Map<String, Value>, path: &[&str], problems: &mut Diagnostics) {
        let known: HashSet<&str> = ["name", "kind", "meta", "data"].into();
        for key in map.keys().filter(|key| !known.contains(key.as_str())) {
            let at: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            let message = format!("unknown field `{key}`");
            problems.add(match near_miss(key, ["name", "kind", "meta"]) {
                Some(meant) => {
                    self.file.error("unknown-field", &at, Part::Key, message).help(format!("did you mean `{meant}`?"))
                }
                None => self
                    .file
                    .warning("unknown-field", &at, Part::Key, message)
                    .note("it is ignored because the entry has `data`")
                    .help(format!("move `{key}` below `data`")),
            });
        }
    }
}

/// Where the parts of an entry are.
struct Shape {
    entry: Arc<document::Node>,
    file_meta: Option<Arc<document::Node>>,
    has_data: bool,
}

/// All fields but these.
fn flattened(map: &serde_json::Map<String, Value>, without: &[&str]) -> Value {
    let fields = map.iter().filter(|(key, _)| !without.contains(&key.as_str()));
    Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect())
}
