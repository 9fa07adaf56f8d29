//! Two servers, a gate between, and clients.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::BytesMut;
use changeover_gate::postgres::{
    ClientAuth, PostgresGateConfig, ServerConfig, keep_authority, keep_numbers, serve,
};
use changeover_gate::state::Shared;
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frame::{Phase, take_frame};
use changeover_pgwire::{Frame, frontend};
use changeover_routing::{Answer, GateMetrics, GateStatus, Order, OrderNumber, Route, RouteTable};
use changeover_testkit::{Cluster, ClusterConfig};
use changeover_types::{Epoch, MigrationName, Side, Split};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

/// A gate in a thread of its own, steered without a control socket.
pub(super) struct TestGate {
    pub(super) address: SocketAddr,
    pub(super) shared: Arc<Shared>,
    pub(super) drain: CancellationToken,
    sequence: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl TestGate {
    pub(super) fn start(config: PostgresGateConfig, folder: &Path, prove: bool) -> TestGate {
        let name = MigrationName::new("shop").unwrap();
        let shared =
            Shared::open(name, folder, RouteTable::default(), prove, Default::default()).unwrap();
        let drain = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::channel();
        let (for_thread, stop) = (Arc::clone(&shared), drain.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let config = Arc::new(config);
                tokio::select! {
                    () = serve(listener, Arc::clone(&config), Arc::clone(&for_thread), stop) => {}
                    () = for_thread.keep_time() => {}
                    () = keep_authority(Arc::clone(&config), Arc::clone(&for_thread)) => {}
                    () = keep_numbers(config, Arc::clone(&for_thread)) => {}
                }
            });
        });
        let address = told.recv().unwrap();
        TestGate { address, shared, drain, sequence: AtomicU64::new(1), thread: Some(thread) }
    }

    pub(super) fn number(&self) -> OrderNumber {
        OrderNumber { epoch: Epoch(1), sequence: self.sequence.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) fn obey(&self, order: &Order) -> GateStatus {
        match self.shared.obey(order) {
            Answer::Status(status) => status,
            other => panic!("{order:?} was not obeyed: {other:?}"),
        }
    }

    pub(super) fn route(&self, authority: Side, epoch: u64) {
        let route = Route { target_permille: 0, authority, authority_epoch: Epoch(epoch) };
        let split = Split::default();
        self.obey(&Order::Route { number: self.number(), route, split });
    }

    pub(super) fn hold(&self, budget_ms: u64) {
        self.obey(&Order::Hold { number: self.number(), budget_ms });
    }

    pub(super) fn sealing(&self, epoch: u64, from: Side) {
        let number = self.number();
        self.obey(&Order::Sealing { number, epoch: Epoch(epoch), from });
    }

    pub(super) fn release(&self) {
        self.obey(&Order::Release { number: self.number() });
    }

    pub(super) fn status(&self) -> GateStatus {
        self.obey(&Order::Status)
    }

    pub(super) fn metrics(&self) -> GateMetrics {
        match self.shared.obey(&Order::Metrics) {
            Answer::Metrics(metrics) => metrics,
            other => panic!("no metrics: {other:?}"),
        }
    }

    /// Waits until the hold is complete: nothing open.
    pub(super) async fn quiet(&self) {
        super::super::harness::eventually("nothing open", async || {
            self.status().open.is_empty().then_some(())
        })
        .await;
    }

    /// Waits until open work in this state is listed.
    pub(super) async fn open(&self, state: &str) -> GateStatus {
        super::super::harness::eventually(&format!("open work `{state}`"), async || {
            let status = self.status();
            status.open.iter().any(|work| work.state.contains(state)).then_some(status)
        })
        .await
    }

    pub(super) async fn parked(&self, least: u64) {
        super::super::harness::eventually(&format!("{least} parked"), async || {
            (self.status().parked >= least).then_some(())
        })
        .await;
    }
}

impl Drop for TestGate {
    fn drop(&mut self) {
        self.drain.cancel();
        if let Some(thread) = self.thread.take() {
            // The test may be failing already; a second panic would hide the first.
            thread.join().unwrap_or_default();
        }
    }
}

/// Both servers and the gate.
pub(super) struct Bench {
    pub(super) gate: TestGate,
    pub(super) config: PostgresGateConfig,
    pub(super) source: Cluster,
    pub(super) target: Cluster,
    pub(super) folder: TempDir,
}

pub(super) fn server(cluster: &Cluster, database: &str) -> ServerConfig {
    ServerConfig {
        host: "127.0.0.1".to_owned(),
        port: cluster.port(),
        database: database.to_owned(),
        user: "postgres".to_owned(),
        password: None,
    }
}

/// The databases are called `blue` and `green`, so that the gate must rewrite the name.
pub(super) async fn clusters(
    settings: impl Fn(ClusterConfig) -> ClusterConfig,
) -> (Cluster, Cluster) {
    let start = |name: &str| Cluster::start(settings(ClusterConfig::new(name))).unwrap();
    let (source, target) = (start("gate-source"), start("gate-target"));
    for (cluster, database) in [(&source, "blue"), (&target, "green")] {
        let admin = direct(cluster, "postgres").await;
        admin.batch_execute(&format!("create database {database}")).await.unwrap();
    }
    (source, target)
}

impl Bench {
    /// Trust everywhere; authority with the source.
    pub(super) async fn new() -> Bench {
        Bench::with(|config| config).await
    }

    pub(super) async fn with(change: impl Fn(PostgresGateConfig) -> PostgresGateConfig) -> Bench {
        let (source, target) = clusters(|config| config).await;
        let mut config = PostgresGateConfig::new(
            "127.0.0.1:0".parse().unwrap(),
            server(&source, "blue"),
            server(&target, "green"),
        );
        config.auth = ClientAuth::Trust;
        let config = change(config);
        let folder = tempfile::tempdir().unwrap();
        let gate = TestGate::start(config.clone(), folder.path(), false);
        gate.route(Side::Source, 1);
        Bench { gate, config, source, target, folder }
    }

    /// Runs the same SQL on both sides, directly.
    pub(super) async fn both(&self, sql: &str) {
        direct(&self.source, "blue").await.batch_execute(sql).await.unwrap();
        direct(&self.target, "green").await.batch_execute(sql).await.unwrap();
    }

    /// A client through the gate, as `postgres`.
    pub(super) async fn client(&self) -> Client {
        self.client_with("").await
    }

    /// With more connection parameters.
    pub(super) async fn client_with(&self, more: &str) -> Client {
        through(&self.gate, &format!("user=postgres {more}")).await
    }

    /// Hold, route to `side`, release: what a cutover does to the gate.
    pub(super) async fn flip(&self, side: Side, epoch: u64) {
        self.gate.hold(20_000);
        self.gate.quiet().await;
        self.gate.sealing(epoch, side.other());
        self.gate.route(side, epoch);
        self.gate.release();
    }
}

pub(super) async fn connect(parameters: &str) -> Result<Client, tokio_postgres::Error> {
    let config: Config = parameters.parse()?;
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // Its end is seen by the client's next query.
        connection.await.ok();
    });
    Ok(client)
}

/// A client of a server itself.
pub(super) async fn direct(cluster: &Cluster, database: &str) -> Client {
    let port = cluster.port();
    connect(&format!("host=127.0.0.1 port={port} user=postgres dbname={database}")).await.unwrap()
}

pub(super) fn address(gate: &TestGate) -> String {
    format!("host=127.0.0.1 port={} dbname=blue", gate.address.port())
}

pub(super) async fn through(gate: &TestGate, parameters: &str) -> Client {
    connect(&format!("{} {parameters}", address(gate))).await.unwrap()
}

/// The database a client is in now, by a simple query.
pub(super) async fn place(client: &Client) -> String {
    one(client, "select current_database()").await
}

/// The first column of the first row of a simple query.
pub(super) async fn one(client: &Client, sql: &str) -> String {
    for message in client.simple_query(sql).await.unwrap() {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            return row.get(0).unwrap_or_default().to_owned();
        }
    }
    panic!("`{sql}` gave no row")
}

/// The SQLSTATE an operation failed with.
pub(super) fn code(error: &tokio_postgres::Error) -> String {
    error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| format!("{error:?}"))
}

/// A client that speaks the bare protocol.
pub(super) struct Raw {
    stream: tokio::net::TcpStream,
    rx: BytesMut,
}

impl Raw {
    /// Logged in to a gate that trusts.
    pub(super) async fn connect(gate: &TestGate, user: &str) -> Raw {
        let mut out = BytesMut::new();
        frontend::startup(&mut out, [("user", user), ("database", "blue")]);
        let mut raw = Raw::open(gate).await;
        raw.send(&out).await;
        raw.until(b'Z').await;
        raw
    }

    /// Connected, nothing said.
    pub(super) async fn open(gate: &TestGate) -> Raw {
        let stream = tokio::net::TcpStream::connect(gate.address).await.unwrap();
        Raw { stream, rx: BytesMut::new() }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Closes the sending half.
    pub(super) async fn stop_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next message.
    pub(super) async fn message(&mut self) -> BackendMessage {
        BackendMessage::decode(&self.frame().await).unwrap()
    }

    /// The next byte.
    pub(super) async fn byte(&mut self) -> u8 {
        self.stream.read_u8().await.unwrap()
    }

    /// Waits until the gate has closed the connection.
    pub(super) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        tokio::time::timeout(super::super::harness::PATIENCE, read)
            .await
            .expect("in time")
            .unwrap();
    }

    async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = take_frame(&mut self.rx, Phase::ServerReady).unwrap() {
                return frame;
            }
            let read = self.stream.read_buf(&mut self.rx);
            let n = tokio::time::timeout(super::super::harness::PATIENCE, read).await;
            assert!(n.expect("an answer in time").unwrap() > 0, "the gate closed the connection");
        }
    }

    /// The types of the messages up to one of type `last`.
    pub(super) async fn until(&mut self, last: u8) -> Vec<u8> {
        let mut tags = Vec::new();
        loop {
            let tag = self.frame().await.tag();
            if !matches!(tag, b'N' | b'S' | b'A') {
                tags.push(tag);
            }
            if tag == last {
                return tags;
            }
        }
    }
}
