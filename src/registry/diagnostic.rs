//! Problems: what was found, where, what was expected, what to do next.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use super::{EntryId, Position};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// Printed once; the application runs.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One problem of an application.
///
/// ```
/// use wippy::registry::Diagnostic;
///
/// let problem = Diagnostic::error("missing-field", "path is required")
///     .entry("app:greet".parse().unwrap())
///     .help("add `path: /greet.wasm`");
/// assert_eq!(problem.to_string(), "error[missing-field]: `app:greet`: path is required");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The sort of problem, a short text in kebab case that stays the same between releases.
    pub code: Cow<'static, str>,
    /// The entry it belongs to.
    pub entry: Option<EntryId>,
    /// Where it was written; none for problems of the command line or of entries made in code.
    pub position: Option<Position>,
    /// What is wrong, one sentence.
    pub message: String,
    /// What was expected instead.
    pub expected: Option<String>,
    /// Further facts.
    pub notes: Vec<String>,
    /// What to do: "did you mean", the next step.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code.into(), message.into())
    }

    /// A warning.
    pub fn warning(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code.into(), message.into())
    }

    fn new(severity: Severity, code: Cow<'static, str>, message: String) -> Self {
        Self {
            severity,
            code,
            entry: None,
            position: None,
            message,
            expected: None,
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Names the entry.
    #[must_use]
    pub fn entry(mut self, entry: EntryId) -> Self {
        self.entry = Some(entry);
        self
    }

    /// Says where it was written; `None` leaves it open.
    #[must_use]
    pub fn at(mut self, position: Option<Position>) -> Self {
        self.position = position.or(self.position);
        self
    }

    /// Says what was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    /// The heading: severity, code, entry, message. See [`render`](super::render) for the whole report.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: ", self.severity, self.code)?;
        if let Some(entry) = &self.entry {
            write!(f, "`{entry}`: ")?;
        }
        f.write_str(&self.message)
    }
}

/// All problems of an application, by file and line.
///
/// ```
/// use wippy::registry::{Diagnostic, Diagnostics};
///
/// let mut problems = Diagnostics::default();
/// problems.add(Diagnostic::warning("unknown-field", "unknown field `colour`"));
/// assert_eq!((problems.errors(), problems.warnings()), (0, 1));
/// problems.deny_warnings();
/// assert!(problems.has_errors());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    /// How many were left out at the bound.
    left_out: usize,
}

/// How many problems are kept: nobody reads more, and a generated file can have one in each of its millions of lines.
const MAX_DIAGNOSTICS: usize = 1_000;

impl Diagnostics {
    /// Adds a problem. The same problem twice is one; beyond 1,000 problems warnings make room for errors and the rest
    /// is only counted.
    pub fn add(&mut self, problem: Diagnostic) {
        let at = self.place_of(&problem);
        let same_place = self.items[..at].iter().rev().take_while(|item| compare(item, &problem) == Ordering::Equal);
        if same_place.into_iter().any(|item| *item == problem) {
            return;
        }
        if self.items.len() >= MAX_DIAGNOSTICS {
            self.left_out += 1;
            let warning = self.items.iter().position(|item| item.severity == Severity::Warning);
            match (problem.severity, warning) {
                (Severity::Error, Some(at)) => drop(self.items.remove(at)),
                _ => return,
            }
        }
        let at = self.place_of(&problem);
        self.items.insert(at, problem);
    }

    /// Behind everything that is written at or before the same place.
    fn place_of(&self, problem: &Diagnostic) -> usize {
        self.items.partition_point(|item| compare(item, problem) != Ordering::Greater)
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Diagnostics) {
        self.left_out += other.left_out;
        for problem in other.items {
            self.add(problem);
        }
    }

    /// The problems by file, line and column; those without a position come first.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// How many problems are kept.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.items.iter().filter(|item| item.severity == Severity::Error).count()
    }

    /// How many of them are warnings.
    pub fn warnings(&self) -> usize {
        self.items.len() - self.errors()
    }

    /// How many problems beyond the bound were only counted.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether there is an error: then nothing runs.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// Makes every warning an error (`--strict`).
    pub fn deny_warnings(&mut self) {
        for item in &mut self.items {
            item.severity = Severity::Error;
        }
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, problems: I) {
        for problem in problems {
            self.add(problem);
        }
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.items)
    }
}

/// By place first, so that a report reads like the files; the severity decides at the same place.
fn compare(left: &Diagnostic, right: &Diagnostic) -> Ordering {
    fn place(item: &Diagnostic) -> Option<(&std::path::Path, usize, usize)> {
        item.position.as_ref().map(|at| (&*at.file, at.line, at.column))
    }
    place(left).cmp(&place(right)).then(left.severity.cmp(&right.severity))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn at(line: usize) -> Option<Position> {
        Some(Position { file: Path::new("a").into(), line, column: 1, line_text: "x".into(), len: 1 })
    }

    #[test]
    fn problems_are_sorted_by_place_and_told_once() {
        let mut problems = Diagnostics::default();
        problems.add(Diagnostic::error("b", "second").at(at(9)));
        problems.add(Diagnostic::warning("a", "first").at(at(2)));
        problems.add(Diagnostic::warning("a", "first").at(at(2)));
        problems.add(Diagnostic::error("c", "no place"));
        let codes: Vec<_> = problems.iter().map(|problem| problem.code.as_ref()).collect();
        assert_eq!(codes, ["c", "a", "b"]);
        assert_eq!((problems.errors(), problems.warnings()), (2, 1));
    }

    #[test]
    fn the_number_is_bounded_and_errors_win() {
        let mut problems = Diagnostics::default();
        for line in 0..MAX_DIAGNOSTICS + 5 {
            problems.add(Diagnostic::warning("w", "w").at(at(line + 1)));
        }
        problems.add(Diagnostic::error("e", "e"));
        assert_eq!(problems.len(), MAX_DIAGNOSTICS);
        assert_eq!(problems.left_out(), 6);
        assert_eq!(problems.errors(), 1);
    }

    #[test]
    fn json_has_every_part() {
        let problem = Diagnostic::error("bad-hash", "no hash")
            .entry("a:b".parse().unwrap())
            .at(at(3))
            .expected("x")
            .note("n")
            .help("h");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["severity"], "error");
        assert_eq!(json["entry"], "a:b");
        assert_eq!(json["position"]["line"], 3);
        assert_eq!(json["help"][0], "h");
    }
}
