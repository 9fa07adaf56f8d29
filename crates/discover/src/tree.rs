//! YAML and JSON as one small tree with lines. Readers meet four shapes and never an index that
//! may be missing: [`Node::get`] of what is not there is an empty node.

mod json;
mod yaml;

use std::fmt;

/// Deepest nesting.
const DEPTH_MAX: usize = 128;
/// Most values in one file, aliases counted as often as they are used.
const NODES_MAX: usize = 400_000;

/// A value and the line where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) shape: Shape,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Null,
    /// Texts, numbers and booleans.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// What stands in for a value that is not there.
static NOTHING: Node = Node { line: 0, shape: Shape::Null };

/// Why a text is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Unreadable {
    pub(crate) line: usize,
    pub(crate) why: String,
}

impl Unreadable {
    pub(crate) fn new(line: usize, why: impl Into<String>) -> Self {
        Unreadable { line, why: why.into() }
    }
}

impl Node {
    /// The value under a key.
    pub(crate) fn get(&self, key: &str) -> &Node {
        match &self.shape {
            Shape::Map(entries) => {
                entries.iter().find(|(name, _)| name == key).map_or(&NOTHING, |(_, value)| value)
            }
            _ => &NOTHING,
        }
    }

    /// The value under several keys, one inside the other.
    pub(crate) fn at(&self, path: &[&str]) -> &Node {
        path.iter().fold(self, |node, key| node.get(key))
    }

    /// The text; `None` for anything else.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text as a number.
    pub(crate) fn number(&self) -> Option<u64> {
        self.text()?.parse().ok()
    }

    pub(crate) fn is_true(&self) -> bool {
        self.text() == Some("true")
    }

    pub(crate) fn is_null(&self) -> bool {
        self.shape == Shape::Null
    }

    /// The list's values; a single value is not a list.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.shape {
            Shape::List(items) => items,
            _ => &[],
        }
    }

    /// The mapping's entries.
    pub(crate) fn entries(&self) -> &[(String, Node)] {
        match &self.shape {
            Shape::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A text, or the texts of a list.
    pub(crate) fn texts(&self) -> Vec<(&str, usize)> {
        match self.text() {
            Some(text) => vec![(text, self.line)],
            None => self.items().iter().filter_map(|i| i.text().map(|t| (t, i.line))).collect(),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().unwrap_or_default())
    }
}

/// The documents of a YAML text.
pub(crate) fn yaml(text: &str) -> Result<Vec<Node>, Unreadable> {
    yaml::read(text)
}

/// The value of a JSON text.
pub(crate) fn json(text: &str) -> Result<Node, Unreadable> {
    json::read(text)
}

#[cfg(test)]
mod tests;
