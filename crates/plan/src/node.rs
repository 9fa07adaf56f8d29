//! YAML as a small tree with positions. Aliases, tags, several documents, non-scalar keys and
//! texts beyond the limits are refused here, so that later code meets only four shapes.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::fault::{FaultKind, Place};
use crate::reader::Reader;

/// Largest plan, in bytes.
const TEXT_MAX_BYTES: usize = 256 * 1024;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;
/// Most values in one plan.
const NODES_MAX: usize = 20_000;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) shape: Shape,
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// What it is, in a fault's words.
    pub(crate) fn describe(&self) -> String {
        match &self.shape {
            Shape::Null => "nothing".to_owned(),
            Shape::Text(text) => quoted(text),
            Shape::List(items) => format!("a list of {}", items.len()),
            Shape::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// A text in back quotes, shortened.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String =
        text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > 60 {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Builds the tree of the one document in `text`; `None` after a fault that leaves no tree.
pub(crate) fn build(text: &str, reader: &mut Reader) -> Option<Node> {
    if text.len() > TEXT_MAX_BYTES {
        reader.fault(
            FaultKind::TooLarge,
            Place { line: 1, column: 0, width: 1 },
            "",
            format!("a text of {} bytes", text.len()),
            format!("a plan of at most {TEXT_MAX_BYTES} bytes"),
        );
        return None;
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let outcome = match event {
            Ok((event, span)) => builder.take(event, span, reader),
            Err(error) => Err(syntax(&error)),
        };
        if let Err(refusal) = outcome {
            reader.fault(refusal.kind, refusal.place, "", refusal.found, refusal.expected);
            return None;
        }
    }
    if builder.root.is_none() {
        let start = Place { line: 1, column: 0, width: 1 };
        reader.fault(FaultKind::Syntax, start, "", "an empty text", "a plan");
    }
    builder.root
}

struct Refusal {
    kind: FaultKind,
    place: Place,
    found: String,
    expected: String,
}

fn refuse(kind: FaultKind, span: Span, found: &str, expected: &str) -> Refusal {
    Refusal { kind, place: place(span), found: found.to_owned(), expected: expected.to_owned() }
}

fn syntax(error: &ScanError) -> Refusal {
    let marker = error.marker();
    Refusal {
        kind: FaultKind::Syntax,
        place: Place { line: marker.line(), column: marker.col(), width: 1 },
        found: format!("a text that is not YAML ({})", error.info()),
        expected: "YAML".to_owned(),
    }
}

fn place(span: Span) -> Place {
    let width = if span.start.line() == span.end.line() { span.len().max(1) } else { 1 };
    Place { line: span.start.line(), column: span.start.col(), width }
}

/// A mapping or list that is not complete.
struct Open {
    place: Place,
    shape: OpenShape,
}

enum OpenShape {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Place)> },
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span, reader: &mut Reader) -> Result<(), Refusal> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(refuse(
                        FaultKind::Syntax,
                        span,
                        "a second document",
                        "one plan in one file",
                    ));
                }
                Ok(())
            }
            Event::Alias(_) => Err(refuse(
                FaultKind::Syntax,
                span,
                "an alias",
                "every value written where it is used",
            )),
            Event::Scalar(text, style, anchor, tag) => {
                no_extras(anchor, tag.is_some(), span)?;
                let quoted = style != ScalarStyle::Plain;
                let null = !quoted && matches!(&*text, "" | "~" | "null");
                let shape = if null { Shape::Null } else { Shape::Text(text.into_owned()) };
                self.put(Node { place: place(span), shape }, span, reader)
            }
            Event::SequenceStart(anchor, tag) => {
                no_extras(anchor, tag.is_some(), span)?;
                self.open(span, OpenShape::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                no_extras(anchor, tag.is_some(), span)?;
                self.open(span, OpenShape::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(open) => self.put(close(open), span, reader),
                None => Ok(()),
            },
        }
    }

    fn open(&mut self, span: Span, shape: OpenShape) -> Result<(), Refusal> {
        if let Some(Open { shape: OpenShape::Map { key: None, .. }, .. }) = self.stack.last() {
            let found = "a list or mapping as a key";
            return Err(refuse(FaultKind::Syntax, span, found, "a word as a key"));
        }
        if self.stack.len() >= DEPTH_MAX {
            let expected = format!("at most {DEPTH_MAX} levels");
            return Err(refuse(FaultKind::TooLarge, span, "a deeper nesting", &expected));
        }
        let mut place = place(span);
        place.width = place.width.max(1);
        self.stack.push(Open { place, shape });
        Ok(())
    }

    fn put(&mut self, node: Node, span: Span, reader: &mut Reader) -> Result<(), Refusal> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let expected = format!("at most {NODES_MAX}");
            return Err(refuse(FaultKind::TooLarge, span, "more values", &expected));
        }
        match self.stack.last_mut().map(|open| &mut open.shape) {
            None => self.root = Some(node),
            Some(OpenShape::List(items)) => items.push(node),
            Some(OpenShape::Map { entries, key }) => match key.take() {
                None => *key = Some((key_text(&node), node.place)),
                Some((name, place)) => add(entries, name, place, node, reader),
            },
        }
        Ok(())
    }
}

fn add(entries: &mut Vec<Entry>, key: String, place: Place, value: Node, reader: &mut Reader) {
    if let Some(first) = entries.iter().find(|entry| entry.key == key) {
        reader.fault(
            FaultKind::DuplicateKey,
            place,
            &key,
            format!("{} a second time", quoted(&key)),
            format!("it once; the first is in line {}", first.place.line),
        );
    } else {
        entries.push(Entry { key, place, value });
    }
}

fn key_text(node: &Node) -> String {
    match &node.shape {
        Shape::Text(text) => text.clone(),
        // `open` refuses other keys; a null key has no name.
        _ => String::new(),
    }
}

fn close(open: Open) -> Node {
    let shape = match open.shape {
        OpenShape::List(items) => Shape::List(items),
        OpenShape::Map { entries, .. } => Shape::Map(entries),
    };
    Node { place: open.place, shape }
}

fn no_extras(anchor: usize, tag: bool, span: Span) -> Result<(), Refusal> {
    if anchor != 0 {
        let expected = "every value written where it is used";
        return Err(refuse(FaultKind::Syntax, span, "an anchor", expected));
    }
    if tag {
        return Err(refuse(FaultKind::Syntax, span, "a tag", "a plain value"));
    }
    Ok(())
}
