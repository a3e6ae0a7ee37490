//! YAML: marks from the event parser, values from serde_yaml.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as YamlSpan, StrInput};
use serde::Deserialize;

use super::super::Value;
use super::super::position::Span;
use super::marks::{Content, Field, Node};
use super::{Document, MAX_DEPTH, MAX_EXPANDED_BYTES, NODE_BYTES, SyntaxProblem};

pub(super) fn parse(text: &str) -> Result<Document, Vec<SyntaxProblem>> {
    let mut builder = Builder::new(text);
    let root = builder.document().map_err(|problem| vec![problem])?;
    if !builder.duplicates.is_empty() {
        return Err(builder.duplicates);
    }
    let next_document = builder.next_document();
    let value = values(text).map_err(|problem| vec![problem])?;
    Ok(Document { value, root, next_document })
}

/// The first document's values.
fn values(text: &str) -> Result<Value, SyntaxProblem> {
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { return Ok(Value::Null) };
    let value = serde_yaml::Value::deserialize(document).map_err(|error| {
        let at = error.location();
        let span =
            at.map_or(Span { line: 1, column: 1, len: 1 }, |at| Span { line: at.line(), column: at.column(), len: 1 });
        let message = error.to_string();
        // The place is told by the position; the library repeats it at the end of its message.
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(head, _)| head);
        SyntaxProblem::new("yaml-syntax", span, format!("invalid YAML: {message}"))
    })?;
    convert(value)
}

/// YAML values as JSON values: keys become text, tags are dropped, merge keys are applied.
fn convert(value: serde_yaml::Value) -> Result<Value, SyntaxProblem> {
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(value),
        serde_yaml::Value::Number(number) => number_value(&number),
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Sequence(items) => Value::Array(items.into_iter().map(convert).collect::<Result<_, _>>()?),
        serde_yaml::Value::Tagged(tagged) => convert(tagged.value)?,
        serde_yaml::Value::Mapping(mapping) => {
            let mut fields = serde_json::Map::new();
            let mut merged = Vec::new();
            for (key, value) in mapping {
                // A key that is no scalar was refused when the marks were read.
                let Some(key) = key_text(&key) else { continue };
                let value = convert(value)?;
                if key == MERGE_KEY {
                    merged.push(value);
                } else {
                    fields.insert(key, value);
                }
            }
            for value in merged {
                merge(&mut fields, value);
            }
            Value::Object(fields)
        }
    })
}

/// The key whose value is a mapping, or a list of them, with fields that count where the mapping has none.
const MERGE_KEY: &str = "<<";

fn merge(fields: &mut serde_json::Map<String, Value>, value: Value) {
    let sources = match value {
        Value::Array(items) => items,
        other => vec![other],
    };
    for source in sources {
        // Anything else was refused when the marks were read.
        let Value::Object(source) = source else { continue };
        for (key, value) in source {
            fields.entry(key).or_insert(value);
        }
    }
}

fn number_value(number: &serde_yaml::Number) -> Value {
    if let Some(number) = number.as_u64() {
        Value::from(number)
    } else if let Some(number) = number.as_i64() {
        Value::from(number)
    } else {
        // JSON has no infinities and no NaN: as text they fail every check for a number, with their own name.
        let float = number.as_f64().unwrap_or(f64::NAN);
        serde_json::Number::from_f64(float).map_or_else(|| Value::String(number.to_string()), Value::Number)
    }
}

fn key_text(key: &serde_yaml::Value) -> Option<String> {
    match key {
        serde_yaml::Value::Null => Some("null".to_owned()),
        serde_yaml::Value::Bool(value) => Some(value.to_string()),
        serde_yaml::Value::Number(number) => Some(number.to_string()),
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Tagged(tagged) => key_text(&tagged.value),
        serde_yaml::Value::Sequence(_) | serde_yaml::Value::Mapping(_) => None,
    }
}

/// A plain scalar as a key: `0x10` is the number 16, and so its text is `16` on both sides of the join.
fn plain_key_text(text: &str) -> String {
    /// No number, boolean or null is longer; longer texts are spared the second parser.
    const LONGEST: usize = 64;
    const WORDS: [&str; 3] = ["null", "true", "false"];
    let may_be_special = text.starts_with(|char: char| char.is_ascii_digit() || "+-.~".contains(char))
        || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if may_be_special
        && text.len() <= LONGEST
        && let Ok(value) = serde_yaml::from_str::<serde_yaml::Value>(text)
    {
        return key_text(&value).unwrap_or_else(|| text.to_owned());
    }
    text.to_owned()
}

/// Builds the marks of one document and bounds what it expands to.
struct Builder<'input> {
    parser: Parser<'input, StrInput<'input>>,
    anchors: HashMap<usize, Anchored>,
    duplicates: Vec<SyntaxProblem>,
    expanded: usize,
}

struct Anchored {
    node: Arc<Node>,
    bytes: usize,
    depth: usize,
}

/// A value that was read: its marks, what it expands to, how deep it is.
type Built = Anchored;

impl<'input> Builder<'input> {
    fn new(text: &'input str) -> Self {
        Self { parser: Parser::new_from_str(text), anchors: HashMap::new(), duplicates: Vec::new(), expanded: 0 }
    }

    fn next(&mut self) -> Result<(Event<'input>, YamlSpan), SyntaxProblem> {
        self.parser.next_event().unwrap_or(Ok((Event::StreamEnd, YamlSpan::default()))).map_err(scan_problem)
    }

    /// The marks of the first document; an empty stream is a null.
    fn document(&mut self) -> Result<Arc<Node>, SyntaxProblem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, span) => return Ok(Node::new(to_span(span), Content::Scalar)),
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (event, span) => {
                    let root = self.value(event, span, 1)?.node;
                    // What follows the root must still be this document's end, or the text is not fine as a whole.
                    self.next()?;
                    return Ok(root);
                }
            }
        }
    }

    /// Where another document begins, if one does.
    fn next_document(&mut self) -> Option<Span> {
        loop {
            match self.parser.next_event()? {
                Ok((Event::DocumentStart(_), span)) => return Some(to_span(span)),
                Ok((Event::StreamEnd, _)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    fn value(&mut self, event: Event<'input>, span: YamlSpan, depth: usize) -> Result<Built, SyntaxProblem> {
        if depth > MAX_DEPTH {
            return Err(too_deep(span));
        }
        let (built, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => {
                let node = Node::new(to_span(span), Content::Scalar);
                (Built { node, bytes: NODE_BYTES + text.len(), depth: 1 }, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.sequence(span, depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(span, depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            _ => return Err(SyntaxProblem::new("yaml-syntax", to_span(span), "invalid YAML: a value is missing")),
        };
        self.expand(NODE_BYTES, span)?;
        if anchor != 0 {
            let kept = Anchored { node: built.node.clone(), bytes: built.bytes, depth: built.depth };
            self.anchors.insert(anchor, kept);
        }
        Ok(built)
    }

    fn alias(&mut self, anchor: usize, span: YamlSpan, depth: usize) -> Result<Built, SyntaxProblem> {
        let Some(target) = self.anchors.get(&anchor) else {
            // Known to the parser, but not finished: it is being read right now.
            let message = "the alias contains itself";
            return Err(SyntaxProblem::new("yaml-alias", to_span(span), message));
        };
        let built = Built { node: target.node.aliased(to_span(span)), bytes: target.bytes, depth: target.depth };
        if depth + built.depth > MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.expand(built.bytes, span)?;
        Ok(built)
    }

    fn sequence(&mut self, span: YamlSpan, depth: usize) -> Result<Built, SyntaxProblem> {
        let (mut items, mut bytes, mut deepest) = (Vec::new(), NODE_BYTES, 0);
        let end = loop {
            let (event, item_span) = self.next()?;
            if event == Event::SequenceEnd {
                break item_span;
            }
            let item = self.value(event, item_span, depth + 1)?;
            bytes = bytes.saturating_add(item.bytes);
            deepest = deepest.max(item.depth);
            items.push(item.node);
        };
        let node = Node::new(collection_span(span, end), Content::Sequence(items));
        Ok(Built { node, bytes, depth: deepest + 1 })
    }

    fn mapping(&mut self, span: YamlSpan, depth: usize) -> Result<Built, SyntaxProblem> {
        let (mut fields, mut merged) = (HashMap::new(), Vec::new());
        let (mut bytes, mut deepest) = (NODE_BYTES, 0);
        let end = loop {
            let (event, key_span) = self.next()?;
            if event == Event::MappingEnd {
                break key_span;
            }
            let key = scalar_key(&event, key_span)?;
            let key_built = self.value(event, key_span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.value(event, value_span, depth + 1)?;
            bytes = bytes.saturating_add(key_built.bytes).saturating_add(value.bytes);
            deepest = deepest.max(value.depth);
            let key_span = to_span(key_span);
            if key == MERGE_KEY {
                let sources = value.node.merge_sources();
                if !sources.iter().all(|source| source.is_mapping()) {
                    let message = "`<<` takes a mapping or a list of mappings";
                    return Err(SyntaxProblem::new("yaml-merge", to_span(value_span), message));
                }
                merged.extend(sources);
            }
            match fields.entry(key) {
                MapEntry::Vacant(place) => {
                    place.insert(Field { key: key_span, value: value.node });
                }
                MapEntry::Occupied(first) => {
                    let problem = SyntaxProblem::duplicate(first.key(), first.get().key, key_span);
                    self.duplicates.push(problem);
                }
            }
        };
        fields.remove(MERGE_KEY);
        let node = Node::new(collection_span(span, end), Content::Mapping { fields, merged });
        Ok(Built { node, bytes, depth: deepest + 1 })
    }

    /// Counts what is expanded; only aliases can make it more than the file.
    fn expand(&mut self, bytes: usize, span: YamlSpan) -> Result<(), SyntaxProblem> {
        self.expanded = self.expanded.saturating_add(bytes);
        if self.expanded <= MAX_EXPANDED_BYTES {
            return Ok(());
        }
        let limit = MAX_EXPANDED_BYTES >> 20;
        let message = format!("the document expands to more than {limit} MiB");
        Err(SyntaxProblem::new("too-large", to_span(span), message))
    }
}

/// The text of a key, or why it is none.
fn scalar_key(event: &Event<'_>, span: YamlSpan) -> Result<String, SyntaxProblem> {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, _, None) => Ok(plain_key_text(text)),
        Event::Scalar(text, ..) => Ok(text.to_string()),
        _ => Err(SyntaxProblem::new(
            "yaml-key",
            to_span(span),
            "a key must be a text, not a list, a mapping or an alias",
        )),
    }
}

fn too_deep(span: YamlSpan) -> SyntaxProblem {
    SyntaxProblem::new("too-deep", to_span(span), format!("values nest deeper than {MAX_DEPTH} levels"))
}

fn scan_problem(error: ScanError) -> SyntaxProblem {
    let mark = error.marker();
    let span = Span { line: mark.line(), column: mark.col() + 1, len: 1 };
    SyntaxProblem::new("yaml-syntax", span, format!("invalid YAML: {}", error.info()))
}

/// A span that goes on in the next line is cut at the end of its first.
fn to_span(span: YamlSpan) -> Span {
    let (start, end) = (span.start, span.end);
    let len = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 0 };
    Span { line: start.line(), column: start.col() + 1, len }
}

/// A collection in flow style ends at its bracket; one in block style has no end of its own and is cut at its first line.
fn collection_span(start: YamlSpan, end: YamlSpan) -> Span {
    let is_flow = start.end.index() > start.start.index() && end.end.index() > end.start.index();
    if is_flow { to_span(YamlSpan::new(start.start, end.end)) } else { Span { len: 0, ..to_span(start) } }
}
