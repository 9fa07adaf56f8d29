//! The throw-away databases of a rehearsal: the one that the plan names, and a second one that is
//! made from it and dropped again.

mod load;

use std::path::Path;
use std::time::Duration;

use changeover_plan::Plan;
use changeover_postgres::catalog::{Catalog, ServerIdentity};
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::error::{Error, Result as PgResult};
use changeover_postgres::retire::{self, AbortOptions};
use changeover_postgres::session::Session;
use changeover_types::{Side, quote_ident, quote_literal};
use tokio::time::{Instant, sleep};

use crate::Report;
use crate::databases::Databases;
use crate::declared;
use crate::secrets;

pub use load::Load;

const APPLICATION: &str = "changeover rehearsal";
/// The schema of our own writes in the second database.
pub const LOAD_SCHEMA: &str = "changeover_rehearsal";
/// How long the last sessions of a stopped daemon may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// PostgreSQL's `object_in_use`.
const IN_USE: &str = "55006";

/// The throw-away databases of a plan.
#[derive(Clone, Debug)]
pub struct Throwaway {
    first: ConnectConfig,
    second: ConnectConfig,
    second_url: String,
    /// What the second database's comment says, so that no other one is ever dropped.
    comment: String,
}

impl Throwaway {
    /// Finds them. Connects to nothing.
    ///
    /// # Errors
    /// If the plan names none, or its URL cannot be had or read.
    pub fn of_plan(plan: &Plan, plan_path: &Path) -> Result<Throwaway, Report> {
        let Some(from) = plan.rehearsal.as_ref().map(|it| &it.postgres) else {
            return Err(Report::new("CO0180", "the plan names no throw-away database")
                .hint("add `rehearsal: {postgres: {url: {env: …}}}`: an empty database"));
        };
        let url = secrets::secret(from, plan_path, "the URL of the throw-away database")?;
        let first = ConnectConfig::parse(Side::Target, &url).map_err(|e| {
            Report::new("CO0181", "the URL of the throw-away database cannot be used")
                .because(&e)
                .hint(format!("it comes from {from}"))
        })?;
        let name = format!("changeover_rehearsal_{}", plan.name).replace('-', "_");
        let separator = if url.contains('?') { '&' } else { '?' };
        // The last word on a parameter counts.
        let second_url = format!("{url}{separator}dbname={name}");
        let second = first.with_database(&name);
        let comment = format!("Changeover: rehearsal of {}, dropped afterwards", plan.name);
        Ok(Throwaway { first, second, second_url, comment })
    }

    /// The URL of the second database. It may hold a password.
    #[must_use]
    pub fn second_url(&self) -> &str {
        &self.second_url
    }

    /// Whether the first database may be used: it is neither side of the plan, and empty.
    ///
    /// # Errors
    /// With why not.
    pub async fn inspect(&self, plan: &Plan, plan_path: &Path) -> Result<(), Report> {
        let refused = |cause: String| {
            let place = self.first.redacted();
            Report::new("CO0182", format!("{place} cannot be used for a rehearsal")).cause(cause)
        };
        let fault = |e: Error| refused(crate::report::chain(&e));
        let mut session = Session::connect(&self.first, APPLICATION).await.map_err(fault)?;
        let here = ServerIdentity::read(&mut session).await.map_err(fault)?;
        if let Some(databases) = Databases::of_plan(plan, plan_path)? {
            for side in [Side::Source, Side::Target] {
                let config = databases.of(side);
                let mut other = Session::connect(config, APPLICATION).await.map_err(fault)?;
                let there = ServerIdentity::read(&mut other).await.map_err(fault)?;
                if is_same(&here, &self.first, &there, config) {
                    return Err(refused(format!("it is the plan's {side}")));
                }
            }
        }
        let found = session.query_one(LOOK).await.map_err(fault)?;
        let text = |index: usize| found.get(index).unwrap_or_default().to_owned();
        if text(0) != "0" {
            return Err(refused(format!("it is not empty: it holds {} relations", text(0)))
                .hint("a rehearsal fills it and removes everything: give an empty database"));
        }
        if text(1) != "logical" {
            return Err(refused(format!("its server has wal_level = {}", text(1)))
                .hint("the way back is rehearsed too: ALTER SYSTEM SET wal_level = logical"));
        }
        if text(2) != "t" {
            let role = text(3);
            return Err(refused(format!(
                "our role {role} may not create databases there, and a \
                                        second one is made beside it and dropped again"
            ))
            .hint(format!(
                "as a superuser of that server: ALTER ROLE {} CREATEDB",
                quote_ident(&role)
            ))
            .hint(format!("then again: changeover rehearse {}", plan_path.display())));
        }
        Ok(())
    }

    /// Makes the second database from the first, whose copy the plan `copy` made, and takes
    /// everything of ours out of it, so that it is what the source is: a database in use. Nobody
    /// may be connected to the first.
    ///
    /// # Errors
    /// If somebody stays connected, a right is missing, or a connection breaks.
    pub async fn duplicate(&self, copy: &Plan) -> Result<(), Report> {
        let fault = |e: &Error| {
            Report::new("CO0183", "the second throw-away database cannot be made").because(e)
        };
        self.create().await.map_err(|e| fault(&e))?;
        self.strip(copy).await.map_err(|e| fault(&e))
    }

    async fn create(&self) -> PgResult<()> {
        let mut session = self.maintenance().await?;
        let name = quote_ident(&self.second.database);
        let sql = format!("CREATE DATABASE {name} TEMPLATE {}", quote_ident(&self.first.database));
        let deadline = Instant::now() + GONE_WITHIN;
        while let Err(e) = session.execute(&sql).await {
            if e.sqlstate() != Some(IN_USE) || Instant::now() > deadline {
                return Err(e);
            }
            sleep(Duration::from_millis(100)).await;
        }
        let comment = quote_literal(&self.comment);
        session.execute(&format!("COMMENT ON DATABASE {name} IS {comment}")).await.map(drop)
    }

    async fn strip(&self, copy: &Plan) -> PgResult<()> {
        let mut session = Session::connect(&self.second, APPLICATION).await?;
        let catalog = Catalog::read(&mut session, &declared::selection(copy)?).await?;
        let scope = catalog.scope(&copy.name, Side::Target);
        let retired =
            retire::abort(&self.second, &scope, AbortOptions { drop_relations: false }).await?;
        if !retired.is_complete() {
            let left = format!("taking our objects out of the copy: {:?} stay", retired.left);
            return Err(Error::local(Side::Target, left));
        }
        session.execute(load::TABLE).await.map(drop)
    }

    /// Drops the second database, if there is one and it is ours.
    ///
    /// # Errors
    /// If there is one of that name that is not ours, or it cannot be dropped.
    pub async fn drop_second(&self) -> Result<(), Report> {
        let name = &self.second.database;
        let fault = || Report::new("CO0184", format!("the database {name} cannot be dropped"));
        let dropping = async {
            let mut session = self.maintenance().await?;
            let sql = format!(
                "SELECT coalesce(pg_catalog.shobj_description(oid,'pg_database'),'') \
                 FROM pg_catalog.pg_database WHERE datname={}",
                quote_literal(name)
            );
            let Some(found) = session.query_opt(&sql).await? else { return Ok(None) };
            let comment = found.get(0).unwrap_or_default().to_owned();
            // A crash between its creation and its comment leaves none.
            if comment == self.comment || comment.is_empty() {
                let sql = format!("DROP DATABASE {} WITH (FORCE)", quote_ident(name));
                session.execute(&sql).await?;
                return Ok(None);
            }
            Ok(Some(comment))
        };
        match dropping.await {
            Ok(None) => Ok(()),
            Ok(Some(comment)) => {
                Err(fault().cause(format!("it is not one of ours: its comment says `{comment}`")))
            }
            Err(e) => {
                let e: Error = e;
                Err(fault().because(&e))
            }
        }
    }

    /// A session that is in neither of the two.
    async fn maintenance(&self) -> PgResult<Session> {
        Session::connect(&self.first.with_database("postgres"), APPLICATION).await
    }

    /// The writes of a rehearsal: begins on the second database, which is the source of the move.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::new(self.second.clone(), self.first.clone())
    }
}

/// What is there, whether its changes can be followed, whether we may make a second one.
const LOOK: &str = "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c \
   JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
   WHERE n.nspname<>'information_schema' AND left(n.nspname,3)<>'pg_' \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid=c.oid AND d.deptype='e')), \
  current_setting('wal_level'), \
  (SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname=current_user), \
  current_user";

fn is_same(
    here: &ServerIdentity,
    config: &ConnectConfig,
    there: &ServerIdentity,
    other: &ConnectConfig,
) -> bool {
    let server = match (&here.system_id, &there.system_id) {
        (Some(here), Some(there)) => here == there,
        _ => (&config.host, config.port) == (&other.host, other.port),
    };
    server && here.database == there.database
}
