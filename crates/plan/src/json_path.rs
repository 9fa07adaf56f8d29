//! Places in a JSON document: the part of RFC 9535 that a check needs.
//!
//! `$`, then any of `.name`, `['name']`, `["name"]`, `[0]`, `[-1]`, `[*]` and `.*`. No filters,
//! slices or descent: what a check asks for is known before it asks.

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A member of an object.
    Name(String),
    /// An element of a list; from its end if negative.
    Index(i64),
    /// Every member or element.
    All,
}

/// Reads a path; `None` if it is none.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<Segment>> {
    if text.len() > 500 {
        return None;
    }
    let mut rest = text.strip_prefix('$')?;
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let segment;
        (segment, rest) = match rest.strip_prefix('.') {
            Some(named) => dotted(named)?,
            None => bracketed(rest.strip_prefix('[')?)?,
        };
        segments.push(segment);
    }
    Some(segments)
}

fn dotted(text: &str) -> Option<(Segment, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((Segment::All, rest));
    }
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let end = text.find(|c| !word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (Segment::Name(name.to_owned()), rest))
}

fn bracketed(text: &str) -> Option<(Segment, &str)> {
    if let Some(rest) = text.strip_prefix("*]") {
        return Some((Segment::All, rest));
    }
    for quote in ['\'', '"'] {
        if let Some(named) = text.strip_prefix(quote) {
            let (name, rest) = named.split_once(quote)?;
            return Some((Segment::Name(name.to_owned()), rest.strip_prefix(']')?));
        }
    }
    let (index, rest) = text.split_once(']')?;
    let digits = index.strip_prefix('-').unwrap_or(index);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some((Segment::Index(index.parse().ok().filter(|_| plain)?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let name = |text: &str| Segment::Name(text.to_owned());
        assert_eq!(parse("$"), Some(vec![]));
        assert_eq!(
            parse("$.items[*].price[-1]"),
            Some(vec![name("items"), Segment::All, name("price"), Segment::Index(-1)])
        );
        assert_eq!(
            parse("$['a b'].*[\"c.d\"]"),
            Some(vec![name("a b"), Segment::All, name("c.d")])
        );
        for bad in ["", "a", "$a", "$.", "$..a", "$[", "$[]", "$[a]", "$['a]", "$[1", "$[+1]"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
