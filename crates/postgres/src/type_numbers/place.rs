//! Creates types and extensions on the target ahead of everything else, so that they get the
//! numbers they have on the source.
//!
//! A number once passed is lost, so each creation is a transaction of its own, and one that misses
//! takes nothing else with it: the restore then creates it as ever. Nothing here stops a run but a
//! connection that breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use changeover_types::quote_literal;

use super::counter::Counter;
use super::facts::{Creation, Kind, Need, SCHEMAS, TYPES, read};
use super::plan::{Conditions, Placement, Shape, distance, plan};
use super::record::{Record, Recorded, offsets, right};
use crate::catalog::{Selection, cell, json};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Archive;
use crate::session::Session;

/// What the restore's own session sets, which its statements rely on.
const PREAMBLE: &str = "BEGIN READ WRITE; SET LOCAL search_path = ''; \
    SET LOCAL check_function_bodies = false; SET LOCAL client_min_messages = warning; ";

/// What placing needs.
pub struct Placer<'a> {
    /// What moves.
    pub selection: &'a Selection,
    /// The source's schema, dumped after the source was last read.
    pub archive: &'a Archive,
    /// The file of this run's [`Record`].
    pub record: &'a Path,
    /// How many numbers may be used up.
    pub budget: u64,
    /// Told how far it is, in words.
    pub show: &'a (dyn Fn(String) + Send + Sync),
}

impl Placer<'_> {
    /// Places what can be placed; gives why the others cannot, one text a cause. May be done again.
    ///
    /// # Errors
    /// If a connection breaks, a catalogue cannot be read, or the record cannot be written.
    pub async fn place(&self, source: &mut Session, target: &mut Session) -> Result<Vec<String>> {
        let creations = read(source, self.selection).await?;
        if creations.is_empty() {
            return Ok(Vec::new());
        }
        let statements = match self.archive.statements(source, &keys(&creations)).await {
            Ok(statements) => statements,
            Err(e) if e.kind() == ErrorKind::Local => return Ok(vec![e.to_string()]),
            Err(e) => return Err(e),
        };
        alone(target).await?;
        let (creations, there) = self.recorded(target, creations, &statements).await?;
        self.schemas(target, &creations, &statements).await?;
        let counter = Counter::open(target).await?;
        let shapes = measure(target, counter, &creations, &statements, &there).await?;
        let taken = taken(target).await?;
        let next = counter.next(target).await?;
        let conditions = Conditions { next, budget: self.budget, taken: &taken, there: &there };
        let placing = plan(&creations, &shapes, &conditions);
        let mut whys: BTreeMap<String, usize> = BTreeMap::new();
        for missed in &placing.missed {
            *whys.entry(missed.why.clone()).or_default() += missed.numbers.len();
        }
        let mut done = there;
        for placement in &placing.placements {
            let creation = &creations[placement.creation];
            if let Err(why) =
                self.one(target, counter, placement, creation, &statements, &mut done).await?
            {
                *whys.entry(why).or_default() += creation.numbers.len();
            }
        }
        target.execute(&format!("SELECT pg_catalog.pg_advisory_unlock({ALONE})")).await?;
        Ok(whys.into_iter().map(|(why, count)| format!("{count} type numbers: {why}")).collect())
    }

    /// Writes down what may come to be on the target; gives what can be created, and what is
    /// there already.
    async fn recorded(
        &self,
        target: &mut Session,
        creations: Vec<Creation>,
        statements: &Statements,
    ) -> Result<(Vec<Creation>, BTreeSet<(u32, u32)>)> {
        let before = Record::load(self.record)?;
        let creations: Vec<Creation> =
            creations.into_iter().filter(|c| statements.contains_key(&key(c))).collect();
        let mut there = BTreeSet::new();
        for creation in &creations {
            if is_there(target, creation).await? {
                there.insert(key(creation));
            }
        }
        let ours = |c: &Creation| {
            !there.contains(&key(c)) || before.creations.iter().any(|r| key(&r.creation) == key(c))
        };
        let schemas: Vec<String> = json(target, NAMESPACES).await?;
        let mut new: BTreeSet<String> = before.schemas.iter().cloned().collect();
        let with_entry = |c: &&Creation| statements.contains_key(&(SCHEMAS, c.schema_oid));
        let wanted = creations.iter().filter(with_entry).map(|c| c.schema.clone());
        new.extend(wanted.filter(|schema| !schemas.contains(schema)));
        let recorded = creations.iter().filter(|c| ours(c)).map(|creation| Recorded {
            creation: creation.clone(),
            sql: statements[&key(creation)].clone(),
        });
        Record { schemas: new.into_iter().collect(), creations: recorded.collect() }
            .save(self.record)?;
        Ok((creations, there))
    }

    /// The schemas of the types: their numbers do not matter, so they come first.
    async fn schemas(
        &self,
        target: &mut Session,
        creations: &[Creation],
        statements: &Statements,
    ) -> Result<()> {
        let there: Vec<String> = json(target, NAMESPACES).await?;
        let wanted: BTreeMap<u32, &String> = creations
            .iter()
            .filter(|c| !there.contains(&c.schema))
            .map(|c| (c.schema_oid, &c.schema))
            .collect();
        for oid in wanted.keys() {
            if let Some(sql) = statements.get(&(SCHEMAS, *oid)) {
                attempt(target, &format!("{PREAMBLE}{sql}; COMMIT")).await?.ok();
            }
        }
        Ok(())
    }

    async fn one(
        &self,
        target: &mut Session,
        counter: Counter,
        placement: &Placement,
        creation: &Creation,
        statements: &Statements,
        done: &mut BTreeSet<(u32, u32)>,
    ) -> Result<std::result::Result<(), String>> {
        let missing = |need: &&Need| match need {
            Need::Creation(catalog, oid) => !done.contains(&(*catalog, *oid)),
            Need::Later(_) => true,
        };
        if creation.needs.iter().any(|need| missing(&need)) {
            return Ok(Err("what they rest on could not be placed".to_owned()));
        }
        let show = |left: u64| (self.show)(format!("type numbers: {left} to {creation}"));
        let late = format!("others used numbers of the target at the same time ({creation})");
        // Reading the counter takes a number, so where there is no room for one it is not read.
        let placed = placement.gap == 0
            || counter.advance(target, placement.start, placement.gap, &show).await?;
        if !placed {
            return Ok(Err(late));
        }
        let sql = format!("{PREAMBLE}{}", statements[&key(creation)]);
        if let Err(why) = attempt(target, &sql).await? {
            return Ok(Err(why));
        }
        // A number that was missed is lost, so one that was met is kept.
        if right(target, &creation.numbers).await? == 0 {
            target.execute("ROLLBACK").await?;
            return Ok(Err(late));
        }
        target.execute("COMMIT").await?;
        done.insert(key(creation));
        Ok(Ok(()))
    }
}

/// The key of the lock under which numbers of a database's server are used up.
const ALONE: i64 = 7_165_060_413_116_280_147;

/// Waits until no statement of an earlier run, which died, uses up numbers any more: its server
/// process notices that only at the statement's end.
async fn alone(target: &mut Session) -> Result<()> {
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_catalog.pg_advisory_lock({ALONE}); COMMIT"
    );
    let locked = target.execute(&sql).await;
    locked.map(drop).map_err(|e| e.with_context("waiting for another session that places types"))
}

/// Statements by catalogue and number.
type Statements = BTreeMap<(u32, u32), String>;

const NAMESPACES: &str =
    "SELECT coalesce(json_agg(nspname),'[]')::text FROM pg_catalog.pg_namespace";

fn key(creation: &Creation) -> (u32, u32) {
    (creation.catalog_oid, creation.oid)
}

fn keys(creations: &[Creation]) -> BTreeSet<(u32, u32)> {
    creations.iter().flat_map(|c| [key(c), (SCHEMAS, c.schema_oid)]).collect()
}

/// Runs statements; what the server refuses is rolled back and given in words.
async fn attempt(target: &mut Session, sql: &str) -> Result<std::result::Result<(), String>> {
    match target.execute(sql).await {
        Ok(_) => Ok(Ok(())),
        Err(e) if e.kind() == ErrorKind::Server && target.is_usable() => {
            target.execute("ROLLBACK").await?;
            Ok(Err(e.to_string()))
        }
        Err(e) => Err(e),
    }
}

async fn is_there(target: &mut Session, creation: &Creation) -> Result<bool> {
    let sql = match creation.kind {
        Kind::Extension => format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname={})",
            quote_literal(&creation.name)
        ),
        _ => format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n \
             ON n.oid=t.typnamespace WHERE n.nspname={} AND t.typname={})",
            quote_literal(&creation.schema),
            quote_literal(&creation.name)
        ),
    };
    Ok(cell(target, &sql).await?.as_deref() == Some("t"))
}

async fn taken(target: &mut Session) -> Result<BTreeSet<u32>> {
    let sql = "SELECT coalesce(json_agg(oid::int8),'[]')::text FROM pg_catalog.pg_type \
               WHERE oid>=16384";
    json(target, sql).await
}

/// Where each creation's types lie behind its beginning. Where the counter is far enough below
/// all that is wanted, everything is created once and rolled back; elsewhere it is taken to go as
/// it went on the source, and what comes of it is looked at.
async fn measure(
    target: &mut Session,
    counter: Counter,
    creations: &[Creation],
    statements: &Statements,
    there: &BTreeSet<(u32, u32)>,
) -> Result<Vec<Shape>> {
    let mut shapes: Vec<Shape> = creations.iter().map(Shape::of).collect();
    let open = creations.iter().filter(|c| !there.contains(&key(c)) && c.kind != Kind::Base);
    let uses: u64 = open.clone().map(|c| Shape::of(c).span + 3).sum();
    let next = counter.next(target).await?;
    let nearest = open.map(|c| distance(next, c.first)).min().unwrap_or(0);
    if nearest <= 2 * uses + 100 {
        return Ok(shapes);
    }
    target.execute(PREAMBLE).await?;
    let measured = measured(target, counter, creations, statements, there, &mut shapes).await;
    let ended = target.execute("ROLLBACK").await;
    measured?;
    ended?;
    Ok(shapes)
}

async fn measured(
    target: &mut Session,
    counter: Counter,
    creations: &[Creation],
    statements: &Statements,
    there: &BTreeSet<(u32, u32)>,
    shapes: &mut [Shape],
) -> Result<()> {
    for (creation, shape) in creations.iter().zip(shapes) {
        if there.contains(&key(creation)) || creation.kind == Kind::Base {
            continue;
        }
        let mut start = counter.next_inside(target).await?;
        // Labels of an enumeration have even numbers only, so the start must be as odd as there.
        if (start ^ creation.first) & 1 == 1 {
            start = counter.next_inside(target).await?;
        }
        target.execute("SAVEPOINT creation").await?;
        match target.execute(&statements[&key(creation)]).await {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Server && target.is_usable() => {
                target.execute("ROLLBACK TO SAVEPOINT creation").await?;
                continue;
            }
            Err(e) => return Err(e),
        }
        let found = offsets(target, &creation.numbers).await?;
        let offset = |oid: Option<u32>| oid.and_then(|oid| oid.checked_sub(start));
        shape.offsets = found.into_iter().map(offset).collect();
        shape.span = distance(start, counter.next_inside(target).await?).saturating_sub(1);
    }
    Ok(())
}

/// What the restore must leave out because it was placed.
///
/// # Errors
/// `Refused` if a placed type is defined otherwise in `archive`: the source's schema has changed
/// since. If the target's catalogue cannot be read.
pub async fn settle(record: &Record, archive: &mut Archive, target: &mut Session) -> Result<()> {
    let mut placed: BTreeMap<(u32, u32), &String> = BTreeMap::new();
    for recorded in record.present(target).await? {
        if recorded.creation.catalog_oid == TYPES {
            placed.insert(key(&recorded.creation), &recorded.sql);
        }
    }
    let wanted: BTreeSet<(u32, u32)> = placed.keys().copied().collect();
    let now = archive.statements(target, &wanted).await?;
    for (key, sql) in &placed {
        if now.get(key) != Some(*sql) {
            return Err(Error::refused(
                changeover_types::Side::Source,
                format!(
                    "a type has changed since the migration began ({}); `changeover abort` and \
                     start again",
                    archive.label(*key).unwrap_or("it was dropped")
                ),
            ));
        }
    }
    archive.leave_out(wanted);
    Ok(())
}
