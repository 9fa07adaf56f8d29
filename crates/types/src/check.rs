//! What a check found: words for the journal, the screen and JUnit. Never a body, a row's value or
//! a secret: shapes, statuses, paths and lengths.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One check that was carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The step's path, like `copy/smoke`.
    pub step: String,
    /// The step's kind: `smoke`, `load`, `run` or `mirror`.
    pub check: String,
    /// The outcome in one line, with its numbers.
    pub summary: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The questions, limits or tests that it consists of.
    pub cases: Vec<CheckCase>,
    /// What was measured, units in the names.
    pub numbers: BTreeMap<String, u64>,
}

/// One question, limit or test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCase {
    /// What was asked, and of whom.
    pub name: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Every expectation that was not met; none if it passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// It was left out by whoever wrote it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

impl CheckReport {
    /// Whether it consists of something and nothing of it failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.cases.is_empty() && self.failed().next().is_none()
    }

    /// What failed.
    pub fn failed(&self) -> impl Iterator<Item = &CheckCase> {
        self.cases.iter().filter(|case| !case.failures.is_empty())
    }

    /// Why it failed, in one line: the first failures, and how many more there are.
    #[must_use]
    pub fn why(&self) -> String {
        const SHOWN: usize = 3;
        let texts: Vec<String> = self
            .failed()
            .flat_map(|case| case.failures.iter().map(move |f| format!("{}: {f}", case.name)))
            .collect();
        if texts.is_empty() {
            return format!("{}: nothing was checked", self.check);
        }
        let mut shown = texts.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
        if texts.len() > SHOWN {
            shown.push_str(&format!("; and {} more", texts.len() - SHOWN));
        }
        format!("{}: {shown}", self.check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, failures: &[&str]) -> CheckCase {
        let failures = failures.iter().map(|f| (*f).to_owned()).collect();
        CheckCase { name: name.to_owned(), failures, ..CheckCase::default() }
    }

    #[test]
    fn a_check_of_nothing_has_not_passed() {
        let mut report = CheckReport { check: "run".to_owned(), ..CheckReport::default() };
        assert!(!report.passed());
        assert_eq!(report.why(), "run: nothing was checked");
        report.cases.push(case("a", &[]));
        assert!(report.passed());
    }

    #[test]
    fn the_first_failures_are_told_and_the_others_counted() {
        let cases = vec![case("a", &["1", "2"]), case("b", &[]), case("c", &["3", "4", "5"])];
        let report = CheckReport { check: "smoke".to_owned(), cases, ..CheckReport::default() };
        assert!(!report.passed());
        assert_eq!(report.why(), "smoke: a: 1; a: 2; c: 3; and 2 more");
    }
}
