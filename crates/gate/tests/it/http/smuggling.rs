//! Requests that two servers may read differently, over raw sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{RunningGate, Server, reply};

/// Sends the bytes and reads until the gate closes.
async fn exchange(gate: &RunningGate, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut answer));
    drop(read.await.expect("the gate must close the connection"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// An upstream that remembers what it was asked.
async fn witness() -> (Server, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let memory = Arc::clone(&seen);
    let server = Server::start(move |request: http::Request<hyper::body::Incoming>| {
        let memory = Arc::clone(&memory);
        async move {
            let head = format!("{} {}", request.method(), request.uri());
            let headers = format!("{:?}", request.headers());
            let body = request.into_body().collect().await.map(|b| b.to_bytes());
            memory.lock().unwrap().push(format!("{head} {body:?} {headers}"));
            reply("ok")
        }
    })
    .await;
    (server, seen)
}

#[tokio::test]
async fn what_can_be_read_two_ways_is_refused() {
    let (server, seen) = witness().await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let cases = [
        ("CL then TE", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("TE then CL", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ("TE in capitals", "TRANSFER-ENCODING: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
        ("differing CL", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        ("CL list", "Content-Length: 5, 5\r\n\r\nhello"),
        ("CL with sign", "Content-Length: +5\r\n\r\nhello"),
        ("CL negative", "Content-Length: -1\r\n\r\n"),
        ("TE gzip", "Transfer-Encoding: gzip\r\n\r\n"),
        ("TE gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("TE twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("TE identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
        ("space before colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ("obs-fold", "X: a\r\n b\r\n\r\n"),
        ("obs-fold TE", "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        ("bare CR", "X: a\rTransfer-Encoding: chunked\r\n\r\n"),
        ("NUL", "X: a\0b\r\n\r\n"),
        ("two hosts", "Host: b\r\n\r\n"),
    ];
    for (case, headers) in cases {
        let bytes = format!("POST /{} HTTP/1.1\r\nHost: a\r\n{headers}{smuggled}", "x");
        let answer = exchange(&gate, bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{case}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{case}: {answer:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = exchange(&gate, old.as_bytes()).await;
    assert!(answer.contains(" 400 "), "HTTP/1.0 with TE: {answer:?}");
    let hostless = exchange(&gate, b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(hostless.starts_with("HTTP/1.1 400 "), "{hostless:?}");
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new(), "something reached the upstream");
}

#[tokio::test]
async fn ambiguity_behind_good_requests_is_still_seen() {
    let (server, seen) = witness().await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let bytes = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;ext=1\r\nhello\r\n0\r\nX-T: 1\r\n\r\n\
        POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        POST /three HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
        0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = exchange(&gate, bytes.as_bytes()).await;
    let seen = seen.lock().unwrap().join("\n");
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{answer}");
    assert!(seen.contains("/one Ok(b\"hello\")") && seen.contains("/two Ok(b\"abc\")"), "{seen}");
    assert!(!seen.contains("three") && !seen.contains("smuggled"), "{seen}");
}

#[tokio::test]
async fn upgrades_are_refused_in_words() {
    let (server, _) = witness().await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let upgrade =
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = exchange(&gate, upgrade.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("WebSocket"), "{answer}");
    let connect = exchange(&gate, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await;
    assert!(connect.starts_with("HTTP/1.1 501 "), "{connect}");
}

#[tokio::test]
async fn an_http_1_0_client_is_served_and_let_go() {
    let (server, seen) = witness().await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let answer = exchange(&gate, b"GET /old HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("ok"), "{answer}");
    assert!(seen.lock().unwrap()[0].contains("GET /old"));
}
