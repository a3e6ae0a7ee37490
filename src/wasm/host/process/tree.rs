//! Payloads as the flat trees of `wippy:process/types`, and back. Strings and bytes move: what is copied is copied by the
//! engine, once, between the guest's memory and ours.

use std::collections::VecDeque;

use bytes::Bytes;
use indexmap::IndexMap;

use super::bindings::wippy::process::types::Node;
use crate::process::Payload;

/// Why a list of nodes is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TreeError {
    #[error("a payload without nodes: the value itself is its first node")]
    Empty,
    #[error("node {parent} names node {child} as a part, and the payload has {nodes} nodes")]
    Missing { parent: usize, child: u32, nodes: usize },
    #[error("node {parent} names node {child} as a part: the parts of a node come after it")]
    Backwards { parent: usize, child: u32 },
    #[error("node {child} is named as a part twice")]
    Shared { child: u32 },
    #[error("node {node} is a part of nothing")]
    Loose { node: usize },
    #[error("node {parent} has the key `{key}` twice")]
    Repeated { parent: usize, key: String },
    #[error("node {node} nests deeper than {} levels", Payload::MAX_DEPTH)]
    TooDeep { node: usize },
}

/// A node that may become a part of another one, with the levels of lists and maps that it has.
type Part = Option<(Payload, usize)>;

/// The payload that a guest says. From the last node to the first, since parts come after what they belong to: nothing
/// recurses, whatever the guest says.
pub(super) fn payload_of(nodes: Vec<Node>) -> Result<Payload, TreeError> {
    let count = nodes.len();
    // Where there is nothing to put together, nothing is put aside.
    if count == 1
        && let Some(Node::Text(_) | Node::Bytes(_) | Node::Integer(_)) = nodes.first()
    {
        return nodes.into_iter().next().map(|node| leaf(node).unwrap_or_default()).ok_or(TreeError::Empty);
    }
    let mut parts: Vec<Part> = Vec::new();
    parts.resize_with(count, || None);
    for (at, node) in nodes.into_iter().enumerate().rev() {
        let mut depth = 0;
        let mut take = |child: u32| {
            let index = child as usize;
            if index >= count {
                return Err(TreeError::Missing { parent: at, child, nodes: count });
            }
            if index <= at {
                return Err(TreeError::Backwards { parent: at, child });
            }
            let (value, below) = parts[index].take().ok_or(TreeError::Shared { child })?;
            depth = depth.max(below);
            Ok(value)
        };
        let (value, nests) = match node {
            Node::Sequence(items) => (Payload::List(items.into_iter().map(take).collect::<Result<_, _>>()?), 1),
            Node::Mapping(entries) => {
                let mut map = IndexMap::with_capacity(entries.len());
                for (key, child) in entries {
                    let value = take(child)?;
                    if map.contains_key(&key) {
                        return Err(TreeError::Repeated { parent: at, key });
                    }
                    map.insert(key, value);
                }
                (Payload::Map(map), 1)
            }
            node => (leaf(node).unwrap_or_default(), 0),
        };
        let depth = depth + nests;
        if depth > Payload::MAX_DEPTH {
            return Err(TreeError::TooDeep { node: at });
        }
        parts[at] = Some((value, depth));
    }
    let mut parts = parts.into_iter();
    let (root, _) = parts.next().flatten().ok_or(TreeError::Empty)?;
    match parts.position(|part| part.is_some()) {
        Some(before) => Err(TreeError::Loose { node: before + 1 }),
        None => Ok(root),
    }
}

/// A node without parts; `None` for one that has some.
fn leaf(node: Node) -> Option<Payload> {
    Some(match node {
        Node::Nil => Payload::Nil,
        Node::Boolean(value) => Payload::Bool(value),
        Node::Integer(value) => Payload::Int(value),
        Node::Unsigned(value) => Payload::from(value),
        Node::Float(value) => Payload::Float(value),
        Node::Text(text) => Payload::String(text),
        Node::Bytes(bytes) => Payload::Bytes(Bytes::from(bytes)),
        Node::Sequence(_) | Node::Mapping(_) => return None,
    })
}

/// The nodes of a payload, level by level. Bytes that somebody else holds too are copied, all others move.
pub(super) fn nodes_of(payload: Payload) -> Vec<Node> {
    let mut nodes = Vec::with_capacity(1);
    let mut waiting = VecDeque::from([payload]);
    while let Some(value) = waiting.pop_front() {
        // Before its parts are put in line behind those that wait.
        let next = nodes.len() + 1 + waiting.len();
        let index = |at: usize| u32::try_from(next + at).unwrap_or(u32::MAX);
        nodes.push(match value {
            Payload::Nil => Node::Nil,
            Payload::Bool(value) => Node::Boolean(value),
            Payload::Int(value) => Node::Integer(value),
            Payload::UInt(value) => Node::Unsigned(value),
            Payload::Float(value) => Node::Float(value),
            Payload::String(text) => Node::Text(text),
            Payload::Bytes(bytes) => Node::Bytes(Vec::from(bytes)),
            Payload::List(items) => {
                let node = Node::Sequence((0..items.len()).map(index).collect());
                waiting.extend(items);
                node
            }
            Payload::Map(entries) => {
                let (keys, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
                waiting.extend(values);
                Node::Mapping(keys.into_iter().enumerate().map(|(at, key)| (key, index(at))).collect())
            }
        });
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(json: &str) {
        let payload = Payload::parse_json(json).unwrap();
        assert_eq!(payload_of(nodes_of(payload.clone())), Ok(payload), "{json}");
    }

    #[test]
    fn a_payload_comes_back_as_it_was() {
        for json in [
            "null",
            "true",
            "-3",
            "18446744073709551615",
            "2.5",
            r#""text""#,
            "[]",
            "{}",
            r#"[1, [2, [3, []], {}], {"a": [null, {"b": "c"}], "d": 4}, "e"]"#,
        ] {
            round(json);
        }
        let bytes = Payload::from(vec![1_u8, 2, 3]);
        assert_eq!(payload_of(nodes_of(bytes.clone())), Ok(bytes));
    }

    #[test]
    fn text_and_bytes_are_moved() {
        let text = String::from("the same letters");
        let bytes = vec![7_u8; 100];
        let places = (text.as_ptr(), bytes.as_ptr());
        let payload = payload_of(vec![Node::Sequence(vec![1, 2]), Node::Text(text), Node::Bytes(bytes)]).unwrap();
        let nodes = nodes_of(payload);
        let [_, Node::Text(text), Node::Bytes(bytes)] = &nodes[..] else { panic!("{} nodes", nodes.len()) };
        assert_eq!((text.as_ptr(), bytes.as_ptr()), places);
    }

    #[test]
    fn what_is_no_tree_says_why() {
        let mapping =
            |keys: &[(&str, u32)]| Node::Mapping(keys.iter().map(|(key, child)| ((*key).to_owned(), *child)).collect());
        for (nodes, expected) in [
            (vec![], "a payload without nodes: the value itself is its first node"),
            (vec![Node::Sequence(vec![1])], "node 0 names node 1 as a part, and the payload has 1 nodes"),
            (vec![Node::Sequence(vec![0])], "node 0 names node 0 as a part: the parts of a node come after it"),
            (
                vec![Node::Sequence(vec![1]), Node::Sequence(vec![0])],
                "node 1 names node 0 as a part: the parts of a node come after it",
            ),
            (vec![Node::Sequence(vec![1, 1]), Node::Nil], "node 1 is named as a part twice"),
            (vec![Node::Nil, Node::Nil], "node 1 is a part of nothing"),
            (vec![Node::Text("a".into()), Node::Nil], "node 1 is a part of nothing"),
            (vec![mapping(&[("a", 1), ("a", 2)]), Node::Nil, Node::Nil], "node 0 has the key `a` twice"),
        ] {
            assert_eq!(payload_of(nodes).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let chain = |levels: u32| {
            let mut nodes: Vec<_> = (1..=levels).map(|next| Node::Sequence(vec![next])).collect();
            nodes.push(Node::Nil);
            payload_of(nodes)
        };
        assert!(!chain(128).unwrap().is_too_deep());
        assert_eq!(chain(129), Err(TreeError::TooDeep { node: 0 }));
        assert_eq!(chain(1_000_000), Err(TreeError::TooDeep { node: 999_871 }));
    }
}
