//! Upstreams that die, hang up and race.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use changeover_types::Side;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use crate::harness::{Client, RunningGate, Server, raw_upstream, read_request, reply};

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
                    if read_request(&mut stream).await.is_none() {
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
        assert!(read_request(&mut stream).await.is_some());
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

/// Closes with a reset, as a process does that dies.
fn reset(stream: &BufReader<tokio::net::TcpStream>) {
    let linger = Some(std::time::Duration::ZERO);
    socket2::SockRef::from(stream.get_ref()).set_linger(linger).unwrap();
}

/// Whoever makes the server die does so once more at most: eight kept connections are no reason.
#[tokio::test]
async fn a_request_that_ends_its_server_is_not_tried_on_every_connection() {
    let (read, warm) = (Arc::new(AtomicU64::new(0)), Arc::new(Barrier::new(8)));
    let (count, all_there) = (Arc::clone(&read), Arc::clone(&warm));
    let address = raw_upstream(move |mut stream| {
        let (count, all_there) = (Arc::clone(&count), Arc::clone(&all_there));
        async move {
            while let Some(head) = read_request(&mut stream).await {
                if head.contains(" /warm ") {
                    all_there.wait().await;
                } else {
                    count.fetch_add(1, Ordering::Relaxed);
                    if head.contains(" /half ") {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nConte").await.unwrap();
                    }
                    return reset(&stream);
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await;
    let gate = RunningGate::start_one_core(&[address]);
    let mut client = Client::connect(gate.address).await;
    for (case, request, most, warmed) in [
        ("cold", http::Request::delete("/act"), 1, false),
        ("DELETE", http::Request::delete("/act"), 2, true),
        ("GET", http::Request::get("/act"), 2, true),
        ("POST", http::Request::post("/act"), 1, true),
        ("half an answer", http::Request::get("/half"), 1, true),
    ] {
        if warmed {
            let mut clients = Vec::new();
            for _ in 0..8 {
                let address = gate.address;
                clients.push(tokio::spawn(async move {
                    Client::connect(address).await.get("/warm").await.unwrap()
                }));
            }
            for client in clients {
                assert_eq!(client.await.unwrap().0, 200);
            }
        }
        read.store(0, Ordering::Relaxed);
        let body = if case == "POST" { "order" } else { "" };
        let answer = client.send(request, body).await.unwrap();
        assert_eq!(answer.status(), 502, "{case}");
        answer.into_body().collect().await.unwrap();
        let reached = read.load(Ordering::Relaxed);
        assert!((1..=most).contains(&reached), "{case} reached its server {reached} times");
    }
    assert_eq!(gate.metrics().await.http[&Side::Source].errors, 5);
}

/// No byte was sent to it, so another instance takes the request, whatever it is.
#[tokio::test]
async fn what_one_instance_refuses_goes_to_another_and_is_counted_against_the_one() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = unused.local_addr().unwrap();
    drop(unused);
    let alive = Server::start(|request| async {
        reply(request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    let gate = RunningGate::start_one_core(&[dead, alive.address]);
    let mut client = Client::connect(gate.address).await;
    for n in 0..6 {
        let body = format!("order {n}");
        let answer = client.send(http::Request::post("/"), body.clone()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
    }
    let metrics = &gate.metrics().await.http[&Side::Source];
    assert_eq!((metrics.requests, metrics.errors), (6, 0));
    let counted: Vec<&String> = metrics.refused.keys().collect();
    assert_eq!(counted, [&dead.to_string()]);
}
