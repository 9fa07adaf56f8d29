//! A step as the plan's text has it, in JSON: a rehearsal carries out the very words of the plan.

use std::fmt::Write as _;

use crate::node::{self, Node, Shape};
use crate::reader::Reader;

/// The step at these indices of a plan's text; `None` where the text has no such step. Scalars are
/// texts, which is what a plan's reader takes them for.
#[must_use]
pub fn step_text(plan: &str, phase: usize, index: usize) -> Option<String> {
    let root = node::build(plan, &mut Reader::default())?;
    let phase = item(key(&root, "phases")?, phase)?;
    let step = item(key(phase, "steps")?, index)?;
    let mut out = String::new();
    json(step, &mut out);
    Some(out)
}

fn key<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let Shape::Map(entries) = &node.shape else { return None };
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

fn item(node: &Node, index: usize) -> Option<&Node> {
    let Shape::List(items) = &node.shape else { return None };
    items.get(index)
}

// The tree is at most 32 levels deep (`node`), so recursion is safe.
fn json(node: &Node, out: &mut String) {
    match &node.shape {
        Shape::Null => out.push_str("null"),
        Shape::Text(text) => quoted(text, out),
        Shape::List(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                json(item, out);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Shape::Map(entries) => {
            for (at, entry) in entries.iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                quoted(&entry.key, out);
                out.push(':');
                json(&entry.value, out);
            }
            out.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default();
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_its_words_and_means_the_same_in_json() {
        let head = "apiVersion: changeover/v1\nkind: Migration\nmetadata: {name: shop}\n\
            source: {http: {upstreams: ['http://a:1']}}\ntarget: {http: {upstreams: ['http://b:1']}}\n\
            gates: {http: {listen: '127.0.0.1:1'}}\n";
        let step = "load: {profile: {rate: 5/s, for: 2s}, error_rate: 0.1%, requests: [{path: /, \
            method: POST, unsafe: true, body: \"a\\t\\\"b\\\\\\n\", headers: {x-a: 'null'}}], \
            reads_only: false, connections: 3}";
        let plan = format!("{head}phases:\n- {{name: a, steps: [soak: {{for: 1s}}, {step}]}}\n");
        let text = step_text(&plan, 0, 1).unwrap();
        let again = format!("{head}phases:\n- {{name: a, steps: [soak: {{for: 1s}}, {text}]}}\n");
        let read = |text: &str| crate::parse("p", text).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(read(&again).phases, read(&plan).phases);
        assert_eq!(step_text(&plan, 0, 2), None);
        assert_eq!(step_text(&plan, 1, 0), None);
        assert_eq!(step_text("a: [", 0, 0), None);
    }
}
