use super::*;
use proptest::prelude::*;

#[test]
fn yaml_knows_documents_anchors_merge_keys_and_lines() {
    let text = "x: &base\n  a: 1\n  b: [c, d]\n---\ny: 2\n";
    let documents = yaml(text).unwrap();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1].get("y").line, 5);

    let text = "base: &base {a: 1, b: 2}\nmore: &more {c: 3}\none:\n  <<: [*base, *more]\n  b: own\nlist: *more\n";
    let document = &yaml(text).unwrap()[0];
    assert_eq!(document.at(&["one", "a"]).text(), Some("1"));
    assert_eq!(document.at(&["one", "b"]).text(), Some("own"));
    assert_eq!(document.at(&["one", "c"]).text(), Some("3"));
    assert_eq!(document.get("list").line, 6);
    assert!(document.at(&["one", "d", "e"]).is_null());
}

#[test]
fn a_text_that_expands_without_end_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = level - 1;
        let many = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{many}]\n"));
    }
    assert!(yaml(&text).unwrap_err().why.contains("more than"));
    assert!(yaml(&"[".repeat(200)).unwrap_err().why.contains("nested deeper"));
    assert!(json(&"[".repeat(200)).unwrap_err().why.contains("nested deeper"));
}

#[test]
fn errors_have_lines() {
    assert_eq!(yaml("a: 1\nb: [\n").unwrap_err().line, 3);
    assert_eq!(json("{\n\"a\": 1,\n}").unwrap_err().line, 3);
    let node = json("{\n \"a\": {\"b\":\n [1, \"x\\n\\ud83d\\ude00\"]}}").unwrap();
    assert_eq!(
        node.at(&["a", "b"]).items()[1],
        Node { line: 3, shape: Shape::Text("x\n😀".into()) }
    );
}

/// Whether both readers of JSON agree on a text; both values if they do.
fn agrees(text: &str) -> bool {
    let theirs = serde_json::from_str::<serde_json::Value>(text);
    match (json(text), theirs) {
        (Ok(ours), Ok(theirs)) => same(&ours, &theirs),
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

fn same(ours: &Node, theirs: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (&ours.shape, theirs) {
        (Shape::Null, Value::Null) => true,
        (Shape::Text(text), Value::String(other)) => text == other,
        (Shape::Text(text), Value::Bool(other)) => *text == other.to_string(),
        (Shape::Text(text), Value::Number(other)) => text.parse::<f64>().ok() == other.as_f64(),
        (Shape::List(items), Value::Array(others)) => {
            items.len() == others.len() && items.iter().zip(others).all(|(a, b)| same(a, b))
        }
        (Shape::Map(entries), Value::Object(others)) => others.iter().all(|(key, value)| {
            let last = entries.iter().rev().find(|(name, _)| name == key);
            last.is_some_and(|(_, node)| same(node, value))
        }),
        _ => false,
    }
}

proptest! {
    #[test]
    fn json_is_read_as_serde_json_reads_it(text in "[\\[\\]{}:,\" \\\\ua-f0-9.eE+\n\ttrufalsn-]{0,24}") {
        prop_assert!(agrees(&text), "{text}");
    }

    #[test]
    fn a_valid_json_text_is_read_and_a_cut_one_refused(
        words in proptest::collection::vec("\\PC{0,8}", 0..6),
        number in proptest::num::i64::ANY,
        cut in 0usize..100,
    ) {
        let text = serde_json::json!({"a": words, "b": {"c": number, "d": [true, null]}}).to_string();
        prop_assert!(agrees(&text));
        let end = (0..=cut.min(text.len() - 1)).rev().find(|i| text.is_char_boundary(*i)).unwrap();
        prop_assert!(json(&text[..end]).is_err());
    }

    #[test]
    fn yaml_never_panics(text in "(\\PC|[-:?&*<>{}\\[\\],|#!%@\n\t \"']){0,60}") {
        if let Err(error) = yaml(&text) {
            prop_assert!(!error.why.is_empty());
        }
    }
}
