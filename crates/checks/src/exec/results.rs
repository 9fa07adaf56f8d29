//! The JUnit files that a command left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use changeover_types::CheckCase;

use crate::junit;

/// Larger files than this are not read.
const BYTES_MAX: u64 = 32 * 1024 * 1024;
/// More files than this are not read.
const FILES_MAX: usize = 1000;
/// More tests than this are not told one by one.
const TESTS_MAX: usize = 2000;

/// Every test in the files that match and are not older than the command. No file, or none of this
/// run, is a failure: what was not seen has not passed.
pub(super) fn read(folder: &Path, pattern: &str, begun: SystemTime) -> Vec<CheckCase> {
    let mut cases = Vec::new();
    let files = match matching(folder, pattern) {
        Ok(files) => files,
        Err(why) => return vec![failed(pattern, why)],
    };
    let (fresh, stale): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| is_fresh(file, begun));
    if fresh.is_empty() {
        let why = match stale.len() {
            0 => "the command left no JUnit file there".to_owned(),
            n => format!("all {n} JUnit files there are older than this run"),
        };
        return vec![failed(pattern, why)];
    }
    for file in fresh {
        let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
        match tests(&file) {
            Ok(tests) if tests.is_empty() => cases.push(failed(&name, "has no test".to_owned())),
            Ok(tests) => cases.extend(tests),
            Err(why) => cases.push(failed(&name, why)),
        }
    }
    shorten(cases)
}

fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let whole = Path::new(&glob::Pattern::escape(&folder.display().to_string())).join(pattern);
    let found = glob::glob(&whole.display().to_string()).map_err(|e| e.to_string())?;
    let files: Vec<PathBuf> =
        found.flatten().filter(|file| file.is_file()).take(FILES_MAX + 1).collect();
    if files.len() > FILES_MAX {
        return Err(format!("more than {FILES_MAX} files match"));
    }
    Ok(files)
}

fn is_fresh(file: &Path, begun: SystemTime) -> bool {
    let changed = fs::metadata(file).and_then(|meta| meta.modified());
    changed.is_ok_and(|changed| changed >= begun)
}

fn tests(file: &Path) -> Result<Vec<CheckCase>, String> {
    let size = fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > BYTES_MAX {
        return Err(format!("has {size} bytes, more than {BYTES_MAX}"));
    }
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let tests = junit::read(&text).map_err(|e| e.to_string())?;
    Ok(tests.into_iter().map(case).collect())
}

fn case(test: junit::Test) -> CheckCase {
    let failure = test.failed.map(|kind| match &*kind {
        "" => "failed".to_owned(),
        kind => format!("failed ({kind})"),
    });
    CheckCase {
        name: test.name,
        took_ms: u64::try_from(test.took.as_millis()).unwrap_or(u64::MAX),
        failures: failure.into_iter().collect(),
        skipped: test.skipped,
    }
}

fn failed(name: &str, why: String) -> CheckCase {
    CheckCase { name: name.to_owned(), failures: vec![why], ..CheckCase::default() }
}

/// Failures first in what is kept: a journal has room for some thousand tests, not for all.
fn shorten(cases: Vec<CheckCase>) -> Vec<CheckCase> {
    let count = cases.len();
    if count <= TESTS_MAX {
        return cases;
    }
    let (failed, passed): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|case| !case.failures.is_empty());
    let failures = failed.len();
    let mut kept: Vec<CheckCase> = failed.into_iter().chain(passed).take(TESTS_MAX).collect();
    let name = format!("{} more tests, not told one by one", count - TESTS_MAX);
    let failures = match failures.saturating_sub(TESTS_MAX) {
        0 => vec![],
        more => vec![format!("{more} of them failed")],
    };
    kept.push(CheckCase { name, failures, ..CheckCase::default() });
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tests_are_shortened_and_no_failure_is_lost() {
        let case = |n: usize| CheckCase {
            name: n.to_string(),
            failures: if n.is_multiple_of(2) { vec!["failed".into()] } else { vec![] },
            ..CheckCase::default()
        };
        let kept = shorten((0..10_000).map(case).collect());
        assert_eq!(kept.len(), TESTS_MAX + 1);
        let last = kept.last().unwrap();
        assert_eq!(last.name, "8000 more tests, not told one by one");
        assert_eq!(last.failures, ["3000 of them failed"]);
    }
}
