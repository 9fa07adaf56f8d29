//! One table: digest, buckets, rows.

use changeover_types::TableName;

use super::sql::{Subject, bucket_count, columns};
use super::{DifferenceKind, MOST_LISTED, Pair, RowDifference, TableReport, VerifyReport};
use crate::error::{Error, Result};
use crate::session::{Row, Session};

/// How many keys are read at once from each side.
const FETCH: &str = "FETCH 5000 FROM changeover_verify";

/// What is compared of a table: the columns must be the same on both sides, the key is the
/// source's.
pub(super) async fn subject(pair: &mut Pair<'_>, name: &TableName) -> Result<Subject> {
    let (source, target) = pair.both(&columns(name)).await?;
    let mut subject = Subject { name: name.clone(), columns: Vec::new(), key: Vec::new() };
    for row in &source {
        let column = row.text(0)?.to_owned();
        if row.text(1)? == "t" {
            subject.key.push(column.clone());
        }
        subject.columns.push(column);
    }
    let other: Vec<String> =
        target.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<_>>()?;
    if subject.columns.is_empty() && other.is_empty() {
        return Err(Error::divergence(
            pair.source.side(),
            format!("comparing {name}: it has no columns, or is not there"),
        ));
    }
    if subject.columns != other {
        return Err(Error::divergence(
            pair.target.side(),
            format!(
                "comparing {name}: the source has the columns {} and the target {}",
                subject.columns.join(", "),
                other.join(", ")
            ),
        ));
    }
    Ok(subject)
}

/// Compares one table and adds its differences to the report.
pub(super) async fn compare(
    pair: &mut Pair<'_>,
    subject: &Subject,
    report: &mut VerifyReport,
) -> Result<TableReport> {
    let (source, target) = pair.both(&subject.digest()).await?;
    let (source, target) = (digest(source.first())?, digest(target.first())?);
    let equal = source == target;
    if !equal {
        let buckets = bucket_count(source.0.max(target.0));
        let wanted = differing_buckets(pair, subject, buckets).await?;
        rows(pair, subject, buckets, &wanted, report).await?;
    }
    Ok(TableReport { name: subject.name.clone(), rows: source.0, equal })
}

/// Count and two sums.
type Digest = (u64, String, String);

fn digest(row: Option<&Row>) -> Result<Digest> {
    match row {
        Some(row) => Ok((row.parse(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned())),
        None => Ok((0, "0".to_owned(), "0".to_owned())),
    }
}

async fn differing_buckets(
    pair: &mut Pair<'_>,
    subject: &Subject,
    buckets: u32,
) -> Result<Vec<u32>> {
    let (source, target) = pair.both(&subject.buckets(buckets)).await?;
    let read = |row: Row| -> Result<(u32, [String; 3])> {
        let text = |n: usize| row.text(n).map(str::to_owned);
        Ok((row.parse(0)?, [text(1)?, text(2)?, text(3)?]))
    };
    let mut of: std::collections::BTreeMap<u32, [String; 3]> =
        source.into_iter().map(read).collect::<Result<_>>()?;
    let mut differing = Vec::new();
    for row in target {
        let (bucket, sums) = read(row)?;
        if of.remove(&bucket).as_ref() != Some(&sums) {
            differing.push(bucket);
        }
    }
    differing.extend(of.into_keys());
    differing.sort_unstable();
    Ok(differing)
}

/// A sorted run of keys from one side.
struct Keys<'a> {
    session: &'a mut Session,
    rows: std::vec::IntoIter<Row>,
    head: Option<Row>,
    done: bool,
}

impl Keys<'_> {
    async fn advance(&mut self) -> Result<()> {
        self.head = self.rows.next();
        if self.head.is_none() && !self.done {
            self.rows = self.session.query(FETCH).await?.into_iter();
            self.head = self.rows.next();
            self.done = self.head.is_none();
        }
        Ok(())
    }

    async fn open<'a>(session: &'a mut Session, cursor: &str) -> Result<Keys<'a>> {
        session.query(cursor).await?;
        let mut keys = Keys { session, rows: Vec::new().into_iter(), head: None, done: false };
        keys.advance().await?;
        Ok(keys)
    }
}

/// Merges the two sorted runs of keys; memory is bounded whatever differs.
async fn rows(
    pair: &mut Pair<'_>,
    subject: &Subject,
    buckets: u32,
    wanted: &[u32],
    report: &mut VerifyReport,
) -> Result<()> {
    let cursor = subject.cursor(buckets, wanted);
    let mut source = Keys::open(pair.source, &cursor).await?;
    let mut target = Keys::open(pair.target, &cursor).await?;
    loop {
        let order = match (&source.head, &target.head) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            // Both servers sorted by bytes, and so does Rust.
            (Some(s), Some(t)) => s.text(0)?.cmp(t.text(0)?),
        };
        let (mut found, mut key) = ((0, None), None);
        if order.is_le()
            && let Some(row) = &source.head
        {
            (found.0, key) = (row.parse(1)?, Some(row.text(0)?.to_owned()));
        }
        if order.is_ge()
            && let Some(row) = &target.head
        {
            found.1 = Some(row.parse::<u64>(1)?);
            key = Some(row.text(0)?.to_owned());
        }
        let same = order.is_eq() && same(source.head.as_ref(), target.head.as_ref());
        if !same && let Some(key) = key {
            record(report, subject, &key, found.0, found.1.unwrap_or(0));
        }
        if order.is_le() {
            source.advance().await?;
        }
        if order.is_ge() {
            target.advance().await?;
        }
    }
    pair.both("CLOSE changeover_verify").await?;
    Ok(())
}

fn same(source: Option<&Row>, target: Option<&Row>) -> bool {
    match (source, target) {
        (Some(s), Some(t)) => (1..4).all(|n: usize| s.get(n) == t.get(n)),
        _ => false,
    }
}

fn record(report: &mut VerifyReport, subject: &Subject, key: &str, source: u64, target: u64) {
    // Rows without a key are counted: two of one sort too few are two differences.
    report.rows_different += source.abs_diff(target).max(1);
    if report.differences.len() < MOST_LISTED {
        report.differences.push(RowDifference {
            table: subject.name.clone(),
            key: subject.show(key),
            kind: DifferenceKind::of(source, target),
        });
    }
}
