//! Where two answers to the same request differ.

use serde_json::Value;

/// Of one pair of answers so many differences are told.
const DIFFERENCES_MAX: usize = 100;

/// An answer, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Copied {
    /// The status.
    pub status: u16,
    /// The headers that are compared, with their values; several of one name are joined.
    pub headers: Vec<(String, Option<String>)>,
    /// The body.
    pub body: Body,
}

/// A body, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// JSON, compared place by place.
    Json(Value),
    /// Anything else: its hash and length.
    Hash(u64, u64),
}

/// A place where two answers differ. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// What it is counted under: as [`super::FieldCount::field`].
    pub field: String,
    /// Where exactly, for an example.
    pub place: String,
}

impl Difference {
    /// A difference that is no place in a body.
    #[must_use]
    pub fn at(field: &str) -> Difference {
        Difference { field: field.to_owned(), place: field.to_owned() }
    }
}

/// Where they differ; with another status the rest follows from it and is not told.
#[must_use]
pub fn differences(one: &Copied, other: &Copied) -> Vec<Difference> {
    if one.status != other.status {
        return vec![Difference::at("status")];
    }
    let mut found: Vec<Difference> = one
        .headers
        .iter()
        .filter(|(name, value)| {
            let theirs = other.headers.iter().find(|(theirs, _)| theirs == name);
            theirs.map(|(_, value)| value) != Some(value)
        })
        .map(|(name, _)| Difference::at(&format!("header {name}")))
        .collect();
    match (&one.body, &other.body) {
        (Body::Json(one), Body::Json(other)) => walk(one, other, &mut Place::default(), &mut found),
        (one, other) if one != other => found.push(Difference::at("body")),
        _ => {}
    }
    found
}

/// A JSON pointer as it is and with `*` for indices.
#[derive(Default)]
struct Place {
    field: String,
    exact: String,
}

impl Place {
    fn below<T>(&mut self, field: &str, exact: &str, visit: impl FnOnce(&mut Place) -> T) -> T {
        let lengths = (self.field.len(), self.exact.len());
        self.field.push('/');
        self.field.push_str(field);
        self.exact.push('/');
        self.exact.push_str(exact);
        let value = visit(self);
        self.field.truncate(lengths.0);
        self.exact.truncate(lengths.1);
        value
    }

    fn difference(&self) -> Difference {
        let shown = |text: &str| if text.is_empty() { "body".to_owned() } else { text.to_owned() };
        Difference { field: shown(&self.field), place: shown(&self.exact) }
    }
}

// serde_json reads at most 128 levels, so recursion is safe.
fn walk(one: &Value, other: &Value, place: &mut Place, found: &mut Vec<Difference>) {
    if found.len() >= DIFFERENCES_MAX {
        return;
    }
    match (one, other) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in ours {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                place.below(&escaped, &escaped, |place| match theirs.get(name) {
                    Some(theirs) => walk(value, theirs, place, found),
                    None => found.push(place.difference()),
                });
            }
            for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                place.below(&escaped, &escaped, |place| found.push(place.difference()));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            if ours.len() != theirs.len() {
                place.below("length", "length", |place| found.push(place.difference()));
            }
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                place.below("*", &index.to_string(), |place| walk(ours, theirs, place, found));
            }
        }
        (one, other) if one != other => found.push(place.difference()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn copied(status: u16, etag: &str, body: Body) -> Copied {
        Copied { status, headers: vec![("etag".into(), Some(etag.into()))], body }
    }

    fn places(one: &Copied, other: &Copied) -> Vec<String> {
        differences(one, other).into_iter().map(|d| format!("{} {}", d.field, d.place)).collect()
    }

    #[test]
    fn every_place_is_told_and_no_value() {
        let one =
            json!({"a": 1, "b": [{"c": 1}, {"c": 2}], "d/e": true, "x": [1, 2], "same": null});
        let other = json!({"a": "1", "b": [{"c": 1}, {"c": 3}], "new": 1, "x": [1], "same": null});
        assert_eq!(
            places(&copied(200, "1", Body::Json(one)), &copied(200, "2", Body::Json(other))),
            [
                "header etag header etag",
                "/a /a",
                "/b/*/c /b/1/c",
                "/d~1e /d~1e",
                "/x/length /x/length",
                "/new /new",
            ]
        );
    }

    #[test]
    fn another_status_says_all() {
        let one = copied(200, "1", Body::Hash(1, 1));
        assert_eq!(places(&one, &copied(500, "2", Body::Hash(2, 2))), ["status status"]);
        assert_eq!(places(&one, &copied(200, "1", Body::Hash(2, 1))), ["body body"]);
        assert_eq!(places(&one, &copied(200, "1", Body::Json(json!(1)))), ["body body"]);
        assert_eq!(places(&one, &one), Vec::<String>::new());
    }

    #[test]
    fn a_document_that_differs_everywhere_is_cut() {
        let list = |add: usize| Body::Json((0..1000).map(|n| json!(n + add)).collect());
        let found = places(&copied(200, "1", list(0)), &copied(200, "1", list(1)));
        assert_eq!(found.len(), DIFFERENCES_MAX);
    }
}
