//! How many may come, and who gives way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use changeover_gate::state::HttpLimits;
use changeover_types::Side;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::harness::{Client, RawClient, RunningGate, Server, eventually, reply};

/// A server that answers once it is let, but `/quick` at once, and how many it was asked at a time.
async fn waiting() -> (Server, Arc<Semaphore>, Arc<AtomicU64>) {
    let may = Arc::new(Semaphore::new(0));
    let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (wait, highest) = (Arc::clone(&may), Arc::clone(&most));
    let server = Server::start(move |request| {
        let (wait, now, most) = (Arc::clone(&wait), Arc::clone(&now), Arc::clone(&highest));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            if request.uri().path() != "/quick" {
                wait.acquire().await.unwrap().forget();
            }
            now.fetch_sub(1, Ordering::Relaxed);
            reply("ok")
        }
    })
    .await;
    (server, may, most)
}

async fn under_way(gate: &RunningGate, count: usize) {
    eventually("requests to be under way", || async {
        (gate.status().await.open.len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_longest_silent_client_gives_way_and_one_at_work_never_does() {
    let (server, may, _) = waiting().await;
    let limits = HttpLimits { connections: 4, ..HttpLimits::default() };
    let gate = RunningGate::start_limited(limits, &[server.address], &[server.address]);
    let address = gate.address;
    let busy = tokio::spawn(async move { Client::connect(address).await.get("/slow").await });
    under_way(&gate, 1).await;
    // Strangers without a word and with half a head, far more than there are places.
    let mut strangers = Vec::new();
    for n in 0..40 {
        strangers.push(RawClient::send(address, ["", "GET / HT"][n % 2]).await);
        let (status, _) = Client::connect(address).await.get("/quick").await.unwrap();
        assert_eq!(status, 200, "behind {n} strangers");
    }
    for stranger in strangers.drain(..36) {
        assert_eq!(stranger.rest().await, "");
    }
    assert!(gate.status().await.clients <= 5);
    may.add_permits(1);
    assert_eq!(busy.await.unwrap().unwrap().0, 200);
    // All at work: the next one is told.
    let mut busy = JoinSet::new();
    for _ in 0..4 {
        busy.spawn(async move { Client::connect(address).await.get("/slow").await });
    }
    under_way(&gate, 4).await;
    let turned_away = RawClient::send(address, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = turned_away.rest().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
    may.add_permits(4);
    while let Some(answer) = busy.join_next().await {
        assert_eq!(answer.unwrap().unwrap().0, 200);
    }
    assert_eq!(Client::connect(address).await.get("/quick").await.unwrap().0, 200);
}

#[tokio::test]
async fn requests_wait_for_one_of_the_connections_to_an_upstream() {
    let (server, may, most) = waiting().await;
    let limits = HttpLimits {
        upstream_connections: 3,
        queue: Duration::from_millis(500),
        ..HttpLimits::default()
    };
    let gate = RunningGate::start_limited(limits, &[server.address], &[server.address]);
    let address = gate.address;
    let ask = |count: usize| {
        let mut all = JoinSet::new();
        for _ in 0..count {
            all.spawn(async move { Client::connect(address).await.get("/slow").await.unwrap().0 });
        }
        all
    };
    // Idle connections of either core do not keep the other from one.
    for _ in 0..12 {
        assert_eq!(Client::connect(address).await.get("/quick").await.unwrap().0, 200);
    }
    let mut burst = ask(30);
    under_way(&gate, 30).await;
    may.add_permits(30);
    while let Some(status) = burst.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert!(most.load(Ordering::Relaxed) <= 3, "at the same time: {most:?}");
    // Nobody is let: three are asked for, the others are turned away, and no side is to blame.
    let mut stuck = ask(5);
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        outcomes.push(stuck.join_next().await.unwrap().unwrap());
    }
    assert_eq!(outcomes, [503, 503]);
    may.add_permits(3);
    while let Some(status) = stuck.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let source = gate.metrics().await.http[&Side::Source].clone();
    assert_eq!((source.requests, source.errors, source.limited), (45, 0, 2));
}
