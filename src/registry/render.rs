//! Problems as a report: text with source lines and carets, or JSON.

use std::fmt::Write;

use super::{Diagnostic, Diagnostics, Position, Severity};

/// The widest part of a source line that is shown, in characters.
const MAX_WIDTH: usize = 120;

/// All problems as text, one after the other, with a last line that counts them; empty when there are none.
///
/// ```
/// use wippy::registry::{Diagnostic, Diagnostics, render};
///
/// let mut problems = Diagnostics::default();
/// problems.add(Diagnostic::error("bad-option", "`--set x` sets nothing").expected("`--set section.path=value`"));
/// assert_eq!(
///     render::text(&problems, false),
///     "error[bad-option]: `--set x` sets nothing\n  = expected: `--set section.path=value`\n\n1 error\n"
/// );
/// ```
pub fn text(problems: &Diagnostics, colour: bool) -> String {
    let mut out = String::new();
    for problem in problems {
        out.push_str(&one(problem, colour));
        out.push('\n');
    }
    if !problems.is_empty() {
        out.push_str(&summary(problems));
        out.push('\n');
    }
    out
}

/// `2 errors, 1 warning`.
pub fn summary(problems: &Diagnostics) -> String {
    let count = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        count => Some(format!("{count} {word}s")),
    };
    let left_out = problems.left_out();
    let parts = [
        count(problems.errors(), "error"),
        count(problems.warnings(), "warning"),
        (left_out > 0).then(|| format!("{left_out} more not shown")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no problems".to_owned() } else { parts.join(", ") }
}

/// One problem as text, several lines, with a line end.
pub fn one(problem: &Diagnostic, colour: bool) -> String {
    let paint = Paint { colour, severity: problem.severity };
    let mut out = String::new();
    let entry = problem.entry.as_ref().map(|entry| format!("`{entry}`: ")).unwrap_or_default();
    let heading = paint.heading(&format!("{}[{}]", problem.severity, problem.code));
    put(&mut out, format_args!("{heading}{}", paint.bold(&format!(": {entry}{}", one_line(&problem.message)))));
    let indent = match &problem.position {
        Some(position) => place(&mut out, position, &paint),
        None => 2,
    };
    let mut fact = |what: &str, text: &str| {
        // A list has an item a line; the lines below the first stand deeper, so none of them looks like a fact.
        let mut lines = text.lines();
        let first = one_line(lines.next().unwrap_or_default());
        put(&mut out, format_args!("{:indent$}{} {what}: {first}", "", paint.rule("=")));
        for line in lines {
            put(&mut out, format_args!("{:indent$}    {}", "", one_line(line)));
        }
    };
    if let Some(expected) = &problem.expected {
        fact("expected", expected);
    }
    problem.notes.iter().for_each(|note| fact("note", note));
    problem.help.iter().for_each(|help| fact("help", help));
    out
}

/// All problems as JSON: `errors`, `warnings`, `left_out`, `diagnostics`.
pub fn json(problems: &Diagnostics) -> serde_json::Value {
    serde_json::json!({
        "errors": problems.errors(),
        "warnings": problems.warnings(),
        "left_out": problems.left_out(),
        "diagnostics": problems,
    })
}

/// File, line and column, the line, the caret; returns how far the following lines are indented.
fn place(out: &mut String, position: &Position, paint: &Paint) -> usize {
    let number = position.line.to_string();
    let width = number.len();
    put(out, format_args!("{:width$}{} {}", "", paint.rule("-->"), position));
    let (line, column) = visible(position);
    // Nothing to show: an empty line, or a place behind what is kept of a very long one.
    if line.trim().is_empty() || position.column > position.line_text.chars().count() + 1 {
        return width + 1;
    }
    let len = position.len.min(line.chars().count().saturating_sub(column).max(1));
    put(out, format_args!("{:width$} {}", "", paint.rule("|")));
    put(out, format_args!("{} {} {}", paint.rule(&number), paint.rule("|"), line.trim_end()));
    put(out, format_args!("{:width$} {} {:column$}{}", "", paint.rule("|"), "", paint.heading(&"^".repeat(len))));
    width + 1
}

/// The part of the line that is shown, and the column of the caret in it, from 0. Every character takes one place.
fn visible(position: &Position) -> (String, usize) {
    let column = position.column - 1;
    // A long line is cut so that the place stays in sight.
    let start = if column + position.len.min(40) > MAX_WIDTH { column.saturating_sub(MAX_WIDTH / 2) } else { 0 };
    let char = |char: char| if char.is_control() { ' ' } else { char };
    let mut line: String = position.line_text.chars().skip(start).take(MAX_WIDTH).map(char).collect();
    let mut at = column - start;
    if start > 0 {
        line.insert_str(0, "... ");
        at += 4;
    }
    if position.line_text.chars().count() > start + MAX_WIDTH {
        line.push_str(" ...");
    }
    (line, at)
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{line}");
}

/// A text without line ends and control sequences: what others have written must not command a terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Colours, or none.
struct Paint {
    colour: bool,
    severity: Severity,
}

impl Paint {
    fn heading(&self, text: &str) -> String {
        self.with(if self.severity == Severity::Error { "1;31" } else { "1;33" }, text)
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn rule(&self, text: &str) -> String {
        self.with("1;34", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn at(line_text: &str, column: usize, len: usize) -> Option<Position> {
        let file = Path::new("src/_index.yaml").into();
        Some(Position { file, line: 12, column, line_text: line_text.into(), len })
    }

    #[test]
    fn a_problem_shows_its_line() {
        let problem = Diagnostic::error("unknown-field", "unknown field `metod`")
            .entry("app:greet".parse().unwrap())
            .at(at("    metod: greet", 5, 5))
            .expected("x")
            .note("y")
            .help("did you mean `method`?");
        let expected = "\
error[unknown-field]: `app:greet`: unknown field `metod`
  --> src/_index.yaml:12:5
   |
12 |     metod: greet
   |     ^^^^^
   = expected: x
   = note: y
   = help: did you mean `method`?
";
        assert_eq!(one(&problem, false), expected);
    }

    #[test]
    fn tabs_and_wide_texts_keep_the_caret_in_place() {
        let problem = Diagnostic::warning("w", "m").at(at("\tä: b", 5, 1));
        assert!(one(&problem, false).contains("12 |  ä: b\n   |     ^\n"), "{}", one(&problem, false));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}HERE{}", "x".repeat(300), "y".repeat(200));
        let shown = one(&Diagnostic::error("e", "m").at(at(&line, 301, 4)), false);
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[4].find('^').unwrap();
        assert_eq!(&lines[3][caret..caret + 4], "HERE");
        assert!(lines[3].len() < 160, "{}", lines[3]);
    }

    #[test]
    fn the_place_behind_what_is_kept_of_a_line_has_no_text() {
        let shown = one(&Diagnostic::error("e", "m").at(at("short", 5_000, 3)), false);
        assert_eq!(shown, "error[e]: m\n  --> src/_index.yaml:12:5000\n");
    }

    #[test]
    fn a_list_has_an_item_a_line() {
        let shown = one(&Diagnostic::error("e", "m").note("it exports:\na\nb"), false);
        assert_eq!(shown, "error[e]: m\n  = note: it exports:\n      a\n      b\n");
    }

    #[test]
    fn control_characters_stay_out() {
        let problem = Diagnostic::error("e", "a\u{1b}[31m\nb").at(at("k: \u{1b}[2J", 1, 1));
        assert!(!one(&problem, false).contains('\u{1b}'));
    }

    #[test]
    fn colours_are_only_added() {
        let problem = Diagnostic::error("e", "message").at(at("    metod: greet", 5, 5)).help("h");
        let coloured = one(&problem, true);
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((head, tail)) = rest.split_once('\u{1b}') {
            plain.push_str(head);
            rest = tail.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        assert_eq!(plain, one(&problem, false));
    }

    #[test]
    fn the_summary_counts() {
        let mut problems = Diagnostics::default();
        assert_eq!(summary(&problems), "no problems");
        assert_eq!(text(&problems, false), "");
        problems.add(Diagnostic::error("e", "1"));
        problems.add(Diagnostic::error("e", "2"));
        problems.add(Diagnostic::warning("w", "3"));
        assert_eq!(summary(&problems), "2 errors, 1 warning");
        assert_eq!(json(&problems)["errors"], 2);
        assert_eq!(json(&problems)["diagnostics"].as_array().unwrap().len(), 3);
    }
}
