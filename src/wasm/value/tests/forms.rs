//! What scripts see of results, and what their tables mean.

use super::super::forms::{BYTES_AS_NUMBERS_MAX, named_form, wippy_form};
use super::{Payload, Signature, WitType, accepted, json, refused, ty};

fn returns(ty: WitType) -> Signature {
    Signature::new(vec![], vec![ty])
}

/// A value in exact shape, then in the form of Wippy, then in the named one; both mean the value where they are arguments.
#[track_caller]
fn forms(wit: &str, triples: &[(&str, &str, &str)]) {
    let ty = ty(wit);
    let signature = returns(ty.clone());
    for (exact, wippy, named) in triples {
        // JSON has no bytes and no NaN: acceptance makes them.
        let value = accepted(&json(exact), &ty).unwrap();
        let found = [wippy_form(&value, &signature).unwrap(), named_form(&value, &signature).unwrap()];
        assert_eq!([found[0].to_string(), found[1].to_string()], [*wippy, *named], "{exact} of {wit}");
        for form in found {
            assert_eq!(accepted(&form, &ty).as_ref(), Ok(&value), "{form} for {wit}");
        }
    }
}

#[test]
fn numbers_or_names() {
    forms("u64", &[("18446744073709551615", "18446744073709551615", "18446744073709551615")]);
    forms("char", &[(r#""ä""#, "228", r#""ä""#)]);
    forms("enum { red, green }", &[(r#""green""#, "1", r#""green""#)]);
    forms("flags { read, write, exec }", &[("[]", "0", "[]"), (r#"["read","exec"]"#, "5", r#"["read","exec"]"#)]);
    forms(
        "record { c: char, l: list<enum { a, b }>, t: tuple<u8, option<char>>, o: option<u8> }",
        &[(
            r#"{"c":"a","l":["b","a"],"t":[1,"b"],"o":null}"#,
            r#"{"c":97,"l":[1,0],"t":[1,98],"o":null}"#,
            r#"{"c":"a","l":["b","a"],"t":[1,"b"],"o":null}"#,
        )],
    );
}

#[test]
fn bytes_are_numbers_or_bytes() {
    let signature = returns(ty("list<u8>"));
    let bytes = Payload::from(vec![0_u8, 255]);
    assert_eq!(*wippy_form(&bytes, &signature).unwrap(), Payload::from(vec![Payload::from(0), Payload::from(255)]));
    assert_eq!(*named_form(&bytes, &signature).unwrap(), bytes);

    let many = |count: usize| Payload::from(vec![Payload::from(vec![7_u8; count]), Payload::from(vec![7_u8; 1])]);
    let signature = returns(ty("list<list<u8>>"));
    assert!(wippy_form(&many(BYTES_AS_NUMBERS_MAX - 1), &signature).is_ok());
    let error = wippy_form(&many(BYTES_AS_NUMBERS_MAX), &signature).unwrap_err();
    let expected = "the result has more than 524288 bytes in a `list<u8>`, too many for a table of numbers; with `values: \
                    named` in its entry a `list<u8>` is a string";
    assert_eq!(error.to_string(), expected);
    assert!(named_form(&many(BYTES_AS_NUMBERS_MAX), &signature).is_ok());
}

#[test]
fn no_table_has_to_hold_a_nil_for_its_case() {
    forms(
        "result",
        &[(r#"{"ok":null}"#, r#"{"ok":true}"#, r#""ok""#), (r#"{"err":null}"#, r#"{"err":true}"#, r#""err""#)],
    );
    forms(
        "result<char, string>",
        &[
            (r#"{"ok":"a"}"#, r#"{"ok":97}"#, r#"{"ok":"a"}"#),
            (r#"{"err":"no"}"#, r#"{"err":"no"}"#, r#"{"err":"no"}"#),
        ],
    );
    forms(
        "result<option<u8>>",
        &[(r#"{"ok":null}"#, r#""ok""#, r#""ok""#), (r#"{"ok":7}"#, r#"{"ok":7}"#, r#"{"ok":7}"#)],
    );
    forms(
        "variant { circle(f64), square, maybe(option<char>) }",
        &[
            (r#"{"circle":2.5}"#, r#"{"circle":2.5}"#, r#"{"circle":2.5}"#),
            (r#""square""#, r#"{"square":true}"#, r#""square""#),
            (r#"{"maybe":null}"#, r#""maybe""#, r#""maybe""#),
            (r#"{"maybe":"a"}"#, r#"{"maybe":97}"#, r#"{"maybe":"a"}"#),
        ],
    );
}

#[test]
fn options_of_options() {
    forms("option<option<char>>", &[("null", "null", "null"), (r#""a""#, "97", r#"{"some":"a"}"#)]);
    // A record that looks like an option stays wrapped, since it would be read as one.
    let record = "option<option<record { some: u8 }>>";
    forms(record, &[(r#"{"some":{"some":7}}"#, r#"{"some":{"some":7}}"#, r#"{"some":{"some":7}}"#)]);
    let variant = "option<option<variant { none, other }>>";
    forms(variant, &[(r#""none""#, r#"{"some":{"none":true}}"#, r#"{"some":"none"}"#)]);
    // What Wippy's form can't say.
    for (wit, exact, named) in [
        ("option<option<u8>>", r#"{"some":null}"#, r#"{"none":true}"#),
        ("option<option<option<u8>>>", r#"{"some":{"some":null}}"#, r#"{"some":{"none":true}}"#),
    ] {
        let (value, signature) = (json(exact), returns(ty(wit)));
        assert_eq!(wippy_form(&value, &signature).unwrap().to_string(), "null", "{wit}");
        let form = named_form(&value, &signature).unwrap();
        assert_eq!((form.to_string().as_str(), accepted(&form, &ty(wit))), (named, Ok(value)), "{wit}");
    }
}

#[test]
fn what_is_the_same_in_every_form_is_not_copied() {
    let (value, signature) = (json(r#"[{"a":"text"}]"#), returns(ty("list<record { a: option<string> }>")));
    assert!(matches!(wippy_form(&value, &signature), Ok(std::borrow::Cow::Borrowed(_))));
    assert!(matches!(named_form(&value, &signature), Ok(std::borrow::Cow::Borrowed(_))));
    let several = Signature::new(vec![], vec![WitType::Char, WitType::U8]);
    assert_eq!(wippy_form(&json(r#"["a",1]"#), &several).unwrap().to_string(), "[97,1]");
    assert_eq!(*wippy_form(&Payload::Nil, &Signature::new(vec![], vec![])).unwrap(), Payload::Nil);
}

#[test]
fn an_empty_table_is_what_the_type_wants() {
    for (wit, exact) in [
        ("list<u32>", "[]"),
        ("list<u8>", "[]"),
        ("record { a: option<u8>, b: option<string> }", r#"{"a":null,"b":null}"#),
        ("tuple<option<u8>, option<u8>>", "[null,null]"),
        ("flags { read }", "[]"),
        ("option<list<u32>>", "[]"),
    ] {
        for table in ["[]", "{}"] {
            assert_eq!(accepted(&json(table), &ty(wit)).unwrap().to_string(), exact, "{table} for {wit}");
        }
    }
    let error = refused(&json("[]"), "record { a: u8 }");
    assert_eq!(error, "argument 1: missing field `a` of type `u8`");
    let error = refused(&json("[]"), "result<u8>");
    assert_eq!(error, "argument 1: expected a map with one key, the case of `result<u8>`, found 0 keys");
}

#[test]
fn the_nils_at_the_end_of_a_table_may_be_missing() {
    let mixed = ty("tuple<u8, option<u8>, option<string>>");
    for (given, exact) in [("[1]", "[1,null,null]"), ("[1,2]", "[1,2,null]"), ("[1,null,\"a\"]", "[1,null,\"a\"]")] {
        assert_eq!(accepted(&json(given), &mixed).unwrap().to_string(), exact);
    }
    let error = refused(&json("[]"), "tuple<option<u8>, u8>");
    assert_eq!(error, "argument 1: expected 2 values for `tuple<option<u8>, u8>`, found 0");
}

#[test]
fn one_flag_may_stand_alone() {
    assert_eq!(accepted(&json(r#""write""#), &ty("flags { read, write }")).unwrap().to_string(), r#"["write"]"#);
    let error = refused(&json(r#""wite""#), "flags { read, write }");
    assert_eq!(error, "argument 1: unknown flag `wite`, did you mean `write`");
}
