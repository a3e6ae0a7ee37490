mod random;

use super::*;

fn erased(source: &str) -> String {
    match erase(source) {
        Ok(erased) => erased.into_owned(),
        Err(error) => panic!("{error}\n{source}"),
    }
}

fn refused(source: &str) -> SyntaxError {
    match erase(source) {
        Err(EraseError::Syntax(error)) => *error,
        other => panic!("not refused: {other:?}\n{source}"),
    }
}

/// Whether Lua can read it.
fn is_lua(source: &str) -> Result<(), mlua::Error> {
    mlua::Lua::new().load(source).into_function().map(drop)
}

/// What the script returns, as a text.
fn run(source: &str) -> String {
    let lua = mlua::Lua::new();
    let result = lua.load(source).set_name("=script").eval::<mlua::Value>();
    result.and_then(|value| value.to_string()).unwrap_or_else(|error| panic!("{error}\n{source}"))
}

/// Scripts with annotations: the forms of the dialect.
const ANNOTATED: &[&str] = &[
    "local x: number? = nil",
    "local a: integer, b: string = 1, 'x'",
    "local function main(): integer\n  return 0\nend\nreturn { main = main }",
    "local function first<T>(list: {T}, ...: any): (T?, string?)\n  return list[1]\nend",
    "type Point = { x: number, y: number }\nlocal p: Point = { x = 1, y = 2 }",
    "type Pair<A, B = string> = { first: A, second: B }\nexport type Id = string | number",
    "type Handler = (event: string, ...any) -> (boolean, string?)",
    "type Tree = {\n  left: Tree?,\n  right: Tree?,\n  [string]: any,\n}\nlocal t: Tree = {}",
    "local n = (\"5\" :: any) :: number",
    "local m: Map<string, Array<number>> = {}",
    "local m: Map<string, Array<Array<number>>>\nm = nil",
    "local x: { [string]: { number } } = {}\nlocal y = x.a :: { number }",
    "for i: number = 1, 3 do print(i) end\nfor k: string, v: any in pairs({}) do print(k, v) end",
    "local u: \"on\" | \"off\" = \"on\"\nlocal z: typeof(u) & string = u",
    "local f = function(self: any, n: integer): integer return n // 2 end",
    "local mask = (1 << 4 | 3) & ~1 ~ 0x0F\nlocal s: integer = mask >> 1",
    "for i = 1, 3 do\n  if i == 2 then goto continue end\n  local y: number = i\n  ::continue::\nend",
    "do\n  local x = 1\n  ::top::\n  x = x + 1\n  if x < 3 then goto top end\nend",
    "local x <const> = 5\nlocal d: T = x",
    "local r: process.Result<time.Duration>? = nil",
    "local t = {}\nfunction t.new<T>(x: T): T return x end\nfunction t:get(n: number): nil end",
    "local a: string --[[ why ]] = 'x' -- é\nlocal b: --[[ é ]] string = 'y'",
    "local n <const>: integer = 5\nlocal c <close>: nil = nil",
    "local a: A<B>= 1\nlocal b: A<B<C>>= 2\nlocal c = 2 >= 1",
    "for i = 1, 3 do local x = i :: number ::on:: end",
    "local x: read\nlocal y: { read a: number, write b: string }",
    "local f: <T>(T, ...number) -> ...T",
];

/// Scripts that are Lua as they stand.
const PLAIN: &[&str] = &[
    "",
    "-- nothing but a comment",
    "return 1 // 2 >> 3 ~ 4",
    "local type = type\nreturn type(1), type 'x', type {}",
    "local continue, export, const = 1, 2, 3\ncontinue = export\nexport = const\nconst = 4",
    "goto done\n::done::",
    "local x = y ::done:: goto done",
    "local a, b = f(a < b, c < d >> e)",
    "while true do break end ; ; return",
    "local s = [==[ x: number = 1 ]==] .. \"type T = {}\"",
    "local o = {} function o:m(x) return self, x end return o:m(1)",
    "local x <const>, c <close> = 1, nil",
    "return '\\u{48}\\z\n  i', 0x1p4, 1e3, 0xA, 3., .5",
    "x = a\r\ny = b\r\n",
    "f{1; 2, [3] = 4} 'x' [[y]] (5)",
    "local function f() ; return 1 end ; ; return function(a) ; end",
    "if a then ; elseif b then ; else ; end repeat ; until a ; for i = 1, 2 do ; end",
    "x = y ::unused:: x = z ::last::",
    "return f << T >> (x)",
    "continue(1) export.x = type[1] const 'x' continue = nil",
];

#[test]
fn annotations_become_spaces() {
    for source in ANNOTATED {
        let result = erased(source);
        assert_eq!(result.lines().count(), source.lines().count(), "{source}");
        is_lua(&result).unwrap_or_else(|error| panic!("{error}\n{source}\n->\n{result}"));
    }
}

#[test]
fn every_kept_character_stays_where_it_is() {
    for source in ANNOTATED {
        let result = erased(source);
        assert_eq!(result.chars().count(), source.chars().count(), "{source}");
        for (kept, written) in result.chars().zip(source.chars()) {
            assert!(kept == written || kept == ' ' || kept == ';', "{source}\n->\n{result}");
        }
    }
}

#[test]
fn a_script_without_annotations_is_left_alone() {
    for source in PLAIN {
        assert!(matches!(erase(source).expect(source), Cow::Borrowed(same) if same == *source), "{source}");
        is_lua(source).unwrap_or_else(|error| panic!("{error}\n{source}"));
    }
}

#[test]
fn what_erasing_leaves_does_the_same() {
    assert_eq!(run(&erased("local x: number? = 3\nreturn (x :: number) // 2")), "1");
    // Without the `;` this would call `x`.
    assert_eq!(run(&erased("local f = 2\nlocal x = f :: number\n(print)('')\nreturn x")), "2");
    assert_eq!(run(&erased("local f = 2\nlocal x = f\ntype T = number\n(print)('')\nreturn x")), "2");
    // A label behind an expression is no cast.
    assert_eq!(run(&erased("local n: integer = 0\n::again::\nn = n + 1\nif n < 3 then goto again end\nreturn n")), "3");
    assert_eq!(
        run(&erased("local n = 0\nfor i = 1, 4 do\n if i > 2 then goto next end\n n = i\n ::next::\nend return n")),
        "2"
    );
}

/// The script, what it returns, and what an error raised in its last line begins with.
#[test]
fn every_form_runs_and_its_errors_have_their_line() {
    let forms = [
        ("local x: number? = nil\nlocal y: integer = 42\nreturn y", "42"),
        ("local a: string, b: {[string]: number} = 'x', {y = 7}\nreturn a .. b.y", "x7"),
        ("local function main(): integer\n  return 42\nend\nreturn main()", "42"),
        (
            "local function first<T>(list: {T}, ...: any): (T?, string?)\n  return list[1]\nend\nreturn first({5}, 6)",
            "5",
        ),
        ("type Point = {\n  x: number,\n  y: number,\n}\nlocal p: Point = {x = 1, y = 2}\nreturn p.y", "2"),
        ("export type Id = string | number\nlocal type = type\nreturn type(1)", "number"),
        (
            "type Pair<A, B = string> = {first: A,\n second: B}\nlocal p: Pair<number> = {first = 3}\nreturn p.first",
            "3",
        ),
        ("local s = (\"5\" :: any) :: number\nreturn s", "5"),
        ("local n = 1 + 2 :: number * 3\nreturn n", "7"),
        ("local m: Map<string, Array<Array<number>>> = {\n  a = 4,\n}\nreturn m.a", "4"),
        ("local m: Map<string, Array<number>>= {a = 8 >> 2}\nreturn m.a", "2"),
        ("local sum = 0\nfor i: integer = 1, 3 do\n  sum = sum + i\nend\nreturn sum", "6"),
        ("local last\nfor k: string, v: any in pairs({z = 9}) do\n  last = k .. v\nend\nreturn last", "z9"),
        ("local f = function(n: integer): integer\n  return n // 2\nend\nreturn f(9)", "4"),
        ("local t = {}\nfunction t:get(n: number): number\n  return n + 1\nend\nreturn t:get(1)", "2"),
        ("function apply<A, B>(f: (A) -> B,\n  value: A\n): B\n  return f(value)\nend\nreturn apply(tostring, 3)", "3"),
        ("local n <const>: integer = 5\nlocal c <close>: nil = nil\nreturn n", "5"),
        ("local x: \"on\" | \"off\" = \"on\"\nlocal y: typeof(x) & string = x\nreturn y", "on"),
        (
            "local sum: integer = 0\nfor i = 1, 4 do\n  if i % 2 == 0 then goto continue end\n  sum = sum + i\n  ::continue::\nend\nreturn sum",
            "4",
        ),
        ("local i = 0 ::again:: i = i + 1\nif i < 3 then goto again end\nlocal x: integer = i\nreturn x", "3"),
        ("local r: process.Result<time.Duration>? = nil\nreturn tostring(r)", "nil"),
        ("local x: T -- é\nlocal y: --[[ a\ncomment ]] string = 'ok'\nreturn y", "ok"),
    ];
    for (source, value) in forms {
        let result = erased(source);
        assert_ne!(result, source);
        assert_eq!(run(&result), value, "{source}");
        let (head, _) = source.rsplit_once('\n').expect("several lines");
        let raising = format!("{head}\nerror('here')");
        let error = mlua::Lua::new().load(erased(&raising)).set_name("=script").exec().expect_err(&raising).to_string();
        let line = raising.lines().count();
        assert!(error.contains(&format!("script:{line}: here")), "{error}\n{source}");
    }
}

#[test]
fn what_only_luau_has_is_refused_by_name() {
    let cases = [
        ("local x = 1\nx += 1", 2, 3, "`+=`"),
        ("x ..= 'a'", 1, 3, "`..=`"),
        ("while true do\n  continue\nend", 2, 3, "`continue`"),
        ("local x = if a then b else c", 1, 11, "`if` in an expression"),
        ("f(1, if a then b else c)", 1, 6, "`if` in an expression"),
        ("local s = `a {b}`", 1, 11, "a text in backticks"),
        ("local n = 1_000", 1, 11, "`1_000`"),
        ("local n = 0b101", 1, 11, "`0b101`"),
        ("const x = 1", 1, 1, "`const`"),
        ("@native\nlocal function f() end", 1, 1, "an attribute with `@`"),
        ("type function f(t) return t end", 1, 1, "a function over types"),
    ];
    for (source, line, column, what) in cases {
        let error = refused(source);
        assert_eq!((error.line, error.column), (line, column), "{source}: {error}");
        assert_eq!(error.message, format!("{what} is Luau and not of this dialect"), "{source}");
        assert!(error.help.is_some(), "{source}");
    }
}

#[test]
fn an_error_has_its_line() {
    let error = refused("local x = 1\r\nlocal é = = 2\r\n");
    assert_eq!((error.line, error.line_text.as_str()), (2, "local é = = 2"));
    assert_eq!(error.column, 7);
    assert_eq!(refused("f(\n  end").to_string(), "1:2: expected `)` to close function call");
    let error = refused("do\n  until x");
    assert_eq!(error.to_string(), "2:3: `until` does not close the `do` of line 1");
    let error = refused("function f()\n  if x then\nend");
    assert_eq!(error.to_string(), "1:1: `function` is never closed: expected `end`");
    assert_eq!(refused("end").to_string(), "1:1: `end` closes nothing");
    // The first that is wrong is told, not what follows from it.
    assert_eq!(refused("while x\n y()\nend").to_string(), "2:2: expected `do` after condition");
    assert_eq!(refused("do\n return x + * y\nend").to_string(), "2:11: expected expression after binary operator");
    let error = refused("do\nif x then y() else if z then w() end\nend");
    assert_eq!(error.to_string(), "1:1: `do` is never closed: expected `end`");
    assert_eq!(refused("x = 'abc\ny = 1").line, 1);
    let error = refused("local x = y :: any :: number\nprint(x)");
    assert!(error.line == 2 && error.help.is_some_and(|help| help.contains("(x :: any) :: T")));
    assert_eq!(refused("x = = 1\nlocal x = y :: T").help, None);
    assert_eq!(refused("x = $").line, 1);
    assert_eq!(refused("x = = 1 :: T::").line, 1);
}

/// Nested as deep as it is allowed, one too deep, and absurdly deep.
#[test]
fn depth_is_bounded() {
    let forms: [(&str, &str, &str, &str, usize); 15] = [
        ("return ", "(", "1", ")", MAX_NESTING),
        ("return ", "{", "1", "}", MAX_NESTING),
        ("return ", "x[", "1", "]", MAX_NESTING),
        ("", "do ", "", " end", MAX_NESTING),
        ("", "if x then ", "", " end", MAX_NESTING),
        ("", "repeat ", "", " until x", MAX_NESTING),
        ("", "f(", "", ")", MAX_NESTING),
        ("", "local function f() ", "", " end", MAX_NESTING),
        ("local x: ", "{", "T", "}", MAX_NESTING),
        ("local x: ", "(", "T", ")", MAX_NESTING),
        ("local x: ", "(T, (", "T", ")) -> T", MAX_NESTING / 2),
        ("local x: ", "A<", "T", " >", MAX_OPERATORS / 2),
        ("return ", "- ", "1", "", MAX_OPERATORS),
        ("return ", "1 .. ", "1", "", MAX_OPERATORS),
        ("local x: ", "T | ", "T", "", MAX_OPERATORS),
    ];
    for (head, open, middle, close, bound) in forms {
        let nested = |depth: usize| format!("{head}{}{middle}{}", open.repeat(depth), close.repeat(depth));
        erased(&nested(bound - 1));
        for depth in [bound + 1, 30_000] {
            let error = refused(&nested(depth));
            assert!(error.message.contains(" than "), "{open} {depth}: {error}");
        }
    }
}

#[test]
fn mixed_depth_fits_the_stack() {
    let tower = format!("{}1{}", "- - - - - - - - - (function() return ".repeat(90), " end)".repeat(90));
    erased(&format!("return {tower}"));
    erased(&format!("local x: {}T", "(A) -> ".repeat(MAX_OPERATORS - 2)));
    erased(&format!("local x: T{}", "?".repeat(MAX_OPERATORS)));
    erased(&format!("return f{}", "()".repeat(20_000)));
    erased(&format!("return 1{}", " + 1".repeat(MAX_OPERATORS)));
    erased(&"x = 1 + 2 * 3\n".repeat(10_000));
}

#[test]
fn size_is_bounded() {
    assert!(refused(&" ".repeat(MAX_SOURCE_BYTES + 1)).message.contains("bytes"));
    erased(&" ".repeat(MAX_SOURCE_BYTES));
    assert!(refused(&";".repeat(MAX_TOKENS + 1)).message.contains("words"));
}
