use proptest::prelude::*;
use serde_json::json;

use super::super::context::Actor;
use super::super::value::STEPS_MAX;
use super::*;

/// What an expression says of a request of an actor of whom much is known.
fn ask(text: &str) -> Result<bool, EvalError> {
    let actor = Actor::new("user:ann")
        .with("role", "editor")
        .with("level", 5)
        .with("active", true)
        .with("teams", json!(["core", "docs"]))
        .with("home", json!({"city": "Bern", "zip": 3000}));
    let Value::Object(attributes) = json!({"owner": "user:ann", "size": 10, "pid": "{app:p|0x1}", "pattern": "^user:"})
    else {
        unreachable!()
    };
    let request = Request { actor: &actor, action: "fs.get", resource: "app:data/Reports", attributes: &attributes };
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    expression.evaluate(&request, &mut Steps::new())
}

#[test]
fn every_part_of_the_language_says_what_it_should() {
    for (text, expected) in [
        ("true", true),
        ("not true", false),
        ("!false", true),
        ("actor.id == 'user:ann'", true),
        ("actor.id != \"user:ann\"", false),
        ("action == `fs.get` and resource startsWith 'app:'", true),
        ("resource endsWith \"Reports\"", true),
        ("resource not endsWith \"Reports\"", false),
        ("lower(resource) contains 'reports'", true),
        ("upper(actor.meta.role) == 'EDITOR'", true),
        ("resource not contains 'reports'", true),
        ("actor.meta.role in ['admin', 'editor']", true),
        ("actor.meta.role in ['admin',]", false),
        ("actor.meta.role not in ['admin']", true),
        ("'core' in actor.meta.teams", true),
        ("'city' in actor.meta.home and not ('street' in actor.meta.home)", true),
        ("'owner' in meta", true),
        ("1 in meta.nothing", false),
        ("actor.meta.level == 5.0", true),
        ("actor.meta.level > 4 && actor.meta.level < 0x06", true),
        ("actor.meta.level >= 5 and actor.meta.level <= 5", true),
        ("actor.meta.level > -1_000", true),
        ("actor.meta.level > 5.5 || actor.id == meta.owner", true),
        ("actor.meta['level'] == meta.size", false),
        ("actor.meta.home.city == 'Bern'", true),
        ("actor?.meta.home?.city == 'Bern'", true),
        ("actor.meta.teams[0] == 'core' and actor.meta.teams[-1] == 'docs'", true),
        ("actor.meta.street?.name.first == nil", true),
        ("actor.meta.street == nil", true),
        ("actor.meta.street ?? 'none' == 'none'", true),
        ("actor.meta.street ?? meta.street ?? actor.meta.level == 5", true),
        ("actor.meta.active", true),
        ("actor.meta.active ? meta.size == 10 : false", true),
        ("false ? true : meta.size == 11", false),
        ("actor.id matches '^user:[a-z]+$'", true),
        ("actor.id matches meta.pattern", true),
        ("action not matches '^user:'", true),
        ("len(actor.id) == 8 and len(actor.meta.teams) == 2 and len(meta) == 4", true),
        ("actor.meta.home == actor.meta.home and [1, [2]] == [1.0, [2.0]]", true),
        ("actor.meta.teams == ['core', 'docs']", true),
        ("'a\\n\\u0041\\'' == \"a\nA'\"", true),
        ("false and actor.meta.role > 5", false),
        ("true or actor.meta.role > 5", true),
        ("(meta.size == 10) == true", true),
        // As in the language that it is a part of: `and` binds more strongly than `or`, `??` more than comparisons.
        ("true or true and false", true),
    ] {
        assert_eq!(ask(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_can_not_be_evaluated_is_an_error() {
    for (text, error) in [
        ("actor.meta.role > 5", EvalError::Type),
        ("actor.meta.role", EvalError::Type),
        ("not actor.meta.role", EvalError::Type),
        ("actor.id in actor.meta.role", EvalError::Type),
        ("1 in actor.meta.home", EvalError::Type),
        ("actor.meta.level contains '5'", EvalError::Type),
        ("actor.meta.level matches '5'", EvalError::Type),
        ("lower(actor.meta.level) == '5'", EvalError::Type),
        ("len(actor.meta.level) == 1", EvalError::Type),
        ("actor.meta.street.name == nil", EvalError::NoMember),
        ("actor.meta.role.first == nil", EvalError::NoMember),
        ("actor.meta.teams[2] == nil", EvalError::NoMember),
        ("actor.meta.teams[-3] == nil", EvalError::NoMember),
        ("meta[1] == nil", EvalError::NoMember),
    ] {
        assert_eq!(ask(text), Err(error), "{text}");
    }
}

#[test]
fn what_is_not_understood_is_told_with_its_place() {
    for (text, expected) in [
        ("", "unexpected the end at character 1"),
        ("actor.id ==", "unexpected the end at character 12"),
        ("actor.meta.level + 1 > 5", "unexpected `+` at character 18"),
        ("1..3 == 2", "unexpected `..` at character 2"),
        ("any(actor.meta.teams, true)", "unknown name `any` at character 1"),
        ("user.id == 'a'", "unknown name `user` at character 1"),
        ("actor == nil", "an `actor` has `id` and `meta`, and nothing else at character 1"),
        ("actor.name == 'a'", "an `actor` has `id` and `meta`, and nothing else at character 1"),
        ("actor.id", "it is a text, and neither true nor false"),
        ("actor.id.first == 'a'", "a text has no members at character 1"),
        ("not actor.id == 'a'", "`not` needs a truth value, not a text at character 5"),
        ("actor.id and true", "`and` needs a truth value, not a text at character 1"),
        ("true or 'x'", "`or` needs a truth value, not a text at character 9"),
        ("action ? true : false", "`?` needs a truth value, not a text at character 1"),
        ("actor.id > 5", "`>` can't compare a text with a number at character 10"),
        ("actor.id in 'abc'", "`in` can't compare a text with a text at character 10"),
        ("[1] contains 1", "`contains` can't compare a list with a number at character 5"),
        ("1 < meta.size < 3", "a comparison of a comparison at character 15"),
        ("actor.id == 'a", "a text that does not end at character 13"),
        ("actor.id == `a", "a text that does not end at character 13"),
        ("actor.id == 'a\\d'", "unknown escape `\\d` at character 13"),
        ("actor.id == '\\ud800'", "`\\ud800` is no character at character 13"),
        ("meta.size == 9223372036854775808", "`9223372036854775808` is no number of 64 bits at character 14"),
        ("meta.size == 12ab", "`12ab` is no number of 64 bits at character 14"),
        ("actor.id matches '('", "no regular expression: unclosed group at character 10"),
        ("(true", "unexpected the end, expected `)` at character 6"),
        ("true)", "unexpected `)` at character 5"),
        ("true false", "unexpected `false` at character 6"),
        ("meta.'size' == 1", "unexpected the text `size` at character 6"),
        ("{a: 1} == meta", "unexpected `{` at character 1"),
        ("true // why", "unexpected `//` at character 6"),
        ("meta.größe == 1 and #", "unexpected `#` at character 21"),
        ("lower(1) == '1'", "`lower` of a number at character 1"),
        ("len == 1", "unexpected `==`, expected `(` at character 5"),
        ("let x = 1; x == 1", "unknown name `let` at character 1"),
        ("actor.id = 'a'", "unexpected `=` at character 10"),
    ] {
        match Expression::parse(text) {
            Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
            Ok(expression) => panic!("{text}: {expression:?}"),
        }
    }
    let slip = Expression::parse("ressource == 'a'").unwrap_err();
    assert_eq!(slip.help(), "did you mean `resource`?");
}

#[test]
fn size_depth_and_work_have_bounds() {
    let long = |bytes: usize| format!("action == '{}'", "x".repeat(bytes - "action == ''".len()));
    assert!(Expression::parse(&long(EXPRESSION_BYTES_MAX)).is_ok());
    assert!(
        Expression::parse(&long(EXPRESSION_BYTES_MAX + 1)).unwrap_err().to_string().starts_with("it has 4097 bytes")
    );
    let deep = |levels: usize| format!("{}true{}", "(".repeat(levels), ")".repeat(levels));
    // The expression itself is the first level.
    assert!(Expression::parse(&deep(EXPRESSION_DEPTH_MAX - 1)).is_ok());
    for text in [deep(EXPRESSION_DEPTH_MAX), "!".repeat(1000) + "true", "[".repeat(1000), "len(".repeat(1000)] {
        let error = Expression::parse(&text).unwrap_err().to_string();
        assert!(error.starts_with("it nests deeper than 32 at character"), "{error}");
    }
    // Chains are no depth.
    let chain = format!("meta{} == nil{}", "?.a".repeat(600), " or false".repeat(200));
    assert_eq!(ask(&chain), Ok(true));
    let actor = Actor::new("ann").with("all", vec![0; STEPS_MAX as usize]);
    let attributes = serde_json::Map::new();
    let request = Request { actor: &actor, action: "a", resource: "b", attributes: &attributes };
    let found = Expression::parse("1 in actor.meta.all").unwrap().evaluate(&request, &mut Steps::new());
    assert_eq!(found, Err(EvalError::Steps));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z'\"`().?!\\[\\]0-9 =<>&|\\\\ü-]{0,60}") {
        let _ = Expression::parse(&text).map(|expression| {
            let actor = Actor::new("ann");
            let attributes = serde_json::Map::new();
            let request = Request { actor: &actor, action: "a", resource: "b", attributes: &attributes };
            expression.evaluate(&request, &mut Steps::new())
        });
    }

    #[test]
    fn words_of_the_language_in_any_order_do_not_either(words in proptest::collection::vec(proptest::sample::select(vec![
        "actor", ".id", ".meta", "meta", ".a", "?.b", "[", "]", "(", ")", "not", "in", "and", "or", "==", "<", "matches", "'x'",
        "5", "-", "nil", "true", "?", ":", "??", ",", "len", "action",
    ]), 0..20)) {
        let _ = Expression::parse(&words.join(" ")).map(|expression| {
            let actor = Actor::new("ann");
            let attributes = serde_json::Map::new();
            let request = Request { actor: &actor, action: "a", resource: "b", attributes: &attributes };
            expression.evaluate(&request, &mut Steps::new())
        });
    }
}
