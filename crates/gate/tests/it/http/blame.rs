//! Whose fault it is: what clients do wrong says nothing of an environment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use changeover_gate::state::HttpLimits;
use changeover_types::{Decided, Side};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{
    Client, RawClient, RunningGate, Server, eventually, raw_upstream, read_head, reply,
};

/// Times short enough for a test.
fn short() -> HttpLimits {
    let ms = Duration::from_millis;
    HttpLimits { head: ms(400), body: ms(400), ..HttpLimits::default() }
}

/// Answers when it has read all.
async fn reader() -> Server {
    Server::start(|request| async {
        let whole = request.into_body().collect().await;
        reply(whole.map(|body| body.to_bytes()).unwrap_or_default())
    })
    .await
}

/// What was decided about the source's requests, once it is so many.
async fn decided(gate: &RunningGate, requests: u64) -> Decided {
    eventually("the requests to be decided", || async {
        let mut sum = Decided::default();
        for second in gate.decided().await {
            sum.requests += second.source.requests;
            sum.bad += second.source.bad;
        }
        (sum.requests == requests).then_some(sum)
    })
    .await
}

#[tokio::test]
async fn what_clients_fail_is_never_an_environments_error() {
    let server = reader().await;
    let gate = RunningGate::start_limited(short(), &[server.address], &[server.address]);
    let sized = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let chunked = "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let send = async |text: String| RawClient::send(gate.address, text).await;
    let mut stalled = Vec::new();
    for text in
        [sized.to_owned(), format!("{sized}abc"), format!("{chunked}5\r\nabc"), chunked.into()]
    {
        stalled.push(send(text).await);
    }
    // In pieces, so that the request is on its way when its end turns out to be none.
    let mut malformed = Vec::new();
    for end in
        ["0\r\n\n", "x\r\n", "3\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n", "ffffffffffffffffff\r\n"]
    {
        let mut client = send(format!("{chunked}3\r\nabc\r\n")).await;
        eventually("the upload to begin", || async {
            (gate.status().await.open.len() > stalled.len()).then_some(())
        })
        .await;
        client.0.write_all(end.as_bytes()).await.unwrap();
        malformed.push((end, client.rest().await));
    }
    for (end, answer) in &malformed {
        assert!(answer.starts_with("HTTP/1.1 400 "), "{end:?}: {answer:?}");
    }
    let cut = send(format!("{sized}abc")).await.half_close().await.rest().await;
    assert!(cut.starts_with("HTTP/1.1 400 "), "{cut:?}");
    let resetting = send(format!("{sized}abc")).await;
    let mut good = Client::connect(gate.address).await;
    for _ in 0..20 {
        assert_eq!(good.get("/").await.unwrap().0, 200);
        let answer = good.send(http::Request::post("/"), "hello").await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
    resetting.reset();
    for client in stalled {
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
        assert!(answer.contains("connection: close"), "{answer:?}");
    }
    eventually("all to be counted", || async {
        let source = gate.metrics().await.http[&Side::Source].clone();
        (source.clients_failed == 11).then_some(())
    })
    .await;
    let source = gate.metrics().await.http[&Side::Source].clone();
    assert_eq!((source.requests, source.errors), (40, 0));
    assert_eq!(decided(&gate, 40).await.bad, 0);
    assert!(gate.status().await.open.is_empty());
}

/// Neither by heads, of which no side ever hears.
#[tokio::test]
async fn half_heads_and_silence_end_in_time() {
    let server = reader().await;
    let limits = HttpLimits { idle: Duration::from_millis(300), ..short() };
    let gate = RunningGate::start_limited(limits, &[server.address], &[server.address]);
    let send = async |text: &str| RawClient::send(gate.address, text).await;
    assert_eq!(send("").await.rest().await, "", "a silent one is closed without a word");
    for half in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: "] {
        let answer = send(half).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{half:?}: {answer:?}");
    }
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = send(get).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer:?}");
    let answer = send(&format!("{get}GET /")).await.rest().await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer:?}");
    assert!(answer.contains("HTTP/1.1 408 "), "{answer:?}");
    let source = gate.metrics().await.http[&Side::Source].clone();
    assert_eq!((source.requests, source.errors, source.clients_failed), (2, 0, 0));
}

#[tokio::test]
async fn who_does_not_wait_for_an_answer_or_read_it_blames_nobody() {
    let server = Server::start(|request| async move {
        if request.uri().path() == "/big" {
            return reply(vec![7_u8; 32 << 20]);
        }
        std::future::pending().await
    })
    .await;
    let gate = RunningGate::start_limited(short(), &[server.address], &[server.address]);
    let waiting = RawClient::send(gate.address, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request to be under way", || async {
        (gate.status().await.open.len() == 1).then_some(())
    })
    .await;
    waiting.reset();
    let failed = async |count| {
        eventually("it to be counted", || async {
            let status = gate.status().await;
            let source = gate.metrics().await.http[&Side::Source].clone();
            let there = source.clients_failed == count && status.open.is_empty();
            (there && status.clients == 0).then_some(source)
        })
        .await
    };
    assert_eq!(failed(1).await.requests, 0);
    let mut deaf = RawClient::send(gate.address, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut head = [0; 15];
    deaf.0.read_exact(&mut head).await.unwrap();
    let source = failed(1).await;
    assert_eq!((source.requests, source.errors), (1, 0));
    drop(deaf);
}

/// An upstream that refuses an upload is heard, whether or not the client sends on.
#[tokio::test]
async fn an_early_answer_reaches_whoever_is_still_sending() {
    let address = raw_upstream(|mut stream| async move {
        let Some(head) = read_head(&mut stream).await else { return };
        let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
        stream.write_all(answer).await.unwrap();
        if head.contains(" /kept ") {
            std::future::pending().await
        }
        // Closed with unread data: a reset.
    })
    .await;
    let gate = RunningGate::start_limited(short(), &[address], &[address]);
    for path in ["/kept", "/closed"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
        let answer = RawClient::send(gate.address, head).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("big"), "{answer:?}");
    }
    // Far more than all buffers between the three.
    let mut sent = Client::connect(gate.address).await;
    let answer = sent.send(http::Request::post("/closed"), vec![7; 64 << 20]).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(gate.metrics().await.http[&Side::Source].errors, 0);
}

#[tokio::test]
async fn an_upstream_that_really_stalls_is_late_and_counted() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    // It reads nothing behind a head, and says nothing.
    let address = raw_upstream(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            if read_head(&mut stream).await.is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
            std::future::pending().await
        }
    })
    .await;
    let limits = HttpLimits { answer: Duration::from_millis(300), ..HttpLimits::default() };
    let gate = RunningGate::start_limited(limits, &[address], &[address]);
    let mut client = Client::connect(gate.address).await;
    assert_eq!(client.get("/").await.unwrap().0, 504);
    let answer = client.send(http::Request::post("/"), "all of it").await.unwrap();
    assert_eq!(answer.status(), 504);
    let mut client = Client::connect(gate.address).await;
    let answer = client.send(http::Request::post("/"), vec![7; 32 << 20]).await.unwrap();
    assert_eq!(answer.status(), 504, "it takes no more of a large body");
    let source = gate.metrics().await.http[&Side::Source].clone();
    assert_eq!((source.requests, source.errors, source.clients_failed), (3, 3, 0));
    assert_eq!(decided(&gate, 3).await.bad, 3);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

/// A slow line is not a slow environment: not for the verdict, and not for the latency.
#[tokio::test]
async fn the_time_of_an_upload_is_its_clients() {
    let server = reader().await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\n";
    let mut client = RawClient::send(gate.address, head).await;
    for _ in 0..8 {
        // The time of decision is 400 ms.
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.0.write_all(b"x").await.unwrap();
    }
    let answer = client.rest().await;
    assert!(answer.ends_with("xxxxxxxx"), "{answer:?}");
    assert_eq!(decided(&gate, 1).await.bad, 0);
    let latency = gate.metrics().await.http[&Side::Source].latency_us.clone();
    assert!(latency.iter().all(|(us, _)| *us < 400_000), "{latency:?}");
}
