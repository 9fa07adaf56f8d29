//! What is known of a database.

use std::collections::BTreeMap;

use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

use crate::fact::Fact;
use crate::inventory::sizes::{Rate, Relation, Sequence};

/// What is known of a database. No row values, no queries, no secrets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Database {
    /// Where it is, without a password.
    pub url: String,
    /// Who answers.
    pub server: Fact<Server>,
    /// The settings that decide something, in their units of `pg_settings`.
    pub settings: Fact<BTreeMap<String, String>>,
    /// Our role.
    pub role: Fact<Role>,
    /// How texts sort.
    pub locale: Fact<Locale>,
    /// The tables that move (on the target: what is there under the same names).
    pub relations: Fact<Vec<Relation>>,
    /// The sequences that move.
    pub sequences: Fact<Vec<Sequence>>,
    /// Installed extensions.
    pub extensions: Fact<Vec<Extension>>,
    /// Extensions that can be created, with their newest versions.
    pub available: Fact<Available>,
    /// What runs inside the database.
    pub code: Fact<Code>,
    /// Roles, by name.
    pub roles: Fact<Vec<RoleEntry>>,
    /// Policies and default privileges.
    pub privileges: Fact<Privileges>,
    /// Who is connected and what is open.
    pub activity: Fact<Activity>,
    /// Prepared transactions by name.
    pub prepared: Fact<Vec<String>>,
    /// Slots, replicas, subscriptions.
    pub replication: Fact<Replication>,
    /// What reaches out of the database.
    pub outside: Fact<Outside>,
    /// Space.
    pub disk: Fact<Disk>,
    /// How fast it changes.
    pub rate: Fact<Rate>,
    /// How fast its largest tables can be read from here, in bytes per second.
    pub read_bytes_s: Fact<u64>,
    /// Whether something is broken already.
    pub trouble: Fact<Trouble>,
    /// The newest change of the schema that a migrations tool (or the server) recorded.
    pub schema_change: Fact<Option<SchemaChange>>,
    /// How far its clock is ahead of ours, in milliseconds.
    pub clock_skew_ms: Fact<i64>,
    /// A round trip, in microseconds: the quickest of a few.
    pub round_trip_us: Fact<u64>,
}

/// Extensions by name, with versions.
pub type Available = BTreeMap<String, String>;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The major version.
    pub major: u32,
    /// `server_version_num`.
    pub version: u32,
    /// Drawn at `initdb`; `None` if our role may not read it.
    pub system_id: Option<String>,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// The database's name.
    pub database: String,
    /// Its encoding.
    pub encoding: String,
}

/// Our role and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Everything is allowed.
    pub superuser: bool,
    /// May open replication connections.
    pub replication: bool,
    /// May set `session_replication_role`.
    pub replica_role: bool,
}

/// How texts sort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locale {
    /// `c`, `i` or `b`; `None` before PostgreSQL 15.
    pub provider: Option<String>,
    /// The collation.
    pub collate: String,
    /// The character classes.
    pub ctype: String,
    /// The ICU locale.
    pub icu: Option<String>,
    /// The version of the library that sorts now; `None` where it does not matter or is not told.
    pub version: Option<String>,
    /// The version that sorted when the database was made.
    pub recorded: Option<String>,
}

/// An installed extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What runs or is kept inside the database besides tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Rewrite rules that are no view's.
    pub rules: Vec<String>,
    /// Functions in C or another untrusted language that belong to no extension.
    pub native_functions: Vec<String>,
    /// Functions whose text names `pg_notify`, `NOTIFY`, `dblink` or advisory locks.
    pub reaching_functions: Vec<String>,
    /// Materialised views that hold rows.
    pub materialized_views: Vec<String>,
    /// How many large objects there are.
    pub large_objects: u64,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleEntry {
    /// Its name.
    pub name: String,
    /// What it may do, in words: `LOGIN`, `SUPERUSER`, `BYPASSRLS`, `MEMBER OF app`.
    pub attributes: Vec<String>,
    /// Whether it owns or is granted something that moves.
    pub needed: bool,
}

/// Policies and default privileges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// Row security policies with the roles they name.
    pub policies: Vec<String>,
    /// Default privileges in words.
    pub defaults: Vec<String>,
    /// Grants on the moved tables in words.
    pub grants: Vec<String>,
}

/// Who is connected and what is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Clients of this database, ours left out.
    pub clients: Vec<Client>,
    /// Transactions that are older than ten minutes, or were idle through both samples.
    pub open: Vec<OpenTransaction>,
    /// Session advisory locks that are held now.
    pub advisory_locks: u64,
    /// Sessions whose last statement was `LISTEN`.
    pub listeners: u64,
}

/// Clients that look alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// What they call themselves.
    pub application: String,
    /// Their role.
    pub user: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Where they are; `None` for a local socket.
    pub address: Option<String>,
    /// How many.
    pub sessions: u64,
    /// The age of the oldest session, in seconds.
    pub oldest_s: u64,
}

/// An open transaction, without its query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// Its backend.
    pub pid: u32,
    /// Its role.
    pub user: String,
    /// What its client calls itself.
    pub application: String,
    /// Its age in seconds.
    pub age_s: u64,
    /// Whether it is idle.
    pub idle: bool,
}

/// Slots, replicas, subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// All slots of the server but this migration's.
    pub slots: Vec<Slot>,
    /// Slots of this migration.
    pub own_slots: u64,
    /// Connected senders.
    pub senders: u64,
    /// Physical standbys.
    pub replicas: Vec<Replica>,
    /// Subscriptions of this database.
    pub subscriptions: Vec<String>,
    /// Publications of this database, this migration's left out.
    pub publications: Vec<String>,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether it is logical.
    pub logical: bool,
    /// Whether somebody reads it now.
    pub active: bool,
    /// Whether it survives a failover (17 and later).
    pub failover: bool,
    /// Log that it retains.
    pub retained_bytes: u64,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
}

/// A standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// What it calls itself.
    pub name: String,
    /// `streaming`, `catchup` …
    pub state: String,
    /// Log that it has not replayed.
    pub lag_bytes: Option<u64>,
}

/// What reaches out of the database, or into it past the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// Foreign servers.
    pub foreign_servers: Vec<String>,
    /// Jobs of `pg_cron` or `pgagent`, by name.
    pub jobs: Vec<String>,
}

/// Space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The database.
    pub database_bytes: u64,
    /// Free where the data is, if that can be seen from here.
    pub free_bytes: Option<u64>,
    /// Free where the log is, if that can be seen from here.
    pub wal_free_bytes: Option<u64>,
}

/// What is broken already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Blocks that failed their checksum.
    pub checksum_failures: u64,
    /// Indexes that are not valid.
    pub invalid_indexes: Vec<String>,
    /// Subscriptions that failed, with how often.
    pub subscription_errors: Vec<String>,
}

/// A change of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaChange {
    /// Who recorded it: `flyway_schema_history`.
    pub tool: String,
    /// When; `None` if the tool records no time.
    pub at: Option<WallMs>,
}
