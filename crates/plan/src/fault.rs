//! What is wrong with a plan, where, and what would be right.

use std::fmt;

use serde::Serialize;

mod secrets;

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Not YAML, or YAML that plans do not use (aliases, tags, several documents).
    Syntax,
    /// Larger or deeper than a plan may be.
    TooLarge,
    /// A key twice in one mapping.
    DuplicateKey,
    /// A key that means nothing here.
    UnknownKey,
    /// A key of the design that this version does not implement.
    NotBuilt,
    /// A key that must be there.
    Missing,
    /// A list where a mapping belongs, and the like.
    WrongType,
    /// A number without its unit, or with another's.
    WrongUnit,
    /// The right type, but not a possible value.
    WrongValue,
    /// Two parts of the plan that cannot both be meant.
    Contradiction,
    /// A password written into the plan.
    InlineSecret,
}

/// One mistake. `Display` is a block of several lines with the source line and a caret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What kind of mistake.
    pub kind: FaultKind,
    /// The file as it was named to [`crate::parse`].
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The key's path, like `source.postgres.url` or `phases[1].steps[0].canary.weights`.
    pub path: String,
    /// What is there. Never a secret.
    pub found: String,
    /// What belongs there.
    pub expected: String,
    /// What to do, where that is not obvious.
    pub hint: Option<String>,
    /// The source line, secrets masked, cut to a printable length.
    pub source_line: String,
    /// Where the caret begins in `source_line`, in characters from 0, and how long it is.
    pub caret: (usize, usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        writeln!(f, "found {}, expected {}", self.found, self.expected)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, " {margin} |")?;
        writeln!(f, " {number} | {}", self.source_line)?;
        write!(f, " {margin} | {}{}", " ".repeat(self.caret.0), "^".repeat(self.caret.1.max(1)))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n {margin} = {hint}")?;
        }
        Ok(())
    }
}

/// Every mistake of a plan, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

/// A place in the text: line from 1, column from 0, and how many characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) width: usize,
}

/// A fault before it is joined with the file's name and text.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) kind: FaultKind,
    /// Which of the files it is in: 0 is the plan itself.
    pub(crate) source: usize,
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) found: String,
    pub(crate) expected: String,
    pub(crate) hint: Option<String>,
}

/// More faults than anybody reads are cut off here.
const FAULTS_MAX: usize = 100;
/// Longest part of a source line that is shown, in characters.
const LINE_MAX: usize = 120;

/// Joins the faults with the names and texts of the files they are about.
pub(crate) fn render(mut found: Vec<Found>, sources: &[(String, &str)]) -> Faults {
    found.sort_by_key(|f| (f.source, f.place.line, f.place.column));
    found.truncate(FAULTS_MAX);
    let lines: Vec<Vec<&str>> = sources.iter().map(|(_, text)| text.lines().collect()).collect();
    let rendered = found.into_iter().filter_map(|f| {
        let ((file, _), lines) = sources.get(f.source).zip(lines.get(f.source))?;
        Some(join(f, file, lines))
    });
    Faults(rendered.collect())
}

fn join(found: Found, file: &str, lines: &[&str]) -> Fault {
    let Found { kind, place, path, found, expected, hint, source: _ } = found;
    let index = place.line.saturating_sub(1).min(lines.len().saturating_sub(1));
    let line = lines.get(index).copied().unwrap_or("");
    let (source_line, caret) = excerpt(line, place.column, place.width);
    Fault {
        kind,
        file: file.to_owned(),
        line: index + 1,
        column: place.column + 1,
        path: secrets::mask(&path),
        found: secrets::mask(&found),
        expected,
        hint,
        source_line,
        caret,
    }
}

/// The printable part of a line around the caret, with secrets masked.
fn excerpt(line: &str, column: usize, width: usize) -> (String, (usize, usize)) {
    let length = line.chars().count();
    let (start, end) = (column.min(length), column.saturating_add(width).min(length));
    let split = |at: usize| line.char_indices().nth(at).map_or(line.len(), |(byte, _)| byte);
    let masked = secrets::mask_ranges(line);
    let shown = secrets::apply(line, &masked);
    let start = secrets::shifted(split(start), line, &masked);
    let end = secrets::shifted(split(end), line, &masked).max(start + 1);
    let skip = start.saturating_sub(LINE_MAX / 2);
    let visible: String = shown
        .chars()
        .skip(skip)
        .take(LINE_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let room = LINE_MAX.saturating_sub(start - skip).max(1);
    (visible.trim_end().to_owned(), (start - skip, (end - start).min(room)))
}
