//! Entries: what the files declared, typed.

use std::path::PathBuf;
use std::sync::Arc;

use super::fields::Fields;
use super::kinds::KindStatus;
use super::position::{MAX_LINE_CHARS, Span};
use super::source::{Marks, Part, RawEntry};
use super::{Diagnostics, EntryId, Position, Severity, Spec, Value};

/// A declared entry: its ID, its kind, what it says, and where that was written.
///
/// ```
/// use wippy::registry::{Command, Entry, FsDirectory, Spec};
///
/// let entry = Entry::new("app:data".parse().unwrap(), Spec::FsDirectory(FsDirectory::new("./data")));
/// assert_eq!(entry.kind(), "fs.directory");
/// assert!(entry.position(&["directory"]).is_none(), "it was made in code");
/// ```
#[derive(Clone, Debug)]
pub struct Entry {
    id: EntryId,
    kind: Arc<str>,
    meta: Arc<serde_json::Map<String, Value>>,
    payload: Arc<Value>,
    spec: Spec,
    command: Option<Command>,
    module: Option<Arc<ModuleRef>>,
    marks: Option<Arc<Marks>>,
}

/// `meta.command`: the entry is a command of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// What is typed after `wippy run`.
    pub name: String,
    /// One line for the list of commands.
    pub short: Option<String>,
    /// Whether it is the command of an application that is started without one.
    pub main: bool,
}

/// The module that an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModuleRef {
    /// `organisation/module`.
    pub name: String,
    /// Empty for a replacement whose version nobody pinned.
    pub version: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl Entry {
    /// An entry made in code; `spec` gives the kind (`unserved` for [`Spec::Unserved`]).
    pub fn new(id: EntryId, spec: Spec) -> Self {
        let kind = spec.kind().unwrap_or("unserved").into();
        Self { id, kind, meta: Arc::default(), payload: Arc::default(), spec, command: None, module: None, marks: None }
    }

    /// Makes it a command.
    #[must_use]
    pub fn with_command(mut self, command: Command) -> Self {
        self.command = Some(command);
        self
    }

    /// The ID.
    pub fn id(&self) -> &EntryId {
        &self.id
    }

    /// The kind as written.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What the kind makes of it.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Everything below `meta`, with what the file says for all its entries.
    pub fn meta(&self) -> &serde_json::Map<String, Value> {
        &self.meta
    }

    /// The fields as they were read, untyped.
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// `meta.command`, when the entry has one with a name.
    pub fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// The module that it comes from; none for the application's own.
    pub fn module(&self) -> Option<&ModuleRef> {
        self.module.as_deref()
    }

    /// Where the value of a field was written, for example `&["wasi", "mounts", "0", "fs"]`. None when it was not
    /// written in a file.
    pub fn position(&self, path: &[&str]) -> Option<Position> {
        self.marks.as_ref()?.position(path, Part::Value)
    }

    /// Where the value of a field was written or, when it was not, the closest place around it: the entry's name at
    /// last. None for entries made in code.
    pub fn nearest_position(&self, path: &[&str]) -> Option<Position> {
        Some(self.marks.as_ref()?.nearest(path, Part::Value))
    }

    /// A problem at the value of a field, with the entry, the place, and where an overridden value comes from.
    pub fn problem(
        &self,
        severity: Severity,
        code: &'static str,
        path: &[&str],
        message: impl Into<String>,
    ) -> super::Diagnostic {
        let problem = match severity {
            Severity::Error => super::Diagnostic::error(code, message),
            Severity::Warning => super::Diagnostic::warning(code, message),
        };
        let problem = problem.entry(self.id.clone()).at(self.nearest_position(path));
        match self.marks.as_ref().and_then(|marks| marks.origin(path)) {
            Some(origin) => problem.note(origin.note.clone()),
            None => problem,
        }
    }

    /// A problem of a part of the text of a field, a script for example, at the place of that part wherever the text is
    /// written. Where that can't be told it is at the field, with the line of the text as a note.
    pub(crate) fn problem_in_text(
        &self,
        severity: Severity,
        code: &'static str,
        path: &[&str],
        text: &str,
        part: Span,
        message: impl Into<String>,
    ) -> super::Diagnostic {
        let problem = self.problem(severity, code, path, message);
        match self.marks.as_ref().and_then(|marks| marks.position_in(path, text, part)) {
            Some(position) => problem.at(Some(position)),
            None => {
                let line = text.lines().nth(part.line.saturating_sub(1)).unwrap_or_default();
                let shown: String = line.trim().chars().take(MAX_LINE_CHARS).collect();
                problem.note(format!("in line {} of the text: {shown}", part.line))
            }
        }
    }

    /// Types an entry. None when a field is missing without which there is nothing to type; every problem is reported.
    pub(crate) fn decode(raw: RawEntry, problems: &mut Diagnostics) -> Option<Self> {
        let command = Command::decode(&raw, problems);
        let spec = Spec::decode(&raw, problems)?;
        Some(Self {
            id: raw.id,
            kind: raw.kind.into(),
            meta: Arc::new(raw.meta),
            payload: Arc::new(raw.payload),
            spec,
            command,
            module: raw.module,
            marks: Some(Arc::new(raw.marks)),
        })
    }

    pub(crate) fn spec_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }
}

impl Command {
    /// A command with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    fn decode(raw: &RawEntry, problems: &mut Diagnostics) -> Option<Self> {
        Self::warn_of_slips(raw, problems);
        let given = raw.meta.get("command").filter(|value| !value.is_null())?;
        let mut meta = Fields::of_meta(raw, problems);
        if given.is_string() {
            let problem = meta
                .problem("wrong-type", "command", "`meta.command` has the wrong type: a text")
                .expected("a mapping with `name`")
                .help(format!("write `command: {{ name: {} }}`", given.as_str().unwrap_or_default()));
            meta.error(problem);
            return None;
        }
        // `meta` itself is free; only the command in it has fields.
        meta.nested("command", |f| {
            let name = f.text("name").filter(|name| !name.trim().is_empty());
            let short = f.text("short").filter(|short| !short.is_empty());
            let main = f.flag("main");
            f.any("long");
            f.any("use_case");
            f.any("args");
            let Some(name) = name else {
                if raw.meta["command"].as_object().is_some_and(|map| !map.contains_key("name")) {
                    let problem = f
                        .warning_at("command-name", &[], "the command has no name, so nobody can run it")
                        .help("add `name: …` below `command`");
                    f.error(problem);
                }
                return None;
            };
            if name == "list" {
                let message = "the command cannot be run: `wippy run list` lists the commands";
                let problem = f.warning_at("command-name", &["name"], message).help("give it another name");
                f.error(problem);
            }
            // A slip in the kind is told as such.
            let slip = matches!(KindStatus::of(&raw.kind), KindStatus::NearMiss(_));
            if !raw.kind.starts_with("process.") && !slip {
                let message = format!("only processes can be commands, not `{}`", raw.kind);
                let problem = f.warning_at("command-kind", &["name"], message).note("it is not listed");
                f.error(problem);
                return None;
            }
            Some(Self { name, short, main })
        })
    }

    /// `meta` is free, but a mapping with a name under a word like `command` is a slip.
    fn warn_of_slips(raw: &RawEntry, problems: &mut Diagnostics) {
        for (key, value) in &raw.meta {
            let named = value.as_object().is_some_and(|map| map.contains_key("name"));
            if named && key != "command" && crate::suggest::near_miss(key, ["command"]).is_some() {
                let message = format!("unknown field `meta.{key}`");
                let path = ["meta", key.as_str()];
                let problem = raw.problem(Severity::Error, "unknown-field", &path, Part::Key, message);
                problems.add(problem.help("did you mean `command`?"));
            }
        }
    }
}
