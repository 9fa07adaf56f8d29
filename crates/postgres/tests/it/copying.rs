//! The first copy: what is refused, what is copied, and that it is exactly the snapshot.

mod faults;
mod hazards;
mod measure;
mod refusals;

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use changeover_postgres::catalog::{Catalog, Selection};
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::copy::{self, CopyJob, CopyOptions, CopyTicket, Sides};
use changeover_postgres::preflight::{self, Options, Preflight};
use changeover_postgres::schema::{Archive, Tools};
use changeover_postgres::session::Session;
use changeover_postgres::snapshot::{CopySnapshot, SnapshotLimits, SnapshotWait};
use changeover_postgres::{objects, seal};
use changeover_testkit::{Cluster, ClusterConfig, client_program};
use changeover_types::{Epoch, MigrationName, Side, seal_token};

/// Two servers with a database `app` each.
struct Pair {
    source: Cluster,
    target: Cluster,
    folder: tempfile::TempDir,
}

impl Pair {
    fn start() -> Pair {
        Pair::of(ClusterConfig::new("source"), ClusterConfig::new("target"))
    }

    fn of(source: ClusterConfig, target: ClusterConfig) -> Pair {
        let pair = Pair {
            source: Cluster::start(source).unwrap(),
            target: Cluster::start(target).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        for cluster in [&pair.source, &pair.target] {
            psql(cluster, "postgres", "CREATE DATABASE app");
        }
        pair
    }

    fn config(&self, side: Side) -> ConnectConfig {
        let cluster = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        ConnectConfig::parse(side, &cluster.url("app")).unwrap()
    }

    async fn session(&self, side: Side) -> Session {
        Session::connect(&self.config(side), "changeover test").await.unwrap()
    }

    async fn preflight(&self) -> Preflight {
        preflight::check(
            &mut self.session(Side::Source).await,
            &mut self.session(Side::Target).await,
            &selection(),
            Options::default(),
        )
        .await
    }

    /// Genesis on both sides and the publication: what comes before the slot.
    async fn begin(&self) {
        for side in [Side::Source, Side::Target] {
            let mut session = self.session(side).await;
            objects::install(&mut session).await.unwrap();
            let catalog = Catalog::read(&mut session, &selection()).await.unwrap();
            let scope = catalog.scope(&name(), side);
            objects::genesis(&mut session, &scope, "test").await.unwrap();
            if side == Side::Source {
                objects::publication(&mut session, &scope).await.unwrap();
            }
        }
    }

    async fn snapshot(&self) -> CopySnapshot {
        CopySnapshot::take(
            &self.config(Side::Source),
            &selection(),
            "changeover_m_forward",
            SnapshotLimits::default(),
            &|_| {},
        )
        .await
        .unwrap()
    }

    async fn restore_pre_data(&self, snapshot: &CopySnapshot) -> Archive {
        let tools = Tools::find(15).await.unwrap();
        let path = self.folder.path().join("schema.dump");
        let archive = Archive::dump(
            &tools,
            &self.config(Side::Source),
            &selection(),
            &snapshot.catalog,
            Some(&snapshot.name),
            &path,
            true,
        )
        .await
        .unwrap();
        archive.restore_pre_data(&self.config(Side::Target), None).await.unwrap();
        let mut target = self.session(Side::Target).await;
        let scope = snapshot.catalog.scope(&name(), Side::Target);
        seal::set(&mut target, &scope, Epoch(1)).await.unwrap();
        archive
    }

    async fn ticket(&self) -> CopyTicket {
        let mut target = self.session(Side::Target).await;
        CopyTicket {
            migration: name(),
            incarnation: copy::claim(&mut target, &name()).await.unwrap(),
            token: seal_token(&name(), Epoch(1), Side::Target),
        }
    }

    /// The copy of all tables.
    async fn copy(
        &self,
        snapshot: &CopySnapshot,
        ticket: &CopyTicket,
    ) -> changeover_postgres::error::Result<copy::CopySummary> {
        let jobs = jobs(snapshot);
        let meter = copy::meter(&jobs);
        let (source, target) = (self.config(Side::Source), self.config(Side::Target));
        let summary =
            copy::run(&source, &target, &snapshot.name, ticket, &jobs, OPTIONS, &meter).await?;
        let totals = meter.totals();
        assert_eq!(totals.tables, totals.tables_done);
        assert_eq!(totals.work, totals.work_estimated);
        assert_eq!(totals.rows, totals.rows_estimated);
        Ok(summary)
    }
}

const OPTIONS: CopyOptions = CopyOptions { parallel: 4, lock_wait: Duration::from_secs(2) };

fn jobs(snapshot: &CopySnapshot) -> Vec<CopyJob> {
    copy::jobs(&Sides {
        source: &snapshot.catalog,
        target_major: 15,
        target_extensions: &snapshot.catalog.extensions,
    })
}

fn name() -> MigrationName {
    MigrationName::new("m").unwrap()
}

fn selection() -> Selection {
    Selection::everything(name())
}

/// Runs SQL as the superuser.
fn psql(cluster: &Cluster, database: &str, sql: &str) -> String {
    let output = Command::new(client_program("psql").unwrap())
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &cluster.url(database)])
        .args(["-c", sql])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn psql_file(cluster: &Cluster, sql: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sql).unwrap();
    let output = Command::new(client_program("psql").unwrap())
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &cluster.url("app"), "-f"])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every row of every table, as a count and a hash, read by the given session.
async fn contents(session: &mut Session, catalog: &Catalog) -> Vec<(String, String, String)> {
    let mut contents = Vec::new();
    for table in catalog.leaves() {
        let row = session
            .query_one(&format!(
                "SELECT count(*), coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text \
                 COLLATE \"C\")), '') FROM ONLY {} t",
                table.name.quoted()
            ))
            .await
            .unwrap();
        contents.push((
            table.name.to_string(),
            row.text(0).unwrap().to_owned(),
            row.text(1).unwrap().to_owned(),
        ));
    }
    contents
}

/// Waits until `ready` holds on the server, at most 20 s.
async fn until(session: &mut Session, ready: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !session.query_one(&format!("SELECT {ready}")).await.unwrap().bool(0).unwrap() {
        assert!(tokio::time::Instant::now() < deadline, "waited for {ready}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Collects what a snapshot waits for.
fn waits() -> (Arc<Mutex<Vec<SnapshotWait>>>, impl Fn(SnapshotWait) + Send + Sync) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    (seen, move |wait| kept.lock().unwrap().push(wait))
}
