//! A gate in a thread of its own, upstreams, and small clients.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use changeover_gate::control::ControlClient;
use changeover_gate::process::Gate;
use changeover_gate::state::{GateConfig, HttpGateConfig, HttpLimits, Upstream};
use changeover_routing::{Answer, GateMetrics, GateStatus, Order, OrderNumber, Route};
use changeover_types::{DecidedSecond, Epoch, MigrationName, RouteName, Side, Split};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something, or fails the test.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A gate that serves HTTP until it is dropped.
pub(crate) struct RunningGate {
    pub(crate) address: SocketAddr,
    pub(crate) folder: Arc<TempDir>,
    pub(crate) drain: CancellationToken,
    thread: Option<JoinHandle<()>>,
    sequence: AtomicU64,
}

pub(crate) fn config(folder: &Path, source: &[SocketAddr], target: &[SocketAddr]) -> GateConfig {
    let upstreams = |addresses: &[SocketAddr]| {
        addresses.iter().map(|a| Upstream { host: a.ip().to_string(), port: a.port() }).collect()
    };
    GateConfig {
        migration: MigrationName::new("shop").unwrap(),
        state_dir: folder.to_owned(),
        socket: folder.join("gate.sock"),
        workers: 2,
        carries: Default::default(),
        http: Some(HttpGateConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            sticky_cookie: Some("side".to_owned()),
            source: upstreams(source),
            target: upstreams(target),
            holds: true,
            decide_after: Duration::from_millis(400),
            warm_up: Duration::ZERO,
            limits: HttpLimits::default(),
            routes: Vec::new(),
        }),
        postgres: None,
    }
}

impl RunningGate {
    pub(crate) fn start(source: &[SocketAddr], target: &[SocketAddr]) -> RunningGate {
        RunningGate::start_in(Arc::new(tempfile::tempdir().unwrap()), source, target)
    }

    pub(crate) fn start_in(
        folder: Arc<TempDir>,
        source: &[SocketAddr],
        target: &[SocketAddr],
    ) -> RunningGate {
        let config = config(folder.path(), source, target);
        RunningGate::start_with(folder, config)
    }

    /// Queues are per core, so an order is exact on one core only.
    pub(crate) fn start_one_core(upstream: &[SocketAddr]) -> RunningGate {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let config = GateConfig { workers: 1, ..config(folder.path(), upstream, upstream) };
        RunningGate::start_with(folder, config)
    }

    /// With limits of its own.
    pub(crate) fn start_limited(
        limits: HttpLimits,
        source: &[SocketAddr],
        target: &[SocketAddr],
    ) -> RunningGate {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut config = config(folder.path(), source, target);
        config.http.as_mut().unwrap().limits = limits;
        RunningGate::start_with(folder, config)
    }

    pub(crate) fn start_with(folder: Arc<TempDir>, config: GateConfig) -> RunningGate {
        let gate = Gate::bind(config).unwrap();
        let address = gate.http_address().unwrap();
        let drain = CancellationToken::new();
        let stop = drain.clone();
        let thread = std::thread::spawn(move || gate.run_until(&stop).unwrap());
        let sequence = AtomicU64::new(1);
        RunningGate { address, folder, drain, thread: Some(thread), sequence }
    }

    pub(crate) async fn control(&self) -> ControlClient {
        ControlClient::connect(&self.folder.path().join("gate.sock")).await.unwrap()
    }

    pub(crate) fn number(&self) -> OrderNumber {
        OrderNumber { epoch: Epoch(1), sequence: self.sequence.fetch_add(1, Ordering::Relaxed) }
    }

    pub(crate) async fn order(&self, order: Order) -> GateStatus {
        match self.control().await.send(order).await.unwrap() {
            Answer::Status(status) => status,
            other => panic!("the order was not obeyed: {other:?}"),
        }
    }

    pub(crate) async fn status(&self) -> GateStatus {
        self.order(Order::Status).await
    }

    pub(crate) async fn metrics(&self) -> GateMetrics {
        match self.control().await.send(Order::Metrics).await.unwrap() {
            Answer::Metrics(metrics) => metrics,
            other => panic!("no metrics: {other:?}"),
        }
    }

    /// Every second that is over and still known.
    pub(crate) async fn decided(&self) -> Vec<DecidedSecond> {
        self.decided_of(&[]).await
    }

    /// The same of some routes alone.
    pub(crate) async fn decided_of(&self, routes: &[RouteName]) -> Vec<DecidedSecond> {
        let mut all = Vec::new();
        let mut from = 0;
        loop {
            let order = Order::Decided { from, routes: routes.to_vec() };
            match self.control().await.send(order).await.unwrap() {
                Answer::Decided(mut some) => {
                    all.append(&mut some.seconds);
                    if some.next >= some.present {
                        return all;
                    }
                    from = some.next;
                }
                other => panic!("no decisions: {other:?}"),
            }
        }
    }

    pub(crate) async fn weight(&self, target_permille: u16) {
        let number = self.number();
        let route = Route { target_permille, authority: Side::Source, authority_epoch: Epoch(1) };
        self.order(Order::Route { number, route, split: Split::default() }).await;
    }

    /// The common share, and what differs for single routes.
    pub(crate) async fn split(&self, target_permille: u16, split: Split) -> GateStatus {
        let number = self.number();
        let route = Route { target_permille, authority: Side::Source, authority_epoch: Epoch(1) };
        self.order(Order::Route { number, route, split }).await
    }

    pub(crate) async fn hold(&self, budget_ms: u64) {
        let number = self.number();
        self.order(Order::Hold { number, budget_ms }).await;
    }

    pub(crate) async fn release(&self) {
        let number = self.number();
        self.order(Order::Release { number }).await;
    }

    pub(crate) async fn parked(&self, count: u64) {
        eventually("requests to be parked", || async {
            (self.status().await.parked == count).then_some(())
        })
        .await;
    }

    /// Drains and waits for the end.
    pub(crate) fn stop(&mut self) {
        self.drain.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for RunningGate {
    fn drop(&mut self) {
        self.drain.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the gate panicked");
        }
    }
}

/// An HTTP server in the test's runtime; gone when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

pub(crate) type Reply = http::Response<http_body_util::combinators::BoxBody<Bytes, hyper::Error>>;

pub(crate) fn reply(text: impl Into<Bytes>) -> Reply {
    http::Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed())
}

impl Server {
    pub(crate) async fn start<F, R>(answer: F) -> Server
    where
        F: Fn(http::Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let answer = Arc::clone(&answer);
                let service = service_fn(move |request| {
                    let reply = answer(request);
                    async move { Ok::<_, std::convert::Infallible>(reply.await) }
                });
                tasks.spawn(async move {
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    drop(served);
                });
            }
        });
        Server { address, connections, task }
    }

    /// A server that answers every request with `name`.
    pub(crate) async fn named(name: &'static str) -> Server {
        Server::start(move |_| async move { reply(name) }).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A keep-alive connection to the gate.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, driver) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Client { sender }
    }

    pub(crate) async fn send(
        &mut self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> hyper::Result<http::Response<Incoming>> {
        self.sender.ready().await?;
        let request = request.header("host", "shop").body(Full::new(body.into())).unwrap();
        self.sender.send_request(request).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> hyper::Result<(u16, String)> {
        let answer = self.send(http::Request::get(path), "").await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// A connection over which bytes go as they are.
pub(crate) struct RawClient(pub(crate) TcpStream);

impl RawClient {
    pub(crate) async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> RawClient {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        RawClient(stream)
    }

    /// All that comes until the gate closes; what came before, if it resets.
    pub(crate) async fn rest(mut self) -> String {
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        let reading = async {
            while let Ok(read) = self.0.read(&mut piece).await {
                if read == 0 {
                    break;
                }
                all.extend_from_slice(&piece[..read]);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the gate must close the connection");
        String::from_utf8_lossy(&all).into_owned()
    }

    /// The connection ends with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The client says that nothing more will come, and waits.
    pub(crate) async fn half_close(mut self) -> RawClient {
        self.0.shutdown().await.unwrap();
        self
    }
}

/// An upstream that does with each connection what `serve` does.
pub(crate) async fn raw_upstream<F, R>(serve: F) -> SocketAddr
where
    F: Fn(BufReader<TcpStream>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut tasks = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tasks.spawn(serve(BufReader::new(stream)));
        }
    });
    address
}

/// Reads one request with an optional Content-Length body; its head, or nothing at the end.
pub(crate) async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let head = read_head(stream).await?;
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned)
    });
    let length: usize = length.map_or(0, |value| value.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(head)
}

/// Reads one request's head; nothing at the end.
pub(crate) async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    loop {
        let before = head.len();
        match stream.read_line(&mut head).await {
            Ok(read) if read > 0 => {}
            _ => return None,
        }
        if &head[before..] == "\r\n" {
            return Some(head);
        }
    }
}
