//! Places in a JSON document, and values in words that give none away.

use changeover_plan::json_path::Segment;
use serde_json::Value;

/// Every value that the path leads to.
#[must_use]
pub fn select<'a>(root: &'a Value, path: &[Segment]) -> Vec<&'a Value> {
    path.iter().fold(vec![root], |found, segment| {
        found.into_iter().flat_map(|value| step(value, segment)).collect()
    })
}

fn step<'a>(value: &'a Value, segment: &Segment) -> Vec<&'a Value> {
    match (segment, value) {
        (Segment::Name(name), Value::Object(members)) => members.get(name).into_iter().collect(),
        (Segment::Index(index), Value::Array(items)) => {
            let from_end = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = if *index < 0 { from_end + index } else { *index };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        (Segment::All, Value::Array(items)) => items.iter().collect(),
        (Segment::All, Value::Object(members)) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// The text form of a scalar, as a plan writes it.
#[must_use]
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null => Some("null".to_owned()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// What kind of value it is and how long, without the value.
#[must_use]
pub fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a truth value".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => format!("a text of {} characters", text.chars().count()),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(members) => format!("an object of {}", members.len()),
    }
}

#[cfg(test)]
mod tests {
    use changeover_plan::json_path::parse;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let root = json!({"a": [{"b": 1}, {"b": 2}, {}], "c d": {"e": null}});
        let select = |path: &str| -> Vec<String> {
            let path = parse(path).unwrap();
            select(&root, &path).iter().map(ToString::to_string).collect()
        };
        assert_eq!(select("$.a[*].b"), ["1", "2"]);
        assert_eq!(select("$.a[-1]"), ["{}"]);
        assert_eq!(select("$['c d'].*"), ["null"]);
        assert_eq!(select("$.a[3]"), Vec::<String>::new());
        assert_eq!(select("$.a.b"), Vec::<String>::new());
    }
}
