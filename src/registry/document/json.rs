//! JSON: values from serde_json, marks from a walk over the same text.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;

use super::super::position::Span;
use super::marks::{Content, Field, Node};
use super::{Document, MAX_DEPTH, SyntaxProblem};

pub(super) fn parse(text: &str) -> Result<Document, Vec<SyntaxProblem>> {
    let value = serde_json::from_str(text).map_err(|error| vec![syntax_problem(text, &error)])?;
    let mut walk = Walk { rest: text, line: 1, column: 1, duplicates: Vec::new() };
    let root = walk.value(1).map_err(|problem| vec![problem])?;
    if !walk.duplicates.is_empty() {
        return Err(walk.duplicates);
    }
    Ok(Document { value, root, next_document: None })
}

fn syntax_problem(text: &str, error: &serde_json::Error) -> SyntaxProblem {
    // The library counts columns in bytes.
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or("");
    let bytes = error.column().saturating_sub(1);
    let column = line.char_indices().take_while(|(at, _)| *at < bytes).count() + 1;
    let span = Span { line: error.line(), column, len: 1 };
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(head, _)| head);
    SyntaxProblem::new("json-syntax", span, format!("invalid JSON: {message}"))
}

/// Walks over a text that is known to be valid JSON, no deeper than serde_json goes.
struct Walk<'text> {
    rest: &'text str,
    line: usize,
    column: usize,
    duplicates: Vec<SyntaxProblem>,
}

impl<'text> Walk<'text> {
    fn value(&mut self, depth: usize) -> Result<Arc<Node>, SyntaxProblem> {
        self.skip_blanks();
        let start = self.span(1);
        if depth > MAX_DEPTH {
            let message = format!("values nest deeper than {MAX_DEPTH} levels");
            return Err(SyntaxProblem::new("too-deep", start, message));
        }
        match self.rest.bytes().next() {
            Some(b'{') => self.object(start, depth),
            Some(b'[') => self.array(start, depth),
            Some(b'"') => {
                let len = self.string().chars().count();
                Ok(Node::new(Span { len, ..start }, Content::Scalar))
            }
            _ => {
                let len = self.rest.find(|char: char| ",]} \t\r\n".contains(char)).unwrap_or(self.rest.len());
                self.advance(len);
                Ok(Node::new(Span { len, ..start }, Content::Scalar))
            }
        }
    }

    fn object(&mut self, start: Span, depth: usize) -> Result<Arc<Node>, SyntaxProblem> {
        let mut fields = HashMap::new();
        self.advance(1);
        while self.more(b'}') {
            let key_start = self.span(1);
            let raw = self.string();
            let key_span = Span { len: raw.chars().count(), ..key_start };
            let key: String = serde_json::from_str(raw).unwrap_or_default();
            self.skip_blanks();
            self.advance(1);
            let value = self.value(depth + 1)?;
            match fields.entry(key) {
                MapEntry::Vacant(place) => {
                    place.insert(Field { key: key_span, value });
                }
                MapEntry::Occupied(first) => {
                    let problem = SyntaxProblem::duplicate(first.key(), first.get().key, key_span);
                    self.duplicates.push(problem);
                }
            }
        }
        Ok(Node::new(self.until_here(start), Content::Mapping { fields, merged: Vec::new() }))
    }

    fn array(&mut self, start: Span, depth: usize) -> Result<Arc<Node>, SyntaxProblem> {
        let mut items = Vec::new();
        self.advance(1);
        while self.more(b']') {
            items.push(self.value(depth + 1)?);
        }
        Ok(Node::new(self.until_here(start), Content::Sequence(items)))
    }

    /// Skips blanks and a comma; false, behind `end`, when the collection ends here.
    fn more(&mut self, end: u8) -> bool {
        self.skip_blanks();
        if self.rest.starts_with(',') {
            self.advance(1);
            self.skip_blanks();
        }
        match self.rest.bytes().next() {
            None => false,
            Some(byte) if byte == end => {
                self.advance(1);
                false
            }
            Some(_) => true,
        }
    }

    /// Takes a string with its quotes.
    fn string(&mut self) -> &'text str {
        let mut escaped = false;
        let mut len = self.rest.len();
        for (at, byte) in self.rest.bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    len = at + 1;
                    break;
                }
                _ => {}
            }
        }
        let text = &self.rest[..len];
        self.advance(len);
        text
    }

    fn skip_blanks(&mut self) {
        let len = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.advance(len);
    }

    fn advance(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        for char in taken.chars() {
            if char == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
    }

    fn span(&self, len: usize) -> Span {
        Span { line: self.line, column: self.column, len }
    }

    fn until_here(&self, start: Span) -> Span {
        Span { len: if self.line == start.line { self.column - start.column } else { 0 }, ..start }
    }
}
