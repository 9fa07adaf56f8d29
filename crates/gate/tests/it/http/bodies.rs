//! Bodies: large, slow, absent, trailed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Client, Reply, RunningGate, Server, reply};

const BIG: usize = 64 << 20;

/// Both memory tests look at the whole process, so they take turns.
static MEMORY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A body of `total` bytes that is made as it is asked for.
fn made(total: usize) -> http_body_util::combinators::BoxBody<Bytes, hyper::Error> {
    struct Made(usize);
    impl Body for Made {
        type Data = Bytes;
        type Error = hyper::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            static PIECE: [u8; 32768] = [7; 32768];
            if self.0 == 0 {
                return std::task::Poll::Ready(None);
            }
            let size = self.0.min(PIECE.len());
            self.0 -= size;
            let piece = Bytes::from_static(&PIECE[..size]);
            std::task::Poll::Ready(Some(Ok(Frame::data(piece))))
        }
    }
    Made(total).boxed()
}

/// Answers with as many bytes as it got, after having read them all.
async fn echo(request: http::Request<Incoming>) -> Reply {
    let mut body = request.into_body();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        total += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    http::Response::new(made(total))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_bodies_pass_both_ways_in_little_memory() {
    let _alone = MEMORY.lock().await;
    let server = Server::start(echo).await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let before = resident_kib();
    let stream = TcpStream::connect(gate.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, driver) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(driver);
    let request = http::Request::post("/").header("host", "a").body(made(BIG)).unwrap();
    let mut answer = sender.send_request(request).await.unwrap().into_body();
    let (mut total, mut most) = (0, 0);
    while let Some(frame) = answer.frame().await {
        total += frame.unwrap().data_ref().map_or(0, Bytes::len);
        most = most.max(resident_kib());
    }
    assert_eq!(total, BIG);
    let grown = most.saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB more while 64 MiB passed each way");
}

#[tokio::test]
async fn a_slow_reader_holds_the_upstream_back_and_loses_nothing() {
    let _alone = MEMORY.lock().await;
    let server = Server::start(|_| async { http::Response::new(made(BIG)) }).await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let before = resident_kib();
    let mut head = [0; 2000];
    stream.read_exact(&mut head).await.unwrap();
    // Nobody reads: socket buffers fill, and then the gate must stop.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB more for a reader that does not read");
    let (mut total, mut end) = (head.len(), Vec::new());
    let mut piece = vec![0; 65536];
    loop {
        let read = stream.read(&mut piece).await.unwrap();
        if read == 0 {
            break;
        }
        total += read;
        end.extend_from_slice(&piece[..read]);
        end.drain(..end.len().saturating_sub(5));
    }
    assert!(total > BIG, "{total}");
    assert_eq!(end, b"0\r\n\r\n", "the end is missing");
}

#[tokio::test]
async fn answers_without_a_body_stay_so() {
    let server = Server::start(|request: http::Request<Incoming>| async move {
        let mut answer = reply("");
        match request.uri().path() {
            "/204" => *answer.status_mut() = http::StatusCode::NO_CONTENT,
            "/304" => {
                *answer.status_mut() = http::StatusCode::NOT_MODIFIED;
                answer.headers_mut().insert("etag", "\"x\"".parse().unwrap());
            }
            _ => {
                answer.headers_mut().insert("content-length", "12345".parse().unwrap());
            }
        }
        answer
    })
    .await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let mut client = Client::connect(gate.address).await;
    for _ in 0..3 {
        let head = client.send(http::Request::head("/"), "").await.unwrap();
        assert_eq!(head.headers()["content-length"], "12345");
        assert_eq!(client.get("/204").await.unwrap(), (204, String::new()));
        assert_eq!(client.get("/304").await.unwrap(), (304, String::new()));
    }
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on() {
    let server = Server::start(echo).await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\
        Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 "), "{rest}");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let server = Server::start(|request: http::Request<Incoming>| async move {
        let asked = request.headers().get("te").cloned();
        let body = request.into_body().collect().await.unwrap();
        let got = body.trailers().and_then(|t| t.get("x-sum")).cloned();
        let got = got.unwrap_or_else(|| "none".parse().unwrap());
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-echo", got);
        let frames = [Frame::data(Bytes::from("body")), Frame::trailers(trailers)];
        let mut answer = http::Response::new(Frames(frames.into_iter()).boxed());
        answer.headers_mut().insert("trailer", "x-echo".parse().unwrap());
        assert_eq!(asked.unwrap(), "trailers");
        answer
    })
    .await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let bytes = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\
        Trailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n";
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("0\r\nx-echo: 42\r\n\r\n"), "{answer}");
}

/// A body made of ready frames.
struct Frames<I>(I);

impl<I: Iterator<Item = Frame<Bytes>> + Unpin> Body for Frames<I> {
    type Data = Bytes;
    type Error = hyper::Error;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        std::task::Poll::Ready(self.0.next().map(Ok))
    }
}
