//! Holds, releases and drains under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use changeover_gate::state::Shared;
use changeover_routing::{Reading, Readings, RouteTable};
use changeover_types::{MigrationName, Side};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::harness::{Client, RawClient, RunningGate, Server, config, eventually, reply};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_parks_and_releases_without_a_failure() {
    let server = Server::named("ok").await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for number in 0..40 {
        let (stop, answered, address) = (Arc::clone(&stop), Arc::clone(&answered), gate.address);
        clients.push(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            while !stop.load(Ordering::Relaxed) {
                let outcome = if number % 2 == 0 {
                    client.get("/").await.unwrap().0
                } else {
                    let post = client.send(http::Request::post("/"), "body").await.unwrap();
                    post.status().as_u16()
                };
                assert_eq!(outcome, 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for _ in 0..5 {
        let before = answered.load(Ordering::Relaxed);
        eventually("some answers", || async {
            (answered.load(Ordering::Relaxed) > before + 100).then_some(())
        })
        .await;
        gate.hold(15_000).await;
        // All forty are parked, and nothing is under way: an acknowledged hold is the truth.
        eventually("all to be parked", || async {
            let status = gate.status().await;
            (status.parked == 40 && status.open.is_empty()).then_some(())
        })
        .await;
        let quiet = answered.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(answered.load(Ordering::Relaxed), quiet);
        gate.release().await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let metrics = gate.metrics().await;
    assert!(metrics.longest_park_us >= 30_000, "{}", metrics.longest_park_us);
    assert!(metrics.parked_total >= 40);
    let source = &metrics.http[&Side::Source];
    assert_eq!(source.errors, 0);
    let slow: u64 = source.latency_us.iter().filter(|(us, _)| *us >= 30_000).map(|(_, n)| n).sum();
    assert!(slow >= 200, "held requests must show in the latency: {slow}");
}

#[tokio::test]
async fn the_route_is_chosen_after_the_release() {
    let (source, target) = (Server::named("source").await, Server::named("target").await);
    let gate = RunningGate::start(&[source.address], &[target.address]);
    gate.hold(15_000).await;
    let address = gate.address;
    let held = tokio::spawn(async move { Client::connect(address).await.get("/").await });
    gate.parked(1).await;
    gate.weight(1000).await;
    assert_eq!(gate.status().await.parked, 1);
    gate.release().await;
    assert_eq!(held.await.unwrap().unwrap(), (200, "target".to_owned()));
}

#[tokio::test]
async fn a_gate_that_must_prove_its_route_first_lets_requests_wait() {
    let server = Server::named("proven").await;
    let folder = tempfile::tempdir().unwrap();
    let mut http = config(folder.path(), &[server.address], &[server.address]).http.unwrap();
    // Requests are not held when the PostgreSQL gate holds, but they need a route.
    http.holds = false;
    let name = MigrationName::new("shop").unwrap();
    let shared =
        Shared::open(name, folder.path(), RouteTable::default(), true, Default::default()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = CancellationToken::new();
    let serving =
        changeover_gate::http::serve(listener, Arc::new(http), Arc::clone(&shared), drain.clone());
    let gate = tokio::spawn(serving);
    let waiting = tokio::spawn(async move { Client::connect(address).await.get("/").await });
    eventually("the request to wait", || async { (shared.parked() == 1).then_some(()) }).await;
    let nobody = Readings { source: Reading::Unreachable, target: Reading::Unreachable };
    assert!(!shared.resolve(nobody).unwrap());
    assert_eq!(shared.parked(), 1);
    assert!(shared.resolve(Readings { source: Reading::NoRow, ..nobody }).unwrap());
    assert_eq!(waiting.await.unwrap().unwrap(), (200, "proven".to_owned()));
    drain.cancel();
    gate.await.unwrap();
}

#[tokio::test]
async fn the_oldest_goes_first() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let server = Server::start(move |request| {
        seen.lock().unwrap().push(request.uri().path().to_owned());
        async { reply("ok") }
    })
    .await;
    let gate = RunningGate::start_one_core(&[server.address]);
    gate.hold(15_000).await;
    let mut held = Vec::new();
    for number in 0..20 {
        let address = gate.address;
        held.push(tokio::spawn(async move {
            Client::connect(address).await.get(&format!("/{number:02}")).await
        }));
        gate.parked(number + 1).await;
    }
    gate.release().await;
    for request in held {
        assert_eq!(request.await.unwrap().unwrap().0, 200);
    }
    let order = order.lock().unwrap().clone();
    // Connections to the upstream are opened side by side, so neighbours may swap.
    for (place, path) in order.iter().enumerate() {
        let number: usize = path[1..].parse().unwrap();
        assert!(number.abs_diff(place) <= 10, "{order:?}");
    }
}

/// Whether a client that closed has left or has only said all it has to say cannot be seen: an order is
/// not carried out for it, and what changes nothing is answered.
#[tokio::test]
async fn orders_of_clients_that_close_while_held_are_forgotten() {
    let hits = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&hits);
    let server = Server::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { reply("ok") }
    })
    .await;
    let gate = RunningGate::start(&[server.address], &[server.address]);
    gate.hold(15_000).await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let cut = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhello";
    let asking = RawClient::send(gate.address, get).await;
    let gone = RawClient::send(gate.address, get).await;
    let (ordering, cut) =
        (RawClient::send(gate.address, post).await, RawClient::send(gate.address, cut).await);
    gate.parked(4).await;
    let asking = asking.half_close().await;
    gone.reset();
    drop(cut);
    let answer = ordering.half_close().await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    gate.parked(1).await;
    gate.release().await;
    assert!(asking.rest().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(Client::connect(gate.address).await.get("/").await.unwrap().0, 200);
    assert_eq!(hits.load(Ordering::Relaxed), 2, "a request of a client that left was forwarded");
    let metrics = gate.metrics().await;
    assert_eq!(metrics.http[&Side::Source].errors, 0);
    assert_eq!(metrics.http[&Side::Source].requests, 2);
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight() {
    let gate_open = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate_open);
    let server = Server::start(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.acquire().await.unwrap().forget();
            reply("late")
        }
    })
    .await;
    let mut gate = RunningGate::start(&[server.address], &[server.address]);
    let mut idle = Client::connect(gate.address).await;
    gate_open.add_permits(1);
    assert_eq!(idle.get("/").await.unwrap().0, 200);
    let address = gate.address;
    let flying = tokio::spawn(async move { Client::connect(address).await.get("/fly").await });
    eventually("the request to be under way", || async {
        (gate.status().await.open.len() == 1).then_some(())
    })
    .await;
    gate.drain.cancel();
    eventually("new clients to be turned away", || async {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    // A request that an idle client sends now is still answered, and told to be the last.
    gate_open.add_permits(2);
    let last = idle.send(http::Request::get("/last"), "").await.unwrap();
    assert_eq!(last.headers()["connection"], "close");
    assert_eq!(flying.await.unwrap().unwrap(), (200, "late".to_owned()));
    gate.stop();
}
