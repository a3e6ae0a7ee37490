use bytes::Bytes;
use proptest::prelude::*;

use super::{JsonError, Payload, YamlError};

fn json(text: &str) -> Result<Payload, String> {
    Payload::parse_json(text).map_err(|error| error.to_string())
}

#[test]
fn rust_values_become_payloads() {
    assert_eq!(Payload::from(-1i8), Payload::Int(-1));
    assert_eq!(Payload::from(u64::MAX), Payload::UInt(u64::MAX));
    assert_eq!(Payload::from(i64::MAX as u64), Payload::Int(i64::MAX));
    assert_eq!(Payload::from(7usize), Payload::Int(7));
    assert_eq!(Payload::from("a"), Payload::String("a".to_owned()));
    assert_eq!(Payload::from(vec![1u8]), Payload::Bytes(Bytes::from_static(&[1])));
    assert_eq!(Payload::from(()), Payload::Nil);
    assert_eq!(Payload::from(None::<i64>), Payload::Nil);
    assert_eq!(Payload::from(Some(true)), Payload::Bool(true));
    assert_eq!(Payload::from('x'), Payload::from("x"));
}

#[test]
fn accessors_answer_for_their_kind_only() {
    let map: Payload = [("a", Payload::from(1)), ("b", Payload::from(u64::MAX))].into_iter().collect();
    assert_eq!(map.get("a").and_then(Payload::as_i64), Some(1));
    assert_eq!(map.get("b").and_then(Payload::as_i64), None);
    assert_eq!(map.get("b").and_then(Payload::as_u64), Some(u64::MAX));
    assert_eq!(map.get("c"), None);
    assert_eq!(Payload::from(-1).as_u64(), None);
    assert_eq!(Payload::from(1.0).as_i64(), None);
    assert_eq!(Payload::from(1).as_f64(), Some(1.0));
    assert_eq!(Payload::from("ab").as_bytes(), Some(&b"ab"[..]));
    assert_eq!(Payload::from(vec![Payload::Nil]).at(0), Some(&Payload::Nil));
    let kinds = [Payload::Nil, true.into(), 1.into(), u64::MAX.into(), 1.5.into(), "".into(), vec![0u8].into(), map];
    let kinds: Vec<_> = kinds.iter().map(Payload::kind).collect();
    assert_eq!(kinds, ["nil", "boolean", "integer", "integer", "float", "string", "bytes", "map"]);
}

#[test]
fn json_shows_every_kind() {
    let value: Payload = [
        ("z", Payload::Nil),
        ("bytes", Payload::from(vec![1u8, 255])),
        ("big", Payload::from(u64::MAX)),
        ("whole", Payload::from(2.0)),
        ("odd", [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(Payload::from).into_iter().collect()),
    ]
    .into_iter()
    .collect();
    let text = r#"{"z":null,"bytes":[1,255],"big":18446744073709551615,"whole":2.0,"odd":["nan","inf","-inf"]}"#;
    assert_eq!(value.to_string(), text);
    assert_eq!(value.to_json(), serde_json::from_str::<serde_json::Value>(text).unwrap());
}

#[test]
fn json_reads_numbers_exactly() {
    assert_eq!(json("9223372036854775807"), Ok(Payload::Int(i64::MAX)));
    assert_eq!(json("9223372036854775808"), Ok(Payload::UInt(1 << 63)));
    assert_eq!(json("18446744073709551616"), Ok(Payload::Float(18446744073709551616.0)));
    assert_eq!(json("1.0"), Ok(Payload::Float(1.0)));
    assert_eq!(json("-0").map(|zero| zero.to_string()), Ok("-0.0".to_owned()));
    assert_eq!(json("9007199254740993.0"), Ok(Payload::Float(9007199254740992.0)));
    assert_eq!(json("1e400"), Err("column 1: expected a number that fits 64 bits".to_owned()));
}

#[test]
fn json_reads_text_and_escapes() {
    assert_eq!(json(r#""a\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00""#), Ok(Payload::from("a\"\\/\u{8}\u{c}\n\r\téé😀")));
    assert_eq!(json(" [ 1 , { \"k\" : true } ] \n").map(|v| v.to_string()), Ok(r#"[1,{"k":true}]"#.to_owned()));
}

#[test]
fn json_errors_name_the_place() {
    for (text, column, expected) in [
        ("", 1, "a value"),
        ("[1,]", 4, "a value"),
        ("[1 2]", 4, "`,` or `]`"),
        ("{\"a\" 1}", 6, "`:`"),
        ("{a:1}", 2, "a key in double quotes"),
        ("{\"a\":1,\"a\":2}", 8, "a key that is not there yet"),
        ("{\"a\":1", 7, "`,` or `}`"),
        ("01", 2, "the end"),
        ("1.", 3, "a digit"),
        ("-", 2, "a digit"),
        ("nul", 1, "a value"),
        ("true false", 6, "the end"),
        ("\"é", 3, "`\"`"),
        ("\"\\x\"", 3, "an escape"),
        ("\"\\u12\"", 4, "four hexadecimal digits"),
        ("\"\\ud800x\"", 8, "the second half of a surrogate pair"),
        ("\"\\udc00\"", 8, "the first half of a surrogate pair"),
        ("\"\n\"", 2, "an escape such as `\\n` for this control character"),
    ] {
        assert_eq!(Payload::parse_json(text), Err(JsonError { column, expected }), "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let deepest = Payload::parse_json(&nested(Payload::MAX_DEPTH)).unwrap();
    assert!(!deepest.is_too_deep());
    assert!(Payload::from(vec![deepest]).is_too_deep());
    assert!(Payload::parse_json(&nested(Payload::MAX_DEPTH + 1)).is_err());
    let mut yaml = serde_yaml::Value::Null;
    for _ in 0..Payload::MAX_DEPTH {
        yaml = serde_yaml::Value::Sequence(vec![yaml]);
    }
    assert!(Payload::from_yaml(&yaml).is_ok());
    assert_eq!(Payload::from_yaml(&serde_yaml::Value::Sequence(vec![yaml])), Err(YamlError::TooDeep));
}

#[test]
fn yaml_values_become_payloads() {
    let read = |text: &str| Payload::from_yaml(&serde_yaml::from_str(text).unwrap()).map(|value| value.to_string());
    assert_eq!(
        read("b: [1, 2.0, .nan, 18446744073709551615, ~]\na: {7: yes, true: 'x'}"),
        Ok(r#"{"b":[1,2.0,"nan",18446744073709551615,null],"a":{"7":"yes","true":"x"}}"#.to_owned())
    );
    assert_eq!(read("? [1]\n: 2"), Err(YamlError::Key { found: "a list" }));
    assert_eq!(read("!thing 1"), Err(YamlError::Tag { tag: "!thing".to_owned() }));
    assert_eq!(read("{1: a, '1': b}"), Err(YamlError::DuplicateKey { key: "1".to_owned() }));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_to_payload_to_json(value in any_json()) {
        let payload = Payload::from_json(&value);
        prop_assert_eq!(payload.to_json(), value.clone());
        prop_assert_eq!(Payload::parse_json(&value.to_string()), Ok(payload.clone()));
        prop_assert_eq!(Payload::parse_json(&payload.to_string()), Ok(payload));
    }

    #[test]
    fn floats_survive_text(bits in any::<u64>()) {
        let float = f64::from_bits(bits);
        prop_assume!(float.is_finite());
        let read = Payload::parse_json(&Payload::from(float).to_string()).map(|value| value.as_f64().map(f64::to_bits));
        prop_assert_eq!(read, Ok(Some(bits)));
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        if let Ok(value) = Payload::parse_json(&text) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{} as {}", text, value);
        }
    }
}
