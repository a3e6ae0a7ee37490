//! The `wit` text of an entry for a core module: functions with their types, in WIT notation.
//!
//! ```text
//! text     = { package | wrapper | function }
//! package  = "package" … ";"
//! wrapper  = ("world" | "interface") name "{" { function } "}"
//! function = [ "export" ] name ":" "func" "(" [ name ":" type { "," name ":" type } ] ")" [ "->" results ] ";"
//! results  = type | "(" ")" | "(" [ name ":" ] type { "," [ name ":" ] type } ")"
//! ```
//!
//! The last `;` may be missing, commas may trail, `//` and `/* */` are comments. Types cannot be named, so records, variants,
//! enums and flags are written where they are used, as this program shows them: `record { id: u32, name: string }`.

use indexmap::IndexMap;

use super::types::MAX_TYPE_PARTS;
use super::{Case, Field, Hint, Param, Signature, WitType};

/// How deep types may nest in a text.
pub const MAX_TYPE_DEPTH: usize = 64;
/// How many flags fit one value.
pub const MAX_FLAGS: usize = 32;

/// A text is not the `wit` of a core module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct WitTextError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What was expected there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// The functions that a `wit` text declares, by name.
///
/// # Errors
/// The first place where the text is not one, with what was expected there.
///
/// ```
/// use wippy::wasm::value::wit_text;
///
/// let functions = wit_text::parse("export add: func(a: s32, b: s32) -> s32;")?;
/// assert_eq!(functions["add"].to_string(), "func(a: s32, b: s32) -> s32");
/// let error = wit_text::parse("add: func(a: strin);").unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 14: expected a type, did you mean `string`, found `strin`");
/// # Ok::<(), wippy::wasm::value::wit_text::WitTextError>(())
/// ```
pub fn parse(text: &str) -> Result<IndexMap<String, Signature>, WitTextError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, parts: MAX_TYPE_PARTS };
    let mut functions = IndexMap::new();
    parser.items(&mut functions, false)?;
    Ok(functions)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token<'a> {
    /// One symbol, `->`, or a word with everything that can stand in a name; empty at the end.
    text: &'a str,
    line: usize,
    column: usize,
}

impl Token<'_> {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '%')
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%')
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, WitTextError> {
    let mut out = Vec::new();
    let (mut rest, mut line, mut column) = (text, 1, 1);
    loop {
        let Some(first) = rest.chars().next() else {
            out.push(Token { text: "", line, column });
            return Ok(out);
        };
        let (length, skip) = if first.is_whitespace() {
            (first.len_utf8(), true)
        } else if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), true)
        } else if rest.starts_with("/*") {
            match rest.find("*/") {
                Some(end) => (end + 2, true),
                None => {
                    let expected = "`*/` after this `/*`".to_owned();
                    return Err(WitTextError { line, column, expected, found: "the end".to_owned() });
                }
            }
        } else if rest.starts_with("->") {
            (2, false)
        } else if is_word(first) {
            // An arrow ends a word: `func()->u32`, `a->b`.
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let arrow = rest.find("->").unwrap_or(rest.len());
            (end.min(arrow), false)
        } else {
            (first.len_utf8(), false)
        };
        let (token, after) = rest.split_at(length);
        if !skip {
            out.push(Token { text: token, line, column });
        }
        for c in token.chars() {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        rest = after;
    }
}

struct Parser<'a> {
    /// Ends with an empty token, which is never passed.
    tokens: Vec<Token<'a>>,
    at: usize,
    /// What is left of [`MAX_TYPE_PARTS`].
    parts: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    fn peek_after(&self) -> Token<'a> {
        self.tokens[(self.at + 1).min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.peek().text == text;
        if found {
            self.next();
        }
        found
    }

    fn error(&self, expected: impl Into<String>) -> WitTextError {
        let Token { text, line, column } = self.peek();
        let found = if text.is_empty() { "the end".to_owned() } else { format!("`{text}`") };
        WitTextError { line, column, expected: expected.into(), found }
    }

    fn expect(&mut self, text: &str) -> Result<(), WitTextError> {
        if self.eat(text) { Ok(()) } else { Err(self.error(format!("`{text}`"))) }
    }

    fn name(&mut self, what: &str) -> Result<&'a str, WitTextError> {
        if self.peek().is_name() { Ok(self.next().text.trim_start_matches('%')) } else { Err(self.error(what)) }
    }

    fn items(&mut self, functions: &mut IndexMap<String, Signature>, wrapped: bool) -> Result<(), WitTextError> {
        loop {
            let named = self.peek_after().is_name();
            match self.peek().text {
                "" if !wrapped => return Ok(()),
                "}" if wrapped => return Ok(()),
                "" => return Err(self.error("a function or `}`")),
                "package" if named && !wrapped => {
                    while !matches!(self.peek().text, "" | ";") {
                        self.next();
                    }
                    self.expect(";")?;
                }
                "world" | "interface" if named && !wrapped => {
                    self.next();
                    self.name("a name")?;
                    self.expect("{")?;
                    self.items(functions, true)?;
                    self.expect("}")?;
                }
                "record" | "variant" | "enum" | "flags" | "resource" | "type" | "use" if named => {
                    return Err(self.error("a function; types cannot be named here, write them where they are used"));
                }
                "export" if named => {
                    self.next();
                }
                _ => self.function(functions)?,
            }
        }
    }

    fn function(&mut self, functions: &mut IndexMap<String, Signature>) -> Result<(), WitTextError> {
        let start = self.at;
        let name = self.name("a function such as `name: func(a: s32) -> s32;`")?.to_owned();
        self.expect(":")?;
        self.expect("func")?;
        self.expect("(")?;
        let mut params: Vec<Param> = Vec::new();
        while !self.eat(")") {
            let name = self.fresh_name("a parameter's name", params.iter().map(|param| param.name.as_str()))?;
            self.expect(":")?;
            params.push(Param { name, ty: self.ty(MAX_TYPE_DEPTH)? });
            self.comma_before(")")?;
        }
        let results = if self.eat("->") { self.results()? } else { Vec::new() };
        if !self.eat(";") && !matches!(self.peek().text, "" | "}") {
            return Err(self.error("`;`"));
        }
        if functions.contains_key(&name) {
            self.at = start;
            return Err(self.error("a function that is not there yet"));
        }
        functions.insert(name, Signature::new(params, results));
        Ok(())
    }

    fn results(&mut self) -> Result<Vec<WitType>, WitTextError> {
        if !self.eat("(") {
            return Ok(vec![self.ty(MAX_TYPE_DEPTH)?]);
        }
        let mut results = Vec::new();
        while !self.eat(")") {
            if self.peek_after().text == ":" {
                self.name("a result's name")?;
                self.expect(":")?;
            }
            results.push(self.ty(MAX_TYPE_DEPTH)?);
            self.comma_before(")")?;
        }
        Ok(results)
    }

    /// A comma, or nothing where the list ends.
    fn comma_before(&mut self, end: &str) -> Result<(), WitTextError> {
        if self.eat(",") || self.peek().text == end { Ok(()) } else { Err(self.error(format!("`,` or `{end}`"))) }
    }

    fn fresh_name<'b>(&mut self, what: &str, mut known: impl Iterator<Item = &'b str>) -> Result<String, WitTextError> {
        let start = self.at;
        let name = self.name(what)?;
        if known.any(|known| known == name) {
            self.at = start;
            return Err(self.error(format!("{what} that is not there yet")));
        }
        Ok(name.to_owned())
    }

    /// One type; `depth` more may nest.
    fn ty(&mut self, depth: usize) -> Result<WitType, WitTextError> {
        if depth == 0 {
            return Err(self.error(format!("types nested no deeper than {MAX_TYPE_DEPTH}")));
        }
        self.take_part()?;
        if !self.peek().is_name() {
            return Err(self.error("a type"));
        }
        let word = self.peek();
        self.next();
        Ok(match word.text {
            "bool" => WitType::Bool,
            "s8" => WitType::S8,
            "u8" => WitType::U8,
            "s16" => WitType::S16,
            "u16" => WitType::U16,
            "s32" => WitType::S32,
            "u32" => WitType::U32,
            "s64" => WitType::S64,
            "u64" => WitType::U64,
            "f32" | "float32" => WitType::F32,
            "f64" | "float64" => WitType::F64,
            "char" => WitType::Char,
            "string" => WitType::String,
            "list" => {
                self.expect("<")?;
                let element = Box::new(self.ty(depth - 1)?);
                self.expect(">")?;
                WitType::List(element)
            }
            "option" => {
                self.expect("<")?;
                let some = Box::new(self.ty(depth - 1)?);
                self.expect(">")?;
                WitType::Option(some)
            }
            "tuple" => WitType::Tuple(self.tuple(depth)?),
            "result" => self.result(depth)?,
            "record" => {
                let mut fields: Vec<Field> = Vec::new();
                self.braced(|parser| {
                    let name = parser.fresh_name("a field", fields.iter().map(|field| field.name.as_str()))?;
                    parser.expect(":")?;
                    fields.push(Field { name, ty: parser.ty(depth - 1)? });
                    Ok(())
                })?;
                WitType::Record(fields)
            }
            "variant" => {
                let mut cases: Vec<Case> = Vec::new();
                self.braced(|parser| {
                    let name = parser.fresh_name("a case", cases.iter().map(|case| case.name.as_str()))?;
                    let mut ty = None;
                    if parser.eat("(") {
                        ty = Some(parser.ty(depth - 1)?);
                        parser.expect(")")?;
                    }
                    cases.push(Case { name, ty });
                    Ok(())
                })?;
                WitType::Variant(cases)
            }
            "enum" => WitType::Enum(self.names("a case")?),
            "flags" => {
                let names = self.names("a flag")?;
                if names.len() > MAX_FLAGS {
                    return Err(self.error(format!("no more than {MAX_FLAGS} flags before this")));
                }
                WitType::Flags(names)
            }
            other => {
                self.at -= 1;
                let known = ["bool", "char", "string", "list", "option", "tuple", "result", "u32", "s32", "f32"];
                let hint = match Hint::for_name(other, known.into_iter()) {
                    near @ Hint::DidYouMean(_) => near.to_string(),
                    Hint::OneOf(_) => String::new(),
                };
                return Err(self.error(format!("a type{hint}")));
            }
        })
    }

    fn take_part(&mut self) -> Result<(), WitTextError> {
        match self.parts.checked_sub(1) {
            Some(parts) => {
                self.parts = parts;
                Ok(())
            }
            None => Err(self.error(format!("no more than {MAX_TYPE_PARTS} types and names"))),
        }
    }

    fn tuple(&mut self, depth: usize) -> Result<Vec<WitType>, WitTextError> {
        self.expect("<")?;
        let mut types = vec![self.ty(depth - 1)?];
        loop {
            self.comma_before(">")?;
            if self.eat(">") {
                return Ok(types);
            }
            types.push(self.ty(depth - 1)?);
        }
    }

    fn result(&mut self, depth: usize) -> Result<WitType, WitTextError> {
        if !self.eat("<") {
            return Ok(WitType::Result { ok: None, err: None });
        }
        let ok = if self.eat("_") { None } else { Some(Box::new(self.ty(depth - 1)?)) };
        // `result<_>` says no more than `result`, and WIT does not have it.
        if ok.is_none() && self.peek().text != "," {
            return Err(self.error("`,` and the type of the error"));
        }
        let err = if self.eat(",") { Some(Box::new(self.ty(depth - 1)?)) } else { None };
        self.expect(">")?;
        Ok(WitType::Result { ok, err })
    }

    fn names(&mut self, what: &str) -> Result<Vec<String>, WitTextError> {
        let mut names: Vec<String> = Vec::new();
        self.braced(|parser| {
            names.push(parser.fresh_name(what, names.iter().map(String::as_str))?);
            Ok(())
        })?;
        Ok(names)
    }

    /// At least one item in braces, with commas between them.
    fn braced(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), WitTextError>) -> Result<(), WitTextError> {
        self.expect("{")?;
        loop {
            self.take_part()?;
            item(self)?;
            self.comma_before("}")?;
            if self.eat("}") {
                return Ok(());
            }
        }
    }
}
