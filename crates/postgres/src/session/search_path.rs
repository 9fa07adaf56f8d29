//! Where the application's own functions look for names.
//!
//! Our sessions look in `pg_catalog` alone. Reading and writing the application's rows runs
//! functions of its own (of indexes, checks, generated columns and domains), which may name other
//! functions and tables without a schema: there the application's path stands behind
//! `pg_catalog`. The source's is used on both sides, for the target's may not be set yet.

use changeover_types::quote_literal;

use super::Session;
use crate::error::Result;

/// A value of `search_path`: `pg_catalog` and what the application's sessions have behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPath(String);

/// As the server does for a session of the role that owns most tables: that role in this
/// database, the role, the database, every role, and only then the configuration. Ours says what
/// the configuration is unless our own role has a path.
const READ: &str = "WITH db AS (SELECT oid FROM pg_catalog.pg_database \
    WHERE datname=pg_catalog.current_database()), \
  app AS (SELECT c.relowner AS oid FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
    WHERE c.relkind IN ('r','p') AND c.relpersistence<>'t' \
      AND n.nspname NOT IN ('information_schema','changeover') \
      AND left(n.nspname::text,3)<>'pg_' \
    GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1), \
  paths AS (SELECT s.setrole, s.setdatabase, pg_catalog.substr(c,13) AS path \
    FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) c \
    WHERE c LIKE 'search\\_path=%' AND s.setdatabase IN (0,(SELECT oid FROM db))), \
  found AS (SELECT coalesce( \
    (SELECT path FROM paths WHERE setrole IN (0,(SELECT oid FROM app)) \
      ORDER BY setrole<>0 DESC, setdatabase<>0 DESC LIMIT 1), \
    (SELECT CASE WHEN EXISTS (SELECT FROM paths p JOIN pg_catalog.pg_roles r ON r.oid=p.setrole \
        WHERE r.rolname=session_user) THEN boot_val ELSE reset_val END \
      FROM pg_catalog.pg_settings WHERE name='search_path')) AS path) \
  SELECT pg_catalog.concat_ws(', ', 'pg_catalog', nullif(pg_catalog.replace(pg_catalog.replace(path, \
    '\"$user\"','$user'), '$user', coalesce((SELECT pg_catalog.quote_ident(r.rolname) \
      FROM pg_catalog.pg_roles r JOIN app ON app.oid=r.oid), 'pg_catalog')), '')) FROM found";

impl SearchPath {
    /// Reads the application's path, from a session on the source.
    ///
    /// # Errors
    /// If the session fails.
    pub async fn read(source: &mut Session) -> Result<SearchPath> {
        Ok(SearchPath(source.query_one(READ).await?.text(0)?.to_owned()))
    }

    /// The statement that sets it for the session.
    #[must_use]
    pub fn set(&self) -> String {
        format!("SELECT pg_catalog.set_config('search_path', {}, false)", quote_literal(&self.0))
    }

    /// The statement that sets it for the transaction.
    #[must_use]
    pub fn set_local(&self) -> String {
        format!("SELECT pg_catalog.set_config('search_path', {}, true)", quote_literal(&self.0))
    }
}

impl Session {
    /// From now on, names are looked for where the application's functions expect it.
    ///
    /// # Errors
    /// If the session fails.
    pub async fn look_in(&mut self, path: &SearchPath) -> Result<()> {
        self.query(&path.set()).await.map(drop)
    }
}
