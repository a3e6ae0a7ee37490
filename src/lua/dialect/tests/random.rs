//! Scripts by chance: the parser fails on none, Lua as it stands stays as it is, annotations leave what was there without
//! them.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{EraseError, erase};
use super::is_lua;

/// Words that mean something to Lua, to Luau, or to both and not the same.
const WORDS: &[&str] = &[
    "x", "y", "T", "type", "export", "continue", "const", "typeof", "read", "1", "0x1F", "1_0", "2.5", "'s'", "[[l]]",
    "`s`", "nil", "true", "...", "(", ")", "{", "}", "[", "]", "<", ">", ">>", "<<", ">=", "<=", "=", "==", "~=", "~",
    "::", ":", ";", ",", ".", "..", "+", "-", "*", "/", "//", "%", "^", "#", "&", "|", "?", "->", "+=", "@", "not",
    "and", "or", "local", "function", "return", "end", "do", "while", "repeat", "until", "if", "then", "else",
    "elseif", "for", "in", "goto", "break", "<const>", "--c\n", "--[[c]]", "\n", "\r\n", "é", "\0", "'", "[==[", "$",
    "\u{feff}",
];

/// What holds for every script, whatever is in it.
fn look(source: &str) -> Result<(), TestCaseError> {
    let erased = match erase(source) {
        Ok(erased) => erased,
        Err(EraseError::Syntax(error)) => {
            prop_assert!(is_lua(source).is_err(), "{error}\n{source}");
            prop_assert!(error.message != "the parser failed on this script", "{source}");
            prop_assert!(error.line <= source.matches('\n').count() + 1 && error.column >= 1 && error.len >= 1);
            return Ok(());
        }
        Err(EraseError::Thread(error)) => return Err(TestCaseError::fail(error.to_string())),
    };
    prop_assert_eq!(erased.chars().count(), source.chars().count());
    for (left, written) in erased.chars().zip(source.chars()) {
        prop_assert!(left == written || (matches!(left, ' ' | ';') && !matches!(written, '\n' | '\r')), "{}", source);
    }
    if is_lua(source).is_ok() {
        prop_assert_eq!(erased, source);
    }
    Ok(())
}

/// Names, those among them that Luau gives a meaning in some places.
fn name() -> impl Strategy<Value = String> {
    select(&["a", "b", "f", "type", "continue", "export", "const", "typeof", "read"][..]).prop_map(str::to_owned)
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        name(),
        select(&["nil", "true", "1", "0x1F", "1e3", ".5", "'it\\'s'", "\"x: T\"", "[==[ y :: T ]==]", "..."][..])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = select(
            &[
                "+", "-", "*", "/", "//", "%", "^", "..", "==", "~=", "<", ">", "<=", ">=", "<<", ">>", "&", "|", "~",
                "and", "or",
            ][..],
        );
        let unary = select(&["-", "not ", "#", "~"][..]);
        let list = vec(inner.clone(), 0..3).prop_map(|list| list.join(", "));
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
            (unary, inner.clone()).prop_map(|(sign, a)| format!("{sign} {a}")),
            inner.clone().prop_map(|a| format!("({a})")),
            (name(), name(), inner.clone()).prop_map(|(a, b, c)| format!("{a}.{b}[ {c}]")),
            (name(), list.clone()).prop_map(|(a, list)| format!("{a}({list})")),
            (name(), name(), list.clone()).prop_map(|(a, b, list)| format!("{a}:{b}({list})")),
            (name(), name()).prop_map(|(a, b)| format!("{a}'s'{{{b}}}[[t]]")),
            (name(), inner.clone(), list.clone()).prop_map(|(a, b, c)| format!("{{{a} = {b}; [ {b}] = {b}, {c}}}")),
            (name(), list).prop_map(|(a, list)| format!("function({a}, ...) return {list} end")),
        ]
    })
}

/// Statements of Lua with what goes between them.
fn block() -> impl Strategy<Value = String> {
    let statement = prop_oneof![
        (name(), expression()).prop_map(|(a, b)| format!("local {a} = {b}")),
        expression().prop_map(|a| format!("local K <const>, C <close> = {a}")),
        (name(), name(), expression()).prop_map(|(a, b, c)| format!("{a}, {a}.{b} = {c}, {c}")),
        (name(), expression()).prop_map(|(a, b)| format!("{a}({b})")),
        (name(), name(), expression()).prop_map(|(a, b, c)| format!("; ({a}):{b}({c})")),
    ];
    let separator = select(&["\n", " ", ";", " ; ;", " -- x: T\n", " --[[ :: ]] "][..]);
    let block = vec((statement, separator.clone()), 0..4)
        .prop_map(|parts| parts.into_iter().map(|(part, between)| part + between).collect::<String>());
    block.prop_recursive(4, 24, 3, move |inner| {
        let compound = prop_oneof![
            inner.clone().prop_map(|a| format!("do {a} end")),
            (expression(), inner.clone()).prop_map(|(a, b)| format!("while {a} do {b} break end")),
            (expression(), inner.clone()).prop_map(|(a, b)| format!("repeat {b} until {a}")),
            (expression(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("if {a} then {b} elseif {a} then else {c} end")),
            (name(), expression(), inner.clone()).prop_map(|(a, b, c)| format!("for {a} = {b}, 2 do {c} end")),
            (name(), expression(), inner.clone()).prop_map(|(a, b, c)| format!("for {a}, k in {b} do {c} end")),
            (name(), name(), inner.clone()).prop_map(|(a, b, c)| format!("function {a}.x:{b}(...) {c} end")),
            (name(), inner.clone(), expression())
                .prop_map(|(a, b, c)| format!("local function {a}(x, ...) ; {b} return {c}; end")),
            (expression(), inner.clone()).prop_map(|(a, b)| {
                format!("while {a} do if {a} then goto continue end do {b} end a = {a} ::continue:: end")
            }),
        ];
        vec((prop_oneof![compound, inner], separator.clone()), 1..4)
            .prop_map(|parts| parts.into_iter().map(|(part, between)| part + between).collect::<String>())
    })
}

/// A type, in the forms that Luau has.
fn type_() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(
            &[
                "T",
                "a",
                "type",
                "export",
                "continue",
                "nil",
                "number",
                "time.Duration",
                "'on'",
                "true",
                "typeof(a)",
                "{}"
            ][..]
        )
        .prop_map(str::to_owned),
        Just("() -> ()".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("({a})?")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) | ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})\n& ({b})")),
            inner.clone().prop_map(|a| format!("{{ {a} }}")),
            (name(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{{ {a}: {b},\n [string]: {c} }}")),
            (name(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}: {b}, ...{c}) -> ({c}, {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("Map<{a}, List<{b}>>")),
        ]
    })
}

/// A statement, and the same with spaces where it has annotations.
fn annotated() -> impl Strategy<Value = (String, String)> {
    let form = prop_oneof![
        expression().prop_map(|a| ["local x".into(), "K: ".into(), format!(" = {a}\n")].to_vec()),
        expression()
            .prop_map(|a| ["local x".into(), "K: ".into(), ", y".into(), "K: ".into(), format!(" = {a}\n")].to_vec()),
        expression().prop_map(|a| {
            let head = ["local function g", "K<A, B...>", "(x", "K: ", ", ...", "K: ", ")", "K: "];
            head.iter().map(ToString::to_string).chain([format!(" return {a} end\n")]).collect()
        }),
        expression().prop_map(|a| ["x = {(".into(), a, ")".into(), "K :: ".into(), "}\n".into()].to_vec()),
        (name(), expression())
            .prop_map(|(a, b)| [format!("for {a}"), "K: ".into(), format!(" in {b} do end\n")].to_vec()),
        expression().prop_map(|a| ["for i".into(), "K: ".into(), format!(" = 1, {a} do end\n")].to_vec()),
        Just(["Ktype N<A> = ".into(), "\n".into()].to_vec()),
        Just(["Kexport type N = ".into(), "\n".into()].to_vec()),
    ];
    (form, vec(type_(), 4)).prop_map(|(parts, types)| {
        let (mut script, mut plain) = (String::new(), String::new());
        let mut types = types.iter().cycle();
        for part in &parts {
            let annotation = part.strip_prefix('K').map(|head| match head.ends_with('>') {
                true => head.to_owned(),
                false => format!("{head}{}", types.next().map_or("", String::as_str)),
            });
            script.push_str(annotation.as_deref().unwrap_or(part));
            match annotation {
                Some(text) => plain.extend(text.chars().map(|letter| if letter == '\n' { '\n' } else { ' ' })),
                None => plain.push_str(part),
            }
        }
        (script, plain)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn words_in_any_order(words in vec(select(WORDS), 0..24), spaced in any::<bool>()) {
        look(&words.join(if spaced { " " } else { "" }))?;
    }

    #[test]
    fn any_text(source in any::<String>()) {
        look(&source)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn lua_as_it_stands(source in block()) {
        prop_assert!(is_lua(&source).is_ok(), "{:?}\n{}", is_lua(&source), source);
        let erased = erase(&source);
        prop_assert!(matches!(&erased, Ok(Cow::Borrowed(_))), "{:?}\n{}", erased, source);
    }

    #[test]
    fn annotations_by_chance(parts in vec(annotated(), 1..5)) {
        let (script, plain): (String, String) = parts.into_iter().unzip();
        prop_assert!(is_lua(&plain).is_ok(), "{:?}\n{}", is_lua(&plain), plain);
        let erased = erase(&script).map_err(|error| TestCaseError::fail(format!("{error}\n{script}")))?;
        prop_assert_eq!(erased.replace(';', " "), plain.replace(';', " "));
        prop_assert!(is_lua(&erased).is_ok(), "{:?}\n{}", is_lua(&erased), erased);
    }
}
