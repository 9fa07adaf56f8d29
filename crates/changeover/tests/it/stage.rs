//! What every test of the binary stands on: two servers, a schema, a plan, verbs that never hang,
//! writers that remember what they were told, and the checks of what arrived.
//!
//! A [`Pair`] owns two clusters and stays on the test's own thread. A [`Stage`] is one migration
//! on it, in databases of its own; stages of one pair may run side by side. Drop the stage first.

pub(crate) mod check;
mod plan;
mod prometheus;
mod schema;
mod verbs;
mod writer;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use changeover_journal::{Reader, Record};
use changeover_testkit::{Cluster, ClusterConfig};
use postgres_session::query_one;
use tempfile::TempDir;

pub(crate) use check::{Sampler, holds};
pub(crate) use plan::{Gate, PlanText};
pub(crate) use prometheus::Prometheus;
pub(crate) use verbs::{Ran, Running};
pub(crate) use writer::{Fate, Ledger, Path as WritePath, Writers};

pub(crate) mod postgres_session {
    //! A short-lived connection for a test's own questions.

    use std::future::Future;
    use std::time::Duration;

    use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

    /// Runs a future on a runtime of its own.
    pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Connects; the connection's task ends with the client.
    pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
        let config: tokio_postgres::Config = url.parse()?;
        let (client, connection) = config
            .clone()
            .connect_timeout(Duration::from_secs(10))
            .application_name("test")
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements that must succeed.
    pub(crate) fn execute(url: &str, sql: &str) {
        try_execute(url, sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// Runs statements.
    pub(crate) fn try_execute(url: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
        block_on(async { connect(url).await?.batch_execute(sql).await })
    }

    /// The rows of a query as text; the error if it fails.
    pub(crate) async fn rows(
        client: &Client,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let messages = client.simple_query(sql).await?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
            }
        }
        Ok(rows)
    }

    /// The one value of a query as text.
    pub(crate) fn query_one(url: &str, sql: &str) -> String {
        block_on(async {
            let client = connect(url).await.unwrap();
            let found = rows(&client, sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
            found.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default()
        })
    }
}

/// How long a verb, or anything else that is waited for, may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Two servers.
pub(crate) struct Pair {
    /// Where the service is.
    pub(crate) blue: Cluster,
    /// Where it goes.
    pub(crate) green: Cluster,
}

impl Pair {
    /// Starts both, with room for several stages side by side.
    pub(crate) fn start(name: &str) -> Pair {
        let config = |side: &str| {
            ClusterConfig::new(&format!("{name}-{side}"))
                .with("max_wal_senders", "40")
                .with("max_replication_slots", "100")
                .with("max_connections", "300")
                .with("autovacuum", "off")
        };
        Pair {
            blue: Cluster::start(config("blue")).unwrap(),
            green: Cluster::start(config("green")).unwrap(),
        }
    }
}

/// One migration: databases of its name on both servers, a plan, a state folder.
pub(crate) struct Stage {
    /// The migration's and both databases' name.
    pub(crate) name: String,
    /// The database it leaves.
    pub(crate) source: String,
    /// The database it enters.
    pub(crate) target: String,
    /// The PostgreSQL gate's URL, if the plan has one.
    pub(crate) gate_url: Option<String>,
    /// The plan's file.
    pub(crate) plan: PathBuf,
    ports: (Option<u16>, Option<u16>),
    gate: Option<Child>,
    folder: TempDir,
    /// The parent of all state folders, if it is not the stage's own.
    shared_state: Option<PathBuf>,
}

impl Stage {
    /// A stage with the test's schema and rows on the source, an empty database on the target.
    pub(crate) fn new(pair: &Pair, name: &str, plan: &PlanText) -> Stage {
        Stage::at(&pair.blue, &pair.green, name, plan)
    }

    /// The same, on these two servers.
    pub(crate) fn at(blue: &Cluster, green: &Cluster, name: &str, plan: &PlanText) -> Stage {
        let stage = Stage::bare(blue, green, name, ["", ""], plan);
        postgres_session::execute(&stage.source, schema::SCHEMA);
        stage
    }

    /// A stage whose databases are made with `options` (source, target) of CREATE DATABASE, and are
    /// empty.
    pub(crate) fn bare(
        blue: &Cluster,
        green: &Cluster,
        name: &str,
        options: [&str; 2],
        plan: &PlanText,
    ) -> Stage {
        let (source, target) = (blue.url(name), green.url(name));
        for (cluster, options) in [blue, green].into_iter().zip(options) {
            let create = format!("CREATE DATABASE {name} {options}");
            postgres_session::execute(&cluster.url("postgres"), &create);
        }
        let folder = tempfile::Builder::new().prefix("changeover-stage-").tempdir().unwrap();
        let file = folder.path().join("plan.yaml");
        fs::write(&file, plan.render(name, &source, &target)).unwrap();
        Stage {
            name: name.to_owned(),
            gate_url: plan
                .postgres_port()
                .map(|port| format!("postgresql://postgres@127.0.0.1:{port}/{name}")),
            source,
            target,
            plan: file,
            ports: (plan.postgres_port(), plan.http_port()),
            gate: None,
            folder,
            shared_state: None,
        }
    }

    /// The parent of all state folders, as `--state-dir` wants it.
    pub(crate) fn state_parent(&self) -> PathBuf {
        self.shared_state.clone().unwrap_or_else(|| self.folder.path().join("state"))
    }

    /// Keeps the migration's state with that of others: it is a component of a program.
    pub(crate) fn share_state(&mut self, parent: &Path) {
        self.shared_state = Some(parent.to_owned());
    }

    /// The migration's state folder.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state_parent().join(&self.name)
    }

    /// A command of the binary with what every verb here gets.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_changeover"));
        command
            .args(args)
            .arg("--state-dir")
            .arg(self.state_parent())
            .args(["--yes", "--json"])
            .env_remove("CHANGEOVER_CRASH_AT")
            .stdin(Stdio::null());
        command
    }

    /// Starts the plan's gate and waits until it takes orders.
    pub(crate) fn start_gate(&mut self) {
        fs::create_dir_all(self.state_dir()).unwrap();
        let log = fs::File::create(self.folder.path().join("gate.log")).unwrap();
        let plan = self.plan.display().to_string();
        let child = self
            .command(&["gate", &plan])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.gate = Some(child);
        self.wait_for_gate();
    }

    /// Waits until the gate takes orders, whoever started it.
    pub(crate) fn wait_for_gate(&self) {
        let socket = self.state_dir().join("gate.sock");
        let ports = self.ports;
        let up = until(PATIENCE, || {
            std::os::unix::net::UnixStream::connect(&socket).ok()?;
            let mut wanted = [ports.0, ports.1].into_iter().flatten();
            wanted.all(|port| TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(())
        });
        assert!(up.is_some(), "the gate does not come up:\n{}", self.gate_log());
    }

    /// Kills the gate as a failing host would. Its clients lose their connections.
    pub(crate) fn kill_gate(&mut self) {
        if let Some(mut gate) = self.gate.take() {
            gate.kill().unwrap();
            gate.wait().unwrap();
        }
    }

    /// What the gate wrote.
    pub(crate) fn gate_log(&self) -> String {
        fs::read_to_string(self.folder.path().join("gate.log")).unwrap_or_default()
    }

    /// What the daemon wrote.
    pub(crate) fn run_log(&self) -> String {
        fs::read_to_string(self.state_dir().join("run.log")).unwrap_or_default()
    }

    /// All records of the journal.
    pub(crate) fn journal(&self) -> Vec<Record> {
        Reader::open(&self.state_dir()).and_then(|reader| reader.read_all()).unwrap_or_default()
    }

    /// Where the run stands by its journal alone: no daemon is started.
    pub(crate) fn run_state(&self) -> changeover_run::State {
        let mut state = changeover_run::State::new();
        for record in self.journal().iter().filter(|record| record.kind == "run") {
            let event = serde_json::from_value(record.body.clone()).unwrap();
            changeover_run::apply(&mut state, &event);
        }
        state
    }

    /// Waits until the journal says so.
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&changeover_run::State) -> bool) {
        let so = until(PATIENCE, || is_so(&self.run_state()).then_some(()));
        assert!(so.is_some(), "waited in vain for {what}; {}", self.report());
    }

    /// Waits until the journal has a record of this kind, of the run's or of the cutover's.
    pub(crate) fn wait_for_record(&self, kind: &str) {
        let is = |r: &Record| r.body["kind"] == kind || r.body["event"]["event"] == kind;
        let there = until(PATIENCE, || self.journal().iter().any(is).then_some(()));
        assert!(there.is_some(), "waited in vain for {kind}; {}", self.report());
    }

    /// A process id that the state folder names and that is alive and ours.
    pub(crate) fn pid(&self, file: &str) -> Option<u32> {
        let text = fs::read_to_string(self.state_dir().join(file)).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = self.folder.path().as_os_str().as_encoded_bytes();
        line.windows(ours.len()).any(|window| window == ours).then_some(pid)
    }

    /// Sends a signal, as `kill(1)` names it.
    pub(crate) fn signal(pid: u32, signal: &str) {
        Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).output().unwrap();
    }

    /// The newest authority of each side as its own database says, read so that the first was
    /// still so when the second was read.
    pub(crate) fn authority(&self) -> (String, String) {
        let sql = format!(
            "SELECT authority FROM changeover.epoch WHERE migration = '{}' \
             ORDER BY epoch DESC LIMIT 1",
            self.name
        );
        (query_one(&self.source, &sql), query_one(&self.target, &sql))
    }

    /// All that helps to understand a failure.
    pub(crate) fn report(&self) -> String {
        let records: Vec<String> = self
            .journal()
            .iter()
            .map(|record| format!("{:4} {} {}", record.seq.0, record.at.0, record.body))
            .collect();
        format!(
            "{}\njournal:\n{}\nrun.log:\n{}\ngate.log:\n{}",
            self.name,
            records.join("\n"),
            tail(&self.run_log()),
            tail(&self.gate_log())
        )
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The supervisor first, or it starts the worker again.
        for file in ["supervisor.pid", "run.pid"] {
            if let Some(pid) = self.pid(file) {
                Stage::signal(pid, "KILL");
            }
        }
        kill_leftovers(self.folder.path());
        if let Some(mut gate) = self.gate.take() {
            gate.kill().ok();
            gate.wait().ok();
        }
        if std::thread::panicking() && std::env::var_os("CHANGEOVER_KEEP").is_some() {
            let kept = std::mem::replace(&mut self.folder, TempDir::new().unwrap()).keep();
            eprintln!("kept {}", kept.display());
        }
    }
}

/// Drops a stage's database with the slots that keep it, once its processes are gone.
pub(crate) fn remove_database(cluster: &Cluster, name: &str) {
    let url = cluster.url("postgres");
    let slots = format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
         WHERE database = '{name}' AND active_pid IS NOT NULL;
         SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
         WHERE database = '{name}' AND active_pid IS NULL"
    );
    let gone = until(PATIENCE, || {
        postgres_session::try_execute(&url, &slots).ok()?;
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        postgres_session::try_execute(&url, &drop).ok()
    });
    assert!(gone.is_some(), "the database {name} cannot be dropped");
}

/// Kills every process whose command line names the folder: whatever a failed test left.
pub(crate) fn kill_leftovers(folder: &Path) {
    let ours = folder.as_os_str().as_encoded_bytes();
    for _ in 0..2 {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if line.windows(ours.len()).any(|window| window == ours) {
                Stage::signal(pid, "KILL");
            }
        }
    }
}

/// Asks until there is an answer, or the time is over. A question that costs much, such as a verb, is
/// asked less often, so that asking takes at most a third of a core from what is waited for.
pub(crate) fn until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let asked = Instant::now();
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep((2 * asked.elapsed()).max(Duration::from_millis(20)));
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// A port that was free a moment ago, and that no other stage of this process was given.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 20_000 + (std::process::id() % 300) * 40;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(first + offset % 12_000).unwrap_or(20_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
