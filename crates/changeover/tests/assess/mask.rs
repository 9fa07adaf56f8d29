//! What differs from run to run, taken out of a report: ports, times, sizes, process ids.

use changeover_types::{WallMs, calendar};

/// Numbers in front of these are measured, and the unit follows from the number.
const UNITS: [(&str, &str); 12] = [
    ("B", "<size>"),
    ("bytes", "<size>"),
    ("kB", "<size>"),
    ("MB", "<size>"),
    ("GB", "<size>"),
    ("TB", "<size>"),
    ("ms", "<time>"),
    ("s", "<time>"),
    ("min", "<time>"),
    ("h", "<time>"),
    ("d", "<time>"),
    ("inserts", "<n> inserts"),
];

/// Masks a report; `names` are texts of this run (`127.0.0.1:40123`) and what stands for them.
pub(crate) fn mask(text: &str, names: &[(String, &str)]) -> String {
    let today = calendar::date(WallMs(now_ms()));
    let mut text = text.replace(&today, "<today>");
    for (name, mask) in names {
        text = text.replace(name, mask);
    }
    let lines = text.lines().map(|line| match measured_line(line) {
        // In a table the source follows.
        Some(end) => match line.strip_suffix(" |").and_then(|line| line.rsplit_once(" | ")) {
            Some((_, source)) => format!("{}<measured> | {source} |", &line[..end]),
            None => format!("{}<measured>", &line[..end]),
        },
        None => numbers(line),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Lines of facts that hold nothing but measurements, up to the value.
fn measured_line(line: &str) -> Option<usize> {
    ["change rate", "read rate", "round trip", "clock"].iter().find_map(|topic| {
        let after = line.find(&format!(" {topic} "))? + topic.len() + 2;
        (line.contains("source") || line.contains("target")).then_some(())?;
        (line.starts_with("| ") || line.starts_with("  source") || line.starts_with("  target"))
            .then_some(after)
    })
}

/// `12.5 MB` as `<size>`.
fn numbers(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        let word = after.strip_prefix(' ').unwrap_or_default();
        let word_end = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
        let part_of_name = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        out.push_str(before);
        let unit = UNITS.iter().find(|(unit, _)| !part_of_name && *unit == &word[..word_end]);
        match unit {
            Some((_, mask)) => {
                out.push_str(mask);
                rest = &word[word_end..];
            }
            None => {
                out.push_str(number);
                rest = after;
            }
        }
    }
    out + rest
}
