//! Scanners: a file as lines, words, bytes or characters.

use std::sync::Arc;

use mlua::{Lua, UserData, UserDataFields, Value};
use parking_lot::Mutex;

use super::file::OpenFile;
use super::no_memory;
use super::object::{self, Method, Object};
use crate::limits::Charge;
use crate::lua::call::{Answer, Refusal, Reply};
use crate::lua::error::{self, ErrorObject, Kind};
use crate::lua::own::Own;
use crate::lua::pool::on_pool;

/// The longest line or word, in bytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 64 << 10;

/// Where a file is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    Lines,
    Words,
    Bytes,
    Runes,
}

const SPLITS: [(&str, Split); 4] =
    [("lines", Split::Lines), ("words", Split::Words), ("bytes", Split::Bytes), ("runes", Split::Runes)];

/// A scanner as scripts have it.
pub(super) struct ScannerObject(Arc<Scanner>);

impl UserData for ScannerObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        object::add_methods(fields);
    }
}

impl Object for ScannerObject {
    const NAME: &'static str = "scanner";
}

struct Scanner {
    file: Arc<OpenFile>,
    state: Mutex<State>,
    /// For the bytes below, as many as there may be.
    _charge: Charge,
}

struct State {
    split: Split,
    /// What was read; up to `from` it was given.
    buffer: Vec<u8>,
    from: usize,
    at_end: bool,
    is_reading: bool,
    text: Vec<u8>,
    error: Option<ErrorObject>,
}

/// What a look at the buffer finds.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A token at this place, and where the search for the next one begins.
    Token {
        from: usize,
        to: usize,
        next: usize,
    },
    /// More has to be read.
    More,
    End,
}

impl Split {
    /// The first token of `bytes`, which are all there are where `at_end` says so.
    fn find(self, bytes: &[u8], at_end: bool) -> Found {
        let rest = |from: usize| match at_end {
            true if from < bytes.len() => Found::Token { from, to: bytes.len(), next: bytes.len() },
            true => Found::End,
            false => Found::More,
        };
        match self {
            Self::Lines => {
                let found = memchr::memchr(b'\n', bytes);
                let line = match found {
                    Some(end) => Found::Token { from: 0, to: end, next: end + 1 },
                    None => rest(0),
                };
                match line {
                    Found::Token { from, to, next } if bytes[..to].ends_with(b"\r") => {
                        Found::Token { from, to: to - 1, next }
                    }
                    line => line,
                }
            }
            Self::Words => {
                let Some(from) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                    return if at_end { Found::End } else { Found::More };
                };
                match bytes[from..].iter().position(u8::is_ascii_whitespace) {
                    Some(len) => Found::Token { from, to: from + len, next: from + len + 1 },
                    None => rest(from),
                }
            }
            Self::Bytes if bytes.is_empty() => rest(0),
            Self::Bytes => Found::Token { from: 0, to: 1, next: 1 },
            Self::Runes if bytes.is_empty() => rest(0),
            Self::Runes => {
                let first = &bytes[..bytes.len().min(4)];
                let valid = match std::str::from_utf8(first) {
                    Ok(text) => text,
                    Err(error) if error.valid_up_to() > 0 => {
                        std::str::from_utf8(&first[..error.valid_up_to()]).unwrap_or_default()
                    }
                    Err(error) if error.error_len().is_none() && !at_end => return Found::More,
                    Err(_) => "",
                };
                let len = valid.chars().next().map_or(1, char::len_utf8);
                Found::Token { from: 0, to: len, next: len }
            }
        }
    }
}

impl State {
    /// Nothing was read yet.
    fn new(split: Split) -> Self {
        Self { split, buffer: Vec::new(), from: 0, at_end: false, is_reading: false, text: Vec::new(), error: None }
    }

    /// The next token into `text`; none where more has to be read.
    fn advance(&mut self) -> Option<bool> {
        if self.error.is_some() {
            return Some(false);
        }
        if self.split == Split::Words {
            // However many blanks there are between words, they are no part of one.
            let rest = &self.buffer[self.from..];
            self.from += rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len());
        }
        let bytes = &self.buffer[self.from..];
        match self.split.find(bytes, self.at_end) {
            Found::Token { from, to, next } if to - from <= TOKEN_BYTES_MAX => {
                self.text.clear();
                let token = &bytes[from..to];
                match self.split == Split::Runes && std::str::from_utf8(token).is_err() {
                    // What is no character is told as one that stands for that.
                    true => self.text.extend_from_slice("\u{fffd}".as_bytes()),
                    false => self.text.extend_from_slice(token),
                }
                self.from += next;
                Some(true)
            }
            Found::More if bytes.len() <= TOKEN_BYTES_MAX => {
                self.buffer.drain(..self.from);
                self.from = 0;
                None
            }
            Found::Token { .. } | Found::More => {
                let message = format!("a token of more than {TOKEN_BYTES_MAX} bytes");
                self.fail(ErrorObject::new(Kind::Internal, message));
                Some(false)
            }
            Found::End => {
                self.text.clear();
                Some(false)
            }
        }
    }

    fn fail(&mut self, error: ErrorObject) {
        self.text.clear();
        self.error = Some(error);
    }
}

impl ScannerObject {
    pub(super) fn new(own: &Own, file: &Arc<OpenFile>, split: Option<&str>) -> Result<Self, Refusal> {
        let name = split.unwrap_or("lines");
        let Some((_, split)) = SPLITS.into_iter().find(|(known, _)| *known == name) else {
            let names = SPLITS.map(|(name, _)| format!("\"{name}\"")).join(", ");
            return Err(ErrorObject::invalid(format!("invalid split \"{name}\", expected one of {names}")).into());
        };
        // What was read before and could be no token, what is read, and the token.
        let charge = own.usage.charge(2 * TOKEN_BYTES_MAX + READ_BYTES).map_err(no_memory)?;
        let state = State::new(split);
        Ok(Self(Arc::new(Scanner { file: Arc::clone(file), state: Mutex::new(state), _charge: charge })))
    }
}

pub(super) const METHODS: [(&str, Method<ScannerObject>); 3] = [
    ("scan", |lua, own, scanner, _| scan(lua, own, &scanner.0)),
    ("text", |lua, _, scanner, _| Reply::values(lua, lua.create_string(&scanner.0.state.lock().text)?)),
    ("err", |lua, _, scanner, _| match scanner.0.state.lock().error.clone() {
        Some(error) => Reply::values(lua, error::to_lua(lua, error)?),
        None => Reply::values(lua, Value::Nil),
    }),
];

/// Goes to the next token, reading as often as it takes.
fn scan(lua: &Lua, own: &Arc<Own>, scanner: &Arc<Scanner>) -> Answer {
    {
        let mut state = scanner.state.lock();
        if state.is_reading {
            return Err(Refusal::raise("another coroutine waits for this scanner"));
        }
        if let Some(found) = state.advance() {
            return Reply::values(lua, found);
        }
        state.is_reading = true;
    }
    let (file, own_again, scanner) = (Arc::clone(&scanner.file), Arc::clone(own), Arc::clone(scanner));
    let read = move || Ok::<_, Box<ErrorObject>>(file.read(READ_BYTES));
    on_pool(own, read, move |lua, read| {
        {
            let mut state = scanner.state.lock();
            state.is_reading = false;
            match read {
                Ok(bytes) if bytes.is_empty() => state.at_end = true,
                Ok(bytes) => state.buffer.extend_from_slice(&bytes),
                Err(error) => state.fail(ErrorObject { kind: Kind::Internal, ..*error }),
            }
        }
        scan(lua, &own_again, &scanner)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens of a text that comes in parts of `size` bytes.
    fn tokens(split: Split, text: &[u8], size: usize) -> Vec<String> {
        let mut parts = text.chunks(size);
        let mut state = State::new(split);
        let mut tokens = Vec::new();
        loop {
            match state.advance() {
                Some(true) => tokens.push(String::from_utf8(state.text.clone()).unwrap()),
                Some(false) => {
                    tokens.extend(state.error.map(|error| error.message));
                    return tokens;
                }
                None => match parts.next() {
                    Some(part) => state.buffer.extend_from_slice(part),
                    None => state.at_end = true,
                },
            }
        }
    }

    #[test]
    fn tokens_are_the_same_however_they_come_in() {
        for size in 1..9 {
            assert_eq!(tokens(Split::Lines, b"one\r\n\ntwo\nend", size), ["one", "", "two", "end"], "{size}");
            assert_eq!(tokens(Split::Lines, b"end\n", size), ["end"]);
            assert_eq!(tokens(Split::Words, b"  one\ttwo \n end", size), ["one", "two", "end"]);
            assert_eq!(tokens(Split::Words, b"  \n", size), [""; 0]);
            assert_eq!(tokens(Split::Bytes, b"a\nb", size), ["a", "\n", "b"]);
            assert_eq!(tokens(Split::Runes, "aü€😀b".as_bytes(), size), ["a", "ü", "€", "😀", "b"]);
            assert_eq!(tokens(Split::Runes, b"a\xffb\xe2\x82", size), ["a", "\u{fffd}", "b", "\u{fffd}", "\u{fffd}"]);
        }
    }

    #[test]
    fn a_token_has_a_bound() {
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        assert_eq!(tokens(Split::Lines, format!("{longest}\nend").as_bytes(), READ_BYTES), [longest.as_str(), "end"]);
        let message = format!("a token of more than {TOKEN_BYTES_MAX} bytes");
        for split in [Split::Lines, Split::Words] {
            assert_eq!(tokens(split, format!("{longest}x\nend").as_bytes(), READ_BYTES), [message.as_str()]);
        }
        let blanks = " ".repeat(3 * TOKEN_BYTES_MAX);
        assert_eq!(tokens(Split::Words, format!("{blanks}end").as_bytes(), READ_BYTES), ["end"]);
    }
}
