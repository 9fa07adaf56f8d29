//! What the gate decides about requests for the canary.

use std::time::Duration;

use changeover_types::{Decided, FirstEvents, LatencyBucket, Side};

use crate::harness::{Client, RunningGate, Server, reply};

/// A server that fails, or is later than the time of decision, as the path says.
async fn server() -> Server {
    Server::start(|request| async move {
        let mut answer = reply("done");
        match request.uri().path() {
            "/fail" => *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR,
            "/late" => tokio::time::sleep(Duration::from_millis(700)).await,
            _ => {}
        }
        answer
    })
    .await
}

/// All that was decided about one side, once it is so many requests.
async fn decided(gate: &RunningGate, side: Side, requests: u64) -> Decided {
    crate::harness::eventually("the requests to be decided", || async {
        let mut sum = Decided::default();
        for second in gate.decided().await {
            let part = second.side(side);
            sum.requests += part.requests;
            sum.bad += part.bad;
            sum.latency.extend(&part.latency);
            if let Some(users) = &part.users {
                let all = sum.users.get_or_insert_with(FirstEvents::default);
                all.bad += users.bad;
                all.bad_before += users.bad_before;
            }
        }
        (sum.requests == requests).then_some(sum)
    })
    .await
}

#[tokio::test]
async fn a_request_is_bad_without_a_good_answer_in_time() {
    let (source, target) = (server().await, server().await);
    let gate = RunningGate::start(&[source.address], &[target.address]);
    gate.weight(1000).await;
    let mut client = Client::connect(gate.address).await;
    for path in ["/", "/", "/fail", "/late"] {
        client.get(path).await.unwrap();
    }
    let target = decided(&gate, Side::Target, 4).await;
    assert_eq!(target.bad, 2, "{target:?}");
    let never: u64 =
        target.latency.iter().filter(|(b, _)| *b == LatencyBucket::NEVER).map(|(_, n)| n).sum();
    assert_eq!(never, 1, "only the late one was not answered in time: {target:?}");
    assert_eq!(decided(&gate, Side::Source, 0).await.bad, 0);
}

#[tokio::test]
async fn a_side_that_is_not_there_is_bad() {
    let source = server().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gate = RunningGate::start(&[source.address], &[gone]);
    gate.weight(1000).await;
    let mut client = Client::connect(gate.address).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.unwrap().0, 502);
    }
    assert_eq!(decided(&gate, Side::Target, 5).await.bad, 5);
}

#[tokio::test]
async fn the_wait_in_a_hold_is_nobodys_fault() {
    let (source, target) = (server().await, server().await);
    let gate = RunningGate::start(&[source.address], &[target.address]);
    gate.weight(0).await;
    gate.hold(20_000).await;
    let address = gate.address;
    let held = tokio::spawn(async move { Client::connect(address).await.get("/").await });
    gate.parked(1).await;
    // Longer than the time of decision.
    tokio::time::sleep(Duration::from_millis(600)).await;
    gate.release().await;
    assert_eq!(held.await.unwrap().unwrap().0, 200);
    let source = decided(&gate, Side::Source, 1).await;
    assert_eq!(source.bad, 0, "{source:?}");
    assert!(source.latency[0].0 < LatencyBucket::NEVER, "{source:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_in_time_is_bad() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            assert!(read > 0);
            let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
            stream.write_all(half).await.unwrap();
        }
    });
    let gate = RunningGate::start(&[address], &[address]);
    gate.weight(0).await;
    let got = Client::connect(gate.address).await.get("/").await;
    assert!(got.is_err(), "{got:?}");
    assert_eq!(decided(&gate, Side::Source, 1).await.bad, 1);
}

/// Whom a run has counted, the gate's next life knows, and counts again only in the next canary.
#[tokio::test]
async fn a_user_counts_once_also_when_the_gate_is_started_anew() {
    let (source, target) = (server().await, server().await);
    let fail = async |gate: &RunningGate, times: u64| {
        for _ in 0..times {
            let mut client = Client::connect(gate.address).await;
            let request = http::Request::get("/fail").header("cookie", "side=me");
            assert_eq!(client.send(request, "").await.unwrap().status(), 500);
        }
    };
    let counted = async |gate: &RunningGate, requests: u64| {
        let users = decided(gate, Side::Target, requests).await.users.unwrap();
        (users.bad, users.bad_before)
    };
    let gate = RunningGate::start(&[source.address], &[target.address]);
    gate.weight(0).await;
    gate.weight(999).await;
    fail(&gate, 2).await;
    assert_eq!(counted(&gate, 2).await, (1, 1));
    let folder = gate.folder.clone();
    drop(gate);

    let gate = RunningGate::start_in(folder, &[source.address], &[target.address]);
    fail(&gate, 3).await;
    assert_eq!(counted(&gate, 3).await, (0, 3), "counted by a run already");
    // Its orders are numbered on from those of the first life.
    for _ in 0..4 {
        gate.number();
    }
    gate.weight(0).await;
    gate.weight(999).await;
    fail(&gate, 2).await;
    assert_eq!(counted(&gate, 5).await, (1, 4));
}

/// A user counts once in a canary, whichever core the requests come to, and again in the next one.
#[tokio::test]
async fn a_user_counts_once() {
    let (source, target) = (server().await, server().await);
    let gate = RunningGate::start(&[source.address], &[target.address]);
    gate.weight(0).await;
    gate.weight(999).await;
    for round in 1..=2 {
        for _ in 0..5 {
            let mut client = Client::connect(gate.address).await;
            let request = http::Request::get("/fail").header("cookie", "side=me");
            let answer = client.send(request, "").await.unwrap();
            assert_eq!(answer.status(), 500);
        }
        let target = decided(&gate, Side::Target, 5 * round).await;
        let users = target.users.unwrap();
        assert_eq!((users.bad, users.bad_before), (round, 4 * round));
        gate.weight(0).await;
        gate.weight(999).await;
    }
}
