//! Answers that are framed oddly, old clients, and clients that have said all they have to say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use changeover_types::Side;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{RawClient, RunningGate, Server, raw_upstream, read_head, reply};

/// A gate before an upstream that says whatever it is to say, word for word, and closes.
struct Saying {
    gate: RunningGate,
    words: Arc<Mutex<String>>,
    asked: AtomicU64,
    failed: AtomicU64,
}

impl Saying {
    async fn start() -> Saying {
        let words = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&words);
        let address = raw_upstream(move |mut stream| {
            let said = Arc::clone(&said);
            async move {
                if read_head(&mut stream).await.is_some() {
                    let words = said.lock().unwrap().clone();
                    stream.write_all(words.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let gate = RunningGate::start_one_core(&[address]);
        Saying { gate, words, asked: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    /// What a client gets, in small letters. A 502, and nothing else, is the upstream's error.
    async fn asked(&self, words: &str, request: &str) -> String {
        words.clone_into(&mut self.words.lock().unwrap());
        let answer = RawClient::send(self.gate.address, request).await.rest().await;
        let error = u64::from(answer.contains(" 502 "));
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let failed = self.failed.fetch_add(error, Ordering::Relaxed) + error;
        let source = self.gate.metrics().await.http[&Side::Source].clone();
        assert_eq!((source.requests, source.errors), (asked, failed), "{words:?}: {answer}");
        answer.to_ascii_lowercase()
    }
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const HEAD: &str = "HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const OLD: &str = "GET /x HTTP/1.0\r\n\r\n";
const CHUNKED: &str = "5\r\nhello\r\n0\r\n\r\n";

#[tokio::test]
async fn an_answer_arrives_as_it_was_meant_or_not_at_all() {
    let upstream = Saying::start().await;
    // What follows the status line; what the client must get, and must not.
    for (words, has, has_not) in [
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            CHUNKED,
            "length",
        ),
        (
            "Content-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            CHUNKED,
            "length",
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            CHUNKED,
            "length",
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "transfer-encoding: gzip, chunked",
            "length",
        ),
        ("Transfer-Encoding: gzip\r\n\r\nhello", "transfer-encoding: gzip, chunked", "length"),
        ("Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhello", CHUNKED, "length"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "content-length: 5\r\n", "5, 5"),
        ("Content-Length: 5, 5\r\n\r\nhello", "content-length: 5\r\n", "5, 5"),
        ("\r\nhello", CHUNKED, "length"),
        ("Content-Length: 3\r\nContent-Length: 5\r\n\r\nhello", " 502 ", "hel\r\n"),
        ("Content-Length: 3, 5\r\n\r\nhello", " 502 ", "hel\r\n"),
        ("Content-Length: -5\r\n\r\nhello", " 502 ", "hello"),
        ("Content-Length: five\r\n\r\nhello", " 502 ", "hello"),
        ("Transfer-Encoding: chunked, gzip\r\n\r\nhello", " 502 ", "hello"),
        ("Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", " 502 ", "hello"),
        ("X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", " 502 ", "hello"),
        ("X : a\r\nContent-Length: 5\r\n\r\nhello", " 502 ", "hello"),
    ] {
        let answer = upstream.asked(&format!("HTTP/1.1 200 OK\r\n{words}"), GET).await;
        assert!(answer.contains(has) && !answer.contains(has_not), "{words:?}: {answer:?}");
    }
    for (all, has) in [
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", " 502 "),
        ("HTTP/1.0 200 OK\r\n\r\nhello", CHUNKED),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", " 502 "),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", " 204 "),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", " 304 "),
        ("nonsense", " 502 "),
        ("", " 502 "),
    ] {
        let answer = upstream.asked(all, GET).await;
        assert!(answer.contains(has), "{all:?}: {answer:?}");
        assert_eq!(answer.matches("http/1.1 ").count(), 1, "{all:?}: {answer:?}");
        assert!(!answer.starts_with("http/1.1 204 ") || !answer.contains("hello"), "{answer:?}");
    }
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n";
    assert!(upstream.asked(length, HEAD).await.contains("content-length: 12345\r\n"));
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(!upstream.asked(both, HEAD).await.contains("content-length"));
    // An old client learns the end from the connection's, and gets no coding it does not know.
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = upstream.asked(chunked, OLD).await;
    assert!(answer.starts_with("http/1.0 200 ") && answer.ends_with("\r\n\r\nhello"), "{answer:?}");
    let coded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    assert!(upstream.asked(coded, OLD).await.starts_with("http/1.0 502 "));
}

/// An upstream that remembers who was asked for.
async fn witness() -> (Server, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let memory = Arc::clone(&seen);
    let server = Server::start(move |request| {
        let host = request.headers().get("host").map(|it| it.to_str().unwrap().to_owned());
        memory.lock().unwrap().push(format!(
            "{:?} {}",
            request.version(),
            host.unwrap_or_default()
        ));
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            reply("ok")
        }
    })
    .await;
    (server, seen)
}

#[tokio::test]
async fn a_client_without_a_host_asks_for_the_upstreams() {
    let (server, seen) = witness().await;
    let gate = RunningGate::start_one_core(&[server.address]);
    for request in ["OPTIONS / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"] {
        let answer = RawClient::send(gate.address, request).await.rest().await;
        assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("ok"), "{answer:?}");
        assert!(!answer.contains("keep-alive"), "{answer:?}");
    }
    let named = "GET / HTTP/1.0\r\nHost: shop\r\n\r\n";
    RawClient::send(gate.address, named).await.rest().await;
    let own = format!("HTTP/1.1 {}", server.address);
    assert_eq!(*seen.lock().unwrap(), [own.clone(), own, "HTTP/1.1 shop".to_owned()]);
    // Who asks for it keeps the connection.
    let kept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    let answer = RawClient::send(gate.address, kept).await.rest().await;
    assert_eq!(answer.matches("HTTP/1.0 200 ").count(), 2, "{answer:?}");
    assert_eq!(answer.matches("keep-alive").count(), 1, "{answer:?}");
}

#[tokio::test]
async fn a_client_that_closes_its_half_gets_its_answers() {
    let (server, _) = witness().await;
    let gate = RunningGate::start_one_core(&[server.address]);
    let get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (text, answers) in [(get.to_owned(), 1), (post.into(), 1), (format!("{get}{post}{get}"), 3)]
    {
        let client = RawClient::send(gate.address, &text).await.half_close().await;
        let answer = client.rest().await;
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), answers, "{answer:?}");
    }
    let source = gate.metrics().await.http[&Side::Source].clone();
    assert_eq!((source.requests, source.errors, source.clients_failed), (5, 0, 0));
}

/// `Expect: 100-continue` is the upstream's to answer: what it refuses is not sent.
#[tokio::test]
async fn a_refused_upload_is_never_asked_for() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&sent);
    let address = raw_upstream(move |mut stream| {
        let taken = Arc::clone(&taken);
        async move {
            while let Some(head) = read_head(&mut stream).await {
                assert!(head.to_ascii_lowercase().contains("expect: 100-continue"), "{head}");
                if head.contains(" /refused ") {
                    let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
                    stream.write_all(answer).await.unwrap();
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await.unwrap_or_default();
                    taken.lock().unwrap().extend(rest);
                    return;
                }
                if head.contains(" /wanted ") {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
                }
                let mut body = [0; 3];
                stream.read_exact(&mut body).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").await.unwrap();
                stream.write_all(&body).await.unwrap();
            }
        }
    })
    .await;
    let gate = RunningGate::start_one_core(&[address]);
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
    };
    let answer = RawClient::send(gate.address, head("/refused")).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.ends_with("no"), "{answer:?}");
    assert!(answer.contains("connection: close"), "{answer:?}");
    assert_eq!(*sent.lock().unwrap(), b"", "nothing of a body reached the upstream");
    // It says what it wants, or nothing at all: then the client is asked after a second.
    for (path, least) in [("/wanted", Duration::ZERO), ("/silent", Duration::from_millis(900))] {
        let began = Instant::now();
        let mut client = RawClient::send(gate.address, head(path)).await;
        let mut word = [0; 25];
        client.0.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        assert!(began.elapsed() >= least, "{path}");
        client.0.write_all(b"abc").await.unwrap();
        let answer = client.half_close().await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("abc"), "{answer:?}");
    }
    // Behind all that the gate carries on.
    let source = gate.metrics().await.http[&Side::Source].clone();
    assert_eq!((source.requests, source.errors, source.clients_failed), (3, 0, 0));
}
