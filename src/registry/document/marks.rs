//! The tree of marks: where each key and each value of a document was written.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::position::Span;

/// Where a value was written, with the marks of what it contains. Aliases share the content of their anchor.
#[derive(Debug)]
pub(crate) struct Node {
    span: Span,
    content: Arc<Content>,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar,
    Sequence(Vec<Arc<Node>>),
    Mapping {
        fields: HashMap<String, Field>,
        /// What `<<` brings in, in the order in which it counts.
        merged: Vec<Arc<Node>>,
    },
}

/// A key of a mapping with its value.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: Span,
    pub(super) value: Arc<Node>,
}

impl Node {
    pub(super) fn new(span: Span, content: Content) -> Arc<Self> {
        Arc::new(Self { span, content: Arc::new(content) })
    }

    /// The content of `self` as it is seen through an alias at `span`.
    pub(super) fn aliased(&self, span: Span) -> Arc<Self> {
        Arc::new(Self { span, content: self.content.clone() })
    }

    /// Where the value was written.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// The value under a key or, in a sequence, under a decimal index.
    pub(crate) fn child(&self, key: &str) -> Option<&Arc<Node>> {
        match &*self.content {
            Content::Scalar => None,
            Content::Sequence(items) => items.get(key.parse::<usize>().ok()?),
            Content::Mapping { .. } => self.field(key).map(|field| &field.value),
        }
    }

    /// Where a key of this mapping was written.
    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        self.field(key).map(|field| field.key)
    }

    fn field(&self, key: &str) -> Option<&Field> {
        match &*self.content {
            Content::Mapping { fields, merged } => {
                fields.get(key).or_else(|| merged.iter().find_map(|node| node.field(key)))
            }
            _ => None,
        }
    }

    /// Whether it has keys.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(&*self.content, Content::Mapping { .. })
    }

    /// What `<<: self` brings in: the mapping itself, or each mapping of a sequence.
    pub(super) fn merge_sources(self: &Arc<Self>) -> Vec<Arc<Node>> {
        match &*self.content {
            Content::Sequence(items) => items.clone(),
            _ => vec![self.clone()],
        }
    }
}
