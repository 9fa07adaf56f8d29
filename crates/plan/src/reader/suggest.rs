//! Which word was probably meant.

/// Words people bring from elsewhere, and ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("dwell", "at_least"),
    ("bake", "at_least"),
    ("database", "postgres"),
    ("db", "postgres"),
    ("jobs", "copy_jobs"),
    ("proxy", "http"),
    ("steps", "phases"),
    ("traffic", "gates"),
    ("upstream", "upstreams"),
    ("switchover", "cutover"),
    ("wait", "soak"),
    ("blue", "source"),
    ("green", "target"),
];

/// The nearest of `names`, if it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let lower = word.to_lowercase().replace('-', "_");
    let same = |name: &&&str| **name == word || name.to_lowercase() == lower;
    if let Some(name) = names.iter().find(same) {
        return Some(name);
    }
    let synonym = SYNONYMS.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
    if let Some(name) = names.iter().find(|name| Some(**name) == synonym) {
        return Some(name);
    }
    // A long word cannot be near to any of ours, and the distance costs its length squared.
    if lower.chars().count() > 40 {
        return None;
    }
    let limit = 1 + lower.chars().count() / 4;
    let near = names.iter().map(|name| (distance(&lower, name), *name)).min()?;
    (near.0 <= limit).then_some(near.1)
}

/// How many letters must be added, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["postgres", "http", "upstreams", "copy_jobs", "at_least"];
        assert_eq!(nearest("postgress", &names), Some("postgres"));
        assert_eq!(nearest("upstream", &names), Some("upstreams"));
        assert_eq!(nearest("database", &names), Some("postgres"));
        assert_eq!(nearest("copy-jobs", &names), Some("copy_jobs"));
        assert_eq!(nearest("volcano", &names), None);
    }
}
