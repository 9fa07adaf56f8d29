//! What a preflight knows of a side. Everything that cannot be read says so: it is never taken
//! for fine.

use std::collections::BTreeMap;

use changeover_types::{MigrationName, quote_literal};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::roles::{ROLES, RoleEntry};
use crate::catalog::{Selection, ServerIdentity, json};
use crate::definitions::{ConfigurationTable, configuration};
use crate::objects;
use crate::session::Session;

/// A fact, or why it could not be had.
pub type Fact<T> = Result<T, String>;

/// What is known of one side besides its [`crate::catalog::Catalog`].
#[derive(Clone, Debug)]
pub struct SideFacts {
    /// Who answers.
    pub server: Fact<ServerIdentity>,
    /// Settings in force for our sessions.
    pub settings: Fact<BTreeMap<String, String>>,
    /// Our role and what it may do.
    pub role: Fact<RoleFacts>,
    /// The database.
    pub database: Fact<DatabaseFacts>,
    /// Replication slots and senders.
    pub replication: Fact<ReplicationFacts>,
    /// Whether `session_replication_role` can be set to `replica`; the error if not.
    pub replica_role: Fact<()>,
    /// Prepared transactions of this database, by their names.
    pub prepared: Fact<Vec<String>>,
    /// Transactions older than a minute.
    pub long_transactions: Fact<Vec<OpenTransaction>>,
    /// Settings given to roles or databases: `(role or database, name, value)`.
    pub defaults: Fact<Vec<(String, String, String)>>,
    /// What is left of this migration.
    pub left_over: Fact<LeftOver>,
    /// Extensions that can be created here, with their newest versions.
    pub available_extensions: Fact<BTreeMap<String, String>>,
    /// All roles, by name.
    pub roles: Fact<BTreeMap<String, RoleEntry>>,
    /// Tables of extensions that hold rows of the user's.
    pub configuration: Fact<Vec<ConfigurationTable>>,
    /// Relations, types and functions in scope, in words.
    pub objects: Fact<Vec<String>>,
    /// Functions that may set custom settings whose names cannot be read, and why.
    pub hidden_settings: Fact<Vec<String>>,
    /// Whether something stands between us and the server.
    pub directness: Fact<Directness>,
}

/// Our role.
#[derive(Clone, Debug, Deserialize)]
pub struct RoleFacts {
    /// Its name.
    pub name: String,
    /// Everything is allowed.
    pub superuser: bool,
    /// Has `REPLICATION`.
    pub replication: bool,
    /// Row security does not apply to it.
    pub bypass_rls: bool,
    /// May create schemas and publications in this database.
    pub create: bool,
}

/// The database.
#[derive(Clone, Debug, Deserialize)]
pub struct DatabaseFacts {
    /// Its collation.
    pub collate: String,
    /// Its character classes.
    pub ctype: String,
    /// Its ICU locale, where there is one.
    pub icu: Option<String>,
    /// `c`, `i` or `b`; `None` before 15.
    pub provider: Option<String>,
    /// Locks held by everyone now.
    pub locks: u64,
}

/// Slots and senders.
#[derive(Clone, Debug, Deserialize)]
pub struct ReplicationFacts {
    /// All slots in use.
    pub slots: u64,
    /// Logical slots of this database that are not ours.
    pub other_logical: Vec<String>,
    /// Connected senders.
    pub senders: u64,
    /// Physical standbys by application name.
    pub standbys: Vec<String>,
    /// Subscriptions of this database.
    pub subscriptions: Vec<String>,
}

/// An open transaction, without its query, which may hold anything.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OpenTransaction {
    /// Its backend.
    pub pid: u32,
    /// Its role.
    pub user: Option<String>,
    /// What its client calls itself.
    pub application: Option<String>,
    /// Where its client is.
    pub client: Option<String>,
    /// What it does: `active`, `idle in transaction` …
    pub state: Option<String>,
    /// How long it has been open, in seconds.
    pub age_s: u64,
    /// Whether it has written anything.
    pub writes: bool,
}

/// What is left of an earlier attempt of the same migration.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct LeftOver {
    /// The comment of a schema `changeover`, if there is one.
    pub schema: Option<String>,
    /// Epoch rows of this migration.
    pub epochs: u64,
    /// Tables copied by this migration.
    pub copied: u64,
    /// Slots with our names.
    pub slots: Vec<String>,
    /// Our publication.
    pub publication: bool,
    /// Whose newest epoch row it is, since when, and whether somebody works with its slot.
    #[serde(skip)]
    pub run: Option<(String, String, bool)>,
}

/// Whether our session is the server's own.
#[derive(Clone, Debug)]
pub struct Directness {
    /// The process id the connection was told and those the server reported for each query.
    pub pids: Vec<u32>,
    /// Whether the server knows us by our application name.
    pub named: bool,
}

/// The settings that decide something.
const SETTINGS: &str = "'wal_level','max_replication_slots','max_wal_senders',\
  'synchronous_standby_names','synchronous_commit','max_locks_per_transaction',\
  'max_connections','max_prepared_transactions','max_slot_wal_keep_size','wal_sender_timeout',\
  'output_plugin_libraries','idle_in_transaction_session_timeout','lock_timeout',\
  'statement_timeout','transaction_timeout','idle_replication_slot_timeout',\
  'default_transaction_read_only','standard_conforming_strings','lc_monetary',\
  'synchronized_standby_slots'";

impl SideFacts {
    /// Nothing is known, and why.
    pub(super) fn unread(why: &str) -> SideFacts {
        fn because<T>(why: &str) -> Fact<T> {
            Err(why.to_owned())
        }
        SideFacts {
            server: because(why),
            settings: because(why),
            role: because(why),
            database: because(why),
            replication: because(why),
            replica_role: because(why),
            prepared: because(why),
            long_transactions: because(why),
            defaults: because(why),
            left_over: because(why),
            available_extensions: because(why),
            configuration: because(why),
            roles: because(why),
            objects: because(why),
            hidden_settings: because(why),
            directness: because(why),
        }
    }

    /// Reads everything; what fails is kept as its error.
    pub async fn read(session: &mut Session, selection: &Selection) -> SideFacts {
        SideFacts {
            server: ServerIdentity::read(session).await.map_err(|e| e.to_string()),
            settings: ask(
                session,
                &format!(
                    "SELECT coalesce(json_object_agg(name, setting), '{{}}')::text \
                     FROM pg_catalog.pg_settings WHERE name IN ({SETTINGS})"
                ),
            )
            .await,
            role: ask(session, ROLE).await,
            database: ask(session, DATABASE).await,
            replication: ask(session, &replication(&selection.migration)).await,
            replica_role: replica_role(session).await,
            prepared: ask(session, PREPARED).await,
            long_transactions: ask(session, LONG_TRANSACTIONS).await,
            defaults: ask(session, DEFAULTS).await,
            left_over: left_over(session, &selection.migration).await,
            available_extensions: ask(session, EXTENSIONS).await,
            configuration: configuration(session).await.map_err(|e| e.to_string()),
            roles: ask(session, ROLES).await,
            objects: ask(session, &objects(selection)).await,
            hidden_settings: ask(session, super::hidden::QUERY).await,
            directness: directness(session).await,
        }
    }
}

async fn ask<T: DeserializeOwned>(session: &mut Session, sql: &str) -> Fact<T> {
    json(session, sql).await.map_err(|e| e.to_string())
}

const ROLE: &str = "SELECT json_build_object('name', r.rolname, 'superuser', r.rolsuper, \
  'replication', r.rolreplication OR r.rolsuper OR EXISTS (SELECT FROM pg_catalog.pg_roles m \
    WHERE m.rolname='rds_replication' AND pg_catalog.pg_has_role(m.oid,'MEMBER')), \
  'bypass_rls', r.rolbypassrls OR r.rolsuper, \
  'create', pg_catalog.has_database_privilege(pg_catalog.current_database(),'CREATE'))::text \
  FROM pg_catalog.pg_roles r WHERE r.rolname=current_user";

// The locale's column changed its name twice, so it is taken from the row as JSON.
const DATABASE: &str = "SELECT json_build_object('collate', d.datcollate, 'ctype', d.datctype, \
     'icu', coalesce(pg_catalog.to_jsonb(d)->>'datlocale', pg_catalog.to_jsonb(d)->>'daticulocale'), \
     'provider', pg_catalog.to_jsonb(d)->>'datlocprovider', \
     'locks', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks \
        WHERE NOT fastpath AND locktype='relation'))::text \
     FROM pg_catalog.pg_database d WHERE d.datname=pg_catalog.current_database()";

fn replication(migration: &MigrationName) -> String {
    format!(
        "SELECT json_build_object(\
         'slots', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots), \
         'other_logical', (SELECT coalesce(json_agg(slot_name ORDER BY slot_name),'[]') \
           FROM pg_catalog.pg_replication_slots WHERE slot_type='logical' \
             AND database=pg_catalog.current_database() AND slot_name NOT IN ({forward},{reverse})), \
         'senders', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication), \
         'standbys', (SELECT coalesce(json_agg(coalesce(nullif(s.application_name,''),'unnamed')),'[]') \
           FROM pg_catalog.pg_stat_replication s WHERE NOT EXISTS (\
             SELECT FROM pg_catalog.pg_replication_slots l \
             WHERE l.active_pid=s.pid AND l.slot_type='logical') \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a \
             WHERE a.pid=s.pid AND a.datid IS NOT NULL)), \
         'subscriptions', (SELECT coalesce(json_agg(subname ORDER BY subname),'[]') \
           FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid=s.subdbid \
           WHERE d.datname=pg_catalog.current_database()))::text",
        forward = quote_literal(&format!("{}_forward", migration.object_name())),
        reverse = quote_literal(&format!("{}_reverse", migration.object_name())),
    )
}

const PREPARED: &str = "SELECT coalesce(json_agg(gid ORDER BY gid),'[]')::text \
  FROM pg_catalog.pg_prepared_xacts WHERE database=pg_catalog.current_database()";

const LONG_TRANSACTIONS: &str = "SELECT coalesce(json_agg(json_build_object('pid', pid, \
  'user', usename, 'application', application_name, 'client', client_addr::text, 'state', state, \
  'age_s', greatest(0, extract(epoch FROM now()-xact_start))::bigint, \
  'writes', backend_xid IS NOT NULL) ORDER BY xact_start),'[]')::text \
  FROM pg_catalog.pg_stat_activity WHERE xact_start < now() - interval '1 minute' \
  AND backend_type='client backend' AND pid<>pg_catalog.pg_backend_pid()";

const DEFAULTS: &str = "SELECT coalesce(json_agg(json_build_array(\
  concat_ws(' ', 'role ' || r.rolname, 'database ' || d.datname), \
  split_part(c.setting,'=',1), substr(c.setting, strpos(c.setting,'=')+1))),'[]')::text \
  FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid=s.setrole \
  LEFT JOIN pg_catalog.pg_database d ON d.oid=s.setdatabase \
  CROSS JOIN LATERAL unnest(s.setconfig) c(setting) \
  WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database \
    WHERE datname=pg_catalog.current_database()))";

const EXTENSIONS: &str = "SELECT coalesce(json_object_agg(name, default_version),'{}')::text \
  FROM pg_catalog.pg_available_extensions";

fn objects(selection: &Selection) -> String {
    format!(
        "SELECT coalesce(json_agg(o.label ORDER BY o.label),'[]')::text FROM (\
         SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialised view ' \
             WHEN 'S' THEN 'sequence ' WHEN 'f' THEN 'foreign table ' WHEN 'c' THEN 'type ' \
             ELSE 'table ' END || n.nspname || '.' || c.relname AS label, 1259 AS cls, c.oid \
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
           WHERE c.relkind IN ('r','p','v','m','S','f','c') AND c.relpersistence<>'t' AND {relation} \
         UNION ALL SELECT 'type ' || n.nspname || '.' || t.typname, 1247, t.oid \
           FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid=t.typnamespace \
           WHERE t.typtype IN ('e','d','r') AND {typ} \
         UNION ALL SELECT 'function ' || n.nspname || '.' || p.proname || '(' || \
             pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', 1255, p.oid \
           FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid=p.pronamespace \
           WHERE {function}) o \
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid=o.cls \
           AND d.objid=o.oid AND d.deptype='e')",
        relation = selection.condition("n.nspname::text", "c.relname::text"),
        typ = selection.condition("n.nspname::text", "t.typname::text"),
        function = selection.condition("n.nspname::text", "p.proname::text"),
    )
}

/// Tries it, in a transaction that is rolled back.
async fn replica_role(session: &mut Session) -> Fact<()> {
    session.execute("BEGIN").await.map_err(|e| e.to_string())?;
    let tried = session.execute("SET LOCAL session_replication_role = replica").await;
    let ended = session.execute("ROLLBACK").await;
    tried.and(ended).map(drop).map_err(|e| e.to_string())
}

async fn left_over(session: &mut Session, migration: &MigrationName) -> Fact<LeftOver> {
    let object = migration.object_name();
    let mut found: LeftOver = ask(
        session,
        &format!(
            "SELECT json_build_object('schema', (SELECT coalesce(\
               pg_catalog.obj_description(oid,'pg_namespace'),'') \
               FROM pg_catalog.pg_namespace WHERE nspname='changeover'), \
             'epochs', 0, 'copied', 0, \
             'slots', (SELECT coalesce(json_agg(slot_name),'[]') \
               FROM pg_catalog.pg_replication_slots \
               WHERE slot_name IN ({forward},{reverse})), \
             'publication', EXISTS (SELECT FROM pg_catalog.pg_publication \
               WHERE pubname={publication}))::text",
            forward = quote_literal(&format!("{object}_forward")),
            reverse = quote_literal(&format!("{object}_reverse")),
            publication = quote_literal(&object),
        ),
    )
    .await?;
    if found.schema.as_deref().is_some_and(|comment| comment.starts_with("Changeover")) {
        let name = quote_literal(migration.as_str());
        let counted: [u64; 2] = ask(
            session,
            &format!(
                "SELECT json_build_array(\
                 (SELECT pg_catalog.count(*) FROM changeover.epoch WHERE migration={name}), \
                 (SELECT pg_catalog.count(*) FROM changeover.copied WHERE migration={name}))::text"
            ),
        )
        .await?;
        [found.epochs, found.copied] = counted;
        let known = objects::known(session, migration).await.map_err(|e| e.to_string())?;
        found.run = known.map(|(row, in_use)| (row.run, row.at, in_use));
    }
    Ok(found)
}

/// A pooler in transaction mode shows in that queries are answered by different backends, or by
/// another one than the connection was told of.
async fn directness(session: &mut Session) -> Fact<Directness> {
    let mut pids: Vec<u32> = vec![session.pid()];
    for _ in 0..3 {
        pids.push(ask(session, "SELECT pg_catalog.pg_backend_pid()").await?);
    }
    pids.dedup();
    let named = ask(
        session,
        "SELECT (application_name LIKE 'changeover%')::text FROM pg_catalog.pg_stat_activity \
         WHERE pid=pg_catalog.pg_backend_pid()",
    )
    .await?;
    Ok(Directness { pids, named })
}
