//! Numbers and lists as people read them.

use std::fmt::Display;

/// `1.5 GB`: powers of ten, as disks are sold.
pub(crate) fn bytes(bytes: u64) -> String {
    let units =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => {
            let tenths = bytes / (size / 10);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// `3 d`, `2 h`, `5 min`, `12 s`: rounded down.
pub(crate) fn seconds(seconds: u64) -> String {
    match seconds {
        s if s >= 2 * 86_400 => format!("{} d", s / 86_400),
        s if s >= 2 * 3_600 => format!("{} h", s / 3_600),
        s if s >= 120 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// At most six of them, and how many more there are.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const MOST: usize = 6;
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let mut text = items.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if items.len() > MOST {
        text.push_str(&format!(" and {} more", items.len() - MOST));
    }
    text
}

/// `1 table`, `3 tables`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_are_short() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1_549_999_999), "1.5 GB");
        assert_eq!(seconds(119), "119 s");
        assert_eq!(seconds(7_300), "2 h");
        assert_eq!(list(1..=8), "1, 2, 3, 4, 5, 6 and 2 more");
        assert_eq!(count(1, "slot"), "1 slot");
        assert_eq!(count(0, "slot"), "0 slots");
    }
}
