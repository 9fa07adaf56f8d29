//! YAML. Anchors, aliases and merge keys work, for Compose files live of them; tags are dropped.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{DEPTH_MAX, NODES_MAX, Node, Shape, Unreadable};

pub(super) fn read(text: &str) -> Result<Vec<Node>, Unreadable> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            Unreadable::new(error.marker().line(), format!("not YAML: {}", error.info()))
        })?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

struct Open {
    line: usize,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<(String, Node)>, key: Option<String> },
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    documents: Vec<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let line = span.start.line();
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Alias(anchor) => {
                let (mut node, size) = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    Unreadable::new(line, "not YAML: an alias inside its own anchor")
                })?;
                node.line = line;
                self.put(node, 0, line, size)
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let shape = if null { Shape::Null } else { Shape::Text(text.into_owned()) };
                self.put(Node { line, shape }, anchor, line, 1)
            }
            Event::SequenceStart(anchor, _) => self.open(line, anchor, Items::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.open(line, anchor, Items::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open { line, anchor, items }) => {
                    let shape = match items {
                        Items::List(items) => Shape::List(items),
                        Items::Map { entries, .. } => Shape::Map(merged(entries)),
                    };
                    self.put(Node { line, shape }, anchor, line, 1)
                }
                None => Ok(()),
            },
        }
    }

    fn open(&mut self, line: usize, anchor: usize, items: Items) -> Result<(), Unreadable> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(Unreadable::new(line, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.stack.push(Open { line, anchor, items });
        Ok(())
    }

    fn put(
        &mut self,
        node: Node,
        anchor: usize,
        line: usize,
        size: usize,
    ) -> Result<(), Unreadable> {
        self.nodes += size;
        if self.nodes > NODES_MAX {
            return Err(Unreadable::new(line, format!("more than {NODES_MAX} values")));
        }
        if anchor != 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.stack.last_mut().map(|open| &mut open.items) {
            None => self.documents.push(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { entries, key }) => match key.take() {
                // A list or mapping as a key is legal YAML; nothing we read has one.
                None => *key = Some(node.text().unwrap_or_default().to_owned()),
                Some(name) => entries.push((name, node)),
            },
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    let inner: usize = match &node.shape {
        Shape::List(items) => items.iter().map(count).sum(),
        Shape::Map(entries) => entries.iter().map(|(_, value)| count(value)).sum(),
        Shape::Null | Shape::Text(_) => 0,
    };
    inner + 1
}

/// Applies merge keys: what the mapping itself says wins.
fn merged(entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let (merges, mut own): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(key, node)| key == "<<" && node.text().is_none());
    for (_, node) in merges {
        let sources = match node.shape {
            Shape::Map(entries) => vec![entries],
            Shape::List(items) => items.into_iter().map(|item| item.entries().to_vec()).collect(),
            Shape::Null | Shape::Text(_) => Vec::new(),
        };
        for (key, value) in sources.into_iter().flatten() {
            if !own.iter().any(|(name, _)| *name == key) {
                own.push((key, value));
            }
        }
    }
    own
}
