//! One script: from its text to bytecode, or to the place of what is wrong with it.

use std::sync::Arc;

use mlua::chunk::ChunkMode;
use mlua::{Lua, LuaOptions, StdLib};

use super::dialect::{self, EraseError, SyntaxError};
use crate::registry::{Diagnostic, Entry, Severity, Span};

/// The field that has the text.
const FIELD: [&str; 1] = ["source"];

/// The bytecode of an entry's script, with the lines of its source.
///
/// # Errors
/// The first thing that is wrong with it, at its place.
pub(super) fn compile(entry: &Entry, source: &str) -> Result<Arc<[u8]>, Box<Diagnostic>> {
    let erased = dialect::erase(source).map_err(|error| match error {
        EraseError::Syntax(error) => Box::new(problem(entry, source, *error)),
        EraseError::Thread(_) => failed(entry, &error.to_string()),
    })?;
    let read = |name: &str| {
        let lua = Lua::new_with(StdLib::NONE, LuaOptions::default())?;
        let function = lua.load(&*erased).set_name(format!("={name}")).set_mode(ChunkMode::Text).into_function()?;
        Ok(Arc::from(function.dump(false)))
    };
    match read(&entry.id().to_string()) {
        Ok(code) => Ok(code),
        // Lua shortens long names in its messages: with one of a letter the line is where it is expected.
        Err(mlua::Error::SyntaxError { message, .. }) => {
            let message = match read("s") {
                Err(mlua::Error::SyntaxError { message, .. }) => message,
                _ => message,
            };
            Err(Box::new(problem(entry, source, said_by_lua(source, &message))))
        }
        Err(error) => Err(failed(entry, &error.to_string())),
    }
}

fn failed(entry: &Entry, error: &str) -> Box<Diagnostic> {
    Box::new(entry.problem(Severity::Error, "lua-unread", &FIELD, format!("the script can't be read: {error}")))
}

fn problem(entry: &Entry, source: &str, error: SyntaxError) -> Diagnostic {
    let part = Span { line: error.line, column: error.column, len: error.len };
    let problem = entry.problem_in_text(Severity::Error, "lua-syntax", &FIELD, source, part, error.message);
    match error.help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// A message like `s:3: '=' expected near 'x'`: the line is said, the column is that of the word, where the line has it once.
fn said_by_lua(source: &str, message: &str) -> SyntaxError {
    let parts = message.strip_prefix("s:").and_then(|rest| rest.split_once(": "));
    let (line, message) = match parts.and_then(|(line, rest)| Some((line.parse::<usize>().ok()?, rest))) {
        Some((line, rest)) => (line.max(1), rest),
        None => (1, message),
    };
    // What Lua finds at the end of a block it says with the line where it is.
    let (line, message) = match message.rsplit_once(" at line ").map(|(message, line)| (message, line.parse())) {
        Some((message, Ok(line))) => (usize::max(line, 1), message),
        _ => (line, message),
    };
    let text = source.lines().nth(line - 1).unwrap_or_default();
    let near = message.rsplit_once("near '").and_then(|(_, word)| word.strip_suffix('\''));
    let (start, meant) = match near.filter(|word| text.matches(word).count() == 1) {
        Some(word) => (text.find(word).unwrap_or_default(), word),
        None => (text.len() - text.trim_start().len(), text.trim()),
    };
    SyntaxError {
        line,
        column: text[..start].chars().count() + 1,
        len: meant.chars().count().max(1),
        line_text: text.to_owned(),
        message: message.to_owned(),
        help: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{LuaSpec, Spec};

    fn entry(name: &str) -> Entry {
        Entry::new(format!("app:{name}").parse().expect("an ID"), Spec::LibraryLua(LuaSpec::default()))
    }

    fn refused(source: &str) -> Diagnostic {
        *compile(&entry(&"long".repeat(50)), source).expect_err(source)
    }

    #[test]
    fn a_script_becomes_bytecode_that_runs() {
        let code = compile(&entry("job"), "local x: integer = 6\nreturn x * 7").expect("a script");
        let lua = Lua::new();
        let value: i64 = lua.load(&code[..]).set_mode(ChunkMode::Binary).eval().expect("42");
        assert_eq!(value, 42);
        let code = compile(&entry("job"), "local x: any = nil\nreturn x.y").expect("a script");
        let error = lua.load(&code[..]).set_mode(ChunkMode::Binary).exec().expect_err("an index of nil").to_string();
        assert!(error.contains("app:job:2: attempt to index"), "{error}");
    }

    #[test]
    fn what_only_lua_finds_has_its_line_too() {
        let problem = refused("do\n  goto nowhere\nend");
        assert_eq!((&*problem.code, &*problem.message), ("lua-syntax", "no visible label 'nowhere' for <goto>"));
        assert_eq!(problem.notes, ["in line 2 of the text: goto nowhere"]);
        let problem = refused("local x <const> = 1\n\nx = 2");
        assert_eq!(problem.message, "attempt to assign to const variable 'x'");
        assert_eq!(problem.notes, ["in line 3 of the text: x = 2"]);
        assert_eq!(refused("\u{1b}Lua").code, "lua-syntax");
    }

    #[test]
    fn the_word_that_lua_names_is_found() {
        let error = said_by_lua("x = 1\n  break now", "s:2: break outside a loop near 'now'");
        assert_eq!((error.line, error.column, error.len), (2, 9, 3));
        let error = said_by_lua("a a", "s:1: syntax error near 'a'");
        assert_eq!((error.column, error.len), (1, 3));
        let error = said_by_lua("", "no line in it");
        assert_eq!((error.line, error.column, error.message.as_str()), (1, 1, "no line in it"));
    }
}
