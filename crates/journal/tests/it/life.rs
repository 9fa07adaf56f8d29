//! What is appended is there, in order, for the writer and for readers.

use std::os::unix::fs::PermissionsExt;

use changeover_journal::{Entry, JOURNAL_FILE, Journal, JournalError, Reader, Seq, archive};
use changeover_types::WallMs;
use serde_json::json;

use super::{begun, meta};

#[test]
fn records_survive_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("shop");
    let mut journal = begun(&state).unwrap();
    assert_eq!(journal.append("a", WallMs(1), &json!({"x": 1})).unwrap(), Seq(1));
    let entry = |kind: &str| Entry { kind: kind.into(), at: WallMs(2), body: json!(null) };
    assert_eq!(journal.append_all(&[entry("b"), entry("c")]).unwrap(), Seq(3));
    assert_eq!(journal.append_all(&[]).unwrap(), Seq(3));
    let written = journal.read_all().unwrap();
    drop(journal);

    let journal = Journal::create_or_open(&state).unwrap();
    assert_eq!(journal.last(), Seq(3));
    assert_eq!(journal.meta(), Some(&meta("r1").unwrap()));
    assert_eq!(journal.read_all().unwrap(), written);
    let kinds: Vec<&str> = written.iter().map(|record| &*record.kind).collect();
    assert_eq!(kinds, ["a", "b", "c"]);
    assert_eq!(written[0].body, json!({"x": 1}));
    let mode = std::fs::metadata(&state).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_reader_sees_what_the_writer_committed_and_takes_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = begun(dir.path()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    for at in 1..=5 {
        let seq = journal.append("tick", WallMs(at), &json!(at)).unwrap();
        let seen = reader.read_after(Seq(seq.0 - 1)).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].seq, seen[0].at), (seq, WallMs(at)));
    }
    assert_eq!(reader.meta().unwrap(), Some(meta("r1").unwrap()));
    drop(journal);
    assert_eq!(Reader::open(dir.path()).unwrap().read_all().unwrap().len(), 5);
}

#[test]
fn a_copy_of_the_file_alone_has_what_came_before_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = begun(dir.path()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let copied = || {
        let copy = tempfile::tempdir().unwrap();
        let file = |dir: &std::path::Path| dir.join(JOURNAL_FILE);
        std::fs::copy(file(dir.path()), file(copy.path())).unwrap();
        Reader::open(copy.path()).and_then(|it| it.read_all()).map_or(0, |all| all.len())
    };
    for at in 1..=3 {
        journal.append("tick", WallMs(at), &json!(at)).unwrap();
    }
    assert_eq!(copied(), 0, "it all lies in the log");
    journal.checkpoint().unwrap();
    assert_eq!(copied(), 3);
    journal.append("tick", WallMs(4), &json!(4)).unwrap();
    assert_eq!((copied(), reader.read_all().unwrap().len()), (3, 4));
    journal.checkpoint().unwrap();
    drop(journal);
    assert_eq!((copied(), Journal::create_or_open(dir.path()).unwrap().last()), (4, Seq(4)));
}

#[test]
fn a_second_writer_is_refused_and_told_who_holds() {
    let dir = tempfile::tempdir().unwrap();
    let journal = begun(dir.path()).unwrap();
    let refused = Journal::create_or_open(dir.path()).unwrap_err();
    assert!(
        matches!(refused, JournalError::Held { pid: Some(pid), .. } if pid == std::process::id()),
        "{refused}"
    );
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    drop(journal);
    assert!(Journal::create_or_open(dir.path()).is_ok());
}

#[test]
fn a_journal_is_about_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create_or_open(dir.path()).unwrap();
    let early = journal.append("a", WallMs(1), &json!(1)).unwrap_err();
    assert!(early.to_string().contains("begin it first"), "{early}");
    journal.begin(meta("r1").unwrap()).unwrap();
    let again = journal.begin(meta("r2").unwrap()).unwrap_err();
    assert!(again.to_string().contains("r1"), "{again}");
    journal.append("a", WallMs(1), &json!(1)).unwrap();
}

#[test]
fn a_refused_append_stops_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = begun(dir.path()).unwrap();
    journal.append("a", WallMs(u64::MAX), &json!(1)).unwrap_err();
    let after = journal.append("a", WallMs(1), &json!(1)).unwrap_err();
    assert!(matches!(after, JournalError::Poisoned { .. }), "{after}");
}

#[test]
fn a_folder_without_a_journal_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let absent = Reader::open(dir.path()).unwrap_err();
    assert!(matches!(absent, JournalError::Absent { .. }), "{absent}");
    let absent = Reader::open(&dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(absent, JournalError::Absent { .. }), "{absent}");
}

#[test]
fn an_archived_journal_makes_room_and_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = begun(dir.path()).unwrap();
    journal.append("a", WallMs(1), &json!(1)).unwrap();
    assert!(matches!(archive(dir.path()), Err(JournalError::Held { .. })));
    drop(journal);
    let archived = archive(dir.path()).unwrap();
    assert_eq!(archived.file_name().unwrap(), "journal-r1.db");
    assert!(matches!(Reader::open(dir.path()), Err(JournalError::Absent { .. })));
    assert_eq!(begun(dir.path()).unwrap().last(), Seq(0));
    let old = tempfile::tempdir().unwrap();
    std::fs::copy(&archived, old.path().join(JOURNAL_FILE)).unwrap();
    assert_eq!(Reader::open(old.path()).unwrap().read_all().unwrap().len(), 1);
}
