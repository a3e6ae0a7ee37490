//! The `.env` syntax: text to pairs, and back with everything else left as it was.
//!
//! ```text
//! # a comment; empty lines are fine
//! KEY=plain value      # ends at ` #`, without the blanks around
//! export KEY="quoted"  # \n \r \t \" \\ \$ mean what they do in a shell; may go over several lines
//! KEY='literal'        # nothing is special up to the next '; may go over several lines
//! ```
//! Of two equal keys the last one counts. `$` is an ordinary character: values are never expanded, a password may
//! contain one.

use super::SyntaxError;

/// A `.env` file: what it says, in the order and the words of its author.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Comments and empty lines, each with its end of line.
    Other(String),
    /// A pair; the text is what was written for it, with its end of line.
    Pair { key: String, value: String, text: String },
}

impl Document {
    /// Reads a file; the error comes with its line, from 1.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, SyntaxError)> {
        // Editors of some systems begin a file with it.
        let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut pieces = Vec::new();
        let mut line = 1;
        while !rest.is_empty() {
            let (piece, length) = Piece::parse(rest).map_err(|problem| (line, problem))?;
            line += rest[..length].matches('\n').count();
            pieces.push(piece);
            rest = &rest[length..];
        }
        Ok(Self { pieces })
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let texts = self.pieces.iter().map(|piece| match piece {
            Piece::Other(text) | Piece::Pair { text, .. } => text.as_str(),
        });
        texts.collect()
    }

    /// The value of the last pair with this key.
    pub(super) fn get(&self, wanted: &str) -> Option<&str> {
        self.pieces.iter().rev().find_map(|piece| match piece {
            Piece::Pair { key, value, .. } if key == wanted => Some(value.as_str()),
            _ => None,
        })
    }

    /// Changes the value of the last pair with this key, or adds one at the end.
    pub(super) fn set(&mut self, wanted: &str, value: &str) {
        let pair = Piece::Pair {
            key: wanted.to_owned(),
            value: value.to_owned(),
            text: format!("{wanted}={}\n", written(value)),
        };
        let last = self.pieces.iter_mut().rev().find(|piece| matches!(piece, Piece::Pair { key, .. } if key == wanted));
        if let Some(last) = last {
            *last = pair;
            return;
        }
        // A last line without end would run into the new one.
        if let Some(Piece::Other(text) | Piece::Pair { text, .. }) = self.pieces.last_mut()
            && !text.ends_with('\n')
        {
            text.push('\n');
        }
        self.pieces.push(pair);
    }
}

impl Piece {
    /// The piece at the beginning of `text` and its length.
    fn parse(text: &str) -> Result<(Self, usize), SyntaxError> {
        let line_end = text.find('\n').map_or(text.len(), |end| end + 1);
        let line = &text[..line_end];
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return Ok((Self::Other(line.to_owned()), line_end));
        }
        let equals = line.find('=').ok_or(SyntaxError::NoValue)?;
        let key = line[..equals].trim();
        let key = key.strip_prefix("export").filter(|key| key.starts_with([' ', '\t'])).unwrap_or(key).trim_start();
        if !is_key(key) {
            return Err(SyntaxError::BadKey);
        }
        let after = &text[equals + 1..];
        let start = after.find(|char: char| char == '\n' || !char.is_whitespace()).unwrap_or(after.len());
        let (value, length) = match after[start..].chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(&after[start + 1..], quote).map(|(value, end)| (value, end + 1))?,
            _ => plain(&after[start..]),
        };
        let end = equals + 1 + start + length;
        let piece = Self::Pair { key: key.to_owned(), value, text: text[..end].to_owned() };
        Ok((piece, end))
    }
}

/// Whether a key can be written in this syntax: public names can, and most IDs.
pub(super) fn is_key(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|char| char.is_whitespace() || char.is_control() || "=#'\"`".contains(char))
}

/// A value up to the end of the line or a comment, and the length of the line.
fn plain(text: &str) -> (String, usize) {
    let line_end = text.find('\n').map_or(text.len(), |end| end + 1);
    let line = &text[..line_end];
    // `#` begins a comment behind a blank only: `a#b` is a value.
    let after_blank = |at: &usize| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let comment = line.match_indices('#').map(|(at, _)| at).find(after_blank);
    let value = comment.map_or(line, |at| &line[..at]);
    (value.trim().to_owned(), line_end)
}

/// A value up to `quote`, and the length of the text up to the end of the quote's line.
fn quoted(text: &str, quote: char) -> Result<(String, usize), SyntaxError> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    let closing = loop {
        match chars.next().ok_or(SyntaxError::NoClosingQuote)? {
            (at, char) if char == quote => break at,
            (_, '\\') if quote == '"' => match chars.next().ok_or(SyntaxError::NoClosingQuote)?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                escaped @ ('"' | '\\' | '$') => value.push(escaped),
                // Not an escape: both characters are meant.
                other => value.extend(['\\', other]),
            },
            (_, char) => value.push(char),
        }
    };
    let behind = &text[closing + 1..];
    let line_end = behind.find('\n').map_or(behind.len(), |end| end + 1);
    let remark = behind[..line_end].trim();
    if remark.is_empty() || remark.starts_with('#') {
        Ok((value, closing + 1 + line_end))
    } else {
        Err(SyntaxError::AfterQuote)
    }
}

/// A value as it is written: plain where that is read back, else quoted.
fn written(value: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "_-./:@%+,=?&".contains(char);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for char in value.chars() {
        match char {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '"' | '\\' | '$' => text.extend(['\\', char]),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> Option<String> {
        Document::parse(text).expect("valid").get("KEY").map(str::to_owned)
    }

    #[test]
    fn values_are_read_as_written() {
        for (text, expected) in [
            ("KEY=value", "value"),
            ("KEY=value\r\n", "value"),
            ("\u{feff}KEY=value\n", "value"),
            ("  export KEY = two words  # comment\n", "two words"),
            ("KEY=", ""),
            ("KEY= # nothing but a comment\n", ""),
            ("KEY=#fff\n", ""),
            ("KEY=colour#fff # comment\n", "colour#fff"),
            ("KEY=a=b==\n", "a=b=="),
            ("KEY=$HOME/x\n", "$HOME/x"),
            ("KEY=\"a # b\" # comment\n", "a # b"),
            ("KEY=\"line\\nnext\\t\\\"q\\\" \\\\ \\$ \\x\"\n", "line\nnext\t\"q\" \\ $ \\x"),
            ("KEY='a\\n\"b\" # c'\n", "a\\n\"b\" # c"),
            ("KEY=\"one\ntwo\"\nOTHER=1\n", "one\ntwo"),
            ("KEY='one\ntwo'\n", "one\ntwo"),
            ("KEY=first\n# between\n\nKEY=last\n", "last"),
            ("export=1\nKEY=x", "x"),
            ("KEY=été\n", "été"),
        ] {
            assert_eq!(value(text).as_deref(), Some(expected), "{text:?}");
        }
        assert_eq!(value("# KEY=comment\n"), None);
        assert_eq!(Document::parse("export=1").unwrap().get("export"), Some("1"));
    }

    #[test]
    fn problems_come_with_their_line() {
        for (text, line, problem) in [
            ("A=1\n\nKEY\n", 3, SyntaxError::NoValue),
            ("A='x\ny'\nsome key=1\n", 3, SyntaxError::BadKey),
            ("=1", 1, SyntaxError::BadKey),
            ("A=1\nKEY=\"open\n\n", 2, SyntaxError::NoClosingQuote),
            ("KEY='open", 1, SyntaxError::NoClosingQuote),
            ("KEY=\"ends with \\", 1, SyntaxError::NoClosingQuote),
            ("KEY=\"a\" b\n", 1, SyntaxError::AfterQuote),
        ] {
            assert_eq!(Document::parse(text), Err((line, problem)), "{text:?}");
        }
    }

    #[test]
    fn a_change_leaves_everything_else_as_it_was() {
        let mut document = Document::parse("# ours\nA = 1 # one\n\nKEY='old'\nZ=26").unwrap();
        document.set("KEY", "two words");
        document.set("NEW", "x");
        assert_eq!(document.text(), "# ours\nA = 1 # one\n\nKEY=\"two words\"\nZ=26\nNEW=x\n");
    }

    proptest! {
        /// Whatever is set is read back, and the text that comes out is the text that goes in.
        #[test]
        fn values_survive_the_file(values in prop::collection::vec((0..4_usize, any::<String>()), 0..6)) {
            let mut document = Document::default();
            let mut model = [const { None }; 4];
            for (key, value) in values {
                document.set(&format!("KEY_{key}"), &value);
                model[key] = Some(value);
            }
            let read = Document::parse(&document.text()).unwrap();
            for (key, value) in model.iter().enumerate() {
                prop_assert_eq!(read.get(&format!("KEY_{key}")), value.as_deref());
            }
            prop_assert_eq!(read.text(), document.text());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[A=\"'#\\\\ \n\u{e9}x\u{feff}]{0,40}") {
            if let Ok(document) = Document::parse(&text) {
                prop_assert_eq!(document.text(), text.strip_prefix('\u{feff}').unwrap_or(&text));
            }
        }
    }
}
