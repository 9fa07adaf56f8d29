//! What must hold: every acknowledged transaction once, nothing else, in order, whole, on one side
//! at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::Client;

use super::postgres_session::{block_on, connect, rows};
use super::schema::TABLES;
use super::writer::{Fate, Ledger};
use super::{PATIENCE, Stage, until};

/// What a transaction of a writer did follows from the rows of `line` that are there: each row of
/// the answer is something that does not follow.
const BROKEN: &str = "
SELECT 'counter of ' || c.writer FROM counter c
    LEFT JOIN (SELECT writer, count(*) AS n FROM line GROUP BY 1) l USING (writer)
    WHERE c.n <> coalesce(l.n, 0)
UNION ALL SELECT 'no visit ' || l.writer || '/' || l.seq FROM line l WHERE l.kind = 1
    AND NOT EXISTS (SELECT FROM line d WHERE d.writer = l.writer AND d.seq = l.seq + 8)
    AND NOT EXISTS (SELECT FROM visit v WHERE v.writer = l.writer AND v.seq = l.seq
        AND v.part = (l.seq / 6 + (EXISTS (SELECT FROM line m
            WHERE m.writer = l.writer AND m.seq = l.seq + 1))::int) % 4)
UNION ALL SELECT 'visit ' || v.writer || '/' || v.seq FROM visit v WHERE v.writer > 0 AND (
    NOT EXISTS (SELECT FROM line l WHERE l.writer = v.writer AND l.seq = v.seq)
    OR EXISTS (SELECT FROM line d WHERE d.writer = v.writer AND d.seq = v.seq + 8))
UNION ALL SELECT 'touched ' || l.writer || '/' || l.seq FROM line l
    WHERE l.touched <> (l.kind = 5 AND EXISTS (SELECT FROM line m
        WHERE m.writer = l.writer AND m.seq = l.seq + 1))::int
UNION ALL SELECT 'documents' WHERE (SELECT sum(version) FROM document)
    <> (SELECT count(*) FROM line WHERE kind = 5)
UNION ALL SELECT 'trail' WHERE (SELECT count(*) FROM trail WHERE writer > 0)
    <> 2 * (SELECT count(*) FROM line WHERE kind = 4)
UNION ALL SELECT 'customers' WHERE (SELECT count(*) FROM customer WHERE name LIKE 'of %')
    <> (SELECT count(*) FROM line WHERE kind = 4)
UNION ALL SELECT 'audit' WHERE (SELECT count(*) FROM audit) <> (SELECT count(*) FROM customer)
";

/// The rows of `line` on a side.
pub(crate) fn lines(url: &str) -> BTreeSet<(i32, i32)> {
    let found = block_on(async {
        let client = connect(url).await.unwrap();
        rows(&client, "SELECT writer, seq FROM line").await.unwrap()
    });
    let number =
        |row: &[Option<String>], i: usize| -> i32 { row[i].as_deref().unwrap().parse().unwrap() };
    let lines: Vec<(i32, i32)> = found.iter().map(|row| (number(row, 0), number(row, 1))).collect();
    let set: BTreeSet<_> = lines.iter().copied().collect();
    assert_eq!(set.len(), lines.len(), "a line is there twice");
    set
}

/// Checks that a side holds exactly what the writers were told: every acknowledged transaction
/// whole and once, nothing that was refused, what is in doubt either way.
pub(crate) fn holds(url: &str, ledgers: &[&Ledger]) -> Result<BTreeSet<(i32, i32)>, String> {
    let there = lines(url);
    let mut faults = Vec::new();
    let fate = |id: &(i32, i32)| ledgers.iter().find_map(|ledger| ledger.fates.get(id));
    for ledger in ledgers {
        for (id, fate) in &ledger.fates {
            match fate {
                Fate::Acknowledged if !there.contains(id) => {
                    faults.push(format!("LOST: {id:?} was acknowledged"));
                }
                Fate::Refused(why) if there.contains(id) => {
                    faults.push(format!("{id:?} is there but was refused: {why}"));
                }
                _ => {}
            }
        }
    }
    for id in there.iter().filter(|id| fate(id).is_none()) {
        faults.push(format!("{id:?} was never sent"));
    }
    let broken = block_on(async {
        let client = connect(url).await.unwrap();
        rows(&client, BROKEN).await.unwrap()
    });
    faults.extend(broken.iter().filter_map(|row| row[0].clone()));
    if faults.is_empty() {
        return Ok(there);
    }
    faults.truncate(20);
    Err(format!("{url}: {}", faults.join("; ")))
}

/// A digest of every table.
fn digest(url: &str) -> BTreeMap<&'static str, String> {
    block_on(async {
        let client = connect(url).await.unwrap();
        let mut digests = BTreeMap::new();
        for table in TABLES {
            let sql = format!(
                "SELECT count(*) || ' rows ' || coalesce(md5(string_agg(t::text, '|' \
                 ORDER BY t::text COLLATE \"C\")), '') FROM {table} t"
            );
            let found = rows(&client, &sql).await.unwrap();
            digests.insert(*table, found[0][0].clone().unwrap_or_default());
        }
        digests
    })
}

impl Stage {
    /// With nobody writing any more: waits until both sides hold the same, and checks that it is
    /// what the writers were told.
    pub(crate) fn check_settled(&self, ledgers: &[&Ledger]) -> BTreeSet<(i32, i32)> {
        let mut last = None;
        let same = until(PATIENCE / 3, || {
            let (source, target) = (digest(&self.source), digest(&self.target));
            let same = source == target;
            last = Some((source, target));
            same.then_some(())
        });
        let there = holds(&self.source, ledgers).and_then(|there| {
            holds(&self.target, ledgers)?;
            Ok(there)
        });
        assert!(same.is_some(), "the sides differ: {last:#?}\n{there:?}\n{}", self.report());
        there.unwrap_or_else(|e| panic!("{e}\n{}", self.report()))
    }
}

/// What a side held at one moment.
#[derive(Clone, Debug)]
struct Sample {
    at_ms: u64,
    is_target: bool,
    /// By writer: the newest number, and how many there are.
    lines: BTreeMap<i32, (i32, i64)>,
    broken: Vec<String>,
}

/// What was seen while it ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    samples: Vec<Sample>,
    /// Moments at which both sides had authority.
    two_writers: Vec<String>,
}

impl Samples {
    /// Nobody ever saw two sides that both accept writes, and each side always held a prefix of
    /// every writer's transactions, each whole. `there` is what there is in the end; the target
    /// counts from the moment when its copy was complete.
    pub(crate) fn check(&self, stage: &Stage, there: &BTreeSet<(i32, i32)>) {
        let built = stage.journal().iter().find(|r| r.body["kind"] == "built").map(|r| r.at.0);
        self.check_since(stage, there, built);
    }

    /// The same of the source alone.
    pub(crate) fn check_source(&self, stage: &Stage, there: &BTreeSet<(i32, i32)>) {
        self.check_since(stage, there, None);
    }

    fn check_since(&self, stage: &Stage, there: &BTreeSet<(i32, i32)>, built: Option<u64>) {
        let two = &self.two_writers;
        assert!(two.is_empty(), "two sides accepted writes: {two:?}\n{}", stage.report());
        let counts =
            |sample: &&Sample| !sample.is_target || built.is_some_and(|built| sample.at_ms > built);
        for sample in self.samples.iter().filter(counts) {
            let side = if sample.is_target { "target" } else { "source" };
            let at = sample.at_ms;
            assert!(
                sample.broken.is_empty(),
                "at {at} the {side} held halves of transactions: {:?}\n{}",
                sample.broken,
                stage.report()
            );
            for (writer, (newest, count)) in &sample.lines {
                let until_then = there.range((*writer, 0)..=(*writer, *newest)).count();
                assert_eq!(
                    until_then as i64,
                    *count,
                    "at {at} the {side} had a gap in writer {writer} before {newest}\n{}",
                    stage.report()
                );
            }
        }
    }

    /// How many looks there were.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }
}

/// Looks at both sides again and again.
#[derive(Debug)]
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Samples>>,
}

impl Sampler {
    /// Begins to look.
    pub(crate) fn start(stage: &Stage, pause: Duration) -> Sampler {
        let stop = Arc::new(AtomicBool::new(false));
        let (source, target) = (stage.source.clone(), stage.target.clone());
        let epoch = format!(
            "SELECT epoch, authority FROM changeover.epoch WHERE migration = '{}' \
             ORDER BY epoch DESC LIMIT 1",
            stage.name
        );
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || block_on(look(source, target, epoch, stop, pause))
        });
        Sampler { stop, thread: Some(thread) }
    }

    /// What was seen.
    pub(crate) fn stop(mut self) -> Samples {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn look(
    source: String,
    target: String,
    epoch: String,
    stop: Arc<AtomicBool>,
    pause: Duration,
) -> Samples {
    let mut samples = Samples::default();
    let mut clients: [Option<Client>; 2] = [None, None];
    while !stop.load(Ordering::Relaxed) {
        for (client, url) in clients.iter_mut().zip([&source, &target]) {
            if client.as_ref().is_none_or(Client::is_closed) {
                *client = connect(url).await.ok();
            }
        }
        if let [Some(source), Some(target)] = &clients {
            if let Some(two) = two_writers(source, target, &epoch).await {
                samples.two_writers.push(two);
            }
            for (client, is_target) in [(source, false), (target, true)] {
                samples.samples.extend(sample(client, is_target).await);
            }
        }
        tokio::time::sleep(pause).await;
    }
    samples
}

/// The source's row is read before and after the target's: if it is the same, then it was so when
/// the target's was read.
async fn two_writers(source: &Client, target: &Client, epoch: &str) -> Option<String> {
    let before = rows(source, epoch).await.ok()?;
    let there = rows(target, epoch).await.ok()?;
    let after = rows(source, epoch).await.ok()?;
    let of = |rows: &Vec<Vec<Option<String>>>| rows.first().and_then(|row| row[1].clone());
    let both = of(&before).as_deref() == Some("source") && of(&there).as_deref() == Some("target");
    (before == after && both).then(|| format!("source {before:?}, target {there:?}"))
}

/// One snapshot of one side; nothing if it cannot be asked, or has no tables yet.
async fn sample(client: &Client, is_target: bool) -> Option<Sample> {
    let at_ms = now_ms();
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.ok()?;
    let read = async {
        let lines =
            rows(client, "SELECT writer, max(seq), count(*) FROM line GROUP BY writer").await?;
        let broken = rows(client, BROKEN).await?;
        Ok::<_, tokio_postgres::Error>((lines, broken))
    };
    let found = read.await;
    client.batch_execute("ROLLBACK").await.ok();
    let (lines, broken) = found.ok()?;
    let lines = lines
        .iter()
        .filter_map(|row| {
            let text = |i: usize| row[i].as_deref();
            Some((text(0)?.parse().ok()?, (text(1)?.parse().ok()?, text(2)?.parse().ok()?)))
        })
        .collect();
    let broken = broken.iter().filter_map(|row| row[0].clone()).collect();
    Some(Sample { at_ms, is_target, lines, broken })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
