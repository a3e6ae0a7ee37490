use std::path::Path;

use proptest::prelude::*;

use super::super::Value;
use super::super::position::SourceFile;
use super::*;

fn yaml(text: &str) -> Document {
    parse(text, Format::Yaml).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

fn problem(text: &str, format: Format) -> SyntaxProblem {
    parse(text, format).expect_err(text).remove(0)
}

fn span(document: &Document, path: &[&str]) -> (usize, usize, usize) {
    let node = path.iter().fold(&document.root, |node, step| node.child(step).unwrap_or_else(|| panic!("{path:?}")));
    (node.span().line, node.span().column, node.span().len)
}

fn key(document: &Document, path: &[&str]) -> (usize, usize, usize) {
    let (last, parents) = path.split_last().unwrap();
    let node = parents.iter().fold(&document.root, |node, step| node.child(step).unwrap());
    let span = node.key_span(last).unwrap();
    (span.line, span.column, span.len)
}

#[test]
fn block_style_has_its_places() {
    let document = yaml("version: \"1.0\"\nentries:\n  - name: a\n    fs: b:c\n  - name: d # e\n");
    assert_eq!(span(&document, &["version"]), (1, 10, 5));
    assert_eq!(span(&document, &["entries", "0", "name"]), (3, 11, 1));
    assert_eq!(span(&document, &["entries", "0", "fs"]), (4, 9, 3));
    assert_eq!(key(&document, &["entries", "0", "fs"]), (4, 5, 2));
    assert_eq!(span(&document, &["entries", "1", "name"]), (5, 11, 1));
}

#[test]
fn flow_style_and_quoted_keys_have_their_places() {
    let document = yaml("a: {\"b c\": [1, {x: 'y'}],\n  d: ü, e: f}\n");
    assert_eq!(key(&document, &["a", "b c"]), (1, 5, 5));
    assert_eq!(span(&document, &["a", "b c", "1", "x"]), (1, 20, 3));
    assert_eq!(span(&document, &["a", "d"]), (2, 6, 1));
    assert_eq!(span(&document, &["a", "e"]), (2, 12, 1));
    assert_eq!(document.value["a"]["b c"][1]["x"], "y");
}

#[test]
fn texts_of_several_lines_begin_at_their_first_line() {
    let document = yaml("source: |\n  one\n  two\nfolded: >-\n  a\n  b\nplain: x\n  y\nlast: z\n");
    assert_eq!(document.value["source"], "one\ntwo\n");
    assert_eq!(document.value["plain"], "x y");
    assert_eq!(span(&document, &["source"]).0, 2);
    assert_eq!(span(&document, &["folded"]).0, 5);
    assert_eq!(span(&document, &["plain"]), (7, 8, 0));
    assert_eq!(span(&document, &["last"]), (9, 7, 1));
}

#[test]
fn an_alias_has_its_own_place_and_the_content_of_its_anchor() {
    let document = yaml("base: &b\n  x: 1\nuse: *b\nlist: [*b, &s text, *s]\n");
    assert_eq!(span(&document, &["use"]).0, 3);
    assert_eq!(span(&document, &["use", "x"]), (2, 6, 1));
    assert_eq!(span(&document, &["list", "0", "x"]), (2, 6, 1));
    assert_eq!(span(&document, &["list", "2"]).0, 4);
    assert_eq!(document.value["list"][2], "text");
}

#[test]
fn merge_keys_count_where_the_mapping_has_none() {
    let text = "a: &a {x: 1, y: 1}\nb: &b\n  <<: *a\n  y: 2\nc:\n  <<: [*b, {z: 3}]\n  x: 9\n";
    let document = yaml(text);
    assert_eq!(document.value["b"], serde_json::json!({"x": 1, "y": 2}));
    assert_eq!(document.value["c"], serde_json::json!({"x": 9, "y": 2, "z": 3}));
    assert_eq!(span(&document, &["b", "x"]), (1, 11, 1));
    assert_eq!(span(&document, &["c", "y"]), (4, 6, 1));
    assert_eq!(span(&document, &["c", "z"]), (6, 16, 1));
    assert_eq!(problem("a:\n  <<: 5\n", Format::Yaml).code, "yaml-merge");
}

#[test]
fn keys_that_are_no_texts_become_texts() {
    let document = yaml("1: a\n0x10: b\ntrue: c\n~: d\n-1.50: e\n'2': f\nFALSE: g\nnone: h\n");
    for (name, value) in [
        ("1", "a"),
        ("16", "b"),
        ("true", "c"),
        ("null", "d"),
        ("-1.5", "e"),
        ("2", "f"),
        ("false", "g"),
        ("none", "h"),
    ] {
        assert_eq!(document.value[name], value);
        assert!(document.root.child(name).is_some(), "{name}");
    }
    assert_eq!(problem("[a]: b\n", Format::Yaml).code, "yaml-key");
}

#[test]
fn json_has_its_places() {
    let text =
        "{\n\t\"namespace\": \"a\\\"\u{fc}\", \"list\": [1, {\"\\u0078\": -2.5e3}],\r\n  \"e\": {}, \"t\": true }";
    let document = parse(text, Format::Json).unwrap();
    assert_eq!(key(&document, &["namespace"]), (2, 2, 11));
    assert_eq!(span(&document, &["namespace"]), (2, 15, 6));
    assert_eq!(span(&document, &["list", "1", "x"]), (2, 46, 6));
    assert_eq!(span(&document, &["e"]), (3, 8, 2));
    assert_eq!(span(&document, &["t"]), (3, 17, 4));
    assert_eq!(document.value["list"][1]["x"], -2500.0);
}

#[test]
fn json_beyond_yaml_is_read() {
    let text = r#"{"a": "\ud83d\ude00", "b": "\/"}"#;
    assert_eq!(parse(text, Format::Json).unwrap().value["a"], "😀");
}

#[test]
fn a_key_given_twice_names_both_places() {
    for (text, format) in [("a: 1\nb: 2\na: 3\n", Format::Yaml), ("{\"a\": 1,\n \"b\": 2,\n \"a\": 3}", Format::Json)] {
        let problem = problem(text, format);
        assert_eq!(problem.code, "duplicate-key");
        assert_eq!(problem.span.line, 3);
        assert_eq!(problem.note.unwrap().1.line, 1);
    }
}

#[test]
fn broken_texts_name_their_place() {
    for (text, format, line) in [
        ("a: b\n\tc: d\n", Format::Yaml, 1),
        ("a: [1,\nb: 2\n", Format::Yaml, 2),
        ("a: 'x\n", Format::Yaml, 1),
        ("a: b: c\n", Format::Yaml, 1),
        ("a: *x\n", Format::Yaml, 1),
        ("{\"a\": 1,\n}", Format::Json, 2),
        ("", Format::Json, 1),
    ] {
        let problem = problem(text, format);
        assert!(problem.code.ends_with("syntax"), "{problem:?}");
        assert!(problem.span.line >= line, "{text:?}: {problem:?}");
        assert!(!problem.message.contains(" at line "), "{problem:?}");
    }
}

#[test]
fn empty_documents_are_null() {
    for text in ["", "\n", "# nothing\n", "---\n", "\u{feff}"] {
        assert_eq!(yaml(text).value, Value::Null, "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_moves_nothing() {
    let document = yaml("\u{feff}name: x\n");
    assert_eq!(span(&document, &["name"]), (1, 7, 1));
}

#[test]
fn only_the_first_document_is_read() {
    let document = yaml("a: 1\n---\nb: 2\n");
    assert_eq!(document.value, serde_json::json!({"a": 1}));
    assert_eq!(document.next_document.unwrap().line, 2);
    assert!(yaml("a: 1\n...\n").next_document.is_none());
}

#[test]
fn tags_are_dropped_and_odd_numbers_are_kept_as_texts() {
    let document = yaml("a: !custom {x: 1}\nb: !!str 5\nc: .nan\nd: 18446744073709551615\ne: -7\nf: 1_000\ng: 0755\n");
    let expected = serde_json::json!({
        "a": {"x": 1}, "b": "5", "c": ".nan", "d": 18446744073709551615u64, "e": -7, "f": "1_000", "g": "0755"
    });
    assert_eq!(document.value, expected);
}

#[test]
fn aliases_cannot_grow_without_bound() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let item = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", ")));
    }
    assert_eq!(problem(&text, Format::Yaml).code, "too-large");
    // Flat: one long text, many times.
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 200].join(", "));
    assert_eq!(problem(&text, Format::Yaml).code, "too-large");
    assert_eq!(problem("a: &a [*a]\n", Format::Yaml).code, "yaml-alias");
}

#[test]
fn depth_is_bounded() {
    for open in ["[", "{a: ", "- ", "? "] {
        let text = open.repeat(100_000);
        parse(&text, Format::Yaml).expect_err("it nests too deep, or is cut off");
    }
    assert_eq!(problem(&"[".repeat(200), Format::Yaml).code, "too-deep");
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&deep(MAX_DEPTH), Format::Yaml).is_ok());
    assert!(parse(&deep(MAX_DEPTH), Format::Json).is_ok());
    assert_eq!(problem(&deep(MAX_DEPTH + 1), Format::Yaml).code, "too-deep");
    assert_eq!(problem(&deep(MAX_DEPTH + 1), Format::Json).code, "too-deep");
    assert!(parse(&"[".repeat(100_000), Format::Json).is_err());
    // Through aliases as well.
    let mut text = "a0: &a0 x\n".to_owned();
    for level in 1..=MAX_DEPTH {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert_eq!(problem(&text, Format::Yaml).code, "too-deep");
}

/// Values with texts that need care in every style.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z]{0,6}",
        "[a-z: #'\"\\\\{}\\[\\],&*!|>%@`?~-]{0,8}",
        Just("true".to_owned()),
        Just("0x10".to_owned()),
        Just("two\nlines\n".to_owned()),
        Just("ünï 😀".to_owned()),
        Just("".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1_000_000i32..1_000_000).prop_map(|number| Value::from(f64::from(number) / 64.0)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text.clone().prop_filter("merge", |key| key != "<<"), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every path of `value` leads to a mark in `node`, and to nothing beyond it; scalars are written at their mark.
fn assert_joined(value: &Value, node: &Node, source: &SourceFile) {
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                assert_joined(item, node.child(&at.to_string()).expect("a mark"), source);
            }
            assert!(node.child(&items.len().to_string()).is_none());
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                assert!(node.key_span(key).is_some(), "no mark of the key {key:?}");
                assert_joined(field, node.child(key).expect("a mark"), source);
            }
            assert!(node.child("no such key").is_none());
        }
        scalar => {
            let position = source.position(node.span());
            let written: String = position.line_text.chars().skip(position.column - 1).take(position.len).collect();
            let single = parse(&written, Format::Yaml).map(|document| document.value);
            // Block texts and those of several lines are not whole in their first line.
            let whole = !scalar.as_str().is_some_and(|text| text.contains('\n') || text.len() > 60);
            if whole && node.span().len > 0 {
                assert_eq!(single.as_ref(), Ok(scalar), "written as {written:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn values_and_marks_stay_in_step(value in value()) {
        let block = serde_yaml::to_string(&value).unwrap();
        let flow = serde_json::to_string(&value).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        for (text, format) in [(block, Format::Yaml), (flow.clone(), Format::Yaml), (flow, Format::Json), (pretty, Format::Json)] {
            let document = parse(&text, format).map_err(|problem| TestCaseError::fail(format!("{problem:?}\n{text}")))?;
            prop_assert_eq!(&document.value, &value, "{}", text);
            let source = SourceFile::new(Path::new("x"), text.clone());
            assert_joined(&value, &document.root, &source);
        }
    }

    #[test]
    fn random_texts_never_panic(text in "[\\PC\n\t ]{0,200}") {
        let _ = (parse(&text, Format::Yaml), parse(&text, Format::Json));
    }

    #[test]
    fn random_structure_never_panics(text in "[a&*:?,{}\\[\\]|>'\"#%!<\\-\n .0]{0,120}") {
        for format in [Format::Yaml, Format::Json] {
            if let Ok(document) = parse(&text, format) {
                let source = SourceFile::new(Path::new("x"), text.clone());
                source.position(document.root.span());
            }
        }
    }
}
