use super::*;

/// A schema, what fits, and what does not with what is said of it.
type Case = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

fn check(schema: &str, value: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(schema).expect(schema);
    validate(&prepare(&schema)?, &serde_json::from_str(value).expect(value))
}

#[test]
fn words_mean_what_the_drafts_say() {
    let cases: [Case; 29] = [
        ("true", &["1"], &[]),
        ("false", &[], &[("1", "nothing is allowed")]),
        (r#"{"type":"integer"}"#, &["1", "1.0"], &[("1.5", "expected integer, not number")]),
        (r#"{"type":["string","null"]}"#, &["null", "\"\""], &[("1", "expected string or null, not integer")]),
        (r#"{"enum":[1,"a",[2]]}"#, &["1.0", "[2]"], &[("2", "expected one of 1, \"a\", [2]")]),
        (r#"{"const":{"a":1}}"#, &[r#"{"a":1}"#], &[("{}", "expected {\"a\":1}")]),
        (r#"{"minimum":0,"exclusiveMaximum":9}"#, &["0", "8.9"], &[("9", "less than 9"), ("-1", "at least 0")]),
        (r#"{"multipleOf":0.1}"#, &["0.3"], &[("0.35", "a multiple of 0.1")]),
        (r#"{"multipleOf":3}"#, &["9"], &[("10", "a multiple of 3")]),
        (r#"{"minLength":2,"maxLength":2}"#, &["\"éé\""], &[("\"é\"", "at least 2 characters, not 1")]),
        (r#"{"pattern":"^a+$"}"#, &["\"aa\"", "5"], &[("\"b\"", "matches `^a+$`")]),
        (r#"{"items":{"type":"string"}}"#, &["[]", "[\"a\"]"], &[("[\"a\",1]", "at `/1`: expected string")]),
        (r#"{"prefixItems":[{"const":1}],"items":false}"#, &["[1]"], &[("[1,2]", "at `/1`: nothing")]),
        (r#"{"items":[{"const":1}],"additionalItems":false}"#, &["[1]"], &[("[1,2]", "at `/1`: nothing")]),
        (r#"{"uniqueItems":true,"maxItems":3}"#, &["[1,2]"], &[("[1,1]", "twice"), ("[1,2,3,4]", "at most 3 items")]),
        (r#"{"contains":{"const":1},"maxContains":1}"#, &["[1,2]"], &[("[2]", "0 of the items"), ("[1,1]", "2 of")]),
        (r#"{"properties":{"a":{"type":"null"}}}"#, &["{}"], &[(r#"{"a":1}"#, "at `/a`: expected null")]),
        (r#"{"required":["a","b"]}"#, &[r#"{"a":1,"b":2}"#, "1"], &[(r#"{"a":1}"#, "`b` is missing")]),
        (r#"{"properties":{"a":true},"additionalProperties":false}"#, &[r#"{"a":1}"#], &[(r#"{"b":1}"#, "`b` is not")]),
        (r#"{"patternProperties":{"^x":{"type":"null"}}}"#, &[r#"{"x":null,"y":1}"#], &[(r#"{"x1":1}"#, "at `/x1`")]),
        (r#"{"propertyNames":{"maxLength":1},"minProperties":1}"#, &[r#"{"a":1}"#], &[(r#"{"ab":1}"#, "at most 1")]),
        (r#"{"dependentRequired":{"a":["b"]}}"#, &["{}"], &[(r#"{"a":1}"#, "`b` is missing beside `a`")]),
        (r#"{"dependencies":{"a":{"required":["c"]}}}"#, &["{}"], &[(r#"{"a":1}"#, "`c` is missing")]),
        (r#"{"allOf":[{"minimum":1},{"maximum":2}]}"#, &["1"], &[("3", "at most 2")]),
        (r#"{"anyOf":[{"type":"null"},{"minimum":5}]}"#, &["null", "5"], &[("1", "0 of the 2 forms of `anyOf`")]),
        (r#"{"oneOf":[{"minimum":1},{"minimum":5}]}"#, &["1"], &[("5", "2 of the 2 forms of `oneOf`")]),
        (r#"{"not":{"type":"null"}}"#, &["1"], &[("null", "as `not` says")]),
        (r#"{"if":{"minimum":5},"then":{"const":5},"else":{"const":1}}"#, &["5", "1"], &[("6", "5"), ("2", "1")]),
        (
            r##"{"$defs":{"tree":{"properties":{"next":{"$ref":"#/$defs/tree"},"v":{"type":"null"}}}},"$ref":"#/$defs/tree"}"##,
            &[r#"{"next":{"next":{}}}"#],
            &[(r#"{"next":{"next":{"v":1}}}"#, "at `/next/next/v`: expected null")],
        ),
    ];
    for (schema, good, bad) in cases {
        for value in good {
            assert_eq!(check(schema, value), Ok(()), "{schema} {value}");
        }
        for (value, said) in bad {
            let error = check(schema, value).expect_err(schema);
            assert!(error.contains(said), "{schema} {value}: {error}");
        }
    }
}

#[test]
fn formats_are_looked_at() {
    for (format, good, bad) in [
        ("email", "a.b@example.com", "not-an-email"),
        ("hostname", "example.com", "-a"),
        ("ipv4", "127.0.0.1", "256.0.0.1"),
        ("ipv6", "::1", "1::2::3"),
        ("uri", "https://example.com/a", "a b"),
        ("uuid", "00000000-0000-0000-0000-00000000000a", "0000"),
        ("date-time", "2024-02-29T12:00:00.5+02:00", "2024-02-30T12:00:00Z"),
        ("date", "2024-02-29", "2024-13-01"),
        ("time", "12:00:00Z", "25:00:00Z"),
        ("regex", "a+", "("),
    ] {
        let schema = format!(r#"{{"format":"{format}"}}"#);
        assert_eq!(check(&schema, &format!("\"{good}\"")), Ok(()), "{format}");
        assert!(check(&schema, &format!("\"{bad}\"")).is_err(), "{format}");
    }
    assert_eq!(check(r#"{"format":"colour"}"#, "\"x\""), Ok(()));
}

#[test]
fn what_is_not_understood_is_refused() {
    for (schema, said) in [
        (r#"{"$ref":"http://example.com/schema"}"#, "beyond the schema"),
        (r#"{"properties":{"a":{"unevaluatedItems":false}}}"#, "`properties`: `a`: `unevaluatedItems`: this word"),
        (r#"{"type":"text"}"#, "`type`: expected one or some of null"),
        (r#"{"pattern":"(?=a)"}"#, "`pattern`: the pattern `(?=a)`"),
        (r#"{"minLength":"1"}"#, "`minLength`: expected a whole number"),
        (r#"{"minimum":"1"}"#, "`minimum`: expected a number"),
        (r#"{"multipleOf":0}"#, "above zero"),
        (r#"{"anyOf":{"type":"null"}}"#, "expected a list of schemas"),
        (r#"{"properties":5}"#, "expected a table with names"),
        (r#"{"required":"a"}"#, "expected a list"),
        ("5", "expected a table"),
        (r##"{"$ref":"#/$defs/none"}"##, "`#/$defs/none` leads nowhere"),
    ] {
        let error = check(schema, "1").expect_err(schema);
        assert!(error.contains(said), "{schema}: {error}");
    }
}

#[test]
fn no_schema_works_without_an_end() {
    let error = check(r##"{"$ref":"#"}"##, "1").expect_err("a circle");
    assert!(error.contains("nest deeper than 400"), "{error}");
    let error = check(r##"{"anyOf":[{"not":{"$ref":"#"}},{"$ref":"#"}]}"##, "1").expect_err("a circle");
    assert!(error.contains("nest deeper than 400"), "{error}");
    let mut value = "[".repeat(100);
    value.push_str(&"]".repeat(100));
    let doubling = r##"{"anyOf":[{"items":{"$ref":"#"},"minItems":1},{"items":{"$ref":"#"},"minItems":1}]}"##;
    let error = check(doubling, &value).expect_err("2^100 ways");
    assert!(error.contains("more than 1048576 steps"), "{error}");
    // Long lists looked at by many schemas.
    let many = |item: &str| format!("[{}{item}]", format!("{item},").repeat(9_999));
    let long = format!(r#"{{"allOf":{}}}"#, many(r#"{"maxItems":99999}"#));
    let error = check(&long, &many("0")).expect_err("10^8 looks");
    assert!(error.contains("more than 1048576 steps"), "{error}");
}

#[test]
fn empty_tables_of_scripts_are_what_is_wanted() {
    let schema = r#"{"properties":[],"additionalProperties":[],"required":[],"dependentRequired":[]}"#;
    assert_eq!(check(schema, r#"{"a":1}"#), Ok(()));
    assert_eq!(check("[]", "1"), Ok(()));
}
