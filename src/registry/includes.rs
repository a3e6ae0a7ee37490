//! `file://`: texts that stand in files of their own.

use std::path::{Component, Path, PathBuf};

use super::fields::shown_path;
use super::files::{Budget, LoadRoot, ParsedFile, ReadProblem, read_text};
use super::source::{Included, Part};
use super::{Diagnostic, Diagnostics, Value};

const SCHEME: &str = "file://";

/// Replaces every `file://` text of a file by what it names. One that cannot be had is reported and becomes empty, so
/// that nothing is told twice.
pub(super) fn apply(
    file: &mut ParsedFile,
    path: &Path,
    root: &LoadRoot,
    budget: &mut Budget,
    problems: &mut Diagnostics,
) {
    if !file.source.text().contains(SCHEME) {
        return;
    }
    let mut value = std::mem::take(&mut file.document.value);
    let shown_from = file.source.shown_from(path).to_path_buf();
    let mut include = Include {
        file,
        folder: path.parent().unwrap_or(Path::new("")),
        shown_from,
        root,
        budget,
        problems,
        included: Vec::new(),
    };
    include.walk(&mut value, &mut Vec::new());
    let included = include.included;
    file.document.value = value;
    file.included = included;
}

struct Include<'a> {
    file: &'a ParsedFile,
    /// The folder of the file that includes.
    folder: &'a Path,
    /// The folder that is left out where files are shown.
    shown_from: PathBuf,
    root: &'a LoadRoot,
    budget: &'a mut Budget,
    problems: &'a mut Diagnostics,
    included: Vec<Included>,
}

impl Include<'_> {
    /// No deeper than documents nest.
    fn walk(&mut self, value: &mut Value, path: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                if let Some(target) = text.strip_prefix(SCHEME) {
                    let included = self.read(target).map(|(file, text)| {
                        let shown = file.strip_prefix(&self.shown_from).unwrap_or(&file).into();
                        self.included.push(Included { path: path.clone(), file: shown });
                        text
                    });
                    *text = included.unwrap_or_else(|problem| {
                        let position = self.file.position(path, Part::Value);
                        self.problems.add(problem.at(Some(position)).note(format!("in `{}`", shown_path(path))));
                        // Not empty, or it would count as missing as well.
                        " ".to_owned()
                    });
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    path.push(at.to_string());
                    self.walk(item, path);
                    path.pop();
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    path.push(key.clone());
                    self.walk(field, path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// The file and its text.
    fn read(&mut self, target: &str) -> Result<(PathBuf, String), Box<Diagnostic>> {
        const EXPECTED: &str = "`file://name` beside this file, or `file:///name` below the load root";
        let named = format!("`{SCHEME}{target}`");
        if target.trim_matches('/').is_empty() {
            return Err(Box::new(Diagnostic::error("file-value", format!("{named} names no file")).expected(EXPECTED)));
        }
        let root = self.root.folder.as_path();
        let escape = || {
            let message = format!("{named} leaves the folder that the application is loaded from");
            Box::new(Diagnostic::error("path-escape", message).expected(EXPECTED))
        };
        let start = match target.starts_with('/') {
            true => PathBuf::new(),
            false => self.folder.strip_prefix(root).map_err(|_| escape())?.to_path_buf(),
        };
        let inside = cleaned(&start, Path::new(target.trim_start_matches('/'))).ok_or_else(escape)?;
        let full = root.join(inside);
        // A link may lead out of the folder although its path does not.
        if let (Ok(real), Ok(real_root)) = (full.canonicalize(), root.canonicalize())
            && !real.starts_with(real_root)
        {
            return Err(escape());
        }
        let text = read_text(&full).map_err(|problem| {
            let message = match &problem {
                ReadProblem::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    format!("{named} does not exist")
                }
                problem => format!("{named}: {}", problem.sentence()),
            };
            Box::new(Diagnostic::error("file-value", message).expected(EXPECTED))
        })?;
        match self.budget.included_bytes.checked_sub(text.len() as u64) {
            Some(rest) => self.budget.included_bytes = rest,
            None => {
                let message = "all `file://` texts together are larger than 256 MiB";
                return Err(Box::new(Diagnostic::error("too-large", message)));
            }
        }
        Ok((full, text))
    }
}

/// `start` and then `path`, without `.` and `..`; none when it leaves where `start` begins.
pub(super) fn cleaned(start: &Path, path: &Path) -> Option<PathBuf> {
    let mut clean = start.to_path_buf();
    for part in path.components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir if !clean.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}
