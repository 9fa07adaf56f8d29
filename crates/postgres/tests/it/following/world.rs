//! Two servers, the migration's objects on both, and followers between them.

use std::time::Duration;

use changeover_postgres::config::ConnectConfig;
use changeover_postgres::error::{Error, Result};
use changeover_postgres::follow::{FollowConfig, FollowEvent, FollowHandle, Follower};
use changeover_postgres::objects::{self, RelationEntry, Scope};
use changeover_postgres::session::Session;
use changeover_postgres::verify::AlignedConfig;
use changeover_relay::Stream;
use changeover_testkit::{Cluster, ClusterConfig};
use changeover_types::{Lsn, Marker, MigrationName, Side, SignalKind, TableName};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(super) const SOON: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) source: Cluster,
    pub(super) target: Cluster,
    pub(super) migration: MigrationName,
    pub(super) tables: Vec<TableName>,
    relations: Vec<RelationEntry>,
}

/// A follower at work.
pub(super) struct Running {
    pub(super) handle: FollowHandle,
    pub(super) events: mpsc::Receiver<FollowEvent>,
    pub(super) task: JoinHandle<Result<()>>,
}

impl World {
    /// What a comparison along the forward stream needs.
    pub(super) fn aligned(&self, hold_budget: Duration) -> AlignedConfig {
        AlignedConfig {
            from: self.config(Side::Source),
            into: self.config(Side::Target),
            migration: self.migration.clone(),
            stream: Stream::Forward,
            hold_budget,
        }
    }

    /// Two servers with the same tables, published, with both slots.
    pub(super) async fn new(name: &str, ddl: &str) -> World {
        World::with(name, ddl, &[]).await
    }

    /// The same, with settings of the servers.
    pub(super) async fn with(name: &str, ddl: &str, settings: &[(&str, &str)]) -> World {
        let cluster = |side: &str| {
            let config = ClusterConfig::new(&format!("{name}-{side}"));
            let config = settings.iter().fold(config, |config, (k, v)| config.with(k, v));
            Cluster::start(config).unwrap()
        };
        let mut world = World {
            source: cluster("s"),
            target: cluster("t"),
            migration: MigrationName::new("m").unwrap(),
            tables: Vec::new(),
            relations: Vec::new(),
        };
        for side in [Side::Source, Side::Target] {
            world.sql(side, ddl).await;
        }
        let listed = "SELECT relname, relkind FROM pg_class WHERE relkind IN ('r', 'p') \
             AND relnamespace = 'public'::regnamespace ORDER BY 1";
        for row in &world.rows(Side::Source, listed).await {
            let name = TableName::new("public", row.text(0).unwrap());
            let root = row.text(1).unwrap() == "p";
            if !root {
                world.tables.push(name.clone());
            }
            world.relations.push(RelationEntry { name, root, leaf: false });
        }
        for side in [Side::Source, Side::Target] {
            let scope = world.scope(side);
            let mut session = world.session(side).await;
            objects::install(&mut session).await.unwrap();
            objects::genesis(&mut session, &scope, "test").await.unwrap();
            objects::publication(&mut session, &scope).await.unwrap();
            let slot = objects::slot_on(&world.migration, side);
            let sql = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
            session.execute(&sql).await.unwrap();
        }
        world
    }

    pub(super) fn scope(&self, side: Side) -> Scope {
        let (migration, relations) = (self.migration.clone(), self.relations.clone());
        Scope { migration, side, relations, sequences: Vec::new() }
    }

    pub(super) fn config(&self, side: Side) -> ConnectConfig {
        let cluster = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        ConnectConfig::parse(side, &cluster.url("postgres")).unwrap()
    }

    pub(super) async fn session(&self, side: Side) -> Session {
        Session::connect(&self.config(side), "test").await.unwrap()
    }

    pub(super) async fn sql(&self, side: Side, sql: &str) {
        let mut session = self.session(side).await;
        session.execute("SET search_path = public").await.unwrap();
        if let Err(error) = session.execute(sql).await {
            panic!("{sql}: {error}");
        }
    }

    pub(super) async fn rows(&self, side: Side, sql: &str) -> changeover_postgres::session::Rows {
        let mut session = self.session(side).await;
        session.execute("SET search_path = public").await.unwrap();
        session.query(sql).await.unwrap()
    }

    pub(super) async fn value(&self, side: Side, sql: &str) -> String {
        self.rows(side, sql).await.first().and_then(|row| row.get(0)).unwrap_or("").to_owned()
    }

    pub(super) fn follow_config(&self, stream: Stream) -> FollowConfig {
        let (from, into) = (self.config(stream.from()), self.config(stream.into()));
        FollowConfig::new(from, into, &self.migration, stream)
    }

    pub(super) fn follow(&self, stream: Stream) -> Running {
        Running::start(self.follow_config(stream))
    }

    /// Commits a barrier on `side`, as a second session would.
    pub(super) async fn barrier(&self, side: Side, nonce: u64) {
        let sql = format!(
            "INSERT INTO changeover.signal (migration, kind, epoch, nonce) \
             VALUES ('m', 'barrier', 1, {nonce}) ON CONFLICT (migration, kind) \
             DO UPDATE SET nonce = excluded.nonce"
        );
        self.sql(side, &sql).await;
    }

    /// Every row of every table, independent of the code under test.
    pub(super) async fn image(&self, side: Side) -> Vec<(TableName, String)> {
        let mut image = Vec::new();
        for table in &self.tables {
            let sql = format!(
                "SELECT count(*) || ':' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text \
                 COLLATE \"C\")), '') FROM {} t",
                table.quoted()
            );
            image.push((table.clone(), self.value(side, &sql).await));
        }
        image
    }

    /// Waits for a barrier of the source on the target, then compares.
    pub(super) async fn converge(&self, running: &mut Running, nonce: u64) {
        self.barrier(Side::Source, nonce).await;
        running.applied(nonce).await;
        assert_eq!(self.image(Side::Source).await, self.image(Side::Target).await);
    }

    /// What the source's slot was told to be durable.
    pub(super) async fn confirmed(&self) -> Lsn {
        let sql = "SELECT confirmed_flush_lsn FROM pg_replication_slots \
                   WHERE slot_name = 'changeover_m_forward'";
        self.value(Side::Source, sql).await.parse().unwrap()
    }

    /// Where the source writes its log.
    pub(super) async fn log_end(&self) -> Lsn {
        self.value(Side::Source, "SELECT pg_current_wal_insert_lsn()").await.parse().unwrap()
    }
}

impl Running {
    pub(super) fn start(config: FollowConfig) -> Running {
        let (follower, handle, events) = Follower::new(config);
        Running { handle, events, task: tokio::spawn(follower.run()) }
    }

    /// Waits until the barrier with this nonce is applied.
    pub(super) async fn applied(&mut self, nonce: u64) {
        self.until(|event| match event {
            FollowEvent::Applied {
                marker: Marker::Signal { kind: SignalKind::Barrier, nonce: n, .. },
                ..
            } => *n == nonce,
            _ => false,
        })
        .await;
    }

    /// Waits for an event.
    pub(super) async fn until(&mut self, wished: impl Fn(&FollowEvent) -> bool) -> FollowEvent {
        let wait = async {
            loop {
                match self.events.recv().await {
                    Some(event) if wished(&event) => return Some(event),
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        match timeout(SOON, wait).await {
            Ok(Some(event)) => event,
            Ok(None) => panic!("the follower ended: {:?}", self.handle.status().state),
            Err(_) => panic!("no such event; the follower is {:?}", self.handle.status()),
        }
    }

    /// Waits for the follower to give up.
    pub(super) async fn fails(self) -> Error {
        // Unread events would hold it back.
        drop(self.events);
        timeout(SOON, self.task).await.expect("it should stop").unwrap().unwrap_err()
    }

    pub(super) async fn stop(self) {
        self.handle.stop().await;
        drop(self.events);
        timeout(SOON, self.task).await.expect("it should stop").unwrap().unwrap();
    }
}
