//! One side's types, read from its catalogue as the gate's own role.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use changeover_pgwire::backend::DataRow;
use changeover_types::{Side, quote_literal};

use super::super::config::PostgresGateConfig;
use super::super::own::{rows, text};
use super::super::server::ServerFault;
use super::permutation::Names;
use super::scan::{COLUMNS, OF_ANY_KIND, OF_TYPES};
use super::shapes::{Shape, Shapes};

/// What a column of type oid holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Type numbers.
    Type,
    /// Possibly such.
    Maybe,
    /// Something else.
    Other,
}

/// One side's user-defined types, and where its catalogue holds type numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    /// Types that have a name which means the same on both sides.
    pub(crate) names: Names,
    /// All of them, those of temporary tables too.
    pub(crate) shapes: Shapes,
    /// Columns by table and number.
    columns: BTreeMap<(u32, i16), Holds>,
    read_at: Option<Instant>,
}

/// Rows of kind, number, schema (or attribute), name, number of what it is made of. A type without
/// a schema has no name on the other side: one of a temporary table, or of our own schema.
/// `rngmultitypid` is there from PostgreSQL 14 on.
fn question() -> String {
    let list =
        |columns: &[&str]| columns.iter().map(|c| quote_literal(c)).collect::<Vec<_>>().join(", ");
    format!(
        "select case when t.typtype in ('c', 'd', 'r', 'm') then t.typtype::text \
             when t.typelem <> 0 and t.typlen = -1 then 'a' else 'b' end, t.oid::text, \
           case when n.nspname !~ '^pg_temp' and n.nspname <> 'changeover' \
             then n.nspname::text end, t.typname::text, \
           (case t.typtype when 'd' then t.typbasetype \
             when 'r' then (select r.rngsubtype from pg_catalog.pg_range r \
               where r.rngtypid = t.oid) \
             when 'm' then (select r.rngtypid from pg_catalog.pg_range r \
               where pg_catalog.to_jsonb(r) ->> 'rngmultitypid' = t.oid::text) \
             else t.typelem end)::text \
         from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace \
         where t.oid >= 16384 and n.nspname !~ '^pg_toast' \
         union all select case when c.relname || '.' || a.attname in ({types}) \
             then 'T' else 'M' end, c.oid::text, a.attnum::text, '', '0' \
         from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid \
         where c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace \
           and c.relname || '.' || a.attname in ({types}, {any}) \
         union all select 'M', c.oid::text, a.attnum::text, '', '0' \
         from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid \
         where c.oid >= 16384 and c.relkind = 'v' and a.attnum > 0 \
           and a.atttypid in (26, 30, 1013, 1028) \
           and case when c.relkind = 'v' then pg_catalog.pg_get_viewdef(c.oid) end \
             ~ {words}",
        types = list(COLUMNS),
        any = list(OF_ANY_KIND),
        words = quote_literal(&format!("\\m({})\\M", OF_TYPES.join("|"))),
    )
}

/// A catalogue read longer ago than this is read again.
const FRESH: Duration = Duration::from_secs(60);

impl Types {
    /// What a column holds; `None` if the server does not tell which one it is.
    pub(crate) fn holds(&self, table: u32, attribute: i16) -> Option<Holds> {
        let known = self.columns.get(&(table, attribute)).copied();
        (table != 0).then(|| known.unwrap_or(Holds::Other))
    }

    /// Whether it was read a short time ago.
    pub(crate) fn is_fresh(&self) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < FRESH)
    }

    /// Takes in a type.
    pub(crate) fn add(&mut self, oid: u32, name: Option<(String, String)>, shape: Shape) {
        self.shapes.insert(oid, shape);
        if let Some(name) = name {
            self.names.insert(name, oid);
        }
    }

    /// Takes in a column.
    pub(crate) fn add_column(&mut self, table: u32, attribute: i16, holds: Holds) {
        self.columns.insert((table, attribute), holds);
    }

    /// Reads a side's types as the gate's own role.
    pub(crate) async fn read(
        config: &PostgresGateConfig,
        side: Side,
    ) -> Result<Types, ServerFault> {
        let mut types = Types { read_at: Some(Instant::now()), ..Types::default() };
        for row in rows(config, side, &question()).await? {
            types.take(&row);
        }
        Ok(types)
    }

    fn take(&mut self, row: &DataRow) {
        let number = |at| text(row, at).and_then(|text| text.parse::<u32>().ok());
        let (Some(kind), Some(oid)) = (text(row, 0), number(1)) else { return };
        let attribute = || text(row, 2).and_then(|text| text.parse().ok());
        let inner = number(4).unwrap_or(0);
        let shape = match kind {
            "T" | "M" => {
                let holds = if kind == "T" { Holds::Type } else { Holds::Maybe };
                if let Some(attribute) = attribute() {
                    self.add_column(oid, attribute, holds);
                }
                return;
            }
            "a" => Shape::Array(inner),
            "c" => Shape::Row,
            "d" => Shape::Domain(inner),
            "r" => Shape::Range(inner),
            "m" => Shape::Multirange(inner),
            _ => Shape::Plain,
        };
        let name = text(row, 2).zip(text(row, 3));
        self.add(oid, name.map(|(schema, name)| (schema.to_owned(), name.to_owned())), shape);
    }

    /// A side's types, read again if `knows` is not content with what was read before.
    pub(crate) async fn of(
        config: &PostgresGateConfig,
        side: Side,
        knows: impl Fn(&Types) -> bool,
    ) -> Result<Arc<Types>, ServerFault> {
        if let Some(types) = config.registry.types(side).filter(|types| knows(types)) {
            return Ok(types);
        }
        let types = Arc::new(Types::read(config, side).await?);
        config.registry.set_types(side, Arc::clone(&types));
        Ok(types)
    }
}
