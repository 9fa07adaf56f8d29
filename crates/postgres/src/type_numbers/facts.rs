//! The types of a side that have numbers of their own: what a driver may remember.

use changeover_types::Side;
use serde::{Deserialize, Serialize};

use crate::catalog::{Selection, json};
use crate::error::Result;
use crate::session::Session;

/// The catalogues that creations are in, as an archive's entries name them.
pub(crate) const TYPES: u32 = 1247;
pub(crate) const SCHEMAS: u32 = 2615;

/// What one statement creates: an extension with all its types, or one type with its array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// What it is.
    pub kind: Kind,
    /// The catalogue of its entry in an archive: `pg_type` or `pg_extension`.
    pub catalog_oid: u32,
    /// Its own number on the side that it was read from.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The number of its schema.
    pub schema_oid: u32,
    /// The lowest number that its creation used up, so far as the catalogue shows.
    pub first: u32,
    /// The highest: labels, functions and operators have numbers from the same counter. What was
    /// added later is left out as far as that can be told.
    pub last: u32,
    /// The numbers of types that it brings.
    pub numbers: Vec<Number>,
    /// What must be there before it.
    pub needs: Vec<Need>,
}

/// A type and its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Number {
    /// The type's schema.
    pub schema: String,
    /// The type's name as in `pg_type`.
    pub name: String,
    /// Its number.
    pub oid: u32,
}

/// What a creation rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Need {
    /// Another creation, by catalogue and number.
    Creation(u32, u32),
    /// Something that is restored later, in words: a function, a table.
    Later(String),
}

/// What a creation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An extension with types.
    Extension,
    /// An enumeration.
    Enum,
    /// A domain.
    Domain,
    /// A composite type that is no table's.
    Composite,
    /// A range, with its multirange.
    Range,
    /// A base type outside of extensions.
    Base,
}

impl Kind {
    /// What follows DROP.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Kind::Extension => "EXTENSION",
            Kind::Domain => "DOMAIN",
            Kind::Enum | Kind::Composite | Kind::Range | Kind::Base => "TYPE",
        }
    }
}

impl std::fmt::Display for Creation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Extension => write!(f, "extension {}", self.name),
            _ => write!(f, "{}.{}", self.schema, self.name),
        }
    }
}

/// Reads the creations of a side: extensions that have types, and the types that are in no
/// extension and in scope. The row types of tables and views are left out: they are created with
/// their relation, and hardly any driver remembers them.
///
/// # Errors
/// If the catalogue cannot be read.
pub async fn read(session: &mut Session, selection: &Selection) -> Result<Vec<Creation>> {
    let scope = selection.condition("t.schema", "t.name");
    let mut creations: Vec<Creation> = json(session, &sql(&scope)).await?;
    creations.sort_by_key(|creation| creation.first);
    Ok(creations)
}

/// The counter's next number and the lowest number that is to be met on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The number that the target gives next.
    pub next: u32,
    /// The lowest number from `next` on that a type of the source is to have there; `None` if there
    /// is none.
    pub smallest: Option<u32>,
}

/// How many numbers may be used up on the target before types are placed there: what is tried in
/// between must use fewer than `smallest - next`. Uses up one number itself.
///
/// # Errors
/// If a catalogue cannot be read, or the target's counter cannot.
pub async fn room(
    source: &mut Session,
    target: &mut Session,
    selection: &Selection,
) -> Result<Room> {
    debug_assert_eq!(target.side(), Side::Target);
    let wanted = read(source, selection).await?;
    let next = super::counter::Counter::open(target).await?.next(target).await?;
    // Those before it are lost already.
    let smallest = wanted.iter().map(|creation| creation.first).filter(|it| *it >= next).min();
    Ok(Room { next, smallest })
}

fn sql(scope: &str) -> String {
    format!(
        "WITH types AS (\
           SELECT t.oid, n.nspname::text AS schema, t.typname::text AS name, t.typtype AS kind, \
             t.typnamespace, t.typarray, t.typrelid, r.rngmulti, \
             (SELECT d.refobjid FROM pg_catalog.pg_depend d WHERE d.deptype='e' \
                AND d.refclassid=3079 AND (d.classid, d.objid) IN ((1247, t.oid), (1259, t.typrelid)) \
                LIMIT 1) AS ext \
           FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid=t.typnamespace \
           LEFT JOIN pg_catalog.pg_class c ON c.oid=t.typrelid \
           LEFT JOIN (SELECT g.rngtypid, \
               (pg_catalog.to_jsonb(g)->>'rngmultitypid')::oid AS rngmulti \
             FROM pg_catalog.pg_range g) r ON r.rngtypid=t.oid \
           WHERE t.oid>=16384 AND t.typisdefined AND (t.typtype IN ('e','d','r') \
             OR t.typtype='c' AND c.relkind='c' \
             OR t.typtype='b' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray=t.oid))), \
         numbers AS (\
           SELECT t.oid AS of, x.oid, n.nspname::text AS schema, x.typname::text AS name FROM types t \
           JOIN pg_catalog.pg_type x ON x.oid IN (t.oid, t.typarray, t.rngmulti) \
             OR x.oid=(SELECT m.typarray FROM pg_catalog.pg_type m WHERE m.oid=t.rngmulti) \
           JOIN pg_catalog.pg_namespace n ON n.oid=x.typnamespace WHERE x.oid>=16384), \
         direct AS (\
           SELECT d.refobjid AS ext, d.classid, d.objid, \
             pg_catalog.count(*) OVER (PARTITION BY d.refobjid) AS n FROM pg_catalog.pg_depend d \
           WHERE d.refclassid=3079 AND d.deptype='e' AND d.objid>=16384), \
         members AS (\
           SELECT m.ext, m.objid AS oid, m.n FROM direct m \
           UNION ALL SELECT m.ext, i.objid, m.n FROM direct m JOIN pg_catalog.pg_depend i \
             ON i.refclassid=m.classid AND i.refobjid=m.objid AND i.deptype IN ('i','a')), \
         creations AS (\
           SELECT 1247 AS cls, t.oid, t.schema, t.name, t.typnamespace AS nsp, t.kind::text AS kind, \
             least(t.oid::int8, nullif(t.typrelid,0)::int8) AS own, (SELECT max(x.oid::int8) FROM (\
               SELECT l.oid, pg_catalog.count(*) OVER () AS n FROM pg_catalog.pg_enum l \
                 WHERE l.enumtypid=t.oid \
               UNION ALL SELECT k.oid, pg_catalog.count(*) OVER () FROM pg_catalog.pg_constraint k \
                 WHERE k.contypid=t.oid) x WHERE x.oid::int8 <= t.oid::int8 + 2 * x.n + 1) AS last \
           FROM types t WHERE t.ext IS NULL AND {scope} \
           UNION ALL SELECT 3079, e.oid, n.nspname::text, e.extname::text, e.extnamespace, 'x', \
             e.oid::int8, (SELECT max(x.oid::int8) FROM members x WHERE x.ext=e.oid \
               AND x.oid::int8 BETWEEN e.oid::int8 AND e.oid::int8 + 1000 + 10 * x.n) \
           FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid=e.extnamespace \
           WHERE EXISTS (SELECT FROM types t WHERE t.ext=e.oid)), \
         owned AS (\
           SELECT c.cls, c.oid AS creation, m.oid, m.schema, m.name FROM creations c \
           JOIN types t ON CASE WHEN c.cls=1247 THEN t.oid=c.oid ELSE t.ext=c.oid END \
           JOIN numbers m ON m.of=t.oid), \
         parts AS (\
           SELECT c.cls, c.oid, c.cls AS classid, c.oid AS objid FROM creations c \
           UNION ALL SELECT c.cls, c.oid, 1259, t.typrelid FROM creations c \
             JOIN types t ON c.cls=1247 AND t.oid=c.oid AND t.typrelid<>0 \
           UNION ALL SELECT c.cls, c.oid, 2606, k.oid FROM creations c \
             JOIN pg_catalog.pg_constraint k ON c.cls=1247 AND k.contypid=c.oid), \
         refs AS (\
           SELECT DISTINCT p.cls, p.oid, d.refclassid, d.refobjid FROM parts p \
           JOIN pg_catalog.pg_depend d ON d.classid=p.classid AND d.objid=p.objid \
           WHERE d.refobjid>=16384 AND d.refclassid<>2615 \
             AND (d.refclassid, d.refobjid) NOT IN (SELECT q.classid, q.objid FROM parts q \
               WHERE q.cls=p.cls AND q.oid=p.oid)), \
         needs AS (\
           SELECT r.cls, r.oid, coalesce(\
             (SELECT json_build_object('Creation', json_build_array(o.cls, o.creation::int8)) \
               FROM owned o WHERE r.refclassid=1247 AND o.oid=r.refobjid LIMIT 1), \
             (SELECT json_build_object('Creation', json_build_array(3079, r.refobjid::int8)) \
               WHERE r.refclassid=3079), \
             (SELECT json_build_object('Creation', json_build_array(3079, d.refobjid::int8)) \
               FROM pg_catalog.pg_depend d WHERE d.classid=r.refclassid AND d.objid=r.refobjid \
                 AND d.deptype='e' AND d.refclassid=3079 LIMIT 1), \
             json_build_object('Later', pg_catalog.pg_describe_object(r.refclassid, r.refobjid, 0))) AS need \
           FROM refs r) \
         SELECT coalesce(json_agg(json_build_object(\
           'kind', CASE c.kind WHEN 'x' THEN 'extension' WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' \
             WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range' ELSE 'base' END, \
           'catalog_oid', c.cls, 'oid', c.oid::int8, 'schema', c.schema, 'name', c.name, \
           'schema_oid', c.nsp::int8, \
           'last', greatest(c.last, (SELECT max(o.oid::int8) FROM owned o \
             WHERE o.cls=c.cls AND o.creation=c.oid)), \
           'first', least(c.own, (SELECT min(o.oid::int8) FROM owned o \
             WHERE o.cls=c.cls AND o.creation=c.oid)), \
           'numbers', (SELECT coalesce(json_agg(json_build_object('schema', o.schema, 'name', o.name, \
             'oid', o.oid::int8) ORDER BY o.oid),'[]') FROM owned o \
             WHERE o.cls=c.cls AND o.creation=c.oid), \
           'needs', (SELECT coalesce(json_agg(s.need),'[]') FROM needs s \
             WHERE s.cls=c.cls AND s.oid=c.oid))),'[]')::text FROM creations c"
    )
}
