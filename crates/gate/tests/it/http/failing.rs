//! Upstreams that die, hang up and race.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use changeover_types::Side;
use http_body_util::BodyExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Client, RunningGate, Server, reply};

/// Reads one request with an optional Content-Length body; false at the end.
async fn read_request(stream: &mut BufReader<TcpStream>) -> bool {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        match stream.read_line(&mut line).await {
            Ok(read) if read > 0 => {}
            _ => return false,
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            return stream.read_exact(&mut body).await.is_ok();
        }
    }
}

/// An upstream that closes each connection after `responses`, without announcing it.
async fn closing_upstream(responses: usize) -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let opened = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&opened);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                for _ in 0..responses {
                    if !read_request(&mut stream).await {
                        return;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, opened)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_closes_after_each_few_answers_fails_nobody() {
    let (address, opened) = closing_upstream(3).await;
    let gate = RunningGate::start(&[address], &[address]);
    let mut clients = Vec::new();
    for number in 0..4 {
        let address = gate.address;
        clients.push(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            for round in 0..500 {
                if (number + round) % 4 == 0 {
                    let answer = client.send(http::Request::post("/"), "hello").await.unwrap();
                    assert_eq!(answer.status().as_u16(), 200, "POST in round {round}");
                } else {
                    let (status, body) = client.get("/").await.unwrap();
                    assert_eq!((status, body.as_str()), (200, "ok"), "GET in round {round}");
                }
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    let opened = opened.load(Ordering::Relaxed);
    assert!(opened >= 666, "{opened}");
    assert!(opened < 1500, "connections must be reused: {opened} for 2000 requests");
    assert_eq!(gate.metrics().await.http[&Side::Source].errors, 0);
}

#[tokio::test]
async fn an_upstream_that_dies_fails_only_what_was_in_flight() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        // Both the listener and the connection go, with the request half read.
    });
    let spare = Server::named("spare").await;
    let gate = RunningGate::start(&[address, spare.address], &[spare.address]);
    let mut client = Client::connect(gate.address).await;
    let mut outcomes = Vec::new();
    for _ in 0..6 {
        let answer = client.send(http::Request::post("/"), "order").await.unwrap();
        outcomes.push(answer.status().as_u16());
    }
    upstream.await.unwrap();
    assert_eq!(outcomes, [502, 200, 200, 200, 200, 200]);
    assert_eq!(gate.metrics().await.http[&Side::Source].errors, 1);
}

#[tokio::test]
async fn nobody_there_is_a_502_and_an_error_of_that_side() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = unused.local_addr().unwrap();
    drop(unused);
    let server = Server::named("ok").await;
    let gate = RunningGate::start(&[dead], &[server.address]);
    let mut client = Client::connect(gate.address).await;
    let (status, body) = client.get("/").await.unwrap();
    assert_eq!(status, 502);
    assert!(body.contains("the source environment did not answer"), "{body}");
    gate.weight(1000).await;
    assert_eq!(client.get("/").await.unwrap().0, 200);
    let metrics = gate.metrics().await;
    assert_eq!(metrics.http[&Side::Source].errors, 1);
    assert_eq!(metrics.http[&Side::Target].errors, 0);
}

/// The client sees neither: the target that refuses is charged, and the source serves, body and all.
#[tokio::test]
async fn while_the_source_serves_a_part_it_takes_what_the_target_refuses() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = unused.local_addr().unwrap();
    drop(unused);
    let source = Server::start(|request| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        reply(body)
    })
    .await;
    let gate = RunningGate::start(&[source.address], &[dead]);
    gate.weight(999).await;
    for n in 0..20 {
        let body = format!("order {n}");
        // Each a client of its own, or the cookie would keep it on its side.
        let mut client = Client::connect(gate.address).await;
        let answer = client.send(http::Request::post("/"), body.clone()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
    }
    let metrics = gate.metrics().await;
    assert!(metrics.http[&Side::Target].errors >= 15, "{metrics:?}");
    assert_eq!(metrics.http[&Side::Source].errors, 0);
    // Where all is the target's, nobody else may answer for it.
    gate.weight(1000).await;
    let mut client = Client::connect(gate.address).await;
    assert_eq!(client.get("/").await.unwrap().0, 502);
}

#[tokio::test]
async fn an_answer_broken_off_is_broken_off_for_the_client_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        assert!(read_request(&mut stream).await);
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
        stream.write_all(part).await.unwrap();
    });
    let gate = RunningGate::start(&[address], &[address]);
    let outcome = Client::connect(gate.address).await.get("/").await;
    assert!(outcome.is_err(), "{outcome:?}");
    upstream.await.unwrap();
    let metrics = gate.metrics().await;
    assert_eq!(metrics.http[&Side::Source].errors, 1);
    assert_eq!(metrics.http[&Side::Source].requests, 1);
}
