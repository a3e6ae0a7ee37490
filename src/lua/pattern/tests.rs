use mlua::Lua;
use proptest::prelude::*;

use super::*;

/// Matches: their places, and what they captured.
type Matches = Vec<(usize, usize, Vec<Vec<u8>>)>;

/// All matches, in slices of this many steps, with what they captured.
fn all(subject: &[u8], pattern: &[u8], slice: usize) -> Result<Matches, PatternError> {
    let mut search = Search::new(0, pattern, true);
    let mut found = Vec::new();
    loop {
        let mut steps = slice;
        let Some(next) = search.next(subject, pattern, &mut steps)? else { continue };
        let Some(Found { from, to, captures }) = next else { return Ok(found) };
        let captures = captures.iter().map(|capture| match capture {
            Capture::Place(at) => (at + 1).to_string().into_bytes(),
            Capture::Range(from, to) => subject[*from..*to].to_vec(),
            Capture::Open(_) => panic!("an open capture in a match"),
        });
        found.push((from, to, captures.collect()));
    }
}

/// What Lua's own functions make of it, as far as they do not fail.
fn expected(subject: &[u8], pattern: &[u8]) -> Option<Matches> {
    let lua = Lua::new();
    lua.globals().set("subject", lua.create_string(subject).unwrap()).unwrap();
    // Wrapped, so that the place of each match is known.
    let anchored = pattern.first() == Some(&b'^');
    let inner = if anchored { &pattern[1..] } else { pattern };
    let mut wrapped = if anchored { b"^()".to_vec() } else { b"()".to_vec() };
    // Back references count the captures before them.
    let mut escaped = false;
    for letter in inner {
        match letter {
            b'1'..=b'9' if escaped => wrapped.push(letter + 1),
            letter => wrapped.push(*letter),
        }
        escaped = *letter == b'%' && !escaped;
    }
    let ends_with_anchor = inner.last() == Some(&b'$') && !inner.ends_with(b"%$");
    if ends_with_anchor {
        wrapped.pop();
        wrapped.extend(b"()$");
    } else {
        wrapped.extend(b"()");
    }
    lua.globals().set("pattern", lua.create_string(&wrapped).unwrap()).unwrap();
    let source = "
        local all = {}
        local count = select('#', pcall(string.match, subject, pattern))
        string.gsub(subject, pattern, function(...) all[#all + 1] = { ... } end)
        return all
    ";
    let all: Vec<Vec<mlua::Value>> = lua.load(source).eval().ok()?;
    let place = |value: &mlua::Value| value.as_usize().unwrap() - 1;
    let text = |value: &mlua::Value| {
        value
            .as_string()
            .map_or_else(|| value.as_usize().unwrap().to_string().into_bytes(), |text| text.as_bytes().to_vec())
    };
    let one = |values: &Vec<mlua::Value>| {
        let (first, last) = (&values[0], &values[values.len() - 1]);
        (place(first), place(last), values[1..values.len() - 1].iter().map(text).collect())
    };
    Some(all.iter().map(one).collect())
}

#[test]
fn patterns_match_what_lua_matches() {
    for (subject, pattern) in [
        ("hello world", "o"),
        ("hello world", "%a+"),
        ("key = value", "^(%w+)%s*=%s*(%w+)$"),
        ("THE (quick) fox", "%((%a+)%)"),
        ("f(a(b)c)d(e)", "%b()"),
        ("THE quick fox", "%f[%a]%a+"),
        ("abab", "(ab)%1"),
        ("aXb", "()X()"),
        ("", ""),
        ("abc", ""),
        ("a.b-c", "[%.%-]"),
        ("a]b", "[]]"),
        ("a^b", "[b^]"),
        ("xyz", "[^y]"),
        ("<<a>>", "<-(a)>-"),
        ("aaa", "a-"),
        ("aaab", "a*b?"),
        ("a\0b", "%z*."),
        ("1,2,,3", "([^,]*)"),
        ("a-z", "[a%-]"),
    ] {
        let expected = expected(subject.as_bytes(), pattern.as_bytes());
        for slice in [1, 3, SLICE] {
            assert_eq!(all(subject.as_bytes(), pattern.as_bytes(), slice).ok(), expected, "{subject} {pattern}");
        }
    }
}

#[test]
fn what_is_no_pattern_says_so() {
    for (pattern, error) in [
        ("%", PatternError::EndsWithEscape),
        ("[a", PatternError::OpenSet),
        ("[a%", PatternError::EndsWithEscape),
        ("%b", PatternError::Balance),
        ("%bx", PatternError::Balance),
        ("%fa", PatternError::Frontier),
        ("(a", PatternError::OpenCapture),
        ("a)", PatternError::NoCapture),
        ("%1", PatternError::CaptureIndex(1)),
        ("(%1)", PatternError::CaptureIndex(1)),
    ] {
        assert_eq!(all(b"aaa", pattern.as_bytes(), SLICE), Err(error), "{pattern}");
    }
    assert_eq!(all(b"a", "()".repeat(33).as_bytes(), SLICE), Err(PatternError::TooManyCaptures));
}

#[test]
fn a_bomb_is_left_and_taken_up_without_growing() {
    let subject = vec![b'a'; 40];
    let pattern = ["a?".repeat(40), "a".repeat(40)].concat().into_bytes();
    let mut search = Search::new(0, &pattern, true);
    for _ in 0..100 {
        let mut steps = SLICE;
        assert_eq!(search.next(&subject, &pattern, &mut steps), Ok(None));
        assert!(search.machine.choices.len() <= 40);
    }
}

proptest! {
    #[test]
    fn random_patterns_match_what_lua_matches(
        subject in "[ab1 ().-]{0,12}",
        pattern in "(\\^)?([ab1.]|%[adws]|\\[[ab1]+\\]|\\[\\^[ab]+\\]|\\(\\)|\\([ab.]\\))([*+?-]?)([ab1.]|%[ADWS]|%b\\(\\)|%f\\[a\\])?([*+?-]?)(\\$)?",
        slice in 1_usize..50,
    ) {
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        if let Some(expected) = expected(subject, pattern) {
            prop_assert_eq!(all(subject, pattern, slice), Ok(expected));
        }
    }
}
