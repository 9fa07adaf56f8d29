//! A file that is not what we wrote is noticed and named.

use std::fs;
use std::path::Path;

use changeover_journal::{JOURNAL_FILE, Journal, JournalError, Reader, Seq};
use changeover_types::WallMs;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::begun;

/// A closed journal with ten records, and an SQL text done to it behind our back.
fn tampered(sql: &str) -> Result<TempDir, Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let mut journal = begun(dir.path())?;
    for at in 1..=10 {
        journal.append("tick", WallMs(at), &json!({"n": at}))?;
    }
    drop(journal);
    let connection = Connection::open(dir.path().join(JOURNAL_FILE))?;
    connection.execute_batch(sql)?;
    Ok(dir)
}

fn refused(dir: &Path) -> (JournalError, String) {
    let by_writer = Journal::create_or_open(dir).map(|_| ()).expect_err("the writer took it");
    let by_reader =
        Reader::open(dir).and_then(|reader| reader.read_all()).expect_err("the reader took it");
    let text = by_writer.to_string();
    assert_eq!(text, by_reader.to_string());
    (by_writer, text)
}

#[test]
fn a_changed_record_breaks_the_chain() {
    let drop_guard =
        "DROP TRIGGER record_stays; DROP TRIGGER record_remains; DROP TRIGGER meta_stays;";
    for (change, at) in [
        ("UPDATE record SET body = '{\"n\":4}' WHERE seq = 3", 3),
        ("UPDATE record SET kind = 'tock' WHERE seq = 10", 10),
        ("UPDATE record SET at = 0 WHERE seq = 1", 1),
        ("DELETE FROM record WHERE seq = 5", 5),
        ("UPDATE meta SET plan_digest = 'other'", 1),
    ] {
        let dir = tampered(&format!("{drop_guard} {change}")).unwrap();
        let (error, text) = refused(dir.path());
        assert!(
            matches!(error, JournalError::Broken { seq, .. } if seq == Seq(at)),
            "{change}: {text}"
        );
    }
}

#[test]
fn records_cannot_be_changed_by_a_slip() {
    for slip in ["UPDATE record SET kind = 'x'", "DELETE FROM record", "DELETE FROM meta"] {
        let error = tampered(slip).unwrap_err();
        assert!(error.to_string().contains("journal is"), "{error}");
    }
}

#[test]
fn an_older_journal_names_the_versions() {
    let dir = tampered("PRAGMA user_version = 1").unwrap();
    let (error, text) = refused(dir.path());
    assert!(matches!(error, JournalError::Older { found: 1, .. }), "{text}");
    assert!(text.contains("version 1") && text.contains("that started it"), "{text}");
}

#[test]
fn a_newer_journal_names_the_versions() {
    let dir = tampered("PRAGMA user_version = 7").unwrap();
    let (error, text) = refused(dir.path());
    assert!(matches!(error, JournalError::Newer { found: 7, .. }), "{text}");
    assert!(text.contains("schema version 7"), "{text}");
}

#[test]
fn a_foreign_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(JOURNAL_FILE);
    fs::write(&path, "this is no database, but long enough to be looked at ".repeat(40)).unwrap();
    let before = fs::read(&path).unwrap();
    let (error, text) = refused(dir.path());
    assert!(matches!(error, JournalError::NotAJournal { .. }), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let dir = tempfile::tempdir().unwrap();
    let other = Connection::open(dir.path().join(JOURNAL_FILE)).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    let (error, text) = refused(dir.path());
    assert!(matches!(error, JournalError::NotAJournal { .. }), "{text}");
}

#[test]
fn a_torn_file_is_called_damaged() {
    let dir = tampered("VACUUM").unwrap();
    let path = dir.path().join(JOURNAL_FILE);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (_, text) = refused(dir.path());
    assert!(text.contains("damaged"), "{text}");

    let mut holed = whole.clone();
    let page = 4096;
    for byte in holed.iter_mut().skip(page).take(whole.len() - page) {
        *byte = 0x5a;
    }
    fs::write(&path, holed).unwrap();
    let (_, text) = refused(dir.path());
    assert!(text.contains("damaged"), "{text}");
}
