//! Texts within fields and what scripts import.

use super::super::position::Span;
use super::super::testing::{App, load_entries};
use super::super::{Diagnostic, Entry, Severity};

/// A problem of the third and fourth character of a line of the entry's source.
fn problem(entry: &Entry, line: usize) -> Diagnostic {
    let source = entry.payload()["source"].as_str().expect("a source").to_owned();
    let part = Span { line, column: 3, len: 2 };
    entry.problem_in_text(Severity::Error, "x", &["source"], &source, part, "wrong")
}

/// Where it is shown, with the text of the line.
fn shown(problem: &Diagnostic) -> (String, String) {
    let position = problem.position.as_ref().expect("a place");
    (format!("{}:{}:{}", position.file.display(), position.line, position.column), position.line_text.to_string())
}

#[test]
fn a_problem_in_a_text_is_where_the_text_is_written() {
    let index = "version: '1.0'\nnamespace: app\nentries:\n\
        - {name: file, kind: library.lua, source: 'file://lib/a.lua'}\n\
        - name: data\n  kind: library.lua\n  data: {source: 'file:///lib/a.lua'}\n\
        - name: block\n  kind: library.lua\n  source: |\n    one\n      two\n\n    two\n\
        - name: next\n  kind: library.lua\n  source:\n    |-\n    two\n    two\n\
        - name: blank\n  kind: library.lua\n  source: |\n\n    two\n    two\n\
        - name: plain\n  kind: library.lua\n  source: return x # why\n\
        - name: quoted\n  kind: library.lua\n  source: 'return x'\n\
        - name: folded\n  kind: library.lua\n  source: >\n    one\n    two\n\n    six\n\
        - name: escaped\n  kind: library.lua\n  source: \"one\\ntwo\"\n";
    let app = App::new(&[("src/_index.yaml", index), ("src/lib/a.lua", "first\nsecond\n")]);
    let loaded = app.load();
    let place = |name: &str, line| shown(&problem(loaded.entry(name), line));
    let at = |place: &str, text: &str| (place.to_owned(), text.to_owned());
    assert_eq!(place("app:file", 2), at("src/lib/a.lua:2:3", "second"));
    assert_eq!(place("app:data", 1), at("src/lib/a.lua:1:3", "first"));
    assert_eq!(place("app:block", 1), at("src/_index.yaml:11:7", "    one"));
    assert_eq!(place("app:block", 2), at("src/_index.yaml:12:7", "      two"));
    assert_eq!(place("app:block", 4), at("src/_index.yaml:14:7", "    two"));
    assert_eq!(place("app:next", 1), at("src/_index.yaml:19:7", "    two"));
    assert_eq!(place("app:next", 2), at("src/_index.yaml:20:7", "    two"));
    assert_eq!(place("app:blank", 2), at("src/_index.yaml:25:7", "    two"));
    assert_eq!(place("app:blank", 3), at("src/_index.yaml:26:7", "    two"));
    assert_eq!(place("app:plain", 1), at("src/_index.yaml:29:13", "  source: return x # why"));
    assert_eq!(place("app:quoted", 1), at("src/_index.yaml:32:14", "  source: 'return x'"));
    for (name, line, note) in [("app:folded", 1, "one two"), ("app:escaped", 2, "two")] {
        let problem = problem(loaded.entry(name), line);
        assert_eq!(problem.notes, [format!("in line {line} of the text: {note}")]);
    }
}

#[test]
fn a_text_that_is_set_from_elsewhere_is_shown_there() {
    let app = App::new(&[(
        "src/_index.yaml",
        "version: '1.0'\nnamespace: app\nentries:\n- {name: x, kind: library.lua, source: return y}\n",
    )]);
    let mut options = app.options();
    options.overrides.push("app:x:source=return z".to_owned());
    let loaded = super::super::load(&options);
    let problem = problem(loaded.entry("app:x"), 1);
    assert!(problem.notes.iter().any(|note| note == "in line 1 of the text: return z"), "{problem:?}");
    assert!(problem.notes.iter().any(|note| note.starts_with("set by")), "{problem:?}");
}

#[test]
fn imports_lead_to_libraries() {
    let loaded = load_entries(
        "- {name: lib, kind: library.lua, source: return 1}\n\
         - {name: vars, kind: env.storage.os}\n\
         - {name: user, kind: library.lua, source: return 2, imports: {a: 'app:lib', b: 'app:libb', c: 'app:vars'}}\n",
    );
    let imports: Vec<String> =
        loaded.headings().into_iter().filter(|heading| !heading.contains("not-served")).collect();
    assert_eq!(
        imports,
        [
            "error[dangling-reference]: library not found: `app:libb`",
            "error[wrong-kind]: `app:vars` is no library but a `env.storage.os`",
        ]
    );
}

#[test]
fn libraries_in_a_circle_are_told_once() {
    let library = |name: &str, imports: &str| {
        format!("- {{name: {name}, kind: library.lua, source: return 1, imports: {{{imports}}}}}\n")
    };
    let circles = |entries: &[String]| {
        let headings = load_entries(&entries.concat()).headings();
        headings.into_iter().filter(|heading| heading.contains("dependency-cycle")).collect::<Vec<_>>()
    };
    let told = circles(&[
        library("a", "x: 'app:b', y: 'app:d'"),
        library("b", "x: 'app:c', y: 'app:d'"),
        library("c", "x: 'app:a'"),
        library("d", ""),
        library("self", "x: 'app:self'"),
        "- {name: user, kind: process.lua, source: return 1, method: m, imports: {a: 'app:a', self: 'app:self'}}\n"
            .into(),
    ]);
    assert_eq!(
        told,
        [
            "error[dependency-cycle]: libraries import each other: `app:a` -> `app:b` -> `app:c` -> `app:a`",
            "error[dependency-cycle]: libraries import each other: `app:self` -> `app:self`",
        ]
    );
    assert_eq!(
        circles(&[library("a", "x: 'app:b', y: 'app:c'"), library("b", "x: 'app:c'"), library("c", "")]),
        [""; 0]
    );
    let long: Vec<String> = (0..5_000).map(|at| library(&format!("n{at}"), &format!("x: 'app:n{}'", at + 1))).collect();
    assert_eq!(circles(&long), [""; 0]);
}
