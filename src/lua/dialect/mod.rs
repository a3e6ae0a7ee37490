//! The dialect that scripts are written in: Lua 5.4 with type annotations, of which [`erase()`] leaves Lua 5.4.
//!
//! Annotations are those of Luau: `local x: number? = nil`, `function f<T>(x: T): {T}`, `type Name = {…}`, casts with
//! `::`. What else Luau has (`+=`, `continue`, `if` in expressions, texts in backticks, `const`, `@` attributes, `0b1` and
//! `1_000`) is refused by name: Lua 5.4 has no such thing, and a rewrite would move what an error points at.
//!
//! Two forms are ambiguous where both grammars hold:
//! - `x = y ::name::` is a label: an expression has one cast, write `(x :: any) :: T`.
//! - `A<B<C>>` closes two lists, and `A<B>= c` one, only in scripts that are wrong when `>>` is a shift and `>=` a comparison.
//!
//! A cast takes no part in the number of values: `return f() :: T` returns all that `f` returns.
//!
//! **Invariants**
//! - A script without annotations is left as it is, byte for byte.
//! - Every character of the result stands in the line and the column that it has in the script.
//! - The parser recurses only over scripts whose depth `scan` has bounded, on a stack made for that depth.

mod annotations;
mod place;
mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::{io, thread};

use place::{Annotation, Prepared};
use scan::{Scanned, Word};

/// The longest script, in bytes. The longest known ones have a tenth of it.
pub(super) const MAX_SOURCE_BYTES: usize = 1 << 20;

/// How many words and signs a script may have: the tree of one takes up to a KiB each, so this bounds memory.
pub(super) const MAX_TOKENS: usize = 1 << 17;

/// How deep blocks and brackets of a script may nest, all together. Lua itself gives up at about as many.
pub(super) const MAX_NESTING: usize = 200;

/// How many operators may wait for each other, over all the levels around a place: `a .. b .. c` has two.
pub(super) const MAX_OPERATORS: usize = 1_000;

/// Enough for [`MAX_NESTING`] and [`MAX_OPERATORS`] together, several times over. Only what is used is ever backed by memory.
const STACK_BYTES: usize = 256 << 20;

/// The thread of the parser; it lives as long as one call of [`erase()`].
const THREAD: &str = "wippy-lua";

/// The characters of a line that an error shows.
const MAX_LINE_CHARS: usize = 512;

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub(super) struct SyntaxError {
    /// The line, from 1.
    pub(super) line: usize,
    /// The column in characters, from 1.
    pub(super) column: usize,
    /// How many characters of the line are meant, at least 1.
    pub(super) len: usize,
    /// The text of the line, cut at 512 characters.
    pub(super) line_text: String,
    /// What is wrong and what was expected instead, one sentence.
    pub(super) message: String,
    /// The next step, where one is known.
    pub(super) help: Option<String>,
}

/// Why a script could not be erased.
#[derive(Debug, thiserror::Error)]
pub(super) enum EraseError {
    /// The script is not of the dialect, or beyond one of its bounds.
    #[error(transparent)]
    Syntax(#[from] Box<SyntaxError>),
    /// The thread whose stack the parser needs could not be had.
    #[error("no thread for the parser: {0}")]
    Thread(#[from] io::Error),
}

/// Takes the annotations out of a script and leaves spaces, so that what stays keeps its line and column; a script without
/// annotations comes back as it is. A type declaration leaves a `;`, and so does a cast in front of a statement that begins
/// with `(`: without it, that would be a call.
///
/// Blocks as long as the parser takes, on a thread of its own that ends with the call.
///
/// # Errors
/// [`EraseError::Syntax`] for the first thing that is wrong with the script; beyond [`MAX_SOURCE_BYTES`], [`MAX_TOKENS`],
/// [`MAX_NESTING`] or [`MAX_OPERATORS`] too. Labels and the use of variables are not looked at: Lua does that.
///
/// A panic of the parser is told as an error at the first line.
pub(super) fn erase(source: &str) -> Result<Cow<'_, str>, EraseError> {
    if source.len() > MAX_SOURCE_BYTES {
        let message = format!("the script has {} bytes, more than the {MAX_SOURCE_BYTES} that are read", source.len());
        return Err(place::error(source, 0..0, message).into());
    }
    let words = scan::words(source)?;
    let Some(scanned) = scan::scan(source, &words)? else { return Ok(Cow::Borrowed(source)) };
    let annotations = thread::scope(|scope| {
        let parser = thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK_BYTES);
        let parsed = parser.spawn_scoped(scope, || parse(source, &words, &scanned))?.join();
        let failed = || Err(place::error(source, 0..0, "the parser failed on this script".to_owned()));
        Ok::<_, EraseError>(parsed.unwrap_or_else(|_| failed())?)
    })?;
    Ok(place::blank(source, &annotations, &words))
}

/// The places of all annotations. A script that is wrong as it stands is tried with `>>` as the end of two lists and `>=` as
/// the end of one; when it is wrong either way, the reading that got further is the one that was meant.
fn parse(source: &str, words: &[Word], scanned: &Scanned) -> Result<Vec<Annotation>, Box<SyntaxError>> {
    let text = scan::without_unknown(source, words);
    let read = |closers: &[usize]| annotations::find(source, &Prepared::new(&text, &scanned.labels, closers));
    let mut result = read(&[]);
    if let (Err(first), false) = (&result, scanned.closers.is_empty()) {
        let place = |error: &SyntaxError| (error.line, error.column);
        match read(&scanned.closers) {
            Err(second) if place(&second) <= place(first) => {}
            second => result = second,
        }
    }
    let Some(unpaired) = &scanned.unpaired else { return result.map_err(|error| hinted(error, scanned)) };
    let error = match result {
        // Something else is wrong before that, and may be why it does not pair.
        Err(error) if unpaired.comes_after(&error) => hinted(error, scanned),
        _ => unpaired.error.clone(),
    };
    Err(error)
}

/// With advice, where what follows a label may have been a second cast: the parser fails there, or a line later.
fn hinted(mut error: Box<SyntaxError>, scanned: &Scanned) -> Box<SyntaxError> {
    if scanned.second_casts.iter().any(|line| (*line..=*line + 1).contains(&error.line)) {
        error.help.get_or_insert_with(|| "an expression has one cast: write `(x :: any) :: T`".to_owned());
    }
    error
}
