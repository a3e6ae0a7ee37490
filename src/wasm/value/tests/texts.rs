//! What people write: `wit` texts, and arguments on a command line.

use super::super::error::Path;
use super::super::text::read_text;
use super::super::{MAX_TYPE_PARTS, wit_text::MAX_TYPE_DEPTH};
use super::{Param, Payload, Signature, WitType, ty, wit_text};

fn read(text: &str, wit: &str) -> Result<String, String> {
    let value = read_text(text, &ty(wit), &Path::Argument(1));
    value.map(|value| value.to_string()).map_err(|error| error.to_string())
}

#[test]
fn json_and_wave_say_the_same() {
    let user = "record { id: u32, name: string }";
    let shape = "variant { circle(f64), none, ok(u8) }";
    for (wit, texts, value) in [
        ("u32", &["6", " 6 ", "6.0"][..], "6"),
        ("s64", &["-9223372036854775808"], "-9223372036854775808"),
        ("u64", &["18446744073709551615"], "18446744073709551615"),
        ("f64", &["1.5", "15e-1"], "1.5"),
        ("f64", &["nan", r#""nan""#], r#""nan""#),
        ("f32", &["-inf", r#""-inf""#], r#""-inf""#),
        ("bool", &["true"], "true"),
        ("char", &["x", "'x'", r#""x""#, "120"], r#""x""#),
        ("char", &["7"], r#""7""#),
        ("string", &["World"], r#""World""#),
        ("string", &[r#""quoted""#], r#""\"quoted\"""#),
        ("list<u8>", &["[104, 105]", r#""hi""#], "[104,105]"),
        (user, &[r#"{"id":1,"name":"Ann"}"#, r#"{id: 1, name: "Ann"}"#], r#"{"id":1,"name":"Ann"}"#),
        ("list<string>", &[r#"["a","b"]"#, r#"["a", "b",]"#], r#"["a","b"]"#),
        ("tuple<u8, char>", &[r#"[1,"x"]"#, "(1, 'x')"], r#"[1,"x"]"#),
        (shape, &[r#"{"circle":2}"#, "circle(2.0)", "circle(2)"], r#"{"circle":2.0}"#),
        (shape, &["none", "%none", r#""none""#], r#""none""#),
        (shape, &["ok(7)", "%ok(7)", r#"{"ok":7}"#], r#"{"ok":7}"#),
        ("flags { read, exec }", &["{read, exec}", "[read, exec]", r#"["exec","read"]"#, "3"], r#"["read","exec"]"#),
        ("flags { read, exec }", &["{}", "[]", "0"], "[]"),
        ("enum { red, true }", &["red", r#""red""#, "0"], r#""red""#),
        ("enum { red, true }", &["true", "%true", "1"], r#""true""#),
        ("option<u8>", &["some(3)", "3"], "3"),
        ("option<u8>", &["none", "null"], "null"),
        ("option<option<u8>>", &["some(none)", r#"{"some":null}"#], r#"{"some":null}"#),
        ("option<option<u8>>", &["some(some(3))", "3"], r#"{"some":3}"#),
        ("result<u8, string>", &["ok(3)", r#"{"ok":3}"#], r#"{"ok":3}"#),
        ("result<u8, string>", &[r#"err("no")"#], r#"{"err":"no"}"#),
        ("result", &["ok", r#""ok""#], r#"{"ok":null}"#),
    ] {
        for text in texts {
            assert_eq!(read(text, wit), Ok(value.to_owned()), "`{text}` for `{wit}`");
        }
    }
}

#[test]
fn a_text_that_is_no_value_shows_type_and_example() {
    for (text, wit, error) in [
        ("World", "u32", "argument 1: expected `u32`, for example `7`, found `World`"),
        ("world", "u32", "argument 1: expected `u32`, for example `7`, found `world`"),
        ("[1]", "tuple<u8, bool>", "argument 1: expected 2 values for `tuple<u8, bool>`, found 1"),
        ("", "u32", "argument 1: expected `u32`, for example `7`, found ``"),
        ("6 7", "u32", "argument 1: expected `u32`, for example `7`, found `6 7`"),
        ("300", "u8", "argument 1: 300 does not fit u8"),
        (
            "{id: 1, name: Ann Lee}",
            "record { id: u32, name: string }",
            "argument 1: expected `record { id: u32, name: string }`, for example `{id: 7, name: \"text\"}`, \
             found `{id: 1, name: Ann Lee}`",
        ),
        ("{id: 4294967296}", "record { id: u32 }", "argument 1.id: 4294967296 does not fit u32"),
        ("some(300)", "option<u8>", "argument 1: 300 does not fit u8"),
        ("xy", "char", "argument 1: expected `char`, one character, found 2"),
        ("grean", "enum { red, green }", "argument 1: unknown case `grean`, did you mean `green`"),
    ] {
        assert_eq!(read(text, wit), Err(error.to_owned()), "`{text}` for `{wit}`");
    }
}

#[test]
fn deep_texts_are_refused_without_recursing() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(&deep, "list<u32>").unwrap_err().contains(", for example `"));
    let deep = "some(".repeat(100_000);
    assert!(read(&deep, "option<u32>").unwrap_err().contains(", for example `"));
}

#[test]
fn arguments_name_the_signature() {
    let param = |name: &str, ty| Param { name: name.to_owned(), ty };
    let add = Signature::new(vec![param("a", WitType::U32), param("b", WitType::U32)], vec![WitType::U32]);
    let read = |texts: &[&str]| {
        let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        add.read_arguments("add", &texts).map_err(|error| error.to_string())
    };
    assert_eq!(read(&["6", "7"]), Ok(vec![Payload::from(6), Payload::from(7)]));
    let signature = "the signature is `add: func(a: u32, b: u32) -> u32`";
    assert_eq!(read(&["6"]), Err(format!("expected 2 arguments, found 1; {signature}")));
    assert_eq!(read(&["6", "-1"]), Err(format!("argument 2: -1 does not fit u32; {signature}")));
    assert_eq!(
        add.accept("add", &[Payload::Nil, Payload::Nil]).unwrap_err().to_string(),
        format!("argument 1: expected `u32`, found nothing; {signature}")
    );
}

#[test]
fn signatures_show_as_wit() {
    let text = "
        package acme:kit@1.0.0;
        /* a world
           as toolchains write it */
        world kit {
            export greet: func(name: string) -> string;  // says hello
            nothing: func();
            unit: func() -> ();
            pair: func() -> (u32, quotient: string);
            %list: func(%record: list<u8>,) -> result<_, tuple<f32, f64>>;
        }
        last: func(a:float32)->float64";
    let functions = wit_text::parse(text).unwrap();
    let shown: Vec<_> = functions.iter().map(|(name, signature)| format!("{name}: {signature}")).collect();
    assert_eq!(
        shown,
        [
            "greet: func(name: string) -> string",
            "nothing: func()",
            "unit: func()",
            "pair: func() -> (u32, string)",
            "list: func(record: list<u8>) -> result<_, tuple<f32, f64>>",
            "last: func(a: f32) -> f64",
        ]
    );
    assert_eq!(wit_text::parse("").unwrap().len(), 0);
}

#[test]
fn wit_errors_name_the_place() {
    for (text, error) in [
        ("add", "line 1, column 4: expected `:`, found the end"),
        ("add: fun()", "line 1, column 6: expected `func`, found `fun`"),
        ("add: func(a: s32", "line 1, column 17: expected `,` or `)`, found the end"),
        ("add: func(a s32);", "line 1, column 13: expected `:`, found `s32`"),
        ("add: func(a: strin);", "line 1, column 14: expected a type, did you mean `string`, found `strin`"),
        ("add: func(a: point);", "line 1, column 14: expected a type, found `point`"),
        ("add: func(a: );", "line 1, column 14: expected a type, found `)`"),
        ("add: func()\nsub: func();", "line 2, column 1: expected `;`, found `sub`"),
        ("add: func();\n  add: func();", "line 2, column 3: expected a function that is not there yet, found `add`"),
        ("f: func(a: u8, a: u8);", "line 1, column 16: expected a parameter's name that is not there yet, found `a`"),
        ("f: func(a: list<u8);", "line 1, column 19: expected `>`, found `)`"),
        ("f: func(a: tuple<>);", "line 1, column 18: expected a type, found `>`"),
        ("f: func(a: result<_>);", "line 1, column 20: expected `,` and the type of the error, found `>`"),
        ("f: func(a: record { });", "line 1, column 21: expected a field, found `}`"),
        ("f: func() /* never closed", "line 1, column 11: expected `*/` after this `/*`, found the end"),
        (
            "record point { x: s32 }",
            "line 1, column 1: expected a function; types cannot be named here, write them where they are used, \
             found `record`",
        ),
        ("7", "line 1, column 1: expected a function such as `name: func(a: s32) -> s32;`, found `7`"),
        ("interface i { f: func()", "line 1, column 24: expected a function or `}`, found the end"),
        ("f: func(é: u8);", "line 1, column 9: expected a parameter's name, found `é`"),
    ] {
        assert_eq!(wit_text::parse(text).unwrap_err().to_string(), error, "{text}");
    }
}

#[test]
fn wit_texts_are_bounded() {
    let nested = |levels: usize| format!("f: func(a: {}u8{});", "option<".repeat(levels), ">".repeat(levels));
    assert!(wit_text::parse(&nested(MAX_TYPE_DEPTH - 1)).is_ok());
    let error = wit_text::parse(&nested(MAX_TYPE_DEPTH)).unwrap_err();
    assert_eq!(error.expected, format!("types nested no deeper than {MAX_TYPE_DEPTH}"));
    let wide = format!("f: func(a: tuple<{}u8>);", "u8, ".repeat(MAX_TYPE_PARTS));
    assert!(wit_text::parse(&wide).unwrap_err().expected.starts_with("no more than"));
    let flags =
        |count| format!("f: func(a: flags {{ {} }});", (0..count).map(|n| format!("f{n}, ")).collect::<String>());
    assert!(wit_text::parse(&flags(32)).is_ok());
    assert_eq!(wit_text::parse(&flags(33)).unwrap_err().expected, "no more than 32 flags before this");
}
