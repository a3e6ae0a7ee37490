//! What each type accepts, in which shape it comes back, and the exact words in which it refuses.

use wasmtime::component::Val;

use super::super::convert::{lift, lower};
use super::{Payload, accepted, json, refused, ty};

/// Each input is accepted for the type and comes out in the exact shape, which the type accepts unchanged.
fn accepts(wit: &str, pairs: &[(&str, &str)]) {
    let ty = ty(wit);
    for (given, exact) in pairs {
        let value = accepted(&json(given), &ty).unwrap_or_else(|error| panic!("{given} for {wit}: {error}"));
        assert_eq!(value.to_string(), *exact, "{given} for {wit}");
        assert_eq!(accepted(&value, &ty).as_ref(), Ok(&value), "{given} for {wit}, again");
        let val = lower(&value, &ty, "value").unwrap();
        assert_eq!(lift(&val, &ty).as_ref(), Ok(&value), "{given} for {wit}, lifted");
    }
}

fn refuses(wit: &str, pairs: &[(&str, &str)]) {
    for (given, error) in pairs {
        assert_eq!(refused(&json(given), wit), format!("argument 1{error}"), "{given} for {wit}");
    }
}

#[test]
fn booleans() {
    accepts("bool", &[("true", "true"), ("false", "false")]);
    refuses(
        "bool",
        &[
            ("1", ": expected `bool`, found integer 1"),
            (r#""true""#, r#": expected `bool`, found string "true""#),
            ("null", ": expected `bool`, found nothing"),
        ],
    );
}

#[test]
fn integers_at_their_bounds() {
    for (wit, min, max) in [
        ("s8", i128::from(i8::MIN), i128::from(i8::MAX)),
        ("u8", 0, u8::MAX.into()),
        ("s16", i16::MIN.into(), i16::MAX.into()),
        ("u16", 0, u16::MAX.into()),
        ("s32", i32::MIN.into(), i32::MAX.into()),
        ("u32", 0, u32::MAX.into()),
        ("s64", i64::MIN.into(), i64::MAX.into()),
        ("u64", 0, u64::MAX.into()),
    ] {
        let exact = |number: i128| (number.to_string(), number.to_string());
        for (given, exact) in [exact(min), exact(max), exact(0)] {
            accepts(wit, &[(&given, &exact)]);
        }
        if wit != "u64" {
            let over = (max + 1).to_string();
            refuses(wit, &[(&over, &format!(": {over} does not fit {wit}"))]);
        }
        if min != i64::MIN.into() {
            let under = (min - 1).to_string();
            refuses(wit, &[(&under, &format!(": {under} does not fit {wit}"))]);
        }
    }
}

#[test]
fn integers_take_whole_floats() {
    accepts("u8", &[("7.0", "7"), ("2.55e2", "255"), ("-0.0", "0")]);
    accepts("u64", &[("1e19", "10000000000000000000")]);
    refuses(
        "u32",
        &[
            ("1.5", ": 1.5 is not a whole number, expected `u32`"),
            ("4294967296.0", ": 4294967296.0 does not fit u32"),
            ("-1.0", ": -1.0 does not fit u32"),
            ("1e300", ": 1e+300 does not fit u32"),
            (r#""7""#, r#": expected `u32`, found string "7""#),
            ("true", ": expected `u32`, found boolean true"),
        ],
    );
    assert_eq!(refused(&Payload::from(f64::NAN), "s32"), "argument 1: expected `s32`, found float nan");
    assert_eq!(refused(&Payload::from(f64::INFINITY), "s64"), "argument 1: inf does not fit s64");
    // 2^64 as a float is the first that does not fit, and must not saturate into range.
    assert_eq!(
        refused(&Payload::from(18446744073709551616.0), "u64"),
        "argument 1: 1.8446744073709552e+19 does not fit u64"
    );
    assert_eq!(
        refused(&Payload::from(9223372036854775808.0), "s64"),
        "argument 1: 9.223372036854776e+18 does not fit s64"
    );
}

#[test]
fn numbers_of_core_functions_have_no_sign() {
    use super::WitType::{I32, I64};
    for (value, ty, exact) in [
        (Payload::from(u32::MAX), I32, -1),
        (Payload::from(i32::MIN), I32, i32::MIN.into()),
        (Payload::from(i32::MAX), I32, i32::MAX.into()),
        (Payload::from(u64::MAX), I64, -1),
        (Payload::from(i64::MIN), I64, i64::MIN),
    ] {
        assert_eq!(accepted(&value, &ty), Ok(Payload::Int(exact)), "{value}");
    }
    let error = |value: i64| accepted(&Payload::from(value), &I32).unwrap_err().to_string();
    assert_eq!(error(1 << 32), "argument 1: 4294967296 does not fit s32");
    assert_eq!(error(i64::from(i32::MIN) - 1), "argument 1: -2147483649 does not fit s32");
}

#[test]
fn floats() {
    accepts("f64", &[("1.5", "1.5"), ("3", "3.0"), ("18446744073709551615", "1.8446744073709552e+19")]);
    accepts("f64", &[("-0.0", "-0.0"), ("1e308", "1e+308"), ("5e-324", "5e-324")]);
    accepts("f32", &[("1.5", "1.5"), ("3", "3.0"), ("0.1", "0.10000000149011612"), ("1e-60", "0.0")]);
    for wit in ["f32", "f64"] {
        let exact = |text: &str| accepted(&json(text), &ty(wit)).map(|value| value.as_f64().unwrap());
        assert!(exact(r#""nan""#).unwrap().is_nan());
        assert_eq!(exact(r#""inf""#), Ok(f64::INFINITY));
        assert_eq!(exact(r#""-inf""#), Ok(f64::NEG_INFINITY));
        let error = r#": expected `WIT`, found string "infinity""#.replace("WIT", wit);
        refuses(wit, &[(r#""infinity""#, &error)]);
    }
    accepts("f32", &[("3.4028234663852886e38", "3.4028234663852886e+38")]);
    refuses("f32", &[("1e39", ": 1e+39 does not fit f32"), ("-1e39", ": -1e+39 does not fit f32")]);
}

#[test]
fn characters() {
    accepts(
        "char",
        &[(r#""a""#, r#""a""#), (r#""\ud83d\ude00""#, r#""😀""#), ("97", r#""a""#), ("1114111", "\"\u{10ffff}\"")],
    );
    refuses(
        "char",
        &[
            (r#""""#, ": expected `char`, one character, found 0"),
            (r#""ab""#, ": expected `char`, one character, found 2"),
            ("55296", ": 55296 does not fit char"),
            ("1114112", ": 1114112 does not fit char"),
            ("-1", ": -1 does not fit char"),
            ("true", ": expected `char`, found boolean true"),
        ],
    );
}

#[test]
fn strings() {
    accepts("string", &[(r#""""#, r#""""#), (r#""Ann\n""#, r#""Ann\n""#)]);
    assert_eq!(accepted(&Payload::from(&b"Ann"[..]), &ty("string")), Ok(Payload::from("Ann")));
    assert_eq!(
        refused(&Payload::from(&b"An\xff"[..]), "string"),
        "argument 1: expected text, found bytes that are not utf-8 at byte 2"
    );
    refuses(
        "string",
        &[("7", ": expected `string`, found integer 7"), ("[]", ": expected `string`, found a list of 0")],
    );
}

#[test]
fn bytes() {
    let bytes = ty("list<u8>");
    for value in [json("[104,105]"), json(r#""hi""#), Payload::from(&b"hi"[..]), json("[104.0,105]")] {
        assert_eq!(accepted(&value, &bytes), Ok(Payload::from(&b"hi"[..])), "{value}");
    }
    assert_eq!(accepted(&json("{}"), &bytes), Ok(Payload::from(&b""[..])));
    refuses(
        "list<u8>",
        &[
            ("[1, 256]", "[1]: 256 does not fit u8"),
            (r#"["a"]"#, r#"[0]: expected `u8`, found string "a""#),
            ("7", ": expected `list<u8>`, found integer 7"),
        ],
    );
}

#[test]
fn lists_and_tuples() {
    accepts("list<u32>", &[("[]", "[]"), ("{}", "[]"), ("[1,2.0]", "[1,2]")]);
    accepts("list<list<u8>>", &[(r#"["a",[98]]"#, "[[97],[98]]")]);
    accepts("tuple<u8, string>", &[(r#"[1,"a"]"#, r#"[1,"a"]"#)]);
    refuses(
        "list<u32>",
        &[
            ("null", ": expected `list<u32>`, found nothing"),
            (r#"{"a":1}"#, ": expected `list<u32>`, found a map with `a`"),
            ("[0,[]]", "[1]: expected `u32`, found a list of 0"),
        ],
    );
    refuses(
        "tuple<u8, string>",
        &[
            ("[1]", ": expected 2 values for `tuple<u8, string>`, found 1"),
            (r#"[1,"a",2]"#, ": expected 2 values for `tuple<u8, string>`, found 3"),
            ("{}", ": expected `tuple<u8, string>`, found an empty map"),
            ("[256,\"a\"]", "[0]: 256 does not fit u8"),
        ],
    );
}

#[test]
fn options() {
    accepts("option<u8>", &[("null", "null"), ("7", "7")]);
    accepts("option<record { some: u8 }>", &[(r#"{"some":7}"#, r#"{"some":7}"#)]);
    refuses(
        "option<u8>",
        &[("256", ": 256 does not fit u8"), (r#"{"some":1}"#, ": expected `u8`, found a map with `some`")],
    );
    accepts(
        "option<option<u8>>",
        &[
            ("null", "null"),
            (r#"{"some":null}"#, r#"{"some":null}"#),
            (r#"{"some":7}"#, r#"{"some":7}"#),
            ("7", r#"{"some":7}"#),
        ],
    );
    accepts(
        "option<option<option<u8>>>",
        &[("7", r#"{"some":{"some":7}}"#), (r#"{"some":{"some":null}}"#, r#"{"some":{"some":null}}"#)],
    );
    refuses(
        "option<option<u8>>",
        &[
            (r#"{"some":256}"#, ".some: 256 does not fit u8"),
            ("256", ": 256 does not fit u8"),
            (r#"{"some":1,"none":2}"#, ": expected a map with one key, the case of `option<option<u8>>`, found 2 keys"),
        ],
    );
}

#[test]
fn records() {
    let point = "record { x: s32, y: s32, top-left: option<string> }";
    accepts(
        point,
        &[
            (r#"{"x":1,"y":2}"#, r#"{"x":1,"y":2,"top-left":null}"#),
            (r#"{"top-left":"a","y":2,"x":1}"#, r#"{"x":1,"y":2,"top-left":"a"}"#),
        ],
    );
    refuses(
        point,
        &[
            (r#"{"x":1}"#, ": missing field `y` of type `s32`"),
            (r#"{"x":1,"y":2,"topleft":"a"}"#, ": unknown field `topleft`, did you mean `top-left`"),
            (r#"{"x":1,"z":2}"#, ": unknown field `z`, did you mean `x`"),
            (r#"{"x":1,"y":2,"colour":2}"#, ": unknown field `colour`, expected one of `x`, `y`, `top-left`"),
            (r#"{"x":1,"y":2147483648}"#, ".y: 2147483648 does not fit s32"),
            ("[1,2]", ": expected `record { x: s32, y: s32, top-left: option<string> }`, found a list of 2"),
        ],
    );
    // The path of the specification.
    let users = "record { users: list<record { id: u32 }> }";
    refuses(
        users,
        &[(r#"{"users":[{"id":0},{"id":1},{"id":2},{"id":4294967296}]}"#, ".users[3].id: 4294967296 does not fit u32")],
    );
}

#[test]
fn variants() {
    let shape = "variant { circle(f64), square, maybe(option<u8>) }";
    accepts(
        shape,
        &[
            (r#"{"circle":2}"#, r#"{"circle":2.0}"#),
            (r#""square""#, r#""square""#),
            (r#"{"square":null}"#, r#""square""#),
            (r#"{"square":true}"#, r#""square""#),
            (r#"{"maybe":null}"#, r#"{"maybe":null}"#),
            (r#""maybe""#, r#"{"maybe":null}"#),
            (r#"{"maybe":7}"#, r#"{"maybe":7}"#),
        ],
    );
    refuses(
        shape,
        &[
            (r#""circle""#, ": case `circle` needs a payload of type `f64`"),
            (r#"{"square":7}"#, ": case `square` takes no payload, found integer 7"),
            (r#"{"sqare":null}"#, ": unknown case `sqare`, did you mean `square`"),
            (r#""triangle""#, ": unknown case `triangle`, expected one of `circle`, `square`, `maybe`"),
            (r#"{"maybe":256}"#, ".maybe: 256 does not fit u8"),
            (
                r#"{"circle":1,"square":null}"#,
                ": expected a map with one key, the case of `variant { circle(f64), square, maybe(option<u8>) }`, found 2 keys",
            ),
            ("7", ": expected `variant { circle(f64), square, maybe(option<u8>) }`, found integer 7"),
        ],
    );
}

#[test]
fn results() {
    accepts("result<u8, string>", &[(r#"{"ok":7}"#, r#"{"ok":7}"#), (r#"{"err":"no"}"#, r#"{"err":"no"}"#)]);
    accepts("result", &[(r#""ok""#, r#"{"ok":null}"#), (r#"{"err":null}"#, r#"{"err":null}"#)]);
    accepts("result<_, string>", &[(r#"{"ok":null}"#, r#"{"ok":null}"#), (r#"{"err":"no"}"#, r#"{"err":"no"}"#)]);
    refuses(
        "result<u8, string>",
        &[
            (r#"{"ok":256}"#, ".ok: 256 does not fit u8"),
            (r#"{"error":"no"}"#, ": unknown case `error`, did you mean `err`"),
            (r#""ok""#, ": case `ok` needs a payload of type `u8`"),
            ("{}", ": expected a map with one key, the case of `result<u8, string>`, found 0 keys"),
        ],
    );
}

#[test]
fn enums() {
    accepts("enum { red, green }", &[(r#""red""#, r#""red""#), ("1", r#""green""#), ("0.0", r#""red""#)]);
    refuses(
        "enum { red, green }",
        &[
            (r#""gren""#, ": unknown case `gren`, did you mean `green`"),
            (r#""blue""#, ": unknown case `blue`, expected one of `red`, `green`"),
            ("2", ": 2 is no case number, expected 0 to 1"),
            ("-1", ": -1 is no case number, expected 0 to 1"),
            ("true", ": expected `enum { red, green }`, found boolean true"),
        ],
    );
}

#[test]
fn flags() {
    accepts(
        "flags { read, write, exec }",
        &[
            ("[]", "[]"),
            ("{}", "[]"),
            (r#"["exec","read","exec"]"#, r#"["read","exec"]"#),
            (r#"{"write":true,"read":false}"#, r#"["write"]"#),
            ("5", r#"["read","exec"]"#),
            ("7", r#"["read","write","exec"]"#),
        ],
    );
    refuses(
        "flags { read, write, exec }",
        &[
            (r#"["wite"]"#, ": unknown flag `wite`, did you mean `write`"),
            (r#"{"run":true}"#, ": unknown flag `run`, expected one of `read`, `write`, `exec`"),
            ("8", ": 8 is no set of flags, expected 0 to 7"),
            ("-1", ": -1 is no set of flags, expected 0 to 7"),
            ("[1]", "[0]: expected `string`, found integer 1"),
            (r#"{"read":1}"#, ".read: expected `bool`, found integer 1"),
        ],
    );
}

#[test]
fn values_of_an_instance_are_refused() {
    let handles = super::WitType::List(Box::new(super::WitType::Refused("own<resource>")));
    let error = accepted(&json("[1]"), &handles).unwrap_err().to_string();
    let reason =
        "a value of type `own<resource>` belongs to its instance and cannot be passed; export a function without it";
    assert_eq!(error, format!("argument 1[0]: {reason}"));
}

#[test]
fn a_value_of_another_type_is_not_lifted() {
    for (val, wit, error) in [
        (Val::U8(1), "string", "result: expected `string`, found U8(1)"),
        (Val::List(vec![Val::U8(1)]), "list<string>", "result[0]: expected `string`, found U8(1)"),
        (Val::Tuple(vec![Val::U8(1)]), "tuple<u8, u8>", "result: expected `tuple<u8, u8>`, found Tuple([U8(1)])"),
    ] {
        assert_eq!(lift(&val, &ty(wit)).unwrap_err().to_string(), error);
    }
}

#[test]
fn long_values_and_types_are_cut_in_errors() {
    let long = Payload::from("x".repeat(500));
    let error = refused(&long, "u8");
    assert!(error.ends_with("x…\"") && error.len() < 200, "{error}");
    let wide = format!("record {{ {} }}", (0..100).map(|n| format!("field-{n}: u8")).collect::<Vec<_>>().join(", "));
    let error = refused(&json("7"), &wide);
    assert!(error.contains('…') && error.len() < 200, "{error}");
    let names = format!("enum {{ {} }}", (0..100).map(|n| format!("case-number-{n}")).collect::<Vec<_>>().join(", "));
    let error = refused(&json(r#""x""#), &names);
    assert!(error.ends_with("`case-number-11` and 88 more"), "{error}");
}
